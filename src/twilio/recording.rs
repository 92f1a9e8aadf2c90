//! A recording: the request to a `recordingStatusCallback`.
//!
//! Its `CallSid` is the leg that is recorded; for a `<Dial>` it is always the parent. It has no `CallStatus`, so it moves
//! nothing. Parameters and words: Twilio's documentation of `<Dial>` and of the Recording resource
//! (`voice/twiml/dial`, `voice/api/recording`).

use super::{
    door::Said,
    form::Form,
    reading::{Reading, Unreadable, shortened},
};
use crate::domain::{
    signal::{Claim, Field, Signal, Witness},
    time::Millis,
};

/// Reads what is told of a recording.
pub(super) fn read_recording(parameters: &Form, query: &Form, received_ms: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let leg = reading.leg()?;
    let provider_id = leg.provider_id.clone();
    if !reading.is_there()? {
        return Ok(reading.said(provider_id, Vec::new()));
    }
    let mut details = reading.recording();
    if !details.contains_key(&Field::RecordingUrl) {
        reading.noted.push("there is no RecordingUrl to keep: nothing is known of the recording".to_owned());
        return Ok(reading.said(provider_id, Vec::new()));
    }
    details.extend(reading.correlations());
    let (at, link) = (reading.time("RecordingStartTime", received_ms), reading.link());
    let (witness, claim) = (Witness::Callback, Claim::Recording);
    let signal = Signal { leg, witness, claim, at, sequence: None, details, link, received_ms };
    Ok(reading.said(provider_id, vec![signal]))
}

impl Reading<'_> {
    /// Whether there is, or will be, something to listen to.
    fn is_there(&mut self) -> Result<bool, Unreadable> {
        let word = self.required("RecordingStatus", "a status such as completed")?;
        if matches!(word.as_ref(), "in-progress" | "completed") {
            return Ok(true);
        }
        let (word, code) = (shortened(&word), self.given("ErrorCode").unwrap_or_default());
        let code = shortened(&code);
        self.noted.push(match word {
            "absent" | "failed" => format!("there is no recording: RecordingStatus {word}, ErrorCode {code:?}"),
            _ => format!("RecordingStatus {word:?} is unknown: ignored, ErrorCode {code:?}"),
        });
        Ok(false)
    }
}
