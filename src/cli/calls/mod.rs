//! `onhook calls`: what is going on, and what happened.

mod explain;
mod import;

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    out::or_dash,
    page::Page,
    view::{self, second},
};
use crate::{
    domain::{state::Status, time::parse_rfc3339},
    fields,
    ingest::TimelineStep,
    store::{
        Db, StoreError,
        calls::{self, CallFilter, CallRow},
        journal::{self, Entry},
    },
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Look at calls and import them, directly in the configured database (works beside a running server)
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook calls list --live")]
pub enum Calls {
    List(List),
    Show(Show),
    Timeline(Timeline),
    Legs(Legs),
    Explain(explain::Explain),
    Import(import::Import),
}

/// List calls, the newest first
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook calls list --live
  onhook calls list --lead lead-42 --since 2026-11-01T00:00:00Z --json")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// Only calls with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only calls that have not ended
    #[arg(long)]
    live: bool,
    /// Only calls of this lead
    #[arg(long, value_name = "ID")]
    lead: Option<String>,
    /// Only calls of this provider account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only calls from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Only calls to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Only calls created at or after this time, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only calls created before this time, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    #[command(flatten)]
    page: Page,
}

/// Which call.
#[derive(Args, Debug)]
struct Which {
    #[command(flatten)]
    tenant: Tenant,
    /// Our id or the provider's
    id: String,
    /// The provider account, if two share the provider's id
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

/// Show one call
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook calls show CA00000000000000000000000000000001")]
pub struct Show {
    #[command(flatten)]
    which: Which,
}

/// Show what was said of a call, in the order it was heard, and what each word did
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook calls timeline CA00000000000000000000000000000001")]
pub struct Timeline {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    page: Page,
}

/// Show the conversation of a call: the root first, then the legs that were dialed on its behalf
///
/// The same for each of them.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook calls legs CA00000000000000000000000000000001")]
pub struct Legs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    page: Page,
}

impl Calls {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::List(list) => list.run(&mut desk).await,
            Self::Show(show) => show.run(&mut desk).await,
            Self::Timeline(timeline) => timeline.run(&mut desk).await,
            Self::Legs(legs) => legs.run(&mut desk).await,
            Self::Explain(explain) => explain.run(&mut desk).await,
            Self::Import(import) => import.run(&mut desk).await,
        }
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        // As announcements and imports write it; what is no number is compared as it is.
        let region = desk.config.phone_region.as_deref();
        let address = |text: String| fields::address("", &text, region).unwrap_or(text);
        let filter = CallFilter {
            status: self.status.map(|status| status.as_str().to_owned()),
            live: self.live.then_some(true),
            lead_id: self.lead,
            account: self.account,
            from: self.from.map(address),
            to: self.to.map(address),
            since_ms: self.since,
            until_ms: self.until,
            ..CallFilter::default()
        };
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch = async |before: Option<&str>, limit| calls::list(db, tenant, &filter, before, limit).await;
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let (limits, now_ms) = (desk.config.sweep.limits(), desk.now_ms());
        let header = ["created", "call", "from", "to", "status", "talk", "lead", "id"];
        listed.show(&desk.out, |row| view::call(row, &limits, now_ms), &header, line)?;
        Ok(Exit::Ok)
    }
}

impl Show {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let row = desk.on_existing_db(async |_, db| self.which.find(db).await).await?;
        let call = view::call(&row, &desk.config.sweep.limits(), desk.now_ms());
        desk.out.show(&call, || {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let fields = view::CALL_FIELDS.iter().filter_map(|name| Some((*name, call.get(name)?)));
            let known = fields.filter(|(_, value)| !value.is_null());
            desk.out.sheet(&known.map(|(name, value)| (name, text(value))).collect::<Vec<_>>())
        })?;
        Ok(Exit::Ok)
    }
}

impl Timeline {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.page.require_number()?;
        let listed = desk
            .on_existing_db(async |_, db| {
                let call = self.which.find(db).await?;
                let fetch = async |after: Option<&str>, limit| {
                    let after = after.and_then(|seq| seq.parse().ok()).unwrap_or_default();
                    journal::list_of_subject(db, &call.tenant, journal::CALL, &call.id, after, limit).await
                };
                self.page.collect(|entry| entry.seq.to_string(), fetch).await
            })
            .await?;
        let read = |entry: &Entry| serde_json::from_str::<TimelineStep<'static>>(&entry.what);
        for entry in &listed.rows {
            read(entry).with_context(|| format!("read entry {} of the journal", entry.seq))?;
        }
        let json = |entry: &Entry| read(entry).map(|step| view::step(entry, &step)).unwrap_or_default();
        let line = |entry: &Entry| {
            let Ok(step) = read(entry) else { return Vec::new() };
            let from = or_dash(step.from);
            let said = or_dash(step.at_ms.map(second));
            let (claim, witness) = (or_dash(step.claim), step.witness.to_string());
            vec![said, second(step.received_ms), claim, witness, step.step.to_string(), from, step.to.to_string()]
        };
        listed.show(&desk.out, json, &["at", "received", "claim", "witness", "step", "from", "to"], line)?;
        Ok(Exit::Ok)
    }
}

impl Legs {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (root, listed) = desk
            .on_existing_db(async |_, db| {
                let call = self.which.find(db).await?;
                let (tenant, account) = (call.tenant.as_str(), call.account.as_str());
                let root = call.parent_id.clone().unwrap_or_else(|| call.provider_id.clone());
                let fetch = async |after: Option<&str>, limit| {
                    let mut rows = match (after, &call.parent_id) {
                        (Some(_), _) => Vec::new(),
                        (None, None) => vec![call.clone()],
                        // A leg may be heard of before the one that dialed it.
                        (None, Some(_)) => calls::find(db, tenant, &root, Some(account)).await?,
                    };
                    let after = after.filter(|after| *after != ROOT).unwrap_or_default();
                    rows.extend(calls::list_legs(db, tenant, account, &root, after, limit).await?);
                    Ok::<_, StoreError>(rows)
                };
                // The root stands before every leg, whatever its id.
                let is_root = |row: &CallRow| row.provider_id == root;
                let place = |row: &CallRow| if is_root(row) { ROOT.to_owned() } else { row.provider_id.clone() };
                let listed = self.page.collect(place, fetch).await?;
                Ok((root.clone(), listed))
            })
            .await?;
        let (limits, now_ms) = (desk.config.sweep.limits(), desk.now_ms());
        let header = ["created", "leg", "from", "to", "status", "talk", "lead", "id"];
        let of_conversation = |row: &CallRow| {
            let mut cells = line(row);
            if let Some(leg) = cells.get_mut(1).filter(|_| row.provider_id != root) {
                leg.insert_str(0, "└ ");
            }
            cells
        };
        listed.show(&desk.out, |row| view::call(row, &limits, now_ms), &header, of_conversation)?;
        Ok(Exit::Ok)
    }
}

impl Which {
    /// The call; an error with its exit code if there is none, or more than one.
    async fn find(&self, db: &Db) -> Result<CallRow> {
        let (tenant, id) = (&self.tenant.id, &self.id);
        let mut found = calls::find(db, tenant, id, self.account.as_deref()).await?;
        if found.len() > 1 {
            let next = "name the account with --account";
            return Err(Stop::with(Exit::Usage, format!("several accounts have a call {id}"), next));
        }
        found.pop().ok_or_else(|| {
            Stop::not_found(format!("call {id} of tenant {tenant}"), "`onhook calls list` shows the calls there are")
        })
    }
}

fn line(row: &CallRow) -> Vec<String> {
    vec![
        second(row.created_at_ms),
        row.provider_id.clone(),
        or_dash(row.from.as_ref()),
        or_dash(row.to.as_ref()),
        row.status.clone(),
        or_dash(row.talk_seconds.map(|s| format!("{s} s"))),
        or_dash(row.lead_id.as_ref()),
        row.id.clone(),
    ]
}

fn moment(text: &str) -> Result<i64, String> {
    parse_rfc3339(text).ok_or_else(|| "write RFC 3339, such as 2026-11-20T10:11:08Z".to_owned())
}

/// The cursor behind the root of a conversation.
const ROOT: &str = "root";
