//! What really became of a call, known to nobody but the double.

use super::fate::Order;
use crate::domain::{state::Outcome, time::Millis};

/// The truth about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Who called.
    pub from: String,
    /// What was dialed.
    pub to: String,
    /// The lead it was about.
    pub lead: Option<String>,
    /// The Linkedid: the id of its first leg. Empty until it begins.
    pub linkedid: String,
    /// When it began.
    pub began_ms: Millis,
    /// When a called party answered.
    pub answered_ms: Option<Millis>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When.
    pub ended_ms: Option<Millis>,
    /// Whether the PBX died in the middle of it.
    pub killed: bool,
    /// Its dialed legs.
    pub legs: Vec<LegTruth>,
    /// Calls that became a part of it, by their Linkedid.
    pub merged: Vec<String>,
}

/// The truth about a dialed leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegTruth {
    /// Its id.
    pub uniqueid: String,
    /// Whose phone.
    pub phone: String,
    /// When it answered.
    pub answered_ms: Option<Millis>,
    /// How it ended; nothing as long as it lives.
    pub outcome: Option<Outcome>,
    /// When.
    pub ended_ms: Option<Millis>,
}

impl Truth {
    /// Of a call that has not begun.
    pub fn of(order: &Order) -> Self {
        Self {
            from: order.from.clone(),
            to: order.to.clone(),
            lead: order.lead.clone(),
            linkedid: String::new(),
            began_ms: 0,
            answered_ms: None,
            outcome: None,
            ended_ms: None,
            killed: false,
            legs: Vec::new(),
            merged: Vec::new(),
        }
    }

    /// A phone is dialed.
    pub fn dialed(&mut self, uniqueid: &str, phone: &str) {
        let (uniqueid, phone) = (uniqueid.to_owned(), phone.to_owned());
        self.legs.push(LegTruth { uniqueid, phone, answered_ms: None, outcome: None, ended_ms: None });
    }

    /// A dialed leg answers.
    pub fn answered(&mut self, uniqueid: &str, at_ms: Millis) {
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.uniqueid == uniqueid) {
            leg.answered_ms = Some(at_ms);
            self.answered_ms = self.answered_ms.or(Some(at_ms));
        }
    }

    /// The dial of a leg ended so.
    pub fn decided(&mut self, uniqueid: &str, outcome: Outcome, at_ms: Millis) {
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.uniqueid == uniqueid && leg.outcome.is_none()) {
            (leg.outcome, leg.ended_ms) = (Some(outcome), Some(at_ms));
        }
    }

    /// The whole call is over, and with it what is left of its legs.
    pub fn over(&mut self, outcome: Outcome, at_ms: Millis) {
        (self.outcome, self.ended_ms) = (Some(outcome), Some(at_ms));
        for leg in self.legs.iter_mut().filter(|leg| leg.outcome.is_none()) {
            leg.outcome = Some(if leg.answered_ms.is_some() { Outcome::Completed } else { outcome });
            leg.ended_ms = Some(at_ms);
        }
    }
}
