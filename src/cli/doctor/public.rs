//! The public URL: what it says, where it leads, and whether a signature survives the way.

use super::{Check, Clocks};
use crate::{
    cli::{desk::Desk, send, tokens::Token},
    domain::time::parse_rfc2822,
    twilio::{STATUS_PATH, form::Form, signature::sign},
};
use rand::RngExt;
use reqwest::{Response, StatusCode, header};
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use url::{Host, Url};

/// What was asked of the public URL.
pub(super) struct Answered {
    pub checks: Vec<Check>,
    pub clock: Option<Clocks>,
}

/// The URL itself, and whether it leads to a gateway without a redirect.
pub(super) async fn url(desk: &Desk) -> Answered {
    let Some(url) = &desk.config.public_url else {
        let what = "it is not set, so signatures are checked against what the Host header says";
        let next = "set ONHOOK_PUBLIC_URL to what Twilio is told, prefix included";
        return Answered { checks: vec![Check::finding(PUBLIC_URL, what, next)], clock: None };
    };
    let mut checks = written(url);
    checks.extend(resolved(url).await);
    let healthz = format!("{}/healthz", base(url));
    let answer = match send::client() {
        Ok(client) => client.get(&healthz).send().await.map_err(|error| send::reason(&error)),
        Err(error) => Err(error.to_string()),
    };
    match answer {
        Ok(response) => {
            let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()).and_then(parse_rfc2822);
            let clock = date.map(|theirs_ms| Clocks { theirs_ms, ours_ms: desk.now_ms() });
            checks.push(answered(&healthz, response).await);
            Answered { checks, clock }
        }
        Err(why) => {
            let next = "start the gateway, and check the proxy and the firewall; if only this machine cannot reach it, run \
                 the doctor elsewhere";
            checks.push(Check::finding(PUBLIC_URL, format!("{healthz} cannot be reached: {why}"), next));
            Answered { checks, clock: None }
        }
    }
}

fn base(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

fn written(url: &Url) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut find = |what: String, next: &str| checks.push(Check::finding(PUBLIC_URL, what, next));
    if url.scheme() != "https" {
        let next = "serve it over https: put a proxy with a certificate in front";
        find(format!("{url} is not https: numbers and names travel unencrypted"), next);
    }
    let is_local = match url.host() {
        Some(Host::Domain(host)) if host.contains('_') => {
            find(format!("the host {host} has an underscore, which Twilio refuses (11210)"), "give it another name");
            false
        }
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if is_local {
        find(
            format!("{url} cannot be reached by Twilio: it is an address of this machine or network"),
            "use a public name",
        );
    }
    if checks.is_empty() {
        checks.push(Check::ok(PUBLIC_URL, format!("{url} is a URL that Twilio calls")));
    }
    checks
}

async fn resolved(url: &Url) -> Option<Check> {
    let Some(Host::Domain(host)) = url.host() else { return None };
    let found = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or(443))).await;
    match found.map(|mut addresses| addresses.next()) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Check::finding(PUBLIC_URL, format!("{host} has no address"), DNS)),
        Err(error) => Some(Check::finding(PUBLIC_URL, format!("{host} does not resolve: {error}"), DNS)),
    }
}

async fn answered(url: &str, response: Response) -> Check {
    let status = response.status();
    let to =
        response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another URL").to_owned();
    // A gateway answers three bytes; more of another server's page is not read than a first piece.
    let is_gateway = status.is_success() && first_piece(response).await == b"ok\n";
    match status {
        _ if is_gateway => Check::ok(PUBLIC_URL, format!("{url} is answered by a gateway, without a redirect")),
        status if status.is_redirection() => Check::finding(PUBLIC_URL, format!("{url} redirects to {to}"), REDIRECT),
        status => {
            let what = format!("{url} answers {}, and not as a gateway does", status.as_u16());
            Check::finding(PUBLIC_URL, what, "check that host, port and path prefix lead to the gateway")
        }
    }
}

async fn first_piece(mut response: Response) -> Vec<u8> {
    response.chunk().await.ok().flatten().map(|piece| piece.to_vec()).unwrap_or_default()
}

/// Sends a signed probe for each account, and one that is signed wrongly, which has to be refused.
pub(super) async fn round_trip(desk: &mut Desk, known: &[Token]) -> Vec<Check> {
    let Some(url) = desk.config.public_url.clone() else {
        return vec![Check::unknown(ROUND_TRIP, "there is no public URL to send a signature through", "")];
    };
    let mut checks = Vec::new();
    for token in known.iter().take(PROBED_MAX) {
        let check = probe(desk, &url, token).await;
        let is_reached = check.state != super::State::Unknown;
        checks.push(check);
        // The next token would not get there either.
        if !is_reached {
            break;
        }
    }
    let accounts: BTreeSet<&str> = known.iter().map(|token| token.account.as_str()).collect();
    if let (Some(account), true) = (accounts.first(), checks.iter().all(|check| check.state == super::State::Ok)) {
        checks.extend(forged(desk, &url, account).await);
    }
    checks
}

async fn probe(desk: &mut Desk, url: &Url, token: &Token) -> Check {
    let name = &token.name;
    let public = format!("{}{STATUS_PATH}", base(url));
    let next = "compare ONHOOK_PUBLIC_URL and the accounts of the running gateway with those of this command; \
         its log says which spellings of the URL it tried, `onhook verify` explains a refused webhook";
    match send_probe(desk, &public, &token.account, token.secret.expose_secret()).await {
        Ok((StatusCode::NO_CONTENT, _)) => Check::ok(ROUND_TRIP, format!("a signature by {name} verifies at {public}")),
        Ok((StatusCode::FORBIDDEN, _)) => {
            Check::finding(ROUND_TRIP, format!("a signature by {name} is refused at {public}"), next)
        }
        Ok((status, to)) if status.is_redirection() => {
            Check::finding(ROUND_TRIP, format!("{public} redirects to {to}"), REDIRECT)
        }
        Ok((status, _)) => {
            let what = format!("{public} answers {} to a signed probe; a gateway answers 204", status.as_u16());
            Check::finding(ROUND_TRIP, what, "check that this URL leads to the gateway, and that it is of this version")
        }
        Err(why) => {
            Check::unknown(ROUND_TRIP, format!("{public} cannot be reached: {why}"), "see the public URL above")
        }
    }
}

/// Something that says yes to everything would look like a gateway.
async fn forged(desk: &mut Desk, url: &Url, account: &str) -> Option<Check> {
    let public = format!("{}{STATUS_PATH}", base(url));
    match send_probe(desk, &public, account, "no token of this account").await {
        Ok((status, _)) if status.is_success() => {
            let what = format!("{public} takes a probe that nobody signed");
            let next = "what answers there does not verify signatures: check that it is the gateway";
            Some(Check::finding(ROUND_TRIP, what, next))
        }
        Ok(_) => Some(Check::ok(ROUND_TRIP, "a wrong signature is refused")),
        Err(_) => None,
    }
}

async fn send_probe(desk: &mut Desk, public: &str, account: &str, token: &str) -> Result<(StatusCode, String), String> {
    let random: u128 = desk.rng.random();
    let body = format!("AccountSid={account}&OnhookProbe={random:032x}");
    let form = Form::parse(body.as_bytes()).map_err(|error| error.to_string())?;
    let signature = sign(token, public, Some(&form));
    let client = send::client().map_err(|error| error.to_string())?;
    let request = client
        .post(public)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
        .header("X-Twilio-Signature", signature)
        .body(body);
    let response = request.send().await.map_err(|error| send::reason(&error))?;
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another URL");
    Ok((response.status(), to.to_owned()))
}

const PUBLIC_URL: &str = "public URL";
const ROUND_TRIP: &str = "signature";
const DNS: &str = "check the name and its DNS record";
const REDIRECT: &str =
    "give Twilio and ONHOOK_PUBLIC_URL the URL it leads to: a redirected POST becomes a GET without parameters";
/// How many tokens are tried through the public URL.
const PROBED_MAX: usize = 20;
