//! PBXs: which process listens to which, how that goes, and what is set for them.
//!
//! A PBX is listened to by one process. It holds a lease by the clock of the database (on SQLite: of this machine, which
//! every process that has the file shares), and every claim raises the token: whoever was thought dead finds that out.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A PBX as whoever holds it, or held it last, describes it. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct PbxRow {
    /// Whose it is.
    pub tenant: String,
    /// The account: the name of the PBX.
    pub account: String,
    /// Which process has it, or had it last.
    pub holder: String,
    /// Until when, by the database's clock. Written by claiming, renewing and releasing only.
    pub lease_until_ms: i64,
    /// Grows with each claim: what was written under a smaller one is over.
    pub token: i64,
    /// `connecting`, `syncing`, `connected`, `refused`, `down` or `pushed`.
    pub state: String,
    /// Why, in words.
    pub detail: Option<String>,
    /// Since when it is in that state.
    pub since_ms: i64,
    /// The `systemname` of the PBX.
    pub system_name: Option<String>,
    /// The version of Asterisk.
    pub version: Option<String>,
    /// The version of the manager protocol.
    pub ami_version: Option<String>,
    /// When it began to run.
    pub boot_ms: Option<i64>,
    /// The last byte that was heard of it; what came before is stored.
    pub heard_ms: Option<i64>,
    /// The last message of the world.
    pub event_ms: Option<i64>,
    /// The last complete channel list.
    pub synced_ms: Option<i64>,
    /// How far we are behind its stream.
    pub lag_ms: Option<i64>,
    /// Its clock ahead of ours.
    pub clock_ahead_ms: Option<i64>,
    /// Messages, since the row was made.
    pub events: i64,
    /// Channel lists after a connect, likewise.
    pub resyncs: i64,
    /// Times it was not heard, likewise.
    pub gaps: i64,
    /// Times something it said was dropped because it could not be kept, likewise.
    pub dropped: i64,
    /// Live channels when it was last listed.
    pub channels: Option<i64>,
    /// What people were told is wrong with it.
    pub alarm: Option<String>,
}

/// A PBX, and how long its lease still lasts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LeasedPbx {
    /// The PBX.
    #[sqlx(flatten)]
    pub row: PbxRow,
    /// For how many milliseconds somebody has it; 0 or less: nobody does.
    pub left_ms: i64,
}

/// Who wants to hold which PBX.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// The account.
    pub account: &'a str,
    /// The process.
    pub holder: &'a str,
    /// For how long.
    pub lease_ms: i64,
    /// What state it is in from here on.
    pub state: &'a str,
    /// Since when: now.
    pub now_ms: i64,
}

/// Takes a PBX, unless another process has it. Answers what is known of it, with the new token. A process that has it
/// already gets a new token, too: whatever it does under the old one is over. A lease that ends later than any can was
/// written while a clock was wrong and counts for nothing.
pub async fn claim(tx: &mut Tx, claim: Claim<'_>) -> Result<Option<PbxRow>, StoreError> {
    let Claim { tenant, account, holder, lease_ms, state, now_ms } = claim;
    let query = CLAIM.query().bind(tenant).bind(account).bind(holder).bind(lease_ms).bind(state);
    query.bind(now_ms).fetch_optional(tx).await
}

/// Keeps a PBX for another `lease_ms` from now, and what its holder says of it. `false`: somebody else has taken it.
pub async fn renew(tx: &mut Tx, row: &PbxRow, lease_ms: i64) -> Result<bool, StoreError> {
    Ok(RENEW.over(std::slice::from_ref(row)).bind(lease_ms).execute(tx).await? > 0)
}

/// Lets a PBX go, so that another process takes it at once, and keeps what its holder says of it. `false`: somebody else
/// has taken it.
pub async fn release(tx: &mut Tx, row: &PbxRow) -> Result<bool, StoreError> {
    renew(tx, row, 0).await
}

/// What is known of a PBX.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, account: &str) -> Result<Option<LeasedPbx>, StoreError> {
    FIND.query().bind(tenant).bind(account).fetch_optional(on).await
}

/// A page of the PBXs of a tenant by account, after `after`.
pub async fn list(on: impl Into<On<'_>>, tenant: &str, after: &str, limit: i64) -> Result<Vec<LeasedPbx>, StoreError> {
    LIST.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// A page of the PBXs of all tenants, after `(tenant, account)`.
pub async fn list_all(on: impl Into<On<'_>>, after: (&str, &str), limit: i64) -> Result<Vec<LeasedPbx>, StoreError> {
    LIST_ALL.query().bind(after.0).bind(after.1).bind(limit).fetch_all(on).await
}

/// The PBXs that somebody listens to, or did a moment ago, and that people were told something is wrong with.
pub async fn list_alarmed(on: impl Into<On<'_>>, limit: i64) -> Result<Vec<PbxRow>, StoreError> {
    LIST_ALARMED.query().bind(limit).fetch_all(on).await
}

/// What is set for a PBX beside its address and its user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct PbxSettingRow {
    /// Whose it is.
    pub tenant: String,
    /// The account.
    pub account: String,
    /// The certificates (PEM) that its TLS is checked with in place of the system's.
    pub ca_pem: Option<String>,
    /// The country of numbers that are dialed without a country code (ISO 3166, such as `DE`).
    pub region: Option<String>,
    /// When it was set.
    pub updated_ms: i64,
}

/// What is set for a PBX.
pub async fn find_setting(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
) -> Result<Option<PbxSettingRow>, StoreError> {
    FIND_SETTING.query().bind(tenant).bind(account).fetch_optional(on).await
}

/// A page of what is set for the PBXs of all tenants, after `(tenant, account)`.
pub async fn list_settings(
    on: impl Into<On<'_>>,
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<PbxSettingRow>, StoreError> {
    LIST_SETTINGS.query().bind(after.0).bind(after.1).bind(limit).fetch_all(on).await
}

/// Sets it, whatever was set before.
pub async fn put_setting(tx: &mut Tx, row: &PbxSettingRow) -> Result<(), StoreError> {
    PUT_SETTING.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Takes it away; answers how many rows that were (0 or 1).
pub async fn delete_setting(tx: &mut Tx, tenant: &str, account: &str) -> Result<u64, StoreError> {
    DELETE_SETTING.query().bind(tenant).bind(account).execute(tx).await
}

columns!(pbx_columns of PbxRow {
    tenant text, account text, holder text, lease_until_ms int, token int, state text, detail text, since_ms int,
    system_name text, version text, ami_version text, boot_ms int, heard_ms int, event_ms int, synced_ms int, lag_ms int,
    clock_ahead_ms int, events int, resyncs int, gaps int, dropped int, channels int, alarm text
});
columns!(setting_columns of PbxSettingRow { tenant text, account text, ca_pem text, region text, updated_ms int });

/// The database's clock (see `store::now`).
macro_rules! sqlite_now {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

macro_rules! postgres_now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

/// How much further ahead than a lease lasts one can end: the clocks of two databases, before and after one was set right.
macro_rules! ahead {
    () => {
        "60000"
    };
}

macro_rules! claim {
    ($now:expr) => {
        concat!(
            "INSERT INTO pbx (tenant, account, holder, lease_until_ms, token, state, since_ms, events, resyncs, gaps, dropped)
             VALUES ($1, $2, $3, ", $now, " + $4, 1, $5, $6, 0, 0, 0, 0)
             ON CONFLICT (tenant, account) DO UPDATE SET holder = excluded.holder, token = pbx.token + 1,
                 lease_until_ms = excluded.lease_until_ms, state = excluded.state, since_ms = excluded.since_ms, detail = NULL
             WHERE pbx.holder = excluded.holder OR pbx.lease_until_ms <= ", $now, "
                OR pbx.lease_until_ms > excluded.lease_until_ms + ", ahead!(), "
             RETURNING ", pbx_columns!(names)
        )
    };
}

macro_rules! renew {
    ($now:expr, $lease:expr, $rows:expr) => {
        concat!(
            "UPDATE pbx SET lease_until_ms = ", $now, " + ", $lease, ", state = k.state, detail = k.detail,
                 since_ms = k.since_ms, system_name = k.system_name, version = k.version, ami_version = k.ami_version,
                 boot_ms = k.boot_ms, heard_ms = k.heard_ms, event_ms = k.event_ms, synced_ms = k.synced_ms,
                 lag_ms = k.lag_ms, clock_ahead_ms = k.clock_ahead_ms, events = k.events, resyncs = k.resyncs,
                 gaps = k.gaps, dropped = k.dropped, channels = k.channels, alarm = k.alarm
             FROM ", $rows, "
             WHERE pbx.tenant = k.tenant AND pbx.account = k.account AND pbx.holder = k.holder AND pbx.token = k.token"
        )
    };
}

macro_rules! leased {
    ($now:expr, $which:expr) => {
        concat!("SELECT ", pbx_columns!(names), ", lease_until_ms - ", $now, " AS left_ms FROM pbx WHERE ", $which)
    };
}

macro_rules! alarmed {
    ($now:expr) => {
        concat!(
            "SELECT ",
            pbx_columns!(names),
            " FROM pbx WHERE alarm IS NOT NULL AND lease_until_ms > ",
            $now,
            " - ",
            ahead!(),
            " ORDER BY tenant, account LIMIT $1"
        )
    };
}

statements! {
    CLAIM = split(claim!(sqlite_now!()), claim!(postgres_now!()));
    RENEW = split(renew!(sqlite_now!(), "$2", pbx_columns!(sqlite_rows)),
        renew!(postgres_now!(), "$24", pbx_columns!(postgres_rows)));
    FIND = split(leased!(sqlite_now!(), "tenant = $1 AND account = $2"),
        leased!(postgres_now!(), "tenant = $1 AND account = $2"));
    LIST = split(leased!(sqlite_now!(), "tenant = $1 AND account > $2 ORDER BY account LIMIT $3"),
        leased!(postgres_now!(), "tenant = $1 AND account > $2 ORDER BY account LIMIT $3"));
    LIST_ALL = split(leased!(sqlite_now!(), "(tenant, account) > ($1, $2) ORDER BY tenant, account LIMIT $3"),
        leased!(postgres_now!(), "(tenant, account) > ($1, $2) ORDER BY tenant, account LIMIT $3"));
    LIST_ALARMED = split(alarmed!(sqlite_now!()), alarmed!(postgres_now!()));
    FIND_SETTING = both("SELECT ", setting_columns!(names), " FROM pbx_setting WHERE tenant = $1 AND account = $2");
    LIST_SETTINGS = both("SELECT ", setting_columns!(names), " FROM pbx_setting
        WHERE (tenant, account) > ($1, $2) ORDER BY tenant, account LIMIT $3");
    PUT_SETTING = upsert(setting_columns into "pbx_setting" by "tenant, account");
    DELETE_SETTING = both("DELETE FROM pbx_setting WHERE tenant = $1 AND account = $2");
}
