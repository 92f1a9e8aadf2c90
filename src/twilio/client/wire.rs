//! How a request reaches Twilio, and when it is repeated.
//!
//! A GET is safe to repeat: after 429, 5xx, a timeout or a lost connection with growing pauses, as `Retry-After` says if
//! Twilio says so, a bounded number of times. A POST is repeated only if nothing came of it: after 429, and where no
//! connection came about. What must not be done twice is asked once ([`Wire::ask_once`]): not even after 429, because whoever
//! asks has to know how it stands at the latest when its time is over. Each attempt waits for its turn, if the client has a
//! [`Pace`]. No proxy of the environment is used and no redirect followed: credentials go to the configured host and nowhere
//! else.

use super::{ClientError, Credentials, Patience, Told};
use crate::{
    domain::{
        phone::mask_numbers,
        time::{Millis, parse_rfc2822},
    },
    twilio::rest::Refusal,
};
use backon::{ExponentialBuilder, Retryable};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::{Response, StatusCode, header, redirect};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use std::{
    error::Error,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use url::Url;

/// Open connections, to be shared: opening one takes longer than asking.
#[derive(Clone, Debug)]
pub struct Connections(reqwest::Client);

impl Connections {
    /// None so far. Fails only if TLS cannot be set up.
    pub fn open() -> Result<Self, ClientError> {
        Self::open_within(CONNECT)
    }

    /// The same, for requests that may take no longer than `patience` says: that nobody is reached is known by then, and is
    /// told from an answer that did not come.
    pub fn open_for(patience: &Patience) -> Result<Self, ClientError> {
        Self::open_within(CONNECT.min(patience.timeout / 2))
    }

    fn open_within(connect: Duration) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder().connect_timeout(connect).redirect(redirect::Policy::none());
        let built = builder.no_proxy().user_agent(AGENT).build();
        built.map(Self).map_err(|error| unavailable("anything", &error))
    }
}

/// How fast it may be asked, by all clients that share it.
#[derive(Clone, Debug)]
pub struct Pace(Arc<DefaultDirectRateLimiter>);

impl Pace {
    /// So many requests per second, and as many at once after a pause; what is beyond that waits. 0 counts as 1.
    pub fn per_second(requests: u32) -> Self {
        let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        Self(Arc::new(RateLimiter::direct(Quota::per_second(requests))))
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Path and query.
    pub(super) uri: &'a str,
    /// In words, for errors.
    pub(super) what: &'a str,
    /// What is posted; `None` makes it a GET.
    pub(super) form: Option<&'a [(&'a str, &'a str)]>,
    /// Of what must not be done twice: whether it is under way, and not known to be refused.
    pub(super) sent: Option<&'a AtomicBool>,
}

/// The way to one host, with the credentials of one account.
#[derive(Debug)]
pub(super) struct Wire {
    connections: Connections,
    base: String,
    /// At least one.
    credentials: Vec<Credentials>,
    /// Which of them was taken last: the first to be tried next time.
    good: AtomicUsize,
    patience: Patience,
    /// Counts up from what the caller drew, so that no two requests pause alike.
    seed: AtomicU64,
    pace: Option<Pace>,
}

impl Wire {
    pub(super) fn new(
        connections: Connections,
        base: &Url,
        credentials: Credentials,
        patience: Patience,
        seed: u64,
    ) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        let (credentials, good, seed) = (vec![credentials], AtomicUsize::new(0), AtomicU64::new(seed));
        Self { connections, base, credentials, good, patience, seed, pace: None }
    }

    pub(super) fn or(&mut self, credentials: Credentials) {
        self.credentials.push(credentials);
    }

    pub(super) fn at(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) async fn load<T: DeserializeOwned>(&self, uri: &str, what: &str) -> Result<Told<T>, ClientError> {
        self.ask(Question { uri, what, form: None, sent: None }).await.map_err(|failed| failed.error)
    }

    /// Posts what must not be done twice, within the time of one request, waiting for a turn included. It is repeated only
    /// where nothing was done: where no connection came about, and with other credentials where these are refused.
    pub(super) async fn ask_once<T: DeserializeOwned>(
        &self,
        (uri, what): (&str, &str),
        form: &[(&str, &str)],
    ) -> Result<Told<T>, Failed> {
        let sent = AtomicBool::new(false);
        let asked = self.ask(Question { uri, what, form: Some(form), sent: Some(&sent) });
        tokio::time::timeout(self.patience.timeout, asked).await.unwrap_or_else(|_| {
            let (what, may_be_done) = (what.to_owned(), sent.load(Ordering::Relaxed));
            let why = if may_be_done { "no answer in time" } else { NO_TURN };
            let error = ClientError::Unavailable { what, why: why.to_owned() };
            Err(Failed { may_be_done, is_waiting: !may_be_done, ..Failed::once(error) })
        })
    }

    pub(super) async fn ask<T: DeserializeOwned>(&self, question: Question<'_>) -> Result<Told<T>, Failed> {
        let (body, at_ms) = self.with_any(question).await?;
        let read = serde_json::from_slice(&body);
        let value = read.map_err(|error| Failed::once(malformed(question.what, error)))?;
        Ok(Told { value, at_ms })
    }

    /// Asks with the credentials that were taken last, and with the others where they are refused. The first refusal is
    /// told if all are.
    async fn with_any(&self, question: Question<'_>) -> Result<Taken, Failed> {
        let first = self.good.load(Ordering::Relaxed);
        let turns = (first..self.credentials.len()).chain(0..first);
        let mut refusal = None;
        for (turn, credentials) in turns.filter_map(|turn| Some((turn, self.credentials.get(turn)?))) {
            match self.patiently(credentials, question).await {
                Err(failed) if matches!(failed.error, ClientError::Unauthorized { .. }) => {
                    refusal.get_or_insert(failed);
                }
                Ok(taken) => {
                    self.good.store(turn, Ordering::Relaxed);
                    return Ok(taken);
                }
                Err(failed) => return Err(failed),
            }
        }
        Err(refusal.unwrap_or_else(|| Failed::once(malformed(question.what, "there are no credentials to ask with"))))
    }

    async fn patiently(&self, credentials: &Credentials, question: Question<'_>) -> Result<Taken, Failed> {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.patience.first_pause)
            .with_max_delay(self.patience.longest_pause)
            .with_max_times(self.patience.retries)
            .with_jitter()
            .with_jitter_seed(self.seed.fetch_add(1, Ordering::Relaxed));
        let longest = self.patience.longest_pause;
        let asked = (|| self.once(credentials, question)).retry(pauses).when(|failed| failed.may_be_repeated);
        let asked = asked.adjust(|failed: &Failed, pause| match failed.retry_after {
            Some(wanted) if wanted > longest => None,
            Some(wanted) => pause.map(|pause| pause.max(wanted)),
            None => pause,
        });
        asked.await
    }

    async fn once(&self, credentials: &Credentials, question: Question<'_>) -> Result<Taken, Failed> {
        if let Some(Pace(pace)) = &self.pace {
            pace.until_ready().await;
        }
        let Question { uri, what, form, sent } = question;
        let is_under_way = |is: bool| sent.into_iter().for_each(|sent| sent.store(is, Ordering::Relaxed));
        let (Credentials { sid, secret }, url) = (credentials, format!("{}{uri}", self.base));
        let request = match form {
            None => self.connections.0.get(url),
            Some(form) => self.connections.0.post(url).form(form),
        };
        let request = request.timeout(self.patience.timeout).basic_auth(sid, Some(secret.expose_secret()));
        let lost = |error: &reqwest::Error| Failed {
            // Without a connection nothing was sent; else what was posted may have been done.
            may_be_repeated: form.is_none() || error.is_connect(),
            may_be_done: !error.is_connect(),
            ..Failed::once(unavailable(what, error))
        };
        is_under_way(true);
        let response = request.send().await.map_err(|error| {
            is_under_way(!error.is_connect());
            lost(&error)
        })?;
        let text = |name: header::HeaderName| response.headers().get(name)?.to_str().ok();
        let at_ms = text(header::DATE).and_then(parse_rfc2822);
        let retry_after =
            text(header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let status = response.status();
        let body = read(response).await.map_err(|error| match error {
            Unread::Lost(error) => lost(&error),
            Unread::TooLarge => Failed::once(malformed(what, format!("it has more than {ANSWER_BYTES_MAX} bytes"))),
        })?;
        match status {
            status if status.is_success() => Ok((body, at_ms)),
            status => {
                let failed = Failed { retry_after, ..refused(status, &body, what) };
                is_under_way(failed.may_be_done);
                let may_be_repeated =
                    failed.may_be_repeated && (form.is_none() || (status == TOO_MANY && sent.is_none()));
                Err(Failed { may_be_repeated, ..failed })
            }
        }
    }
}

/// The body of an answer, and when Twilio gave it.
type Taken = (Vec<u8>, Option<Millis>);

/// A request that failed, and whether it may be repeated.
pub(super) struct Failed {
    pub(super) error: ClientError,
    /// The HTTP status that refused it.
    pub(super) status: Option<u16>,
    /// Of Twilio's error dictionary.
    pub(super) code: Option<u32>,
    /// Whether what was posted may have been done all the same.
    pub(super) may_be_done: bool,
    /// Whether its turn did not come: we ask as much as we may ask.
    pub(super) is_waiting: bool,
    /// How long Twilio asks to wait.
    pub(super) retry_after: Option<Duration>,
    may_be_repeated: bool,
}

impl Failed {
    const fn once(error: ClientError) -> Self {
        Self {
            error,
            status: None,
            code: None,
            may_be_done: true,
            is_waiting: false,
            may_be_repeated: false,
            retry_after: None,
        }
    }

    fn repeatable(error: ClientError) -> Self {
        Self { may_be_repeated: true, ..Self::once(error) }
    }
}

fn refused(status: StatusCode, body: &[u8], what: &str) -> Failed {
    let Refusal { code, message } = serde_json::from_slice(body).unwrap_or_default();
    // Twilio's sentences name whom they speak of.
    let said = message.map(|message| mask_numbers(&message.chars().take(MESSAGE_CHARS_MAX).collect::<String>()));
    let number = code.map_or(String::new(), |code| format!(", error {code}"));
    let message = format!("{}{number}{}", status.as_u16(), said.map(|said| format!(": {said}")).unwrap_or_default());
    let what = what.to_owned();
    let failed = match status {
        StatusCode::NOT_FOUND => Failed::once(ClientError::NotFound { what }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failed::once(ClientError::Unauthorized { what, message }),
        TOO_MANY => Failed::repeatable(ClientError::TooMany { what }),
        status if status.is_server_error() => {
            Failed::repeatable(ClientError::Unavailable { what, why: format!("it answers {message}") })
        }
        _ => Failed::once(ClientError::Malformed { what, why: format!("it answers {message}") }),
    };
    // A server that gave up waiting may have taken it; one that refuses it has not.
    let may_be_done = !(status.is_client_error() || status.is_redirection()) || status == StatusCode::REQUEST_TIMEOUT;
    Failed { status: Some(status.as_u16()), code, may_be_done, ..failed }
}

enum Unread {
    Lost(reqwest::Error),
    TooLarge,
}

async fn read(mut response: Response) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Lost)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
    }
    Ok(body)
}

/// What lies at the bottom, without the URL, which may hold a phone number.
fn unavailable(what: &str, error: &reqwest::Error) -> ClientError {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { deepest.to_string() };
    ClientError::Unavailable { what: what.to_owned(), why }
}

pub(super) fn malformed(what: &str, why: impl std::fmt::Display) -> ClientError {
    ClientError::Malformed { what: what.to_owned(), why: why.to_string() }
}

const NO_TURN: &str = "no turn in time: as many requests wait as may be sent (twilio.requests_per_second)";
const TOO_MANY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const AGENT: &str = concat!("onhook/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(5);
/// A page of a thousand calls has some two megabytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const MESSAGE_CHARS_MAX: usize = 300;
