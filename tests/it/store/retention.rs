//! Pruning: what is found, and what is taken away by key.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    audit::{self, AuditRow},
    calls::{self, CallRow, LegKey},
    deliveries::{self, APPLIED, DeliveryKey, DeliveryRow, UNAPPLIED},
    health,
    journal::{self, CALL, NewEntry},
    notices::{self, NoticeRow},
    retention,
    signals::{self, SignalRow},
    sweeps::{self, SweepFigure, SweepRow},
};

on_both! {
    signals_of_old_calls_that_are_over_go,
    deliveries_go_unless_they_are_unapplied,
    the_journal_goes_as_far_as_it_was_read,
    what_has_an_index_by_time_goes_some_at_a_time,
}

fn key(leg: &str) -> LegKey {
    LegKey { tenant: "acme".into(), provider_id: leg.into(), account: "AC1".into() }
}

fn call(leg: &str, over: Option<i64>, last_signal_ms: i64) -> CallRow {
    CallRow {
        tenant: "acme".into(),
        provider_id: leg.into(),
        account: "AC1".into(),
        id: format!("call_{leg}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: if over.is_some() { "completed" } else { "ringing" }.into(),
        resolution: over.map(|_| "callback".into()),
        ended_at_ms: over,
        last_signal_ms,
        ..CallRow::default()
    }
}

fn signal(leg: &str, identity: &str) -> SignalRow {
    SignalRow {
        tenant: "acme".into(),
        provider_id: leg.into(),
        account: "AC1".into(),
        identity: identity.into(),
        said: "{}".into(),
        received_ms: 1,
        earlier: 0,
        delivery_id: None,
    }
}

async fn signals_of_old_calls_that_are_over_go(at: TestDatabase) {
    let merged = CallRow { merged_into: Some("x".into()), ..call("e", None, 5) };
    let rows = [call("a", Some(5), 5), call("b", None, 5), call("c", Some(5), 50), call("d", Some(50), 5), merged];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let said: Vec<SignalRow> =
        ["a", "b", "c", "d", "e"].iter().flat_map(|leg| [signal(leg, "1"), signal(leg, "2")]).collect();
    commit!(at, |tx| signals::insert(tx, &said));

    let names = |legs: Vec<retention::LegAge>| legs.into_iter().map(|leg| leg.provider_id).collect::<Vec<_>>();
    let start = LegKey { tenant: String::new(), provider_id: String::new(), account: String::new() };
    let all = retention::list_legs(&at.db, &start, 9).await.unwrap();
    assert_eq!(
        (all[0].ended_at_ms, all[0].last_signal_ms, all[0].resolution.as_deref()),
        (Some(5), 5, Some("callback"))
    );
    assert_eq!(names(all), ["a", "b", "c", "d", "e"]);
    assert_eq!(names(retention::list_legs(&at.db, &key("b"), 2).await.unwrap()), ["c", "d"]);
    assert_eq!(names(retention::list_legs(&at.db, &key("e"), 2).await.unwrap()), [""; 0]);

    let keys: Vec<LegKey> = ["a", "b", "c", "d", "e"].map(key).to_vec();
    let mut marked = commit!(at, |tx| retention::mark_pruned(tx, &keys, 10, 77));
    marked.sort();
    assert_eq!(marked, [key("a"), key("e")], "over, ended before and silent since before");
    let mut pruned = retention::list_pruned(&at.db, &keys).await.unwrap();
    pruned.sort();
    assert_eq!(pruned, marked);
    assert_eq!(retention::list_pruned(&at.db, &[]).await.unwrap(), []);
    assert_eq!(commit!(at, |tx| retention::delete_signals(tx, &marked, 3)), 3, "no more than asked for");
    assert_eq!(commit!(at, |tx| retention::delete_signals(tx, &marked, 3)), 1);
    assert_eq!(commit!(at, |tx| retention::delete_signals(tx, &[], 3)), 0);
    assert_eq!(names(retention::list_legs(&at.db, &start, 9).await.unwrap()), ["b", "c", "d"]);
    // Whatever else writes the call leaves the mark.
    commit!(at, |tx| calls::upsert(tx, &rows));
    assert_eq!(retention::list_pruned(&at.db, &keys).await.unwrap().len(), 2);
}

async fn deliveries_go_unless_they_are_unapplied(at: TestDatabase) {
    let row = |id: &str, received_ms: i64, state: &str| DeliveryRow {
        tenant: "acme".into(),
        provider_id: "CA1".into(),
        account: "AC1".into(),
        id: id.into(),
        source: "twilio/status".into(),
        method: "POST".into(),
        query: Vec::new(),
        body: b"x".to_vec(),
        received_ms,
        verified: true,
        state: state.into(),
        reason: None,
        attempts: 0,
        retry_at_ms: None,
    };
    let rows = [row("a", 5, APPLIED), row("b", 50, APPLIED), row("d", 5, APPLIED)];
    commit!(at, |tx| deliveries::insert(tx, &rows));
    commit!(at, |tx| deliveries::insert_unapplied(tx, &row("c", 5, UNAPPLIED)));
    let start =
        DeliveryKey { tenant: String::new(), provider_id: String::new(), account: String::new(), id: String::new() };
    let all = retention::list_deliveries(&at.db, &start, 9).await.unwrap();
    let ids = |rows: &[retention::DeliveryAge]| rows.iter().map(|row| row.key.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all), ["a", "b", "c", "d"]);
    assert_eq!((all[2].received_ms, all[2].state.as_str()), (5, UNAPPLIED));
    assert_eq!(ids(&retention::list_deliveries(&at.db, &all[1].key, 1).await.unwrap()), ["c"]);
    let keys: Vec<DeliveryKey> = all.iter().take(3).map(|row| row.key.clone()).collect();
    assert_eq!(commit!(at, |tx| retention::delete_deliveries(tx, &keys, 10)), 1);
    assert_eq!(commit!(at, |tx| retention::delete_deliveries(tx, &[], 10)), 0);
    assert_eq!(ids(&retention::list_deliveries(&at.db, &start, 9).await.unwrap()), ["b", "c", "d"]);
}

async fn the_journal_goes_as_far_as_it_was_read(at: TestDatabase) {
    let entry = |at_ms| NewEntry { tenant: "acme".into(), kind: CALL, subject: "c".into(), at_ms, what: "{}".into() };
    commit!(at, |tx| journal::append(tx, &[entry(1), entry(2), entry(99), entry(3), entry(4)]));
    let all = retention::list_entries(&at.db, 0, 9).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.at_ms).collect::<Vec<_>>(), [1, 2, 99, 3, 4]);
    assert_eq!(retention::list_entries(&at.db, all[2].seq, 1).await.unwrap(), [all[3]]);
    let delete = async |from: usize, to: usize| {
        let between = (all[from].seq - 1, all[to].seq);
        commit!(at, |tx| retention::delete_entries(tx, between, 10))
    };
    assert_eq!(delete(0, 4).await, 0, "nobody has counted them");
    commit!(at, |tx| health::advance(tx, 0, all[3].seq));
    assert_eq!(delete(1, 1).await, 1);
    assert_eq!(delete(0, 4).await, 2, "what is new stays, and what was not counted");
    let left = retention::list_entries(&at.db, 0, 9).await.unwrap();
    assert_eq!(left, [all[2], all[4]]);
}

async fn what_has_an_index_by_time_goes_some_at_a_time(at: TestDatabase) {
    for n in 1..=4_i64 {
        let (tenant, id) = ("acme".to_owned(), format!("x_{n}"));
        let notice = NoticeRow {
            tenant: tenant.clone(),
            id: id.clone(),
            user_id: None,
            kind: "k".into(),
            subject: "s".into(),
            text: "t".into(),
            created_ms: n,
            read_ms: (n == 1).then_some(9),
        };
        let sweep = SweepRow { tenant: tenant.clone(), id: id.clone(), started_ms: n, ..SweepRow::default() };
        let figure = SweepFigure { tenant: tenant.clone(), hour_ms: n, ..SweepFigure::default() };
        let decision = AuditRow {
            tenant,
            id,
            at_ms: n,
            actor: "cli".into(),
            action: "a".into(),
            subject: "s".into(),
            detail: "{}".into(),
        };
        commit!(at, |tx| notices::insert(tx, std::slice::from_ref(&notice)));
        commit!(at, |tx| sweeps::insert(tx, &sweep));
        commit!(at, |tx| sweeps::add(tx, std::slice::from_ref(&figure)));
        commit!(at, |tx| audit::insert(tx, std::slice::from_ref(&decision)));
    }
    for (limit, gone) in [(2, 2), (2, 1), (2, 0)] {
        assert_eq!(commit!(at, |tx| retention::delete_notices(tx, 4, limit)), gone);
        assert_eq!(commit!(at, |tx| retention::delete_sweeps(tx, 4, limit)), gone);
        assert_eq!(commit!(at, |tx| retention::delete_sweep_figures(tx, 4, limit)), gone);
        assert_eq!(commit!(at, |tx| retention::delete_audit(tx, 4, limit)), gone);
    }
    assert_eq!(notices::list_of_subject(&at.db, "acme", "s", 9).await.unwrap().len(), 1);
    assert_eq!(audit::list_of_subject(&at.db, "acme", "s", 9).await.unwrap().len(), 1);
    assert_eq!(sweeps::list(&at.db, "acme", None, 9).await.unwrap().len(), 1);
}
