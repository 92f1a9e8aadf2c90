//! Requests whose answers are lost: after a while the provider is asked for their calls, by any process that can ask it.
//!
//! A call that was made meanwhile tells of itself, and its job is not lost any more. What the provider has exactly one
//! unclaimed call for is that call. What stays unclear is `unknown`: nobody is called twice on a guess.

use super::{ANSWER_WITHIN, Shared};
use crate::{
    ami,
    domain::{
        run::{JobState, Settings},
        signal::{Field, Link, LinkRank, Signal},
        time::{DAY, Millis},
    },
    ingest::Submission,
    provider::{Dialer, Found, Order, Reach, Trouble, TroubleKind},
    runs::{PlacedFrom, RunError, tell_placed},
    store::{
        StoreError,
        jobs::{self, JobRow},
        now, rivals,
        runs::RunRow,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// Looks for all that are lost for long enough.
pub(super) async fn resolve(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let now_ms = now::for_leases(&shared.db, &*shared.clock).await?;
    let before_ms = now_ms.saturating_sub(shared.desk.rules().look_for_after_ms);
    let lost = jobs::list_lost(&shared.db, before_ms, LOST_MAX).await?;
    let mut runs: BTreeMap<(String, String), Vec<JobRow>> = BTreeMap::new();
    for job in lost {
        runs.entry((job.tenant.clone(), job.run_id.clone())).or_default().push(job);
    }
    let permits = Arc::new(Semaphore::new(RUNS_AT_ONCE));
    let mut passes = JoinSet::new();
    for jobs in runs.into_values() {
        let (shared, permits) = (shared.clone(), permits.clone());
        passes.spawn(async move {
            let _permit = permits.acquire_owned().await;
            // One after the other: the call that was found for one is claimed when the next is looked for.
            for job in jobs {
                let (tenant, run, id) = (job.tenant.clone(), job.run_id.clone(), job.id.clone());
                match one(&shared, job, now_ms).await {
                    Ok(Next::Job) => {}
                    Ok(Next::Run) => return,
                    Err(why) => tracing::warn!(tenant, run, job = id, "failed to {why}; its call is looked for again"),
                }
            }
        });
    }
    while let Some(done) = passes.join_next().await {
        if let Err(panic) = done {
            tracing::error!(%panic, "looking for lost answers of a run broke; it is done again");
        }
    }
    Ok(())
}

/// What is looked for next.
enum Next {
    /// The next job of the run.
    Job,
    /// Nothing of this run: its provider cannot be asked now.
    Run,
}

async fn one(shared: &Shared, job: JobRow, now_ms: Millis) -> Result<Next, RunError> {
    let Some((run, order)) = shared.desk.order_of(&job).await? else { return Ok(Next::Job) };
    // It was placed, and whoever took that report died before the door was told: it is told now.
    if let Some(call) = job.provider_id.as_ref().filter(|_| job.state == JobState::Placed.as_str()) {
        let from = PlacedFrom { tenant: &run.tenant, provider: &run.provider, account: &run.account };
        let told = tell_placed(from, &order, call, shared.clock.now_ms());
        shared.ingest.submit(told).await.map_err(|error| RunError::State(error.to_string()))?;
        return Ok(Next::Job);
    }
    let since_ms = job.lost_ms.or(job.placing_ms).unwrap_or(job.updated_ms);
    let is_over = now_ms.saturating_sub(since_ms) >= LOOKED_FOR_MS;
    let taking = (order.attempt, order.placing_ms);
    let unknown = async |why: &str| shared.desk.settle_unknown(&job.tenant, &job.id, taking, why).await.map(drop);
    let reach = shared.exchange.reach(&run.tenant, &run.provider, &run.account);
    let asked = match timeout(ANSWER_WITHIN, reach).await.unwrap_or_else(|_| Err(late())) {
        Ok(Reach::Here(dialer)) => find(shared, &*dialer, &run.tenant, &order).await?,
        Ok(Reach::Elsewhere) if !is_over => return Ok(Next::Run),
        Ok(Reach::Elsewhere) => Err(Trouble { kind: TroubleKind::Unreachable, detail: ELSEWHERE.to_owned() }),
        Err(trouble) => Err(trouble),
    };
    match asked {
        Ok(Found::Call(_)) if has_rival(shared, &job, &run, &order).await? => unknown(RIVALS).await.map(|()| Next::Job),
        Ok(Found::Call(signal)) => {
            let submission = submission(*signal, &run.tenant, &run.provider, &order, shared.clock.now_ms());
            shared.ingest.submit(submission).await.map_err(|error| RunError::State(error.to_string()))?;
            Ok(Next::Job)
        }
        Ok(Found::Unclear(why)) => unknown(&why).await.map(|()| Next::Job),
        Err(trouble) if is_over => {
            unknown(&format!("nobody could be asked for a day: failed to {}", trouble.detail)).await.map(|()| Next::Job)
        }
        Err(trouble) => {
            tracing::debug!(tenant = run.tenant, run = run.id, "failed to {trouble} to look for a lost answer");
            Ok(Next::Run)
        }
    }
}

/// Asks for the call, and again if one it took turns out to belong to another job.
async fn find(
    shared: &Shared,
    dialer: &dyn Dialer,
    tenant: &str,
    order: &Order,
) -> Result<Result<Found, Trouble>, StoreError> {
    let known: Mutex<HashMap<String, bool>> = Mutex::default();
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    // Whether it is claimed stands in the database, which cannot be asked in the middle of an answer: it is noted, and
    // looked up after it.
    let asked: Mutex<BTreeSet<String>> = Mutex::default();
    let note = |provider_id: &str| {
        let claimed = lock().get(provider_id).copied();
        if claimed.is_none() {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(provider_id.to_owned());
        }
        claimed.unwrap_or(false)
    };
    for _ in 0..FIND_ROUNDS_MAX {
        let found = match timeout(FIND_WITHIN, dialer.find(order, &note)).await.unwrap_or_else(|_| Err(late())) {
            Ok(found) => found,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut new: BTreeSet<String> = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        if let Found::Call(signal) = &found {
            let id = &signal.leg.provider_id;
            if !lock().contains_key(id) {
                new.insert(id.clone());
            }
        }
        let new: Vec<String> = new.into_iter().collect();
        let claimed = if new.is_empty() { Vec::new() } else { jobs::list_claimed(&shared.db, tenant, &new).await? };
        if claimed.is_empty() {
            return Ok(Ok(found));
        }
        for id in new {
            let is_claimed = claimed.contains(&id);
            lock().insert(id, is_claimed);
        }
    }
    Ok(Ok(Found::Unclear("other calls to the same number were being placed all the time".to_owned())))
}

/// Whether another job could have made the call just as well: to the same number, from the same one, and it is not known what
/// became of its request. Where we name the calls ourselves there is no doubt.
async fn has_rival(shared: &Shared, job: &JobRow, run: &RunRow, order: &Order) -> Result<bool, StoreError> {
    if run.provider == ami::PROVIDER {
        return Ok(false);
    }
    let others = rivals::list_settings(&shared.db, job, &run.account, order.placing_ms, SETTINGS_MAX).await?;
    // What cannot be read could be from the same number.
    let is_same = |text: &String| {
        serde_json::from_str::<Settings>(text).map_or(true, |settings| settings.from == order.settings.from)
    };
    Ok(others.iter().any(is_same))
}

/// What is submitted of a call that was found: what the provider says of it, and whose it is.
fn submission(found: Signal, tenant: &str, provider: &str, order: &Order, now_ms: Millis) -> Submission {
    let mut signal = Signal { received_ms: now_ms, ..found };
    signal.details.insert(Field::JobId, order.job_id.clone());
    signal.details.insert(Field::Attempt, order.attempt.to_string());
    if let Some(user_id) = &order.user_id {
        signal.details.entry(Field::UserId).or_insert_with(|| user_id.clone());
    }
    if signal.link.is_none() {
        let link = |lead_id: &String| Link { rank: LinkRank::Job, lead_id: lead_id.clone() };
        signal.link = order.lead_id.as_ref().map(link);
    }
    let provider = if provider == ami::PROVIDER { ami::PROVIDER } else { TWILIO };
    let (tenant, delivery) = (tenant.to_owned(), None);
    Submission { tenant, provider, delivery, signals: vec![signal], ask: Vec::new(), decision: None }
}

fn late() -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, detail: "find the call: no answer in time".to_owned() }
}

const TWILIO: &str = "twilio";
/// Lost answers that one pass looks for; slots bound how many there can be.
const LOST_MAX: i64 = 1_000;
/// Runs that are looked after at a time.
const RUNS_AT_ONCE: usize = 4;
/// How long one look may take: it may be several pages of a list.
const FIND_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked for one job because calls it found are others'.
const FIND_ROUNDS_MAX: usize = 3;
/// After so long without anybody who could be asked it stays unknown.
const LOOKED_FOR_MS: Millis = DAY;
/// Different settings of runs that call one number at one time.
const SETTINGS_MAX: i64 = 1_000;
const RIVALS: &str = "the call that was found could be another job's to the same number";
const ELSEWHERE: &str = "find the call: no process that listens to its PBX has looked";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::Leg,
        signal::{Claim, Witness},
        state::Live,
    };

    #[test]
    fn a_call_that_was_found_says_whose_it_is_and_keeps_what_the_provider_says() {
        let leg = Leg { provider_id: "CA1".into(), account: "AC1".into() };
        let signal = Signal {
            leg,
            witness: Witness::Reconciled,
            claim: Claim::Live(Live::Answered),
            at: Some(3),
            sequence: None,
            details: BTreeMap::from([(Field::To, "+1".into())]),
            link: None,
            received_ms: 5,
        };
        let order = Order {
            job_id: "job_1".into(),
            attempt: 2,
            to: "+1".into(),
            lead_id: Some("lead-1".into()),
            user_id: Some("ann".into()),
            settings: Default::default(),
            placing_ms: 1,
        };
        let made = submission(signal.clone(), "default", "twilio", &order, 9);
        let [told] = &made.signals[..] else { panic!("{made:?}") };
        assert_eq!((told.witness, &told.claim, told.at, told.received_ms), (signal.witness, &signal.claim, Some(3), 9));
        let expected = [(Field::To, "+1"), (Field::JobId, "job_1"), (Field::Attempt, "2"), (Field::UserId, "ann")];
        assert_eq!(told.details, expected.into_iter().map(|(field, text)| (field, text.to_owned())).collect());
        assert_eq!(told.link.as_ref().map(|link| (link.rank, link.lead_id.as_str())), Some((LinkRank::Job, "lead-1")));
    }
}
