//! Notices and the audit over REST.

use super::{Asked, column, expect_problem, key_of, keyed, request, send};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::{
    directory::Scope,
    domain::{id::new_id, time::rfc3339},
    store::{
        audit::{self, AuditRow},
        notices::{self, NoticeRow},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    notices_are_listed_by_whom_they_are_for,
    a_notice_is_marked_as_read_once,
    a_notice_of_another_tenant_is_not_there,
    decisions_are_listed_newest_first,
    wrong_filters_are_named,
);

fn notice(tenant: &str, n: u128, user_id: Option<&str>) -> NoticeRow {
    NoticeRow {
        tenant: tenant.into(),
        id: new_id("note", START_MS, n),
        user_id: user_id.map(Into::into),
        kind: "call.given_up".into(),
        subject: "call_1".into(),
        text: format!("notice {n}"),
        created_ms: START_MS,
        read_ms: None,
    }
}

async fn keep(gateway: &Gateway, notices: &[NoticeRow], audited: &[AuditRow]) {
    let mut tx = gateway.db.begin().await.unwrap();
    notices::insert(&mut tx, notices).await.unwrap();
    audit::insert(&mut tx, audited).await.unwrap();
    tx.commit().await.unwrap();
}

async fn read(gateway: &Gateway, id: &str) -> Asked {
    send(request(gateway, Method::POST, &format!("/v1/notifications/{id}/read"))).await
}

async fn notices_are_listed_by_whom_they_are_for(gateway: Gateway) {
    let rows = [notice("default", 1, None), notice("default", 2, Some("ann")), notice("default", 3, Some("b b"))];
    keep(&gateway, &rows, &[]).await;
    keep(&gateway, &[notice("other", 4, Some("ann"))], &[]).await;
    let texts = async |query: &str| {
        let page = gateway.get(&format!("/v1/notifications{query}")).await;
        column(&page, "text").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(texts("").await, ["notice 3", "notice 2", "notice 1"]);
    assert_eq!(texts("?user_id=ann").await, ["notice 2"]);
    assert_eq!(texts("?user_id=b%20b").await, ["notice 3"]);
    assert_eq!(texts("?user_id=").await, ["notice 1"], "those for everybody");
    assert_eq!(texts("?user_id=nobody").await, [""; 0]);
    let first = gateway.get("/v1/notifications?limit=2").await;
    assert_eq!(column(&first, "text"), ["notice 3", "notice 2"]);
    let rest = format!("?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(texts(&rest).await, ["notice 1"]);
    assert_eq!(
        first["data"][1],
        json!({
            "id": rows[1].id, "user_id": "ann", "kind": "call.given_up", "subject": "call_1", "text": "notice 2",
            "created_at": rfc3339(START_MS), "read_at": null,
        })
    );
    assert_eq!(read(&gateway, &rows[1].id).await.status, 200);
    assert_eq!(texts("?unread=true").await, ["notice 3", "notice 1"]);
    assert_eq!(texts("?unread=false").await, ["notice 2"]);
    assert_eq!(texts("?unread=true&user_id=ann").await, [""; 0]);
}

async fn a_notice_is_marked_as_read_once(gateway: Gateway) {
    let row = notice("default", 1, None);
    keep(&gateway, std::slice::from_ref(&row), &[]).await;
    gateway.clock.advance(5_000);
    let first = read(&gateway, &row.id).await;
    assert_eq!((first.status.as_u16(), &first.body["read_at"]), (200, &json!(rfc3339(START_MS + 5_000))));
    gateway.clock.advance(5_000);
    let again = read(&gateway, &row.id).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body), "the first time stands");
    assert_eq!(gateway.get("/v1/notifications").await["data"], json!([first.body]));
    for id in ["note_none", "%00", "call_1"] {
        expect_problem(&read(&gateway, id).await, 404, "not-found");
    }
    let path = format!("/v1/notifications/{}/read", row.id);
    let (_, reader) = key_of(&gateway, "default", &[Scope::Read], None).await;
    expect_problem(&send(keyed(&gateway, &reader, Method::POST, &path)).await, 403, "scope-missing");
    let (_, writer) = key_of(&gateway, "default", &[Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &writer, Method::GET, "/v1/notifications")).await, 403, "scope-missing");
    let once = async || send(keyed(&gateway, &writer, Method::POST, &path).header("idempotency-key", "k")).await;
    assert_eq!(once().await.headers.get("idempotency-replayed"), None);
    assert!(once().await.headers.contains_key("idempotency-replayed"));
}

async fn a_notice_of_another_tenant_is_not_there(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    let row = notice("acme", 1, Some("ann"));
    let decision = decision("acme", START_MS, "call.given_up", "call_1");
    keep(&gateway, std::slice::from_ref(&row), &[decision]).await;
    let crossings = || {
        let text = gateway.metrics.render();
        let line = text.lines().find(|l| l.contains("tenant_crossing") && !l.starts_with('#')).map(str::to_owned);
        line.and_then(|l| l.rsplit(' ').next().map(str::to_owned)).unwrap().parse::<f64>().unwrap()
    };
    let before = crossings();
    expect_problem(&read(&gateway, &row.id).await, 404, "not-found");
    assert!((crossings() - before - 1.0).abs() < 0.1, "it is counted");
    for path in ["/v1/notifications", "/v1/notifications?user_id=ann", "/v1/audit", "/v1/audit?subject=call_1"] {
        assert_eq!(gateway.get(path).await["data"], json!([]), "{path}");
        let own = send(keyed(&gateway, &acme, Method::GET, path)).await.body;
        assert_eq!(column(&own, "id").len(), 1, "{path}");
    }
    let own = send(keyed(&gateway, &acme, Method::GET, "/v1/notifications")).await.body;
    assert_eq!(own["data"][0]["read_at"], Value::Null, "it was not marked");
}

fn decision(tenant: &str, at_ms: i64, action: &str, subject: &str) -> AuditRow {
    AuditRow {
        tenant: tenant.into(),
        id: new_id("audit", at_ms, 5),
        at_ms,
        actor: "sweeper".into(),
        action: action.into(),
        subject: subject.into(),
        detail: json!({"rule": "a rule", "from": "ringing"}).to_string(),
    }
}

async fn decisions_are_listed_newest_first(gateway: Gateway) {
    let rows = [
        decision("default", START_MS, "call.given_up", "call_1"),
        decision("default", START_MS + 1_000, "call.superseded", "call_1"),
        decision("default", START_MS + 2_000, "call.given_up", "call_2"),
    ];
    keep(&gateway, &[], &rows).await;
    let all = gateway.get("/v1/audit").await;
    assert_eq!(column(&all, "id"), [&rows[2].id, &rows[1].id, &rows[0].id]);
    assert_eq!(
        all["data"][2],
        json!({
            "id": rows[0].id, "at": rfc3339(START_MS), "actor": "sweeper", "action": "call.given_up",
            "subject": "call_1", "detail": {"rule": "a rule", "from": "ringing"},
        })
    );
    let subjects = async |query: &str| {
        let page = gateway.get(&format!("/v1/audit?{query}")).await;
        column(&page, "at").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let [first, second, third] = [0, 1_000, 2_000].map(|ms| rfc3339(START_MS + ms));
    assert_eq!(subjects("subject=call_1").await, [second.as_str(), &first]);
    assert_eq!(subjects("action=call.given_up").await, [third.as_str(), &first]);
    assert_eq!(subjects(&format!("since={second}")).await, [third.as_str(), &second]);
    assert_eq!(subjects(&format!("until={second}")).await, [first.as_str()]);
    let page = gateway.get("/v1/audit?subject=call_1&limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(subjects(&format!("subject=call_1&limit=1&cursor={cursor}")).await, [first.as_str()]);
    let elsewhere = send(request(&gateway, Method::GET, &format!("/v1/audit?subject=call_2&cursor={cursor}"))).await;
    expect_problem(&elsewhere, 400, "bad-cursor");
}

async fn wrong_filters_are_named(gateway: Gateway) {
    for (path, named) in [
        ("/v1/notifications?unread=maybe", "unread"),
        ("/v1/notifications?limit=201", "limit"),
        ("/v1/notifications?user=ann", "user"),
        ("/v1/notifications?user_id=%00", "user_id"),
        ("/v1/audit?since=yesterday", "since"),
        ("/v1/audit?subject=%00", "subject"),
        ("/v1/audit?actor=cli", "actor"),
    ] {
        let asked = send(request(&gateway, Method::GET, path)).await;
        expect_problem(&asked, 400, "bad-filter");
        assert!(asked.body["detail"].as_str().unwrap().contains(named), "{asked:?}");
    }
    for path in ["/v1/notifications?cursor=x", "/v1/audit?cursor=x"] {
        expect_problem(&send(request(&gateway, Method::GET, path)).await, 400, "bad-cursor");
    }
}
