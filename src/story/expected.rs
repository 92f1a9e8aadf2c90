//! What must come of a story: the calls, their timelines and the lead, in the words of the API.

use super::{Play, Story, When, told};
use crate::domain::{
    call::Step,
    state::{HangupCause, Resolution, Status},
    time,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The end of a story.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// One for each leg.
    pub calls: Vec<ExpectedCall>,
    /// The story's lead afterwards.
    pub lead: Option<ExpectedLead>,
}

/// A call row. What is not written in the file is null in the row, so nothing is left to chance.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCall {
    /// The leg, by its name in the story.
    pub leg: String,
    /// The parent leg, by its name in the story.
    pub parent: Option<String>,
    /// Whether the call is tied to the story's lead.
    #[serde(default)]
    pub lead: bool,
    /// Twilio's word.
    pub direction: Option<String>,
    /// The public state.
    pub status: Status,
    /// How the ending is known.
    pub resolution: Option<Resolution>,
    /// Why it ended.
    pub hangup_cause: Option<HangupCause>,
    /// Who or what answered.
    pub answered_by: Option<String>,
    /// Seconds of conversation.
    pub talk_seconds: Option<i64>,
    /// When dialing began.
    pub initiated_at: Option<When>,
    /// When it rang.
    pub ringing_at: Option<When>,
    /// When it was answered.
    pub answered_at: Option<When>,
    /// When it ended. `received`: nobody told, so it is an estimate.
    pub ended_at: Option<When>,
    /// Its recording; not compared if it is left out.
    pub recording: Option<ExpectedRecording>,
    /// Its timeline, oldest first.
    pub timeline: Vec<ExpectedStep>,
}

/// A recording of a call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRecording {
    /// Where it is; `{account}` stands for the AccountSid.
    pub url: String,
    /// Its length.
    pub seconds: Option<i64>,
}

/// A row of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedStep {
    /// What was said; absent for a status nobody knows.
    pub claim: Option<String>,
    /// What it did.
    pub step: Step,
    /// The status before; absent for the first word of a call.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
}

/// The lead afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLead {
    /// `new` or `contacted`.
    pub status: String,
    /// How many conversations reached it.
    pub contact_count: i64,
    /// When the last one was.
    pub last_contacted_at: Option<When>,
}

impl ExpectedCall {
    /// The row as the API shows it: these keys, whatever others it has.
    pub fn row(&self, story: &Story, play: Play<'_>) -> Value {
        let row = json!({
            "provider": "twilio",
            "account": play.account_sid,
            "provider_id": story.sid(&self.leg, play.salt),
            "parent_id": self.parent.as_ref().map(|leg| story.sid(leg, play.salt)),
            "lead_id": if self.lead { story.lead_id(play.salt) } else { None },
            "direction": self.direction,
            "status": self.status,
            "resolution": self.resolution,
            "hangup_cause": self.hangup_cause,
            "answered_by": self.answered_by,
            "talk_seconds": self.talk_seconds,
            "estimated": self.ended_at == Some(When::Received),
        });
        let times = [
            ("initiated_at", self.initiated_at),
            ("ringing_at", self.ringing_at),
            ("answered_at", self.answered_at),
            ("ended_at", self.ended_at),
        ];
        let shown = |r: &ExpectedRecording| json!({ "url": r.url.replace("{account}", play.account_sid), "duration_seconds": r.seconds });
        let recording = self.recording.as_ref().map(|recording| ("recording".to_owned(), shown(recording)));
        with(row, moments(&times, play).chain(recording))
    }

    /// The timeline as the API shows it: these keys of each row, whatever others it has.
    pub fn timeline_rows(&self) -> Vec<Value> {
        let row = |s: &ExpectedStep| json!({"claim": s.claim, "step": s.step, "from": s.from, "to": s.to});
        self.timeline.iter().map(row).collect()
    }
}

impl ExpectedLead {
    /// The lead as the API shows it: these keys, whatever others it has.
    pub fn row(&self, story: &Story, play: Play<'_>) -> Value {
        let row = json!({
            "id": story.lead_id(play.salt),
            "status": self.status,
            "contact_count": self.contact_count,
        });
        with(row, moments(&[("last_contacted_at", self.last_contacted_at)], play))
    }
}

/// The moments that can be known beforehand, as the API shows them.
fn moments<'a>(times: &'a [(&str, Option<When>)], play: Play<'a>) -> impl Iterator<Item = (String, Value)> + 'a {
    times.iter().filter_map(move |(key, at)| {
        let shown = match at {
            None => Value::Null,
            Some(When::Told(at)) => Value::String(time::rfc3339(told(play.start_ms + at.0))),
            Some(When::Received) => return None,
        };
        Some(((*key).to_owned(), shown))
    })
}

fn with(row: Value, more: impl Iterator<Item = (String, Value)>) -> Value {
    let mut keys = match row {
        Value::Object(keys) => keys,
        _ => Map::new(),
    };
    keys.extend(more);
    Value::Object(keys)
}
