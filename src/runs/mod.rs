//! Outbound runs: made, started, leased, dialed, and ended when nobody dials them any more.
//!
//! The [`Desk`] is where everybody changes a run: REST, the command line, the user's own dialer and ours. Each change is one
//! transaction under the lock of its tenant, by the database's clock, and a worker's change holds only under the token of
//! its lease.

mod control;
mod create;
mod dialing;
pub mod do_not_call;
mod hand_out;
mod hanging_up;
mod import;
mod lease;
mod observe;
mod read;
mod reap;
mod report;
mod settle;
mod show;
mod tell;
mod text;
mod turn;
mod twilio;

pub use crate::table::{Format, RowError};
pub use control::ForceCancelled;
pub use create::Created;
pub use dialing::{Dialing, DialingPace, DialingParts};
pub use hanging_up::{HangUpParts, HangingUp};
pub use import::{Imported, JOBS_MAX, Jobs};
pub use lease::{Beat, ClaimText, Claimed, Lease, Taken};
pub use observe::RunObserver;
pub use reap::Reaped;
pub use report::{PlacedFrom, ReportState, ReportText, Reported, tell_placed};
pub use show::{Active, Counts, Outcomes, Shown};
pub use tell::{Change, RunTold};
pub use text::{JobText, RetryText, RunText};
pub use twilio::{TwilioDialer, TwilioParts};

use crate::{
    clock::SharedClock,
    directory::Directory,
    domain::{phone::mask_numbers, run::Patience, time::Millis},
    fields::Wrong,
    store::{Db, StoreError, runs::RunRow},
    telemetry::Metrics,
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
    /// Where it is counted.
    pub metrics: Metrics,
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

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By<'a> {
    /// To whose run.
    pub tenant: &'a str,
    /// Who: `key:<id>`, `cli`, `node:<id>`.
    pub actor: &'a str,
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
    metrics: Metrics,
}

impl Desk {
    /// A desk.
    pub fn new(parts: DeskParts) -> Self {
        let DeskParts { db, clock, rng, directory, rules, metrics } = parts;
        Self(Arc::new(Shared { db, clock, rng: Mutex::new(rng), directory, rules, metrics }))
    }

    /// The settings it works by.
    pub fn rules(&self) -> &RunRules {
        &self.0.rules
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
    /// More jobs at once than a run can have.
    #[error("take more than {JOBS_MAX} jobs for one run; make several runs")]
    TooManyJobs,
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
    /// It cannot be said now which accounts there are.
    #[error("read the accounts: the database is away")]
    Away,
}

/// What cannot be done to a run because of how it stands.
fn refused(row: &RunRow, why: &str) -> RunError {
    RunError::State(format!("do that: the run {} {why}", row.id))
}

/// What went wrong, as it is kept: one line, not too long, without the numbers of people.
fn in_short(why: &str) -> String {
    let line: String = mask_numbers(why).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.get(..line.floor_char_boundary(ERROR_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// How much is kept of what went wrong.
const ERROR_BYTES_MAX: usize = 500;
