//! Importing the user's own calls that are not over as far as he knows. They are due at once.

use crate::{
    app,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        import::{Table, left_out},
        keys::require_tenant,
    },
    domain::id::DEFAULT_TENANT,
    ingest::{
        Ingest, Parts,
        import::{self, ImportRow, Imported, Stated},
    },
    leads::{Format, RowError},
    store::{Db, accounts},
    telemetry::Metrics,
};
use anyhow::Result;
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use std::collections::BTreeMap;

/// Import your own calls that never ended
///
/// Columns: provider_id, created_at and status (queued, initiated, ringing, in-progress) are required; account, lead_id,
/// from, to, user_id and extension may be left out. Rows that have ended are skipped. Importing again is safe.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook calls import stuck.csv
  onhook calls import - --account AC00000000000000000000000000000001 < stuck.ndjson")]
pub struct Import {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    table: Table,
    /// The provider account of rows that name none [default: the tenant's only one]
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

/// The rows of a table, judged; the calls by provider.
#[derive(Default)]
struct Judged {
    calls: BTreeMap<&'static str, Vec<(u64, Stated)>>,
    ended: u64,
    failed: u64,
    errors: Vec<RowError>,
}

impl Import {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (format, bytes) = self.table.read(desk.config.limits.import_bytes_max)?;
        let rows = rows(format, &bytes);
        if rows.len() > import::ROWS_MAX {
            let what = format!("the table has more than {} rows", import::ROWS_MAX);
            return Err(Stop::with(Exit::Failed, what, "split it"));
        }
        let tenant = &self.tenant.id;
        let (judged, imported) = desk
            .on_db(async |desk, db| {
                require_tenant(db, tenant).await?;
                let accounts = Accounts::of(desk, db, tenant, self.account.as_deref()).await?;
                let mut judged = judge(rows, &accounts, desk);
                let imported = submit(desk, db, tenant, &mut judged).await?;
                Ok((judged, imported))
            })
            .await?;
        let Judged { ended, failed, errors, .. } = judged;
        let json = json!({ "imported": imported, "skipped": ended, "failed": failed, "errors": errors });
        let text = || format!("{imported} calls imported, {ended} had ended and were skipped, {failed} rows left out");
        desk.out.show(&json, text)?;
        Ok(left_out(&desk.out, failed, &errors))
    }
}

impl Judged {
    fn refuse(&mut self, line: u64, field: Option<String>, message: String) {
        self.failed += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(RowError { line, field, message });
        }
    }
}

/// The lines of the table with what stands there.
fn rows(format: Format, bytes: &[u8]) -> Vec<(u64, Result<ImportRow, String>)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match format {
        Format::Csv => {
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
            let mut rows = Vec::new();
            let mut records = reader.deserialize();
            while let Some(row) = records.next() {
                let line = records.reader().position().line().saturating_sub(1);
                rows.push((line, row.map_err(|e: csv::Error| e.to_string())));
            }
            rows
        }
        Format::Ndjson => (1..)
            .zip(bytes.split(|b| *b == b'\n'))
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| (number, object(line)))
            .collect(),
    }
}

/// One line of NDJSON.
fn object(line: &[u8]) -> Result<ImportRow, String> {
    if line.trim_ascii_start().starts_with(b"[") {
        // Serde would take a list for an object whose fields stand in some order.
        return Err("is a list; an object is expected".to_owned());
    }
    serde_json::from_slice(line).map_err(|e| e.to_string())
}

fn judge(rows: Vec<(u64, Result<ImportRow, String>)>, accounts: &Accounts, desk: &Desk) -> Judged {
    let (region, now_ms) = (desk.config.phone_region.as_deref(), desk.now_ms());
    let mut judged = Judged::default();
    for (line, row) in rows {
        let read = row.map_err(|why| (None, why)).and_then(|row| {
            let (account, provider) =
                accounts.find(row.account.as_deref()).map_err(|why| (Some("account".into()), why))?;
            let read = row.read(account, region, now_ms);
            read.map(|read| (provider, read)).map_err(|wrongs| {
                let messages: Vec<String> = wrongs.iter().map(ToString::to_string).collect();
                (None, messages.join("; "))
            })
        });
        match read {
            Ok((provider, Imported::Call(stated))) => judged.calls.entry(provider).or_default().push((line, stated)),
            Ok((_, Imported::Ended(_))) => judged.ended += 1,
            Err((field, why)) => judged.refuse(line, field, why),
        }
    }
    judged
}

/// Submits the calls through the door, with a writer of our own; answers how many were taken.
async fn submit(desk: &mut Desk, db: &Db, tenant: &str, judged: &mut Judged) -> Result<usize> {
    let (ingest, writer) = Ingest::new(Parts {
        db: db.clone(),
        clock: desk.clock.clone(),
        rng: StdRng::from_rng(&mut desk.rng),
        rules: app::rules(&desk.config),
        metrics: Metrics::new(),
    });
    let writing = tokio::spawn(writer.run());
    let mut taken = 0;
    for (provider, rows) in std::mem::take(&mut judged.calls) {
        let calls: Vec<Stated> = rows.iter().map(|(_, call)| call.clone()).collect();
        let refused = import::submit(&ingest, tenant, provider, calls).await?;
        taken += rows.len() - refused.len();
        for (leg, why) in refused {
            let line = rows.iter().find(|(_, call)| call.leg == leg).map_or(0, |(line, _)| *line);
            judged.refuse(line, None, format!("the database refused it: {why}"));
        }
    }
    // The writer ends when the last door is closed.
    drop(ingest);
    writing.await?;
    Ok(taken)
}

/// The provider accounts of the tenant, with their providers.
struct Accounts {
    known: BTreeMap<String, &'static str>,
    otherwise: Option<String>,
}

impl Accounts {
    /// Those that are stored, that of the configuration, and which one is meant by a row that names none.
    async fn of(desk: &Desk, db: &Db, tenant: &str, otherwise: Option<&str>) -> Result<Self> {
        let stored = accounts::list(db, tenant, "", ACCOUNTS_MAX).await?;
        let provider = |name: &str| if name == "twilio" { "twilio" } else { "asterisk" };
        let mut known: BTreeMap<String, _> = stored.into_iter().map(|row| (row.id, provider(&row.provider))).collect();
        let configured = desk.config.twilio.account_sid.clone().filter(|_| tenant == DEFAULT_TENANT);
        known.extend(configured.map(|id| (id, "twilio")));
        let only = || known.keys().next().filter(|_| known.len() == 1).cloned();
        let otherwise = otherwise.map(str::to_owned).or_else(only);
        Ok(Self { known, otherwise })
    }

    fn find<'a>(&'a self, named: Option<&'a str>) -> Result<(&'a str, &'static str), String> {
        let id = named.filter(|id| !id.is_empty()).or(self.otherwise.as_deref());
        let id = id.ok_or("is missing, and the tenant has not just one; name it with --account")?;
        match self.known.get_key_value(id) {
            Some((id, provider)) => Ok((id, provider)),
            None => Err(format!("{id:?} is none of the tenant's; `onhook accounts add` makes it one")),
        }
    }
}

/// How many errors are listed.
const ERRORS_MAX: usize = 100;
/// How many accounts of a tenant an import knows.
const ACCOUNTS_MAX: i64 = 10_000;
