//! `onhook voice`: how calls are answered.

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::or_dash,
    page::Page,
    view::{moment, second},
};
use crate::{
    audit::Act,
    fields::{self, Wrong},
    store::{
        Db,
        voice::{self as rows, VoiceRow},
    },
    twilio::dialing::{TIME_LIMIT_SECONDS_RANGE, TIMEOUT_SECONDS_RANGE},
    voice::{self, Put, VoiceText},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Say how calls are answered, directly in the configured database; it counts from the next call on
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook voice set --connect client:ann --caller-id +14155550100")]
pub enum Voice {
    Show(Show),
    List(List),
    Set(Box<Set>),
    Unset(Unset),
}

/// Whose settings.
#[derive(Args, Debug)]
struct Whose {
    #[command(flatten)]
    tenant: Tenant,
    /// A number of yours; left out: the tenant as a whole
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
}

/// Show what is set; of a number what is in force, and whether it or the tenant says so
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  onhook voice show\n  onhook voice show --number +14155550100")]
pub struct Show {
    #[command(flatten)]
    whose: Whose,
}

/// List the numbers that have settings of their own
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook voice list")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    page: Page,
}

/// Set what is given and leave the rest as it is
///
/// What a number does not set is as the tenant has it. An empty value says "nothing", whatever the tenant has set.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook voice set --connect client:ann --connect +14155550101 --caller-id +14155550100
  onhook voice set --number +14155550100 --timeout 20 --record record-from-answer-dual")]
pub struct Set {
    #[command(flatten)]
    whose: Whose,
    /// The number that dialed parties see, or `caller`
    #[arg(long, value_name = "NUMBER")]
    caller_id: Option<String>,
    /// Who takes inbound calls: a number, client:name or sip:user@host; repeat it to let several ring at once
    #[arg(long, value_name = "TARGET")]
    connect: Option<Vec<String>>,
    /// For how many seconds it rings
    #[arg(long, value_name = "SECONDS", value_parser = |text: &str| seconds(text, &TIMEOUT_SECONDS_RANGE))]
    timeout: Option<i64>,
    /// After how many seconds a conversation is cut off
    #[arg(long, value_name = "SECONDS", value_parser = |text: &str| seconds(text, &TIME_LIMIT_SECONDS_RANGE))]
    time_limit: Option<i64>,
    /// Whether calls are recorded, in Twilio's words, such as record-from-answer-dual
    #[arg(long, value_name = "WORD")]
    record: Option<String>,
    /// Whether machines are told from people: Enable or DetectMessageEnd
    #[arg(long, value_name = "WORD")]
    machine_detection: Option<String>,
    /// Said to those who call you, before anybody is dialed
    #[arg(long, value_name = "TEXT")]
    greeting: Option<String>,
    /// Said to the called party, before it is connected
    #[arg(long, value_name = "TEXT")]
    whisper: Option<String>,
    /// Twilio's name of the voice, such as Polly.Joanna
    #[arg(long, value_name = "VOICE")]
    voice: Option<String>,
    /// The language it speaks, such as en-US
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Said to the caller when nobody could be reached
    #[arg(long, value_name = "TEXT")]
    unanswered: Option<String>,
    /// The beginning of numbers that are dialed although they are premium rate or the like; may be repeated
    #[arg(long, value_name = "PREFIX")]
    allow_prefix: Option<Vec<String>>,
    /// Dial only numbers that begin so; may be repeated
    #[arg(long, value_name = "PREFIX")]
    only_prefix: Option<Vec<String>>,
    /// Dial only SIP addresses of this host; may be repeated
    #[arg(long, value_name = "HOST")]
    sip_host: Option<Vec<String>>,
}

/// Forget settings; without names of settings all of them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  onhook voice unset greeting\n  onhook voice unset --number +14155550100")]
pub struct Unset {
    #[command(flatten)]
    whose: Whose,
    /// Names of settings as `show` prints them
    #[arg(value_name = "SETTING")]
    settings: Vec<String>,
}

impl Voice {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Show(show) => show.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Set(set) => set.run(&mut desk).await,
            Self::Unset(unset) => unset.run(&mut desk).await,
        }
    }
}

impl Whose {
    /// The number in E.164; empty: the tenant's own row.
    fn number(&self, desk: &Desk) -> Result<String> {
        let region = desk.config.phone_region.as_deref();
        let number = self.number.as_deref().map(|text| fields::phone("--number", text, region)).transpose();
        Ok(number.map_err(|wrong| usage(&[wrong]))?.unwrap_or_default())
    }
}

impl Show {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (number, tenant) = (self.whose.number(desk)?, &self.whose.tenant.id);
        let found = desk.on_existing_db(async |_, db| Ok(rows::list_for(db, tenant, &number).await?)).await?;
        let (mut own, tenants): (Vec<_>, Vec<_>) = found.into_iter().partition(|row| row.number == number);
        let own = own.pop();
        if number.is_empty() {
            show(desk, own)?;
            return Ok(Exit::Ok);
        }
        let own = own.ok_or_else(|| unknown(&number))?;
        show_in_force(desk, &own, tenants.first())?;
        Ok(Exit::Ok)
    }
}

/// What counts for a number, and for each setting who says so.
fn show_in_force(desk: &Desk, own: &VoiceRow, tenants: Option<&VoiceRow>) -> Result<()> {
    let mut value = json(Some(own));
    let below = json!(tenants.cloned().map(VoiceText::from).unwrap_or_default());
    let fields = below.as_object().into_iter().flatten().map(|(name, below)| {
        let own = value.get(name).cloned().unwrap_or_default();
        let (from, counts) = match (own.is_null(), below.is_null()) {
            (false, _) => ("number", own),
            (true, false) => ("tenant", below.clone()),
            (true, true) => ("default", Value::Null),
        };
        (name.clone(), from, counts)
    });
    let fields: Vec<_> = fields.collect();
    let in_force = fields.iter().map(|(name, from, counts)| (name.clone(), json!({ "value": counts, "from": from })));
    let in_force = Value::Object(in_force.collect());
    if let Some(of_number) = value.as_object_mut() {
        of_number.insert("in_force".to_owned(), in_force);
    }
    desk.out.show(&value, || {
        let line =
            |(name, from, counts): &(String, &str, Value)| vec![name.clone(), (*from).to_owned(), plain(counts, UNSET)];
        let updated = vec!["updated_at".to_owned(), "number".to_owned(), second(own.updated_ms)];
        let table = desk.out.table(&["setting", "set by", "in force"], fields.iter().map(line).chain([updated]));
        format!("number {}\n{table}", own.number)
    })
}

/// Whole seconds; whether they are allowed is told with what else is wrong.
fn seconds(text: &str, allowed: &RangeInclusive<u32>) -> Result<i64, String> {
    text.parse().map_err(|_| format!("write whole seconds, {} to {}", allowed.start(), allowed.end()))
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch =
                    async |after: Option<&str>, limit| rows::list(db, tenant, after.unwrap_or_default(), limit).await;
                self.page.collect(|row| row.number.clone(), fetch).await
            })
            .await?;
        let line = |row: &VoiceRow| {
            let connect = or_dash(row.connect.as_ref());
            vec![row.number.clone(), or_dash(row.caller_id.as_ref()), connect, second(row.updated_ms)]
        };
        listed.show(&desk.out, |row| json(Some(row)), &["number", "caller id", "connect", "updated"], line)?;
        Ok(Exit::Ok)
    }
}

impl Set {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let number = self.whose.number(desk)?;
        let tenant = self.whose.tenant.id.clone();
        if self.is_empty() {
            let next = "name a setting, such as --connect client:ann (see `onhook voice set --help`)";
            return Err(Stop::with(Exit::Usage, "nothing is given that could be set", next));
        }
        let row = desk
            .on_db(async |desk, db| {
                require_tenant(db, &tenant).await?;
                let before = rows::find(db, &tenant, &number).await?;
                let text = self.over(before.map(VoiceText::from).unwrap_or_default());
                write(desk, db, &text, (&tenant, &number)).await
            })
            .await?;
        show(desk, Some(row))?;
        Ok(Exit::Ok)
    }

    /// Whether no setting is given.
    fn is_empty(&self) -> bool {
        let Self { caller_id, connect, timeout, time_limit, record, machine_detection, .. } = self;
        let Self { greeting, whisper, voice, language, unanswered, allow_prefix, only_prefix, sip_host, .. } = self;
        let texts = [caller_id, record, machine_detection, greeting, whisper, voice, language, unanswered];
        let lists = [connect, allow_prefix, only_prefix, sip_host];
        let numbers = [timeout, time_limit];
        texts.iter().all(|given| given.is_none())
            && lists.iter().all(|given| given.is_none())
            && numbers.iter().all(|given| given.is_none())
    }

    /// What was set, with what is given in its place.
    fn over(self, before: VoiceText) -> VoiceText {
        VoiceText {
            caller_id: self.caller_id.or(before.caller_id),
            connect: given(self.connect).or(before.connect),
            timeout_seconds: self.timeout.or(before.timeout_seconds),
            time_limit_seconds: self.time_limit.or(before.time_limit_seconds),
            record: self.record.or(before.record),
            machine_detection: self.machine_detection.or(before.machine_detection),
            greeting: self.greeting.or(before.greeting),
            whisper: self.whisper.or(before.whisper),
            voice: self.voice.or(before.voice),
            language: self.language.or(before.language),
            unanswered: self.unanswered.or(before.unanswered),
            allow_prefixes: given(self.allow_prefix).or(before.allow_prefixes),
            only_prefixes: given(self.only_prefix).or(before.only_prefixes),
            sip_hosts: given(self.sip_host).or(before.sip_hosts),
        }
    }
}

impl Unset {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (number, tenant) = (self.whose.number(desk)?, self.whose.tenant.id.clone());
        let row = desk
            .on_existing_db(async |desk, db| {
                let before = rows::find(db, &tenant, &number).await?.ok_or_else(|| unknown(&number))?;
                if self.settings.is_empty() {
                    voice::delete(db, &tenant, &number).await?;
                    desk.audit(db, &tenant, Act::VoiceForgotten, &subject(&number), json!({})).await;
                    return Ok(None);
                }
                let text = without(before.into(), &self.settings)?;
                write(desk, db, &text, (&tenant, &number)).await.map(Some)
            })
            .await?;
        show(desk, row)?;
        Ok(Exit::Ok)
    }
}

async fn write(desk: &mut Desk, db: &Db, text: &VoiceText, (tenant, number): (&str, &str)) -> Result<VoiceRow> {
    let region = desk.config.phone_region.as_deref();
    let row = text.read(tenant, number, region, desk.now_ms()).map_err(|wrongs| usage(&wrongs))?;
    match voice::put(db, &row).await? {
        Put::New | Put::Replaced => {
            desk.audit(db, tenant, Act::VoiceChanged, &subject(number), json!({})).await;
            Ok(row)
        }
        Put::Refused(wrongs) => Err(usage(&wrongs)),
    }
}

/// What the audit calls it.
fn subject(number: &str) -> String {
    if number.is_empty() { "tenant".to_owned() } else { crate::domain::phone::mask(number) }
}

/// `--connect ''` empties the list.
fn given(list: Option<Vec<String>>) -> Option<Vec<String>> {
    list.map(|words| words.into_iter().filter(|word| !word.is_empty()).collect())
}

fn without(text: VoiceText, names: &[String]) -> Result<VoiceText> {
    let mut value = serde_json::to_value(text)?;
    let fields = value.as_object_mut().map(std::mem::take).unwrap_or_default();
    if let Some(unknown) = names.iter().find(|name| !fields.contains_key(*name)) {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(Stop::with(Exit::Usage, format!("there is no setting {unknown:?}"), known.join(", ")));
    }
    let left = fields.into_iter().filter(|(name, _)| !names.contains(name));
    Ok(serde_json::from_value(Value::Object(left.collect()))?)
}

fn show(desk: &Desk, row: Option<VoiceRow>) -> Result<()> {
    let value = json(row.as_ref());
    desk.out.show(&value, || {
        let fields = value.as_object().into_iter().flatten();
        let of_number = row.as_ref().is_some_and(|row| !row.number.is_empty());
        let shown = fields.map(|(name, value)| {
            let unset = match name.as_str() {
                "number" => "the tenant as a whole",
                "updated_at" => "never",
                _ if of_number => "as the tenant has it",
                _ => UNSET,
            };
            (name.as_str(), plain(value, unset))
        });
        desk.out.sheet(&shown.collect::<Vec<_>>())
    })
}

/// As the REST API shows it.
fn json(row: Option<&VoiceRow>) -> Value {
    let number = row.map(|row| row.number.as_str()).filter(|number| !number.is_empty());
    let updated_at = moment(row.map(|row| row.updated_ms));
    let mut value = json!(row.cloned().map(VoiceText::from).unwrap_or_default());
    if let Some(fields) = value.as_object_mut() {
        fields.extend([("number".to_owned(), json!(number)), ("updated_at".to_owned(), json!(updated_at))]);
    }
    value
}

/// In words; `unset` is what it means that nothing is said.
fn plain(value: &Value, unset: &str) -> String {
    match value {
        Value::Null => unset.to_owned(),
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::Array(words) if words.is_empty() => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(words) => words.iter().map(|word| plain(word, unset)).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Shown where nothing is set anywhere.
const UNSET: &str = "not set";
/// Shown where it is set that there is nothing, whatever the tenant has.
const NOTHING: &str = "nothing here";

fn usage(wrongs: &[Wrong]) -> anyhow::Error {
    let wrongs: Vec<String> = wrongs.iter().map(ToString::to_string).collect();
    Stop::with(Exit::Usage, wrongs.join("; "), "")
}

fn unknown(number: &str) -> anyhow::Error {
    let whose = if number.is_empty() { "the tenant".to_owned() } else { format!("the number {number}") };
    Stop::not_found(format!("voice setting of {whose}"), "`onhook voice list` shows the numbers that have settings")
}
