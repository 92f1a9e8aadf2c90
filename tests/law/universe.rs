//! Every claim × witness × three times (and none) × sequence none, 0, 1; with all that a claim can carry.

use crate::build::{Carry, WEAK, alive, completed, ended, live, signal, unknown, weak};
use onhook::domain::{
    call::Call,
    signal::{Claim, Field, LinkRank, Signal, Weak, Witness},
    state::{HangupCause, Live, Outcome},
    time::SECOND,
};

const TIMES: [i64; 3] = [1, 2, 3];
const SEQUENCES: [Option<i64>; 3] = [None, Some(0), Some(1)];

pub fn universe() -> Vec<Signal> {
    Witness::ALL.iter().flat_map(|witness| said_by(*witness)).collect()
}

/// The universe without signals that say the same as another (all that has no effect, for one), each with its state.
pub fn distinct() -> Vec<(Signal, Call)> {
    let mut distinct: Vec<(Signal, Call)> = Vec::new();
    for signal in universe() {
        let state = Call::inject(&signal);
        if !distinct.iter().any(|(_, known)| *known == state) {
            distinct.push((signal, state));
        }
    }
    distinct
}

fn said_by(witness: Witness) -> Vec<Signal> {
    let mut said = Vec::new();
    for level in Live::ALL {
        said.extend(at_each_time(|t| live(*level, witness, t), 2));
    }
    said.extend(at_each_time(|t| alive(witness, t), 2));
    for sequence in SEQUENCES {
        for outcome in Outcome::ALL {
            said.extend(at_each_time(|t| ended(*outcome, witness, t).sequence(sequence), 3));
        }
        for seconds in [0, 1] {
            said.extend(at_each_time(|t| completed(seconds, witness, t).sequence(sequence), 3));
        }
    }
    said.extend(TIMES.iter().flat_map(|t| given_up_by(witness, *t)));
    for claim in [Claim::Recording, Claim::AnsweredBy] {
        for value in ["x", "y"] {
            said.extend(at_each_time(|t| signal(witness, claim.clone(), t).detail(Field::From, value), 2));
        }
    }
    for rank in [LinkRank::Url, LinkRank::Number] {
        for lead_id in ["a", "b"] {
            said.extend(at_each_time(|t| signal(witness, Claim::Link, t).link(rank, lead_id), 2));
        }
    }
    said.push(unknown("teleported").detail(Field::To, "z"));
    said
}

/// Told at each time, and once untold: then the time of receipt counts.
fn at_each_time(say: impl Fn(i64) -> Signal, untold_received: i64) -> Vec<Signal> {
    let told = TIMES.iter().map(|t| say(*t).received(5));
    told.chain([say(0).untold().received(untold_received)]).collect()
}

fn given_up_by(witness: Witness, decided: i64) -> Vec<Signal> {
    let plain = Weak { decided_ms: decided * SECOND, ..WEAK };
    let floor_ms = Some(SECOND);
    let cause = HangupCause::PbxRestart;
    let stated_end_ms = Some(2 * SECOND);
    let if_answered = Outcome::Failed;
    [
        plain,
        Weak { floor_ms, ..plain },
        Weak { cause, ..plain },
        Weak { floor_ms, cause, ..plain },
        Weak { if_answered, ..plain },
        Weak { stated_end_ms, ..plain },
        Weak { if_answered, stated_end_ms, ..plain },
    ]
    .map(|said| weak(witness, said).received(5))
    .to_vec()
}
