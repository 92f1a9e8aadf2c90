//! The gateway of a simulation, asked over its own API.

use crate::{
    cli::{
        exit::{Exit, Stop},
        send,
    },
    domain::time::{Millis, rfc3339},
};
use anyhow::{Context, Result, bail};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// The gateway that is asked.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
    base: String,
    key: SecretString,
}

impl Gateway {
    /// `base` is its URL, `key` opens its API.
    pub fn new(base: String, key: SecretString) -> Result<Self> {
        Ok(Self { client: send::client()?, base, key })
    }

    /// Its URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Fails if it cannot be reached, or does not take the key.
    pub async fn check(&self) -> Result<()> {
        let unreachable = |error: reqwest::Error| {
            let what = format!("{} cannot be reached: {}", self.base, send::reason(&error));
            Stop::with(Exit::Unavailable, what, "check --to, and that the gateway runs (`onhook healthcheck`)")
        };
        let response = self.ask("/v1/calls?limit=1").await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let what = format!("{} does not take the key", self.base);
                let next = "`onhook keys create --scopes read` makes one; give it by --key-file";
                Err(Stop::with(Exit::Usage, what, next))
            }
            status => bail!("ask {} for its calls: {status}", self.base),
        }
    }

    async fn ask(&self, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(self.key.expose_secret()).send().await
    }

    /// The call; nothing if there is none.
    pub async fn find(&self, sid: &str) -> Result<Option<Value>> {
        let response = self.ask(&format!("/v1/calls/{sid}")).await.with_context(|| format!("ask about {sid}"))?;
        match response.status() {
            status if status.is_success() => Ok(Some(response.json().await?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("ask about {sid}: {status}"),
        }
    }
    /// Lets the gateway look for calls since then of which nobody told it. Answers why it does not, if it does not.
    pub async fn backfill(&self, since_ms: Millis) -> Result<Option<String>> {
        let posted = self.client.post(format!("{}/v1/backfills", self.base)).bearer_auth(self.key.expose_secret());
        let posted = posted.json(&json!({ "since": rfc3339(since_ms) })).timeout(BACKFILLED_WITHIN);
        let response = posted.send().await.context("ask for a backfill")?;
        Ok(match response.status() {
            status if status.is_success() => None,
            StatusCode::FORBIDDEN => Some("the key has no scope write".to_owned()),
            StatusCode::NOT_FOUND => Some("it does not know POST /v1/backfills".to_owned()),
            status => Some(status.to_string()),
        })
    }

    /// The lead; nothing if there is none.
    pub async fn find_lead(&self, id: &str) -> Result<Option<Value>> {
        let response = self.ask(&format!("/v1/leads/{id}")).await.with_context(|| format!("ask about lead {id}"))?;
        match response.status() {
            status if status.is_success() => Ok(Some(response.json().await?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("ask about lead {id}: {status}"),
        }
    }

    /// The ids of the first leads with this number.
    pub async fn leads_with(&self, phone: &str) -> Result<Vec<String>> {
        let url = format!("{}/v1/leads", self.base);
        let asked = self.client.get(url).query(&[("phone", phone), ("limit", "2")]);
        let response = asked.bearer_auth(self.key.expose_secret()).send().await.context("ask for leads by number")?;
        if !response.status().is_success() {
            bail!("ask for leads by number: {}", response.status());
        }
        let page: Value = response.json().await?;
        let rows = page.get("data").and_then(Value::as_array).into_iter().flatten();
        Ok(rows.filter_map(|row| Some(row.get("id")?.as_str()?.to_owned())).collect())
    }

    /// Makes a lead known, unless it is.
    pub async fn create_lead(&self, body: &Value) -> Result<()> {
        let posted = self.client.post(format!("{}/v1/leads", self.base)).bearer_auth(self.key.expose_secret());
        let response = posted.json(body).send().await.context("create a lead")?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT => Ok(()),
            StatusCode::FORBIDDEN => {
                let what = format!("the key may not write leads at {}", self.base);
                let next = "`onhook keys create --scopes read,write` makes one that may, or leave --leads out";
                Err(Stop::with(Exit::Usage, what, next))
            }
            status => bail!("create a lead: {status} {}", response.text().await.unwrap_or_default()),
        }
    }
}

/// Asks about all of them, several at a time; the answers come in the order of what was asked.
pub async fn all<T, A, F>(items: Vec<T>, ask: impl Fn(T) -> F) -> Result<Vec<A>>
where
    T: Send,
    A: Send + 'static,
    F: Future<Output = Result<A>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(ASKED_AT_ONCE));
    let mut asking = JoinSet::new();
    for (n, item) in items.into_iter().enumerate() {
        let permit = permits.clone().acquire_owned().await?;
        let question = ask(item);
        asking.spawn(async move {
            let answer = question.await;
            drop(permit);
            anyhow::Ok((n, answer?))
        });
    }
    let mut answers = Vec::with_capacity(asking.len());
    while let Some(answer) = asking.join_next().await {
        answers.push(answer??);
    }
    answers.sort_by_key(|(n, _)| *n);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// How many questions are under way at a time.
const ASKED_AT_ONCE: usize = 8;
/// A backfill lists every call of the simulation.
const BACKFILLED_WITHIN: Duration = Duration::from_secs(120);
