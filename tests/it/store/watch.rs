//! Accounts that are asked about their calls.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::watch::{self, Claim, WatchRow};

on_both! { an_account_is_taken_by_one, a_claim_of_a_wrong_clock_counts_for_nothing, what_was_learned_comes_back }

fn claim(now_ms: i64, not_listed_after_ms: Option<i64>) -> Claim<'static> {
    Claim { tenant: "acme", account: "AC1", now_ms, until_ms: now_ms + 100, not_listed_after_ms }
}

fn row() -> WatchRow {
    let text = |text: &str| Some(text.to_owned());
    WatchRow {
        tenant: "acme".into(),
        account: "AC1".into(),
        base: "https://api.example.com".into(),
        lease_until_ms: 1_000,
        listed_ms: Some(1_000),
        seen_ms: Some(2),
        trouble: text("refused"),
        detail: text("it's \"so\""),
        failing_since_ms: Some(3),
        failures: 4,
        ask_again_ms: Some(5),
        refused: text("digest"),
        alarmed_ms: Some(6),
    }
}

async fn an_account_is_taken_by_one(at: TestDatabase) {
    let taken = commit!(at, |tx| watch::claim(tx, claim(1_000, None))).unwrap();
    let new = WatchRow { tenant: "acme".into(), account: "AC1".into(), lease_until_ms: 1_100, ..WatchRow::default() };
    assert_eq!(taken, new);
    assert_eq!(commit!(at, |tx| watch::claim(tx, claim(1_050, None))), None);
    let other = Claim { account: "AC2", ..claim(1_050, None) };
    assert!(commit!(at, |tx| watch::claim(tx, other)).is_some());
    assert!(commit!(at, |tx| watch::claim(tx, claim(1_100, None))).is_some(), "whoever had it must be dead");
    let learned = WatchRow { lease_until_ms: 1_250, ..row() };
    assert!(!commit!(at, |tx| watch::renew(tx, &learned, 1_300)), "whoever has not got it cannot keep it");
    commit!(at, |tx| watch::release(tx, &learned));
    assert_eq!(commit!(at, |tx| watch::claim(tx, claim(1_110, None))), None, "nor let it go");
    assert!(commit!(at, |tx| watch::renew(tx, &WatchRow { lease_until_ms: 1_200, ..row() }, 1_250)));
    commit!(at, |tx| watch::release(tx, &learned));
    assert_eq!(commit!(at, |tx| watch::claim(tx, claim(1_010, Some(999)))), None, "listed a moment ago");
    let known = commit!(at, |tx| watch::claim(tx, claim(1_010, Some(1_000)))).unwrap();
    assert_eq!(known, WatchRow { lease_until_ms: 1_110, ..row() });
}

async fn a_claim_of_a_wrong_clock_counts_for_nothing(at: TestDatabase) {
    let ahead = 1 << 50;
    commit!(at, |tx| watch::release(tx, &WatchRow { lease_until_ms: ahead, listed_ms: Some(ahead), ..row() }));
    assert!(commit!(at, |tx| watch::claim(tx, claim(1_000, Some(990)))).is_some());
    assert_eq!(watch::find(&at.db, "acme", "AC1").await.unwrap().unwrap().lease_until_ms, 1_100);
    assert_eq!(commit!(at, |tx| watch::claim(tx, claim(1_000, Some(990)))), None, "now it is a right one");
}

async fn what_was_learned_comes_back(at: TestDatabase) {
    assert_eq!(watch::find(&at.db, "acme", "AC1").await.unwrap(), None);
    commit!(at, |tx| watch::release(tx, &row()));
    let well = WatchRow { account: "AC2".into(), trouble: None, ..row() };
    let theirs = WatchRow { tenant: "other".into(), ..row() };
    commit!(at, |tx| watch::release(tx, &well));
    commit!(at, |tx| watch::release(tx, &theirs));
    assert_eq!(watch::find(&at.db, "acme", "AC1").await.unwrap(), Some(row()));
    assert_eq!(watch::list_troubled(&at.db, None, 9).await.unwrap(), [row(), theirs.clone()]);
    assert_eq!(watch::list_troubled(&at.db, None, 1).await.unwrap(), [row()]);
    assert_eq!(watch::list_troubled(&at.db, Some("other"), 9).await.unwrap(), [theirs]);
}
