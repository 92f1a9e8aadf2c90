//! Making a run from a list.

use super::{by, refused, reload, view};
use crate::{
    app,
    cli::{
        desk::{Desk, Tenant},
        exit::Exit,
        import::{Table, left_out},
        keys::require_tenant,
    },
    domain::run::RunState,
    runs::{Created, Jobs, RetryText, RunText},
    telemetry::Metrics,
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::sync::Arc;

/// Make a run from a list of people to be called
///
/// Columns: to (required), lead_id, user_id, key, not_before. With --key the same list can be given again: the run gets only the
/// jobs it lacks. Nobody is called until the run is started.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook runs create leads.csv --from +14155550100 --connect client:ann
  onhook runs create leads.csv --from +14155550100 --url https://example.com/voice --key spring --start
  onhook runs create leads.csv --worker external --from +14155550100 --url https://example.com/v
  onhook runs create leads.csv --account pbx --channel 'PJSIP/{to}@trunk' --context from-onhook --extension s")]
pub struct Create {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    table: Table,
    /// Start it at once
    #[arg(long)]
    start: bool,
    /// Your own id of the run, 1 to 200 bytes: making it again adds only the jobs it lacks
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Name for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Who dials: internal (onhook does) or external (your own dialer claims jobs) [default: internal]
    #[arg(long, value_name = "WORKER")]
    worker: Option<String>,
    /// The provider account that is dialed from [default: the tenant's only one]
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The number that called parties see
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    #[command(flatten)]
    answered: Answered,
    #[command(flatten)]
    dialed: Dialed,
}

/// What is done with an answered call.
#[derive(Args, Debug)]
struct Answered {
    /// Twilio: whom an answered call is put through to: a number, client: or sip: address; may be repeated, up to 10
    #[arg(long, value_name = "TARGET")]
    connect: Vec<String>,
    /// Twilio: what is done with an answered call, as TwiML
    #[arg(long, value_name = "XML")]
    twiml: Option<String>,
    /// Twilio: where it asks for TwiML once a call is answered
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Asterisk: what is dialed, with {to} in it
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Asterisk: the context of the dialplan in which an answered call goes on
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Asterisk: the extension of that context
    #[arg(long, value_name = "NAME")]
    extension: Option<String>,
    /// Twilio: Enable or DetectMessageEnd
    #[arg(long, value_name = "HOW")]
    machine_detection: Option<String>,
}

/// How it is dialed.
#[derive(Args, Debug)]
struct Dialed {
    /// For how many seconds it rings, 5 to 600
    #[arg(long, value_name = "SECONDS")]
    timeout_seconds: Option<i64>,
    /// After how many seconds a call is cut off, 1 to 14400
    #[arg(long, value_name = "SECONDS")]
    time_limit_seconds: Option<i64>,
    /// Pace: calls placed per second, 0.01 to 100 [default: 1]
    #[arg(long, value_name = "N")]
    calls_per_second: Option<f64>,
    /// Calls under way at once, 1 to 10000 [default: 10]
    #[arg(long, value_name = "N")]
    calls_at_once: Option<i64>,
    /// Attempts in all, 1 to 10 [default: 1]
    #[arg(long, value_name = "N")]
    retry_attempts: Option<i64>,
    /// Try again after calls that ended so: busy, no-answer, failed [default: busy,no-answer]
    #[arg(long, value_name = "OUTCOMES", value_delimiter = ',')]
    retry_on: Vec<String>,
    /// How many seconds after the end of one attempt the next is made, 1 to 604800 [default: 900]
    #[arg(long, value_name = "SECONDS")]
    retry_after_seconds: Option<i64>,
}

impl Create {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (format, bytes) = self.table.read(desk.config.limits.import_bytes_max)?;
        let (tenant, start) = (self.tenant.id.clone(), self.start);
        let text = self.text();
        let Created { run, is_new, imported } = desk
            .on_db(async |desk, db| {
                require_tenant(db, &tenant).await?;
                let directory = app::directory(&desk.config, db.clone(), desk.clock.clone(), &mut desk.rng)?;
                let (directory, clock) = (Arc::new(directory), desk.clock.clone());
                let at = app::desk(&desk.config, db.clone(), clock, directory, &mut desk.rng, &Metrics::new());
                let by = by(&tenant);
                let mut created = at.create(&by, &text, Jobs::Table(format, &bytes)).await.map_err(refused)?;
                // A list of which nothing could be read is no reason to hide why.
                let has_jobs = created.run.counts.total > 0;
                if start && has_jobs && created.run.row.state == RunState::Pending.as_str() {
                    at.start(&by, &created.run.row.id).await.map_err(refused)?;
                    created.run = reload(&at, &tenant, &created.run).await.map_err(refused)?;
                }
                Ok(created)
            })
            .await?;
        let json = json!({ "run": view::run(&run), "imported": imported });
        desk.out.show(&json, || {
            let (id, state) = (&run.row.id, &run.row.state);
            let was = if is_new { "was made" } else { "was there" };
            let (created, existing, failed) = (imported.created, imported.existing, imported.failed);
            format!("{id} {was} and is {state}: {created} jobs added, {existing} were there, {failed} rows left out")
        })?;
        if run.row.state == RunState::Pending.as_str() && !desk.out.is_json() {
            let id = &run.row.id;
            desk.out.note(match run.counts.total {
                0 => {
                    format!("it has no jobs: make it again with the same --key, or add some by POST /v1/runs/{id}/jobs")
                }
                _ => format!("nobody is called yet; `onhook runs start {id}` starts it"),
            });
        }
        Ok(left_out(&desk.out, imported.failed, &imported.errors))
    }

    fn text(self) -> RunText {
        let Self { key, name, worker, account, from, answered, dialed, .. } = self;
        let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        let retry = RetryText {
            attempts: dialed.retry_attempts,
            on: given(dialed.retry_on),
            after_seconds: dialed.retry_after_seconds,
        };
        RunText {
            key,
            name,
            worker,
            account,
            from,
            connect: given(answered.connect),
            twiml: answered.twiml,
            url: answered.url,
            channel: answered.channel,
            context: answered.context,
            extension: answered.extension,
            timeout_seconds: dialed.timeout_seconds,
            time_limit_seconds: dialed.time_limit_seconds,
            machine_detection: answered.machine_detection,
            calls_per_second: dialed.calls_per_second,
            calls_at_once: dialed.calls_at_once,
            retry: Some(retry).filter(|retry| *retry != RetryText::default()),
        }
    }
}
