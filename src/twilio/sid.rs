//! What Twilio's identifiers look like: two letters for the kind, then 32 hex digits.

/// The shape of one kind of SID.
#[derive(Clone, Copy, Debug)]
pub struct Sid {
    prefix: &'static str,
    /// The shape in words, for messages.
    pub allowed: &'static str,
}

impl Sid {
    /// Whether a text has the shape.
    pub fn fits(self, value: &str) -> bool {
        let hex = |digits: &str| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        value.strip_prefix(self.prefix).is_some_and(hex)
    }
}

/// A call: one leg.
pub const CALL: Sid = Sid { prefix: "CA", allowed: "CA and 32 hex digits" };
/// An account or a sub-account.
pub const ACCOUNT: Sid = Sid { prefix: "AC", allowed: "AC and 32 hex digits" };
/// An API key.
pub const KEY: Sid = Sid { prefix: "SK", allowed: "SK and 32 hex digits" };
/// A report of the Debugger.
pub const ALERT: Sid = Sid { prefix: "NO", allowed: "NO and 32 hex digits" };
