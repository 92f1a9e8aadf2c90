//! How calls are answered: the settings of a tenant, and of its numbers.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// What is set for a number, or for a tenant as a whole. `None` leaves it to the tenant's row, or to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct VoiceRow {
    /// Whose it is.
    pub tenant: String,
    /// The number in E.164; empty: the tenant's own row.
    pub number: String,
    /// The number that dialed parties see, or a word.
    pub caller_id: Option<String>,
    /// Who takes inbound calls, separated by spaces.
    pub connect: Option<String>,
    /// For how long it rings.
    pub timeout_seconds: Option<i64>,
    /// After how long a conversation is cut off.
    pub time_limit_seconds: Option<i64>,
    /// Twilio's word.
    pub record: Option<String>,
    /// Twilio's word.
    pub machine_detection: Option<String>,
    /// Said to the caller before dialing; empty: nothing.
    pub greeting: Option<String>,
    /// Said to the called party before it is connected; empty: nothing.
    pub whisper: Option<String>,
    /// Twilio's name of a voice.
    pub voice: Option<String>,
    /// The language it speaks.
    pub language: Option<String>,
    /// Said to the caller when nobody could be reached; empty: nothing.
    pub unanswered: Option<String>,
    /// Separated by spaces.
    pub allow_prefixes: Option<String>,
    /// Separated by spaces.
    pub only_prefixes: Option<String>,
    /// Separated by spaces.
    pub sip_hosts: Option<String>,
    /// When it was written, in Unix milliseconds.
    pub updated_ms: i64,
}

/// A number that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NumberKey {
    /// Whose it is.
    pub tenant: String,
    /// In E.164; empty: the tenant's own row.
    pub number: String,
}

impl NumberKey {
    /// A number of a tenant.
    pub fn new(tenant: &str, number: &str) -> Self {
        Self { tenant: tenant.to_owned(), number: number.to_owned() }
    }
}

/// Writes what is set for a number, or (number empty) for the tenant; what was set before is gone.
pub async fn put(tx: &mut Tx, row: &VoiceRow) -> Result<(), StoreError> {
    PUT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Forgets what is set for a number, or (number empty) for the tenant; answers how many rows that were (0 or 1).
pub async fn delete(tx: &mut Tx, tenant: &str, number: &str) -> Result<u64, StoreError> {
    DELETE.query().bind(tenant).bind(number).execute(tx).await
}

/// What is set for a number, or (number empty) for the tenant.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, number: &str) -> Result<Option<VoiceRow>, StoreError> {
    FIND.query().bind(tenant).bind(number).fetch_optional(on).await
}

/// What counts for a number: the tenant's row and the number's, as far as they are there, in this order.
pub async fn list_for(on: impl Into<On<'_>>, tenant: &str, number: &str) -> Result<Vec<VoiceRow>, StoreError> {
    LIST_FOR.query().bind(tenant).bind(number).fetch_all(on).await
}

/// What is set for each of several numbers, as far as anything is; in no order.
pub async fn list_of(on: impl Into<On<'_>>, numbers: &[NumberKey]) -> Result<Vec<VoiceRow>, StoreError> {
    LIST_OF.over(numbers).fetch_all(on).await
}

/// A page of the tenant's numbers that have settings of their own, after `after`; empty: from the beginning.
pub async fn list(on: impl Into<On<'_>>, tenant: &str, after: &str, limit: i64) -> Result<Vec<VoiceRow>, StoreError> {
    LIST.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

columns!(voice_columns of VoiceRow {
    tenant text, number text, caller_id text, connect text, timeout_seconds int, time_limit_seconds int, record text,
    machine_detection text, greeting text, whisper text, voice text, language text, unanswered text,
    allow_prefixes text, only_prefixes text, sip_hosts text, updated_ms int
});

columns!(number_keys of NumberKey { tenant text, number text });

statements! {
    PUT = upsert(voice_columns into "voice_setting" by "tenant, number");
    DELETE = both("DELETE FROM voice_setting WHERE tenant = $1 AND number = $2");
    FIND = both("SELECT ", voice_columns!(names), " FROM voice_setting WHERE tenant = $1 AND number = $2");
    LIST_FOR = both("SELECT ", voice_columns!(names), " FROM voice_setting
        WHERE tenant = $1 AND number IN ('', $2) ORDER BY number");
    LIST_OF = lookup(number_keys in "voice_setting" as voice_columns: "c.tenant = k.tenant AND c.number = k.number");
    LIST = both("SELECT ", voice_columns!(names), " FROM voice_setting
        WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3");
}
