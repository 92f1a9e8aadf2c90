//! Sends webhooks as Twilio would: freshly signed, over real HTTP.

use crate::{
    story::Request,
    twilio::{STATUS_PATH, door::Method},
};
use anyhow::{Context, Result};
use reqwest::{Client, StatusCode, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use std::{error::Error, time::Duration};
use url::Url;

/// Where webhooks are sent to, and how they are signed.
#[derive(Debug)]
pub struct Target {
    client: Client,
    to: String,
    sign_for: String,
    token: SecretString,
}

/// What became of a webhook.
#[derive(Debug)]
pub enum Sent {
    /// It was answered.
    Answered(StatusCode),
    /// Nobody answered; why.
    Unreachable(String),
}

impl Target {
    /// `to` is the gateway, with or without the path of the webhook; `public_url` is what the gateway is called from
    /// outside, where that differs.
    pub fn new(to: &Url, public_url: Option<&Url>, token: SecretString) -> Result<Self> {
        let base = |url: &Url| {
            let mut url = url.clone();
            url.set_query(None);
            url.set_fragment(None);
            url.as_str().trim_end_matches(STATUS_PATH).trim_end_matches('/').to_owned()
        };
        Ok(Self { client: client()?, to: base(to), sign_for: base(public_url.unwrap_or(to)), token })
    }

    /// The gateway.
    pub fn base(&self) -> &str {
        &self.to
    }

    /// Signs and sends one webhook.
    pub async fn send(&self, request: &Request) -> Result<Sent> {
        let (_, signature) = request.signed(&self.sign_for, self.token.expose_secret())?;
        let url = format!("{}{}", self.to, request.path_and_query());
        let builder = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url).header(header::CONTENT_TYPE, FORM).body(request.body.clone()),
        };
        match builder.header(SIGNATURE, signature).send().await {
            Ok(response) => Ok(Sent::Answered(response.status())),
            Err(error) if error.is_builder() => Err(error).context("make the request"),
            Err(error) => Ok(Sent::Unreachable(reason(&error))),
        }
    }
}

/// A client that waits as long as Twilio does, and asks nobody else than it was told to: no proxy of the environment
/// either, which could not reach this machine and would read along.
pub fn client() -> Result<Client> {
    let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).no_proxy().user_agent(AGENT);
    client.build().context("set up an HTTP client")
}

/// What lies at the bottom of a failed request, in one line and without its URL.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

const SIGNATURE: &str = "X-Twilio-Signature";
const FORM: &str = "application/x-www-form-urlencoded";
const AGENT: &str = concat!("onhook/", env!("CARGO_PKG_VERSION"));
/// Twilio gives up after 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
