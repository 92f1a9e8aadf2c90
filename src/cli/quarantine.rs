//! `onhook quarantine`: deliveries that were refused, why, and once more.

use super::{
    accounts::account_sid,
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::or_dash,
    page::Page,
    view::second,
};
use crate::{
    app,
    audit::Act,
    domain::time::rfc3339,
    ingest::{Ingest, Parts},
    quarantine::{Chosen, How, Outcome, ROWS_MAX, Reason, Redrive, Redriven, RedrivenRow, body_shown},
    store::{
        Db,
        quarantine::{self, QuarantineFilter, QuarantineId, QuarantineRow, Whose},
    },
    telemetry::Metrics,
    twilio::door::Door,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;

/// Look at deliveries that were refused, and apply them once what was wrong is mended
///
/// Works directly in the configured database, with the configured public URL, beside a running server.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook quarantine list")]
pub enum Quarantine {
    List(List),
    Explain(Explain),
    Redrive(RedriveSome),
    Drop(Drop),
}

/// List refused deliveries, newest first; also those of unknown accounts
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook quarantine list
  onhook quarantine list --reason signature-mismatch")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    page: Page,
}

/// Say why a delivery is refused, with today's tokens and settings, and what to do
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook quarantine explain qua_5f2b8c0e9d7a41f3b6c8d0e1f2a3b4c5")]
pub struct Explain {
    #[command(flatten)]
    tenant: Tenant,
    /// Its id
    id: String,
}

/// Judge refused deliveries again and apply those that are good now, with their own times
///
/// Only what verifies today is applied, also where the account is in `observe`. Exit code 5 if some are still refused.
/// Redriving again is safe.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook quarantine redrive --all --dry-run
  onhook quarantine redrive --account AC00000000000000000000000000000001
  onhook quarantine redrive qua_5f2b8c0e9d7a41f3b6c8d0e1f2a3b4c5")]
pub struct RedriveSome {
    #[command(flatten)]
    tenant: Tenant,
    /// Their ids
    #[arg(value_name = "ID", conflicts_with_all = ["all", "account", "reason", "source"])]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Every one
    #[arg(long, conflicts_with_all = ["account", "reason", "source"])]
    all: bool,
    /// Only say what would become of them
    #[arg(long)]
    dry_run: bool,
    /// Also apply what does not verify, marked, where the account is in `observe` today
    #[arg(long)]
    unverified: bool,
}

/// Drop refused deliveries for good
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook quarantine drop qua_5f2b8c0e9d7a41f3b6c8d0e1f2a3b4c5")]
pub struct Drop {
    #[command(flatten)]
    tenant: Tenant,
    /// Their ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Which of them.
#[derive(Args, Clone, Debug)]
struct Filter {
    /// Only those that claim to be of this account
    #[arg(long, value_name = "AC…", value_parser = account_sid)]
    account: Option<String>,
    /// Only those that were refused for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<Reason>,
    /// Only those that came to this door, such as twilio/status
    #[arg(long, value_name = "DOOR")]
    source: Option<Door>,
}

impl Filter {
    fn read(self) -> QuarantineFilter {
        let reason = self.reason.map(|reason| reason.as_str().to_owned());
        QuarantineFilter { account: self.account, reason, source: self.source.map(|door| door.as_str().to_owned()) }
    }

    const fn is_empty(&self) -> bool {
        self.account.is_none() && self.reason.is_none() && self.source.is_none()
    }
}

impl Quarantine {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::List(list) => list.run(&mut desk).await,
            Self::Explain(explain) => explain.run(&mut desk).await,
            Self::Redrive(redrive) => redrive.run(&mut desk).await,
            Self::Drop(drop) => drop.run(&mut desk).await,
        }
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        self.page.require(|cursor| place(cursor).is_some())?;
        let (tenant, filter) = (self.tenant.id, self.filter.read());
        let listed = desk
            .on_existing_db(async |_, db| {
                require_tenant(db, &tenant).await?;
                let fetch = async |before: Option<&str>, limit| {
                    let before = before.and_then(place).unwrap_or((i64::MAX, ""));
                    quarantine::list(db, Whose::Operator(&tenant), &filter, before, limit).await
                };
                self.page.collect(|row| format!("{}:{}", row.received_ms, row.id), fetch).await
            })
            .await?;
        let line = |row: &QuarantineRow| {
            vec![
                row.id.clone(),
                second(row.received_ms),
                row.times.to_string(),
                or_dash(row.account.as_ref()),
                row.source.clone(),
                row.reason.clone(),
                or_dash(row.client.as_ref()),
            ]
        };
        listed.show(&desk.out, json, &["id", "first came", "times", "account", "source", "reason", "client"], line)?;
        Ok(Exit::Ok)
    }
}

impl Explain {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, id) = (&self.tenant.id, &self.id);
        let whose = Whose::Operator(tenant);
        let (row, explained) = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                let row = quarantine::find(db, whose, id).await?.ok_or_else(|| unknown(id))?;
                let explained = with_redrive(desk, db, async |redrive| Ok(redrive.explain(whose, &row).await?)).await?;
                Ok((row, explained))
            })
            .await?;
        let mut value = json(&row);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("explain".to_owned(), json!(explained));
        }
        let mut sheet = vec![
            ("id", row.id.clone()),
            ("account", or_dash(row.account.as_ref())),
            ("came", format!("{} times, first {}, last {}", row.times, second(row.received_ms), second(row.last_ms))),
            ("request", format!("{} {}", row.method, row.path_and_query)),
            ("from", or_dash(row.client.as_ref())),
            ("refused then", row.reason.clone()),
            ("what", explained.what.clone()),
        ];
        sheet.extend(explained.tried.iter().map(|url| ("tried", url.clone())));
        let hints = explained.diagnosis.iter().flat_map(|diagnosis| &diagnosis.hints);
        sheet.extend(hints.map(|hint| ("hint", hint.clone())));
        if matches!(explained.reason, Some(Reason::Unreadable | Reason::BadEntry)) {
            sheet.push(("body", body_shown(&row.body)));
        }
        sheet.push(("next", explained.next.clone()));
        desk.out.show(&value, || desk.out.sheet(&sheet))?;
        Ok(Exit::Ok)
    }
}

impl RedriveSome {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        if self.ids.is_empty() && !self.all && self.filter.is_empty() {
            let next = "name ids, or give --account, --reason, --source or --all";
            return Err(Stop::with(Exit::Usage, "nothing was chosen", next));
        }
        if self.ids.len() > ROWS_MAX {
            let what = format!("{} ids are given; up to {ROWS_MAX} are taken at once", self.ids.len());
            return Err(Stop::with(Exit::Usage, what, "give fewer, or --account or --all"));
        }
        let how = How { dry_run: self.dry_run, unverified: self.unverified };
        let (tenant, ids, filter) = (&self.tenant.id, self.ids, self.filter.read());
        let whose = Whose::Operator(tenant);
        let rows = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                let chosen = if ids.is_empty() { Chosen::Fitting(filter.clone(), None) } else { Chosen::Ids(ids) };
                let rows =
                    with_redrive(desk, db, async |redrive| run_all(redrive, whose, chosen, how, &filter).await).await?;
                let applied = rows.iter().filter(|row| row.outcome == Outcome::Applied).count();
                if applied > 0 {
                    let detail = json!({ "looked": rows.len(), "applied": applied });
                    desk.audit(db, tenant, Act::QuarantineRedriven, "quarantine", detail).await;
                }
                Ok(rows)
            })
            .await?;
        let done = Redriven { rows, next: None };
        show(desk, &done, how.dry_run)?;
        Ok(match (done.count(Outcome::Stays), done.count(Outcome::NotFound)) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::NotFound,
            _ => Exit::Findings,
        })
    }
}

impl Drop {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, ids) = (&self.tenant.id, &self.ids);
        let gone = desk
            .on_existing_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                for id in ids {
                    quarantine::find(db, Whose::Operator(tenant), id).await?.ok_or_else(|| unknown(id))?;
                }
                let ids: Vec<_> = ids.iter().map(|id| QuarantineId { id: id.clone() }).collect();
                let mut tx = db.begin().await?;
                let gone = quarantine::delete(&mut tx, &ids).await?;
                tx.commit().await?;
                for QuarantineId { id } in &ids {
                    desk.audit(db, tenant, Act::QuarantineDropped, id, json!({})).await;
                }
                Ok(gone)
            })
            .await?;
        desk.out.show(&json!({ "dropped": gone }), || format!("dropped {gone}"))?;
        Ok(Exit::Ok)
    }
}

/// Redrives until nothing that was chosen is left: each time it takes so much at most.
async fn run_all(
    redrive: Redrive<'_>,
    whose: Whose<'_>,
    mut chosen: Chosen,
    how: How,
    filter: &QuarantineFilter,
) -> Result<Vec<RedrivenRow>> {
    let mut rows = Vec::new();
    loop {
        let Redriven { rows: more, next } = redrive.run(whose, chosen, how).await?;
        let (later, done): (Vec<_>, Vec<_>) = more.into_iter().partition(|row| row.outcome == Outcome::Later);
        rows.extend(done);
        chosen = match next {
            Some(next) => Chosen::Fitting(filter.clone(), Some(next)),
            None if later.is_empty() => return Ok(rows),
            None => Chosen::Ids(later.into_iter().map(|row| row.id).collect()),
        };
    }
}

/// Lends what redriving works with: the directory, and a writer of our own, which has written everything when it ends.
async fn with_redrive<T>(desk: &mut Desk, db: &Db, work: impl AsyncFnOnce(Redrive<'_>) -> Result<T>) -> Result<T> {
    let directory = app::directory(&desk.config, db.clone(), desk.clock.clone(), &mut desk.rng)?;
    let metrics = Metrics::new();
    let (ingest, writer) = Ingest::new(Parts {
        db: db.clone(),
        clock: desk.clock.clone(),
        rng: StdRng::from_rng(&mut desk.rng),
        rules: app::rules(&desk.config),
        metrics: metrics.clone(),
    });
    let writing = tokio::spawn(writer.run());
    let redrive = Redrive {
        db,
        clock: &desk.clock,
        directory: &directory,
        ingest: &ingest,
        metrics: &metrics,
        public_url: desk.config.public_url.as_ref(),
        verify: desk.config.verify,
        bounds: crate::quarantine::bounds(&desk.config.quarantine),
    };
    let done = work(redrive).await;
    // The writer ends when the last door is closed.
    std::mem::drop(ingest);
    writing.await?;
    done
}

fn show(desk: &Desk, done: &Redriven, dry_run: bool) -> Result<()> {
    let good = if dry_run { Outcome::WouldApply } else { Outcome::Applied };
    let (applied, repeated, stayed) = (done.count(good), done.count(Outcome::Repeated), done.count(Outcome::Stays));
    let value = json!({
        "dry_run": dry_run, "looked": done.looked(), "applied": applied,
        "repeated": repeated, "stayed": stayed, "rows": done.rows, "next_cursor": null,
    });
    let text = || {
        let would = if dry_run { "would be applied" } else { "applied" };
        let counts = format!("{applied} {would}, {repeated} had come meanwhile, {stayed} still refused");
        let line = |row: &&RedrivenRow| {
            vec![row.id.clone(), or_dash(row.account.as_ref()), row.outcome.to_string(), or_dash(row.detail.as_ref())]
        };
        let odd: Vec<_> = done.rows.iter().filter(|row| row.outcome != good).collect();
        match odd.is_empty() {
            true => counts,
            false => {
                let table = desk.out.table(&["id", "account", "outcome", "why"], odd.iter().map(line));
                format!("{table}\n{counts}")
            }
        }
    };
    desk.out.show(&value, text)
}

fn json(row: &QuarantineRow) -> serde_json::Value {
    json!({
        "id": row.id, "account": row.account, "account_known": row.tenant.is_some(), "source": row.source,
        "method": row.method, "path_and_query": row.path_and_query, "host": row.host, "client": row.client,
        "reason": row.reason, "detail": row.detail, "received_at": rfc3339(row.received_ms),
        "last_at": rfc3339(row.last_ms), "times": row.times,
    })
}

fn unknown(id: &str) -> anyhow::Error {
    Stop::not_found(format!("refused delivery {id}"), "`onhook quarantine list` shows those there are")
}

/// A place in the list, as the cursor names it.
fn place(cursor: &str) -> Option<(i64, &str)> {
    let (ms, id) = cursor.split_once(':')?;
    Some((ms.parse().ok()?, id))
}
