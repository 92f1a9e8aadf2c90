//! Outbound runs: made, started, leased, dialed, and ended when nobody dials them any more.
//!
//! The [`Desk`] is where everybody changes a run: REST, the command line, the user's own dialer and ours. Each change is one
//! transaction under the lock of its tenant, by the database's clock, and a worker's change holds only under the token of
//! its lease.

use crate::{
    clock::SharedClock,
    directory::Directory,
    domain::{run::Patience, time::Millis},
    fields::Wrong,
    store::{Db, StoreError},
};
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex};

/// What the desk works with.
#[derive(Debug)]
pub struct DeskParts {
    /// The database.
    pub db: Db,
    /// The time of everything that is no lease.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub rng: StdRng,
    /// Which accounts there are.
    pub directory: Arc<Directory>,
    /// The settings.
    pub rules: RunRules,
}

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRules {
    /// When a run is stale, and when it has failed.
    pub patience: Patience,
    /// Calls at once from one account, by all runs.
    pub account_calls_max: i64,
    /// Calls at once of one tenant, by all runs.
    pub tenant_calls_max: i64,
    /// After how long a request whose answer is lost is looked for.
    pub look_for_after_ms: Millis,
    /// The country of numbers without a country code.
    pub region: Option<String>,
}

/// Where runs are changed. Clones share everything.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: Db,
    clock: SharedClock,
    rng: Mutex<StdRng>,
    directory: Arc<Directory>,
    rules: RunRules,
}

impl Desk {
    /// A desk.
    pub fn new(parts: DeskParts) -> Self {
        let DeskParts { db, clock, rng, directory, rules } = parts;
        Self(Arc::new(Shared { db, clock, rng: Mutex::new(rng), directory, rules }))
    }
}

/// Why something could not be done to a run. The fragments complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none with this id in the tenant.
    #[error("find the {what} {id:?}")]
    NotFound {
        /// `run` or `job`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// Something is wrong with what was sent.
    #[error("read what was sent")]
    Fields(Vec<Wrong>),
    /// Somebody else has the lease.
    #[error("take the lease: {holder} has it for another {left_ms} ms")]
    LeaseHeld {
        /// Who.
        holder: String,
        /// For how long.
        left_ms: Millis,
    },
    /// The token is not that of the lease any more.
    #[error("go on under this token: the lease was lost; claim again")]
    LeaseLost,
    /// The run, or the job, is in a state in which this cannot be done.
    #[error("{0}")]
    State(String),
}
