//! How the link is: pings, how far the PBX's clock is ahead of ours, and whether what is read now has just happened.

use crate::{
    ami::{Message, correlator::Heard},
    domain::time::{MINUTE, Millis, SECOND},
};

/// The longest a Pong may take before what is read counts as late.
const FRESH_MS: Millis = SECOND;
/// A clock that differs by less is taken as ours: the sample itself is no better.
const CLOCKS_AGREE_MS: Millis = SECOND;
/// A longer way than this between two readings of the clock is a clock that was set.
const STEP_MS: Millis = MINUTE;

/// Our clock may be set back and forth while we wait: deadlines are counted on this one, which never steps back.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    wall_ms: Millis,
    ms: Millis,
}

impl Steady {
    /// Begins at `now_ms`.
    pub const fn new(now_ms: Millis) -> Self {
        Self { wall_ms: now_ms, ms: 0 }
    }

    /// It is `now_ms` by our clock.
    pub fn turn(&mut self, now_ms: Millis) -> Millis {
        self.ms = self.ms.saturating_add(now_ms.saturating_sub(self.wall_ms).clamp(0, STEP_MS));
        self.wall_ms = now_ms;
        self.ms
    }

    /// What it shows.
    pub const fn ms(&self) -> Millis {
        self.ms
    }

    /// When our clock will show it, if nobody sets it.
    pub const fn wall_ms(&self, at: Millis) -> Millis {
        self.wall_ms.saturating_add(at.saturating_sub(self.ms))
    }
}

/// The link of one connection.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The ping that is not answered yet: when it was sent, on the steady clock and on ours.
    sent: Option<(Millis, Millis)>,
    /// The last late Pong's burst is over then.
    stale_until: Millis,
    /// How far its clock is ahead of ours, by a Pong that came soon.
    ahead_ms: Option<Millis>,
    /// The same by one that came late, while there is no better.
    roughly_ahead_ms: Option<Millis>,
}

impl Link {
    /// A ping was sent.
    pub const fn pinged(&mut self, steady: &Steady) {
        self.sent = Some((steady.ms, steady.wall_ms));
    }

    /// Whether a ping waits for its Pong.
    pub const fn is_pinged(&self) -> bool {
        self.sent.is_some()
    }

    /// Its answer is here.
    pub fn ponged(&mut self, pong: &Message, steady: &Steady) {
        let Some((sent, sent_wall)) = self.sent.take() else { return };
        let there = pong.get("Timestamp").and_then(epoch_ms);
        let middle = sent_wall.saturating_add(steady.wall_ms.saturating_sub(sent_wall) / 2);
        if steady.ms.saturating_sub(sent) <= FRESH_MS {
            self.ahead_ms = there.map(|there| there.saturating_sub(middle)).or(self.ahead_ms);
            return;
        }
        // What it told while it could not be heard is still being read.
        self.stale_until = steady.ms.saturating_add(FRESH_MS);
        // It said so at some time between its ping and now. Only a clock that cannot be ours is corrected by that.
        let ours = sent_wall.saturating_sub(CLOCKS_AGREE_MS)..=steady.wall_ms.saturating_add(CLOCKS_AGREE_MS);
        self.roughly_ahead_ms = there.map(|there| if ours.contains(&there) { 0 } else { there.saturating_sub(middle) });
    }

    /// How far the PBX's clock is ahead of ours; 0 if they agree or it does not say.
    pub fn ahead_ms(&self) -> Millis {
        self.known_ahead_ms().unwrap_or(0)
    }

    fn known_ahead_ms(&self) -> Option<Millis> {
        let ahead = self.ahead_ms.or(self.roughly_ahead_ms)?;
        Some(if ahead.abs() < CLOCKS_AGREE_MS { 0 } else { ahead })
    }

    /// Whether what is read now has just happened.
    pub fn is_fresh(&self, steady: &Steady) -> bool {
        let overdue = self.sent.is_some_and(|(sent, _)| steady.ms.saturating_sub(sent) > FRESH_MS);
        !overdue && steady.ms >= self.stale_until
    }

    /// When the message came and when it happened, if it was read while the link was `fresh`.
    pub fn heard(&self, message: &Message, received_ms: Millis, fresh: bool) -> Heard {
        let told = message.get("Timestamp").and_then(epoch_ms).and_then(|there| self.ours(there));
        Heard { received_ms, at_ms: told.or_else(|| fresh.then_some(received_ms)) }
    }

    /// A time of the PBX by our clock. None: it was never heard what its clock shows.
    pub fn ours(&self, there_ms: Millis) -> Option<Millis> {
        self.known_ahead_ms().map(|ahead| there_ms.saturating_sub(ahead))
    }
}

/// `1795159934.216605`: seconds since 1970 with a fraction. Zero and less is no time.
pub fn epoch_ms(text: &str) -> Option<Millis> {
    let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let seconds: Millis = seconds.parse().ok().filter(|seconds| *seconds > 0)?;
    let thousandths = fraction.bytes().chain(*b"000").take(3).try_fold(0, |sum: Millis, digit| match digit {
        b'0'..=b'9' => Some(sum.saturating_mul(10).saturating_add(Millis::from(digit - b'0'))),
        _ => None,
    })?;
    seconds.checked_mul(SECOND)?.checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pong(at: &str) -> Message {
        Message::new(vec![("Timestamp".to_owned(), at.to_owned())])
    }

    #[test]
    fn times_have_thousandths_and_nonsense_is_no_time() {
        assert_eq!(epoch_ms("1795159934.216605"), Some(1_795_159_934_216));
        assert_eq!(epoch_ms("1795159934"), Some(1_795_159_934_000));
        assert_eq!(epoch_ms("1795159934.5"), Some(1_795_159_934_500));
        for nonsense in ["", "0.000000", "-4", "x", "1.x", "99999999999999999999"] {
            assert_eq!(epoch_ms(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_clock_that_is_set_moves_no_deadline() {
        let mut steady = Steady::new(1_000_000);
        assert_eq!(steady.turn(1_000_500), 500);
        assert_eq!(steady.turn(1_000), 500);
        assert_eq!(steady.turn(2_000), 1_500);
        assert_eq!(steady.wall_ms(1_700), 2_200);
        assert_eq!(steady.turn(999_000_000), 1_500 + STEP_MS);
    }

    #[test]
    fn the_clock_of_the_pbx_is_read_off_the_pong() {
        let (mut link, mut steady) = (Link::default(), Steady::new(10_000_000));
        link.pinged(&steady);
        steady.turn(10_000_400);
        link.ponged(&pong("10007.2"), &steady);
        assert_eq!((link.ahead_ms(), link.ours(20_000)), (7_000, Some(13_000)));
        link.pinged(&steady);
        link.ponged(&pong("10001.3"), &steady);
        assert_eq!(link.ahead_ms(), 0, "900 ms are none");
    }

    #[test]
    fn what_is_read_while_a_pong_is_late_and_just_after_is_not_fresh() {
        let (mut link, mut steady) = (Link::default(), Steady::new(0));
        assert!(link.is_fresh(&steady));
        link.pinged(&steady);
        steady.turn(1_000);
        assert!(link.is_fresh(&steady));
        steady.turn(1_001);
        assert!(!link.is_fresh(&steady));
        steady.turn(4_000);
        link.ponged(&pong("4.0"), &steady);
        assert!(!link.is_fresh(&steady));
        assert_eq!(link.ahead_ms(), 0, "a late Pong is no sample of a clock that may be ours");
        steady.turn(5_000);
        assert!(link.is_fresh(&steady));
        let told = link.heard(&pong("3.25"), 5_000, false);
        assert_eq!((told.at_ms, link.heard(&Message::default(), 5_000, false).at_ms), (Some(3_250), None));
    }

    #[test]
    fn a_clock_that_is_hours_behind_is_known_from_a_late_pong_until_a_better_one_comes() {
        let (mut link, mut steady) = (Link::default(), Steady::new(20_000_000));
        let told = |link: &Link| link.heard(&pong("12800.5"), 20_001_000, true).at_ms;
        assert_eq!((link.ours(1), told(&link)), (None, Some(20_001_000)), "nothing is known of its clock");
        link.pinged(&steady);
        steady.turn(20_004_000);
        link.ponged(&pong("12802.0"), &steady);
        assert_eq!((link.ahead_ms(), told(&link)), (-7_200_000, Some(20_000_500)));
        link.pinged(&steady);
        link.ponged(&pong("12803.0"), &steady);
        assert_eq!(link.ahead_ms(), -7_201_000);
        link.pinged(&steady);
        steady.turn(20_009_000);
        link.ponged(&pong("20009.0"), &steady);
        assert_eq!(link.ahead_ms(), -7_201_000, "a late one is not better");
        link.pinged(&steady);
        link.ponged(&Message::default(), &steady);
        assert_eq!(link.ahead_ms(), -7_201_000, "one without a time says nothing");
    }
}
