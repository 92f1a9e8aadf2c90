//! What the gateway says of each call, beside what became of it.

use super::Drawn;
use crate::{
    cli::{
        exit::{Exit, Stop},
        out::{Out, Tone},
        send,
    },
    domain::state::Status,
    double::{Call, Shared, Tally, call::Seen},
};
use anyhow::{Context, Result, bail};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinSet};

/// The gateway that is asked.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
    base: String,
    key: SecretString,
}

/// What there is to say about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The gateway says what is true.
    True,
    /// It is live for the gateway, which was never told the end: that was lost.
    EndingLost,
    /// The gateway knows nothing of it, and was told nothing: everything was lost, or Twilio reports nothing of such a
    /// call.
    Unheard,
    /// It is live for the gateway, although the end was sent; what came of that, in one line.
    Live(&'static str),
    /// The gateway says something else; what, in one line.
    Wrong(String),
}

/// What there is to say about all calls.
#[derive(Debug)]
pub struct Verdict(Vec<(String, Finding)>);

impl Gateway {
    /// `base` is its URL, `key` opens its API.
    pub fn new(base: String, key: SecretString) -> Result<Self> {
        Ok(Self { client: send::client()?, base, key })
    }

    /// Its URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Fails if it cannot be reached, or does not take the key.
    pub async fn check(&self) -> Result<()> {
        let unreachable = |error: reqwest::Error| {
            let what = format!("{} cannot be reached: {}", self.base, send::reason(&error));
            Stop::with(Exit::Unavailable, what, "check --to, and that the gateway runs (`onhook healthcheck`)")
        };
        let response = self.ask("/v1/calls?limit=1").await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let what = format!("{} does not take the key", self.base);
                Err(Stop::with(
                    Exit::Usage,
                    what,
                    "`onhook keys create --scopes read` makes one; give it by --key-file",
                ))
            }
            status => bail!("ask {} for its calls: {status}", self.base),
        }
    }

    async fn ask(&self, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(self.key.expose_secret()).send().await
    }

    /// The call; nothing if there is none.
    async fn find(&self, sid: &str) -> Result<Option<Value>> {
        let response = self.ask(&format!("/v1/calls/{sid}")).await.with_context(|| format!("ask about {sid}"))?;
        match response.status() {
            status if status.is_success() => Ok(Some(response.json().await?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("ask about {sid}: {status}"),
        }
    }
}

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
        let text = row.get("status").and_then(Value::as_str).unwrap_or_default();
        let talk = row.get("talk_seconds").and_then(Value::as_i64).unwrap_or_default();
        let Ok(status) = text.parse::<Status>() else { return Self::Wrong(format!("it says {text:?}")) };
        if row.get("ended_at").is_none_or(Value::is_null) {
            return match (known.ending_lost, known.ending_taken) {
                (true, _) => Self::EndingLost,
                (false, true) => Self::Live("it is live there, and its end was taken"),
                (false, false) => Self::Live("it is live there: its end was sent, and never answered with 2xx"),
            };
        }
        if status == truth.status && talk == truth.seconds() {
            return Self::True;
        }
        Self::Wrong(format!("it says {status}, {talk} s; true is {}, {} s", truth.status, truth.seconds()))
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::True => "true",
            Self::EndingLost => "ending-lost",
            Self::Unheard => "unheard",
            Self::Live(_) => "live",
            Self::Wrong(_) => "wrong",
        }
    }

    /// What is no fault of the network.
    const fn blames_the_gateway(&self) -> bool {
        match self {
            Self::True | Self::EndingLost | Self::Unheard => false,
            Self::Live(_) | Self::Wrong(_) => true,
        }
    }
}

/// What the double knows of a call.
#[derive(Clone, Debug)]
struct Known {
    sid: String,
    truth: Seen,
    accepted: u32,
    ending_lost: bool,
    ending_taken: bool,
}

impl Known {
    fn of(call: &Call) -> Option<Self> {
        let Call { sid, accepted, ending_lost, ending_taken, .. } = call;
        let (accepted, ending_lost, ending_taken) = (*accepted, *ending_lost, *ending_taken);
        Some(Self { sid: sid.clone(), truth: call.truth()?, accepted, ending_lost, ending_taken })
    }
}

impl Verdict {
    /// Asks about every call.
    pub async fn of(double: &Shared, gateway: &Gateway) -> Result<Self> {
        let known: Vec<Known> = double.with(|double| double.calls().iter().filter_map(Known::of).collect());
        let permits = Arc::new(Semaphore::new(ASKED_AT_ONCE));
        let mut asking = JoinSet::new();
        for known in known {
            let permit = permits.clone().acquire_owned().await?;
            let gateway = gateway.clone();
            asking.spawn(async move {
                let answer = gateway.find(&known.sid).await?;
                drop(permit);
                anyhow::Ok((known.sid.clone(), Finding::of(&known, answer.as_ref())))
            });
        }
        let mut findings = Vec::new();
        while let Some(finding) = asking.join_next().await {
            findings.push(finding??);
        }
        findings.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(findings))
    }

    /// Whether nothing is the gateway's fault.
    pub fn passed(&self) -> bool {
        !self.0.iter().any(|(_, finding)| finding.blames_the_gateway())
    }

    fn count(&self, word: &str) -> usize {
        self.0.iter().filter(|(_, finding)| finding.word() == word).count()
    }

    /// Prints it.
    pub fn show(&self, out: &Out, drawn: &Drawn, tally: Tally) -> Result<()> {
        let blamed: Vec<_> = self.0.iter().filter(|(_, finding)| finding.blames_the_gateway()).collect();
        let why = |finding: &Finding| match finding {
            Finding::Wrong(why) => why.clone(),
            Finding::Live(why) => (*why).to_owned(),
            Finding::True | Finding::EndingLost | Finding::Unheard => String::new(),
        };
        if out.is_json() {
            let row = |(sid, finding): &&(String, Finding)| json!({ "call": sid, "finding": finding.word(), "why": why(finding) });
            let calls = ["true", "ending-lost", "unheard", "live", "wrong"]
                .map(|word| (word.replace('-', "_"), self.count(word)));
            let calls: serde_json::Map<String, Value> = calls.into_iter().map(|(word, n)| (word, n.into())).collect();
            return out.json(&json!({
                "seed": drawn.seed, "salt": drawn.salt, "passed": self.passed(), "callbacks": tally, "calls": calls,
                "findings": blamed.iter().take(SHOWN_MAX).map(row).collect::<Vec<_>>(),
            }));
        }
        let Tally { sent, retried, lost, late, reordered, duplicated, slow, failed, .. } = tally;
        out.line(format!(
            "{sent} callbacks sent ({retried} of them again): {lost} lost, {late} late, {reordered} overtaken, \
             {duplicated} doubled, {slow} slow; {failed} not taken by the gateway"
        ))?;
        for (sid, finding) in blamed.iter().take(SHOWN_MAX) {
            out.line(out.paint(Tone::Bad, &format!("{sid}: {}", why(finding))))?;
        }
        let lines = [
            ("true", "are true in the gateway"),
            (
                "ending-lost",
                "are still live there, because their end was lost: only Twilio, when asked, can tell how they ended",
            ),
            ("unheard", "are unknown there: no callback of them arrived, or Twilio sends none for such a call"),
            ("live", "are still live there, although their end was sent"),
            ("wrong", "are wrong"),
        ];
        for (word, sentence) in lines {
            let count = self.count(word);
            if count > 0 || word == "wrong" {
                out.line(format!("{count} of {} calls {sentence}", self.0.len()))?;
            }
        }
        let (tone, sentence) = match self.passed() {
            true => (Tone::Good, format!("nothing is wrong ({drawn})")),
            false => (Tone::Bad, format!("the gateway is wrong; {drawn} repeats the same calls and faults")),
        };
        out.line(out.paint(tone, &sentence))
    }
}

/// How many questions are under way at a time.
const ASKED_AT_ONCE: usize = 8;
/// How many wrong calls are shown.
const SHOWN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

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
        Known { sid: "CA1".to_owned(), truth, accepted, ending_lost, ending_taken: !ending_lost }
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
        assert_eq!(find(known(false, 4), Some(&live)), "live");
        assert_eq!(find(known(false, 0), None), "unheard");
        assert_eq!(find(known(true, 1), None), "wrong");
    }

    #[test]
    fn the_network_is_not_the_gateways_fault() {
        let verdict =
            |findings: &[Finding]| Verdict(findings.iter().map(|f| (String::new(), f.clone())).collect()).passed();
        assert!(verdict(&[Finding::True, Finding::EndingLost, Finding::Unheard]));
        assert!(!verdict(&[Finding::True, Finding::Live("")]));
        assert!(!verdict(&[Finding::Wrong(String::new())]));
    }
}
