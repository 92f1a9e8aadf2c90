//! Sends webhooks as Twilio would: freshly signed, over real HTTP.

use crate::{
    double::post::{self, Delivered, Parcel},
    story::Request,
    twilio::STATUS_PATH,
};
use anyhow::{Context, Result};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use crate::double::post::reason;

/// Where webhooks are sent to, and how they are signed.
#[derive(Debug)]
pub struct Target {
    client: Client,
    to: String,
    sign_for: String,
    token: SecretString,
}

/// A gateway's URL without the path of the webhook, which people may have copied with it.
pub fn base(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches(STATUS_PATH).trim_end_matches('/').to_owned()
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
        let parcel = Parcel {
            method: request.method,
            url: &url,
            content_type: request.content_type(),
            body: &request.body,
            signature: &signature,
            token: None,
        };
        Ok(match post::deliver(&self.client, &parcel).await.context("make the request")? {
            Delivered::Answered { status, .. } => Sent::Answered(status),
            Delivered::Failed { why, .. } => Sent::Unreachable(why),
        })
    }
}

/// A client that waits as long as Twilio does, and asks no proxy.
pub fn client() -> Result<Client> {
    post::client().context("set up an HTTP client")
}
