//! Takes the double's webhooks to where they belong, and brings back the answers.

use super::{
    Reply, Shared, Webhook,
    post::{self, Delivered, Parcel},
};
use crate::{
    clock::{Clock, ManualClock, SharedClock, Stopwatch},
    domain::time::Millis,
};
use reqwest::Client;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Sends what is due.
#[derive(Clone, Debug)]
pub struct Courier {
    double: Shared,
    clock: SharedClock,
    client: Client,
    /// URLs that begin with the first are called at the second: the gateway's public URL is signed, its address called.
    routes: Vec<(String, String)>,
}

/// What to do when nothing more is going to happen by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenIdle {
    /// Come home.
    Return,
    /// Wait: somebody may place another call.
    Wait,
}

impl Courier {
    /// `clock` is the double's time.
    pub fn new(double: Shared, clock: SharedClock) -> Result<Self, reqwest::Error> {
        Ok(Self { double, clock, client: post::client()?, routes: Vec::new() })
    }

    /// Calls URLs that begin with `public` at `address` instead. They are signed as they are.
    pub fn via(mut self, public: &str, address: &str) -> Self {
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        self.routes.push((base(public), base(address)));
        self
    }

    /// Sends everything that is due, one after the other; answers how many requests that were.
    pub async fn tick(&self) -> usize {
        let mut sent = 0;
        loop {
            let due = self.double.with(|double| double.due(self.clock.now_ms()));
            if due.is_empty() {
                return sent;
            }
            for webhook in due {
                self.take(&webhook).await;
                sent += 1;
            }
        }
    }

    /// Sends everything up to `until_ms`, each request at its moment, by turning the clock on; the clock then shows
    /// `until_ms`. Answers how many requests that were. The clock must be the one this courier goes by.
    pub async fn turn(&self, clock: &ManualClock, until_ms: Millis) -> usize {
        let mut sent = self.tick().await;
        while let Some(next_ms) = self.double.with(|double| double.next_due_ms()).filter(|next_ms| *next_ms <= until_ms)
        {
            clock.set(next_ms.max(clock.now_ms()));
            sent += self.tick().await;
        }
        clock.set(until_ms);
        sent
    }

    /// The same in steps: what is due within one is sent at its end, many requests at once. For many calls.
    pub async fn turn_by(&self, clock: &ManualClock, until_ms: Millis, step_ms: Millis) {
        while clock.now_ms() < until_ms {
            clock.set(clock.now_ms().saturating_add(step_ms.max(1)).min(until_ms));
            loop {
                let due = self.double.with(|double| double.due(clock.now_ms()));
                if due.is_empty() {
                    break;
                }
                let mut under_way = JoinSet::new();
                self.take_all(due, &mut under_way).await;
                under_way.join_all().await;
            }
        }
    }

    /// Sends whatever becomes due, many at once, until it is told to stop or, if asked to, nothing is left to do.
    pub async fn run(&self, idle: WhenIdle, stop: &CancellationToken) {
        let mut under_way = JoinSet::new();
        while !stop.is_cancelled() {
            let due = self.double.with(|double| double.due(self.clock.now_ms()));
            self.take_all(due, &mut under_way).await;
            while under_way.try_join_next().is_some() {}
            if idle == WhenIdle::Return && self.double.with(|double| double.is_idle()) {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Begins to send all of them, as soon as few enough are under way.
    async fn take_all(&self, due: Vec<Webhook>, under_way: &mut JoinSet<()>) {
        for webhook in due {
            while under_way.len() >= UNDER_WAY_MAX {
                under_way.join_next().await;
            }
            let courier = self.clone();
            under_way.spawn(async move { courier.take(&webhook).await });
        }
    }

    async fn take(&self, webhook: &Webhook) {
        let watch = Stopwatch::start();
        let (url, body) = (self.address(&webhook.url), webhook.body());
        let (signature, token) = (webhook.signature.as_str(), Some(webhook.token.as_str()));
        let parcel = Parcel {
            method: webhook.method,
            url: &url,
            content_type: post::FORM,
            body: body.as_bytes(),
            signature,
            token,
        };
        let reply = match post::deliver(&self.client, &parcel).await {
            Ok(Delivered::Answered { status, content_type, body }) => {
                Reply::Answered { status: status.as_u16(), content_type, body }
            }
            Ok(Delivered::Failed { timed_out: true, .. }) => Reply::TimedOut,
            // A URL that makes no request reaches nobody either.
            Ok(Delivered::Failed { .. }) | Err(_) => Reply::Unreachable,
        };
        #[expect(clippy::cast_possible_truncation, reason = "a request takes fewer milliseconds than an i64 can count")]
        let took_ms = (watch.seconds() * 1_000.0) as i64;
        let now_ms = self.clock.now_ms();
        self.double.with(|double| double.replied(webhook.id, reply, took_ms, now_ms));
    }

    fn address(&self, url: &str) -> String {
        let route = self.routes.iter().find_map(|(from, to)| {
            let rest = url.strip_prefix(from.as_str())?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then(|| format!("{to}{rest}"))
        });
        route.unwrap_or_else(|| url.to_owned())
    }
}

/// Twilio has no such limit; this machine has.
const UNDER_WAY_MAX: usize = 64;
/// Callbacks are late by this much at most.
const LOOK_EVERY: Duration = Duration::from_millis(5);
