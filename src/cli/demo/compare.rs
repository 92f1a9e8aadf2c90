//! What should come of a story, and what came of it.

use super::{Lines, api::Api};
use crate::{
    cli::out::{Out, Tone},
    story::{Play, Request, Story},
};
use anyhow::Result;
use serde_json::{Value, json};

/// A story that was told.
pub struct Told {
    name: String,
    title: String,
    /// What should come of it, in a few words.
    pub expected: String,
    actual: String,
    differences: Vec<String>,
}

impl Told {
    /// What should come of a story.
    pub fn expect(story: &Story, play: Play<'_>) -> Self {
        let calls: Vec<Value> = story.expected.calls.iter().map(|call| call.row(story, play)).collect();
        let lead = story.expected.lead.as_ref().map(|lead| lead.row(story, play));
        Self {
            name: story.name.clone(),
            title: story.title.clone(),
            expected: words(&calls, lead.as_ref()),
            actual: String::new(),
            differences: Vec::new(),
        }
    }

    /// Whether it ended as expected, to the last field.
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// Every webhook of a story is answered 204.
    pub fn answered(&mut self, request: &Request, status: u16) {
        if status != 204 {
            self.differences.push(format!("the webhook {} of {} was answered {status}", request.status(), request.leg));
        }
    }

    /// Looks at what came of it: every call, its timeline, and the lead.
    pub async fn compare(&mut self, api: &Api, story: &Story, play: Play<'_>) -> Result<()> {
        let mut calls = Vec::new();
        for expected in &story.expected.calls {
            let path = format!("/v1/calls/{}", story.sid(&expected.leg, play.salt));
            let call = api.get(&path).await?;
            self.differ(&expected.leg, &expected.row(story, play), &call);
            let rows = api.list(&format!("{path}/timeline")).await?;
            let wanted = expected.timeline_rows();
            if rows.len() != wanted.len() {
                let what = format!("{}: the timeline has {} rows, expected {}", expected.leg, rows.len(), wanted.len());
                self.differences.push(what);
            }
            for (number, (wanted, row)) in wanted.iter().zip(&rows).enumerate() {
                self.differ(&format!("{} timeline {}", expected.leg, number + 1), wanted, row);
            }
            calls.push(call);
        }
        let mut lead = None;
        if let Some(expected) = &story.expected.lead {
            let actual = api.get(&format!("/v1/leads/{}", story.lead_id(play.salt).unwrap_or_default())).await?;
            self.differ("lead", &expected.row(story, play), &actual);
            lead = Some(actual);
        }
        self.actual = words(&calls, lead.as_ref());
        Ok(())
    }

    /// Notes every expected field that is another one, or missing.
    fn differ(&mut self, what: &str, expected: &Value, actual: &Value) {
        for (key, expected) in expected.as_object().into_iter().flatten() {
            let actual = actual.get(key).unwrap_or(&Value::Null);
            if actual != expected {
                self.differences.push(format!("{what}: {key} is {actual}, expected {expected}"));
            }
        }
    }

    /// Prints the line of the story, and every difference below it.
    pub fn show(&self, out: &Out, lines: &Lines) -> Result<()> {
        let (mark, tone) = if self.passed() { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let line = lines.line("", &self.name, &self.expected, &self.actual);
        out.line(format!("{}{line}", out.paint(tone, mark)))?;
        self.differences.iter().try_for_each(|difference| out.line(out.paint(Tone::Bad, &format!("    {difference}"))))
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "story": self.name, "title": self.title, "passed": self.passed(), "expected": self.expected,
            "actual": self.actual, "differences": self.differences,
        })
    }
}

/// `completed 17 s + no-answer → lead contacted`
fn words(calls: &[Value], lead: Option<&Value>) -> String {
    let call = |row: &Value| {
        let status = row["status"].as_str().unwrap_or("missing");
        match row["talk_seconds"].as_i64() {
            Some(seconds @ 1..) => format!("{status} {seconds} s"),
            _ => status.to_owned(),
        }
    };
    let calls = calls.iter().map(call).collect::<Vec<_>>().join(" + ");
    let Some(lead) = lead else { return calls };
    let status = lead["status"].as_str().unwrap_or("missing");
    match lead["contact_count"].as_i64() {
        Some(count @ 2..) => format!("{calls} → lead {status} ({count})"),
        _ => format!("{calls} → lead {status}"),
    }
}
