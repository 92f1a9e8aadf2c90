//! Between the login and the first channel list: what it is we are connected to, and whether it has started yet.

use super::Failure;
use crate::{
    ami::{
        Message,
        client::{DownKind, Up},
    },
    domain::time::{MINUTE, Millis, SECOND},
};
use chrono::NaiveDateTime;

/// The most messages that are kept while it is looked at.
const HELD_MAX: usize = 10_000;
/// The most memory that they take: one message alone may have a megabyte.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// No time zone lies between two of these: a local time is right within a day but for a whole number of them.
const ZONE_STEP_MS: Millis = 15 * MINUTE;

/// The longest `FullyBooted` is waited for. Whether it is starting can only be guessed; a list that was asked for too early
/// is empty, as it should be, and its channels are told as they begin.
const BOOT_WAIT_MS_MAX: Millis = 10 * SECOND;

/// What is known of it so far.
#[derive(Debug, Default)]
pub struct Looking {
    /// What will be told.
    pub up: Up,
    settings: bool,
    started: bool,
    ponged: bool,
    /// `FullyBooted` was told.
    booted: bool,
    /// Until when `FullyBooted` is waited for.
    wait_until: Option<Millis>,
    held: Vec<(Message, Millis, bool)>,
    held_bytes: usize,
}

impl Looking {
    /// `CoreSettings`; who may not ask for them knows less, no more.
    pub fn settings(&mut self, answer: &Message) {
        self.settings = true;
        self.up.version = answer.value("AsteriskVersion").map(str::to_owned);
        self.up.system_name = answer.value("SystemName").map(str::to_owned);
    }

    /// `CoreStatus`. `FullyBooted` comes right behind the login, unless the user may not read `system`, or Asterisk is still
    /// starting. Only then it is worth waiting, and that shows in the time it began: local time of an unknown zone, but
    /// zones differ by whole quarters of an hour.
    pub fn started(&mut self, answer: &Message, there_ms: Millis, steady_ms: Millis, boot_ms: Millis) {
        self.started = true;
        let age = began_ms(answer).map(|began| there_ms.saturating_sub(began).rem_euclid(ZONE_STEP_MS));
        let rest = age.map_or(0, |age| boot_ms.saturating_sub(age)).min(BOOT_WAIT_MS_MAX);
        self.wait_until = (!self.booted && rest > 0).then(|| steady_ms.saturating_add(rest));
    }

    /// The first Pong.
    pub const fn ponged(&mut self) {
        self.ponged = true;
    }

    /// Keeps a message of the world until [`super::Output::Up`] is told.
    pub fn hold(&mut self, message: Message, received_ms: Millis, fresh: bool) -> Result<(), Failure> {
        self.held_bytes = self.held_bytes.saturating_add(message.bytes());
        if self.held.len() >= HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            let detail = format!("log in: over {HELD_MAX} messages or {HELD_BYTES_MAX} bytes came before its answers");
            return Err(Failure::new(DownKind::Behind, detail));
        }
        if message.event().is_some_and(|event| event.eq_ignore_ascii_case("FullyBooted")) {
            self.booted = true;
            let uptime: Option<Millis> = message.get("Uptime").and_then(|seconds| seconds.parse().ok());
            self.up.boot_ms = uptime.map(|seconds| received_ms.saturating_sub(seconds.saturating_mul(SECOND)));
        }
        self.held.push((message, received_ms, fresh));
        Ok(())
    }

    /// Whether everything is known that will be.
    pub fn is_done(&self, steady_ms: Millis) -> bool {
        let waiting = !self.booted && self.wait_until.is_some_and(|until| steady_ms < until);
        self.settings && self.started && self.ponged && !waiting
    }

    /// Until when `FullyBooted` is waited for.
    pub const fn wait_until(&self) -> Option<Millis> {
        if self.booted { None } else { self.wait_until }
    }

    /// What was kept, in its order.
    pub fn take_held(&mut self) -> Vec<(Message, Millis, bool)> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }
}

/// When it began, as if its zone were UTC.
fn began_ms(status: &Message) -> Option<Millis> {
    let text = format!("{} {}", status.get("CoreStartupDate")?, status.get("CoreStartupTime")?);
    let began = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(began.and_utc().timestamp_millis())
}
