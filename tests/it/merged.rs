//! Calls that were merged into older ones: what still counts of them.

use crate::{
    ingest::{completed, node, signal, submission},
    support::{
        database::{TestDatabase, on_both},
        gateway::START_MS,
    },
};
use onhook::{
    domain::{
        signal::{Claim, Field, Signal, Told},
        state::{HangupCause, Live, Outcome},
    },
    store::{calls, contacts},
};
use std::collections::BTreeMap;

on_both!(who_picks_a_call_up_is_a_leg_of_it, a_merged_call_without_a_parent_is_no_evidence);

const OLDER: &str = "pbx1-1795159546.212";
const RUNG: &str = "pbx1-1795159546.213";
const YOUNGER: &str = "pbx1-1795159549.214";

fn inbound(call: &str, claim: Claim, at_ms: i64) -> Signal {
    let details = BTreeMap::from([(Field::Direction, "inbound".to_owned())]);
    Signal { details, ..signal(call, claim, Some(at_ms), None) }
}

fn merged(parent: Option<&str>) -> Signal {
    let mut details = BTreeMap::from([(Field::MergedInto, OLDER.to_owned())]);
    details.extend(parent.map(|parent| (Field::ParentId, parent.to_owned())));
    Signal { details, link: None, ..signal(YOUNGER, Claim::Link, Some(START_MS + 3_000), None) }
}

/// Another phone rings, somebody picks the call up with a call of its own: that one is the leg that answered.
async fn who_picks_a_call_up_is_a_leg_of_it(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let canceled = Told { outcome: Outcome::Canceled, seconds: None, cause: HangupCause::Canceled };
    let said = [
        inbound(OLDER, Claim::Live(Live::Ringing), START_MS),
        signal(RUNG, Claim::Live(Live::Ringing), Some(START_MS), Some(OLDER)),
        Signal { link: None, ..inbound(YOUNGER, Claim::Live(Live::Ringing), START_MS + 2_000) },
        Signal { link: None, ..inbound(YOUNGER, Claim::Live(Live::Answered), START_MS + 3_000) },
        inbound(OLDER, Claim::Live(Live::Answered), START_MS + 3_000),
        merged(Some(OLDER)),
        signal(RUNG, Claim::Ended(canceled), Some(START_MS + 3_000), Some(OLDER)),
        Signal { link: None, ..inbound(YOUNGER, completed(7), START_MS + 10_000) },
        inbound(OLDER, completed(7), START_MS + 10_000),
    ];
    for (turn, signal) in said.into_iter().enumerate() {
        ingest.submit(submission(signal, &turn.to_string())).await.unwrap();
    }
    let row = calls::find(&at.db, "default", YOUNGER, None).await.unwrap().remove(0);
    assert_eq!((row.parent_id.as_deref(), row.merged_into.as_deref()), (Some(OLDER), Some(OLDER)));
    let rows = contacts::list_of_lead(&at.db, "default", "lead-1").await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].conversation.as_str(), rows[0].active), (OLDER, true));
    assert_eq!((rows[0].call_id.as_str(), rows[0].contacted_ms), (row.id.as_str(), START_MS + 10_000));
}

/// A consultation call whose far end was transferred: what it talked before is no conversation of its own.
async fn a_merged_call_without_a_parent_is_no_evidence(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let said = [
        signal(YOUNGER, Claim::Live(Live::Answered), Some(START_MS), None),
        merged(None),
        signal(YOUNGER, completed(3), Some(START_MS + 3_000), None),
    ];
    for (turn, signal) in said.into_iter().enumerate() {
        ingest.submit(submission(signal, &turn.to_string())).await.unwrap();
    }
    assert_eq!(contacts::of_lead(&at.db, "default", "lead-1").await.unwrap().count, 0);
}
