//! Sends webhooks as Twilio does, over real HTTP: its headers, its patience, no redirect followed.

use crate::twilio::door::Method;
use reqwest::{Client, Response, StatusCode, header, redirect};
use std::{error::Error, time::Duration};

/// A webhook as it goes over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: &'a str,
    /// What the body of a POST is.
    pub content_type: &'a str,
    /// The body of a POST.
    pub body: &'a [u8],
    /// `X-Twilio-Signature`.
    pub signature: &'a str,
    /// `I-Twilio-Idempotency-Token`.
    pub token: Option<&'a str>,
}

/// What became of it.
#[derive(Debug)]
pub enum Delivered {
    /// It was answered.
    Answered {
        /// The HTTP status.
        status: StatusCode,
        /// Its type, if it said one.
        content_type: Option<String>,
        /// Its text, cut at [`ANSWER_BYTES_MAX`].
        body: String,
    },
    /// Nobody answered.
    Failed {
        /// Whether somebody took the connection.
        timed_out: bool,
        /// Why, in one line.
        why: String,
    },
}

/// Sends one webhook. It fails only if there is no such request, for example because the URL is none.
pub async fn deliver(client: &Client, parcel: &Parcel<'_>) -> Result<Delivered, reqwest::Error> {
    let request = match parcel.method {
        Method::Get => client.get(parcel.url),
        Method::Post => {
            client.post(parcel.url).header(header::CONTENT_TYPE, parcel.content_type).body(parcel.body.to_vec())
        }
    };
    let request = request.header(SIGNATURE, parcel.signature).header(header::ACCEPT, "*/*");
    let request = match parcel.token {
        Some(token) => request.header(TOKEN, token),
        None => request,
    };
    let answered = match request.send().await {
        Ok(response) => read(response).await,
        Err(error) if error.is_builder() => return Err(error),
        Err(error) => Err(error),
    };
    let failed = |error: reqwest::Error| Delivered::Failed { timed_out: !error.is_connect(), why: reason(&error) };
    Ok(answered.unwrap_or_else(failed))
}

async fn read(mut response: Response) -> Result<Delivered, reqwest::Error> {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(Delivered::Answered { status, content_type, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A client that waits as long as Twilio does, and asks nobody else than it was told to: no proxy of the environment
/// either, which could not reach this machine and would read along.
pub fn client() -> Result<Client, reqwest::Error> {
    Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).no_proxy().user_agent(AGENT).build()
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
const TOKEN: &str = "I-Twilio-Idempotency-Token";
/// What Twilio calls a form.
pub const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const AGENT: &str = concat!("onhook/", env!("CARGO_PKG_VERSION"));
/// Twilio gives up after 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longer answers than Twilio reads itself are cut; TwiML may have 64 KiB
/// (<https://www.twilio.com/docs/api/errors/11750>).
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
