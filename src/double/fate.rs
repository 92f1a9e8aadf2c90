//! What becomes of a call, and when: a script of changes, drawn from the call's own generator.

use super::call::Change;
use crate::domain::{
    state::Outcome,
    time::{Millis, SECOND},
};
use rand::{Rng, RngExt};

/// How the far end behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Somebody answers, and it is over after so many seconds.
    Answered {
        /// Whole seconds of conversation.
        talk_s: u32,
    },
    /// A machine answers.
    Machine {
        /// Whole seconds until it is over.
        talk_s: u32,
    },
    /// Engaged.
    Busy,
    /// It rings until Twilio gives up.
    NoAnswer,
    /// It cannot be reached.
    Failed {
        /// The final SIP response, such as 404.
        sip: u16,
    },
    /// Who placed it takes it back while it rings.
    Canceled,
    /// Who placed it takes it back before it is dialed: Twilio reports nothing of such a call.
    CanceledInQueue,
}

impl Fate {
    /// A mix as of a day of dialing.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let talk_s = rng.random_range(5..=180);
        let sip = [404, 480, 503].into_iter().nth(rng.random_range(0..3)).unwrap_or(404);
        match rng.random_range(0..100) {
            0..55 => Self::Answered { talk_s },
            55..65 => Self::Machine { talk_s: talk_s.min(MACHINE_SECONDS_MAX) },
            65..76 => Self::Busy,
            76..90 => Self::NoAnswer,
            90..96 => Self::Failed { sip },
            96..99 => Self::Canceled,
            _ => Self::CanceledInQueue,
        }
    }
}

/// What limits a call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may ring.
    pub timeout_s: u32,
    /// How long it may last once answered.
    pub time_limit_s: u32,
    /// Whether answering machines are told from people.
    pub detect_machines: bool,
}

impl Default for Limits {
    /// Twilio's own: <https://www.twilio.com/docs/voice/api/call-resource>.
    fn default() -> Self {
        Self { timeout_s: 60, time_limit_s: 4 * 60 * 60, detect_machines: false }
    }
}

/// What happens to a call that was placed at `placed_ms` and whose turn in the queue comes at `start_ms`.
/// Every moment is later than the one before, the last is the end.
pub fn script(
    fate: Fate,
    placed_ms: Millis,
    start_ms: Millis,
    limits: Limits,
    rng: &mut impl Rng,
) -> Vec<(Millis, Change)> {
    let ended = |outcome, sip| Change::Ended { outcome, sip };
    if fate == Fate::CanceledInQueue {
        return vec![(placed_ms.midpoint(start_ms).max(placed_ms + 1), ended(Outcome::Canceled, 487))];
    }
    let mut script = vec![(start_ms, Change::Initiated)];
    let rings_ms = start_ms + rng.random_range(300..2_500);
    let timeout_ms = Millis::from(limits.timeout_s) * SECOND;
    let unanswered_ms = rings_ms + timeout_ms + BUFFER_MS;
    let answer_ms = rings_ms + rng.random_range(1_500..15_000).min(timeout_ms.max(1));
    // Not every network says that it rings.
    let says_ringing = rng.random_bool(0.95);
    if says_ringing && !matches!(fate, Fate::Failed { .. }) {
        script.push((rings_ms, Change::Ringing));
    }
    let mut answered = |by: &'static str, talk_s: u32, rng: &mut dyn Rng| {
        script.push((answer_ms, Change::Answered { by: limits.detect_machines.then_some(by) }));
        let talk_ms = Millis::from(talk_s.min(limits.time_limit_s)) * SECOND + rng.random_range(0..SECOND);
        script.push((answer_ms + talk_ms, ended(Outcome::Completed, 200)));
    };
    match fate {
        Fate::Answered { talk_s } => answered("human", talk_s, rng),
        Fate::Machine { talk_s } => answered("machine_start", talk_s, rng),
        // Busy comes with either code: it must not be told from the code.
        Fate::Busy => {
            let sip = if rng.random_bool(0.5) { 486 } else { 487 };
            script.push((rings_ms + rng.random_range(500..4_000), ended(Outcome::Busy, sip)));
        }
        Fate::NoAnswer => script.push((unanswered_ms, ended(Outcome::NoAnswer, 487))),
        Fate::Failed { sip } => script.push((rings_ms, ended(Outcome::Failed, sip))),
        Fate::Canceled => {
            let taken_back_ms = rings_ms + rng.random_range(1_000..10_000);
            script.push((taken_back_ms.min(unanswered_ms), ended(Outcome::Canceled, 487)));
        }
        Fate::CanceledInQueue => {}
    }
    script
}

/// Twilio adds five seconds to the time it may ring: <https://www.twilio.com/docs/voice/twiml/dial#timeout>.
const BUFFER_MS: Millis = 5 * SECOND;
/// A machine's greeting and its beep.
const MACHINE_SECONDS_MAX: u32 = 40;
