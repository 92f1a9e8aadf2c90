//! Callback health: the figures counted from the journal, how far it is counted, and what counting has to look up.

use super::{
    On, StoreError, Tx,
    deliveries::{DeliveryKey, delivery_key_columns},
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// Deliveries that came through one door within one hour: what a pass adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallbackTally {
    /// Whose they are.
    pub tenant: String,
    /// The provider account.
    pub account: String,
    /// When the hour began, in Unix milliseconds.
    pub hour_ms: i64,
    /// The door, such as `twilio/status`.
    pub source: String,
    /// How many came, repeated and late ones too.
    pub received: i64,
    /// Of these: how many said what was known already.
    pub repeated: i64,
    /// Of these: how many were overtaken by a later one.
    pub late: i64,
    /// When the last one came.
    pub last_received_ms: i64,
}

/// Legs of one direction that ended within one hour: what a pass adds. A correction takes away as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndingTally {
    /// Whose they are.
    pub tenant: String,
    /// The provider account.
    pub account: String,
    /// When the hour began, in Unix milliseconds.
    pub hour_ms: i64,
    /// Where they came from: `domain::state::Direction`, or `unknown`.
    pub direction: String,
    /// A status callback told the ending.
    pub called_back: i64,
    /// Only another door told it.
    pub elsewhere: i64,
    /// The provider told it when it was asked.
    pub reconciled: i64,
    /// Nobody told it: inferred, missing in a list, or ended by an operator.
    pub unheard: i64,
    /// Callbacks that were fired before the one that told the ending, and did not arrive.
    pub gaps: i64,
    /// The legs of which some did not.
    pub gap_legs: i64,
}

/// The sums of one door.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
#[expect(missing_docs, reason = "the columns of CallbackTally")]
pub struct CallbackSum {
    pub source: String,
    pub received: i64,
    pub repeated: i64,
    pub late: i64,
    pub last_received_ms: i64,
}

/// The sums of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
#[expect(missing_docs, reason = "the columns of EndingTally")]
pub struct EndingSum {
    pub direction: String,
    pub called_back: i64,
    pub elsewhere: i64,
    pub reconciled: i64,
    pub unheard: i64,
    pub gaps: i64,
    pub gap_legs: i64,
}

/// Live calls of one direction of which no status callback has come.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Silent {
    /// As the provider wrote it; empty if it is not known.
    pub direction: String,
    /// How many.
    pub calls: i64,
}

/// An account that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub struct Suspect {
    /// Whose it is.
    pub tenant: String,
    /// The provider account.
    pub account: String,
}

/// Names a call as the journal does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SubjectKey {
    /// Whose it is.
    pub tenant: String,
    /// Our id of the call.
    pub subject: String,
}

/// What counting needs to know of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `calls::CallRow`")]
pub struct LegRow {
    pub tenant: String,
    pub id: String,
    pub provider_id: String,
    pub account: String,
    pub provider: String,
    pub parent_id: Option<String>,
    pub direction: Option<String>,
}

/// A step in the journal that an ending made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `journal::Entry`")]
pub struct EndingEntry {
    pub tenant: String,
    pub subject: String,
    pub seq: i64,
    pub at_ms: i64,
    pub what: String,
}

/// The door a delivery came through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `deliveries::DeliveryRow`")]
pub struct DoorRow {
    pub tenant: String,
    pub account: String,
    pub id: String,
    pub source: String,
}

/// What a signal said of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `signals::SignalRow`")]
pub struct SaidRow {
    pub tenant: String,
    pub provider_id: String,
    pub account: String,
    pub said: String,
}

/// Whether a pass may add what it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// Yes: nobody else can add the same any more.
    Here,
    /// No: it was counted by another pass, on this node or another one.
    Elsewhere,
}

/// How far the journal is counted: the `seq` of the last entry.
pub async fn cursor(on: impl Into<On<'_>>) -> Result<i64, StoreError> {
    let (seq,): (i64,) = CURSOR.query().fetch_one(on).await?;
    Ok(seq)
}

/// Moves the cursor, if it still stands where the pass began. Of two that began there the second waits for the first
/// one's commit and is told that it came too late.
pub async fn advance(tx: &mut Tx, from: i64, to: i64) -> Result<Advanced, StoreError> {
    let moved = ADVANCE.query().bind(from).bind(to).execute(tx).await?;
    Ok(if moved == 0 { Advanced::Elsewhere } else { Advanced::Here })
}

/// Adds to the figures of the doors (no key twice in `rows`).
pub async fn add_callbacks(tx: &mut Tx, rows: &[CallbackTally]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    ADD_CALLBACKS.over(rows).execute(tx).await.map(drop)
}

/// Adds to the figures of the endings (no key twice in `rows`).
pub async fn add_endings(tx: &mut Tx, rows: &[EndingTally]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    ADD_ENDINGS.over(rows).execute(tx).await.map(drop)
}

/// The calls with these ids of ours.
pub async fn list_legs(on: impl Into<On<'_>>, keys: &[SubjectKey]) -> Result<Vec<LegRow>, StoreError> {
    LIST_LEGS.over(keys).fetch_all(on).await
}

/// The steps of these calls that endings made, in no order.
pub async fn list_ending_entries(on: impl Into<On<'_>>, keys: &[SubjectKey]) -> Result<Vec<EndingEntry>, StoreError> {
    LIST_ENDING_ENTRIES.over(keys).fetch_all(on).await
}

/// The doors that these deliveries came through.
pub async fn list_doors(on: impl Into<On<'_>>, keys: &[DeliveryKey]) -> Result<Vec<DoorRow>, StoreError> {
    LIST_DOORS.over(keys).fetch_all(on).await
}

/// What the signals of these calls said.
pub async fn list_said(on: impl Into<On<'_>>, legs: &[LegRow]) -> Result<Vec<SaidRow>, StoreError> {
    LIST_SAID.over(legs).fetch_all(on).await
}

/// The figures of an account by door, from an hour on.
pub async fn list_callbacks(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    from_ms: i64,
) -> Result<Vec<CallbackSum>, StoreError> {
    LIST_CALLBACKS.query().bind(tenant).bind(account).bind(from_ms).fetch_all(on).await
}

/// The figures of an account by direction, from an hour on.
pub async fn list_endings(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    from_ms: i64,
) -> Result<Vec<EndingSum>, StoreError> {
    LIST_ENDINGS.query().bind(tenant).bind(account).bind(from_ms).fetch_all(on).await
}

/// How many deliveries of an account are in quarantine, also those that came before the account was known here.
pub async fn count_refused(on: impl Into<On<'_>>, tenant: &str, account: &str) -> Result<i64, StoreError> {
    let (refused,): (i64,) = COUNT_REFUSED.query().bind(tenant).bind(account).fetch_one(on).await?;
    Ok(refused)
}

/// The live calls of an account that became due within `due_ms` and of which no status callback has come, by direction.
/// Of all calls that became due then, the `limit` latest are looked at.
pub async fn list_silent(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    due_ms: (i64, i64),
    limit: i64,
) -> Result<Vec<Silent>, StoreError> {
    let query = LIST_SILENT.query().bind(due_ms.0).bind(due_ms.1).bind(limit);
    query.bind(tenant).bind(account).fetch_all(on).await
}

/// Accounts of which at least `min` endings were not called back, or callbacks are missing, from an hour on.
pub async fn list_suspects(
    on: impl Into<On<'_>>,
    from_ms: i64,
    min: i64,
    limit: i64,
) -> Result<Vec<Suspect>, StoreError> {
    LIST_SUSPECTS.query().bind(from_ms).bind(min).bind(limit).fetch_all(on).await
}

/// Accounts with at least `min` live calls as [`list_silent`] counts them.
pub async fn list_silent_suspects(
    on: impl Into<On<'_>>,
    due_ms: (i64, i64),
    looked_max: i64,
    min: i64,
    limit: i64,
) -> Result<Vec<Suspect>, StoreError> {
    let query = LIST_SILENT_SUSPECTS.query().bind(due_ms.0).bind(due_ms.1).bind(looked_max);
    query.bind(min).bind(limit).fetch_all(on).await
}

/// Forgets at most `limit` figures each of doors and of endings from hours before `before_ms`; answers how many.
pub async fn delete_older(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    let callbacks = DELETE_CALLBACKS.query().bind(before_ms).bind(limit).execute(tx).await?;
    Ok(callbacks + DELETE_ENDINGS.query().bind(before_ms).bind(limit).execute(tx).await?)
}

columns!(callback_columns of CallbackTally {
    tenant text, account text, hour_ms int, source text, received int, repeated int, late int, last_received_ms int
});
columns!(ending_columns of EndingTally {
    tenant text, account text, hour_ms int, direction text, called_back int, elsewhere int, reconciled int, unheard int, gaps int,
    gap_legs int
});
columns!(subject_columns of SubjectKey { tenant text, subject text });
columns!(leg_row_columns of LegRow {
    tenant text, id text, provider_id text, account text, provider text, parent_id text, direction text
});
columns!(entry_columns of EndingEntry { tenant text, subject text, seq int, at_ms int, what text });
columns!(door_columns of DoorRow { tenant text, account text, id text, source text });
columns!(said_columns of SaidRow { tenant text, provider_id text, account text, said text });

/// Live calls that became due from $1 to $2, the latest $3, without a delivery of a door that tells endings.
macro_rules! silent {
    () => {
        "(SELECT tenant, provider_id, account, direction FROM call
           WHERE due_at_ms IS NOT NULL AND due_at_ms >= $1 AND due_at_ms <= $2 AND provider = 'twilio'
           ORDER BY due_at_ms DESC LIMIT $3) AS c
         WHERE NOT EXISTS (SELECT 1 FROM delivery AS d
               WHERE d.tenant = c.tenant AND d.provider_id = c.provider_id AND d.account = c.account
                 AND d.source IN ('twilio/status', 'twilio/events'))"
    };
}

statements! {
    CURSOR = both("SELECT seq FROM health_cursor WHERE name = 'callbacks'");
    ADVANCE = both("UPDATE health_cursor SET seq = $2 WHERE name = 'callbacks' AND seq = $1");
    ADD_CALLBACKS = insert(callback_columns into "health_callback":
        "ON CONFLICT (tenant, account, hour_ms, source) DO UPDATE
         SET received = health_callback.received + excluded.received, repeated = health_callback.repeated + excluded.repeated,
             late = health_callback.late + excluded.late, last_received_ms = CASE
                 WHEN excluded.last_received_ms > health_callback.last_received_ms THEN excluded.last_received_ms
                 ELSE health_callback.last_received_ms END");
    ADD_ENDINGS = insert(ending_columns into "health_ending":
        "ON CONFLICT (tenant, account, hour_ms, direction) DO UPDATE
         SET called_back = health_ending.called_back + excluded.called_back,
             elsewhere = health_ending.elsewhere + excluded.elsewhere,
             reconciled = health_ending.reconciled + excluded.reconciled,
             unheard = health_ending.unheard + excluded.unheard, gaps = health_ending.gaps + excluded.gaps,
             gap_legs = health_ending.gap_legs + excluded.gap_legs");
    LIST_LEGS = lookup(subject_columns in "call" as leg_row_columns: "c.tenant = k.tenant AND c.id = k.subject");
    LIST_ENDING_ENTRIES = lookup(subject_columns in "journal" as entry_columns:
        "c.tenant = k.tenant AND c.subject = k.subject AND c.kind = 'call' AND c.what LIKE '%\"claim\":\"ended\"%'");
    LIST_DOORS = lookup(delivery_key_columns in "delivery" as door_columns:
        "c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account AND c.id = k.id");
    LIST_SAID = lookup(leg_row_columns in "signal" as said_columns:
        "c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account");
    LIST_CALLBACKS = both("SELECT source, CAST(sum(received) AS BIGINT) AS received,
            CAST(sum(repeated) AS BIGINT) AS repeated, CAST(sum(late) AS BIGINT) AS late,
            max(last_received_ms) AS last_received_ms
        FROM health_callback WHERE tenant = $1 AND account = $2 AND hour_ms >= $3 GROUP BY source ORDER BY source");
    LIST_ENDINGS = both("SELECT direction, CAST(sum(called_back) AS BIGINT) AS called_back,
            CAST(sum(elsewhere) AS BIGINT) AS elsewhere, CAST(sum(reconciled) AS BIGINT) AS reconciled,
            CAST(sum(unheard) AS BIGINT) AS unheard, CAST(sum(gaps) AS BIGINT) AS gaps,
            CAST(sum(gap_legs) AS BIGINT) AS gap_legs
        FROM health_ending WHERE tenant = $1 AND account = $2 AND hour_ms >= $3 GROUP BY direction ORDER BY direction");
    COUNT_REFUSED = both("SELECT CAST(count(*) AS BIGINT) FROM quarantine
        WHERE account = $2 AND (tenant = $1 OR tenant IS NULL)");
    LIST_SILENT = both("SELECT coalesce(c.direction, '') AS direction, CAST(count(*) AS BIGINT) AS calls FROM ", silent!(),
        " AND c.tenant = $4 AND c.account = $5 GROUP BY coalesce(c.direction, '') ORDER BY coalesce(c.direction, '')");
    LIST_SUSPECTS = both("SELECT tenant, account FROM health_ending WHERE hour_ms >= $1 GROUP BY tenant, account
        HAVING sum(elsewhere + reconciled + unheard) >= CAST($2 AS BIGINT) OR sum(gaps) >= CAST($2 AS BIGINT) ORDER BY tenant, account LIMIT $3");
    LIST_SILENT_SUSPECTS = both("SELECT c.tenant, c.account FROM ", silent!(),
        " GROUP BY c.tenant, c.account HAVING count(*) >= $4 ORDER BY c.tenant, c.account LIMIT $5");
    DELETE_CALLBACKS = both("DELETE FROM health_callback WHERE (tenant, account, hour_ms, source) IN
        (SELECT tenant, account, hour_ms, source FROM health_callback WHERE hour_ms < $1 LIMIT $2)");
    DELETE_ENDINGS = both("DELETE FROM health_ending WHERE (tenant, account, hour_ms, direction) IN
        (SELECT tenant, account, hour_ms, direction FROM health_ending WHERE hour_ms < $1 LIMIT $2)");
}
