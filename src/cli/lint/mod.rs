//! `onhook lint`: ways to lose a callback, in TwiML, in the parameters of a new call, or in an account.

mod account;

use super::{
    desk::Desk,
    exit::{Exit, Stop},
    out::{Out, Tone, printable},
    send, tokens,
};
use crate::twilio::{
    form::Form,
    lint::{self, Expect, Finding, Level},
};
use anyhow::Result;
use clap::Args;
use reqwest::header;
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};
use url::Url;

/// Find each way to lose a callback in TwiML or in an account, with the text to put there; exit code 5 if there is one
///
/// It reads TwiML from a file, a URL or standard input; with --create-call the parameters that you send to `POST /Calls`;
/// with --account the phone numbers, TwiML applications and recent calls of an account, over Twilio's REST API. Notes do
/// not change the exit code. URLs are compared with ONHOOK_PUBLIC_URL where it is set.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook lint answer.xml
  onhook lint https://your.app/twiml --method POST
  onhook lint --create-call parameters.txt
  onhook lint --account AC00000000000000000000000000000001")]
pub struct Lint {
    /// TwiML: a file, a URL that answers with it, or `-` for standard input
    #[arg(value_name = "FILE|URL|-", required_unless_present_any = ["account", "create_call"])]
    twiml: Option<String>,
    /// How the URL is asked: GET, or POST as Twilio does by default
    #[arg(long, default_value = "GET", value_parser = ["GET", "POST"], requires = "twiml")]
    method: String,
    /// The parameters of `POST /Calls` as they are sent, encoded as a form: a file, or `-`
    #[arg(long, value_name = "FILE", conflicts_with = "twiml")]
    create_call: Option<PathBuf>,
    /// What Twilio's REST API says of this account; its token is the stored or configured one
    #[arg(long, value_name = "AC…", conflicts_with_all = ["twiml", "create_call"], value_parser = super::accounts::account_sid)]
    account: Option<String>,
    /// Ask with an API key instead of the account's token: a file with its sid (SK…) and its secret, one per line
    #[arg(long, value_name = "FILE", requires = "account")]
    api_key_file: Option<PathBuf>,
    /// How many of the latest calls are looked at
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=200), requires = "account")]
    calls: u32,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// In words.
    looked_at: Vec<String>,
    found: Vec<Finding>,
}

impl Lint {
    /// Looks for it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let expect = Expect { public_url: desk.config.public_url.clone() };
        let report = match (&self.twiml, &self.create_call, &self.account) {
            (Some(source), ..) => of_twiml(source, &self.method, &expect).await?,
            (None, Some(path), _) => of_create_call(path, &expect)?,
            (None, None, Some(sid)) => {
                account::lint(&mut desk, sid, self.api_key_file.as_deref(), self.calls, &expect).await?
            }
            (None, None, None) => Report::default(),
        };
        let findings = report.found.iter().filter(|finding| finding.level == Level::Finding).count();
        let json = json!({ "looked_at": report.looked_at, "findings": findings, "found": report.found });
        desk.out.show(&json, || text(&desk.out, &report, findings))?;
        Ok(if findings > 0 { Exit::Findings } else { Exit::Ok })
    }
}

async fn of_twiml(source: &str, method: &str, expect: &Expect) -> Result<Report> {
    if let Ok(url) = Url::parse(source)
        && url.has_host()
    {
        return of_url(url, method, expect).await;
    }
    let text = String::from_utf8_lossy(&read(Path::new(source))?).into_owned();
    let place = if source == "-" { "standard input" } else { source };
    Ok(Report { looked_at: vec![place.to_owned()], found: lint::twiml(&text, expect) })
}

async fn of_url(url: Url, method: &str, expect: &Expect) -> Result<Report> {
    let unreachable = |error: &reqwest::Error| {
        let what = format!("{url} cannot be fetched: {}", send::reason(error));
        Stop::with(Exit::Unavailable, what, "check the URL; Twilio would say 11200")
    };
    let client = send::client()?;
    let request = if method == "POST" { client.post(url.clone()) } else { client.get(url.clone()) };
    let response = request.send().await.map_err(|error| unreachable(&error))?;
    let text_of =
        |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (status, location, media) =
        (response.status().as_u16(), text_of(header::LOCATION), text_of(header::CONTENT_TYPE));
    let mut report = Report { looked_at: vec![url.to_string()], found: Vec::new() };
    if (300..400).contains(&status) {
        report.found.push(lint::redirect(url.as_str(), status, &location));
        return Ok(report);
    }
    report.found.extend(lint::answer(url.as_str(), status, &media));
    if response.status().is_success() {
        let body = limited(response).await.map_err(|error| unreachable(&error))?;
        report.found.extend(lint::twiml(&String::from_utf8_lossy(&body), expect));
    }
    Ok(report)
}

/// As much of an answer as is looked at.
async fn limited(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > READ_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

fn of_create_call(path: &Path, expect: &Expect) -> Result<Report> {
    let body = read(path)?;
    let form = Form::parse(body.trim_ascii())?;
    Ok(Report { looked_at: vec!["the parameters of POST /Calls".to_owned()], found: lint::create_call(&form, expect) })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().take(READ_BYTES_MAX).read_to_end(&mut text),
        _ => File::open(path).and_then(|file| file.take(READ_BYTES_MAX).read_to_end(&mut text)),
    };
    read.map_err(|error| tokens::unreadable(path, &error))?;
    Ok(text)
}

fn text(out: &Out, report: &Report, findings: usize) -> String {
    let mut lines = Vec::new();
    for finding in &report.found {
        let (mark, tone) = match finding.level {
            Level::Finding => ("✗", Tone::Bad),
            Level::Note => ("·", Tone::Faint),
        };
        let place = match (finding.line, finding.column) {
            (Some(line), Some(column)) => format!("{line}:{column} {}", finding.subject),
            _ => finding.subject.clone(),
        };
        lines.push(format!("{} {}: {}", out.paint(tone, mark), printable(&place), printable(&finding.what)));
        lines.push(format!("    {}: {}", finding.rule, finding.why));
        if !finding.put.is_empty() {
            lines.push(format!("    put: {}", printable(&finding.put)));
        }
    }
    let looked = printable(&report.looked_at.join(", "));
    lines.push(match (findings, report.found.len()) {
        (0, 0) => format!("{} {looked}: no callback is lost", out.paint(Tone::Good, "✓")),
        (0, notes) => format!("{} {looked}: no callback is lost; notes: {notes}", out.paint(Tone::Good, "✓")),
        (findings, all) => format!("{looked}: findings: {findings}, notes: {}", all - findings),
    });
    lines.join("\n")
}

/// More than Twilio would read.
const READ_BYTES_MAX: u64 = 1 << 20;
