//! Callback health: figures that are added once, and what counting looks up.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    calls::{self, CallRow},
    deliveries::{self, APPLIED, DeliveryKey, DeliveryRow},
    health::{self, Advanced, CallbackTally, EndingTally, LegRow, Silent, SubjectKey, Suspect},
    journal::{self, CALL, LEAD, NewEntry},
    quarantine::{self, QuarantineRow},
    signals::{self, SignalRow},
};
use std::collections::BTreeSet;

on_both! {
    a_cursor_moves_only_from_where_it_stands,
    what_is_not_committed_is_not_counted,
    figures_add_up_by_door_and_direction,
    suspects_are_the_accounts_with_enough_of_it,
    silent_calls_are_those_that_no_callback_spoke_of,
    what_counting_looks_up_is_found_in_sets,
    old_figures_go_in_pieces,
    refused_deliveries_of_an_account_are_counted,
}

const HOUR: i64 = 3_600_000;

fn callbacks(account: &str, hour: i64, source: &str, received: i64) -> CallbackTally {
    CallbackTally {
        tenant: "acme".into(),
        account: account.into(),
        hour_ms: hour * HOUR,
        source: source.into(),
        received,
        repeated: 1,
        late: 2,
        last_received_ms: hour * HOUR + received,
    }
}

fn endings(account: &str, hour: i64, direction: &str, elsewhere: i64) -> EndingTally {
    EndingTally {
        tenant: "acme".into(),
        account: account.into(),
        hour_ms: hour * HOUR,
        direction: direction.into(),
        called_back: 10,
        elsewhere,
        reconciled: 2,
        unheard: 3,
        gaps: 4,
        gap_legs: 2,
    }
}

fn call(n: i64, due_at_ms: Option<i64>) -> CallRow {
    CallRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        direction: Some("inbound".into()),
        status: "ringing".into(),
        due_at_ms,
        ..CallRow::default()
    }
}

fn delivery(provider_id: &str, id: &str, source: &str) -> DeliveryRow {
    DeliveryRow {
        tenant: "acme".into(),
        provider_id: provider_id.into(),
        account: "AC1".into(),
        id: id.into(),
        source: source.into(),
        method: "POST".into(),
        query: Vec::new(),
        body: b"a body".to_vec(),
        received_ms: 1,
        verified: true,
        state: APPLIED.into(),
        reason: None,
        attempts: 0,
        retry_at_ms: None,
    }
}

async fn a_cursor_moves_only_from_where_it_stands(at: TestDatabase) {
    assert_eq!(health::cursor(&at.db).await.unwrap(), 0);
    assert_eq!(commit!(at, |tx| health::advance(tx, 0, 7)), Advanced::Here);
    assert_eq!(commit!(at, |tx| health::advance(tx, 0, 7)), Advanced::Elsewhere, "the same pass again");
    assert_eq!(commit!(at, |tx| health::advance(tx, 3, 9)), Advanced::Elsewhere);
    assert_eq!(health::cursor(&at.db).await.unwrap(), 7);
}

/// Whoever comes second waits until it is known whether the first one's figures count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_at_once_one_counts() {
    for first_commits in [true, false] {
        let at = TestDatabase::postgres().await;
        let mut first = at.db.begin().await.unwrap();
        assert_eq!(health::advance(&mut first, 0, 5).await.unwrap(), Advanced::Here);
        let other = at.another_node().await;
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await.unwrap();
            let advanced = health::advance(&mut tx, 0, 5).await.unwrap();
            tx.commit().await.unwrap();
            advanced
        });
        at.place.until_waiting(1).await;
        let expected = if first_commits {
            first.commit().await.unwrap();
            Advanced::Elsewhere
        } else {
            drop(first);
            Advanced::Here
        };
        assert_eq!(second.await.unwrap(), expected);
        assert_eq!(health::cursor(&at.db).await.unwrap(), 5);
    }
}

async fn what_is_not_committed_is_not_counted(at: TestDatabase) {
    let mut tx = at.db.begin().await.unwrap();
    assert_eq!(health::advance(&mut tx, 0, 5).await.unwrap(), Advanced::Here);
    health::add_callbacks(&mut tx, &[callbacks("AC1", 1, "twilio/status", 5)]).await.unwrap();
    health::add_endings(&mut tx, &[endings("AC1", 1, "inbound", 1)]).await.unwrap();
    drop(tx);
    assert_eq!(health::cursor(&at.db).await.unwrap(), 0);
    assert_eq!(health::list_callbacks(&at.db, "acme", "AC1", 0).await.unwrap(), []);
    assert_eq!(health::list_endings(&at.db, "acme", "AC1", 0).await.unwrap(), []);
}

async fn figures_add_up_by_door_and_direction(at: TestDatabase) {
    let first = [callbacks("AC1", 1, "twilio/status", 5), callbacks("AC1", 2, "twilio/status", 7)];
    commit!(at, |tx| health::add_callbacks(tx, &first));
    let second = [
        callbacks("AC1", 2, "twilio/status", 1),
        callbacks("AC1", 2, "twilio/dial", 3),
        callbacks("AC2", 2, "twilio/status", 100),
        CallbackTally { tenant: "other".into(), ..callbacks("AC1", 2, "twilio/status", 100) },
    ];
    commit!(at, |tx| health::add_callbacks(tx, &second));
    commit!(at, |tx| health::add_callbacks(tx, &[]));
    let sums = async |from: i64| {
        let sums = health::list_callbacks(&at.db, "acme", "AC1", from * HOUR).await.unwrap();
        let row = |s: health::CallbackSum| (s.source, s.received, s.repeated, s.late, s.last_received_ms);
        sums.into_iter().map(row).collect::<Vec<_>>()
    };
    let dial = ("twilio/dial".to_owned(), 3, 1, 2, 2 * HOUR + 3);
    assert_eq!(sums(0).await, [dial.clone(), ("twilio/status".to_owned(), 13, 3, 6, 2 * HOUR + 7)]);
    assert_eq!(sums(2).await, [dial, ("twilio/status".to_owned(), 8, 2, 4, 2 * HOUR + 7)]);
    assert_eq!(sums(3).await, []);

    let correction = EndingTally {
        called_back: 1,
        reconciled: -1,
        unheard: 0,
        gaps: 0,
        gap_legs: 0,
        ..endings("AC1", 1, "outbound-dial", 0)
    };
    commit!(at, |tx| health::add_endings(
        tx,
        &[endings("AC1", 1, "outbound-dial", 1), endings("AC1", 1, "inbound", 0)]
    ));
    commit!(at, |tx| health::add_endings(tx, &[correction, endings("AC1", 2, "inbound", 5)]));
    commit!(at, |tx| health::add_endings(tx, &[]));
    let sums = health::list_endings(&at.db, "acme", "AC1", HOUR).await.unwrap();
    let row = |s: &health::EndingSum| {
        (s.direction.clone(), s.called_back, s.elsewhere, s.reconciled, s.unheard, s.gaps, s.gap_legs)
    };
    let expected = [("inbound".to_owned(), 20, 5, 4, 6, 8, 4), ("outbound-dial".to_owned(), 11, 1, 1, 3, 4, 2)];
    assert_eq!(sums.iter().map(row).collect::<Vec<_>>(), expected);
    assert_eq!(health::list_endings(&at.db, "acme", "AC2", 0).await.unwrap(), []);
}

async fn suspects_are_the_accounts_with_enough_of_it(at: TestDatabase) {
    let gaps_only = EndingTally { elsewhere: 0, reconciled: 0, unheard: 0, gaps: 9, ..endings("AC3", 5, "inbound", 0) };
    let fine = EndingTally { gaps: 0, ..gaps_only.clone() };
    let rows = [endings("AC1", 5, "inbound", 4), endings("AC2", 5, "inbound", 3), gaps_only];
    commit!(at, |tx| health::add_endings(tx, &rows));
    commit!(at, |tx| health::add_endings(
        tx,
        &[EndingTally { account: "AC4".into(), ..fine }, endings("AC5", 4, "inbound", 99)]
    ));
    let suspects = async |from: i64, limit| {
        let found = health::list_suspects(&at.db, from * HOUR, 9, limit).await.unwrap();
        found.into_iter().map(|s| s.account).collect::<Vec<_>>()
    };
    assert_eq!(suspects(5, 9).await, ["AC1", "AC3"]);
    assert_eq!(suspects(4, 9).await, ["AC1", "AC3", "AC5"]);
    assert_eq!(suspects(4, 1).await, ["AC1"]);
}

async fn silent_calls_are_those_that_no_callback_spoke_of(at: TestDatabase) {
    let rows = [
        call(1, Some(10)),
        call(2, Some(20)),
        CallRow { direction: None, ..call(3, Some(30)) },
        call(4, Some(31)),
        call(5, Some(9)),
        call(6, None),
        CallRow { account: "AC2".into(), ..call(7, Some(20)) },
        CallRow { provider: "asterisk".into(), ..call(8, Some(20)) },
        CallRow { tenant: "other".into(), ..call(9, Some(20)) },
        call(10, Some(20)),
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let spoken = [delivery("CA2", "dlv_1", "twilio/status"), delivery("CA1", "dlv_2", "twilio/voice")];
    commit!(at, |tx| deliveries::insert(tx, &spoken));
    let silent = health::list_silent(&at.db, "acme", "AC1", (10, 30), 99).await.unwrap();
    let of = |direction: &str, calls| Silent { direction: direction.into(), calls };
    assert_eq!(silent, [of("", 1), of("inbound", 2)]);
    assert_eq!(health::list_silent(&at.db, "acme", "AC1", (10, 30), 1).await.unwrap(), [of("", 1)], "the latest");
    assert_eq!(health::list_silent(&at.db, "acme", "AC3", (10, 30), 99).await.unwrap(), []);
    let suspects = health::list_silent_suspects(&at.db, (10, 30), 99, 3, 9).await.unwrap();
    assert_eq!(suspects, [Suspect { tenant: "acme".into(), account: "AC1".into() }]);
    assert_eq!(health::list_silent_suspects(&at.db, (10, 30), 99, 1, 9).await.unwrap().len(), 3);
    assert_eq!(health::list_silent_suspects(&at.db, (10, 30), 99, 1, 2).await.unwrap().len(), 2);
}

async fn what_counting_looks_up_is_found_in_sets(at: TestDatabase) {
    let other = CallRow { tenant: "other".into(), ..call(1, None) };
    commit!(at, |tx| calls::upsert(tx, &[call(1, None), call(2, None), call(3, None), other]));
    let key = |tenant: &str, n: i64| SubjectKey { tenant: tenant.into(), subject: format!("call_{n}") };
    let legs = health::list_legs(&at.db, &[key("acme", 1), key("acme", 3), key("nobody", 2)]).await.unwrap();
    let ids: BTreeSet<&str> = legs.iter().map(|leg| leg.provider_id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["CA1", "CA3"]));
    let first: LegRow = legs.iter().find(|leg| leg.id == "call_1").unwrap().clone();
    assert_eq!(
        (first.account.as_str(), first.direction.as_deref(), first.parent_id.as_deref()),
        ("AC1", Some("inbound"), None)
    );

    let entry = |subject: i64, kind, claim: &str| NewEntry {
        tenant: "acme".into(),
        kind,
        subject: format!("call_{subject}"),
        at_ms: 1,
        what: format!(r#"{{"claim":"{claim}"}}"#),
    };
    let written =
        [entry(1, CALL, "ended"), entry(1, CALL, "ringing"), entry(1, LEAD, "ended"), entry(2, CALL, "ended")];
    commit!(at, |tx| journal::append(tx, &written));
    let entries = health::list_ending_entries(&at.db, &[key("acme", 1), key("acme", 3)]).await.unwrap();
    assert_eq!(entries.iter().map(|e| (e.subject.as_str(), e.seq)).collect::<Vec<_>>(), [("call_1", 1)]);

    let rows = [delivery("CA1", "dlv_1", "twilio/dial"), delivery("CA1", "dlv_2", "twilio/status")];
    commit!(at, |tx| deliveries::insert(tx, &rows));
    let door = |provider_id: &str, id: &str| DeliveryKey {
        tenant: "acme".into(),
        provider_id: provider_id.into(),
        account: "AC1".into(),
        id: id.into(),
    };
    let doors = health::list_doors(&at.db, &[door("CA1", "dlv_1"), door("CA2", "dlv_2")]).await.unwrap();
    assert_eq!(
        doors.iter().map(|d| (d.id.as_str(), d.source.as_str())).collect::<Vec<_>>(),
        [("dlv_1", "twilio/dial")]
    );

    let signal = |provider_id: &str, identity: &str| SignalRow {
        tenant: "acme".into(),
        provider_id: provider_id.into(),
        account: "AC1".into(),
        identity: identity.into(),
        said: identity.to_uppercase(),
        received_ms: 1,
        earlier: 0,
        delivery_id: None,
    };
    commit!(at, |tx| signals::insert(tx, &[signal("CA1", "a"), signal("CA1", "b"), signal("CA2", "c")]));
    let said = health::list_said(&at.db, &[first]).await.unwrap();
    let said: BTreeSet<&str> = said.iter().map(|row| row.said.as_str()).collect();
    assert_eq!(said, BTreeSet::from(["A", "B"]));
}

async fn old_figures_go_in_pieces(at: TestDatabase) {
    let rows: Vec<_> = (1..=3).map(|hour| callbacks("AC1", hour, "twilio/status", 1)).collect();
    commit!(at, |tx| health::add_callbacks(tx, &rows));
    let rows: Vec<_> = (1..=3).map(|hour| endings("AC1", hour, "inbound", 1)).collect();
    commit!(at, |tx| health::add_endings(tx, &rows));
    assert_eq!(commit!(at, |tx| health::delete_older(tx, 3 * HOUR, 1)), 2);
    assert_eq!(commit!(at, |tx| health::delete_older(tx, 3 * HOUR, 9)), 2);
    assert_eq!(commit!(at, |tx| health::delete_older(tx, 3 * HOUR, 9)), 0);
    assert_eq!(health::list_callbacks(&at.db, "acme", "AC1", 0).await.unwrap()[0].received, 1);
    assert_eq!(health::list_endings(&at.db, "acme", "AC1", 0).await.unwrap()[0].called_back, 10);
}

async fn refused_deliveries_of_an_account_are_counted(at: TestDatabase) {
    let row = |id: &str, tenant: Option<&str>, account: &str| QuarantineRow {
        id: id.into(),
        tenant: tenant.map(str::to_owned),
        account: Some(account.into()),
        source: "twilio/status".into(),
        method: "POST".into(),
        path_and_query: "/webhooks/twilio/status".into(),
        host: None,
        content_type: None,
        signature: None,
        body: Vec::new(),
        client: None,
        verified: false,
        entry: false,
        reason: "signature-mismatch".into(),
        detail: String::new(),
        received_ms: 1,
        last_ms: 1,
        times: 1,
        bytes: 1,
    };
    let rows = [
        row("qua_1", Some("acme"), "AC1"),
        row("qua_2", None, "AC1"),
        row("qua_3", Some("acme"), "AC2"),
        row("qua_4", Some("other"), "AC1"),
    ];
    commit!(at, |tx| quarantine::keep(tx, &rows));
    assert_eq!(health::count_refused(&at.db, "acme", "AC1").await.unwrap(), 2, "also what came before it was known");
    assert_eq!(health::count_refused(&at.db, "acme", "AC3").await.unwrap(), 0);
}
