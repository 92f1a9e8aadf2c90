//! `onhook demo`: a gateway on a temporary database, and Twilio's side of every fixture story played at it over HTTP.

mod ami;
mod api;
mod compare;
mod gateway;
mod played;
mod repaired;
mod twilio;

use super::{
    exit::Exit,
    out::{Out, Tone, or_dash},
    replay, serve,
};
use crate::{
    app::App,
    clock::{Clock, SystemClock},
    domain::time::{Millis, rfc3339},
    story::{self, Play, Story},
};
use anyhow::Result;
use api::Api;
use clap::Args;
use compare::Told;
use gateway::{ACCOUNT_SID, Gateway};
use played::Played;
use repaired::{Lost, Repaired};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use twilio::Twilio;

/// See it work: real signed webhooks against a gateway of its own, with nothing set up
///
/// Plays every built-in story (answered, busy, no answer, out of order, duplicated, …) at a gateway on a temporary
/// database, compares what came of each with what should, lets the gateway ask Twilio (a double of it) what became of
/// calls whose end was lost, and keeps the gateway running to try things on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook demo
  onhook demo --exit && echo 'all stories ended as expected'
  onhook demo --speed 20x
  onhook demo --ami")]
pub struct Demo {
    /// Stop after the stories; exit code 1 if one did not end as expected
    #[arg(long)]
    exit: bool,
    /// How fast the time of a story passes, such as 20x [default: webhooks are sent one after the other at once]
    #[arg(long, value_name = "FACTOR", value_parser = replay::speed)]
    speed: Option<f64>,
    /// Listen to an Asterisk instead, a scripted one that is built in: calls of every kind, a link that is cut in the
    /// middle of a call, and a PBX that dies; exit code 1 with --exit if one did not come out as it was
    #[arg(long, conflicts_with = "speed")]
    ami: bool,
}

impl Demo {
    /// Plays the stories, then waits to be told to stop.
    pub async fn run(self, out: Out) -> Result<Exit> {
        if self.ami {
            return ami::run(out, self.exit).await;
        }
        let stories = story::embedded()?;
        let gateway = Gateway::build(None).await?;
        let Gateway { app, key, token, twilio, folder: _folder } = gateway;
        let base = serve::base_url(app.address());
        let api = Api::new(&base, &key, token.clone())?;
        let stop = CancellationToken::new();
        tokio::spawn(serve::cancel_when_told(stop.clone()));
        let serving = App::run(app, stop.clone());
        tokio::pin!(serving);
        let passed = tokio::select! {
            ended = &mut serving => return ended.map(|()| Exit::Failed).map_err(Into::into),
            passed = self.tell(&out, &api, &stories, (&twilio, &token)) => passed?,
        };
        if self.exit {
            stop.cancel();
        } else {
            invite(&out, &base, &key)?;
        }
        serving.await?;
        Ok(if passed { Exit::Ok } else { Exit::Failed })
    }

    /// Plays every story and shows what came of it; `true` if all ended as expected.
    async fn tell(
        &self,
        out: &Out,
        api: &Api,
        stories: &[Story],
        (twilio, token): (&Twilio, &SecretString),
    ) -> Result<bool> {
        let heading = format!("{} stories, played at {} as signed webhooks", stories.len(), api.base());
        let table = Lines::of(stories);
        if !out.is_json() {
            out.line(out.paint(Tone::Strong, &heading))?;
            out.line(out.paint(Tone::Faint, &table.line(" ", "STORY", "EXPECTED", "CAME OUT AS")))?;
        }
        let (mut told, mut lost) = (Vec::new(), Vec::new());
        for story in stories {
            let start_ms = SystemClock.now_ms() - story.length_ms();
            let outcome = self.play(api, story, play(start_ms), twilio).await?;
            if !out.is_json() {
                outcome.show(out, &table)?;
            }
            lost.extend(Lost::of(story, start_ms, &outcome.actual));
            told.push((outcome, start_ms));
        }
        // Only now: what is asked for is not yet known when the stories are compared.
        told.iter().zip(stories).for_each(|((_, start_ms), story)| twilio.end(story, play(*start_ms)));
        let repaired = repaired::watch(out, api, &lost, &table).await?;
        let played = Played::play(api, token).await?;
        if !out.is_json() {
            played.show(out)?;
        }
        let told: Vec<Told> = told.into_iter().map(|(told, _)| told).collect();
        let passed = told.iter().all(Told::passed) && repaired.iter().all(Repaired::passed) && played.passed();
        let (calls, leads) = (api.list("/v1/calls").await?, api.list("/v1/leads").await?);
        if out.is_json() {
            let stories: Vec<Value> = told.iter().map(Told::json).collect();
            let repaired: Vec<Value> = repaired.iter().map(Repaired::json).collect();
            let conversation = played.json();
            out.json(&json!({
                "passed": passed, "stories": stories, "repaired": repaired, "conversation": conversation,
                "calls": calls, "leads": leads,
            }))?;
        } else {
            show_rows(out, &calls, &leads)?;
            let count = told.iter().filter(|told| told.passed()).count();
            let sentence = format!("{count} of {} stories ended as expected", told.len());
            out.line(out.paint(if passed { Tone::Good } else { Tone::Bad }, &sentence))?;
        }
        Ok(passed)
    }

    /// Plays one story and looks at what came of it.
    async fn play(&self, api: &Api, story: &Story, play: Play<'_>, twilio: &Twilio) -> Result<Told> {
        twilio.begin(story, play);
        if let Some(lead) = &story.lead {
            api.put_lead(lead).await?;
        }
        let mut told = Told::expect(story, &story.expected, play);
        let mut at_ms = 0;
        for request in story.requests(play) {
            replay::pause(request.after_ms - at_ms, self.speed).await;
            at_ms = request.after_ms;
            told.answered(&request, api.send(&request).await?);
        }
        told.compare(api, story, &story.expected, play).await?;
        Ok(told)
    }
}

/// The stories are told once: their identifiers need no salt.
const fn play(start_ms: Millis) -> Play<'static> {
    Play { start_ms, account_sid: ACCOUNT_SID, salt: "" }
}

/// The table of stories, of which each line is printed as soon as it is known.
struct Lines {
    story: usize,
    expected: usize,
}

impl Lines {
    fn of(stories: &[Story]) -> Self {
        let widest = |width: &dyn Fn(&Story) -> usize| stories.iter().map(width).max().unwrap_or_default();
        let expected = |story: &Story| Told::expect(story, &story.expected, play(0)).expected.chars().count();
        Self { story: widest(&|story| story.name.len()), expected: widest(&expected) }
    }

    fn line(&self, mark: &str, story: &str, expected: &str, actual: &str) -> String {
        format!("{mark} {story:<0$}  {expected:<1$}  {actual}", self.story, self.expected)
    }
}

/// All calls and leads there are now.
fn show_rows(out: &Out, calls: &[Value], leads: &[Value]) -> Result<()> {
    let text = |row: &Value, key: &str| match &row[key] {
        Value::Null => or_dash::<String>(None),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let today = rfc3339(SystemClock.now_ms());
    let time = |row: &Value, key: &str| time(&text(row, key), &today);
    let call = |row: &Value| {
        let (id, to, status) = (text(row, "provider_id"), text(row, "to"), text(row, "status"));
        let (cause, talk) = (text(row, "hangup_cause"), text(row, "talk_seconds"));
        let (answered, ended) = (time(row, "answered_at"), time(row, "ended_at"));
        vec![id, to, status, cause, answered, ended, talk, text(row, "deliveries"), text(row, "lead_id")]
    };
    let lead = |row: &Value| {
        let (id, name, phone) = (text(row, "id"), text(row, "name"), text(row, "phone"));
        vec![id, name, phone, text(row, "status"), text(row, "contact_count"), time(row, "last_contacted_at")]
    };
    out.line("")?;
    let header = ["call", "to", "status", "cause", "answered", "ended", "talk s", "deliveries", "lead"];
    out.line(out.table(&header, calls.iter().map(call)))?;
    out.line("")?;
    let header = ["lead", "name", "phone", "status", "contacts", "last contacted"];
    out.line(out.table(&header, leads.iter().map(lead)))?;
    out.line("")
}

/// A time to the second; with its date where that is not today's.
fn time(at: &str, today: &str) -> String {
    let is_today = at.get(..10) == today.get(..10);
    let shown = if is_today { at.get(11..19) } else { at.get(..19) };
    shown.unwrap_or("-").replace('T', " ")
}

/// Says how to go on by hand.
fn invite(out: &Out, base: &str, key: &str) -> Result<()> {
    if out.is_json() {
        return out.json(&json!({ "api": format!("{base}/v1"), "docs": format!("{base}/docs"), "key": key }));
    }
    out.line("")?;
    out.line(out.sheet(&[
        ("API", format!("{base}/v1")),
        ("docs", format!("{base}/docs")),
        ("key", key.to_owned()),
        ("try", format!("curl -H 'Authorization: Bearer {key}' '{base}/v1/calls?lead_id=lead-ada'")),
    ]))?;
    out.line("")?;
    out.line("Ctrl-C stops the gateway and removes its database.")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_date_that_is_not_todays_is_shown() {
        let today = "2026-01-02T00:00:01.000Z";
        assert_eq!(time("2026-01-02T00:00:00.500Z", today), "00:00:00");
        assert_eq!(time("2026-01-01T23:59:59.000Z", today), "2026-01-01 23:59:59");
        assert_eq!(time("-", today), "-");
    }
}
