//! What an operator sees: metrics counted from the database, and `/readyz`.

use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways},
};
use onhook::{
    domain::time::{MINUTE, SECOND},
    store::{
        calls::{self, CallRow},
        watch::{self, WatchRow},
    },
    telemetry::CallFigures,
};
use serde_json::{Value, json};

on_both_gateways! {
    live_calls_are_counted_from_the_database,
    an_account_that_cannot_be_asked_degrades_and_does_not_unready,
    trouble_is_over_when_nobody_waits_for_an_answer,
    many_accounts_in_trouble_are_counted_and_none_is_named,
}

on_both! { a_sweeper_that_does_not_sweep_is_late, where_nobody_sweeps_by_itself_nothing_is_late }

fn call(n: u32, status: &str, alive_ms: i64, due_at_ms: Option<i64>) -> CallRow {
    CallRow {
        tenant: "default".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: status.into(),
        alive_ms: Some(alive_ms),
        due_at_ms,
        ..CallRow::default()
    }
}

fn troubled(account: &str, trouble: &str, detail: &str) -> WatchRow {
    WatchRow {
        tenant: "default".into(),
        account: account.into(),
        base: "https://api.twilio.com".into(),
        lease_until_ms: START_MS,
        trouble: Some(trouble.into()),
        detail: Some(detail.into()),
        failing_since_ms: Some(START_MS - MINUTE),
        failures: 2,
        ..WatchRow::default()
    }
}

async fn keep(gateway: &Gateway, rows: &[WatchRow]) {
    let mut tx = gateway.db.begin().await.unwrap();
    for row in rows {
        watch::release(&mut tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
    gateway.sweeper.observer().tick().await.unwrap();
}

async fn ready(gateway: &Gateway) -> Value {
    let response = gateway.client.get(format!("{}/readyz", gateway.address)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn has(gateway: &Gateway, line: &str) -> bool {
    gateway.metrics.render().lines().any(|found| found == line)
}

async fn live_calls_are_counted_from_the_database(gateway: Gateway) {
    let rows = [
        call(1, "ringing", START_MS - 10 * MINUTE, Some(START_MS - 90 * SECOND)),
        call(2, "in-progress", START_MS - 10 * MINUTE, Some(START_MS + 1)),
        call(3, "in-progress", START_MS - 60 * MINUTE, Some(START_MS + 1)),
        call(4, "queued", START_MS, Some(START_MS - 1)),
        call(5, "completed", START_MS - 600 * MINUTE, None),
    ];
    let mut tx = gateway.db.begin().await.unwrap();
    calls::upsert(&mut tx, &rows).await.unwrap();
    tx.commit().await.unwrap();
    let figures = gateway.sweeper.observer().tick().await.unwrap();
    let wanted =
        CallFigures { live: 4, stuck_warn: 1, stuck_critical: 1, due: 2, due_for_ms: 90 * SECOND, follow_ups: 0 };
    assert_eq!(figures, wanted);
    for line in [
        "onhook_calls_live 4",
        r#"onhook_calls_stuck{level="warn"} 1"#,
        r#"onhook_calls_stuck{level="critical"} 1"#,
        "onhook_calls_due 2",
        "onhook_calls_due_oldest_age_seconds 90.0",
    ] {
        assert!(has(&gateway, line), "{line} is missing in\n{}", gateway.metrics.render());
    }
    let ready = ready(&gateway).await;
    assert_eq!(
        (&ready["status"], &ready["details"]),
        (&json!("ok"), &json!([])),
        "stuck calls are no fault of the gateway"
    );
}

async fn an_account_that_cannot_be_asked_degrades_and_does_not_unready(gateway: Gateway) {
    let detail = "list the calls: the credentials are refused (401)";
    let rows = [
        troubled(ACCOUNT, "refused", detail),
        troubled("AC00000000000000000000000000000002", "blind", "look: not found"),
        troubled("AC00000000000000000000000000000003", "too-many", "list the calls: 429"),
        troubled("AC00000000000000000000000000000004", "a-word-of-tomorrow", "…"),
    ];
    keep(&gateway, &rows).await;
    let answer = ready(&gateway).await;
    assert_eq!(answer["ready"], true);
    assert_eq!(answer["status"], "degraded");
    let kinds: Vec<&Value> = answer["details"].as_array().unwrap().iter().map(|detail| &detail["kind"]).collect();
    assert_eq!(kinds, ["account-credentials-refused", "account-cannot-see-its-calls", "provider-unreachable"]);
    // Whoever asks needs no key.
    for secret in ["AC0000", "api.twilio.com", "401", "not found", "429"] {
        assert!(!answer.to_string().contains(secret), "{secret} in {answer}");
    }
    let first = &answer["details"][0];
    assert_eq!(first["accounts"], 1);
    assert_eq!(first["since"], "2026-01-02T03:03:05.000Z");
    assert!(first["why"].as_str().unwrap().contains("refuses the credentials"), "{first}");
    assert!(first["fix"].as_str().unwrap().contains("onhook accounts rotate"), "{first}");
    for (trouble, count) in [("refused", 1), ("blind", 1), ("too-many", 1), ("unreachable", 0)] {
        let line = format!(r#"onhook_provider_unreachable_accounts{{trouble="{trouble}"}} {count}"#);
        assert!(has(&gateway, &line), "{line}");
    }

    let mended = rows.map(|row| WatchRow { trouble: None, failing_since_ms: None, ..row });
    keep(&gateway, &mended).await;
    let answer = ready(&gateway).await;
    assert_eq!((&answer["status"], &answer["details"]), (&json!("ok"), &json!([])));
    assert!(has(&gateway, r#"onhook_provider_unreachable_accounts{trouble="refused"} 0"#));
}

/// An account is asked only while a call is due: a minute of trouble in the night is not shown all day.
async fn trouble_is_over_when_nobody_waits_for_an_answer(gateway: Gateway) {
    let rows = [troubled("AC1", "unreachable", "list the calls: no answer"), troubled("AC2", "refused", "list: 401")];
    keep(&gateway, &rows).await;
    let kinds = async |gateway: &Gateway| -> Vec<Value> {
        gateway.sweeper.tick().await.unwrap();
        gateway.sweeper.observer().tick().await.unwrap();
        let details = ready(gateway).await["details"].as_array().unwrap().clone();
        details.into_iter().map(|detail| detail["kind"].clone()).collect()
    };
    gateway.clock.advance(20 * MINUTE);
    assert_eq!(kinds(&gateway).await, ["account-credentials-refused", "provider-unreachable"]);
    gateway.clock.advance(1);
    assert_eq!(kinds(&gateway).await, ["account-credentials-refused"]);
    gateway.clock.advance(24 * 60 * MINUTE);
    assert_eq!(kinds(&gateway).await, Vec::<Value>::new());
}

async fn a_sweeper_that_does_not_sweep_is_late(at: TestDatabase) {
    // It sleeps for its interval, which this test never lets pass.
    let gateway = Gateway::on(&at, &[("ONHOOK_SWEEP_INTERVAL", "10m")]).await;
    let status = async |gateway: &Gateway| {
        gateway.sweeper.observer().tick().await.unwrap();
        ready(gateway).await
    };
    // Five intervals from the start.
    gateway.clock.advance(50 * MINUTE);
    assert_eq!(status(&gateway).await["status"], "ok");
    gateway.clock.advance(1);
    let late = status(&gateway).await;
    assert_eq!(late["status"], "degraded");
    assert_eq!((&late["details"][0]["kind"], &late["details"][0]["accounts"]), (&json!("sweeper-late"), &json!(0)));
    assert_eq!(late["details"][0]["since"], "2026-01-02T03:04:05.000Z");

    gateway.sweeper.tick().await.unwrap();
    assert_eq!(status(&gateway).await["status"], "ok");
    gateway.clock.advance(50 * MINUTE + 1);
    assert_eq!(status(&gateway).await["details"][0]["since"], "2026-01-02T03:54:05.001Z", "since the last one");
    // A clock that is set back says nothing of the sweeper.
    gateway.clock.advance(-60 * MINUTE);
    assert_eq!(status(&gateway).await["status"], "ok");
}

async fn where_nobody_sweeps_by_itself_nothing_is_late(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[("ONHOOK_SWEEP_INTERVAL", "0")]).await;
    gateway.clock.advance(24 * 60 * MINUTE);
    gateway.sweeper.observer().tick().await.unwrap();
    assert_eq!(ready(&gateway).await["status"], "ok");
    assert!(has(&gateway, "onhook_sweep_interval_seconds 0.0"));
}

async fn many_accounts_in_trouble_are_counted_and_none_is_named(gateway: Gateway) {
    let since = |n: i64| Some(START_MS - n * MINUTE);
    let row = |n: i64| troubled(&format!("AC{n:02}"), if n < 7 { "too-many" } else { "unreachable" }, "list the calls");
    let rows: Vec<WatchRow> = (0..30).map(|n| WatchRow { failing_since_ms: since(n), ..row(n) }).collect();
    keep(&gateway, &rows).await;
    let answer = ready(&gateway).await;
    let details = answer["details"].as_array().unwrap();
    assert_eq!((details.len(), &details[0]["accounts"]), (1, &json!(30)), "{answer}");
    assert_eq!(details[0]["since"], "2026-01-02T02:35:05.000Z", "the first of them");
    assert!(has(&gateway, r#"onhook_provider_unreachable_accounts{trouble="unreachable"} 23"#));
}
