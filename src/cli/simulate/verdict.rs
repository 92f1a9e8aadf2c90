//! What the gateway says of each call, beside what became of it.

use super::gateway::{Gateway, all};
use crate::{
    domain::state::{Resolution, Status},
    double::{Call, Shared, call::Seen},
};
use anyhow::Result;
use serde_json::Value;

/// What there is to say about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The gateway says what is true.
    True {
        /// Its end was not told: the gateway asked for it.
        repaired: bool,
    },
    /// It is live for the gateway, which was never told the end: that was lost, and nobody could be asked.
    EndingLost,
    /// The same, but Twilio could be asked.
    NotRepaired,
    /// The gateway knows nothing of it, and was told nothing: everything was lost, or Twilio reports nothing of such a
    /// call.
    Unheard,
    /// It is live for the gateway, although the end was sent; what came of that, in one line.
    Live(&'static str),
    /// The gateway says something else; what, in one line.
    Wrong(String),
}

/// What the double knows of a call.
#[derive(Clone, Debug)]
pub struct Known {
    /// The call.
    pub sid: String,
    /// What became of it.
    pub truth: Seen,
    accepted: u32,
    ending_lost: bool,
    ending_taken: bool,
    /// Whether the gateway could ask for what it was not told.
    could_ask: bool,
}

/// A call and what there is to say about it.
pub type Judged = (Known, Finding);

impl Finding {
    /// Compares.
    fn of(known: &Known, answer: Option<&Value>) -> Self {
        let Known { truth, .. } = known;
        let Some(row) = answer else {
            let was_told = known.accepted > 0;
            return if was_told {
                Self::Wrong("it does not know the call, and took its callbacks".into())
            } else {
                Self::Unheard
            };
        };
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let talk = row.get("talk_seconds").and_then(Value::as_i64).unwrap_or_default();
        let Ok(status) = text("status").parse::<Status>() else {
            return Self::Wrong(format!("it says {:?}", text("status")));
        };
        if row.get("ended_at").is_none_or(Value::is_null) {
            return match (known.ending_lost, known.ending_taken) {
                (true, _) if known.could_ask => Self::NotRepaired,
                (true, _) => Self::EndingLost,
                (false, true) => Self::Live("it is live there, and its end was taken"),
                (false, false) => Self::Live("it is live there: its end was sent, and never answered with 2xx"),
            };
        }
        if status == truth.status && talk == truth.seconds() {
            return Self::True { repaired: text("resolution") == Resolution::Reconciled.as_str() };
        }
        Self::Wrong(format!("it says {status}, {talk} s; true is {}, {} s", truth.status, truth.seconds()))
    }

    /// In a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::True { .. } => "true",
            Self::EndingLost => "ending-lost",
            Self::NotRepaired => "not-repaired",
            Self::Unheard => "unheard",
            Self::Live(_) => "live",
            Self::Wrong(_) => "wrong",
        }
    }

    /// In a line, where the word does not say all.
    pub fn why(&self) -> &str {
        match self {
            Self::True { .. } | Self::EndingLost | Self::Unheard => "",
            Self::NotRepaired => "it is live there: its end was lost, and Twilio, when asked, could tell it",
            Self::Live(why) => why,
            Self::Wrong(why) => why,
        }
    }

    /// What is no fault of the network.
    pub const fn blames_the_gateway(&self) -> bool {
        match self {
            Self::True { .. } | Self::EndingLost | Self::Unheard => false,
            Self::NotRepaired | Self::Live(_) | Self::Wrong(_) => true,
        }
    }
}

impl Known {
    fn of(call: &Call, could_ask: bool) -> Option<Self> {
        let Call { sid, accepted, ending_lost, ending_taken, .. } = call;
        let (accepted, ending_lost, ending_taken) = (*accepted, *ending_lost, *ending_taken);
        Some(Self { sid: sid.clone(), truth: call.truth()?, accepted, ending_lost, ending_taken, could_ask })
    }

    /// Every call, in the order in which they were placed. `could_ask`: the gateway could ask Twilio.
    pub fn all(double: &Shared, could_ask: bool) -> Vec<Self> {
        double.with(|double| double.calls().iter().filter_map(|call| Self::of(call, could_ask)).collect())
    }
}

/// Asks about these calls.
pub async fn judge(calls: Vec<Known>, gateway: &Gateway) -> Result<Vec<Judged>> {
    let ask = |known: Known| {
        let gateway = gateway.clone();
        async move {
            let answer = gateway.find(&known.sid).await?;
            let finding = Finding::of(&known, answer.as_ref());
            Ok((known, finding))
        }
    };
    all(calls, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(ending_lost: bool, accepted: u32) -> Known {
        let truth = Seen {
            status: Status::Completed,
            created_ms: 0,
            updated_ms: 20_000,
            started_ms: Some(1_000),
            answered_ms: Some(3_000),
            ended_ms: Some(20_000),
            answered_by: None,
            sip: Some(200),
        };
        let (sid, ending_taken, could_ask) = ("CA1".to_owned(), !ending_lost, false);
        Known { sid, truth, accepted, ending_lost, ending_taken, could_ask }
    }

    #[test]
    fn only_the_truth_is_true() {
        let row = |status: &str, talk: i64| json!({ "status": status, "talk_seconds": talk, "ended_at": "2026-01-02" });
        let live = json!({ "status": "in-progress", "talk_seconds": null, "ended_at": null });
        let find = |known: Known, row: Option<&Value>| Finding::of(&known, row).word();
        assert_eq!(find(known(false, 4), Some(&row("completed", 17))), "true");
        assert_eq!(find(known(true, 3), Some(&row("completed", 17))), "true", "it found out by itself");
        assert_eq!(find(known(false, 4), Some(&row("completed", 18))), "wrong");
        assert_eq!(find(known(false, 4), Some(&row("busy", 0))), "wrong");
        assert_eq!(find(known(true, 3), Some(&row("failed", 0))), "wrong");
        assert_eq!(find(known(true, 3), Some(&live)), "ending-lost");
        let could_ask = |known: Known| Known { could_ask: true, ..known };
        assert_eq!(find(could_ask(known(true, 3)), Some(&live)), "not-repaired");
        assert_eq!(find(could_ask(known(false, 4)), Some(&live)), "live");
        assert_eq!(find(known(false, 4), Some(&live)), "live");
        assert_eq!(find(known(false, 0), None), "unheard");
        assert_eq!(find(known(true, 1), None), "wrong");
    }

    #[test]
    fn what_was_asked_for_is_told_from_what_was_told() {
        let row = |resolution: &str| json!({ "status": "completed", "talk_seconds": 17, "ended_at": "2026", "resolution": resolution });
        assert_eq!(Finding::of(&known(true, 3), Some(&row("reconciled"))), Finding::True { repaired: true });
        assert_eq!(Finding::of(&known(false, 3), Some(&row("callback"))), Finding::True { repaired: false });
    }

    #[test]
    fn the_network_is_not_the_gateways_fault() {
        let fine = [Finding::True { repaired: false }, Finding::EndingLost, Finding::Unheard];
        assert!(!fine.iter().any(Finding::blames_the_gateway));
        let blamed = [Finding::Live(""), Finding::NotRepaired, Finding::Wrong(String::new())];
        assert!(blamed.iter().all(Finding::blames_the_gateway));
    }
}
