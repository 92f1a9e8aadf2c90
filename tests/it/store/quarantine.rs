//! Refused deliveries.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    accounts::{self, AccountRow},
    quarantine::{self, Bounds, QuarantineFilter, QuarantineId, QuarantineRow, Size, Whose},
    tenants::{self, TenantRow},
};

on_both! {
    a_repetition_only_counts,
    everybody_sees_his_own_and_operators_the_unknown,
    what_is_redriven_may_be_older_than_its_account,
    the_account_with_the_most_loses_first,
    large_rows_of_one_push_out_no_small_ones_of_another,
    what_proves_something_goes_last,
    of_unknown_accounts_the_oldest_go_first,
    old_rows_go,
    a_reason_is_renewed_and_rows_are_deleted,
}

fn row(id: &str, tenant: Option<&str>, account: &str, received_ms: i64) -> QuarantineRow {
    QuarantineRow {
        id: id.into(),
        tenant: tenant.map(Into::into),
        account: Some(account.into()),
        source: "twilio/status".into(),
        method: "POST".into(),
        path_and_query: "/webhooks/twilio/status?lead_id=%2B".into(),
        host: Some("calls.example.com".into()),
        content_type: None,
        signature: Some("c2ln".into()),
        body: vec![0, 255, b'\'', b'\\', 10],
        client: Some("192.0.2.1".into()),
        verified: false,
        entry: false,
        reason: "signature-mismatch".into(),
        detail: "of another token".into(),
        received_ms,
        last_ms: received_ms,
        times: 1,
        bytes: 100,
    }
}

const ACME: Whose<'static> = Whose::Tenant("acme");
const FIRST: (i64, &str) = (i64::MAX, "~");
const NOTHING: (i64, &str) = (i64::MIN, "");

async fn with_rows(at: &TestDatabase, rows: &[QuarantineRow]) {
    commit!(at, |tx| quarantine::keep(tx, rows));
}

async fn ids(at: &TestDatabase, whose: Whose<'_>, filter: &QuarantineFilter) -> Vec<String> {
    let rows = quarantine::list(&at.db, whose, filter, FIRST, 99).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

fn id(id: &str) -> QuarantineId {
    QuarantineId { id: id.into() }
}

async fn a_repetition_only_counts(at: TestDatabase) {
    let first = row("qua_1", None, "AC1", 50);
    with_rows(&at, &[first.clone(), row("qua_2", Some("acme"), "AC2", 10)]).await;
    let read = quarantine::find(&at.db, Whose::Operator("acme"), "qua_1").await.unwrap();
    assert_eq!(read, Some(first.clone()), "byte for byte");

    let again = QuarantineRow {
        reason: "unknown-account".into(),
        detail: "other".into(),
        ..row("qua_1", Some("acme"), "AC1", 60)
    };
    with_rows(&at, &[again]).await;
    with_rows(&at, &[QuarantineRow { times: 3, ..row("qua_1", None, "AC1", 40) }]).await;
    let read = quarantine::find(&at.db, ACME, "qua_1").await.unwrap().unwrap();
    assert_eq!((read.received_ms, read.last_ms, read.times), (40, 60, 5), "the first, the last, how often");
    assert_eq!((read.tenant.as_deref(), &*read.reason), (Some("acme"), "signature-mismatch"), "a tenant stays");
    let size = Size { known_rows: 2, known_bytes: 200, unknown_rows: 0, unknown_bytes: 0 };
    assert_eq!(quarantine::size(&at.db).await.unwrap(), size);
}

async fn everybody_sees_his_own_and_operators_the_unknown(at: TestDatabase) {
    assert_eq!(quarantine::size(&at.db).await.unwrap(), Size::default());
    let odd =
        QuarantineRow { reason: "unreadable".into(), source: "twilio/dial".into(), ..row("d", Some("acme"), "AC2", 3) };
    let rows = [row("a", Some("acme"), "AC1", 1), row("b", Some("other"), "AC3", 2), row("c", None, "AC9", 3), odd];
    with_rows(&at, &rows).await;
    let all = QuarantineFilter::default();
    assert_eq!(ids(&at, ACME, &all).await, ["d", "a"], "newest first");
    assert_eq!(ids(&at, Whose::Operator("acme"), &all).await, ["d", "c", "a"]);
    for (filter, expected) in [
        (QuarantineFilter { account: Some("AC1".into()), ..all.clone() }, "a"),
        (QuarantineFilter { reason: Some("unreadable".into()), ..all.clone() }, "d"),
        (QuarantineFilter { source: Some("twilio/dial".into()), ..all.clone() }, "d"),
    ] {
        assert_eq!(ids(&at, ACME, &filter).await, [expected], "{filter:?}");
    }
    let page = quarantine::list(&at.db, Whose::Operator("acme"), &all, (3, "d"), 1).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["c"]);

    for (seen, hidden) in [("a", "b"), ("d", "c")] {
        assert!(quarantine::find(&at.db, ACME, seen).await.unwrap().is_some());
        assert!(!quarantine::exists_elsewhere(&at.db, ACME, seen).await.unwrap());
        assert_eq!(quarantine::find(&at.db, ACME, hidden).await.unwrap(), None);
        assert!(quarantine::exists_elsewhere(&at.db, ACME, hidden).await.unwrap());
    }
    assert!(quarantine::find(&at.db, Whose::Operator("acme"), "c").await.unwrap().is_some());
    assert!(!quarantine::exists_elsewhere(&at.db, Whose::Operator("acme"), "c").await.unwrap());
    assert!(!quarantine::exists_elsewhere(&at.db, ACME, "nothing").await.unwrap());
}

async fn what_is_redriven_may_be_older_than_its_account(at: TestDatabase) {
    commit!(at, |tx| tenants::insert(tx, &TenantRow { id: "acme".into(), name: "n".into(), created_ms: 1 }));
    let account = AccountRow {
        id: "AC1".into(),
        tenant: "acme".into(),
        provider: "twilio".into(),
        verify: None,
        verify_until_ms: None,
        created_ms: 5,
        parent: None,
        api_base: None,
        api_key: None,
    };
    commit!(at, |tx| accounts::insert(tx, &account));
    let rows = [
        row("d", None, "AC1", 1),
        row("c", Some("acme"), "AC2", 2),
        row("b", None, "AC9", 3),
        row("a", Some("other"), "AC3", 4),
    ];
    with_rows(&at, &rows).await;
    let names = |rows: Vec<QuarantineRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let all = QuarantineFilter::default();
    let list = async |whose, filter: &QuarantineFilter, after| {
        names(quarantine::list_to_redrive(&at.db, whose, filter, after, 9).await.unwrap())
    };
    assert_eq!(list(ACME, &all, NOTHING).await, ["d", "c"], "oldest first");
    assert_eq!(list(ACME, &all, (1, "d")).await, ["c"]);
    assert_eq!(list(Whose::Operator("acme"), &all, NOTHING).await, ["d", "c", "b"]);
    let one = QuarantineFilter { account: Some("AC1".into()), ..all.clone() };
    assert_eq!(list(ACME, &one, NOTHING).await, ["d"]);
    let wanted = ["a", "b", "c", "d", "nothing"].map(id);
    assert_eq!(names(quarantine::list_by_ids(&at.db, ACME, &wanted).await.unwrap()), ["d", "c"]);
    let operator = Whose::Operator("other");
    assert_eq!(names(quarantine::list_by_ids(&at.db, operator, &wanted).await.unwrap()), ["d", "b", "a"]);
}

async fn the_account_with_the_most_loses_first(at: TestDatabase) {
    let mut rows: Vec<_> = (0..9).map(|n| row(&format!("loud_{n}"), Some("acme"), "AC1", 100 + n)).collect();
    rows.extend((0..2).map(|n| row(&format!("quiet_{n}"), Some("acme"), "AC2", n)));
    rows.push(row("unknown", None, "AC3", 0));
    with_rows(&at, &rows).await;
    let left = async || ids(&at, Whose::Operator("acme"), &QuarantineFilter::default()).await;
    assert_eq!(commit!(at, |tx| quarantine::trim_known(tx, Bounds { rows: 11, bytes: 1_100 })), 0);
    assert_eq!(commit!(at, |tx| quarantine::trim_known(tx, Bounds { rows: 5, bytes: 9_999 })), 6);
    assert_eq!(left().await, ["loud_8", "loud_7", "loud_6", "quiet_1", "unknown", "quiet_0"]);
    assert_eq!(commit!(at, |tx| quarantine::trim_known(tx, Bounds { rows: 9, bytes: 350 })), 2);
    assert_eq!(left().await, ["loud_8", "loud_7", "quiet_1", "unknown"], "by bytes the same; of two the older goes");
}

async fn large_rows_of_one_push_out_no_small_ones_of_another(at: TestDatabase) {
    let large =
        |n: i64| QuarantineRow { bytes: 1_000_000, ..row(&format!("loud_{n:03}"), Some("acme"), "AC1", 1_000 + n) };
    let mut rows: Vec<_> = (0..60).map(large).collect();
    rows.extend((0..153).map(|n| row(&format!("quiet_{n:03}"), Some("acme"), "AC2", n)));
    rows.push(QuarantineRow { bytes: 999_999, ..row("other", Some("acme"), "AC3", 0) });
    with_rows(&at, &rows).await;
    // Of rows there are few enough; of bytes 57 of AC1 are too many.
    assert_eq!(commit!(at, |tx| quarantine::trim_known(tx, Bounds { rows: 9_999, bytes: 4_500_000 })), 57);
    let left = quarantine::list(&at.db, ACME, &QuarantineFilter::default(), FIRST, 999).await.unwrap();
    assert_eq!(left.len(), 3 + 153 + 1);
    assert_eq!(
        left.iter().take(3).map(|row| row.id.as_str()).collect::<Vec<_>>(),
        ["loud_059", "loud_058", "loud_057"]
    );
}

async fn what_proves_something_goes_last(at: TestDatabase) {
    let signed = Some("MDEyMzQ1Njc4OTAxMjM0NTY3ODk=".to_owned());
    let rows = [
        QuarantineRow { verified: true, signature: signed.clone(), ..row("verified", Some("acme"), "AC1", 1) },
        QuarantineRow { signature: signed.clone(), ..row("signed_old", Some("acme"), "AC1", 2) },
        QuarantineRow { signature: signed, ..row("signed", Some("acme"), "AC1", 3) },
        QuarantineRow { signature: None, ..row("unsigned", Some("acme"), "AC1", 9) },
        row("malformed", Some("acme"), "AC1", 8),
    ];
    with_rows(&at, &rows).await;
    let left = async || ids(&at, ACME, &QuarantineFilter::default()).await;
    for (rows, bytes, left_then) in [
        (4, 9_999, vec!["unsigned", "signed", "signed_old", "verified"]),
        (9, 300, vec!["signed", "signed_old", "verified"]),
        (2, 9_999, vec!["signed", "verified"]),
        (9, 100, vec!["verified"]),
    ] {
        assert_eq!(commit!(at, |tx| quarantine::trim_known(tx, Bounds { rows, bytes })), 1);
        assert_eq!(left().await, left_then);
    }
}

async fn of_unknown_accounts_the_oldest_go_first(at: TestDatabase) {
    let mut rows: Vec<_> = (0..5).map(|n| row(&format!("u_{n}"), None, &format!("AC{}", n % 2), n)).collect();
    rows.push(row("known", Some("acme"), "AC1", 0));
    with_rows(&at, &rows).await;
    assert_eq!(commit!(at, |tx| quarantine::trim_unknown(tx, Bounds { rows: 3, bytes: 999 })), 2);
    assert_eq!(commit!(at, |tx| quarantine::trim_unknown(tx, Bounds { rows: 9, bytes: 199 })), 2);
    assert_eq!(ids(&at, Whose::Operator("acme"), &QuarantineFilter::default()).await, ["u_4", "known"]);
}

async fn old_rows_go(at: TestDatabase) {
    let rows = [row("a", Some("acme"), "AC1", 1), row("b", None, "AC1", 2), row("c", Some("acme"), "AC1", 3)];
    with_rows(&at, &rows).await;
    // What came again is not old.
    with_rows(&at, &[row("a", Some("acme"), "AC1", 9)]).await;
    assert_eq!(commit!(at, |tx| quarantine::delete_older(tx, 4, 1)), 1);
    assert_eq!(commit!(at, |tx| quarantine::delete_older(tx, 4, 9)), 1);
    assert_eq!(commit!(at, |tx| quarantine::delete_older(tx, 4, 9)), 0);
    assert_eq!(ids(&at, ACME, &QuarantineFilter::default()).await, ["a"]);
}

async fn a_reason_is_renewed_and_rows_are_deleted(at: TestDatabase) {
    with_rows(&at, &[row("a", Some("acme"), "AC1", 1), row("b", Some("acme"), "AC1", 2)]).await;
    assert_eq!(commit!(at, |tx| quarantine::set_reason(tx, "a", "unreadable", "why")), 1);
    assert_eq!(commit!(at, |tx| quarantine::set_reason(tx, "nothing", "unreadable", "why")), 0);
    let read = quarantine::find(&at.db, ACME, "a").await.unwrap().unwrap();
    assert_eq!((read.reason.as_str(), read.detail.as_str()), ("unreadable", "why"));
    assert_eq!(commit!(at, |tx| quarantine::delete(tx, &[id("a"), id("nothing")])), 1);
    assert_eq!(ids(&at, ACME, &QuarantineFilter::default()).await, ["b"]);
}
