//! A refused delivery: what is kept of it, and why it was refused.

use crate::{
    domain::{refusal::Reason, time::Millis},
    event_batch::Bad,
    store::quarantine::QuarantineRow,
    twilio::{door::Door, signature::Verdict},
};
use sha2::{Digest, Sha256};

/// Why a verdict refuses; `None` if it does not.
pub const fn reason_of(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Verified => None,
        Verdict::Missing => Some(Reason::SignatureMissing),
        Verdict::Malformed => Some(Reason::SignatureMalformed),
        Verdict::Mismatch => Some(Reason::SignatureMismatch),
    }
}

/// A refused delivery, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is; `None`: nobody has the account.
    pub tenant: Option<String>,
    /// The account it claims to be of.
    pub account: Option<String>,
    /// The door it came to.
    pub door: Door,
    /// `POST` or `GET`.
    pub method: String,
    /// Path and query from the request line, raw.
    pub path_and_query: String,
    /// The `Host` header.
    pub host: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `X-Twilio-Signature` header.
    pub signature: Option<String>,
    /// The raw body; of what was set aside of a batch the entry alone.
    pub body: Vec<u8>,
    /// Whether it is an entry of a batch: what proves it is of the whole batch.
    pub entry: bool,
    /// The address it came from.
    pub client: Option<String>,
    /// Whether what brought it was verified: then it was refused for what it says.
    pub verified: bool,
    /// Why it was refused.
    pub reason: Reason,
    /// The same, for the person on call.
    pub detail: String,
    /// When it came, in Unix milliseconds.
    pub received_ms: Millis,
}

impl Refused {
    /// An entry that is set aside of a batch that is redriven as a whole.
    pub(super) fn entry_of(row: &QuarantineRow, bad: &Bad<'_>, verified: bool) -> Option<Self> {
        Some(Self {
            tenant: row.tenant.clone(),
            account: bad.account.clone().or_else(|| row.account.clone()),
            door: row.source.parse().ok()?,
            method: row.method.clone(),
            path_and_query: row.path_and_query.clone(),
            host: row.host.clone(),
            content_type: row.content_type.clone(),
            signature: row.signature.clone(),
            body: bad.raw.to_owned(),
            entry: true,
            client: row.client.clone(),
            verified,
            reason: bad.reason,
            detail: bad.detail.clone(),
            received_ms: row.received_ms,
        })
    }

    /// Whether it is longer than anything a provider sends: such a one is not kept.
    pub(super) fn is_too_long(&self) -> bool {
        let headers = [&self.host, &self.content_type, &self.signature];
        let header_bytes: usize = headers.into_iter().flatten().map(String::len).sum();
        self.path_and_query.len() + header_bytes > HEAD_BYTES_MAX
    }

    /// The row to store. The id is a digest of what came, so that a repetition has the same one.
    pub(super) fn row(self) -> QuarantineRow {
        let account = self.account.map(|account| printable(&account, ACCOUNT_CHARS_MAX));
        let detail = printable(&self.detail, DETAIL_CHARS_MAX);
        let texts = [
            Some(self.door.as_str()),
            Some(&self.method),
            Some(&self.path_and_query),
            self.host.as_deref(),
            self.content_type.as_deref(),
            self.signature.as_deref(),
        ];
        let entry = self.entry;
        let mut digest = Sha256::new();
        // A stranger may send the entry alone: that is another row.
        digest.update([u8::from(entry)]);
        let mut bytes = ROW_BYTES;
        for part in texts.into_iter().map(|text| text.unwrap_or_default().as_bytes()).chain([self.body.as_slice()]) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
            bytes += part.len();
        }
        let digest = hex::encode(digest.finalize());
        QuarantineRow {
            id: format!("{ID_PREFIX}{}", digest.get(..ID_HEX_LEN).unwrap_or(&digest)),
            tenant: self.tenant,
            account,
            source: self.door.as_str().to_owned(),
            method: self.method,
            path_and_query: self.path_and_query,
            host: self.host,
            content_type: self.content_type,
            signature: self.signature,
            body: self.body,
            client: self.client,
            verified: self.verified,
            entry,
            reason: self.reason.as_str().to_owned(),
            detail,
            received_ms: self.received_ms,
            last_ms: self.received_ms,
            times: 1,
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }
}

/// A text from a stranger as it may be stored and shown.
fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

const ID_PREFIX: &str = "qua_";
/// 128 bits of the digest.
const ID_HEX_LEN: usize = 32;
/// Request line and headers; a query of Twilio's has some kilobytes at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What a row takes beside what came, about.
const ROW_BYTES: usize = 300;
/// An AccountSid has 34.
const ACCOUNT_CHARS_MAX: usize = 60;
const DETAIL_CHARS_MAX: usize = 500;
