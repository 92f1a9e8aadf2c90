//! What was heard of a PBX is written in the background, in its order.

use super::{
    heard::{self, Key, Users},
    held::{Held, joined},
    stored::submit,
};
use crate::{
    domain::time::{MINUTE, Millis},
    ingest::Submission,
};
use std::time::Duration;
use tokio::time::sleep;

/// What became of a batch.
pub(super) struct Written {
    /// What is not durable.
    left: Vec<Submission>,
    /// The users that were read before it, if they were.
    users: Option<Users>,
}

impl Held {
    pub(super) fn push(&mut self, submission: Submission, now_ms: Millis) {
        let was_whole = self.buffer.hole_ms().is_none();
        if self.buffer.push(submission, now_ms) {
            return;
        }
        self.row.dropped = self.row.dropped.saturating_add(1);
        self.shared.metrics.pbx().dropped(1);
        if was_whole {
            let Key { tenant, account } = &self.key;
            tracing::error!(
                tenant,
                account,
                waiting = self.shared.pace.waiting_max,
                "what a PBX tells cannot be written, and no more of it can be kept: it is dropped from here on, and learned \
                 from the channel list once the database takes writes again"
            );
        }
    }

    /// Writes what waits, in the background.
    pub(super) fn write(&mut self) {
        let Some(batch) = self.buffer.take() else { return };
        let now_ms = self.shared.clock.now_ms();
        let is_old = self.users.0.is_none_or(|at| !(at..at.saturating_add(USERS_AGE_MS)).contains(&now_ms));
        let users = self.users.1.clone();
        if is_old {
            self.users.0 = Some(now_ms);
        }
        let (shared, key, region) = (self.shared.clone(), self.key.clone(), self.account.region.clone());
        self.writing = Some(tokio::spawn(async move {
            let fresh = match is_old {
                true => tokio::time::timeout(USERS_WITHIN, heard::load_users(&shared.db, &key)).await,
                false => Ok(Ok(users.clone())),
            };
            let fresh = fresh.ok().and_then(Result::ok);
            let users = fresh.clone().unwrap_or(users);
            let left = submit(&shared, &key, batch, &users, region.as_deref()).await;
            if !left.is_empty() {
                sleep(shared.pace.again).await;
            }
            Written { left, users: fresh }
        }));
    }

    pub(super) fn written(&mut self, written: Option<Written>) {
        self.writing = None;
        let Some(Written { left, users }) = written else {
            // The task broke: what it had is gone, and the next channel list says what became of it.
            return self.buffer.lose(self.shared.clock.now_ms());
        };
        match users {
            Some(users) => self.users.1 = users,
            // Tried again with the next batch.
            None => self.users.0 = None,
        }
        self.buffer.written(left);
    }

    /// Endings that are held back are told: nobody will know of them later.
    pub(super) fn close(&mut self) {
        let signals = self.correlator.close();
        self.keep(signals, self.shared.clock.now_ms());
    }

    /// Writes what waits before the PBX is let go, for a while.
    pub(super) async fn write_out(&mut self) {
        let all = async {
            while !self.is_fenced {
                self.write();
                if self.writing.is_none() {
                    return;
                }
                let written = joined(&mut self.writing).await;
                self.written(written);
            }
        };
        tokio::select! {
            () = all => {}
            () = sleep(WRITE_OUT_WITHIN) => {}
        }
    }
}

/// For how long it is believed whose an extension is, and how long reading that may hold up what was heard.
const USERS_AGE_MS: Millis = MINUTE;
const USERS_WITHIN: Duration = Duration::from_secs(2);
/// How long what waits may take to be written when the PBX is let go.
const WRITE_OUT_WITHIN: Duration = Duration::from_secs(8);
