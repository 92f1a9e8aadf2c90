//! Who or what answered: the request to an `amdStatusCallback` (of a noun) or `AsyncAmdStatusCallback` (of a call).
//!
//! It comes when the detection is done, some time after the answer, and says nothing of the call's state. Parameters and
//! words: Twilio's documentation of answering machine detection (`voice/answering-machine-detection`); words it may add
//! later are kept as they are.

use super::{
    door::Said,
    form::Form,
    reading::{Reading, Unreadable, WORD_BYTES_MAX},
};
use crate::domain::{
    signal::{Claim, Field, Signal, Witness},
    time::Millis,
};

/// Reads who or what answered. `MachineDetectionDuration` says how long it took to find out: nobody asks for it.
pub(super) fn read_amd(parameters: &Form, query: &Form, received_ms: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let leg = reading.leg()?;
    let provider_id = leg.provider_id.clone();
    reading.required("AnsweredBy", "a word such as human or machine_start")?;
    let Some(answered_by) = reading.bounded("AnsweredBy", WORD_BYTES_MAX) else {
        return Ok(reading.said(provider_id, Vec::new()));
    };
    let mut details = reading.correlations();
    details.insert(Field::AnsweredBy, answered_by);
    let (witness, claim, link) = (Witness::Callback, Claim::AnsweredBy, reading.link());
    let signal = Signal { leg, witness, claim, at: None, sequence: None, details, link, received_ms };
    Ok(reading.said(provider_id, vec![signal]))
}
