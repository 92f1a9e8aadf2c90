//! Looks for runs that are to be dialed and that nobody dials, and keeps a task for each that this process holds.

use super::{
    ANSWER_WITHIN, Shared,
    fence::Fence,
    grip::{Grip, span},
    held::Held,
};
use crate::{
    clock::Since,
    domain::run::{RunState, Worker},
    provider::Reach,
    runs::RunError,
    store::{
        StoreError, now,
        runs::{self, RunRow},
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The tenant and the id of a run.
type Key = (String, String);

/// The runs of this process.
pub(super) struct Looking {
    shared: Arc<Shared>,
    /// One for each run that is held; what it leaves behind are requests that are still under way.
    tasks: JoinSet<JoinSet<()>>,
    grips: HashMap<Id, Arc<Grip>>,
    held: HashSet<Key>,
    /// Requests of runs that are not held any more.
    left: JoinSet<()>,
}

impl Looking {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (tasks, grips, held, left) = (JoinSet::new(), HashMap::new(), HashSet::new(), JoinSet::new());
        Self { shared, tasks, grips, held, left }
    }

    /// Holds runs until stopped; then waits for what is under way, for a while, and lets them go.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut bell = self.shared.bell.subscribe();
        let mut fails = false;
        let mut look_at = Box::pin(sleep(Duration::ZERO));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => { self.ended(ended); continue }
                Some(_) = self.left.join_next() => continue,
                () = &mut look_at => {}
                _ = bell.changed() => {}
            }
            look_at = Box::pin(sleep(self.shared.pace.look));
            match self.look(&stop).await {
                Ok(()) => fails = false,
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!("failed to {error} to see which runs are to be dialed; it is looked again");
                    }
                }
            }
        }
        // Each task waits for its own requests and lets its run go.
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended);
        }
        let left = async { while self.left.join_next().await.is_some() {} };
        if timeout(self.shared.pace.finish, left).await.is_err() {
            tracing::warn!("what providers answered could not be written before the end; it is looked for later");
        }
    }

    fn ended(&mut self, ended: Result<(Id, JoinSet<()>), JoinError>) {
        let (id, panic) = match ended {
            Ok((id, mut requests)) => {
                self.left.spawn(async move { while requests.join_next().await.is_some() {} });
                (id, None)
            }
            Err(panic) => (panic.id(), Some(panic)),
        };
        let Some(grip) = self.grips.remove(&id) else { return };
        let (tenant, run) = (&grip.run.tenant, &grip.run.id);
        self.held.remove(&(tenant.clone(), run.clone()));
        if let Some(panic) = panic {
            tracing::error!(tenant, run, %panic, "dialing a run broke; it is taken up again");
            self.left.spawn(async move {
                let _ = timeout(ANSWER_WITHIN, grip.shared.desk.let_go(&grip.lease)).await;
            });
        }
    }

    /// Holds what is to be dialed and is free.
    async fn look(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let now_ms = now::for_leases(&self.shared.db, &*self.shared.clock).await?;
        let mut after: Key = Default::default();
        while self.held.len() < HELD_MAX && !stop.is_cancelled() {
            let page = runs::list_open(&self.shared.db, (&after.0, &after.1), PAGE).await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|n| n < PAGE);
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.tenant.clone(), last.id.clone());
            for run in page {
                let key = (run.tenant.clone(), run.id.clone());
                if self.held.len() >= HELD_MAX || self.held.contains(&key) || !self.is_wanted(&run, now_ms) {
                    continue;
                }
                if let Some(grip) = self.hold(run).await? {
                    let grip = Arc::new(grip);
                    let task = self.tasks.spawn(Held::new(grip.clone()).run(stop.clone()));
                    self.grips.insert(task.id(), grip);
                    self.held.insert(key);
                }
            }
            if is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether we should ask for it; the desk decides whether we get it.
    fn is_wanted(&self, run: &RunRow, now_ms: i64) -> bool {
        if run.state != RunState::Running.as_str() || run.worker != Worker::Internal.as_str() {
            return false;
        }
        let is_free = run.holder.is_none() || run.lease_until_ms <= now_ms;
        let stale_ms = self.shared.desk.rules().patience.stale_ms;
        let moved_ms = run.progress_ms.max(run.started_ms).unwrap_or(run.created_ms);
        let stands_still = now_ms.saturating_sub(moved_ms) >= stale_ms;
        is_free || stands_still
    }

    /// Takes a run, if it can be dialed from here and the desk gives it to us.
    async fn hold(&self, run: RunRow) -> Result<Option<Grip>, StoreError> {
        let Shared { exchange, desk, holder, clock, .. } = &*self.shared;
        let reach = exchange.reach(&run.tenant, &run.provider, &run.account);
        // Trouble is no reason: whoever holds the run says what it is, and that nothing is placed.
        if matches!(timeout(ANSWER_WITHIN, reach).await, Ok(Ok(Reach::Elsewhere))) {
            return Ok(None);
        }
        // Counted from before the question.
        let since = Since::now(&**clock);
        let held = timeout(ANSWER_WITHIN, desk.hold(&run.tenant, &run.id, holder)).await;
        let taken = match held {
            Ok(Ok(Some(taken))) => taken,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(RunError::Store(error))) if error.may_pass() => return Err(error),
            // One that cannot be held stops no other.
            Ok(Err(error)) => {
                tracing::debug!(tenant = run.tenant, run = run.id, "failed to {error}");
                return Ok(None);
            }
            Err(_) => return Err(StoreError::timed_out(ANSWER_WITHIN)),
        };
        tracing::info!(tenant = run.tenant, run = run.id, token = taken.token, "this process dials the run");
        let fence = Fence::new(since, span(taken.lease_ms));
        Ok(Some(Grip::new(self.shared.clone(), run, taken, fence)))
    }
}

/// Runs that one process dials at a time.
const HELD_MAX: usize = 200;
/// Runs that are read at once.
const PAGE: i64 = 200;
