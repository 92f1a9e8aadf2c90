//! What a command works with: the configuration, the clock, the generator, and the database when it needs one.

use super::{
    exit::{Exit, Stop},
    out::Out,
};
use crate::{
    app,
    audit::{Act, Deed},
    clock::{SharedClock, SystemClock},
    config::{Config, DatabaseUrl, Loaded, Origin, Sources, Warning},
    domain::id::DEFAULT_TENANT,
    store::{Db, tenants},
    telemetry::{self, LogFormat},
};
use anyhow::Result;
use clap::Args;
use rand::{RngExt, rngs::StdRng};
use std::{path::PathBuf, sync::Arc};

/// Settings that every command takes.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The configuration file [default: $ONHOOK_CONFIG, else onhook.toml if it exists]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Overrides a setting by its key in the file, such as `--set sweep.interval=10s`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value, global = true, help_heading = "Settings")]
    pub set: Vec<(String, String)>,
    /// The database; a URL with a password is better kept in ONHOOK_DATABASE_URL, where others cannot see it
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    pub database_url: Option<String>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Settings")]
    pub json: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as sweep.interval=10s")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// The tenant a command works for.
#[derive(Args, Clone, Debug)]
pub struct Tenant {
    /// The tenant
    #[arg(id = "tenant", long, value_name = "ID", default_value = DEFAULT_TENANT)]
    pub id: String,
}

/// What a command works with.
#[derive(Debug)]
pub struct Desk {
    /// Where it prints.
    pub out: Out,
    /// What is in force.
    pub config: Config,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub rng: StdRng,
    /// What is ignored in the configuration.
    pub warnings: Vec<Warning>,
}

/// Reads the configuration; `flags` override it. What is ignored in it is said on standard error.
pub fn load(settings: Settings, flags: Vec<(&str, Option<String>)>) -> Result<Loaded> {
    let given = flags.into_iter().chain([("database_url", settings.database_url)]);
    let given = given.filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let flags = settings.set.into_iter().chain(given).collect();
    let loaded = Config::load(Sources::from_process(settings.config, flags)?)?;
    let out = Out::new(settings.json);
    for warning in &loaded.warnings {
        out.note(format!("warning: {warning}"));
    }
    Ok(loaded)
}

impl Desk {
    /// Sets up a command that ends by itself. It logs warnings only, unless the configuration says what to log.
    pub fn open(out: Out, settings: Settings) -> Result<Self> {
        let loaded = load(settings, Vec::new())?;
        let is_default = matches!(loaded.origin("log"), Some(Origin::Default));
        telemetry::init_tracing(if is_default { "warn" } else { &loaded.config.log }, LogFormat::Text)?;
        let Loaded { config, warnings, .. } = loaded;
        Ok(Self { out, config, clock: Arc::new(SystemClock), rng: system_rng(), warnings })
    }

    /// The time.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Keeps in the audit what was done here.
    pub async fn audit(&mut self, db: &Db, tenant: &str, act: Act, subject: &str, detail: serde_json::Value) {
        let (tenant, actor, subject) = (tenant.to_owned(), "cli".to_owned(), subject.to_owned());
        let (now_ms, randomness) = (self.now_ms(), self.rng.random());
        Deed { tenant, actor, act, subject, detail }.keep(db, now_ms, randomness).await;
    }

    /// Runs something on the configured database, brought up to date. An SQLite file is made.
    pub async fn on_db<T>(&mut self, run: impl AsyncFnOnce(&mut Self, &Db) -> Result<T>) -> Result<T> {
        let db = app::open_store(&self.config).await?;
        let result = async {
            let mut tx = db.begin().await?;
            tenants::ensure_default(&mut tx, self.clock.now_ms()).await?;
            tx.commit().await?;
            run(self, &db).await
        };
        let result = result.await;
        db.close().await;
        result
    }

    /// The same, but an SQLite file has to be there: a command that only looks must not leave an empty one behind.
    pub async fn on_existing_db<T>(&mut self, run: impl AsyncFnOnce(&mut Self, &Db) -> Result<T>) -> Result<T> {
        if let DatabaseUrl::Sqlite { path } = &self.config.database_url
            && !path.exists()
        {
            let what = format!("there is no database at {}", path.display());
            let next = "name it with --database-url or ONHOOK_DATABASE_URL; `onhook serve` makes a new one";
            return Err(Stop::with(Exit::Unavailable, what, next));
        }
        let db = app::open_store(&self.config).await?;
        let result = run(self, &db).await;
        db.close().await;
        result
    }
}

/// The generator everything random is drawn from, seeded by the system.
#[expect(clippy::disallowed_methods, reason = "the one place that seeds the generator; it is passed on from here")]
pub fn system_rng() -> StdRng {
    rand::make_rng()
}
