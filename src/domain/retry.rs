//! Backoff schedules. The jitter is passed in: the domain has no randomness.

use super::time::Millis;

/// Exponential backoff between two bounds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay after the first failure, in milliseconds.
    pub first_ms: Millis,
    /// No delay is longer than this, in milliseconds.
    pub max_ms: Millis,
}

impl Backoff {
    /// The delay after `failures` failures in a row. `jitter` in 0.0..=1.0 takes up to a fifth off,
    /// so that what failed together does not come back together.
    pub fn delay_ms(self, failures: u32, jitter: f64) -> Millis {
        let doublings = failures.saturating_sub(1).min(40);
        let full = self.first_ms.saturating_mul(1_i64 << doublings).clamp(0, self.max_ms);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "delays are far below 2^52 ms"
        )]
        let off = (full as f64 * 0.2 * jitter.clamp(0.0, 1.0)) as Millis;
        full - off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_bound_and_jitter_only_shortens() {
        let backoff = Backoff { first_ms: 1_000, max_ms: 10_000 };
        let delays: Vec<_> = (0..6).map(|n| backoff.delay_ms(n, 0.0)).collect();
        assert_eq!(delays, [1_000, 1_000, 2_000, 4_000, 8_000, 10_000]);
        assert_eq!(backoff.delay_ms(3, 1.0), 3_200);
        assert_eq!(backoff.delay_ms(3, 0.5), 3_600);
        assert_eq!(backoff.delay_ms(u32::MAX, 7.0), 8_000);
    }
}
