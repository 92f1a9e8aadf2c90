//! Calls of which nobody told the end: the gateway asks Twilio for it, before one's eyes.

use super::{Lines, api::Api, compare::Told, play};
use crate::{
    cli::out::{Out, Tone},
    clock::Stopwatch,
    domain::time::Millis,
    story::{Story, expected::Expected},
};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// A story whose end was lost, as it was told.
pub struct Lost<'a> {
    story: &'a Story,
    expected: &'a Expected,
    start_ms: Millis,
    /// What came of it without the end, in a few words.
    was: String,
}

/// What came of it.
pub struct Repaired {
    told: Told,
    was: String,
    /// How the gateway knows the end.
    resolution: String,
    after_s: f64,
}

impl<'a> Lost<'a> {
    /// Of a story that was told from `start_ms` on; nothing if nothing of it was lost.
    pub fn of(story: &'a Story, start_ms: Millis, was: &str) -> Option<Self> {
        let expected = story.repaired.as_ref()?;
        Some(Self { story, expected, start_ms, was: was.to_owned() })
    }

    /// How the gateway knows that the calls have ended; nothing as long as one of them lives.
    async fn resolution(&self, api: &Api) -> Result<Option<String>> {
        let mut resolution = None;
        for call in &self.expected.calls {
            let row = api.get(&format!("/v1/calls/{}", self.story.sid(&call.leg, ""))).await?;
            match row.get("resolution").and_then(Value::as_str) {
                Some(how) => resolution = Some(how.to_owned()),
                None => return Ok(None),
            }
        }
        Ok(resolution)
    }

    /// Waits until the gateway has found out, for a while, and compares.
    async fn watch(&self, api: &Api, watch: Stopwatch) -> Result<Repaired> {
        let mut resolution = self.resolution(api).await?;
        while resolution.is_none() && watch.seconds() < PATIENCE_S {
            tokio::time::sleep(LOOK_EVERY).await;
            resolution = self.resolution(api).await?;
        }
        let after_s = watch.seconds();
        let play = play(self.start_ms);
        let mut told = Told::expect(self.story, self.expected, play);
        told.compare(api, self.story, self.expected, play).await?;
        let resolution = resolution.unwrap_or_else(|| "still live".to_owned());
        Ok(Repaired { told, was: self.was.clone(), resolution, after_s })
    }
}

/// Watches all of them, and shows each as soon as it is known.
pub async fn watch(out: &Out, api: &Api, lost: &[Lost<'_>], lines: &Lines) -> Result<Vec<Repaired>> {
    let sentence = format!(
        "{} of these calls are over, and nobody told the gateway: it asks Twilio what became of them",
        lost.len()
    );
    if !out.is_json() {
        out.line("")?;
        out.line(out.paint(Tone::Strong, &sentence))?;
        out.line(out.paint(Tone::Faint, &lines.line(" ", "STORY", "WAS", "CAME OUT AS")))?;
    }
    let (watch, mut all) = (Stopwatch::start(), Vec::new());
    for lost in lost {
        let repaired = lost.watch(api, watch).await?;
        if !out.is_json() {
            repaired.show(out, lines)?;
        }
        all.push(repaired);
    }
    if !out.is_json() {
        out.line(out.paint(Tone::Faint, "  reconciled: Twilio was asked, because the callback never came"))?;
    }
    Ok(all)
}

impl Repaired {
    /// Whether it came out as Twilio knows it.
    pub fn passed(&self) -> bool {
        self.told.passed()
    }

    fn show(&self, out: &Out, lines: &Lines) -> Result<()> {
        let how = format!("{}, {} after {:.1} s", self.told.actual, self.resolution, self.after_s);
        self.told.show_as(out, lines, &self.was, &how)
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mut json = self.told.json();
        if let Some(json) = json.as_object_mut() {
            json.insert("was".into(), self.was.as_str().into());
            json.insert("resolution".into(), self.resolution.as_str().into());
            json.insert("after_seconds".into(), json!(self.after_s));
        }
        json
    }
}

/// How long one waits for the gateway: many times what it takes.
const PATIENCE_S: f64 = 20.0;
const LOOK_EVERY: Duration = Duration::from_millis(100);
