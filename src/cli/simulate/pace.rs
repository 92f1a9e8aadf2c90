//! The time of simulated calls: it begins in the past, passes faster, and never overtakes the real one.

use crate::{
    clock::{Clock, Stopwatch},
    domain::time::Millis,
};

/// A clock that runs from the past towards now.
#[derive(Debug)]
pub struct FastClock {
    now_ms: Millis,
    begin_ms: Millis,
    speed: f64,
    running: Stopwatch,
}

impl FastClock {
    /// It shows `span_ms` before `now_ms` first, and real time from the moment it has caught up.
    pub fn new(now_ms: Millis, span_ms: Millis, speed: f64) -> Self {
        Self { now_ms, begin_ms: now_ms - span_ms, speed, running: Stopwatch::start() }
    }

    fn at(&self, seconds: f64) -> Millis {
        #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
        let ms = |seconds: f64| (seconds * 1_000.0) as Millis;
        let fast_ms = self.begin_ms.saturating_add(ms(seconds * self.speed));
        fast_ms.min(self.now_ms.saturating_add(ms(seconds)))
    }
}

impl Clock for FastClock {
    fn now_ms(&self) -> Millis {
        self.at(self.running.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_catches_up_with_the_real_time_and_does_not_overtake_it() {
        let clock = FastClock::new(1_000_000, 600_000, 60.0);
        assert_eq!(clock.at(0.0), 400_000);
        assert_eq!(clock.at(1.0), 460_000);
        assert_eq!(clock.at(20.0), 1_020_000);
        let slow = FastClock::new(1_000_000, 600_000, 1.0);
        assert_eq!(slow.at(20.0), 420_000);
    }
}
