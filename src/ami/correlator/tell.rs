//! Making signals.

use super::Heard;
use crate::domain::{
    id::Leg,
    signal::{Claim, Field, Link, LinkRank, Signal, Witness, believable},
    time::Millis,
};
use std::collections::BTreeMap;

/// Facts of a row that wait for its next signal.
pub(super) type Facts = BTreeMap<Field, String>;

/// When something happened, and how we know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Who says it.
    pub witness: Witness,
    /// When it happened, as well as we know.
    pub at_ms: Millis,
    /// The same, if it was told and can be believed.
    pub told_ms: Option<Millis>,
    /// When it reached us.
    pub received_ms: Millis,
}

impl Moment {
    /// The moment of a message.
    pub(super) fn heard(heard: Heard) -> Self {
        let told_ms = believable(heard.at_ms, heard.received_ms);
        let at_ms = told_ms.unwrap_or(heard.received_ms);
        Self { witness: Witness::Callback, at_ms, told_ms, received_ms: heard.received_ms }
    }

    /// The moment of a channel list.
    pub(super) fn listed(listed_ms: Millis) -> Self {
        Self { witness: Witness::Reconciled, at_ms: listed_ms, told_ms: Some(listed_ms), received_ms: listed_ms }
    }

    /// The same source, another time.
    pub(super) fn at(self, at_ms: Millis) -> Self {
        let told_ms = self.told_ms.map(|_| at_ms);
        Self { at_ms, told_ms, ..self }
    }
}

/// The signals of one turn, and whose they are.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    account: String,
    told: Vec<Signal>,
}

impl Teller {
    pub(super) const fn new(account: String) -> Self {
        Self { account, told: Vec::new() }
    }

    /// Says something of a row.
    pub(super) fn say(&mut self, row: &str, claim: Claim, details: Facts, moment: Moment) {
        let leg = Leg { provider_id: row.to_owned(), account: self.account.clone() };
        let Moment { witness, told_ms: at, received_ms, .. } = moment;
        self.told.push(Signal { leg, witness, claim, at, sequence: None, details, link: None, received_ms });
    }

    /// Ties a row to a lead.
    pub(super) fn link(&mut self, row: &str, lead_id: &str, moment: Moment) {
        self.say(row, Claim::Link, Facts::new(), moment);
        if let Some(signal) = self.told.last_mut() {
            signal.link = Some(Link { rank: LinkRank::Url, lead_id: lead_id.to_owned() });
        }
    }

    /// What was said since the last time.
    pub(super) fn take(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.told)
    }
}

/// A value that may become a fact: none that is empty, long or holds control characters.
pub(super) fn fact(value: &str) -> Option<&str> {
    let value = value.trim();
    (!value.is_empty() && value.len() <= FACT_BYTES_MAX && !value.chars().any(char::is_control)).then_some(value)
}

/// Longer ids and numbers are ignored.
const FACT_BYTES_MAX: usize = 200;
