//! What should come of a story, and what came of it.

use super::{Lines, api::Api};
use crate::{
    cli::out::{Out, Tone},
    story::{Play, Request, Story, expected::Expected},
};
use anyhow::Result;
use serde_json::{Value, json};

/// A story that was told.
pub struct Told {
    name: String,
    title: String,
    /// What should come of it, in a few words.
    pub expected: String,
    /// What came of it, in a few words.
    pub actual: String,
    differences: Vec<String>,
}

impl Told {
    /// What should come of a story.
    pub fn expect(story: &Story, expected: &Expected, play: Play<'_>) -> Self {
        let calls: Vec<Value> = expected.calls.iter().map(|call| call.row(story, play)).collect();
        let lead = expected.lead.as_ref().map(|lead| lead.row(story, play));
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

    /// Every webhook of a story is answered 204, and 200 where TwiML is asked for.
    pub fn answered(&mut self, request: &Request, status: u16) {
        if status != request.answer() {
            self.differences.push(format!("the webhook {} of {} was answered {status}", request.news(), request.leg));
        }
    }

    /// Looks at what came of it: every call, its timeline, and the lead.
    pub async fn compare(&mut self, api: &Api, story: &Story, expected: &Expected, play: Play<'_>) -> Result<()> {
        let mut calls = Vec::new();
        for expected in &expected.calls {
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
        if let Some(expected) = &expected.lead {
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
        self.show_as(out, lines, &self.expected, &self.actual)
    }

    /// The same with other columns.
    pub fn show_as(&self, out: &Out, lines: &Lines, left: &str, right: &str) -> Result<()> {
        let (mark, tone) = if self.passed() { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let line = lines.line("", &self.name, left, right);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_that_came_out_otherwise_does_not_pass() {
        let story = crate::story::embedded().unwrap().remove(0);
        let play = Play { start_ms: 0, account_sid: "AC1", salt: "" };
        let expected = story.expected.calls[0].row(&story, play);
        let told = || Told::expect(&story, &story.expected, play);
        assert_eq!(told().expected, "completed 17 s → lead contacted");

        let mut same = told();
        same.differ("customer", &expected, &expected);
        assert!(same.passed());

        let mut other = told();
        let mut row = expected.clone();
        row["status"] = "busy".into();
        other.differ("customer", &expected, &row);
        assert_eq!(other.differences, [r#"customer: status is "busy", expected "completed""#]);

        let mut missing = told();
        missing.differ("customer", &expected, &Value::Null);
        assert!(missing.differences.len() > 10 && !missing.passed(), "{:?}", missing.differences);

        let mut refused = told();
        let request = story.requests(play).remove(0);
        refused.answered(&request, 204);
        assert!(refused.passed());
        refused.answered(&request, 503);
        assert!(!refused.passed());
    }

    #[test]
    fn what_is_not_there_is_said_to_be_missing() {
        assert_eq!(words(&[Value::Null], Some(&Value::Null)), "missing → lead missing");
        let calls =
            [json!({ "status": "completed", "talk_seconds": 3 }), json!({ "status": "busy", "talk_seconds": 0 })];
        let lead = json!({ "status": "contacted", "contact_count": 2 });
        assert_eq!(words(&calls, Some(&lead)), "completed 3 s + busy → lead contacted (2)");
    }
}
