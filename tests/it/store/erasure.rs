//! What a person leaves behind: found in slices, emptied or taken away by key.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    calls::{self, CallRow, LegKey},
    deliveries::{self, APPLIED, DeliveryKey, DeliveryRow, UNAPPLIED},
    erasure,
    expected::{self, ExpectedRow},
    idempotency::{self, IdempotencyRow},
    leads::{self, LeadRow},
    notices::{self, NoticeRow},
    quarantine::{self, QuarantineRow, Whose},
    signals::{self, SignalRow},
};

on_both! {
    signals_and_calls_are_rewritten,
    deliveries_are_emptied_and_keep_their_ids,
    what_is_small_goes_by_its_key,
    a_lead_is_forgotten_once_and_remembered_when_it_is_written_again,
}

fn signal(leg: &str, identity: &str) -> SignalRow {
    SignalRow {
        tenant: "acme".into(),
        provider_id: leg.into(),
        account: "AC1".into(),
        identity: identity.into(),
        said: "{}".into(),
        received_ms: 1,
        earlier: 2,
        delivery_id: Some("dlv_1".into()),
    }
}

async fn signals_and_calls_are_rewritten(at: TestDatabase) {
    let rows = [signal("CA1", "a"), signal("CA1", "b"), signal("CA2", "a")];
    commit!(at, |tx| signals::insert(tx, &rows));
    commit!(at, |tx| signals::insert(tx, &[SignalRow { tenant: "other".into(), ..signal("CA1", "a") }]));
    let stored: Vec<SignalRow> = erasure::list_signals(&at.db, "acme", ("", "", ""), 9).await.unwrap();
    assert_eq!(stored.len(), 3);
    assert_eq!(erasure::list_signals(&at.db, "acme", ("CA1", "AC1", "a"), 1).await.unwrap(), stored[1..2]);
    let new = SignalRow { said: r#"{"x":1}"#.into(), received_ms: 99, ..stored[0].clone() };
    assert_eq!(commit!(at, |tx| erasure::rewrite_signals(tx, std::slice::from_ref(&new))), 1);
    assert_eq!(commit!(at, |tx| erasure::rewrite_signals(tx, &[])), 0);
    let now = erasure::list_signals(&at.db, "acme", ("", "", ""), 1).await.unwrap();
    assert_eq!(now, [SignalRow { said: new.said, ..stored[0].clone() }], "only what it says");

    let call = CallRow {
        tenant: "acme".into(),
        provider_id: "CA1".into(),
        account: "AC1".into(),
        id: "call_1".into(),
        registers: "{}".into(),
        from: Some("+1".into()),
        status: "completed".into(),
        due_at_ms: Some(7),
        ..CallRow::default()
    };
    commit!(at, |tx| calls::upsert(tx, std::slice::from_ref(&call)));
    let new = CallRow { from: None, registers: "{1}".into(), due_at_ms: None, status: "busy".into(), ..call.clone() };
    assert_eq!(commit!(at, |tx| erasure::rewrite_calls(tx, std::slice::from_ref(&new))), 1);
    assert_eq!(commit!(at, |tx| erasure::rewrite_calls(tx, &[])), 0);
    let now = calls::find(&at.db, "acme", "call_1", None).await.unwrap();
    assert_eq!(now, [CallRow { from: None, registers: "{1}".into(), ..call }], "neither status nor deadline");
}

async fn deliveries_are_emptied_and_keep_their_ids(at: TestDatabase) {
    let row = |leg: &str, id: &str, state: &str| DeliveryRow {
        tenant: "acme".into(),
        provider_id: leg.into(),
        account: "AC1".into(),
        id: id.into(),
        source: "twilio/status".into(),
        method: "POST".into(),
        query: b"q".to_vec(),
        body: b"b".to_vec(),
        received_ms: 1,
        verified: true,
        state: state.into(),
        reason: None,
        attempts: 0,
        retry_at_ms: None,
    };
    let rows = [row("CA1", "a", APPLIED), row("CA1", "b", APPLIED), row("CA2", "c", APPLIED)];
    commit!(at, |tx| deliveries::insert(tx, &rows));
    commit!(at, |tx| deliveries::insert_unapplied(tx, &row("CA1", "d", UNAPPLIED)));
    let start =
        DeliveryKey { tenant: "acme".into(), provider_id: String::new(), account: String::new(), id: String::new() };
    let all = erasure::list_deliveries(&at.db, &start, 9).await.unwrap();
    assert_eq!(all.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b", "d", "c"]);
    let leg = LegKey { tenant: "acme".into(), provider_id: "CA1".into(), account: "AC1".into() };
    assert_eq!(commit!(at, |tx| erasure::empty_deliveries(tx, &leg)), 2);
    assert_eq!(commit!(at, |tx| erasure::empty_deliveries(tx, &leg)), 0, "once");
    assert_eq!(commit!(at, |tx| erasure::delete_unapplied(tx, &leg)), 1);
    let now = erasure::list_deliveries(&at.db, &start, 9).await.unwrap();
    let said: Vec<_> = now.iter().map(|row| (row.id.as_str(), row.query.len() + row.body.len())).collect();
    assert_eq!(said, [("a", 0), ("b", 0), ("c", 2)]);
    assert_eq!(commit!(at, |tx| deliveries::insert(tx, &[row("CA1", "a", APPLIED)])), [], "it is known");
}

async fn what_is_small_goes_by_its_key(at: TestDatabase) {
    let announced = |id: &str| ExpectedRow {
        tenant: "acme".into(),
        id: id.into(),
        account: "AC1".into(),
        to: "+1".into(),
        from: None,
        lead_id: None,
        user_id: None,
        extension: None,
        created_ms: 1,
        expires_ms: 2,
        matched: None,
    };
    let answer = |key: &str| IdempotencyRow {
        tenant: "acme".into(),
        key: key.into(),
        request: vec![1],
        status: 201,
        body: key.as_bytes().to_vec(),
        created_ms: 1,
    };
    let refused = |id: &str, tenant: Option<&str>| QuarantineRow {
        id: id.into(),
        tenant: tenant.map(str::to_owned),
        account: None,
        source: "twilio/status".into(),
        method: "POST".into(),
        path_and_query: "/".into(),
        host: None,
        content_type: None,
        signature: None,
        body: b"x".to_vec(),
        client: None,
        verified: false,
        entry: false,
        reason: "unsigned".into(),
        detail: "d".into(),
        received_ms: 1,
        last_ms: 1,
        times: 1,
        bytes: 1,
    };
    let notice = |id: &str, subject: &str| NoticeRow {
        tenant: "acme".into(),
        id: id.into(),
        user_id: None,
        kind: "k".into(),
        subject: subject.into(),
        text: "t".into(),
        created_ms: 1,
        read_ms: None,
    };
    for id in ["a", "b"] {
        commit!(at, |tx| expected::insert(tx, &announced(id)));
        commit!(at, |tx| idempotency::insert(tx, &answer(id)));
    }
    commit!(at, |tx| notices::insert(tx, &[notice("1", "s"), notice("2", "s"), notice("3", "other")]));
    let rows = [refused("a", Some("acme")), refused("b", None), refused("c", Some("other"))];
    commit!(at, |tx| quarantine::keep(tx, &rows));

    let ids = |rows: Vec<QuarantineRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(erasure::list_refused(&at.db, Whose::Operator("acme"), "", 9).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(erasure::list_refused(&at.db, Whose::Operator("acme"), "a", 9).await.unwrap()), ["b"]);
    assert_eq!(ids(erasure::list_refused(&at.db, Whose::Tenant("acme"), "", 9).await.unwrap()), ["a"]);
    assert_eq!(erasure::list_expected(&at.db, "acme", "a", 9).await.unwrap(), [announced("b")]);
    let remembered = erasure::list_remembered(&at.db, "acme", "", 1).await.unwrap();
    assert_eq!((remembered.len(), remembered[0].body.as_slice()), (1, b"a".as_slice()));
    for gone in [1, 0] {
        assert_eq!(commit!(at, |tx| erasure::delete_expected(tx, "acme", "a")), gone);
        assert_eq!(commit!(at, |tx| erasure::delete_remembered(tx, "acme", "a")), gone);
        assert_eq!(commit!(at, |tx| erasure::delete_notices(tx, "acme", "s")), gone * 2);
    }
    assert_eq!(commit!(at, |tx| erasure::delete_expected(tx, "other", "b")), 0);
    assert_eq!(notices::list_of_subject(&at.db, "acme", "other", 9).await.unwrap().len(), 1);
}

async fn a_lead_is_forgotten_once_and_remembered_when_it_is_written_again(at: TestDatabase) {
    let lead = LeadRow {
        tenant: "acme".into(),
        id: "l".into(),
        name: Some("Ann".into()),
        phone: Some("+1".into()),
        phone_e164: Some("+1".into()),
        status: "won".into(),
        status_written_ms: Some(3),
        last_contacted_ms: Some(4),
        created_ms: 1,
        updated_ms: 2,
        forgotten_ms: None,
    };
    commit!(at, |tx| leads::insert(tx, &lead));
    for (now_ms, changed) in [(9, 1), (10, 0)] {
        assert_eq!(commit!(at, |tx| erasure::forget_lead(tx, "acme", "l", now_ms)), changed);
    }
    let (name, phone, phone_e164) = (None, None, None);
    let gone = LeadRow { name, phone, phone_e164, updated_ms: 9, forgotten_ms: Some(9), ..lead };
    assert_eq!(leads::find(&at.db, "acme", "l").await.unwrap().unwrap().row, gone);
    let write = |name: Option<&str>| leads::LeadWrite {
        tenant: "acme".into(),
        id: "l".into(),
        name: name.map(str::to_owned),
        phone: None,
        phone_e164: None,
        status: None,
        last_contacted_ms: None,
        now_ms: 20,
    };
    let forgotten = async || leads::find(&at.db, "acme", "l").await.unwrap().unwrap().row.forgotten_ms;
    commit!(at, |tx| leads::import(tx, &[write(None)]));
    assert_eq!(forgotten().await, Some(9));
    commit!(at, |tx| leads::put(tx, &write(None)));
    assert_eq!(forgotten().await, Some(9));
    commit!(at, |tx| leads::import(tx, &[write(Some("Bob"))]));
    assert_eq!(forgotten().await, None, "somebody is known by this id again");
    assert_eq!(commit!(at, |tx| erasure::forget_lead(tx, "acme", "l", 30)), 1);
    commit!(at, |tx| leads::put(tx, &write(Some("Bob"))));
    assert_eq!(forgotten().await, None);
}
