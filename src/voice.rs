//! How calls are answered: the settings of a tenant and of its numbers, as people write them and as they count.
//!
//! A number's own settings come first, then the tenant's. A field that is left out says nothing; one that is empty says
//! "nothing here", whatever the tenant's row says.

mod chain;

use crate::{
    domain::{phone::E164, time::Millis},
    fields::{self, Wrong, Wrongs},
    store::{
        Db, StoreError,
        voice::{self, VoiceRow},
    },
    transaction::{self, Done},
    twilio::{
        dialing::{
            CALLER, DialPolicy, NamedBy, Settings, TIME_LIMIT_SECONDS_RANGE, TIMEOUT_SECONDS_RANGE, Target, sip_host,
        },
        twiml::{MachineDetection, NOUNS_MAX, Record, SAY_CHARS_MAX},
    },
};
use chain::{Chains, Circle};
use serde::{Deserialize, Serialize};
use std::{fmt::Display, ops::RangeInclusive, str::FromStr};
use utoipa::ToSchema;

/// How calls are answered. Left out: for a number, what the tenant has set; for the tenant, the default. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = VoiceSettings)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceText {
    /// The number that dialed parties see, of your account; `caller`: the caller's own, as Twilio does it by itself.
    /// Without one, calls that you place show the number they were placed from, and devices cannot call numbers.
    #[schema(example = "+14155550100")]
    pub caller_id: Option<String>,
    /// Who takes calls from the telephone network, all at once, at most 10: numbers with their country code,
    /// `client:name`, `sip:user@host`.
    #[schema(example = json!(["client:ann", "+14155550101"]), max_items = 10)]
    pub connect: Option<Vec<String>>,
    /// For how many seconds it rings. Default 30.
    #[schema(example = 30, minimum = 5, maximum = 600)]
    pub timeout_seconds: Option<i64>,
    /// After how many seconds a conversation is cut off. Twilio's default is four hours.
    #[schema(example = 3600, minimum = 1, maximum = 86400)]
    pub time_limit_seconds: Option<i64>,
    /// Whether calls are recorded: `do-not-record`, `record-from-answer`, `record-from-ringing`,
    /// `record-from-answer-dual`, `record-from-ringing-dual`.
    #[schema(example = "record-from-answer-dual")]
    pub record: Option<String>,
    /// Whether a machine that answers a dialed number is told from a person: `Enable`, `DetectMessageEnd`.
    #[schema(example = "Enable")]
    pub machine_detection: Option<String>,
    /// Said to those who call you, before anybody is dialed. Up to 4096 bytes.
    #[schema(example = "Welcome to Example.", max_length = 4096)]
    pub greeting: Option<String>,
    /// Said to the called party, before it is connected. Up to 4096 bytes.
    #[schema(example = "A call from the website.", max_length = 4096)]
    pub whisper: Option<String>,
    /// Twilio's name of the voice that says it.
    #[schema(example = "Polly.Joanna")]
    pub voice: Option<String>,
    /// The language it speaks.
    #[schema(example = "en-US")]
    pub language: Option<String>,
    /// Said to the caller when nobody could be reached. Up to 4096 bytes.
    #[schema(example = "Nobody is there now. Please call again tomorrow.", max_length = 4096)]
    pub unanswered: Option<String>,
    /// Beginnings of numbers that are dialed although they are premium rate, of shared cost, or in no known range.
    #[schema(example = json!(["+1900555"]), max_items = 100)]
    pub allow_prefixes: Option<Vec<String>>,
    /// If any are given, only numbers that begin so are dialed.
    #[schema(example = json!(["+1415", "+44"]), max_items = 100)]
    pub only_prefixes: Option<Vec<String>>,
    /// If any are given, only SIP addresses of these hosts are dialed.
    #[schema(example = json!(["pbx.example.com"]), max_items = 100)]
    pub sip_hosts: Option<Vec<String>>,
}

impl VoiceText {
    /// Checks every field. `number` is in E.164, or empty for the tenant as a whole; `region` reads numbers without a
    /// country code.
    pub fn read(
        &self,
        tenant: &str,
        number: &str,
        region: Option<&str>,
        now_ms: Millis,
    ) -> Result<VoiceRow, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let say = SAY_CHARS_MAX;
        let row = VoiceRow {
            tenant: tenant.to_owned(),
            number: number.to_owned(),
            caller_id: text(&mut wrongs, &self.caller_id, |text| caller_id(text, region)),
            connect: list(&mut wrongs, "connect", &self.connect, NOUNS_MAX, |field, text| {
                connect(field, text, number, region)
            }),
            timeout_seconds: seconds(&mut wrongs, "timeout_seconds", self.timeout_seconds, &TIMEOUT_SECONDS_RANGE),
            time_limit_seconds: seconds(
                &mut wrongs,
                "time_limit_seconds",
                self.time_limit_seconds,
                &TIME_LIMIT_SECONDS_RANGE,
            ),
            record: text(&mut wrongs, &self.record, |text| word::<Record>("record", text)),
            machine_detection: text(&mut wrongs, &self.machine_detection, |text| {
                word::<MachineDetection>("machine_detection", text)
            }),
            greeting: text(&mut wrongs, &self.greeting, |text| fields::line("greeting", text, 1..=say)),
            whisper: text(&mut wrongs, &self.whisper, |text| fields::line("whisper", text, 1..=say)),
            voice: text(&mut wrongs, &self.voice, |text| {
                plain("voice", text, b"._-", VOICE_BYTES_MAX, "a voice such as Polly.Joanna")
            }),
            language: text(&mut wrongs, &self.language, |text| language("language", text)),
            unanswered: text(&mut wrongs, &self.unanswered, |text| fields::line("unanswered", text, 1..=say)),
            allow_prefixes: list(&mut wrongs, "allow_prefixes", &self.allow_prefixes, LIST_MAX, prefix),
            only_prefixes: list(&mut wrongs, "only_prefixes", &self.only_prefixes, LIST_MAX, prefix),
            sip_hosts: list(&mut wrongs, "sip_hosts", &self.sip_hosts, LIST_MAX, host),
            updated_ms: now_ms,
        };
        wrongs.settle(Some(row))
    }
}

impl From<VoiceRow> for VoiceText {
    fn from(row: VoiceRow) -> Self {
        let list = |words: Option<String>| words.map(|words| words.split_whitespace().map(str::to_owned).collect());
        Self {
            caller_id: row.caller_id,
            connect: list(row.connect),
            timeout_seconds: row.timeout_seconds,
            time_limit_seconds: row.time_limit_seconds,
            record: row.record,
            machine_detection: row.machine_detection,
            greeting: row.greeting,
            whisper: row.whisper,
            voice: row.voice,
            language: row.language,
            unanswered: row.unanswered,
            allow_prefixes: list(row.allow_prefixes),
            only_prefixes: list(row.only_prefixes),
            sip_hosts: list(row.sip_hosts),
        }
    }
}

/// What counts for a number of a tenant; `None`: for calls of no number. One question to the database.
pub async fn settings(db: &Db, tenant: &str, number: Option<&E164>) -> Result<Settings, StoreError> {
    let rows = voice::list_for(db, tenant, number.map(E164::as_str).unwrap_or_default()).await?;
    in_force(rows)
}

/// Of the numbers that a call to `called` is put through to, those whose own settings lead back to it.
pub async fn leading_back(db: &Db, tenant: &str, called: &E164, numbers: &[E164]) -> Result<Vec<E164>, StoreError> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let from: Vec<String> = numbers.iter().map(|number| number.as_str().to_owned()).collect();
    let chains = Chains::follow(db, tenant, &from, None).await?;
    let leads = |number: &&E164| chains.leads(number.as_str(), called.as_str()) != Circle::None;
    Ok(numbers.iter().filter(leads).cloned().collect())
}

/// What became of settings that were to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// They are written; nothing was set before.
    New,
    /// They are written in place of what was set.
    Replaced,
    /// They would dial nobody, or each other for ever. Nothing is written.
    Refused(Vec<Wrong>),
}

/// Writes what is set for a number, or (number empty) for the tenant, if it fits what else is set.
pub async fn put(db: &Db, row: &VoiceRow) -> Result<Put, StoreError> {
    // Outside of the transaction: two that are written at once may still make a circle, and then the one who calls is
    // not put through (`leading_back`).
    let mut wrongs = undialed(db, row).await?;
    wrongs.extend(in_a_circle(db, row).await?);
    if !wrongs.is_empty() {
        return Ok(Put::Refused(wrongs));
    }
    transaction::run(db, async |tx| {
        let before = voice::find(&mut *tx, &row.tenant, &row.number).await?;
        voice::put(tx, row).await?;
        let value = if before.is_none() { Put::New } else { Put::Replaced };
        Ok(Done { value, journal: Vec::new() })
    })
    .await
}

/// Those who would be refused whenever somebody calls.
async fn undialed(db: &Db, row: &VoiceRow) -> Result<Vec<Wrong>, StoreError> {
    let below = if row.number.is_empty() { None } else { voice::find(db, &row.tenant, "").await? };
    let policy = in_force(below.into_iter().chain([row.clone()]).collect())?.policy;
    let judged = words(&row.connect).into_iter().enumerate().filter_map(|(n, text)| {
        let target = Target::parse(&text, None).ok()?;
        let why = policy.judge(&target, NamedBy::Us).err()?;
        Some(Wrong::new(format!("connect[{n}]"), format!("{text} is never dialed ({why}): {}", why.advice())))
    });
    Ok(judged.collect())
}

/// Numbers that would be put through to each other for ever, each hop billed.
async fn in_a_circle(db: &Db, row: &VoiceRow) -> Result<Option<Wrong>, StoreError> {
    let of_tenant = row.number.is_empty();
    // What the tenant has counts for each of its numbers that has no `connect` of its own: the circle is beyond.
    let from = if of_tenant { chain::numbers(row) } else { vec![row.number.clone()] };
    let chains = Chains::follow(db, &row.tenant, &from, Some(row)).await?;
    let circle = if of_tenant { chains.circle() } else { chains.leads(&row.number, &row.number) };
    let why = match circle {
        Circle::None => return Ok(None),
        Circle::Of(numbers) => {
            format!("calls would go round for ever: {}; break it at one of these", numbers.join(" > "))
        }
        Circle::TooLong => format!("leads through more than {} numbers that have settings", chain::NUMBERS_MAX),
    };
    Ok(Some(Wrong::new("connect", why)))
}

/// Forgets what is set for a number, or (number empty) for the tenant. `false`: nothing was.
pub async fn delete(db: &Db, tenant: &str, number: &str) -> Result<bool, StoreError> {
    transaction::run(db, async |tx| {
        Ok(Done { value: voice::delete(tx, tenant, number).await? > 0, journal: Vec::new() })
    })
    .await
}

/// Lays the later rows over the earlier ones, field by field.
fn in_force(rows: Vec<VoiceRow>) -> Result<Settings, StoreError> {
    let row = rows.into_iter().reduce(over).unwrap_or_default();
    let corrupt = |field: &str, why: String| StoreError::Corrupt {
        what: format!("{field} of the voice settings of {:?}", row.tenant),
        why,
    };
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let seconds = |field: &str, value: Option<i64>| {
        let read = value.map(u32::try_from).transpose();
        read.map_err(|error| corrupt(field, error.to_string()))
    };
    let record = text(&row.record).map(|word| word.parse()).transpose();
    let machine_detection = text(&row.machine_detection).map(|word| word.parse()).transpose();
    Ok(Settings {
        caller_id: text(&row.caller_id),
        connect: words(&row.connect),
        timeout_seconds: seconds("timeout_seconds", row.timeout_seconds)?,
        time_limit_seconds: seconds("time_limit_seconds", row.time_limit_seconds)?,
        record: record.map_err(|why| corrupt("record", why))?,
        machine_detection: machine_detection.map_err(|why| corrupt("machine_detection", why))?,
        greeting: text(&row.greeting),
        whisper: text(&row.whisper),
        voice: text(&row.voice),
        language: text(&row.language),
        unanswered: text(&row.unanswered),
        policy: DialPolicy {
            allow_prefixes: words(&row.allow_prefixes),
            only_prefixes: words(&row.only_prefixes),
            sip_hosts: words(&row.sip_hosts),
        },
    })
}

/// What a list holds; nothing where nothing is set.
fn words(list: &Option<String>) -> Vec<String> {
    list.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn over(below: VoiceRow, row: VoiceRow) -> VoiceRow {
    VoiceRow {
        tenant: row.tenant,
        number: row.number,
        caller_id: row.caller_id.or(below.caller_id),
        connect: row.connect.or(below.connect),
        timeout_seconds: row.timeout_seconds.or(below.timeout_seconds),
        time_limit_seconds: row.time_limit_seconds.or(below.time_limit_seconds),
        record: row.record.or(below.record),
        machine_detection: row.machine_detection.or(below.machine_detection),
        greeting: row.greeting.or(below.greeting),
        whisper: row.whisper.or(below.whisper),
        voice: row.voice.or(below.voice),
        language: row.language.or(below.language),
        unanswered: row.unanswered.or(below.unanswered),
        allow_prefixes: row.allow_prefixes.or(below.allow_prefixes),
        only_prefixes: row.only_prefixes.or(below.only_prefixes),
        sip_hosts: row.sip_hosts.or(below.sip_hosts),
        updated_ms: row.updated_ms,
    }
}

/// An empty text stays: it says "nothing here".
fn text(wrongs: &mut Wrongs, value: &Option<String>, read: impl Fn(&str) -> Result<String, Wrong>) -> Option<String> {
    let value = value.as_deref()?;
    if value.is_empty() { Some(String::new()) } else { wrongs.take(read(value)) }
}

/// Each word once, in the order they are written.
fn list(
    wrongs: &mut Wrongs,
    field: &str,
    values: &Option<Vec<String>>,
    max: usize,
    read: impl Fn(&str, &str) -> Result<String, Wrong>,
) -> Option<String> {
    let values = values.as_ref()?;
    if values.len() > max {
        let message = format!("has {} entries; up to {max} are allowed", values.len());
        return wrongs.take(Err(Wrong::new(field, message)));
    }
    let mut words: Vec<String> = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let word = wrongs.take(read(&format!("{field}[{n}]"), value));
        words.extend(word.filter(|word| !words.contains(word)));
    }
    Some(words.join(" "))
}

fn seconds(wrongs: &mut Wrongs, field: &str, value: Option<i64>, allowed: &RangeInclusive<u32>) -> Option<i64> {
    let value = value?;
    let fits = u32::try_from(value).is_ok_and(|seconds| allowed.contains(&seconds));
    let message = || format!("is {value}; {} to {} are allowed", allowed.start(), allowed.end());
    wrongs.take(if fits { Ok(value) } else { Err(Wrong::new(field, message())) })
}

fn caller_id(text: &str, region: Option<&str>) -> Result<String, Wrong> {
    if text == CALLER {
        return Ok(text.to_owned());
    }
    let with_hint = |wrong: Wrong| Wrong { message: format!("{}; {CALLER} is allowed too", wrong.message), ..wrong };
    fields::phone("caller_id", text, region).map_err(with_hint)
}

fn connect(field: &str, text: &str, number: &str, region: Option<&str>) -> Result<String, Wrong> {
    let target = Target::parse(text, region).map_err(|why| {
        let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        Wrong::new(field, format!("{shown:?} cannot be dialed ({why}): {}", why.advice()))
    })?;
    let target = target.to_string();
    if target == number {
        return Err(Wrong::new(field, "is the number itself: it would call itself"));
    }
    Ok(target)
}

fn word<T: FromStr<Err = String> + Display>(field: &str, text: &str) -> Result<String, Wrong> {
    text.parse::<T>().map(|word| word.to_string()).map_err(|why| Wrong::new(field, why))
}

fn plain(field: &str, text: &str, more: &[u8], bytes_max: usize, allowed: &str) -> Result<String, Wrong> {
    let text = fields::line(field, text, 1..=bytes_max)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b)) {
        return Ok(text);
    }
    Err(Wrong::new(field, format!("{text:?} is not {allowed}")))
}

/// The shape of a tag of BCP 47 (RFC 5646 2.1): a language, then parts of up to eight letters and digits.
fn language(field: &str, text: &str) -> Result<String, Wrong> {
    let allowed = "a language tag, such as en-US, de or cmn-Hant-TW";
    let tag = plain(field, text, b"-", LANGUAGE_BYTES_MAX, allowed)?;
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    let is_language = (2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    if is_language && parts.all(|part| (1..=8).contains(&part.len())) {
        return Ok(tag);
    }
    Err(Wrong::new(field, format!("{text:?} is not {allowed}")))
}

fn prefix(field: &str, text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('+').filter(|digits| (1..=15).contains(&digits.len()));
    if digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    Err(Wrong::new(field, format!("{shown:?} is not + and 1 to 15 digits, such as +1900")))
}

fn host(field: &str, text: &str) -> Result<String, Wrong> {
    // A host is what can be one in an address, without a port.
    if sip_host(&format!("sip:x@{text}")) == Some(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    Err(Wrong::new(field, format!("{shown:?} is not a host, such as pbx.example.com")))
}

/// Twilio's longest names of voices have some 40 bytes.
const VOICE_BYTES_MAX: usize = 100;
/// The longest language tag in use.
const LANGUAGE_BYTES_MAX: usize = 35;
/// Prefixes and hosts of one row.
const LIST_MAX: usize = 100;
/// How much of a wrong value is shown.
const SHOWN_CHARS_MAX: usize = 60;
