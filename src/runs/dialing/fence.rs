//! Until when a process may trust its lease: by its own clock, from before it asked for it.

use crate::clock::{Clock, Since};
use std::time::Duration;

/// A lease as its holder trusts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    /// From before the question whose answer was that we have the lease.
    since: Since,
    lease: Duration,
}

impl Fence {
    pub(super) const fn new(since: Since, lease: Duration) -> Self {
        Self { since, lease }
    }

    /// How long it certainly lasts still.
    pub(super) fn left(&self, clock: &dyn Clock) -> Duration {
        self.lease.saturating_sub(self.since.elapsed(clock))
    }

    /// Whether a request that takes as long as it may would be over before somebody else can have the lease.
    pub(super) fn allows(&self, request: Duration, clock: &dyn Clock) -> bool {
        self.left(clock) >= request.saturating_add(margin(self.lease))
    }
}

/// What is kept free between the end of a request and that of the lease.
fn margin(lease: Duration) -> Duration {
    MARGIN_MAX.min(lease / 4)
}

/// How often a lease is renewed, however short it is.
pub(super) fn beat_every(usual: Duration, lease: Duration) -> Duration {
    usual.min(lease / 8)
}

const MARGIN_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_request_must_end_before_the_lease_can() {
        let clock = ManualClock::new(0);
        let (lease, request) = (Duration::from_secs(30), Duration::from_secs(10));
        let fence = Fence::new(Since::now(&clock), lease);
        assert!(fence.allows(request, &clock));
        clock.advance(14_900);
        assert!(fence.allows(request, &clock));
        clock.advance(101);
        assert!(!fence.allows(request, &clock), "ten seconds and five of margin");
        clock.advance(60_000);
        assert_eq!(fence.left(&clock), Duration::ZERO);
        // A clock that is set back gives no lease back.
        clock.set(0);
        assert!(fence.left(&clock) < lease);
    }

    #[test]
    fn short_leases_have_short_margins_and_quick_beats() {
        let lease = Duration::from_secs(1);
        assert_eq!(margin(lease), Duration::from_millis(250));
        assert_eq!(beat_every(Duration::from_secs(2), lease), Duration::from_millis(125));
        assert_eq!(beat_every(Duration::from_secs(2), Duration::from_secs(30)), Duration::from_secs(2));
    }
}
