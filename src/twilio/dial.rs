//! What came of a `<Dial>`: the request to its `action` URL, read as signals for both legs.
//!
//! It is sent for the parent leg when the dialed leg is over; `DialCallSid` names the dialed leg (with several nouns the
//! one that won). Parameters and words: Twilio's documentation of `<Dial>` (`voice/twiml/dial`, "action").

use super::{
    door::Said,
    form::Form,
    reading::{Reading, Unreadable, shortened},
    sid,
    signal::UNTOLD,
};
use crate::domain::{
    id::Leg,
    signal::{Claim, Field, Signal, Witness},
    state::{Direction, Outcome},
    time::Millis,
};

/// Reads what came of a `<Dial>`. Neither leg is told when, and nothing is numbered.
pub(super) fn read_dial(parameters: &Form, query: &Form, received_ms: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let child = reading.dialed(received_ms)?;
    let parent = reading.call_signal(UNTOLD, received_ms)?;
    let filed = child.as_ref().unwrap_or(&parent).leg.provider_id.clone();
    // That the parent still lives is said when the dial is over, perhaps long after it was answered: the moment would
    // pass for that of its answer, which its end and its seconds tell better.
    let parent = Some(parent).filter(|parent| !matches!(parent.claim, Claim::Live(_)));
    Ok(reading.said(filed, parent.into_iter().chain(child).collect()))
}

impl Reading<'_> {
    /// The dialed leg, where one is named: after a conference none is.
    fn dialed(&mut self, received_ms: Millis) -> Result<Option<Signal>, Unreadable> {
        let parent = self.leg()?;
        let Some(provider_id) = self.sid_if_any("DialCallSid", sid::CALL) else { return Ok(None) };
        if provider_id == parent.provider_id {
            self.noted.push("DialCallSid is the CallSid: ignored, a leg does not dial itself".to_owned());
            return Ok(None);
        }
        let Some(claim) = self.dial_claim() else { return Ok(None) };
        // The recording is of what was dialed, so it is not the parent's.
        let mut details = self.recording();
        details.extend(self.correlations());
        details.insert(Field::ParentId, parent.provider_id);
        details.insert(Field::Direction, Direction::OutboundDial.as_str().to_owned());
        details.extend(self.bridged().map(|word| (Field::Bridged, word)));
        let leg = Leg { provider_id, account: parent.account };
        let link = self.link();
        let witness = Witness::Callback;
        Ok(Some(Signal { leg, witness, claim, at: None, sequence: None, details, link, received_ms }))
    }

    /// What `DialCallStatus` claims of the dialed leg. Every word is an ending: at this time the dial is over.
    fn dial_claim(&mut self) -> Option<Claim> {
        let Some(word) = self.given("DialCallStatus") else {
            self.noted.push("DialCallStatus is missing: nothing is known of the dialed leg".to_owned());
            return None;
        };
        let outcome = match word.as_ref() {
            // Said of a conference; of a leg it can only mean that it was connected.
            "completed" | "answered" => Outcome::Completed,
            "busy" => Outcome::Busy,
            "no-answer" => Outcome::NoAnswer,
            "failed" => Outcome::Failed,
            "canceled" => Outcome::Canceled,
            unknown => return Some(Claim::Unknown(shortened(unknown).to_owned())),
        };
        Some(self.ended(outcome, "DialCallDuration"))
    }

    /// `false`: the callee picked up, but was never connected with the caller (it did not pass the whisper).
    fn bridged(&mut self) -> Option<String> {
        let word = self.given("DialBridged")?;
        if matches!(word.as_ref(), "true" | "false") {
            return Some(word.into_owned());
        }
        let value = shortened(&word);
        self.noted.push(format!("DialBridged {value:?} is neither true nor false: ignored"));
        None
    }
}
