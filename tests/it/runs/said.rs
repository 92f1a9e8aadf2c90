//! What the provider tells of its calls, and settings of runs.

use super::scene::{Node, Scene, TENANT};
use crate::support::exchange::{ACCOUNT, Call};
use onhook::{
    domain::{
        id::Leg,
        run::{Retry, Settings},
        signal::{Claim, Field, Signal, Told, Witness},
        state::{HangupCause, Live, Outcome},
    },
    ingest::{Submission, SubmitError},
};
use std::collections::BTreeMap;

impl Node {
    /// A status callback of a call.
    pub async fn tell(&self, call: &Call, claim: Claim, now_ms: i64) {
        self.ingest.submit(callback(call, claim, now_ms)).await.unwrap();
    }

    /// Callbacks: the call is answered, and over.
    pub async fn complete(&self, scene: &Scene, call: &Call) {
        self.tell(call, Claim::Live(Live::Answered), scene.now_ms()).await;
        scene.script.end(&call.provider_id);
        self.tell(call, ended(Outcome::Completed), scene.now_ms()).await;
    }

    /// All calls of the provider that are not over end.
    pub async fn complete_all(&self, scene: &Scene) {
        self.try_complete_all(scene).await.unwrap();
    }

    /// The same, as far as it can be written down.
    pub async fn try_complete_all(&self, scene: &Scene) -> Result<(), SubmitError> {
        for call in scene.script.calls().into_iter().filter(|call| !call.is_over && !call.job_id.is_empty()) {
            let claims = [Claim::Live(Live::Answered), ended(Outcome::Completed)];
            for claim in claims {
                self.ingest.submit(callback(&call, claim, scene.now_ms())).await?;
            }
            scene.script.end(&call.provider_id);
        }
        Ok(())
    }
}

pub fn ended(outcome: Outcome) -> Claim {
    Claim::Ended(Told { outcome, seconds: Some(7), cause: HangupCause::Normal })
}

pub fn callback(call: &Call, claim: Claim, now_ms: i64) -> Submission {
    let details: BTreeMap<Field, String> = [
        (Field::JobId, call.job_id.clone()),
        (Field::Attempt, call.attempt.to_string()),
        (Field::Direction, "outbound-api".to_owned()),
        (Field::To, call.to.clone()),
        (Field::From, "+14155550100".to_owned()),
    ]
    .into_iter()
    .collect();
    let signal = Signal {
        leg: Leg { provider_id: call.provider_id.clone(), account: ACCOUNT.to_owned() },
        witness: Witness::Callback,
        claim,
        at: Some(now_ms),
        sequence: None,
        details,
        link: None,
        received_ms: now_ms,
    };
    let (tenant, delivery) = (TENANT.to_owned(), None);
    Submission { tenant, provider: "twilio", delivery, signals: vec![signal], ask: Vec::new(), decision: None }
}

/// Settings of a run that tries busy lines again.
pub fn retrying(attempts_max: u32) -> String {
    let retry = Retry { attempts_max, after_seconds: 60, ..Retry::default() };
    serde_json::to_string(&Settings { retry, ..Settings::default() }).unwrap()
}
