//! Where the time comes from. Nothing else in the crate reads the machine's clocks, so a test turns the time by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. It may step back when the machine's clock is set.
    fn now_ms(&self) -> i64;

    /// Whether leases go by it, too, where they would go by the database's clock: it is turned by hand.
    fn rules_leases(&self) -> bool {
        false
    }
}

/// A clock as it is handed around.
pub type SharedClock = Arc<dyn Clock>;

impl std::fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now_ms())
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only ambient time of the crate")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => whole_ms(since),
            Err(before) => whole_ms(before.duration()).saturating_neg(),
        }
    }
}

/// A clock that stands still until it is told to move. Clones share one time.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(now_ms)))
    }

    /// Shows `now_ms` from here on, on every clone; earlier than before is allowed.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }

    /// Moves on by `by_ms`.
    pub fn advance(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// The same clock as the code under test takes it.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn rules_leases(&self) -> bool {
        true
    }
}

/// Measures how long something took, for metrics and logs. Never decide anything by it: that is what a [`Clock`] is for.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(
        clippy::disallowed_methods,
        reason = "measures, decides nothing; a clock of whole milliseconds is too coarse"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start; never negative.
    #[expect(clippy::disallowed_methods, reason = "see `start`")]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// How long ago something was, for whoever trusts a lease: by the clock that says more. One of the two is set by nobody,
/// the other one goes on while the machine sleeps; so the answer is never too short, unless both fail at once.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    at: Instant,
    at_ms: i64,
}

impl Since {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "a clock that nobody sets; read beside the `Clock`")]
    pub fn now(clock: &dyn Clock) -> Self {
        Self { at: Instant::now(), at_ms: clock.now_ms() }
    }

    /// How long ago that was.
    #[expect(clippy::disallowed_methods, reason = "see `now`")]
    pub fn elapsed(&self, clock: &dyn Clock) -> Duration {
        let shown = u64::try_from(clock.now_ms().saturating_sub(self.at_ms)).unwrap_or_default();
        self.at.elapsed().max(Duration::from_millis(shown))
    }
}

fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_for_all_who_hold_it() {
        let clock = ManualClock::new(1_000);
        let held = clock.shared();
        assert_eq!(held.now_ms(), 1_000);
        clock.advance(250);
        assert_eq!(held.now_ms(), 1_250);
        clock.set(7);
        assert_eq!(held.now_ms(), 7);
    }

    #[test]
    fn what_was_a_while_ago_is_so_by_either_clock() {
        let clock = ManualClock::new(1_000);
        let since = Since::now(&clock);
        clock.advance(30_000);
        assert!(since.elapsed(&clock) >= Duration::from_secs(30));
        // Whoever sets a clock back gains no time.
        clock.set(0);
        let before = since.elapsed(&clock);
        assert!(before < Duration::from_secs(30) && since.elapsed(&clock) >= before);
    }

    #[test]
    fn the_system_clock_counts_milliseconds() {
        let year_2020_ms = 1_577_836_800_000;
        let year_2200_ms = 7_258_118_400_000;
        assert!((year_2020_ms..year_2200_ms).contains(&SystemClock.now_ms()));
    }
}
