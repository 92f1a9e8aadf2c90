//! Sweeps: each that mattered, and what all of them came to.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// One sweep, as far as a tenant is concerned. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct SweepRow {
    /// Whose calls.
    pub tenant: String,
    /// `sweep_…`; sorts by when it began.
    pub id: String,
    /// When it began.
    pub started_ms: i64,
    /// When it ended.
    pub ended_ms: i64,
    /// Who asked for it: `sweeper`, `key:<id>`, `cli`.
    pub actor: String,
    /// Whether it only looked.
    pub dry_run: bool,
    /// Only calls without a sign of life for so long. None: those that were due.
    pub threshold_ms: Option<i64>,
    /// How many calls were looked at.
    pub looked: i64,
    /// Of these: how many are alive.
    pub alive: i64,
    /// Of these: how many had ended, as the provider said.
    pub repaired: i64,
    /// Of these: how many were given up.
    pub given_up: i64,
    /// Of these: about how many nobody could say.
    pub skipped: i64,
    /// What was changed, as JSON; the first ones.
    pub changed: String,
    /// What was skipped and why, as JSON; the first ones.
    pub reasons: String,
}

/// What sweeps came to within an hour: what one adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `SweepRow`, added up")]
pub struct SweepFigure {
    pub tenant: String,
    /// When the hour began, in Unix milliseconds.
    pub hour_ms: i64,
    pub sweeps: i64,
    pub looked: i64,
    pub alive: i64,
    pub repaired: i64,
    pub given_up: i64,
    pub skipped: i64,
}

/// Keeps a sweep.
pub async fn insert(tx: &mut Tx, row: &SweepRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Adds to the figures (no key twice in `rows`).
pub async fn add(tx: &mut Tx, rows: &[SweepFigure]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    ADD.over(rows).execute(tx).await.map(drop)
}

/// A page of the sweeps of a tenant, newest first, before `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<SweepRow>, StoreError> {
    LIST.query().bind(tenant).bind(before.unwrap_or(AFTER_EVERY_ID)).bind(limit).fetch_all(on).await
}

/// What the sweeps of the hours that began within `hours_ms` came to, added up; `hour_ms` is the beginning of the first.
pub async fn sum(on: impl Into<On<'_>>, tenant: &str, hours_ms: (i64, i64)) -> Result<SweepFigure, StoreError> {
    SUM.query().bind(tenant).bind(hours_ms.0).bind(hours_ms.1).fetch_one(on).await
}

columns!(sweep_columns of SweepRow {
    tenant text, id text, started_ms int, ended_ms int, actor text, dry_run bool, threshold_ms int, looked int, alive int,
    repaired int, given_up int, skipped int, changed text, reasons text
});
columns!(figure_columns of SweepFigure {
    tenant text, hour_ms int, sweeps int, looked int, alive int, repaired int, given_up int, skipped int
});

macro_rules! sum {
    ($column:literal) => {
        concat!("CAST(coalesce(sum(", $column, "), 0) AS BIGINT) AS ", $column)
    };
}

statements! {
    INSERT = insert(sweep_columns into "sweep": "");
    ADD = insert(figure_columns into "sweep_figure":
        "ON CONFLICT (tenant, hour_ms) DO UPDATE SET sweeps = sweep_figure.sweeps + excluded.sweeps,
             looked = sweep_figure.looked + excluded.looked, alive = sweep_figure.alive + excluded.alive,
             repaired = sweep_figure.repaired + excluded.repaired, given_up = sweep_figure.given_up + excluded.given_up,
             skipped = sweep_figure.skipped + excluded.skipped");
    LIST = both("SELECT ", sweep_columns!(names), " FROM sweep WHERE tenant = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    SUM = both("SELECT CAST($1 AS TEXT) AS tenant, CAST($2 AS BIGINT) AS hour_ms, ", sum!("sweeps"), ", ", sum!("looked"), ",
        ", sum!("alive"), ", ", sum!("repaired"), ", ", sum!("given_up"), ", ", sum!("skipped"), " FROM sweep_figure
        WHERE tenant = $1 AND hour_ms >= $2 AND hour_ms < $3");
}

/// Sorts after every id.
const AFTER_EVERY_ID: &str = "~";
