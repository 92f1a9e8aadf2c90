//! What somebody wrote of a run and its jobs is checked here, all of it at once.

use super::{JobText, RetryText, RunText};
use crate::{
    ami,
    domain::{
        phone::E164,
        run::{Retry, Settings, Worker},
        state::Outcome,
        time::{DAY, Millis},
    },
    fields::{self, Wrong, Wrongs},
    twilio::{
        dialing::{TIME_LIMIT_SECONDS_RANGE, TIMEOUT_SECONDS_RANGE, Target},
        twiml::{MachineDetection, NOUNS_MAX},
    },
};
use std::{collections::BTreeSet, ops::RangeInclusive};

/// A run that was read.
#[derive(Clone, Debug)]
pub(super) struct RunRead {
    pub key: Option<String>,
    pub name: Option<String>,
    pub worker: Worker,
    pub settings: Settings,
    pub place_every_us: i64,
    pub calls_max: i64,
}

/// A job that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRead {
    pub key: String,
    pub to: String,
    pub phone_e164: Option<String>,
    pub lead_id: Option<String>,
    pub user_id: Option<String>,
    pub due_ms: Millis,
}

/// Reads a run. `provider` is that of its account; what is wrong with the account is reported with the rest.
pub(super) fn run(text: &RunText, provider: Result<&str, Wrong>, region: Option<&str>) -> Result<RunRead, Vec<Wrong>> {
    let mut wrongs = Wrongs::default();
    let key = wrongs.take(fields::optional_line("key", text.key.as_deref(), KEY_BYTES_MAX));
    let name = wrongs.take(fields::optional_line("name", text.name.as_deref(), NAME_BYTES_MAX));
    let worker = wrongs.take(worker(text.worker.as_deref()));
    let provider = wrongs.take(provider);
    let pace = wrongs.take(pace(text.calls_per_second));
    let calls_max = whole("calls_at_once", text.calls_at_once.unwrap_or(CALLS_AT_ONCE), CALLS_AT_ONCE_RANGE);
    let calls_max = wrongs.take(calls_max);
    let settings = Settings {
        from: optional(&mut wrongs, &text.from, |from| caller("from", from, provider, region)),
        twiml: optional(&mut wrongs, &text.twiml, twiml),
        url: optional(&mut wrongs, &text.url, |url| web_address("url", url)),
        connect: connect(&mut wrongs, text.connect.as_deref().unwrap_or_default(), region),
        channel: optional(&mut wrongs, &text.channel, channel),
        context: optional(&mut wrongs, &text.context, |word| dialable("context", word, CONTEXT_BYTES_MAX)),
        extension: optional(&mut wrongs, &text.extension, |word| dialable("extension", word, CONTEXT_BYTES_MAX)),
        timeout_seconds: seconds(&mut wrongs, "timeout_seconds", text.timeout_seconds, TIMEOUT_SECONDS_RANGE),
        time_limit_seconds: seconds(
            &mut wrongs,
            "time_limit_seconds",
            text.time_limit_seconds,
            TIME_LIMIT_SECONDS_RANGE,
        ),
        machine_detection: optional(&mut wrongs, &text.machine_detection, |word| {
            let read = word.parse::<MachineDetection>();
            read.map(|read| read.as_str().to_owned()).map_err(|why| Wrong::new("machine_detection", why))
        }),
        retry: retry(&mut wrongs, text.retry.as_ref()),
    };
    if let (Some(provider), Some(worker)) = (provider, worker) {
        for wrong in misfits(text, provider, worker) {
            wrongs.take::<()>(Err(wrong));
        }
    }
    let made = (|| {
        Some(RunRead {
            key: key?,
            name: name?,
            worker: worker?,
            settings,
            place_every_us: pace?,
            calls_max: calls_max?,
        })
    })();
    wrongs.settle(made)
}

/// Reads a job of a run that dials from an account of this provider.
pub(super) fn job(text: &JobText, provider: &str, region: Option<&str>, now_ms: Millis) -> Result<JobRead, Vec<Wrong>> {
    let mut wrongs = Wrongs::default();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let to = given(&text.to).ok_or_else(|| Wrong::new("to", "is missing: whom to call"));
    let to = wrongs.take(to.and_then(|to| callee(&to, provider, region)));
    let lead_id = given(&text.lead_id).map(|id| fields::lead_id("lead_id", &id)).transpose();
    let lead_id = wrongs.take(lead_id);
    let user_id = wrongs.take(fields::optional_line("user_id", text.user_id.as_deref(), fields::WORD_BYTES_MAX));
    let key = wrongs.take(fields::optional_line("key", text.key.as_deref(), KEY_BYTES_MAX));
    let due = given(&text.not_before).map(|text| not_before(&text, now_ms)).transpose();
    let due = wrongs.take(due);
    let made = (|| {
        let ((to, phone_e164), lead_id, user_id, due_ms) = (to?, lead_id?, user_id?, due?.unwrap_or(now_ms));
        let by_address = || format!("to:{}", phone_e164.as_deref().unwrap_or(&to));
        let by_lead = || lead_id.as_ref().map_or_else(by_address, |lead| format!("lead:{lead}"));
        let key = key?.unwrap_or_else(by_lead);
        Some(JobRead { key, to, phone_e164, lead_id, user_id, due_ms })
    })();
    wrongs.settle(made)
}

/// What a run lacks to be dialed from this provider, and what it has that means nothing there.
fn misfits(text: &RunText, provider: &str, worker: Worker) -> Vec<Wrong> {
    let is_pbx = provider == ami::PROVIDER;
    let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let connects = text.connect.as_ref().is_some_and(|list| !list.is_empty());
    let of_twilio = [
        ("connect", connects),
        ("twiml", has(&text.twiml)),
        ("url", has(&text.url)),
        ("machine_detection", has(&text.machine_detection)),
    ];
    let of_pbx =
        [("channel", has(&text.channel)), ("context", has(&text.context)), ("extension", has(&text.extension))];
    let (strange, other): (&[_], _) = if is_pbx { (&of_twilio, "Twilio") } else { (&of_pbx, "a PBX") };
    let means_nothing =
        |field| Wrong::new(field, format!("is for {other}; the account is of {provider}: leave it out"));
    let mut wrongs: Vec<_> =
        strange.iter().filter(|(_, is_set)| *is_set).map(|(field, _)| means_nothing(*field)).collect();
    if worker == Worker::External {
        return wrongs;
    }
    if is_pbx {
        let missing = of_pbx.iter().filter(|(_, is_set)| !is_set);
        let why = "is missing: an Asterisk is dialed by channel (with {to} in it), context and extension";
        wrongs.extend(missing.map(|(field, _)| Wrong::new(*field, why)));
        return wrongs;
    }
    if !has(&text.from) {
        wrongs.push(Wrong::new("from", "is missing: the number of your Twilio account that called parties see"));
    }
    let ways = of_twilio.iter().take(3).filter(|(_, is_set)| *is_set).count();
    if ways != 1 {
        let why =
            format!("{ways} of connect, twiml and url are given; exactly one says what is done with an answered call");
        wrongs.push(Wrong::new("connect", why));
    }
    wrongs
}

fn worker(text: Option<&str>) -> Result<Worker, Wrong> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or(Worker::Internal.as_str());
    text.parse().map_err(|why: String| Wrong::new("worker", why))
}

/// Microseconds from one call to the next.
fn pace(per_second: Option<f64>) -> Result<i64, Wrong> {
    let per_second = per_second.unwrap_or(CALLS_PER_SECOND);
    if !CALLS_PER_SECOND_RANGE.contains(&per_second) {
        let (least, most) = (CALLS_PER_SECOND_RANGE.start(), CALLS_PER_SECOND_RANGE.end());
        return Err(Wrong::new("calls_per_second", format!("is {per_second}; {least} to {most} are allowed")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "between 10 thousand and 100 million")]
    let every_us = (1e6 / per_second).round() as i64;
    Ok(every_us)
}

fn whole(field: &str, value: i64, allowed: RangeInclusive<i64>) -> Result<i64, Wrong> {
    let message = || format!("is {value}; {} to {} are allowed", allowed.start(), allowed.end());
    if allowed.contains(&value) { Ok(value) } else { Err(Wrong::new(field, message())) }
}

fn seconds(wrongs: &mut Wrongs, field: &str, value: Option<i64>, allowed: RangeInclusive<u32>) -> Option<u32> {
    let (least, most) = (i64::from(*allowed.start()), i64::from(*allowed.end()));
    let value = wrongs.take(whole(field, value?, least..=most))?;
    u32::try_from(value).ok()
}

fn optional(
    wrongs: &mut Wrongs,
    text: &Option<String>,
    read: impl Fn(&str) -> Result<String, Wrong>,
) -> Option<String> {
    let text = text.as_deref().filter(|text| !text.is_empty())?;
    wrongs.take(read(text))
}

fn retry(wrongs: &mut Wrongs, text: Option<&RetryText>) -> Retry {
    let Some(text) = text else { return Retry::default() };
    let usual = Retry::default();
    let attempts = text.attempts.unwrap_or(usual.attempts_max.into());
    let attempts_max = wrongs.take(whole("retry.attempts", attempts, ATTEMPTS_RANGE));
    let after = text.after_seconds.unwrap_or(usual.after_seconds.into());
    let after_seconds = wrongs.take(whole("retry.after_seconds", after, RETRY_AFTER_RANGE));
    let mut on = BTreeSet::new();
    for (n, word) in text.on.iter().flatten().enumerate().take(RETRY_ON.len() + 1) {
        let known = RETRY_ON.iter().find(|outcome| outcome.as_str() == word);
        let allowed = || RETRY_ON.map(Outcome::as_str).join(", ");
        let wrong = || Wrong::new(format!("retry.on[{n}]"), format!("is not one of: {}", allowed()));
        on.extend(wrongs.take(known.copied().ok_or_else(wrong)));
    }
    let on = if text.on.is_some() { on } else { usual.on };
    let small = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    Retry { attempts_max: small(attempts_max), on, after_seconds: small(after_seconds) }
}

/// Whom to call, and the same as a number if it is one.
fn callee(text: &str, provider: &str, region: Option<&str>) -> Result<(String, Option<String>), Wrong> {
    if provider != ami::PROVIDER {
        let to = target("to", text.trim(), region)?;
        let number = E164::of_address(&to).map(|number| number.as_str().to_owned());
        return Ok((to, number));
    }
    let to = dialable("to", text.trim(), DIALABLE_BYTES_MAX)?;
    let number = E164::of_address(&to).or_else(|| E164::parse_valid(&to, region));
    Ok((to, number.map(|number| number.as_str().to_owned())))
}

fn caller(field: &str, text: &str, provider: Option<&str>, region: Option<&str>) -> Result<String, Wrong> {
    match provider {
        Some(ami::PROVIDER) => dialable(field, text, DIALABLE_BYTES_MAX),
        _ => target(field, text, region),
    }
}

/// A number in E.164, or an address, as Twilio takes it.
fn target(field: &str, text: &str, region: Option<&str>) -> Result<String, Wrong> {
    Target::parse(text, region).map(|target| target.to_string()).map_err(|why| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        let hint = if region.is_some() { "" } else { "; numbers need their country code, or ONHOOK_PHONE_REGION" };
        Wrong::new(field, format!("{shown:?} cannot be dialed ({why}): {}{hint}", why.advice()))
    })
}

fn connect(wrongs: &mut Wrongs, targets: &[String], region: Option<&str>) -> Vec<String> {
    if targets.len() > NOUNS_MAX {
        let message = format!("has {} entries; up to {NOUNS_MAX} are allowed", targets.len());
        wrongs.take::<()>(Err(Wrong::new("connect", message)));
        return Vec::new();
    }
    let read = targets.iter().enumerate().map(|(n, text)| target(&format!("connect[{n}]"), text, region));
    read.filter_map(|read| wrongs.take(read)).collect()
}

/// What stands in a dial string of Asterisk, and can neither leave it nor begin another one.
fn dialable(field: &str, text: &str, bytes_max: usize) -> Result<String, Wrong> {
    let text = fields::line(field, text, 1..=bytes_max)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || DIALABLE.as_bytes().contains(&b)) {
        return Ok(text);
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    Err(Wrong::new(field, format!("{shown:?} holds more than letters, digits and {DIALABLE}")))
}

/// What is dialed by Asterisk.
fn channel(text: &str) -> Result<String, Wrong> {
    let text = fields::line("channel", text, 1..=CHANNEL_BYTES_MAX)?;
    let parts: Vec<&str> = text.split("{to}").collect();
    let [before, after] = parts.as_slice() else {
        return Err(Wrong::new("channel", "must hold {to} exactly once, such as PJSIP/{to}@trunk"));
    };
    let (technology, rest) = before.split_once('/').unwrap_or_default();
    let is_technology = !technology.is_empty() && technology.bytes().all(|b| b.is_ascii_alphanumeric());
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || CHANNEL.as_bytes().contains(&b));
    if is_technology && plain(rest) && plain(after) {
        return Ok(text);
    }
    Err(Wrong::new("channel", format!("is not like PJSIP/{{to}}@trunk, of letters, digits and {CHANNEL}")))
}

fn twiml(text: &str) -> Result<String, Wrong> {
    let chars = text.chars().count();
    if chars > TWIML_CHARS_MAX {
        let message = format!("has {chars} characters; up to {TWIML_CHARS_MAX} are allowed; give a url instead");
        return Err(Wrong::new("twiml", message));
    }
    let document = roxmltree::Document::parse(text).map_err(|error| Wrong::new("twiml", error.to_string()))?;
    let root = document.root_element().tag_name().name();
    if root == "Response" {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new("twiml", format!("is <{root}>, not <Response>")))
    }
}

fn web_address(field: &str, text: &str) -> Result<String, Wrong> {
    let text = fields::line(field, text, 1..=URL_BYTES_MAX)?;
    let is_web = url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if is_web { Ok(text) } else { Err(Wrong::new(field, "is not an address such as https://example.com/voice")) }
}

fn not_before(text: &str, now_ms: Millis) -> Result<Millis, Wrong> {
    let at_ms = fields::moment("not_before", text)?;
    if at_ms <= now_ms.saturating_add(AHEAD_MAX) {
        return Ok(at_ms.max(now_ms));
    }
    Err(Wrong::new("not_before", "is more than a year ahead"))
}

const KEY_BYTES_MAX: usize = 200;
const NAME_BYTES_MAX: usize = 200;
/// The longest name of a context or extension in Asterisk (AST_MAX_CONTEXT, AST_MAX_EXTENSION: 80 with the end of a text).
const CONTEXT_BYTES_MAX: usize = 79;
const DIALABLE_BYTES_MAX: usize = 64;
/// Beside letters and digits.
const DIALABLE: &str = "+*#._-";
const CHANNEL_BYTES_MAX: usize = 200;
/// Beside letters and digits.
const CHANNEL: &str = "+*#._-/@:;=";
/// Twilio's limit (REST API, `Twiml` of a call).
const TWIML_CHARS_MAX: usize = 4_000;
const URL_BYTES_MAX: usize = 2_000;
const SHOWN_CHARS_MAX: usize = 60;
/// How far ahead a call may be planned.
const AHEAD_MAX: Millis = 366 * DAY;
const CALLS_PER_SECOND: f64 = 1.0;
const CALLS_PER_SECOND_RANGE: RangeInclusive<f64> = 0.01..=100.0;
const CALLS_AT_ONCE: i64 = 10;
const CALLS_AT_ONCE_RANGE: RangeInclusive<i64> = 1..=10_000;
const ATTEMPTS_RANGE: RangeInclusive<i64> = 1..=10;
const RETRY_AFTER_RANGE: RangeInclusive<i64> = 1..=7 * 24 * 3_600;
/// Whoever answered, or was hung up on, is not called again by itself.
const RETRY_ON: [Outcome; 3] = [Outcome::Busy, Outcome::NoAnswer, Outcome::Failed];
