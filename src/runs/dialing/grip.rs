//! What the heartbeat of a run, its dialing and its requests know of each other.

use super::{
    Shared,
    fence::Fence,
    temper::{May, Temper},
};
use crate::{
    domain::time::Millis,
    provider::{Trouble, TroubleKind},
    runs::Lease,
    store::runs::RunRow,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// What is to be done with a run that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Dial.
    GoOn,
    /// Hold it, and place nothing: it is being cancelled.
    Rest,
    /// Let it go: it is paused, or another process can dial it, or it is to be begun anew under another token.
    LetGo,
    /// It is not ours any more.
    Lost,
}

/// A run that this process holds.
#[derive(Debug)]
pub(super) struct Grip {
    pub(super) shared: Arc<Shared>,
    pub(super) run: RunRow,
    pub(super) lease: Lease,
    fence: Mutex<Fence>,
    temper: Mutex<Temper>,
    wish: watch::Sender<Wish>,
    /// Jobs that were taken under this lease, by id, attempt and time of the taking, until what they came to is durable.
    taken: Mutex<HashSet<(String, i64, Millis)>>,
}

impl Grip {
    pub(super) fn new(shared: Arc<Shared>, run: RunRow, lease: Lease, fence: Fence) -> Self {
        let temper = Temper::after(troubled(&run));
        let (fence, temper, taken) = (Mutex::new(fence), Mutex::new(temper), Mutex::default());
        Self { shared, run, lease, fence, temper, wish: watch::Sender::new(Wish::GoOn), taken }
    }

    /// The lease was renewed.
    pub(super) fn renew(&self, fence: Fence) {
        *lock(&self.fence) = fence;
    }

    /// How long it lasts in all.
    pub(super) fn lease_lasts(&self) -> Duration {
        span(self.lease.lease_ms)
    }

    /// Whether a request that takes as long as it may would end before the lease can.
    pub(super) fn allows(&self, request: Duration) -> bool {
        lock(&self.fence).allows(request, &*self.shared.clock)
    }

    /// How long the lease certainly lasts still.
    pub(super) fn left(&self) -> Duration {
        lock(&self.fence).left(&*self.shared.clock)
    }

    /// Says what is to be done. What ends the hold stays said.
    pub(super) fn wish(&self, wish: Wish) {
        self.wish.send_if_modified(|said| {
            let ends = |wish| matches!(wish, Wish::LetGo | Wish::Lost);
            let changes = *said != wish && (!ends(*said) || wish == Wish::Lost);
            if changes {
                *said = wish;
            }
            changes
        });
    }

    pub(super) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    pub(super) fn may(&self) -> May {
        lock(&self.temper).may(&*self.shared.clock)
    }

    pub(super) fn round(&self) -> u64 {
        lock(&self.temper).round()
    }

    /// The provider answered as it should.
    pub(super) fn answered(&self) {
        lock(&self.temper).answered();
    }

    /// It did not.
    pub(super) fn troubled(&self, round: u64, trouble: Trouble) {
        let (jitter, clock) = (self.shared.jitter(), &*self.shared.clock);
        lock(&self.temper).refused(round, trouble, jitter, self.shared.pace.again, clock);
    }

    /// What the heartbeat says of the provider.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.temper).trouble().map(|trouble| format!("failed to {}", trouble.detail))
    }

    /// The jobs that were taken and are not settled.
    pub(super) fn taken(&self) -> MutexGuard<'_, HashSet<(String, i64, Millis)>> {
        lock(&self.taken)
    }
}

/// What went wrong since the last progress, under whatever token.
fn troubled(run: &RunRow) -> Option<Trouble> {
    let error = run.last_error.as_deref().filter(|_| run.last_error_ms >= run.progress_ms)?;
    let detail = error.strip_prefix("failed to ").unwrap_or(error).to_owned();
    Some(Trouble { kind: TroubleKind::Unreachable, detail })
}

/// A span of time as the desk tells it.
pub(super) fn span(ms: Millis) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// What is behind it is whole at any time, whoever panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
