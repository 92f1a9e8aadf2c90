//! `onhook healthcheck`: is the gateway ready? For containers and scripts.

use super::{
    desk::{self, Settings},
    exit::{Exit, Stop},
    out::Out,
    send, serve,
};
use anyhow::Result;
use clap::Args;
use serde_json::Value;
use url::Url;

/// Ask a running gateway whether it is ready; exit code 6 if it is not
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook healthcheck
  onhook healthcheck --url https://calls.example.com")]
pub struct Healthcheck {
    /// The gateway [default: the configured listen address on this machine]
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

impl Healthcheck {
    /// Asks `/readyz`.
    pub async fn run(self, out: Out, settings: Settings) -> Result<Exit> {
        let base = match self.url {
            Some(url) => url.to_string(),
            None => serve::base_url(desk::load(settings, Vec::new())?.config.listen),
        };
        let url = format!("{}/readyz", base.trim_end_matches('/'));
        let not_ready = |why: &str| {
            Stop::with(
                Exit::Unavailable,
                format!("the gateway at {base} is not ready: {why}"),
                "look at its log, or start it with `onhook serve`",
            )
        };
        let response = send::client()?.get(&url).send().await.map_err(|e| not_ready(&send::reason(&e)))?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        if !status.is_success() {
            let database = body.get("database").and_then(Value::as_str).filter(|d| *d != "ok");
            let draining = body.get("draining").and_then(Value::as_bool).unwrap_or_default();
            let why = database.map(str::to_owned).unwrap_or_else(|| match draining {
                true => "it is stopping".to_owned(),
                false => format!("it answered {status}"),
            });
            return Err(not_ready(&why));
        }
        out.show(&body, || format!("{base} is ready"))?;
        Ok(Exit::Ok)
    }
}
