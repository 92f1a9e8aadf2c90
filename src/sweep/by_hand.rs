//! What people ask for about one call: to ask the provider now, to take it as ended, to hang it up.

use super::{
    SweepError, Sweeper,
    act::ENDING_AFTER_MS,
    report::{Chosen, Request},
    source::{Asked, Whom},
    verdict::{Answer, NOBODY},
};
use crate::{
    ami::PROVIDER,
    domain::{
        id::Leg,
        signal::{Claim, Signal, Weak, Witness},
        state::{HangupCause, Status},
        time::{Millis, rfc3339},
    },
    ingest::{self, Action, Decision, Submission, SubmitError, Submitted},
    store::{
        StoreError,
        calls::{CallRow, LegKey},
        due::{self, Asked as AskedRow},
        follow_ups::{self, FollowUpRow},
    },
    twilio::client::{HangUp, HungUp},
};
use std::collections::BTreeMap;

/// What came of asking about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What was answered; `None`: nobody was asked.
    pub answer: Option<Answer>,
    /// In a sentence.
    pub why: String,
}

/// How a call is taken as ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndByHand {
    /// Who says so: `key:<id>`, `cli`.
    pub actor: String,
    /// When it ended, if that is known; not after now.
    pub stated_end_ms: Option<Millis>,
    /// Why, in the words of whoever says so.
    pub reason: Option<String>,
}

impl Sweeper {
    /// Asks the provider about one call now and does what it says. One whose ending the provider told is not asked about;
    /// one whose ending nobody told is asked about, and nothing but the provider's word changes it.
    pub async fn check(&self, row: &CallRow, actor: String) -> Result<Checked, SweepError> {
        let before = ingest::registers(row)?.read();
        let nobody = |why: String| Ok(Checked { answer: None, why });
        if let Some(into) = row.merged_into.as_ref().filter(|_| row.is_replaced()) {
            return nobody(format!("It was merged into {into}, so nobody was asked: ask about that one."));
        }
        if let Some(resolution) = before.resolution.filter(|resolution| resolution.is_told()) {
            let status = before.status;
            return nobody(format!("It ended as {status}, and the provider said so ({resolution}): nobody was asked."));
        }
        let (key, started_ms) = (key(row), self.0.clock.now_ms());
        let tenant = Some(row.tenant.clone());
        let request = Request { tenant, chosen: Chosen::Call(key.clone()), dry_run: false, actor };
        let report = self.sweep(request).await?;
        if report.looked == 0 {
            return nobody("It ended meanwhile, so nobody was asked.".to_owned());
        }
        let said = report.changed.into_iter().map(|change| change.why);
        let said = said.chain(report.skipped.into_iter().map(|skipped| skipped.why)).next();
        let asked = due::find_asked(&self.0.db, &key).await?.filter(|asked| asked.asked_ms >= Some(started_ms));
        // Where not even the account could be looked up nothing is noted.
        let answer = asked.and_then(|AskedRow { answer, .. }| answer?.parse().ok()).unwrap_or(Answer::Trouble);
        let why = said.unwrap_or_else(|| "The provider says that it lives.".to_owned());
        Ok(Checked { answer: Some(answer), why })
    }

    /// Takes a live call as ended because an operator says so. The provider's word outweighs that: what it told before, and
    /// tells later, stands, and a later sign of life makes the call live again.
    pub async fn end(&self, row: &CallRow, end: EndByHand) -> Result<Submitted, EndError> {
        let read = ingest::registers(row)?.read();
        let now_ms = self.0.clock.now_ms();
        // A provider's clock may be ahead of ours: what it said before this moment must not void what is decided now.
        let decided_ms = now_ms.max(read.alive_ms.unwrap_or(now_ms));
        let EndByHand { actor, stated_end_ms, reason } = end;
        let if_answered = self.0.rules.if_answered;
        let weak = Weak { decided_ms, floor_ms: None, cause: HangupCause::Manual, if_answered, stated_end_ms };
        let signal = Signal {
            leg: Leg { provider_id: row.provider_id.clone(), account: row.account.clone() },
            witness: Witness::Manual,
            claim: Claim::GivenUp(weak),
            at: None,
            sequence: None,
            details: BTreeMap::new(),
            link: None,
            received_ms: now_ms,
        };
        let decision = Decision {
            actor,
            action: Action::EndedByHand,
            rule: "A live call may be ended by hand; what its provider says outweighs that.".to_owned(),
            evidence: evidence(read.status, read.alive_ms, stated_end_ms, reason.as_deref()),
            judged: None,
        };
        let provider = if row.provider == PROVIDER { PROVIDER } else { "twilio" };
        let (tenant, decision) = (row.tenant.clone(), Some(decision));
        let (delivery, signals, ask) = (None, vec![signal], Vec::new());
        let submission = Submission { tenant, provider, delivery, signals, ask, decision };
        let submitted = self.0.ingest.submit(submission).await?;
        self.ask_later(row, now_ms).await?;
        Ok(submitted)
    }

    /// How it really ended is asked later, once: an operator's word is not the last one.
    async fn ask_later(&self, row: &CallRow, now_ms: Millis) -> Result<(), StoreError> {
        // A PBX knows nothing of calls that are over.
        if row.provider == PROVIDER {
            return Ok(());
        }
        let asked = FollowUpRow {
            tenant: row.tenant.clone(),
            provider_id: row.provider_id.clone(),
            account: row.account.clone(),
            kind: follow_ups::ENDING.to_owned(),
            due_ms: now_ms.saturating_add(ENDING_AFTER_MS),
            attempts: 0,
            created_ms: now_ms,
        };
        let mut tx = self.0.db.begin().await?;
        follow_ups::insert(&mut tx, &[asked]).await?;
        tx.commit().await
    }
}

impl Sweeper {
    /// Hangs a call up at its provider. Whether that worked, and how, in a sentence; how the call ended is told by a
    /// callback, or by asking.
    pub async fn hang_up(&self, row: &CallRow) -> (bool, String) {
        if row.provider == PROVIDER {
            return self.hang_up_at_pbx(row).await;
        }
        let source = match self.0.sources.of(&row.tenant, &row.provider, &row.account).await {
            Ok(Some(source)) => source,
            Ok(None) => return (false, NOBODY.to_owned()),
            Err(error) => return (false, format!("It was not hung up: failed to {error}.")),
        };
        match source.client().hang_up(source.account(), &row.provider_id, HangUp::Any).await {
            Ok(HungUp::Done) => (true, "The provider hung it up.".to_owned()),
            Ok(HungUp::EndedAlready) => (true, "The provider says that it had ended before.".to_owned()),
            Ok(HungUp::Answered) => (false, "The provider let it go on.".to_owned()),
            Err(error) => {
                tracing::warn!(call = row.id, "failed to {error}: a call that was ended by hand may go on");
                (false, format!("It may go on at the provider: failed to {error}."))
            }
        }
    }
}

impl Sweeper {
    async fn hang_up_at_pbx(&self, row: &CallRow) -> (bool, String) {
        let pbx = match self.0.sources.whom(&row.tenant, &row.provider, &row.account).await {
            Ok(Whom::Asked(Asked::Pbx(pbx))) => pbx,
            Ok(Whom::Elsewhere) => return (false, ELSEWHERE.to_owned()),
            Ok(Whom::Asked(Asked::Twilio(_)) | Whom::Nobody) => return (false, ONLY_PUSHES.to_owned()),
            Err(error) => return (false, format!("It was not hung up: failed to {error}.")),
        };
        match pbx.hang_up(&row.provider_id).await {
            Ok(true) => (true, "The PBX hung it up.".to_owned()),
            Ok(false) => (true, "The PBX says that it had ended before.".to_owned()),
            Err(error) => {
                tracing::warn!(call = row.id, "failed to {error}: a call that was ended by hand may go on");
                (false, format!("It may go on at the PBX: failed to {error}."))
            }
        }
    }
}

const ELSEWHERE: &str = "Another process of onhook listens to this PBX, so it was not hung up from here: ask that process, or hang \
    it up at the PBX.";
const ONLY_PUSHES: &str = "This PBX only pushes what happens, so it was not hung up from here: hang it up at the PBX.";

/// Why a call could not be taken as ended. The fragments complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// What is stored of it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be made durable.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

fn evidence(status: Status, alive_ms: Option<Millis>, stated_end_ms: Option<Millis>, reason: Option<&str>) -> String {
    let mut evidence = vec![match alive_ms {
        Some(at) => format!("It was {status}; its last sign of life was at {}.", rfc3339(at)),
        None => format!("It was {status}; it never showed a sign of life."),
    }];
    evidence.extend(stated_end_ms.map(|at| format!("It is said to have ended at {}.", rfc3339(at))));
    evidence.extend(reason.map(|reason| format!("The reason given: {reason}")));
    evidence.join(" ")
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}
