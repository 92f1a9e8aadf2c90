//! Judges how a PBX is set up for us: rights, times, versions, certificates. What it is told was asked by others; here is
//! only what follows from it, and the `manager.conf` that should be there.

pub mod conf;
mod rights;

pub use rights::Rights;

use super::{Message, client::Up};
use crate::domain::{time::Millis, words};
use serde::Serialize;
use std::collections::BTreeMap;

words! {
    /// What a finding of the doctor says.
    pub enum Weight {
        /// As it should be.
        Good = "ok",
        /// Something to change in Asterisk or here.
        Finding = "finding",
        /// It could not be found out; it says how it can be.
        Unknown = "unknown",
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    #[serde(rename = "state")]
    pub weight: Weight,
    /// In a sentence.
    pub what: String,
    /// What to do next; empty if nothing.
    pub next: String,
}

/// What was found out of a PBX by logging in and asking. `None`: it could not be asked.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Whether the PBX is on this machine: what is sent leaves it nowhere.
    pub here: bool,
    /// What the connection knows.
    pub up: Option<Up>,
    /// The answer to `ListCommands`.
    pub commands: Option<Message>,
    /// The answer to `CoreSettings`.
    pub settings: Option<Message>,
    /// Whether a channel list came.
    pub listed: bool,
    /// The items of `Status` with the variables `CDR(start,u)` and `CDR(answer,u)`.
    pub status: Option<Vec<Message>>,
    /// What was heard meanwhile.
    pub heard: Heard,
}

/// The events that came while somebody listened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// For how long it was listened.
    pub listened_ms: Millis,
    /// How many, by the first word of their `Privilege`.
    pub classes: BTreeMap<String, u64>,
    /// How many had a `Timestamp`.
    pub with_timestamp: u64,
    /// How many had none.
    pub without_timestamp: u64,
}

impl Heard {
    /// Counts an event.
    pub fn note(&mut self, message: &Message) {
        let Some(privilege) = message.get("Privilege") else { return };
        let class: String = privilege.split(',').next().unwrap_or_default().chars().take(CLASS_CHARS_MAX).collect();
        if self.classes.len() < CLASSES_MAX || self.classes.contains_key(&class) {
            *self.classes.entry(class).or_default() += 1;
        }
        let told =
            if message.value("Timestamp").is_some() { &mut self.with_timestamp } else { &mut self.without_timestamp };
        *told += 1;
    }
}

/// Everything that follows from what was found, in the order in which it should be read.
pub fn judge(found: &Found) -> Vec<Judged> {
    let mut judged = Vec::new();
    judged.extend(version(found));
    judged.push(encryption(found));
    judged.extend(rights::judge(found));
    judged.push(lists(found));
    judged.extend(clock(found));
    judged.push(timestamps(found));
    judged.push(write_timeout());
    judged.push(events(found));
    judged.push(answers(found));
    judged
}

fn version(found: &Found) -> Option<Judged> {
    let up = found.up.as_ref()?;
    let asterisk = up.version.as_deref().map(|v| format!("Asterisk {v}, ")).unwrap_or_default();
    let what = format!("{asterisk}manager protocol {}", up.ami_version);
    let major: u32 = up.ami_version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
    Some(match major {
        0 | 1 => {
            let next = "its events are of another kind, without Linkedid; take Asterisk 13 or newer (16, 18, 20 and 22 are tried)";
            finding("version", format!("{what}: too old to be understood"), next)
        }
        _ => good("version", what),
    })
}

fn encryption(found: &Found) -> Judged {
    match (found.tls, found.here) {
        (true, _) => good("encryption", "TLS, and its certificate is trusted"),
        (false, true) => good("encryption", "none, and none is needed: the PBX is on this machine"),
        (false, false) => {
            let what =
                "none: whoever is on the way reads the numbers of all calls (of the secret only a digest is sent)";
            let next = "set tlsenable, tlsbindaddr and tlscertfile in manager.conf and connect to amis://…:5039; or tunnel it \
                        (WireGuard, SSH) and never let port 5038 out to the internet";
            finding("encryption", what, next)
        }
    }
}

fn lists(found: &Found) -> Judged {
    if found.listed {
        return good("channel list", "complete lists can be had: what is missed in a cut is repaired after it");
    }
    let next = "give the user `reporting` (or `system`) in write=; without a list calls that end in a cut stay open";
    finding("channel list", "CoreShowChannels was not answered with a complete list", next)
}

fn clock(found: &Found) -> Option<Judged> {
    let ahead_ms = found.up.as_ref()?.clock_ahead_ms;
    if ahead_ms.abs() <= CLOCK_MS_MAX {
        return Some(good("clock", "it agrees with ours to within two seconds"));
    }
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let what = format!("the clock of the PBX is {} s {side} ours", ahead_ms.abs() / 1_000);
    Some(finding(
        "clock",
        what,
        "turn on time synchronisation (NTP) on both; until then its times are corrected by that",
    ))
}

fn timestamps(found: &Found) -> Judged {
    match (found.heard.with_timestamp, found.heard.without_timestamp) {
        (0, 0) => {
            let what = "no event came, so it is not known whether events carry their time";
            unknown(
                "timestampevents",
                what,
                "set timestampevents = yes in [general] of manager.conf; ask again with a longer --listen",
            )
        }
        (_, 0) => good("timestampevents", "events carry their time"),
        _ => {
            let what = "events carry no time: after a delay everything seems to happen when it arrives";
            finding(
                "timestampevents",
                what,
                "set timestampevents = yes in [general] of manager.conf, then `asterisk -rx \"manager reload\"`",
            )
        }
    }
}

/// Nobody may read `manager.conf` with the rights we ask for, and that is as it should be.
fn write_timeout() -> Judged {
    let what = "it cannot be read with these rights; its default of 100 ms drops us when the network stutters";
    unknown("writetimeout", what, "see that the user has writetimeout = 5000 in manager.conf")
}

fn events(found: &Found) -> Judged {
    let Heard { classes, listened_ms, .. } = &found.heard;
    let said = classes.iter().map(|(class, count)| format!("{class} {count}")).collect::<Vec<_>>().join(", ");
    let seconds = listened_ms / 1_000;
    let noisy: Vec<&str> = NOISE.iter().copied().filter(|class| classes.contains_key(*class)).collect();
    if !noisy.is_empty() {
        let what = format!("in {seconds} s: {said}; of no use to us: {}", noisy.join(", "));
        let next = format!("leave {} out of read= of the user: it is traffic for nothing", noisy.join(", "));
        return finding("events", what, next);
    }
    if classes.contains_key("call") {
        return good("events", format!("in {seconds} s: {said}"));
    }
    let heard = if said.is_empty() { "none".to_owned() } else { said };
    let what = format!("in {seconds} s: {heard}; none of the class call, which is as it should be if nobody called");
    unknown("events", what, "see that read= of the user has call, and run it again with --listen 30s during a call")
}

fn answers(found: &Found) -> Judged {
    let name = "CDR variables";
    let off =
        found.settings.as_ref().and_then(|settings| settings.value("CoreCDRenabled")).is_some_and(|on| on == "No");
    let why = "without them a call that was answered while we were away gets an estimated time of answer";
    if off {
        let next = "set enable = yes in cdr.conf and load func_cdr.so, if you want exact times";
        return finding(name, format!("CDRs are off; {why}"), next);
    }
    let Some(status) = &found.status else {
        return finding(name, format!("Status was refused; {why}"), "give the user `call` or `reporting` in write=");
    };
    if status.is_empty() {
        return unknown(name, "no call is live, so they cannot be tried", "run it again during a call");
    }
    let told = status.iter().any(|item| {
        let mut values = item.all("Variable").filter_map(|text| text.strip_prefix("CDR(start,u)="));
        values.any(|value| value.starts_with(|c: char| c.is_ascii_digit()))
    });
    match told {
        true => good(name, "they are answered: an answer that we missed gets its true time"),
        false => finding(
            name,
            format!("they are empty; {why}"),
            "load cdr.so and func_cdr.so (modules.conf), if you want exact times",
        ),
    }
}

fn good(name: &'static str, what: impl Into<String>) -> Judged {
    Judged { name, weight: Weight::Good, what: what.into(), next: String::new() }
}

fn finding(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Judged {
    Judged { name, weight: Weight::Finding, what: what.into(), next: next.into() }
}

fn unknown(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Judged {
    Judged { name, weight: Weight::Unknown, what: what.into(), next: next.into() }
}

/// The variables of `Status` that say when a call began and when it was answered.
pub const CDR_VARIABLES: &str = "CDR(start,u),CDR(answer,u)";
/// Event classes that say nothing of calls; `reporting` are RTCP reports.
const NOISE: &[&str] = &["dialplan", "dtmf", "reporting", "verbose", "agi", "security", "log", "test", "aoc"];
/// A ping takes some milliseconds, and Asterisk says its uptime in whole seconds.
const CLOCK_MS_MAX: Millis = 2_000;
/// Asterisk has some twenty classes.
const CLASSES_MAX: usize = 32;
const CLASS_CHARS_MAX: usize = 32;

#[cfg(test)]
mod tests;
