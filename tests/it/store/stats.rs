//! Figures about calls, added up by the database.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::id::new_id,
    store::{
        calls::{self, CallRow},
        contacts::{self, ContactRow},
        health::{self, EndingTally},
        stats::{self, AccountSum, CallSum, LiveSum, Silence, Span, TimeToEnd},
    },
};

on_both! {
    calls_are_added_up_by_direction_status_and_resolution,
    how_long_calls_took_is_exact,
    leads_are_counted_once,
    live_calls_are_counted_as_they_are,
    accounts_are_ranked_by_what_is_missing,
}

const SPAN: Span = Span { since_ms: 10_000, until_ms: 20_000, known_until_ms: 30_000 };

/// A call that was created, and became known, at these moments; it ended after so many seconds.
fn call(n: u32, created_ms: i64, known_ms: i64, ended_after: Option<i64>) -> CallRow {
    CallRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: new_id("call", known_ms, n.into()),
        provider: "twilio".into(),
        registers: "{}".into(),
        direction: Some("outbound-api".into()),
        status: if ended_after.is_some() { "completed" } else { "ringing" }.into(),
        resolution: ended_after.map(|_| "callback".into()),
        created_at_ms: created_ms,
        answered_at_ms: ended_after.map(|_| created_ms),
        ended_at_ms: ended_after.map(|seconds| created_ms + seconds * 1_000),
        talk_seconds: ended_after,
        due_at_ms: ended_after.is_none().then_some(1),
        last_signal_ms: known_ms,
        ..CallRow::default()
    }
}

async fn calls_are_added_up_by_direction_status_and_resolution(at: TestDatabase) {
    let leg = CallRow {
        parent_id: Some("CA1".into()),
        direction: Some("outbound-dial".into()),
        ..call(2, 10_001, 10_001, Some(5))
    };
    let rows = [
        call(1, 10_000, 10_000, Some(7)),
        leg,
        call(3, 19_999, 29_999, Some(11)),
        CallRow { direction: None, ..call(4, 15_000, 15_000, None) },
        // Created outside, known too late, merged, another tenant's.
        call(5, 9_999, 10_000, Some(1)),
        call(6, 20_000, 20_000, Some(1)),
        call(7, 15_000, 30_000, Some(1)),
        CallRow { merged_into: Some("CA1".into()), ..call(8, 15_000, 15_000, None) },
        CallRow { tenant: "other".into(), ..call(9, 15_000, 15_000, Some(1)) },
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let sum = |direction: &str, status: &str, resolution: &str, (calls, answered, talk, root): (i64, i64, i64, i64)| {
        CallSum {
            direction: direction.into(),
            status: status.into(),
            resolution: resolution.into(),
            calls,
            answered,
            talk_seconds: talk,
            root_talk_seconds: root,
        }
    };
    assert_eq!(
        stats::list_calls(&at.db, "acme", SPAN, 9).await.unwrap(),
        [
            sum("outbound-api", "completed", "callback", (2, 2, 18, 18)),
            sum("", "ringing", "", (1, 0, 0, 0)),
            sum("outbound-dial", "completed", "callback", (1, 1, 5, 0)),
        ]
    );
    assert_eq!(stats::list_calls(&at.db, "acme", SPAN, 1).await.unwrap().len(), 1);
    assert_eq!(stats::list_calls(&at.db, "nobody", SPAN, 9).await.unwrap(), []);
}

async fn how_long_calls_took_is_exact(at: TestDatabase) {
    let nothing = TimeToEnd { p50: None, p95: None, longest: None };
    assert_eq!(stats::time_to_end(&at.db, "acme", SPAN).await.unwrap(), nothing);
    // 1 to 100 seconds, and one that lives.
    let mut rows: Vec<CallRow> = (1..=100).map(|n| call(n, 15_000, 15_000, Some(n.into()))).collect();
    rows.push(call(101, 15_000, 15_000, None));
    commit!(at, |tx| calls::upsert(tx, &rows));
    let found = stats::time_to_end(&at.db, "acme", SPAN).await.unwrap();
    assert_eq!(found, TimeToEnd { p50: Some(50), p95: Some(95), longest: Some(100) });
    // A provider's clock may be behind ours: no call takes less than nothing.
    commit!(at, |tx| calls::upsert(tx, &[CallRow { ended_at_ms: Some(1), ..call(1, 15_000, 15_000, Some(1)) }]));
    let found = stats::time_to_end(&at.db, "acme", SPAN).await.unwrap();
    assert_eq!(found, TimeToEnd { p50: Some(50), p95: Some(95), longest: Some(100) });
}

async fn leads_are_counted_once(at: TestDatabase) {
    let leg = CallRow { parent_id: Some("CA1".into()), ..call(2, 15_000, 15_000, Some(5)) };
    let rows =
        [call(1, 15_000, 15_000, Some(7)), leg, call(3, 15_000, 15_000, Some(7)), call(4, 25_000, 25_000, Some(7))];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let contact = |conversation: &str, lead_id: &str, active| ContactRow {
        tenant: "acme".into(),
        conversation: conversation.into(),
        account: "AC1".into(),
        lead_id: lead_id.into(),
        call_id: "call_1".into(),
        contacted_ms: 15_000,
        active,
        flips: 1,
    };
    let rows = [
        contact("CA1", "lead-1", true),
        contact("CA3", "lead-1", true),
        contact("CA3", "lead-2", false),
        contact("CA4", "lead-3", true),
    ];
    commit!(at, |tx| contacts::upsert(tx, &rows));
    assert_eq!(stats::count_contacted(&at.db, "acme", SPAN).await.unwrap(), 1);
    assert_eq!(stats::count_contacted(&at.db, "other", SPAN).await.unwrap(), 0);
    let both = Span { until_ms: 30_000, ..SPAN };
    assert_eq!(stats::count_contacted(&at.db, "acme", both).await.unwrap(), 2);
}

async fn live_calls_are_counted_as_they_are(at: TestDatabase) {
    let silence = Silence { warn_ms: (400, 800), critical_ms: (200, 600) };
    let live = |n: u32, status: &str, alive_ms: Option<i64>| CallRow {
        status: status.into(),
        alive_ms,
        ..call(n, 500, 500, None)
    };
    let rows = [
        live(1, "in-progress", Some(401)),
        live(2, "in-progress", Some(400)),
        live(3, "in-progress", Some(200)),
        live(4, "ringing", Some(801)),
        live(5, "initiated", Some(601)),
        live(6, "ringing", None),
        CallRow { recording_seconds: Some(3), ..live(7, "in-progress", Some(900)) },
        CallRow { created_at_ms: 100, ..live(8, "in-progress", Some(900)) },
        call(9, 500, 500, Some(1)),
        CallRow { tenant: "other".into(), ..live(10, "ringing", None) },
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let all = stats::sum_live(&at.db, "acme", (i64::MIN, i64::MAX), silence).await.unwrap();
    assert_eq!(all, LiveSum { live: 8, warn: 2, critical: 2, with_duration: 1 });
    let some = stats::sum_live(&at.db, "acme", (500, 501), silence).await.unwrap();
    assert_eq!(some, LiveSum { live: 7, warn: 2, critical: 2, with_duration: 1 });
    let none = stats::sum_live(&at.db, "nobody", (i64::MIN, i64::MAX), silence).await.unwrap();
    assert_eq!(none, LiveSum::default());
}

async fn accounts_are_ranked_by_what_is_missing(at: TestDatabase) {
    let ended = |account: &str, hour_ms: i64, called_back: i64, reconciled: i64, unheard: i64, gaps: i64| EndingTally {
        tenant: "acme".into(),
        account: account.into(),
        hour_ms,
        direction: "inbound".into(),
        called_back,
        elsewhere: 1,
        reconciled,
        unheard,
        gaps,
        gap_legs: gaps,
    };
    let rows = [
        ended("AC1", 100, 9, 1, 0, 0),
        ended("AC1", 200, 9, 1, 1, 0),
        ended("AC1", 300, 0, 50, 0, 0),
        ended("AC2", 100, 9, 0, 0, 7),
        ended("AC3", 100, 9, 0, 0, 0),
        EndingTally { tenant: "other".into(), ..ended("AC4", 100, 9, 9, 9, 9) },
    ];
    commit!(at, |tx| health::add_endings(tx, &rows));
    let sum = |account: &str, ended, missing, gaps| AccountSum { account: account.into(), ended, missing, gaps };
    let worst = stats::list_worst_accounts(&at.db, "acme", (100, 300), 9).await.unwrap();
    assert_eq!(worst, [sum("AC2", 10, 0, 7), sum("AC1", 23, 3, 0)]);
    assert_eq!(stats::list_worst_accounts(&at.db, "acme", (100, 300), 1).await.unwrap(), [sum("AC2", 10, 0, 7)]);
}
