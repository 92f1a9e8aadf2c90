//! What a backfill came to.

use serde::Serialize;
use utoipa::ToSchema;

/// A call as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Found {
    /// The provider's id of it.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    pub provider_id: String,
    /// What it is there.
    #[schema(example = "completed")]
    pub status: String,
    /// Where it came from.
    #[schema(example = "outbound-api")]
    pub direction: Option<String>,
    /// When it started; `null` while it is queued.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
}

/// What a backfill came to for one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountBackfill {
    /// The provider account.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    pub account: String,
    /// How many calls the provider listed.
    pub listed: u64,
    /// Of these: how many were known already.
    pub known: u64,
    /// Of these: how many nobody had told us of.
    pub found_count: u64,
    /// Those; at most 1,000, `found_count` counts all.
    pub found: Vec<Found>,
    /// How many known calls have an ending now that they lacked: they lived as far as we knew, or had been given up.
    pub ended_count: u64,
    /// Those; at most 1,000.
    pub ended: Vec<Found>,
    /// How many of both were written; none by a dry run.
    pub submitted: u64,
    /// Set if there are older ones that were not listed: ask again with this as `until`.
    #[schema(format = DateTime)]
    pub cut_at: Option<String>,
    /// Why it could not be asked, or not everything be written; doing it again is safe.
    pub trouble: Option<String>,
}

/// What a backfill came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Backfilled)]
pub struct BackfillReport {
    /// Whether it only looked.
    pub dry_run: bool,
    /// From when on calls were listed.
    #[schema(format = DateTime)]
    pub since: String,
    /// Before when they started; `null`: until now.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Account by account.
    pub accounts: Vec<AccountBackfill>,
}
