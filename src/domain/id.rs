//! Identifiers: which tenant, which leg, and ids of our own.

use super::time::Millis;
use serde::{Deserialize, Serialize};

/// The tenant every installation starts with.
pub const DEFAULT_TENANT: &str = "default";

/// A leg as the provider knows it. With the tenant it is the natural key of a call row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Leg {
    /// The provider's id of the leg: a Twilio CallSid, an Asterisk Linkedid or Uniqueid.
    pub provider_id: String,
    /// The provider account (Twilio AccountSid, name of a PBX) that owns it.
    pub account: String,
}

/// A new id of ours: a prefix and a ULID, so ids sort by the time they were made.
/// `randomness` comes from the caller; the domain has none of its own.
pub fn new_id(prefix: &str, now: Millis, randomness: u128) -> String {
    let ulid = ulid::Ulid::from_parts(u64::try_from(now).unwrap_or(0), randomness);
    format!("{prefix}_{ulid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let (a, b) = (new_id("call", 1, u128::MAX), new_id("call", 2, 0));
        assert!(a < b, "{a} {b}");
        assert!(a.starts_with("call_"));
        assert_eq!(a.len(), "call_".len() + 26);
        assert_ne!(new_id("call", 1, 1), new_id("call", 1, 2));
        assert_eq!(new_id("x", -5, 0), new_id("x", 0, 0));
    }
}
