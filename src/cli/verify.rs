//! `onhook verify`: does a webhook verify and, if not, which mistake explains it.

use super::{
    desk::Desk,
    exit::{Exit, Stop},
    out::{Out, Tone, printable},
    tokens::{self, Token},
};
use crate::twilio::{
    diagnose::{Answer, Diagnosis, KnownToken, Question, TokenOwner, diagnose},
    door::{Door, Method, Parameters},
};
use anyhow::Result;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Say whether a webhook of Twilio's verifies and, if not, which mistake explains it; exit code 4 if it does not
///
/// Give it what was received: the URL, the signature and the body, byte for byte. It makes the likely mistakes on
/// purpose (another scheme, host, port or prefix, another query, a body that was changed, another token) until one gives
/// the signature that came. Tokens are those of the account in AccountSid, from the configuration and the database; they
/// are never shown. Where ONHOOK_PUBLIC_URL is set, the gateway verifies that URL with the path and query of --url, and so
/// does this command.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook verify --url https://a.example/x --signature RSOYDt4T1cUTdK1PDd93/VVr8B8= --body body.txt
  onhook verify --url /x --header 'X-Twilio-Signature: …' --header 'Host: …' --body -")]
pub struct Verify {
    /// The URL as it was received or configured; a path is put behind ONHOOK_PUBLIC_URL
    #[arg(long)]
    url: String,
    /// The header X-Twilio-Signature
    #[arg(long, value_name = "BASE64")]
    signature: Option<String>,
    /// A file with the body as it was received; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// How it came: POST or GET
    #[arg(long, default_value = "POST", value_parser = method)]
    method: Method,
    /// A header of the request, such as `Host`, `Content-Type` or `X-Forwarded-Host`; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Whose webhook it is [default: AccountSid in the body or the query; `account=` in the query of an Event Streams
    /// sink]
    #[arg(long, value_name = "AC…")]
    account: Option<String>,
    /// A file that holds an auth token of the account, used instead of those that are known; may be repeated
    #[arg(long = "token-file", value_name = "FILE")]
    token_files: Vec<PathBuf>,
    /// A file that holds the parent account's auth token
    #[arg(long, value_name = "FILE")]
    parent_token_file: Option<PathBuf>,
}

impl Verify {
    /// Verifies it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        let body = self.body.as_deref().map(read_body).transpose()?.unwrap_or_default();
        let account = self.account.clone().or_else(|| account_of(self.method, &self.url, &body)).unwrap_or_default();
        let (mut tokens, parent) = self.tokens(&mut desk, &account).await?;
        let (now_ms, from_files) = (desk.now_ms(), !self.token_files.is_empty());
        let parent_sid = tokens.iter().filter(|token| token.account == account).find_map(|token| token.parent.clone());
        let owner = |token: &Token| match () {
            () if from_files => TokenOwner::Account,
            () if token.account == account && token.has_ended(now_ms) => TokenOwner::Ended,
            () if token.account == account => TokenOwner::Account,
            () if parent_sid.as_ref() == Some(&token.account) => TokenOwner::Parent,
            () => TokenOwner::Other,
        };
        tokens.retain(|token| token.account == account || !token.has_ended(now_ms));
        // Its own first; of strangers' tokens only some are tried.
        tokens.sort_by_key(|token| match owner(token) {
            TokenOwner::Account => 0,
            TokenOwner::Ended | TokenOwner::Parent => 1,
            TokenOwner::Other => 2,
        });
        let unknown = Some(unknown(&account)).filter(|_| tokens.iter().all(|token| owner(token) == TokenOwner::Other));
        let known = tokens.iter().take(TOKENS_MAX).map(|token| KnownToken {
            name: &token.name,
            owner: owner(token),
            secret: token.secret.expose_secret().as_bytes(),
        });
        let parent = parent.as_ref().map(|token| KnownToken {
            name: &token.name,
            owner: TokenOwner::Parent,
            secret: token.secret.expose_secret().as_bytes(),
        });
        let known: Vec<KnownToken<'_>> = known.chain(parent).collect();
        let signature = self.signature.map(|signature| ("X-Twilio-Signature".to_owned(), signature));
        let headers: Vec<_> = signature.into_iter().chain(self.headers).collect();
        let public_url = desk.config.public_url.as_ref().map(|url| url.as_str());
        let question = Question {
            url: &self.url,
            method: self.method,
            headers: &headers,
            body: &body,
            public_url,
            tokens: &known,
        };
        let mut diagnosis = diagnose(&question).naming(&account);
        match diagnosis.answer {
            Answer::NoToken => {
                let (what, next) = unknown.unwrap_or_else(|| ("every token is empty".to_owned(), String::new()));
                return Err(Stop::with(Exit::NotFound, what, next));
            }
            Answer::UnreadableUrl => {
                let next = "write it as https://host/path?query, or set ONHOOK_PUBLIC_URL for a path alone";
                return Err(Stop::with(Exit::Usage, format!("{:?} is not a URL", self.url), next));
            }
            _ => {}
        }
        // It comes first: what is said of strangers' tokens may only follow from it.
        diagnosis.hints.splice(0..0, unknown.map(|(what, next)| format!("{what}: {next}")));
        desk.out.show(&json(&diagnosis, &account), || text(&desk.out, &diagnosis, &account))?;
        Ok(if diagnosis.answer == Answer::Verified { Exit::Ok } else { Exit::Refused })
    }

    async fn tokens(&self, desk: &mut Desk, account: &str) -> Result<(Vec<Token>, Option<Token>)> {
        let parent = self.parent_token_file.as_deref().map(|path| tokens::of_file(path, "")).transpose()?;
        let tokens = match self.token_files.as_slice() {
            [] => tokens::known(desk).await?,
            files => files.iter().map(|path| tokens::of_file(path, account)).collect::<Result<_>>()?,
        };
        Ok((tokens, parent))
    }
}

fn json(diagnosis: &Diagnosis, account: &str) -> serde_json::Value {
    let mut json = json!(diagnosis);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("verified".into(), (diagnosis.answer == Answer::Verified).into());
        fields.insert("account".into(), Some(account).filter(|a| !a.is_empty()).into());
    }
    json
}

fn text(out: &Out, diagnosis: &Diagnosis, account: &str) -> String {
    let mut lines = Vec::new();
    lines.push(match diagnosis.answer {
        Answer::Verified => format!("{} it verifies", out.paint(Tone::Good, "✓")),
        Answer::Explained => format!("{} it is refused, and this is why:", out.paint(Tone::Bad, "✗")),
        _ => format!("{} it is refused", out.paint(Tone::Bad, "✗")),
    });
    lines.extend(diagnosis.hints.iter().map(|hint| format!("  - {}", printable(hint))));
    for mistake in &diagnosis.mistakes {
        lines.push(format!("  {} {}", out.paint(Tone::Strong, "-"), printable(&mistake.what)));
        lines.push(format!("    fix: {}", printable(&mistake.fix)));
    }
    if diagnosis.answer == Answer::Unexplained {
        let tried = diagnosis.attempts;
        lines.push(format!("  - {tried} spellings of URL and body were tried with every token; none was signed"));
    }
    let rows = [
        ("account", Some(account).filter(|a| !a.is_empty()).map(str::to_owned)),
        ("signed with", diagnosis.token.clone()),
        ("signed URL", diagnosis.signed_url.clone()),
    ];
    let rows: Vec<(&str, String)> = rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    lines.push(out.sheet(&rows));
    lines.join("\n")
}

/// What is wrong where no token of the account is known, and what to do.
fn unknown(account: &str) -> (String, String) {
    match account {
        "" => ("no AccountSid in the body".to_owned(), "give --account, or --token-file".to_owned()),
        sid => (
            format!("no token of {sid} is known here"),
            format!("`onhook accounts add --sid {sid}`, or give it with --token-file"),
        ),
    }
}

fn account_of(method: Method, url: &str, body: &[u8]) -> Option<String> {
    let (path, query) = match url.split('#').next()?.split_once('?') {
        Some((path, query)) => (path, query),
        None => (url, ""),
    };
    // A batch has no parameters, and its events may be of several accounts: see `Door::account_sid`.
    if path.ends_with(Door::Events.path()) || body.trim_ascii_start().starts_with(b"[") {
        let parameters = Parameters::parse(Method::Post, query.as_bytes(), b"").ok()?;
        return Some(Door::Events.account_sid(&parameters)?.into_owned());
    }
    let mut parameters = Parameters::parse(method, query.as_bytes(), body).ok()?;
    if parameters.account_sid().is_none() {
        // A POST that became a GET on its way, or the other way round.
        parameters.method = if method == Method::Post { Method::Get } else { Method::Post };
    }
    Some(parameters.account_sid()?.into_owned())
}

fn read_body(path: &Path) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().take(BODY_BYTES_MAX).read_to_end(&mut body),
        _ => File::open(path).and_then(|file| file.take(BODY_BYTES_MAX).read_to_end(&mut body)),
    };
    read.map_err(|error| tokens::unreadable(path, &error))?;
    Ok(body)
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_uppercase().as_str() {
        "POST" => Ok(Method::Post),
        "GET" => Ok(Method::Get),
        _ => Err("Twilio sends POST or GET".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Far more than any webhook has.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// How many tokens are tried, the account's own first.
const TOKENS_MAX: usize = 50;
