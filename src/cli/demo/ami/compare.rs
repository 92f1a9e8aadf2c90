//! A call as the gateway has it beside the truth, which only the PBX knows.

use super::{REPAIR_WITHIN_MS, scene::Act};
use crate::{
    cli::out::{Out, Tone},
    domain::{
        state::Outcome,
        time::{Millis, parse_rfc3339},
    },
    pbx_double::Truth,
};
use anyhow::Result;
use serde_json::{Value, json};

/// What was found.
pub struct Compared {
    title: &'static str,
    who: String,
    expected: String,
    actual: String,
    after_s: Option<f64>,
    lead: Option<(String, bool)>,
    differences: Vec<String>,
}

impl Compared {
    /// Compares the row of a call, and those of its legs and of the calls it took over, which stand in the truth's order.
    pub fn new(truth: &Truth, title: &'static str, act: &Act, row: Value, others: Vec<Value>, after_s: f64) -> Self {
        let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or("missing").to_owned();
        let word = |outcome: Option<Outcome>| outcome.map_or("live", Outcome::as_str).to_owned();
        let (legs, merged) = others.split_at(truth.legs.len().min(others.len()));
        let mut differences = Vec::new();
        let mut differ = |what: String, is: String, expected: String| {
            if is != expected {
                differences.push(format!("{what} is {is}, expected {expected}"));
            }
        };
        differ("status".to_owned(), text(&row, "status"), word(truth.outcome));
        for (leg, row) in truth.legs.iter().zip(legs) {
            differ(format!("the leg of {}", leg.phone), text(row, "status"), word(leg.outcome));
        }
        for row in merged {
            differ("the call that became part of it".to_owned(), text(row, "merged_into"), truth.linkedid.clone());
        }
        let (resolution, cause) = match act {
            Act::Calls => ("callback", None),
            Act::Cut => ("reconciled", Some("ended_while_disconnected")),
            Act::Restart => ("reconciled", Some("pbx_restart")),
        };
        differ("resolution".to_owned(), text(&row, "resolution"), resolution.to_owned());
        cause.into_iter().for_each(|cause| differ("cause".to_owned(), text(&row, "hangup_cause"), cause.to_owned()));
        differences.extend(times(truth, act, &row));
        let after_s = (*act != Act::Calls).then_some(after_s);
        let late = after_s.filter(|after_s| after_s * 1_000.0 > REPAIR_WITHIN_MS as f64);
        differences
            .extend(late.map(|after_s| format!("known {after_s:.1} s after the reconnect, expected 2 s at most")));
        Self {
            title,
            who: format!("{} → {}", truth.from, truth.to),
            expected: words(&word(truth.outcome), truth.legs.iter().map(|leg| (leg.phone.as_str(), word(leg.outcome)))),
            actual: words(
                &text(&row, "status"),
                truth.legs.iter().zip(legs).map(|(leg, row)| (leg.phone.as_str(), text(row, "status"))),
            ),
            after_s,
            lead: truth.lead.clone().map(|lead| (lead, truth.answered_ms.is_some())),
            differences,
        }
    }

    /// Whether it is the truth.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// The lead it was about, and whether somebody talked.
    pub const fn lead(&self) -> Option<&(String, bool)> {
        self.lead.as_ref()
    }

    /// Prints its line, and every difference below it.
    pub fn show(&self, out: &Out) -> Result<()> {
        let (mark, tone) = if self.passed() { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let after =
            self.after_s.map(|after_s| format!(", known {after_s:.1} s after the reconnect")).unwrap_or_default();
        let line = format!(" {:<18} {:<12} {}{after}", self.title, self.who, self.actual);
        out.line(format!("{}{line}", out.paint(tone, mark)))?;
        self.differences.iter().try_for_each(|difference| out.line(out.paint(Tone::Bad, &format!("    {difference}"))))
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "call": self.title, "who": self.who, "passed": self.passed(), "expected": self.expected,
            "actual": self.actual, "after_seconds": self.after_s, "differences": self.differences,
        })
    }
}

/// What is wrong with its times: told ones are within a second, an estimated end lies between the answer and the truth.
fn times(truth: &Truth, act: &Act, row: &Value) -> Vec<String> {
    let time = |key: &str| row.get(key).and_then(Value::as_str).and_then(parse_rfc3339);
    let mut wrong = Vec::new();
    let mut near = |key: &str, expected: Option<Millis>| {
        let is = time(key);
        let is_near = match (is, expected) {
            (Some(is), Some(expected)) => is.abs_diff(expected) <= NEAR_MS,
            (None, None) => true,
            _ => false,
        };
        if !is_near {
            wrong.push(format!("{key} is {is:?}, expected {expected:?}"));
        }
    };
    near("answered_at", truth.answered_ms);
    match act {
        Act::Calls => near("ended_at", truth.ended_ms),
        Act::Cut | Act::Restart => {
            let estimated = row.get("estimated") == Some(&Value::Bool(true));
            let (ended, least, most) = (time("ended_at"), truth.answered_ms, truth.ended_ms);
            if !estimated || ended < least || ended.zip(most).is_none_or(|(ended, most)| ended > most) {
                wrong.push(format!("ended_at is {ended:?}, expected an estimate from {least:?} to {most:?}"));
            }
        }
    }
    wrong
}

/// `completed: 2003 canceled, 2004 completed`
fn words<'a>(status: &str, legs: impl Iterator<Item = (&'a str, String)>) -> String {
    let legs = legs.map(|(phone, status)| format!("{phone} {status}")).collect::<Vec<_>>().join(", ");
    if legs.is_empty() { status.to_owned() } else { format!("{status}: {legs}") }
}

const NEAR_MS: u64 = 1_000;
