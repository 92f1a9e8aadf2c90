//! An account over Twilio's REST API: its numbers, its applications, its latest calls.

use super::Report;
use crate::{
    cli::{
        desk::Desk,
        exit::{Exit, Stop},
        send, tokens,
    },
    domain::time::{MINUTE, Millis},
    twilio::{
        client::{CallFilter, Client, ClientError, Credentials, Listed, Patience},
        lint::{self, Expect, Finding},
        rest::{Call, CallRequest},
    },
};
use anyhow::Result;
use rand::RngExt;
use reqwest::header;
use secrecy::SecretString;
use std::{collections::BTreeSet, fs, path::Path};

/// Everything by which this account loses callbacks.
pub(super) async fn lint(
    desk: &mut Desk,
    sid: &str,
    api_key: Option<&Path>,
    calls: u32,
    expect: &Expect,
) -> Result<Report> {
    let client = client(desk, sid, api_key).await?;
    let mut report = Report::default();
    let (numbers, applications) = (
        client.list_phone_numbers(sid, LISTED_MAX).await.map_err(stop)?,
        client.list_applications(sid, LISTED_MAX).await.map_err(stop)?,
    );
    report.looked_at.extend([counted("phone numbers", &numbers), counted("applications", &applications)]);
    report.found.extend(numbers.entries.iter().flat_map(|number| lint::number(number, expect)));
    report.found.extend(applications.entries.iter().flat_map(|application| lint::application(application, expect)));

    let of_numbers = numbers.entries.iter().filter_map(|number| number.status_callback.clone());
    let of_applications = applications.entries.iter().filter_map(|application| application.status_callback.clone());
    report.found.extend(redirects(of_numbers.chain(of_applications).collect()).await?);

    if calls > 0 {
        let limit = usize::try_from(calls).unwrap_or(usize::MAX);
        let listed = client.list_calls(sid, &CallFilter::default(), limit).await.map_err(stop)?;
        report.looked_at.push(counted("calls", &listed));
        for call in &listed.entries {
            let requests = requests(&client, sid, call, desk.now_ms()).await?;
            report.found.extend(lint::call(call, requests.as_deref(), expect));
        }
    }
    Ok(report)
}

/// Someone who may ask for this account: the given key, its own token, or the configured account, which may be the parent.
pub(in crate::cli) async fn client(desk: &mut Desk, sid: &str, api_key: Option<&Path>) -> Result<Client> {
    let (credentials, base) = match api_key {
        Some(path) => (key_of(path)?, None),
        None => {
            let now_ms = desk.now_ms();
            let mut known = tokens::known(desk).await?;
            known.retain(|token| !token.has_ended(now_ms));
            let base = known.iter().filter(|token| token.account == sid).find_map(|token| token.api_base.clone());
            let own = known.iter().find(|token| token.account == sid);
            let configured = tokens::of_configuration(&desk.config);
            let Some(token) = own.or(configured.as_ref()) else {
                let next = "add it with `onhook accounts add`, set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or give --api-key-file";
                return Err(Stop::not_found(format!("token of {sid}"), next));
            };
            (Credentials { sid: token.account.clone(), secret: token.secret.clone() }, base)
        }
    };
    let seed = desk.rng.random();
    let base = base.as_ref().unwrap_or(&desk.config.twilio.api_base);
    Client::new(base, credentials, Patience::default(), seed).map_err(stop)
}

fn key_of(path: &Path) -> Result<Credentials> {
    let text = fs::read_to_string(path).map_err(|error| tokens::unreadable(path, &error))?;
    let mut lines = text.lines().map(str::trim);
    match (lines.next(), lines.next()) {
        (Some(sid), Some(secret)) if sid.starts_with("SK") && !secret.is_empty() => {
            Ok(Credentials { sid: sid.to_owned(), secret: SecretString::from(secret) })
        }
        _ => {
            let what = format!("{} holds no API key", path.display());
            Err(Stop::with(Exit::Usage, what, "write its sid (SK…) into the first line and its secret into the second"))
        }
    }
}

/// How a question that Twilio did not answer ends the command.
pub(in crate::cli) fn stop(error: ClientError) -> anyhow::Error {
    let (exit, next) = match &error {
        ClientError::NotFound { .. } => {
            (Exit::NotFound, "check the AccountSid, and that ONHOOK_TWILIO_API_BASE is the account's region")
        }
        ClientError::Unauthorized { .. } => {
            (Exit::Failed, "check the auth token or the API key; `onhook doctor` checks them all")
        }
        ClientError::TooMany { .. } => (Exit::Unavailable, "try again in a minute"),
        ClientError::Unavailable { .. } => (Exit::Unavailable, "check the network and ONHOOK_TWILIO_API_BASE"),
        ClientError::Malformed { .. } => {
            (Exit::Failed, "check ONHOOK_TWILIO_API_BASE: what answers there is not Twilio's API")
        }
    };
    Stop::with(exit, format!("failed to {error}"), next)
}

fn counted<T>(name: &str, listed: &Listed<T>) -> String {
    let more = if listed.is_cut { " (there are more)" } else { "" };
    format!("{name}: {}{more}", listed.entries.len())
}

/// What Twilio sent for a call that ended long enough ago for that to be known.
async fn requests(client: &Client, sid: &str, call: &Call, now_ms: Millis) -> Result<Option<Vec<CallRequest>>> {
    let ended_ms = call.ended_ms.or(call.updated_ms);
    let is_known = call.has_ended() && ended_ms.is_some_and(|ended| now_ms.saturating_sub(ended) >= EVENTS_AFTER_MS);
    if !is_known {
        return Ok(None);
    }
    match client.list_call_requests(sid, &call.sid).await {
        Ok(listed) => Ok(Some(listed.entries)),
        Err(ClientError::NotFound { .. }) => Ok(None),
        Err(error) => Err(stop(error)),
    }
}

/// Which of these URLs answer with a redirect. One that cannot be reached from here says nothing.
async fn redirects(urls: BTreeSet<String>) -> Result<Vec<Finding>> {
    let client = send::client()?;
    let mut found = Vec::new();
    for url in urls.iter().take(FETCHED_MAX) {
        let Ok(response) = client.get(url).send().await else { continue };
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        if let (300..=399, Some(location)) = (status, location) {
            found.push(lint::redirect(url, status, location));
        }
    }
    Ok(found)
}

/// Twilio has a call's requests 15 minutes after its end.
const EVENTS_AFTER_MS: Millis = 15 * MINUTE;
/// Who has more numbers sees the first of them.
const LISTED_MAX: usize = 5_000;
/// So many distinct URLs are fetched.
const FETCHED_MAX: usize = 20;
