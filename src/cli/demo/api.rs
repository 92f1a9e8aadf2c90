//! What the demonstration asks its gateway: as Twilio by signed webhooks, as a user over REST.

use crate::{
    cli::send::{self, Sent, Target},
    story::{Lead, Request},
};
use anyhow::{Context, Result, bail};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::{Value, json};

/// Speaks to the gateway.
pub struct Api {
    client: Client,
    target: Target,
    key: String,
}

impl Api {
    /// `token` signs webhooks, `key` opens the REST API.
    pub fn new(base: &str, key: &str, token: SecretString) -> Result<Self> {
        let target = Target::new(&base.parse()?, None, token)?;
        Ok(Self { client: send::client()?, target, key: key.to_owned() })
    }

    /// The gateway's URL.
    pub fn base(&self) -> &str {
        self.target.base()
    }

    /// Sends a webhook; the status it was answered with.
    pub async fn send(&self, request: &Request) -> Result<u16> {
        match self.target.send(request).await? {
            Sent::Answered(status) => Ok(status.as_u16()),
            Sent::Unreachable(why) => bail!("reach the gateway: {why}"),
        }
    }

    /// Makes a story's lead known.
    pub async fn put_lead(&self, lead: &Lead) -> Result<()> {
        self.put(&format!("/v1/leads/{}", lead.id), &json!({ "name": lead.name, "phone": lead.phone })).await
    }

    /// Writes what stands at a path.
    pub async fn put(&self, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}{path}", self.base());
        let response = self.client.put(url).bearer_auth(&self.key).json(body).send().await;
        let response = response.with_context(|| format!("put {path}"))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => bail!("put {path}: {status} {}", response.text().await.unwrap_or_default()),
        }
    }

    /// What stands at a path; null if nothing does.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.base());
        let response =
            self.client.get(url).bearer_auth(&self.key).send().await.with_context(|| format!("get {path}"))?;
        match response.status() {
            status if status.is_success() => Ok(response.json().await?),
            reqwest::StatusCode::NOT_FOUND => Ok(Value::Null),
            status => bail!("get {path}: {status} {}", response.text().await.unwrap_or_default()),
        }
    }

    /// The rows of the first page of a list, which holds all there is in a demonstration.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut page = self.get(&format!("{path}?limit=200")).await?;
        Ok(page.get_mut("data").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
    }
}
