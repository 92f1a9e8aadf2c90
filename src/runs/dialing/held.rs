//! A run that this process dials: jobs are taken and their requests sent, beside a heartbeat that neither waits for.

use super::{
    ANSWER_WITHIN, Shared,
    fence::{Fence, beat_every},
    grip::{Grip, Wish, span},
    placing::place,
    temper::May,
};
use crate::{
    clock::Since,
    domain::run::JobState,
    provider::{Dialer, Reach, Trouble, TroubleKind},
    runs::{RunError, Taken},
    store::{
        StoreError,
        jobs::{self, JobFilter},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The task of one run.
pub(super) struct Held {
    grip: Arc<Grip>,
    /// Requests under way, and answers that are not durable yet.
    requests: JoinSet<()>,
    /// Whether jobs may have been marked for us that we do not know of.
    is_uncertain: bool,
}

impl Held {
    pub(super) fn new(grip: Arc<Grip>) -> Self {
        Self { grip, requests: JoinSet::new(), is_uncertain: false }
    }

    /// Dials until stopped, until nothing is left to be done here, or until another process has the run. Answers the
    /// requests that are still under way: what they come to is a fact, whoever has the run by then.
    pub(super) async fn run(mut self, stop: CancellationToken) -> JoinSet<()> {
        let grip = self.grip.clone();
        let mut beating = JoinSet::new();
        beating.spawn(beat(grip.clone()));
        let last = self.dial(&mut beating, &stop).await;
        if last == Wish::LetGo || stop.is_cancelled() {
            // The lease is kept until what is under way is settled, as far as that can be waited for.
            let finish = grip.shared.pace.finish;
            let drained = timeout(finish, async { while self.requests.join_next().await.is_some() {} }).await;
            if self.is_uncertain {
                self.reclaim().await;
            }
            beating.shutdown().await;
            let let_go = timeout(ANSWER_WITHIN, grip.shared.desk.let_go(&grip.lease)).await;
            if drained.is_err() || !matches!(let_go, Ok(Ok(_))) {
                let (run, tenant) = (&grip.run.id, &grip.run.tenant);
                tracing::warn!(tenant, run, "a run could not be let go in order; it is taken over when its lease ends");
            }
        }
        self.requests
    }

    /// Takes and places until that is over; says why.
    async fn dial(&mut self, beating: &mut JoinSet<()>, stop: &CancellationToken) -> Wish {
        let mut wishes = self.grip.wishes();
        let mut bell = self.grip.shared.bell.subscribe();
        loop {
            let wish = *wishes.borrow_and_update();
            let pause = match wish {
                Wish::LetGo | Wish::Lost => return wish,
                _ if stop.is_cancelled() => return Wish::LetGo,
                Wish::Rest => self.grip.shared.pace.look,
                Wish::GoOn => self.place_some(stop).await,
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wishes.changed() => {}
                _ = bell.changed() => {}
                () = sleep(pause) => {}
                Some(ended) = self.requests.join_next() => self.ended(ended),
                // A heartbeat ends by itself only with the lease; if it broke, nobody keeps that.
                Some(_) = beating.join_next() => self.grip.wish(Wish::LetGo),
            }
        }
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(panic) = ended {
            let (tenant, run) = (&self.grip.run.tenant, &self.grip.run.id);
            // What became of its job is looked for once the run has another token.
            tracing::error!(tenant, run, %panic, "placing a call broke");
            self.grip.wish(Wish::LetGo);
        }
    }

    /// Places what can be placed now. Answers how long to wait before looking again.
    async fn place_some(&mut self, stop: &CancellationToken) -> Duration {
        let pace = self.grip.shared.pace;
        let many = match self.grip.may() {
            May::Wait(left) => return left.min(pace.look),
            // The one that tells whether the provider answers again.
            May::One if !self.requests.is_empty() => return pace.look,
            May::One => 1,
            May::Much => RUN_REQUESTS_MAX.saturating_sub(self.requests.len()),
        };
        let Some(permits) = permits(&self.grip.shared, many) else { return pace.look };
        let Some(dialer) = self.reach().await else { return pace.look };
        if !self.grip.allows(dialer.timeout()) {
            // The heartbeat is late; it comes, or the run is another's.
            return beat_every(pace.beat, self.grip.lease_lasts());
        }
        if self.is_uncertain && !self.reclaim().await {
            return pace.again;
        }
        self.take(&dialer, permits, stop).await
    }

    /// Who places the calls of the run.
    async fn reach(&self) -> Option<Arc<dyn Dialer>> {
        let run = &self.grip.run;
        let round = self.grip.round();
        let reach = self.grip.shared.exchange.reach(&run.tenant, &run.provider, &run.account);
        match timeout(ANSWER_WITHIN, reach).await.unwrap_or_else(|_| Err(nobody())) {
            Ok(Reach::Here(dialer)) => return Some(dialer),
            Ok(Reach::Elsewhere) => self.grip.wish(Wish::LetGo),
            Err(trouble) => self.grip.troubled(round, trouble),
        }
        None
    }

    /// Takes as many jobs as there are permits, and places them. It is never broken off: what was taken must be known.
    async fn take(
        &mut self,
        dialer: &Arc<dyn Dialer>,
        mut permits: Vec<OwnedSemaphorePermit>,
        stop: &CancellationToken,
    ) -> Duration {
        let (shared, lease) = (&self.grip.shared, &self.grip.lease);
        let max = i64::try_from(permits.len()).unwrap_or(1);
        let Taken { orders, wait_ms } = match timeout(ANSWER_WITHIN, shared.desk.take(lease, max)).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(RunError::LeaseLost)) => {
                self.grip.wish(Wish::Lost);
                return Duration::ZERO;
            }
            // The next heartbeat says what it is.
            Ok(Err(RunError::State(_))) => return shared.pace.look,
            Ok(Err(error)) => return self.not_taken(&error),
            Err(_) => return self.not_taken(&StoreError::timed_out(ANSWER_WITHIN).into()),
        };
        let is_full = orders.len() >= permits.len();
        let round = self.grip.round();
        for order in orders {
            self.grip.taken().insert((order.job_id.clone(), order.attempt, order.placing_ms));
            let one = place(self.grip.clone(), dialer.clone(), order, round, permits.pop(), stop.clone());
            self.requests.spawn(one);
        }
        if is_full {
            return Duration::ZERO;
        }
        let wait = wait_ms.and_then(|wait_ms| u64::try_from(wait_ms).ok()).map(Duration::from_millis);
        wait.map_or(shared.pace.look, |wait| wait.clamp(WAIT_MIN, shared.pace.look))
    }

    fn not_taken(&mut self, error: &RunError) -> Duration {
        if !std::mem::replace(&mut self.is_uncertain, true) {
            let (tenant, run) = (&self.grip.run.tenant, &self.grip.run.id);
            tracing::warn!(tenant, run, "failed to {error} to take jobs; it is tried again");
        }
        self.grip.shared.pace.again
    }

    /// Gives back what was marked for us in a transaction whose end we were not told: of those jobs no request was sent.
    /// `false`: it is not certain yet.
    async fn reclaim(&mut self) -> bool {
        match timeout(ANSWER_WITHIN, self.strays()).await {
            Ok(Ok(())) => {
                self.is_uncertain = false;
                true
            }
            Ok(Err(RunError::LeaseLost)) => {
                self.grip.wish(Wish::Lost);
                false
            }
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn strays(&self) -> Result<(), RunError> {
        let Grip { shared, run, lease, .. } = &*self.grip;
        // Waits for its turn behind whatever is still being committed, and says whether the token is the present one.
        shared.desk.beat(lease, self.grip.trouble().as_deref()).await?;
        let filter = JobFilter { state: Some(JobState::Placing.as_str().to_owned()), ..JobFilter::default() };
        let mut after = 0;
        loop {
            let page = jobs::list(&shared.db, &run.tenant, &run.id, &filter, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.place;
            // Of one that is known to be lost a request was sent.
            for job in page.iter().filter(|job| job.token == Some(lease.token) && job.lost_ms.is_none()) {
                // One that is being placed has it.
                let Some(placing_ms) = job.placing_ms else { continue };
                let is_known = self.grip.taken().contains(&(job.id.clone(), job.attempt, placing_ms));
                if !is_known {
                    shared.desk.give_back(lease, &job.id, (job.attempt, placing_ms), NEVER_SENT).await?;
                }
            }
        }
    }
}

/// As many places for requests as there are, up to `many`. `None`: there is none.
fn permits(shared: &Shared, many: usize) -> Option<Vec<OwnedSemaphorePermit>> {
    let some = (0..many).map_while(|_| shared.permits.clone().try_acquire_owned().ok()).collect::<Vec<_>>();
    (!some.is_empty()).then_some(some)
}

/// Keeps the lease, and brings word of what is to be done, until the lease is lost.
async fn beat(grip: Arc<Grip>) {
    let shared = &grip.shared;
    let every = beat_every(shared.pace.beat, grip.lease_lasts());
    let within = (grip.lease_lasts() / 3).min(ANSWER_WITHIN);
    let mut fails = false;
    loop {
        sleep(every).await;
        // Counted from before the question.
        let since = Since::now(&*shared.clock);
        let trouble = grip.trouble();
        let error = match timeout(within, shared.desk.beat(&grip.lease, trouble.as_deref())).await {
            Ok(Ok(beat)) if beat.state.is_ended() => {
                grip.wish(Wish::Lost);
                return;
            }
            Ok(Ok(beat)) => {
                fails = false;
                grip.renew(Fence::new(since, span(beat.lease_ms)));
                grip.wish(match (beat.paused, beat.cancel_requested) {
                    (true, _) => Wish::LetGo,
                    (false, true) => Wish::Rest,
                    (false, false) => Wish::GoOn,
                });
                continue;
            }
            Ok(Err(RunError::Store(error))) => error,
            // The token is not the present one, or the run has ended.
            Ok(Err(_)) => {
                grip.wish(Wish::Lost);
                return;
            }
            Err(_) => StoreError::timed_out(within),
        };
        if !std::mem::replace(&mut fails, true) {
            let (tenant, run, left_s) = (&grip.run.tenant, &grip.run.id, grip.left().as_secs());
            tracing::warn!(tenant, run, left_s, "failed to {error} for a heartbeat of a run; it is tried again");
        }
    }
}

fn nobody() -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, detail: "find out where the account is dialed from in time".to_owned() }
}

/// Requests of one run under way, and answers of its provider that are not durable yet.
const RUN_REQUESTS_MAX: usize = 32;
/// The desk is not asked more often.
const WAIT_MIN: Duration = Duration::from_millis(5);
/// Jobs that are read at once.
const PAGE: i64 = 200;
/// Why a job is queued again that was marked while the database was away.
const NEVER_SENT: &str = "the database went away before the provider was asked";
