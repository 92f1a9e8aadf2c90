//! Why a call was ended without the provider's word: kept in the audit, and told to people, in the transaction in which the
//! call ends. A signal that does not move its call (a webhook came first) leaves no trace of the decision.

use super::{
    Submission,
    batch::{Batch, Leg, Terms},
    keys::leg_key,
};
use crate::{
    domain::{
        id::new_id,
        phone,
        signal::{Claim, Field, Signal},
        state::Status,
        time::{Millis, rfc3339},
        words,
    },
    store::{
        StoreError, Tx,
        audit::{self, AuditRow},
        notices::{self, NoticeRow},
    },
};
use rand::RngExt;

words! {
    /// What was decided about a call.
    pub enum Action {
        /// It was given up: nobody could say what became of it.
        GivenUp = "call.given_up",
        /// A newer call on its extension took its place.
        Superseded = "call.superseded",
        /// An operator ended it.
        EndedByHand = "call.ended_by_hand",
    }
}

impl Action {
    /// Whether people are told. Whoever ended a call knows.
    const fn is_news(self) -> bool {
        match self {
            Self::GivenUp | Self::Superseded => true,
            Self::EndedByHand => false,
        }
    }
}

/// Why a signal is submitted that the provider did not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who decided: `sweeper`, `key:<id>`, `cli`.
    pub actor: String,
    /// What.
    pub action: Action,
    /// The rule that was applied, as a sentence.
    pub rule: String,
    /// What was known, as a sentence.
    pub evidence: String,
    /// What was known of the call when it was judged: when its last signal was received, and how many deliveries it had.
    pub judged: Option<(Millis, i64)>,
}

/// Whether a call would be given up on less than is known of it now: something was received after the decision. Then it is
/// not done. Whoever decided looks again, and a webhook wins over a sweep that is under way.
pub(super) fn is_outdated(batch: &Batch, submission: &Submission, all: &[&Submission], now: Millis) -> bool {
    let news = submission.decision.as_ref().filter(|decision| decision.action.is_news());
    let Some(judged) = news.map(|decision| decision.judged) else { return false };
    let tenant = &submission.tenant;
    let is_late = |signal: &Signal| {
        let Claim::GivenUp(weak) = &signal.claim else { return false };
        let leg = batch.legs.get(&leg_key(tenant, signal));
        let speaks = |other: &&&Submission| {
            other.delivery.is_some() && other.tenant == *tenant && other.signals.iter().any(|s| s.leg == signal.leg)
        };
        // A signal from after now was received while a clock was wrong.
        let differs = |leg: &Leg| judged.is_some_and(|judged| judged != (leg.row.last_signal_ms, leg.row.deliveries));
        leg.is_some_and(|leg| differs(leg) || (weak.decided_ms..=now).contains(&leg.row.last_signal_ms))
            || all.iter().any(|s| speaks(&s))
    };
    submission.signals.iter().any(is_late)
}

/// Keeps the decisions that ended a call: one row of the audit each, a notice to the tenant, and one to the call's user.
pub(super) async fn keep(tx: &mut Tx, batch: &Batch, terms: &mut Terms<'_>) -> Result<(), StoreError> {
    let (mut audited, mut noticed) = (Vec::new(), Vec::new());
    for (key, from, decision) in &batch.decided {
        let Some(leg) = batch.legs.get(key).filter(|leg| leg.status().is_ended()) else { continue };
        audited.push(audit_row(leg, *from, decision, terms));
        if decision.action.is_news() {
            let user = leg.call.detail(Field::UserId).map(str::to_owned);
            noticed.extend([None, user.clone()].into_iter().take(1 + usize::from(user.is_some())).map(|user_id| {
                let id = new_id("note", terms.now, terms.rng.random());
                NoticeRow { user_id, id, ..notice(leg, decision, terms.now) }
            }));
        }
    }
    audit::insert(tx, &audited).await?;
    notices::insert(tx, &noticed).await
}

fn audit_row(leg: &Leg, from: Option<Status>, decision: &Decision, terms: &mut Terms<'_>) -> AuditRow {
    let read = leg.call.read();
    let detail = serde_json::json!({
        "rule": decision.rule, "evidence": decision.evidence, "provider_id": leg.row.provider_id,
        "account": leg.row.account, "from": from, "to": read.status, "resolution": read.resolution,
        "hangup_cause": read.hangup_cause, "ended_at": read.ended_at_ms.map(rfc3339),
    });
    AuditRow {
        tenant: leg.row.tenant.clone(),
        id: new_id("audit", terms.now, terms.rng.random()),
        at_ms: terms.now,
        actor: decision.actor.clone(),
        action: decision.action.as_str().to_owned(),
        subject: leg.row.id.clone(),
        detail: detail.to_string(),
    }
}

fn notice(leg: &Leg, decision: &Decision, now: Millis) -> NoticeRow {
    let read = leg.call.read();
    let address = |field| leg.call.detail(field).map_or_else(|| "an unknown number".to_owned(), phone::mask_end);
    let text = format!(
        "The call {} ({}) from {} to {} counts as {} since {}. {} {}",
        leg.row.id,
        leg.row.provider_id,
        address(Field::From),
        address(Field::To),
        read.status,
        read.ended_at_ms.map(rfc3339).unwrap_or_default(),
        decision.rule,
        decision.evidence,
    );
    NoticeRow {
        tenant: leg.row.tenant.clone(),
        id: String::new(),
        user_id: None,
        kind: decision.action.as_str().to_owned(),
        subject: leg.row.id.clone(),
        text,
        created_ms: now,
        read_ms: None,
    }
}
