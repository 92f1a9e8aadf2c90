//! Outbound runs: what may happen to a run and to its jobs, and when a run that claims to be alive is not.
//!
//! ```text
//! run:  pending ─start─▶ running ⇄ paused        job:  queued ─▶ placing ─▶ placed ─▶ live ─▶ done
//!                          │  └──cancel──▶ cancelling        ▲        │  └──────▶ unknown     │
//!                          ▼                  │              └────────┴────── retry ──────────┘
//!              completed · failed · cancelled ◀              cancelled (from queued, placing) · failed
//! ```
//!
//! A run is dialed by whoever has its lease, under a fencing token that only ever grows. A job takes a slot before its
//! provider is asked and gives it back when its call has ended, or it is known or decided that there is none.

use super::{
    call::Row,
    state::{Outcome, Resolution, Status},
    time::{MINUTE, Millis, SECOND},
    words,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

words! {
    /// How it stands with a run.
    pub enum RunState {
        /// It is made, and not started.
        Pending = "pending",
        /// It is being dialed.
        Running = "running",
        /// Nothing more is placed until it is resumed.
        Paused = "paused",
        /// It is being cancelled: nothing more is placed, and what is under way ends.
        Cancelling = "cancelling",
        /// No job is left to be placed, and no call is under way.
        Completed = "completed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// Jobs could be placed, and nobody did for too long.
        Failed = "failed",
    }
}

impl RunState {
    /// Whether nothing can happen to it any more.
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Paused | Self::Cancelling => false,
            Self::Completed | Self::Cancelled | Self::Failed => true,
        }
    }
}

words! {
    /// How it stands with a job.
    pub enum JobState {
        /// It waits for its turn, or for its next attempt.
        Queued = "queued",
        /// The provider is being asked for the call; whether there is one is not known yet.
        Placing = "placing",
        /// The provider has the call in its queue.
        Placed = "placed",
        /// The call is being made, rings, or is answered.
        Live = "live",
        /// Its call has ended, and there is no further attempt.
        Done = "done",
        /// Whether there was a call cannot be found out. Never dialed again by itself.
        Unknown = "unknown",
        /// It was cancelled before it was placed, or its number must not be called.
        Cancelled = "cancelled",
        /// It could not be placed.
        Failed = "failed",
    }
}

impl JobState {
    /// Whether a call of it is, or may be, under way.
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Placing | Self::Placed | Self::Live => true,
            Self::Queued | Self::Done | Self::Unknown | Self::Cancelled | Self::Failed => false,
        }
    }

    /// Whether nothing more happens to it by itself.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Placing | Self::Placed | Self::Live => false,
            Self::Done | Self::Unknown | Self::Cancelled | Self::Failed => true,
        }
    }
}

words! {
    /// Who dials a run.
    pub enum Worker {
        /// onhook does.
        Internal = "internal",
        /// The user's own dialer does, by claims, heartbeats and reports.
        External = "external",
    }
}

/// How a run is dialed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The number that called parties see.
    pub from: Option<String>,
    /// Twilio: what is done with an answered call, as TwiML.
    pub twiml: Option<String>,
    /// Twilio: where TwiML is asked for once a call is answered.
    pub url: Option<String>,
    /// Twilio: whom an answered call is put through to, through our own voice door.
    pub connect: Vec<String>,
    /// Asterisk: what is dialed, with `{to}` in it, such as `PJSIP/{to}@trunk`.
    pub channel: Option<String>,
    /// Asterisk: where an answered call goes on in the dialplan.
    pub context: Option<String>,
    /// Asterisk: the extension of that context.
    pub extension: Option<String>,
    /// For how long it rings, in seconds.
    pub timeout_seconds: Option<u32>,
    /// After how many seconds a call is cut off.
    pub time_limit_seconds: Option<u32>,
    /// Twilio: `Enable` or `DetectMessageEnd`.
    pub machine_detection: Option<String>,
    /// When a job is tried again.
    pub retry: Retry,
}

/// When a job is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Attempts in all.
    pub attempts_max: u32,
    /// After calls that ended so, and the provider said so.
    pub on: BTreeSet<Outcome>,
    /// How long after the end of one the next attempt is made, in seconds.
    pub after_seconds: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 1, on: BTreeSet::from([Outcome::Busy, Outcome::NoAnswer]), after_seconds: 15 * 60 }
    }
}

/// What decides whether a run is alive. All times are the database's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// How it stands.
    pub state: RunState,
    /// Since when it is running, or running again.
    pub started_ms: Millis,
    /// The last heartbeat under any lease since then.
    pub beat_ms: Option<Millis>,
    /// When a job was placed last, or it was last seen that none could be.
    pub progress_ms: Option<Millis>,
    /// Since when a job could be placed: one is due, the pace allows it, a slot is free. `None`: none could be now.
    pub placeable_ms: Option<Millis>,
}

/// How alive a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Somebody works on it, or the first heartbeat is not due yet, or there is nothing to do.
    Fresh,
    /// Nobody has given a sign for too long, or nobody places what could be placed: others may take it over.
    Stale,
    /// A job could be placed, and was not, for so long that the run has failed.
    Dead,
}

/// After how long without what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without a heartbeat, or without progress that could be made: stale.
    pub stale_ms: Millis,
    /// Without progress that could be made: failed.
    pub fail_ms: Millis,
}

/// How alive a run is that is `running` or `cancelling`; every other one is [`Health::Fresh`].
pub fn health(signs: &Signs, patience: Patience, now_ms: Millis) -> Health {
    if !matches!(signs.state, RunState::Running | RunState::Cancelling) {
        return Health::Fresh;
    }
    let since = |at: Millis| now_ms.saturating_sub(at.max(signs.started_ms));
    let silent_ms = since(signs.beat_ms.unwrap_or(signs.started_ms));
    let placeable = signs.placeable_ms.filter(|_| signs.state == RunState::Running);
    let idle_ms = placeable.map_or(0, |at| since(at.max(signs.progress_ms.unwrap_or(signs.started_ms))));
    if idle_ms >= patience.fail_ms {
        Health::Dead
    } else if silent_ms >= patience.stale_ms || idle_ms >= patience.stale_ms {
        Health::Stale
    } else {
        Health::Fresh
    }
}

/// What a call means for its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Nothing.
    Nothing,
    /// The job is now so; with an outcome if its call has ended.
    Becomes(JobState),
    /// Its call has ended, and it is tried again not before this moment.
    Again {
        /// By the clock of whoever reads the call.
        due_ms: Millis,
    },
    /// The call must not be: the job is over, or has another call. It is to be hung up.
    Stray(&'static str),
}

/// A job as far as a call of it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed<'a> {
    /// How it stands.
    pub state: JobState,
    /// The attempt it is at.
    pub attempt: i64,
    /// The call of that attempt, if it is known.
    pub provider_id: Option<&'a str>,
    /// Whether its run may still dial: neither cancelling nor ended.
    pub may_retry: bool,
}

/// A root call that names a job.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The provider's id of it.
    pub provider_id: &'a str,
    /// The attempt it names.
    pub attempt: i64,
    /// How it reads now.
    pub call: &'a Row,
}

/// What it means for a job that a root call of one of its attempts now reads so. Of another attempt than the
/// present one nothing is learned. A job that waits for its next attempt is decided anew: the ending may be corrected.
/// Endings that were inferred, estimated or set by hand are never tried again.
pub fn follow(job: &Followed<'_>, seen: &Seen<'_>, retry: &Retry, now_ms: Millis) -> Follow {
    if seen.attempt != job.attempt {
        return Follow::Nothing;
    }
    let ended = seen.call.status.is_ended();
    if job.provider_id.is_some_and(|id| id != seen.provider_id) {
        return if ended { Follow::Nothing } else { Follow::Stray("another call of the same attempt is known") };
    }
    match job.state {
        JobState::Cancelled | JobState::Failed if ended => Follow::Nothing,
        JobState::Cancelled => Follow::Stray("its job was cancelled"),
        JobState::Failed => Follow::Stray("its job has failed"),
        _ if ended => after(job, seen, retry, now_ms),
        JobState::Placing | JobState::Placed if seen.call.status == Status::Queued => Follow::Becomes(JobState::Placed),
        JobState::Queued
        | JobState::Placing
        | JobState::Placed
        | JobState::Live
        | JobState::Done
        | JobState::Unknown => Follow::Becomes(JobState::Live),
    }
}

/// A call of a job that has ended.
fn after(job: &Followed<'_>, seen: &Seen<'_>, retry: &Retry, now_ms: Millis) -> Follow {
    // What nobody was told may be wrong: calling again on a guess would call somebody twice.
    let is_told = match seen.call.resolution {
        // The provider's own word, also where it named no time that can be believed.
        Some(Resolution::Callback) => true,
        // The same, or a channel list that lacked the call: then nobody said how it ended, and the end is an estimate.
        Some(Resolution::Reconciled) => !seen.call.estimated,
        Some(Resolution::Manual | Resolution::Inferred) | None => false,
    };
    let may_retry = job.may_retry && job.attempt < i64::from(retry.attempts_max);
    // A job that is over stays over; it is only known better how.
    let is_open = !job.state.is_final();
    if is_open && is_told && may_retry && outcome(seen.call.status).is_some_and(|outcome| retry.on.contains(&outcome)) {
        return Follow::Again { due_ms: now_ms.saturating_add(i64::from(retry.after_seconds) * SECOND) };
    }
    Follow::Becomes(JobState::Done)
}

fn outcome(status: Status) -> Option<Outcome> {
    status.as_str().parse().ok()
}

/// The provider's id of a call where we choose it (Asterisk's `ChannelId`): never the same for two attempts.
pub fn call_id(job_id: &str, attempt: i64) -> String {
    format!("{job_id}-{attempt}")
}

/// The job and the attempt that such an id names. `None`: it is none of ours.
pub fn of_call_id(provider_id: &str) -> Option<(&str, i64)> {
    let (job_id, attempt) = provider_id.rsplit_once('-')?;
    let made = job_id.strip_prefix("job_")?;
    let is_ours = made.len() == ULID_BYTES && made.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    let attempt: i64 = attempt.parse().ok().filter(|attempt| *attempt >= 1)?;
    (is_ours && call_id(job_id, attempt) == provider_id).then_some((job_id, attempt))
}

const ULID_BYTES: usize = 26;

/// After which time a request whose answer is lost is looked for at the provider.
pub const LOOK_FOR_AFTER_MS: Millis = 2 * MINUTE;
/// Between two heartbeats of whoever dials.
pub const BEAT_EVERY_MS: Millis = 2 * SECOND;

#[cfg(test)]
mod tests;
