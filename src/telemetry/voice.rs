//! What is counted of calls that onhook answers: what became of them, and who was not dialed.

use crate::twilio::dialing::{Outcome, Refusal};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// The figures of the voice webhook. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct VoiceFigures {
    answers: Family<OutcomeLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl VoiceFigures {
    /// A request for TwiML was answered.
    pub fn answered(&self, outcome: Outcome) {
        self.answers.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
    }

    /// Somebody was not dialed.
    pub fn refused(&self, why: Refusal) {
        self.refused.get_or_create(&ReasonLabels { reason: why.as_str() }).inc();
    }

    /// Every name with its help; every series begins at zero.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_voice_answers", "Requests for TwiML by what they came to", self.answers.clone());
        to.register("onhook_dials_refused", "Targets that were not dialed, by reason", self.refused.clone());
        for &outcome in Outcome::ALL {
            self.answers.get_or_create_owned(&OutcomeLabels { outcome: outcome.as_str() });
        }
        for &why in Refusal::ALL {
            self.refused.get_or_create_owned(&ReasonLabels { reason: why.as_str() });
        }
    }
}
