//! `onhook serve`: the gateway, until it is told to stop.

use super::{
    desk::{self, Settings},
    exit::Exit,
    out::{Out, Tone},
};
use crate::{
    app::App,
    clock::SystemClock,
    config::{Config, DatabaseUrl, VerifyMode},
    store::{Db, accounts},
    telemetry,
    twilio::callback_url::{CallbackUrls, Correlation},
};
use anyhow::Result;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Start the gateway
///
/// Without any configuration it keeps everything in onhook.db in the current folder and prints the first API key.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook serve
  onhook serve --listen 0.0.0.0:8080 --public-url https://calls.example.com
  ONHOOK_DATABASE_URL=postgres://onhook@db/crm ONHOOK_API_KEY=… ONHOOK_SECRET_KEY=… onhook serve")]
pub struct Serve {
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Scheme, host and path prefix that the provider sees
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A second listener with /metrics only, without a key
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// What is logged, such as `debug` or `info,onhook::ingest=debug`
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Serve {
    /// Runs until SIGTERM, SIGINT or the death of a part.
    pub async fn run(self, out: Out, settings: Settings) -> Result<Exit> {
        let flags = vec![
            ("listen", self.listen),
            ("public_url", self.public_url),
            ("metrics_listen", self.metrics_listen),
            ("log", self.log),
        ];
        let loaded = desk::load(settings, flags)?;
        let config = loaded.config;
        telemetry::init_tracing(&config.log, config.log_format)?;
        let app = App::build(config.clone(), Arc::new(SystemClock), desk::system_rng()).await?;
        let missing = missing(&config, &app.gateway().db).await?;
        let stop = CancellationToken::new();
        tokio::spawn(cancel_when_told(stop.clone()));
        announce(&out, &app, &missing)?;
        log_start(&config, &app).await?;
        app.run(stop).await?;
        Ok(Exit::Ok)
    }
}

/// Says where it is, the first key, and what is missing for production.
fn announce(out: &Out, app: &App, missing: &[String]) -> Result<()> {
    let base = base_url(app.address());
    let key = app.first_key().map(|key| key.expose_secret());
    if out.is_json() {
        let docs = format!("{base}/docs");
        return out.json(&json!({ "api": format!("{base}/v1"), "docs": docs, "first_key": key, "missing": missing }));
    }
    let mut rows = vec![("API", format!("{base}/v1")), ("docs", format!("{base}/docs"))];
    if let Some(key) = key {
        rows.push(("key", key.to_owned()));
        rows.push(("", "this key is shown only now; `onhook keys create` makes another one".to_owned()));
    }
    out.line(out.paint(Tone::Strong, concat!("onhook ", env!("CARGO_PKG_VERSION"))))?;
    out.line(out.sheet(&rows))?;
    if !missing.is_empty() {
        out.line(format!("{} {}", out.paint(Tone::Bad, "missing for production:"), missing.join("; ")))?;
    }
    Ok(())
}

/// Says in the log what started: the banner goes elsewhere, and what is looked into later is the log.
async fn log_start(config: &Config, app: &App) -> Result<()> {
    let stored = accounts::list_all(&app.gateway().db, ("", ""), ACCOUNTS_COUNTED_MAX).await?;
    let configured = config.twilio.account().filter(|(sid, _)| stored.iter().all(|row| row.account.id != *sid));
    let database = match config.database_url {
        DatabaseUrl::Sqlite { .. } => "sqlite",
        DatabaseUrl::Postgres { .. } => "postgres",
    };
    // Without a user name and password, as in every URL that is told (`CallbackUrls`).
    let public_url = config.public_url.as_ref().map(|url| CallbackUrls::below(url, &Correlation::default()).base());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %app.address(),
        database,
        public_url,
        accounts = stored.len() + usize::from(configured.is_some()),
        "serving",
    );
    Ok(())
}

/// What a gateway that real calls depend on would have.
async fn missing(config: &Config, db: &Db) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    match &config.public_url {
        None => missing.push("the URL that Twilio sees (ONHOOK_PUBLIC_URL)"),
        Some(url) if url.scheme() != "https" => missing.push("https in ONHOOK_PUBLIC_URL"),
        Some(_) => {}
    }
    let stored = !accounts::list_all(db, ("", ""), 1).await?.is_empty();
    if config.twilio.account().is_none() && !stored {
        missing.push("a Twilio account (TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or `onhook accounts add`)");
    }
    if config.verify == VerifyMode::Observe {
        missing.push("verification (ONHOOK_VERIFY=observe lets unsigned webhooks in)");
    }
    Ok(missing.into_iter().map(str::to_owned).collect())
}

/// A URL that works on this machine.
pub fn base_url(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

/// "All interfaces" is no address to call.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Cancels at the first SIGTERM or SIGINT. A second one ends the process at once. They are listened for from the call
/// on, not only from the first poll: whoever reads our first line may tell us to stop right then.
pub fn cancel_when_told(stop: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
    let mut told = Told::listen();
    async move {
        told.stop().await;
        stop.cancel();
        told.stop().await;
        std::process::exit(Exit::Failed as i32);
    }
}

/// The signals that tell a process to stop. One that cannot be listened for still ends the process: that is its default.
#[cfg(unix)]
struct Told {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

#[cfg(unix)]
impl Told {
    fn listen() -> Self {
        let on = |kind| signal(kind).ok();
        Self { terminate: on(SignalKind::terminate()), interrupt: on(SignalKind::interrupt()) }
    }

    async fn stop(&mut self) {
        async fn comes(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = comes(&mut self.terminate) => {}
            () = comes(&mut self.interrupt) => {}
        }
    }
}

/// More accounts are not counted at the start.
const ACCOUNTS_COUNTED_MAX: i64 = 10_000;

#[cfg(not(unix))]
struct Told;

#[cfg(not(unix))]
impl Told {
    fn listen() -> Self {
        Self
    }

    async fn stop(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
