//! Importing the user's own rows of calls that are not over as far as he knows.

use super::{Accounts, provider};
use crate::{
    domain::id::Leg,
    fields::Wrong,
    http::{
        Gateway, Problem, ProblemKind, Write, body,
        idempotency::{Post, Posted, answer},
    },
    ingest::import::{self as rows, ImportRow, Imported, ROWS_MAX, Stated},
    transaction,
};
use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use utoipa::ToSchema;

/// Calls to import.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ImportCalls {
    /// The rows, at most 100,000.
    #[serde(deserialize_with = "rows_up_to_limit")]
    calls: Vec<ImportRow>,
}

/// Stops reading at the limit: a body may hold many more rows than memory should.
fn rows_up_to_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ImportRow>, D::Error> {
    struct Rows;
    impl<'de> Visitor<'de> for Rows {
        type Value = Vec<ImportRow>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {ROWS_MAX} rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Self::Value, A::Error> {
            let mut read = Vec::new();
            while let Some(row) = rows.next_element()? {
                if read.len() >= ROWS_MAX {
                    return Err(A::Error::custom(format!("has more than {ROWS_MAX} rows; split the import")));
                }
                read.push(row);
            }
            Ok(read)
        }
    }
    from.deserialize_seq(Rows)
}

/// What an import of calls came to.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportedCalls {
    /// How many rows were taken: their calls are due at once.
    #[schema(example = 17)]
    imported: usize,
    /// The rows that were left out.
    skipped: Vec<SkippedRow>,
}

/// A row that was left out.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SkippedRow {
    /// Which row, counted from 1 (NDJSON: which line).
    #[schema(example = 3)]
    row: usize,
    /// The provider's id in it.
    provider_id: String,
    /// Why it was left out.
    #[schema(example = "it has ended: completed")]
    reason: String,
}

/// Imports calls that are not over as far as you know. They are due at once; a callback that still comes ends them.
///
/// Rows that have ended are skipped. If a field of any row is wrong nothing is imported. Importing a row again is
/// harmless. NDJSON has one row per line.
#[utoipa::path(post, path = "/v1/calls/import", tag = "calls", security(("key" = ["write"])),
    request_body(content((ImportCalls = "application/json"), (ImportRow = "application/x-ndjson"))),
    responses(
        (status = 200, description = "What was imported and what was skipped", body = ImportedCalls),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`: too many bytes or rows"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn import(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let _alone = gateway.imports.acquire().await.map_err(|e| Problem::internal(&e))?;
    post.once(&gateway, gateway.config.limits.import_bytes_max, async |posted| {
        let accounts = Accounts::of(&gateway, &posted.key).await;
        let given = parse(&posted)?;
        let sorted = sort(&given, &accounts, &gateway)?;
        let answered = transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let imported = sorted.submit(&gateway, &posted.key.tenant).await?;
            Ok::<_, Problem>(answer(StatusCode::OK, &imported))
        });
        answered.await
    })
    .await
}

/// A row, its number from 1, and its path in a refusal.
struct Given {
    number: usize,
    path: String,
    row: ImportRow,
}

fn parse(posted: &Posted<Write>) -> Result<Vec<Given>, Problem> {
    let too_many = || Problem::new(ProblemKind::TooLarge, format!("an import has at most {ROWS_MAX} rows; split it"));
    if posted.expect_media_type(&["application/json", "application/x-ndjson"])? == "application/json" {
        let ImportCalls { calls } = body::parse_json(&posted.body)?;
        let given = |(at, row)| Given { number: at + 1, path: format!("calls[{at}]"), row };
        return Ok(calls.into_iter().enumerate().map(given).collect());
    }
    let lines = (1..).zip(posted.body.split(|b| *b == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut given = Vec::new();
    for (number, line) in lines {
        if given.len() >= ROWS_MAX {
            return Err(too_many());
        }
        let path = format!("line {number}");
        let row = body::parse_json(line).map_err(|problem| problem.under(&path))?;
        given.push(Given { number, path, row });
    }
    Ok(given)
}

/// What is to be submitted, by provider, and what is not.
struct Sorted {
    calls: BTreeMap<&'static str, Vec<Stated>>,
    numbers: HashMap<Leg, usize>,
    skipped: Vec<SkippedRow>,
}

fn sort(given: &[Given], accounts: &Accounts, gateway: &Gateway) -> Result<Sorted, Problem> {
    let (region, now_ms) = (gateway.config.phone_region.as_deref(), gateway.clock.now_ms());
    let mut sorted = Sorted { calls: BTreeMap::new(), numbers: HashMap::new(), skipped: Vec::new() };
    let mut wrongs: Vec<Wrong> = Vec::new();
    for Given { number, path, row } in given {
        if wrongs.len() >= ERRORS_MAX {
            break;
        }
        let account = accounts.find(row.account.as_deref());
        let read = account.map_err(|wrong| vec![wrong]).and_then(|a| Ok((a, row.read(&a.id, region, now_ms)?)));
        match read {
            Ok((account, Imported::Call(call))) => {
                sorted.numbers.insert(call.leg.clone(), *number);
                sorted.calls.entry(provider(account)).or_default().push(call);
            }
            Ok((_, Imported::Ended(status))) => sorted.skipped.push(SkippedRow {
                row: *number,
                provider_id: row.provider_id.clone(),
                reason: format!("it has ended: {status}"),
            }),
            Err(wrong) => wrongs.extend(wrong.into_iter().map(|wrong| wrong.under(path))),
        }
    }
    if wrongs.is_empty() { Ok(sorted) } else { Err(wrongs.into()) }
}

impl Sorted {
    async fn submit(self, gateway: &Gateway, tenant: &str) -> Result<ImportedCalls, Problem> {
        let Self { calls, numbers, mut skipped } = self;
        let mut imported = 0;
        for (provider, calls) in calls {
            imported += calls.len();
            let refused = rows::submit(&gateway.ingest, tenant, provider, calls).await?;
            imported -= refused.len();
            skipped.extend(refused.into_iter().map(|(leg, why)| SkippedRow {
                row: numbers.get(&leg).copied().unwrap_or_default(),
                provider_id: leg.provider_id,
                reason: format!("the database refused it: failed to {why}"),
            }));
        }
        skipped.sort_by_key(|skipped| skipped.row);
        Ok(ImportedCalls { imported, skipped })
    }
}

/// How many rows with something wrong are looked for before the import is refused.
const ERRORS_MAX: usize = 100;
