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

/// The smallest id with this prefix that can be made at this moment: ids from there on were made then or later.
pub fn first_id(prefix: &str, at: Millis) -> String {
    new_id(prefix, at.clamp(0, ULID_MS_MAX), 0)
}

/// The last moment that an id can name, in the year 10889.
const ULID_MS_MAX: Millis = (1 << 48) - 1;

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

    #[test]
    fn the_first_id_of_a_moment_divides_before_from_after() {
        assert!(new_id("call", 41, u128::MAX) < first_id("call", 42));
        assert!(first_id("call", 42) <= new_id("call", 42, 0));
        assert!(first_id("call", Millis::MIN) <= new_id("call", 0, 0));
        assert!(first_id("call", Millis::MAX) > new_id("call", 1_767_323_045_000, u128::MAX));
    }
}
