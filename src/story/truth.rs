//! What Twilio knows of a story's calls: what it says when it is asked about them.

use super::{Play, Story, When, expected::ExpectedCall};
use crate::{
    domain::{
        state::{Outcome, Status},
        time::Millis,
    },
    double::{Change, Order},
    twilio::form::Form,
};

/// A call of a story at Twilio.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Its CallSid.
    pub sid: String,
    /// Between whom it is.
    pub order: Order,
    /// What happened to it, oldest first.
    pub changes: Vec<(Millis, Change)>,
}

impl Story {
    /// The calls as they are in the end: as expected, where Twilio told everything; else as they are once it was asked.
    pub fn truth(&self, play: Play<'_>) -> Vec<Truth> {
        let repaired = |leg: &str| self.repaired.iter().flat_map(|r| &r.calls).find(|call| call.leg == leg);
        let calls = self.expected.calls.iter();
        calls.map(|call| self.known(call, self.changes(repaired(&call.leg).unwrap_or(call), play), play)).collect()
    }

    /// The calls while they are still being told: they live, and that is all that can be said of them.
    pub fn beginning(&self, play: Play<'_>) -> Vec<Truth> {
        let queued = || vec![(play.start_ms, Change::Queued)];
        self.expected.calls.iter().map(|call| self.known(call, queued(), play)).collect()
    }

    fn known(&self, call: &ExpectedCall, changes: Vec<(Millis, Change)>, play: Play<'_>) -> Truth {
        let body = self.legs.get(&call.leg).map(|leg| leg.body.replace('\n', "&")).unwrap_or_default();
        let form = Form::parse(body.as_bytes()).unwrap_or_default();
        let said = |name: &str| form.first(name).unwrap_or_default().into_owned();
        let order = Order::new(play.account_sid, &said("From"), &said("To"));
        Truth { sid: self.sid(&call.leg, play.salt), order, changes }
    }

    fn changes(&self, call: &ExpectedCall, play: Play<'_>) -> Vec<(Millis, Change)> {
        let at = |when: Option<When>| match when? {
            When::Told(at) => Some(play.start_ms + at.0),
            When::Received => Some(play.start_ms + self.length_ms()),
        };
        let outcome = match call.status {
            Status::Completed => Some(Outcome::Completed),
            Status::Busy => Some(Outcome::Busy),
            Status::NoAnswer => Some(Outcome::NoAnswer),
            Status::Canceled => Some(Outcome::Canceled),
            Status::Failed => Some(Outcome::Failed),
            Status::Queued | Status::Initiated | Status::Ringing | Status::InProgress => None,
        };
        let sip = if outcome == Some(Outcome::Completed) { 200 } else { 487 };
        let ended = at(call.ended_at).zip(outcome).map(|(at, outcome)| (at, Change::Ended { outcome, sip }));
        let changes = [
            Some((play.start_ms, Change::Queued)),
            at(call.initiated_at).map(|at| (at, Change::Initiated)),
            at(call.ringing_at).map(|at| (at, Change::Ringing)),
            at(call.answered_at).map(|at| (at, Change::Answered { by: None })),
            ended,
        ];
        changes.into_iter().flatten().collect()
    }
}
