//! What a step owes the outside. Effects become rows of the outbox in the transaction of the step.

use super::{
    call::Row,
    state::Resolution,
    time::{Millis, SECOND},
    words,
};

words! {
    /// Kinds of effects, as subscribers see them.
    pub enum EffectKind {
        /// A call ended and the provider said so by itself.
        CallEnded = "call.ended",
        /// A call ended whose ending had to be asked for, stated or inferred.
        CallRepaired = "call.repaired",
        /// An ending that was reported before was wrong in something that matters.
        CallCorrected = "call.corrected",
        /// A conversation became a contact of its lead.
        LeadContacted = "lead.contacted",
        /// What was reported as a contact is none.
        LeadContactCorrected = "lead.contact_corrected",
        /// An outbound run was started.
        RunStarted = "run.started",
        /// All jobs of an outbound run are over.
        RunCompleted = "run.completed",
        /// An outbound run was cancelled.
        RunCancelled = "run.cancelled",
        /// An outbound run has failed: nobody placed what could be placed.
        RunFailed = "run.failed",
    }
}

/// The effect owed for a call that read `before` and now reads `after`. `before` is `None` for a new call.
pub fn of_call(before: Option<&Row>, after: &Row) -> Option<EffectKind> {
    let was_ended = before.is_some_and(|row| row.status.is_ended());
    match (was_ended, after.status.is_ended()) {
        (false, false) => None,
        (false, true) if after.resolution == Some(Resolution::Callback) => Some(EffectKind::CallEnded),
        (false, true) => Some(EffectKind::CallRepaired),
        (true, _) => before.is_some_and(|row| differs(row, after)).then_some(EffectKind::CallCorrected),
    }
}

/// Whether a correction matters: another outcome, another answer, or times that moved by more than a second.
fn differs(before: &Row, after: &Row) -> bool {
    // Where only one of the two has ended, the status says so.
    let moved =
        |a: Option<Millis>, b: Option<Millis>| a.zip(b).is_some_and(|(a, b)| a.abs_diff(b) > SECOND.unsigned_abs());
    let in_ms = |row: &Row| row.talk_seconds.map(|s| s.saturating_mul(SECOND));
    before.status != after.status
        || before.answered != after.answered
        || moved(before.ended_at_ms, after.ended_at_ms)
        || moved(in_ms(before), in_ms(after))
}

/// The effect owed when a contact is switched on or off: effects of one contact alternate, so the last one equals
/// the net state.
pub const fn of_contact(was_active: bool, is_active: bool) -> Option<EffectKind> {
    match (was_active, is_active) {
        (false, true) => Some(EffectKind::LeadContacted),
        (true, false) => Some(EffectKind::LeadContactCorrected),
        (true, true) | (false, false) => None,
    }
}
