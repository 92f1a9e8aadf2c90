//! `onhook replay`: sends stories or single bodies as freshly signed webhooks.

mod sources;

use super::{
    desk::{Settings, system_rng},
    exit::{Exit, Stop},
    identity::{Identity, Settled},
    out::{Out, Tone},
    send::{Sent, Target},
};
use crate::{
    clock::{Clock, SystemClock},
    story::{Play, Request, disorder},
};
use anyhow::Result;
use clap::Args;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sources::Source;
use std::{path::PathBuf, time::Duration};
use url::Url;

/// Send stories or single bodies to a gateway as freshly signed webhooks
///
/// A PATH is a story (a folder with story.toml, or the file), a folder of stories, the name of a built-in story, or a
/// file with the raw body of one webhook. Exit code 4 if a signature was refused, 6 if the gateway cannot be reached.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook replay answered busy --to http://127.0.0.1:8080
  onhook replay fixtures/stories --to https://calls.example.com --shuffle --duplicate --seed 7
  onhook replay body.txt --to http://127.0.0.1:8080/webhooks/twilio/status")]
pub struct Replay {
    /// What to send
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The gateway
    #[arg(long, value_name = "URL")]
    to: Url,
    #[command(flatten)]
    identity: Identity,
    /// Send the webhooks of each story in any order
    #[arg(long)]
    shuffle: bool,
    /// Send about half of the webhooks twice
    #[arg(long)]
    duplicate: bool,
    /// Lose every webhook with this CallStatus, such as completed; may be repeated
    #[arg(long, value_name = "STATUS")]
    drop: Vec<String>,
    /// Makes the identifiers of the calls and leads of this replay its own; may be empty [default: drawn]
    #[arg(long, value_name = "TEXT")]
    salt: Option<String>,
    /// Repeat the same order, duplicates and identifiers
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How fast the time of a story passes, such as 1x or 10x [default: webhooks are sent one after the other at once]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    speed: Option<f64>,
}

/// Webhooks that belong together.
struct Sequence {
    name: String,
    requests: Vec<Request>,
}

/// A webhook and what became of it.
struct Row<'a> {
    name: &'a str,
    request: &'a Request,
    sent: Sent,
}

impl Replay {
    /// Sends everything.
    pub async fn run(self, out: Out, settings: Settings) -> Result<Exit> {
        let Settled { account, token, public_url, .. } = self.identity.clone().settle(settings)?;
        let target = Target::new(&self.to, public_url.as_ref(), token)?;
        let sequences = self.sequences(account.as_deref())?;
        let mut rows = Vec::new();
        'sending: for sequence in &sequences {
            let mut at_ms = 0;
            for request in &sequence.requests {
                pause(request.after_ms - at_ms, self.speed).await;
                at_ms = request.after_ms;
                let row = Row { name: &sequence.name, request, sent: target.send(request).await? };
                if !out.is_json() {
                    out.line(row.line(&out))?;
                }
                let reached = matches!(row.sent, Sent::Answered(_));
                rows.push(row);
                if !reached {
                    break 'sending;
                }
            }
        }
        conclude(&out, &target, &rows)
    }

    /// What is sent, in order, disordered as asked.
    fn sequences(&self, account: Option<&str>) -> Result<Vec<Sequence>> {
        let mut rng = self.seed.map_or_else(system_rng, StdRng::seed_from_u64);
        let salt = self.salt.clone().unwrap_or_else(|| format!("{:08x}", rng.next_u32()));
        let mut sequences = Vec::new();
        let mut bodies = Sequence { name: "bodies".to_owned(), requests: Vec::new() };
        for path in &self.paths {
            for source in sources::read(path)? {
                match source {
                    Source::Story(story) => {
                        let account_sid = account.ok_or_else(|| {
                            let next = "give --account, or set TWILIO_ACCOUNT_SID";
                            Stop::with(Exit::Usage, "a story needs an account to be sent for", next)
                        })?;
                        // Told in the past, so that nothing in it is ahead of the gateway's clock.
                        let start_ms = SystemClock.now_ms() - story.length_ms();
                        let requests = story.requests(Play { start_ms, account_sid, salt: &salt });
                        sequences.push(Sequence { name: story.name.clone(), requests });
                    }
                    Source::Body(request) => bodies.requests.push(request),
                }
            }
        }
        sequences.push(bodies);
        for Sequence { requests, .. } in &mut sequences {
            for status in &self.drop {
                disorder::lose(requests, status);
            }
            if self.duplicate {
                disorder::duplicate(requests, &mut rng);
            }
            if self.shuffle {
                disorder::shuffle(requests, &mut rng);
            }
        }
        Ok(sequences)
    }
}

impl Row<'_> {
    fn line(&self, out: &Out) -> String {
        let answer = match &self.sent {
            Sent::Answered(status) if status.is_success() => out.paint(Tone::Good, status.as_str()),
            Sent::Answered(status) => out.paint(Tone::Bad, status.as_str()),
            Sent::Unreachable(_) => out.paint(Tone::Bad, "---"),
        };
        format!("{answer}  {:<26} {:<12} {}", self.name, self.request.leg, self.request.news())
    }

    fn json(&self) -> Value {
        let (status, error) = match &self.sent {
            Sent::Answered(status) => (Some(status.as_u16()), None),
            Sent::Unreachable(why) => (None, Some(why)),
        };
        let Request { leg, .. } = self.request;
        json!({ "story": self.name, "leg": leg, "call_status": self.request.status(), "status": status, "error": error })
    }
}

/// Says what it came to, and how the command ends.
fn conclude(out: &Out, target: &Target, rows: &[Row<'_>]) -> Result<Exit> {
    let answered = |wanted: &dyn Fn(StatusCode) -> bool| {
        rows.iter().filter(|row| matches!(row.sent, Sent::Answered(status) if wanted(status))).count()
    };
    let accepted = answered(&|s| s.is_success());
    let refused = answered(&|s| s == StatusCode::FORBIDDEN || s == StatusCode::UNAUTHORIZED);
    let broken = answered(&|s| s.is_server_error());
    if out.is_json() {
        let deliveries: Vec<Value> = rows.iter().map(Row::json).collect();
        out.json(&json!({ "deliveries": deliveries, "sent": rows.len(), "accepted": accepted, "refused": refused }))?;
    } else {
        out.line(format!("{accepted} of {} webhooks accepted by {}", rows.len(), target.base()))?;
    }
    if let Some(Row { sent: Sent::Unreachable(why), .. }) = rows.last() {
        let what = format!("{} cannot be reached: {why}", target.base());
        return Err(Stop::with(
            Exit::Unavailable,
            what,
            "check --to, and that the gateway runs (`onhook healthcheck`)",
        ));
    }
    if refused > 0 {
        let next = "check that the gateway knows the account and this token, and that it is called by the URL signed \
                    for (--public-url); its log says why";
        return Err(Stop::with(Exit::Refused, format!("{refused} signatures were refused"), next));
    }
    if broken > 0 {
        let what = format!("{broken} webhooks could not be made durable");
        return Err(Stop::with(Exit::Unavailable, what, "the gateway's log and /readyz say why; then send them again"));
    }
    Ok(if accepted == rows.len() { Exit::Ok } else { Exit::Failed })
}

/// Waits as long as it took in the story; not at all without a speed.
pub async fn pause(ms: i64, speed: Option<f64>) {
    if let (Ok(ms @ 1..), Some(speed)) = (u64::try_from(ms), speed) {
        tokio::time::sleep(Duration::from_millis(ms).div_f64(speed)).await;
    }
}

/// Reads `10x` or `0.5`.
pub fn speed(text: &str) -> Result<f64, String> {
    let factor = text.trim_end_matches('x').parse::<f64>().ok().filter(|f| (SPEED_MIN..=SPEED_MAX).contains(f));
    factor.ok_or_else(|| format!("write a factor from {SPEED_MIN} to {SPEED_MAX}, such as 10x"))
}

const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 100_000.0;
