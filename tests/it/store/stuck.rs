//! Live calls, counted: what is due, what is stuck, and never one that has ended.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::{
        deadline::Limits,
        state::{Status, Stuck},
    },
    store::{
        calls::{self, CallRow},
        due::Due,
        follow_ups::{self, FollowUpRow},
        stuck::{self, Counts, SilentSince},
    },
};
use sqlx::{Connection, Row, SqliteConnection};

on_both! { what_is_stuck_is_what_the_limits_say, what_is_due_is_counted_with_the_oldest, follow_ups_are_counted_once_due }

const NOW: i64 = 1_000_000;
const LIMITS: Limits = Limits {
    check_queued_ms: 15,
    check_ringing_ms: 95,
    check_answered_ms: 60,
    stuck_warn_ms: 300,
    stuck_critical_ms: 600,
    stuck_ringing_warn_ms: 100,
    stuck_ringing_critical_ms: 200,
    give_up_queued_ms: 10_000,
    give_up_ringing_ms: 6_000,
    give_up_answered_ms: 20_000,
    timeout_ringing_ms: 4_000,
    timeout_answered_ms: 3_000,
};
const SILENT: SilentSince = SilentSince {
    warn_ms: NOW - 300,
    critical_ms: NOW - 600,
    ringing_warn_ms: NOW - 100,
    ringing_critical_ms: NOW - 200,
};
const DUE: Due = Due { now_ms: NOW, beyond_ms: NOW + 5_000 };

fn call(n: usize, status: Status, due_at_ms: Option<i64>) -> CallRow {
    CallRow {
        tenant: format!("tenant_{}", n % 3),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: status.as_str().into(),
        due_at_ms,
        ..CallRow::default()
    }
}

/// Every state, silent for every time at which something changes, known by a sign of life or only by when it began.
async fn what_is_stuck_is_what_the_limits_say(at: TestDatabase) {
    let mut rows = Vec::new();
    let mut wanted = Counts::default();
    for &status in Status::ALL {
        for silent in [-50, 0, 99, 100, 199, 200, 299, 300, 599, 600, 10_000] {
            for has_sign in [true, false] {
                let sign = NOW - silent;
                let due_at_ms = (!status.is_ended()).then_some(NOW + 1);
                let row = call(rows.len(), status, due_at_ms);
                // Without a sign of life it counts from when it was created; with one, that does not matter.
                rows.push(match has_sign {
                    true => CallRow { alive_ms: Some(sign), created_at_ms: 0, ..row },
                    false => CallRow { created_at_ms: sign, ..row },
                });
                let stuck = LIMITS.stuck(status, sign, NOW);
                wanted.live += i64::from(!status.is_ended());
                wanted.stuck += i64::from(stuck.is_some());
                wanted.critical += i64::from(stuck == Some(Stuck::Critical));
            }
        }
    }
    commit!(at, |tx| calls::upsert(tx, &rows));
    assert_eq!(stuck::count(&at.db, DUE, &SILENT, 10_000).await.unwrap(), wanted);
    assert!(wanted.critical > 10 && wanted.stuck > wanted.critical && wanted.live > wanted.stuck, "{wanted:?}");
    let some = stuck::count(&at.db, DUE, &SILENT, 7).await.unwrap();
    assert_eq!(some.live, 7, "no more than asked for is read");
}

async fn what_is_due_is_counted_with_the_oldest(at: TestDatabase) {
    let none = stuck::count(&at.db, DUE, &SILENT, 10_000).await.unwrap();
    assert_eq!(none, Counts::default());
    // The last one was set while a clock was wrong: due, but nobody can say since when.
    let due = [NOW - 7_000, NOW - 1, NOW, NOW + 1, NOW + 5_000, NOW + 5_001];
    let row = |(n, due): (usize, &i64)| CallRow { alive_ms: Some(NOW), ..call(n, Status::Queued, Some(*due)) };
    let mut rows: Vec<CallRow> = due.iter().enumerate().map(row).collect();
    rows.push(call(99, Status::Completed, None));
    commit!(at, |tx| calls::upsert(tx, &rows));
    let counted = stuck::count(&at.db, DUE, &SILENT, 10_000).await.unwrap();
    let wanted = Counts { live: 6, due: 4, oldest_due_ms: Some(NOW - 7_000), stuck: 0, critical: 0 };
    assert_eq!(counted, wanted);
    let first = stuck::count(&at.db, DUE, &SILENT, 1).await.unwrap();
    assert_eq!((first.live, first.oldest_due_ms), (1, Some(NOW - 7_000)), "what is due longest comes first");
}

async fn follow_ups_are_counted_once_due(at: TestDatabase) {
    let row = |n: usize, due_ms| FollowUpRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        kind: follow_ups::HISTORY.into(),
        due_ms,
        attempts: 0,
        created_ms: 0,
    };
    let rows = [row(1, NOW - 1), row(2, NOW), row(3, NOW + 1), row(4, NOW + 5_001)];
    commit!(at, |tx| follow_ups::insert(tx, &rows));
    assert_eq!(stuck::count_follow_ups(&at.db, DUE, 100).await.unwrap(), 3);
    assert_eq!(stuck::count_follow_ups(&at.db, DUE, 2).await.unwrap(), 2);
}

/// What a count costs depends on how many calls live, not on how many are stored.
#[tokio::test]
async fn only_live_calls_are_read() {
    let at = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&at.place.url).await.unwrap();
    for (statement, index) in [("COUNT", "call_due"), ("COUNT_FOLLOW_UPS", "follow_up_due")] {
        let sql = stuck::ALL.iter().find(|sql| sql.name == statement).unwrap();
        let plan = format!("EXPLAIN QUERY PLAN {}", sql.sqlite);
        let rows = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut connection).await.unwrap();
        let details: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(details.iter().any(|detail| detail.contains(index)), "{statement}: {details:?}");
    }
}
