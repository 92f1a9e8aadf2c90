//! What becomes of requests to place a call: refused, done without an answer, cut off, answered late. By rates, drawn from a
//! generator of their own, or one after the other as it was said of a number.

use super::Double;
use crate::domain::{state::Direction, time::Millis};
use rand::{RngExt, rngs::StdRng};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What becomes of one request to place a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It is done and answered.
    Good,
    /// It is answered with 429, and not done.
    TooMany {
        /// With a header that asks to wait so many seconds.
        retry_after_s: Option<u32>,
    },
    /// It is refused, and not done.
    Refused {
        /// With this HTTP status.
        status: u16,
        /// With this code of Twilio's error dictionary.
        code: u32,
    },
    /// Something at Twilio breaks.
    Broken {
        /// It is answered with this HTTP status.
        status: u16,
        /// Whether there is a call all the same.
        done: bool,
    },
    /// The connection is cut in place of an answer.
    Cut {
        /// Whether there is a call all the same.
        done: bool,
    },
    /// It is done at once and answered late: callbacks may come before the answer.
    Late {
        /// By so many milliseconds of real time, whatever clock the double goes by.
        by_ms: Millis,
    },
}

impl Reception {
    /// Whether there is a call.
    pub(super) const fn is_done(self) -> bool {
        match self {
            Self::Good | Self::Late { .. } => true,
            Self::TooMany { .. } | Self::Refused { .. } => false,
            Self::Broken { done, .. } | Self::Cut { done } => done,
        }
    }
}

/// How often a request to place a call meets which fault, each from 0 (never) to 1 (always); in sum at most 1, because it
/// meets one of them only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlacingFaults {
    /// 429, nothing done.
    pub too_many: f64,
    /// 500, nothing done.
    pub broken: f64,
    /// 500, but there is a call.
    pub broken_done: f64,
    /// The connection is cut, nothing done.
    pub cut: f64,
    /// The connection is cut, but there is a call.
    pub cut_done: f64,
    /// There is a call, and the answer comes late.
    pub late: f64,
    /// How late, in milliseconds of real time.
    pub late_ms: Millis,
}

impl PlacingFaults {
    fn draw(&self, rng: &mut StdRng) -> Reception {
        let Self { too_many, broken, broken_done, cut, cut_done, late, late_ms } = *self;
        let rates = [
            (too_many, Reception::TooMany { retry_after_s: None }),
            (broken, Reception::Broken { status: 500, done: false }),
            (broken_done, Reception::Broken { status: 500, done: true }),
            (cut, Reception::Cut { done: false }),
            (cut_done, Reception::Cut { done: true }),
            (late, Reception::Late { by_ms: late_ms }),
        ];
        let mut left: f64 = rng.random();
        let met = rates.into_iter().find(|(rate, _)| {
            left -= rate;
            left < 0.0
        });
        met.map_or(Reception::Good, |(_, reception)| reception)
    }
}

/// How requests to place calls are received.
#[derive(Debug)]
pub(super) struct Receptions {
    scripts: HashMap<String, VecDeque<Reception>>,
    rng: StdRng,
}

impl Receptions {
    pub(super) fn new(rng: StdRng) -> Self {
        Self { scripts: HashMap::new(), rng }
    }
}

impl Double {
    /// The next requests to call this address are received so, one after the other; further ones by the rates again.
    pub fn receive_as(&mut self, to: &str, receptions: impl IntoIterator<Item = Reception>) {
        self.receptions.scripts.entry(to.to_owned()).or_default().extend(receptions);
    }

    /// How many calls were placed to each address so far: a lead that was dialed twice shows here, whoever was told of it.
    pub fn placed(&self) -> BTreeMap<&str, usize> {
        let mut placed = BTreeMap::new();
        for call in self.calls.iter().filter(|call| call.direction == Direction::OutboundApi) {
            *placed.entry(call.to.as_str()).or_default() += 1;
        }
        placed
    }

    pub(super) fn reception(&mut self, to: &str) -> Reception {
        // Drawn in any case, so that a script does not change what becomes of others.
        let drawn = self.setup.placing.draw(&mut self.receptions.rng);
        self.receptions.scripts.get_mut(to).and_then(VecDeque::pop_front).unwrap_or(drawn)
    }

    /// Whether the account has as many calls as it may have at once; those in the queue count.
    pub(super) fn is_busy(&self, account_sid: &str) -> bool {
        let Some(most) = self.setup.calls_at_once else { return false };
        let open = self.calls.iter().filter(|call| call.account_sid == account_sid && !call.is_over());
        open.count() >= most
    }
}
