//! Which callbacks of a call were lost: what Twilio says that it told, without what we heard.

use super::twilio::TwilioSource;
use crate::{
    domain::{
        id::Leg,
        signal::{Claim, Identity, Signal, Witness},
        time::Millis,
    },
    provider::Trouble,
    store::{
        calls::{CallRow, LegKey},
        follow_ups::{FollowUpRow, HISTORY},
    },
    telemetry::ProviderRequest,
    twilio::{
        client::ClientError,
        history::{self, KEPT_MS, SHOWN_AFTER_MS},
        rest::CallRequest,
    },
};
use std::collections::HashSet;
use url::Url;

impl TwilioSource {
    /// What Twilio sent and took for a call; `None`: it does not know the call.
    pub(super) async fn requests(&self, provider_id: &str) -> Result<Option<Vec<CallRequest>>, Trouble> {
        let listed = self.client().list_call_requests(self.account(), provider_id).await;
        self.count(ProviderRequest::Events, &listed);
        match listed {
            Ok(listed) => Ok(Some(listed.entries)),
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.trouble(self.account())),
        }
    }
}

/// That the lost callbacks of a call are asked for, as soon as Twilio shows them. `None`: it does not any more.
pub(super) fn history_row(key: &LegKey, ended_ms: Millis, now_ms: Millis) -> Option<FollowUpRow> {
    let ended_ms = ended_ms.min(now_ms);
    let LegKey { tenant, provider_id, account } = key.clone();
    (now_ms.saturating_sub(ended_ms) < KEPT_MS).then(|| FollowUpRow {
        tenant,
        provider_id,
        account,
        kind: HISTORY.to_owned(),
        due_ms: ended_ms.saturating_add(SHOWN_AFTER_MS).max(now_ms),
        attempts: 0,
        created_ms: now_ms,
    })
}

/// Whether its numbers were erased: every call that says its direction had them. What its provider tells has them again.
pub(super) fn is_forgotten(call: &CallRow) -> bool {
    call.direction.is_some() && call.from.is_none() && call.to.is_none()
}

/// The callbacks of a leg that nobody here heard, as they are told now. `known` are its stored signals.
///
/// `public_url` is where Twilio calls this gateway.
pub(super) fn lost(
    requests: &[CallRequest],
    leg: &Leg,
    known: &[Signal],
    asked_ms: i64,
    public_url: Option<&Url>,
) -> Vec<Signal> {
    let heard: Vec<&Signal> = known.iter().filter(|signal| signal.witness == Witness::Callback).collect();
    let mut seen: HashSet<Identity> = known.iter().map(Signal::identity).collect();
    requests
        .iter()
        .filter_map(|request| history::read(request, leg, asked_ms, public_url))
        .filter(|told| !heard.iter().any(|heard| is_same(heard, told)))
        // What was replayed before, and what was sent to two URLs.
        .filter(|told| seen.insert(told.identity()))
        .collect()
}

/// Whether a callback that came is the one that was sent: its number and what it claims, or its time where a number is
/// missing. What else it says may differ: it may have been sent to two URLs.
fn is_same(heard: &Signal, told: &Signal) -> bool {
    let said = match (&heard.claim, &told.claim) {
        (Claim::Ended(heard), Claim::Ended(told)) => heard.outcome == told.outcome,
        (heard, told) => heard == told,
    };
    said && match (heard.sequence, told.sequence) {
        (Some(heard), Some(told)) => heard == told,
        _ => heard.at == told.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        signal::{Field, Told},
        state::{HangupCause, Live, Outcome},
        time::rfc2822,
    };
    use serde_json::{Value, json};

    const AT: i64 = 1_800_000_000_000;

    fn leg() -> Leg {
        Leg { provider_id: format!("CA{:032x}", 7), account: format!("AC{:032x}", 1) }
    }

    fn heard(claim: Claim, sequence: Option<i64>, at: Option<i64>) -> Signal {
        Signal {
            leg: leg(),
            witness: Witness::Callback,
            claim,
            at,
            sequence,
            details: [(Field::To, "client:ann".to_owned())].into(),
            link: None,
            received_ms: AT,
        }
    }

    fn sent(status: &str, sequence: Value) -> CallRequest {
        let parameters = json!({
            "call_sid": leg().provider_id, "account_sid": leg().account, "call_status": status,
            "sequence_number": sequence, "timestamp": rfc2822(AT), "callback_source": "call-progress-events",
        });
        serde_json::from_value(json!({ "request": { "parameters": parameters } })).unwrap()
    }

    #[test]
    fn what_came_is_not_lost() {
        let all = [sent("ringing", "1".into()), sent("in-progress", "2".into()), sent("completed", "3".into())];
        let numbers = |known: &[Signal]| -> Vec<Option<i64>> {
            lost(&all, &leg(), known, AT, None).iter().map(|signal| signal.sequence).collect()
        };
        assert_eq!(numbers(&[]), [Some(1), Some(2), Some(3)]);
        let ringing = heard(Claim::Live(Live::Ringing), Some(1), Some(AT - 5));
        assert_eq!(numbers(std::slice::from_ref(&ringing)), [Some(2), Some(3)]);
        let ended = Told { outcome: Outcome::Completed, seconds: Some(9), cause: HangupCause::Normal };
        assert_eq!(numbers(&[ringing.clone(), heard(Claim::Ended(ended), Some(3), None)]), [Some(2)]);
        let busy = Told { outcome: Outcome::Busy, ..ended };
        assert_eq!(numbers(&[ringing.clone(), heard(Claim::Ended(busy), Some(3), None)]), [Some(2), Some(3)]);
        let asked = Signal { witness: Witness::Reconciled, ..ringing };
        assert_eq!(numbers(&[asked]).len(), 3, "what was asked for is no callback that came");
    }

    #[test]
    fn without_a_number_the_time_tells() {
        let all = [sent("ringing", Value::Null)];
        let known = |at| [heard(Claim::Live(Live::Ringing), None, at)];
        assert!(lost(&all, &leg(), &known(Some(AT)), AT, None).is_empty());
        assert_eq!(lost(&all, &leg(), &known(Some(AT - 1_000)), AT, None).len(), 1);
        let in_progress = [heard(Claim::Live(Live::Answered), None, Some(AT))];
        assert_eq!(lost(&all, &leg(), &in_progress, AT, None).len(), 1);
    }

    #[test]
    fn each_is_told_once() {
        let all = [sent("ringing", "1".into()), sent("ringing", "1".into())];
        let first = lost(&all, &leg(), &[], AT, None);
        assert_eq!(first.len(), 1, "sent to two URLs");
        assert!(lost(&all, &leg(), &first, AT + 60_000, None).is_empty(), "replayed before");
    }
}
