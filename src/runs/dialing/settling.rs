//! What a provider answered is made durable: at once, or when the database is back. It is a fact about the job, whoever has
//! the run by then.

use super::{ANSWER_WITHIN, Shared, grip::Grip, placing::Answer};
use crate::{
    domain::{
        retry::Backoff,
        time::{MINUTE, Millis, SECOND},
    },
    ingest::SubmitError,
    provider::{Order, Placed},
    runs::{RunError, tell_placed},
    store::StoreError,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Whether it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is, or the job is over.
    Durable,
    /// It is not, and will not be by us.
    Not,
}

/// Why it is not, this time.
enum Failed {
    /// The database is away, or more waits than can be taken.
    Passing(String),
    /// It will not help to try again.
    Lasting(String),
}

/// Tries until it is durable, or for [`TRIED_FOR_MS`].
pub(super) async fn settle(grip: &Grip, order: &Order, answer: &Answer) -> Settled {
    let (mut failures, mut waited_ms) = (0_u32, 0);
    let (tenant, run, job) = (&grip.run.tenant, &grip.run.id, &order.job_id);
    loop {
        let why = match once(grip, order, answer).await {
            Ok(()) => return Settled::Durable,
            Err(Failed::Passing(why)) if waited_ms < TRIED_FOR_MS => why,
            Err(Failed::Passing(why) | Failed::Lasting(why)) => {
                tracing::error!(tenant, run, job, "failed to {why}; what the provider answered is looked for later");
                return Settled::Not;
            }
        };
        if failures == 0 {
            tracing::warn!(tenant, run, job, "failed to {why}; what the provider answered is kept and written later");
        }
        failures = failures.saturating_add(1);
        let pause_ms = BACKOFF.delay_ms(failures, grip.shared.jitter());
        waited_ms = waited_ms.saturating_add(pause_ms);
        sleep(Duration::from_millis(pause_ms.unsigned_abs())).await;
    }
}

async fn once(grip: &Grip, order: &Order, answer: &Answer) -> Result<(), Failed> {
    let (shared, lease) = (&grip.shared, &grip.lease);
    let (tenant, job, token) = (&lease.tenant, &order.job_id, lease.token);
    let taking = (order.attempt, order.placing_ms);
    let desk = &shared.desk;
    let written = async {
        match answer {
            Answer::Placed(Placed::Accepted(provider_id)) => return tell(shared, grip, order, provider_id).await,
            Answer::Placed(Placed::Refused(why)) => desk.refuse(tenant, job, taking, token, why).await,
            Answer::Placed(Placed::Lost(why)) => desk.lose(tenant, job, taking, token, why).await,
            Answer::Placed(Placed::NotNow(trouble)) => {
                desk.give_back(lease, job, taking, &format!("failed to {}", trouble.detail)).await
            }
            Answer::Unsent(why) => desk.give_back(lease, job, taking, why).await,
        }
        .map(drop)
        .or_else(read)
    };
    let late = || Failed::Passing(StoreError::timed_out(ANSWER_WITHIN).to_string());
    timeout(ANSWER_WITHIN, written).await.unwrap_or_else(|_| Err(late()))
}

/// The provider has the call: the job follows it from here on.
async fn tell(shared: &Shared, grip: &Grip, order: &Order, provider_id: &str) -> Result<(), Failed> {
    let submission = tell_placed(grip.lease.placed_from(), order, provider_id, shared.clock.now_ms());
    match shared.ingest.submit(submission).await {
        Ok(_) => Ok(()),
        Err(error @ (SubmitError::Full | SubmitError::Unavailable(_))) => Err(Failed::Passing(error.to_string())),
        Err(error @ (SubmitError::Stopped | SubmitError::Refused(_))) => Err(Failed::Lasting(error.to_string())),
    }
}

fn read(error: RunError) -> Result<(), Failed> {
    match error {
        RunError::Store(error) if error.may_pass() => Err(Failed::Passing(error.to_string())),
        RunError::Away => Err(Failed::Passing(error.to_string())),
        // The job, or its run, is over or gone: there is nothing to be written.
        RunError::NotFound { .. } | RunError::State(_) => Ok(()),
        error => Err(Failed::Lasting(error.to_string())),
    }
}

/// After so long it is left to the callbacks and to whoever looks for it.
const TRIED_FOR_MS: Millis = 15 * MINUTE;
const BACKOFF: Backoff = Backoff { first_ms: SECOND / 5, max_ms: 10 * SECOND };
