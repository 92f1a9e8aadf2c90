//! The small commands: `migrate`, `config`, `openapi`, `completions`.

use super::{
    desk::{self, Desk, Settings},
    exit::Exit,
    out::{Out, or_dash},
};
use crate::config::DEFAULTS;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{io::Write, path::PathBuf};

/// Create the database or bring it up to date
///
/// `serve` does this by itself. Safe to run beside it and on several nodes at once.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook migrate --database-url postgres://onhook@db/crm")]
pub struct Migrate {}

impl Migrate {
    /// Opening the database is what brings it up to date.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let kind = desk.on_db(async |_, db| Ok(db.kind())).await?;
        let database = desk.config.database_url.to_string();
        let text = || format!("{database} is up to date");
        desk.out.show(&json!({ "database": database, "kind": kind, "up_to_date": true }), text)?;
        Ok(Exit::Ok)
    }
}

/// Show what can be set, and what is in force
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook config show")]
pub enum Config {
    /// Show what is in force and where each value came from; secrets are redacted
    #[command(after_help = "Example:\n  onhook config show --set sweep.interval=10s")]
    Show,
    /// Print every setting with its default and what it means, in the form of onhook.toml
    #[command(after_help = "Example:\n  onhook config defaults > onhook.toml")]
    Defaults,
}

impl Config {
    /// Shows it.
    pub fn run(self, out: Out, settings: Settings) -> Result<Exit> {
        match self {
            Self::Show => {
                let loaded = desk::load(settings, Vec::new())?;
                let rows = loaded.show();
                let json: Vec<_> = rows
                    .iter()
                    .map(|r| json!({ "name": r.name, "key": r.key, "value": r.value, "from": r.origin.to_string() }))
                    .collect();
                out.show(&json, || {
                    let row = |r: &crate::config::Row| {
                        vec![r.name.to_owned(), r.key.to_owned(), or_dash(r.value.as_ref()), r.origin.to_string()]
                    };
                    out.table(&["name", "key", "value", "from"], rows.iter().map(row))
                })?;
            }
            Self::Defaults => out.show(&json!({ "defaults": DEFAULTS }), || DEFAULTS.trim_end().to_owned())?,
        }
        Ok(Exit::Ok)
    }
}

/// Print the OpenAPI document of the REST API
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook openapi --out openapi.json")]
pub struct Openapi {
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Openapi {
    /// Prints it.
    pub fn run(self, out: Out) -> Result<Exit> {
        let document = crate::http::openapi::document().to_pretty_json()?;
        match &self.out {
            Some(path) => {
                std::fs::write(path, document + "\n").with_context(|| format!("write {}", path.display()))?;
            }
            None => out.line(document)?,
        }
        Ok(Exit::Ok)
    }
}

/// Print a script that completes this command line in a shell
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook completions bash > ~/.local/share/bash-completion/completions/onhook")]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints it.
    pub fn run(self) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::tree(), "onhook", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(Exit::Ok)
    }
}
