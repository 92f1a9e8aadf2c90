//! How a leg and a call ended: from dial words and Q.850 causes to outcomes. Odd rows name what they were seen in.

use crate::domain::state::{HangupCause, Outcome};

/// How a dial of a leg ended, in Asterisk's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialWord {
    /// It picked up.
    Answer,
    /// It was busy.
    Busy,
    /// No way there.
    Unreachable,
    /// Given up before an answer.
    Cancel,
    /// Everything else: Asterisk says NOANSWER for 404, 488, 500 and 603 as well, so the cause decides.
    Other,
}

impl DialWord {
    /// Reads `DialStatus`.
    #[rustfmt::skip]
    pub(super) fn read(word: &str) -> Self {
        match word {
            "ANSWER"                     => Self::Answer,
            "BUSY"                       => Self::Busy,
            "CONGESTION" | "CHANUNAVAIL" => Self::Unreachable,
            "CANCEL"                     => Self::Cancel,
            // NOANSWER; ABORT, CONTINUE, GOTO:x, TORTURE, DONTCALL, INVALIDARGS come from macros and privacy.
            _                            => Self::Other,
        }
    }
}

/// What is known of a leg when it hangs up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// Whether it was ever Up.
    pub up: bool,
    /// The first word its dial ended with: a queue sends a second one, which is wrong (`queue_timeout`).
    pub word: Option<DialWord>,
    /// The cause of its `Hangup`.
    pub cause: u16,
    /// Whether the caller, or we, asked for the end.
    pub asked: bool,
}

/// How a dialed leg ended.
#[rustfmt::skip]
pub(super) fn of_leg(ending: Ending) -> Outcome {
    let Ending { up, word, cause, asked } = ending;
    match (word, cause) {
        _ if up                          => Outcome::Completed,
        (Some(DialWord::Busy), _)        => Outcome::Busy,
        (Some(DialWord::Unreachable), _) => Outcome::Failed,
        (Some(DialWord::Cancel), _)      => Outcome::Canceled,
        (_, 17)                          => Outcome::Busy,
        // 26: answered elsewhere, by another phone of the group or by a pickup.
        (_, 26)                          => Outcome::Canceled,
        // 127 is the cause of a SIP CANCEL (`caller_cancels_ringing`), and of answers SIP has no cause for.
        (None, 127)                      => Outcome::Canceled,
        (_, 127) if asked                => Outcome::Canceled,
        // 0: the dial ran out of time (`no_answer_timeout`); 16: AMI Hangup of a ringing leg (`originate_canceled`).
        (_, 0 | 16) if asked             => Outcome::Canceled,
        (_, 0 | 16 | 18 | 19)            => Outcome::NoAnswer,
        (_, _)                           => Outcome::Failed,
    }
}

/// How a call ended whose caller's channel dialed nobody and was never Up.
#[rustfmt::skip]
pub(super) fn of_caller(cause: u16, asked: bool) -> Outcome {
    match cause {
        0 | 16 if asked  => Outcome::Canceled,
        26 | 127         => Outcome::Canceled,
        17               => Outcome::Busy,
        0 | 16 | 18 | 19 => Outcome::NoAnswer,
        // 3 is an unregistered phone (`failed_unregistered`), 34 the application Congestion (`failed_congestion_app`).
        _                => Outcome::Failed,
    }
}

/// Why, in the words of all providers.
#[rustfmt::skip]
pub(super) const fn why(outcome: Outcome, cause: u16) -> HangupCause {
    match (outcome, cause) {
        (Outcome::Completed, _) => HangupCause::Normal,
        (Outcome::Busy, _)      => HangupCause::Busy,
        (Outcome::NoAnswer, _)  => HangupCause::NoAnswer,
        (Outcome::Canceled, _)  => HangupCause::Canceled,
        // 21 call rejected: SIP 401, 403, 603.
        (Outcome::Failed, 21)   => HangupCause::Rejected,
        // Unallocated number, no route, subscriber absent, number changed, out of order, invalid number.
        (Outcome::Failed, 1 | 2 | 3 | 20 | 22 | 27 | 28) => HangupCause::Unreachable,
        (Outcome::Failed, _)    => HangupCause::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of SIP answers, measured: (DialEnd, the callee's cause, how the leg ended, why).
    #[test]
    fn every_answer_of_a_phone_has_its_outcome() {
        use {HangupCause as C, Outcome as O};
        let table = [
            ("200", Some("ANSWER"), 16, true, O::Completed, C::Normal),
            ("486", Some("BUSY"), 17, false, O::Busy, C::Busy),
            ("603", Some("NOANSWER"), 21, false, O::Failed, C::Rejected),
            ("480", Some("NOANSWER"), 19, false, O::NoAnswer, C::NoAnswer),
            ("408", Some("NOANSWER"), 18, false, O::NoAnswer, C::NoAnswer),
            ("no answer in time", Some("NOANSWER"), 0, false, O::NoAnswer, C::NoAnswer),
            ("404", Some("NOANSWER"), 1, false, O::Failed, C::Unreachable),
            ("488", Some("NOANSWER"), 58, false, O::Failed, C::Failed),
            ("500", Some("NOANSWER"), 38, false, O::Failed, C::Failed),
            ("503", Some("CONGESTION"), 34, false, O::Failed, C::Failed),
            ("420", Some("CHANUNAVAIL"), 3, false, O::Failed, C::Unreachable),
            ("CANCEL of the caller", Some("CANCEL"), 127, false, O::Canceled, C::Canceled),
            ("another one answered", Some("CANCEL"), 26, false, O::Canceled, C::Canceled),
            ("picked up elsewhere", None, 26, false, O::Canceled, C::Canceled),
            ("a word from a macro", Some("TORTURE"), 16, false, O::NoAnswer, C::NoAnswer),
        ];
        for (answer, word, cause, up, outcome, cause_word) in table {
            let said = of_leg(Ending { up, word: word.map(DialWord::read), cause, asked: false });
            assert_eq!((said, why(said, cause)), (outcome, cause_word), "{answer}");
        }
    }

    #[test]
    fn who_asked_makes_it_canceled() {
        let rung_out = Ending { up: false, word: Some(DialWord::Other), cause: 16, asked: false };
        assert_eq!(of_leg(rung_out), Outcome::NoAnswer);
        assert_eq!(of_leg(Ending { asked: true, ..rung_out }), Outcome::Canceled);
        assert_eq!(of_leg(Ending { cause: 127, ..rung_out }), Outcome::Failed);
        assert_eq!((of_caller(16, true), of_caller(16, false)), (Outcome::Canceled, Outcome::NoAnswer));
        assert_eq!((of_caller(3, true), of_caller(17, false)), (Outcome::Failed, Outcome::Busy));
    }
}
