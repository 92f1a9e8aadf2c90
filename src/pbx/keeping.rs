//! How a PBX is kept: its lease, what its row says, and who is told when it cannot be heard.
//!
//! The holder trusts its lease for less long than the database does, and by a clock that nobody sets. Once that time is
//! over nothing more is written, until the database says that the lease is still its own. If another process has it, the
//! line is dropped with everything that was not written: whoever has it learns that from the channel list.

use super::{
    Shared, State,
    heard::Key,
    held::{Held, joined},
    line::LineFigures,
};
use crate::{
    domain::{
        id::new_id,
        time::{MINUTE, Millis, rfc3339},
    },
    store::{
        StoreError,
        audit::{self, AuditRow},
        extensions::{self, PbxExtension},
        notices::{self, NoticeRow},
        pbx::{self, PbxRow},
    },
};
use rand::RngExt;
use std::{collections::BTreeMap, pin::Pin, sync::PoisonError, time::Duration};
use tokio::time::{Sleep, sleep, timeout};

/// What became of renewing the lease.
pub(super) struct Kept {
    /// Whether it is still ours.
    result: Result<bool, String>,
    /// What people were told by it.
    alarm: Option<String>,
    /// Until when it is trusted.
    fence: Pin<Box<Sleep>>,
    devices: BTreeMap<String, PbxExtension>,
}

/// What people are told: in one word, and in a sentence.
type Telling = (&'static str, String);

impl Held {
    /// Renews the lease and writes what is known of the PBX, in the background.
    pub(super) fn renew(&mut self, figures: LineFigures) {
        self.renew_at = Box::pin(sleep(self.shared.pace.renew));
        self.describe(figures);
        let (alarm, telling) = self.alarm(self.shared.clock.now_ms());
        let row = PbxRow { alarm: alarm.clone(), ..self.row.clone() };
        let devices = std::mem::take(&mut self.devices);
        // Counted from before the question.
        let fence = Box::pin(sleep(self.shared.pace.trusted()));
        let shared = self.shared.clone();
        self.renewing = Some(tokio::spawn(async move {
            let written = write(&shared, &row, &devices, telling.as_ref());
            let result = match timeout(RENEW_WITHIN, written).await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(_) => Err(format!("hear from the database within {} s", RENEW_WITHIN.as_secs())),
            };
            if let (Ok(true), Some((what, text))) = (&result, &telling) {
                tracing::warn!(tenant = row.tenant, account = row.account, what, "{text}");
            }
            Kept { result, alarm, fence, devices }
        }));
    }

    /// Takes what became of it. `false`: another process has the PBX.
    pub(super) fn kept(&mut self, kept: Option<Kept>) -> bool {
        let Key { tenant, account } = &self.key;
        let Some(Kept { result, alarm, fence, devices }) = kept else {
            tracing::error!(tenant, account, "renewing the lease of a PBX broke; it is tried again");
            self.renew_at = Box::pin(sleep(self.shared.pace.again));
            return true;
        };
        match result {
            Ok(true) => {
                if self.is_fenced {
                    tracing::info!(tenant, account, "the PBX is still held by this process; what waits is written");
                }
                (self.fence, self.is_fenced, self.row.alarm) = (fence, false, alarm);
                true
            }
            Ok(false) => {
                tracing::warn!(
                    tenant,
                    account,
                    "another process listens to the PBX now; what was not written is left to its next channel list"
                );
                false
            }
            Err(error) => {
                if !self.is_fenced {
                    tracing::warn!(tenant, account, "failed to {error} to keep holding a PBX; it is tried again");
                }
                for (extension, device) in devices {
                    self.devices.entry(extension).or_insert(device);
                }
                self.renew_at = Box::pin(sleep(self.shared.pace.again));
                true
            }
        }
    }

    /// The lease can be over: nothing is written any more.
    pub(super) fn fence_off(&mut self) {
        self.is_fenced = true;
        let Key { tenant, account } = &self.key;
        tracing::warn!(
            tenant,
            account,
            "the lease of a PBX could not be renewed in time; it is listened to, and nothing is written until the database \
             says that no other process has taken it"
        );
    }

    /// Lets the PBX go, so that another process takes it at once.
    pub(super) async fn let_go(mut self) {
        if let Some(kept) = self.renewing.take() {
            let _ = joined(&mut Some(kept)).await;
        }
        if self.is_in_sync() && self.buffer.is_empty() {
            self.row.heard_ms = self.row.heard_ms.max(self.heard_ms);
        }
        self.set_state(State::Connecting, Some("it was let go by the process that listened to it"));
        let released = async {
            let mut tx = self.shared.db.begin().await?;
            extensions::put_devices(&mut tx, &self.devices.values().cloned().collect::<Vec<_>>()).await?;
            pbx::release(&mut tx, &self.row).await?;
            tx.commit().await
        };
        let Key { tenant, account } = &self.key;
        match timeout(RENEW_WITHIN, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(tenant, account, "failed to {error} to let a PBX go; its lease ends by itself")
            }
            Err(_) => tracing::warn!(tenant, account, "a PBX could not be let go in time; its lease ends by itself"),
        }
    }

    /// What its row says from here on.
    pub(super) fn describe(&mut self, figures: LineFigures) {
        // Bytes that wait to be taken out were not heard yet.
        if self.is_in_sync() && figures.lag_ms <= 0 {
            self.heard_ms = self.heard_ms.max(figures.heard_ms);
        }
        let dropped = figures.dropped.saturating_sub(std::mem::replace(&mut self.line_dropped, figures.dropped));
        self.row.dropped = self.row.dropped.saturating_add_unsigned(dropped);
        self.shared.metrics.pbx().dropped(dropped);
        // What waits to be written would be lost with this process: up to there everything is known for sure.
        let durable_ms = match (self.heard_ms, self.buffer.durable_to_ms()) {
            (Some(heard), Some(durable)) => Some(heard.min(durable)),
            (heard, _) => heard,
        };
        self.row.heard_ms = self.row.heard_ms.max(durable_ms);
        self.row.lag_ms = Some(figures.lag_ms.max(0));
        self.face.show(&self.row);
    }

    pub(super) fn set_state(&mut self, state: State, detail: Option<&str>) {
        self.row.detail = detail.map(str::to_owned);
        if self.row.state != state.as_str() {
            self.row.state = state.as_str().to_owned();
            self.row.since_ms = self.shared.clock.now_ms();
            // People look at the row: it says so at once.
            self.renew_at = Box::pin(sleep(Duration::ZERO));
        }
        self.face.show(&self.row);
    }

    /// What is wrong by now, and what people are to be told if they do not know.
    fn alarm(&self, now_ms: Millis) -> (Option<String>, Option<Telling>) {
        let known = self.row.alarm.as_deref();
        let wrong = self.wrong(now_ms, known);
        let word = wrong.map(str::to_owned);
        if wrong == known {
            return (word, None);
        }
        let PbxRow { account, detail, .. } = &self.row;
        let why = detail.as_deref().unwrap_or("connect");
        let since = rfc3339(self.lost_ms.unwrap_or(now_ms));
        let telling = match wrong {
            Some(REFUSED) => (
                REFUSED,
                format!(
                    "The PBX {account} refuses the login of onhook since {since}: failed to {why}. Its calls are not heard. Correct \
                 user and secret, or the permit lines of manager.conf; `onhook ami doctor` says which. It is tried again by itself."
                ),
            ),
            Some(word) => (
                DOWN,
                format!(
                    "The PBX {account} is not heard since {since} ({word}): failed to {why}. Calls that end meanwhile end with an \
                 estimated time once it is back. Look whether Asterisk runs and the way to its manager port is open. It is tried \
                 again by itself."
                ),
            ),
            None => (WELL, format!("The PBX {account} is heard again.")),
        };
        (word, Some(telling))
    }

    fn wrong(&self, now_ms: Millis, known: Option<&str>) -> Option<&'static str> {
        if self.row.state == State::Refused.as_str() {
            return Some(REFUSED);
        }
        let lost_ms = self.lost_ms?;
        match known {
            // Between two attempts it is not known better.
            Some(REFUSED) => Some(REFUSED),
            Some(_) => Some(DOWN),
            None => (now_ms.saturating_sub(lost_ms) >= DOWN_FOR_MS).then_some(DOWN),
        }
    }
}

async fn write(
    shared: &Shared,
    row: &PbxRow,
    devices: &BTreeMap<String, PbxExtension>,
    telling: Option<&Telling>,
) -> Result<bool, StoreError> {
    let devices: Vec<PbxExtension> = devices.values().cloned().collect();
    let mut tx = shared.db.begin().await?;
    if !pbx::renew(&mut tx, row, shared.pace.lease_ms()).await? {
        return Ok(false);
    }
    extensions::put_devices(&mut tx, &devices).await?;
    if let Some((action, text)) = telling {
        let now_ms = shared.clock.now_ms();
        let id = |prefix: &str| {
            // A panic while drawing leaves the generator usable.
            let mut rng = shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
            new_id(prefix, now_ms, rng.random())
        };
        let PbxRow { tenant, account, .. } = row;
        let notice = NoticeRow {
            tenant: tenant.clone(),
            id: id("note"),
            user_id: None,
            kind: (*action).to_owned(),
            subject: account.clone(),
            text: text.clone(),
            created_ms: now_ms,
            read_ms: None,
        };
        let audited = AuditRow {
            tenant: tenant.clone(),
            id: id("audit"),
            at_ms: now_ms,
            actor: ACTOR.to_owned(),
            action: (*action).to_owned(),
            subject: account.clone(),
            detail: serde_json::json!({ "evidence": text }).to_string(),
        };
        notices::insert(&mut tx, &[notice]).await?;
        audit::insert(&mut tx, &[audited]).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Who says so.
const ACTOR: &str = "pbx";
/// What people are told.
pub(super) const REFUSED: &str = "pbx-refuses-login";
const DOWN: &str = "pbx-down";
const WELL: &str = "pbx-heard-again";
/// For how long a PBX may be away before somebody is told.
const DOWN_FOR_MS: Millis = MINUTE;
/// How long the database may take.
const RENEW_WITHIN: Duration = Duration::from_secs(5);
