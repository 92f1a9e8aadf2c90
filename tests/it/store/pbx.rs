//! Who listens to which PBX, and what is set for it.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    now,
    pbx::{self, Claim, PbxRow, PbxSettingRow},
};

on_both! {
    a_pbx_is_taken_by_one,
    whoever_was_thought_dead_finds_out,
    two_who_want_it_at_once,
    a_lease_of_a_wrong_clock_counts_for_nothing,
    what_its_holder_says_comes_back,
    settings_are_replaced_whole,
}

const LEASE_MS: i64 = 60_000;

fn by(holder: &'static str) -> Claim<'static> {
    let (tenant, account, state) = ("acme", "pbx1", "connecting");
    Claim { tenant, account, holder, lease_ms: LEASE_MS, state, now_ms: 5 }
}

fn described(claimed: &PbxRow) -> PbxRow {
    let text = |text: &str| Some(text.to_owned());
    PbxRow {
        tenant: claimed.tenant.clone(),
        account: claimed.account.clone(),
        holder: claimed.holder.clone(),
        lease_until_ms: claimed.lease_until_ms,
        token: claimed.token,
        state: "down".into(),
        detail: text("it's \"away\""),
        since_ms: 7,
        system_name: text("büro"),
        version: text("22.1.0"),
        ami_version: text("11.0.0"),
        boot_ms: Some(8),
        heard_ms: Some(9),
        event_ms: Some(10),
        synced_ms: Some(11),
        lag_ms: Some(12),
        clock_ahead_ms: Some(-13),
        events: 14,
        resyncs: 15,
        gaps: 16,
        dropped: 17,
        channels: Some(18),
        alarm: text("pbx-down"),
    }
}

async fn left_ms(at: &TestDatabase) -> i64 {
    pbx::find(&at.db, "acme", "pbx1").await.unwrap().unwrap().left_ms
}

async fn a_pbx_is_taken_by_one(at: TestDatabase) {
    assert_eq!(pbx::find(&at.db, "acme", "pbx1").await.unwrap(), None);
    let a = commit!(at, |tx| pbx::claim(tx, by("a"))).unwrap();
    let now_ms = now::load(&at.db).await.unwrap();
    assert!((now_ms..=now_ms + LEASE_MS).contains(&a.lease_until_ms), "by the clock of the database");
    let (holder, state) = ("a".to_owned(), "connecting".to_owned());
    let new = PbxRow { tenant: "acme".into(), account: "pbx1".into(), holder, state, since_ms: 5, ..PbxRow::default() };
    assert_eq!(a, PbxRow { lease_until_ms: a.lease_until_ms, token: 1, ..new });
    assert!((1..=LEASE_MS).contains(&left_ms(&at).await));
    assert_eq!(commit!(at, |tx| pbx::claim(tx, by("b"))), None);
    let other = Claim { account: "pbx2", ..by("b") };
    assert!(commit!(at, |tx| pbx::claim(tx, other)).is_some());
    assert!(commit!(at, |tx| pbx::release(tx, &a)));
    assert!(left_ms(&at).await <= 0);
    let b = commit!(at, |tx| pbx::claim(tx, by("b"))).expect("it was let go");
    assert_eq!(b.token, 2);
    let again = commit!(at, |tx| pbx::claim(tx, by("b"))).expect("it has it already");
    assert_eq!(again.token, 3, "what it did under the old one is over");
    assert!(!commit!(at, |tx| pbx::renew(tx, &b, LEASE_MS)));
}

async fn whoever_was_thought_dead_finds_out(at: TestDatabase) {
    let a = commit!(at, |tx| pbx::claim(tx, by("a"))).unwrap();
    assert!(commit!(at, |tx| pbx::renew(tx, &a, LEASE_MS)));
    assert!(commit!(at, |tx| pbx::renew(tx, &a, 0)), "it is over, and nobody else has it yet");
    assert!(commit!(at, |tx| pbx::renew(tx, &a, 0)), "so it may still come back");
    let b = commit!(at, |tx| pbx::claim(tx, by("b"))).expect("nobody has it");
    assert!(!commit!(at, |tx| pbx::renew(tx, &described(&a), LEASE_MS)));
    assert!(!commit!(at, |tx| pbx::release(tx, &described(&a))));
    let found = pbx::find(&at.db, "acme", "pbx1").await.unwrap().unwrap();
    assert_eq!(found.row, b, "nothing of what it says is kept");
    assert!(found.left_ms > 0, "nor is the other one's lease ended");
    let forged = PbxRow { holder: "a".into(), ..b };
    assert!(!commit!(at, |tx| pbx::renew(tx, &forged, LEASE_MS)));
}

async fn two_who_want_it_at_once(at: TestDatabase) {
    let other = at.another_node().await;
    for round in 1..=10 {
        let claim = async |db: &onhook::store::Db, holder| {
            let mut tx = db.begin().await.unwrap();
            let claimed = pbx::claim(&mut tx, by(holder)).await.unwrap();
            tx.commit().await.unwrap();
            claimed
        };
        let (a, b) = tokio::join!(claim(&at.db, "a"), claim(&other, "b"));
        assert!(a.is_some() != b.is_some(), "{a:?} {b:?}");
        let taken = a.or(b).unwrap();
        assert_eq!(taken.token, round);
        assert!(commit!(at, |tx| pbx::release(tx, &taken)));
    }
}

async fn a_lease_of_a_wrong_clock_counts_for_nothing(at: TestDatabase) {
    let ahead = Claim { lease_ms: 1 << 50, ..by("a") };
    assert!(commit!(at, |tx| pbx::claim(tx, ahead)).is_some());
    assert!(commit!(at, |tx| pbx::claim(tx, by("b"))).is_some());
}

async fn what_its_holder_says_comes_back(at: TestDatabase) {
    let claimed = commit!(at, |tx| pbx::claim(tx, by("a"))).unwrap();
    let said = described(&claimed);
    assert!(commit!(at, |tx| pbx::renew(tx, &said, LEASE_MS)));
    let theirs = Claim { tenant: "other", ..by("c") };
    let theirs = commit!(at, |tx| pbx::claim(tx, theirs)).unwrap();
    let found = pbx::find(&at.db, "acme", "pbx1").await.unwrap().unwrap().row;
    assert_eq!(PbxRow { lease_until_ms: said.lease_until_ms, ..found.clone() }, said);
    assert_eq!(pbx::find(&at.db, "nobody", "pbx1").await.unwrap(), None);
    let accounts = |rows: Vec<pbx::LeasedPbx>| rows.into_iter().map(|pbx| pbx.row).collect::<Vec<_>>();
    assert_eq!(accounts(pbx::list(&at.db, "acme", "", 9).await.unwrap()), std::slice::from_ref(&found));
    assert_eq!(accounts(pbx::list(&at.db, "acme", "pbx1", 9).await.unwrap()), []);
    assert_eq!(accounts(pbx::list_all(&at.db, ("", ""), 9).await.unwrap()), [found.clone(), theirs.clone()]);
    assert_eq!(accounts(pbx::list_all(&at.db, ("acme", "pbx1"), 1).await.unwrap()), [theirs]);
    assert_eq!(pbx::list_alarmed(&at.db, 9).await.unwrap(), [found]);
    let again = commit!(at, |tx| pbx::claim(tx, by("a"))).unwrap();
    let kept = PbxRow { state: "connecting".into(), detail: None, since_ms: 5, ..described(&again) };
    assert_eq!(again, kept, "all but how it goes, which is to be seen");
    commit!(at, |tx| pbx::renew(tx, &again, -120_000));
    assert_eq!(pbx::list_alarmed(&at.db, 9).await.unwrap(), [], "nobody listens to it any more");
}

async fn settings_are_replaced_whole(at: TestDatabase) {
    let row = |account: &str, ca_pem: Option<&str>, region: Option<&str>| PbxSettingRow {
        tenant: "acme".into(),
        account: account.into(),
        ca_pem: ca_pem.map(Into::into),
        region: region.map(Into::into),
        updated_ms: 7,
    };
    assert_eq!(pbx::find_setting(&at.db, "acme", "pbx1").await.unwrap(), None);
    commit!(at, |tx| pbx::put_setting(tx, &row("pbx1", Some("-----BEGIN"), Some("DE"))));
    commit!(at, |tx| pbx::put_setting(tx, &row("pbx1", None, Some("US"))));
    commit!(at, |tx| pbx::put_setting(tx, &row("pbx2", None, None)));
    assert_eq!(pbx::find_setting(&at.db, "acme", "pbx1").await.unwrap(), Some(row("pbx1", None, Some("US"))));
    assert_eq!(pbx::find_setting(&at.db, "other", "pbx1").await.unwrap(), None);
    assert_eq!(pbx::list_settings(&at.db, ("acme", "pbx1"), 9).await.unwrap(), [row("pbx2", None, None)]);
    assert_eq!(pbx::list_settings(&at.db, ("", ""), 1).await.unwrap(), [row("pbx1", None, Some("US"))]);
    assert_eq!(commit!(at, |tx| pbx::delete_setting(tx, "other", "pbx1")), 0);
    assert_eq!(commit!(at, |tx| pbx::delete_setting(tx, "acme", "pbx1")), 1);
    assert_eq!(pbx::find_setting(&at.db, "acme", "pbx1").await.unwrap(), None);
}
