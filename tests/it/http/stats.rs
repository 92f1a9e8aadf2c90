//! Statistics and reports over REST.

use super::{callback, expect_problem, key_of, keyed, request, send, sid};
use crate::support::gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways};
use onhook::{
    directory::Scope,
    domain::{
        id::new_id,
        time::{DAY, HOUR, rfc3339},
    },
    store::{
        health::{self, EndingTally},
        notices::{self, NoticeRow},
        sweeps::{self, SweepFigure},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    what_the_calls_of_a_day_came_to,
    a_report_stands_beside_the_day_before,
    another_tenant_has_its_own_figures,
    wrong_times_are_named,
);

/// A day's calls: one answered and over after 20 s, one busy, one that rings.
async fn calls(gateway: &Gateway, first: u32) {
    for n in first..first + 3 {
        callback(gateway, &sid(n), "ringing", &format!("lead_id=lead-{n}"), &[]).await;
    }
    gateway.clock.advance(20_000);
    callback(gateway, &sid(first), "completed", &format!("lead_id=lead-{first}"), &[("CallDuration", "17")]).await;
    callback(gateway, &sid(first + 1), "busy", "", &[]).await;
}

/// What was swept, told and counted of callbacks in the hour that holds this moment.
async fn background(gateway: &Gateway, at_ms: i64, n: i64) {
    let hour_ms = at_ms - at_ms.rem_euclid(HOUR);
    let mut tx = gateway.db.begin().await.unwrap();
    let figure = SweepFigure {
        tenant: "default".into(),
        hour_ms,
        sweeps: n,
        looked: 6 * n,
        alive: 3 * n,
        repaired: 2 * n,
        given_up: n,
        skipped: 0,
    };
    sweeps::add(&mut tx, &[figure]).await.unwrap();
    let notice = NoticeRow {
        tenant: "default".into(),
        id: new_id("note", at_ms, 1),
        user_id: None,
        kind: "call.given_up".into(),
        subject: "call_1".into(),
        text: "text".into(),
        created_ms: at_ms,
        read_ms: None,
    };
    notices::insert(&mut tx, &[notice]).await.unwrap();
    let ending = EndingTally {
        tenant: "default".into(),
        account: ACCOUNT.into(),
        hour_ms,
        direction: "outbound-api".into(),
        called_back: 3,
        elsewhere: 0,
        reconciled: 2 * n,
        unheard: n,
        gaps: 0,
        gap_legs: 0,
    };
    health::add_endings(&mut tx, &[ending]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn what_the_calls_of_a_day_came_to(gateway: Gateway) {
    let empty = gateway.get("/v1/stats").await;
    assert_eq!((&empty["calls"], &empty["answer_rate"]), (&json!(0), &Value::Null));
    assert_eq!(empty["time_to_end_seconds"], json!({"p50": null, "p95": null, "max": null}));
    calls(&gateway, 1).await;
    background(&gateway, START_MS, 2).await;
    gateway.clock.advance(15 * 60_000);
    let now_ms = START_MS + 20_000 + 15 * 60_000;
    let expected = json!({
        "since": rfc3339(now_ms - DAY), "until": rfc3339(now_ms), "calls": 3,
        "calls_by_status": {
            "queued": 0, "initiated": 0, "ringing": 1, "in-progress": 0, "completed": 1, "busy": 1, "no-answer": 0,
            "canceled": 0, "failed": 0,
        },
        "live": 1, "stuck": {"warn": 1, "critical": 0}, "live_with_duration": 0,
        "time_to_end_seconds": {"p50": 20, "p95": 20, "max": 20},
        "failure_rate": [{
            "direction": "outbound-api", "calls": 3, "ended": 2,
            "outcomes": {"completed": 1, "failed": 0, "busy": 1, "no-answer": 0, "canceled": 0},
            "rate": 0.0, "talk_seconds": 17,
        }],
        "answer_rate": 0.5,
        "resolutions": {"callback": 2, "reconciled": 0, "manual": 0, "inferred": 0},
        "sweeps": {"sweeps": 2, "looked": 12, "alive": 6, "repaired": 4, "given_up": 2, "skipped": 0},
        "leads_contacted": 1, "talk_seconds": 17,
    });
    assert_eq!(gateway.get("/v1/stats").await, expected);
    // Of another time there are no calls, but what lives now lives.
    let until = rfc3339(START_MS);
    let before = gateway.get(&format!("/v1/stats?until={until}")).await;
    assert_eq!((&before["calls"], &before["live"], &before["stuck"]["warn"]), (&json!(0), &json!(1), &json!(1)));
    let since = rfc3339(START_MS);
    assert_eq!(gateway.get(&format!("/v1/stats?since={since}")).await["calls"], 3);
    // A live call with a recording that is over is worth a look.
    let (call, of) = (sid(9), format!("RE{:032x}", 9));
    callback(&gateway, &call, "in-progress", "", &[]).await;
    let parameters = [
        ("CallSid", call.as_str()),
        ("AccountSid", ACCOUNT),
        ("RecordingSid", &of),
        ("RecordingStatus", "completed"),
        ("RecordingDuration", "5"),
        ("RecordingUrl", "https://api.twilio.com/r"),
    ];
    let path = "/webhooks/twilio/recording";
    let body = serde_urlencoded::to_string(parameters).unwrap();
    let form = onhook::twilio::form::Form::parse(body.as_bytes()).ok();
    let url = format!("{}{path}", crate::support::gateway::PUBLIC_URL);
    let signature = onhook::twilio::signature::sign(crate::support::gateway::TOKEN, &url, form.as_ref());
    let posted = gateway.client.post(format!("{}{path}", gateway.address)).body(body);
    let posted =
        posted.header("content-type", "application/x-www-form-urlencoded").header("x-twilio-signature", signature);
    assert!(posted.send().await.unwrap().status().is_success());
    assert_eq!(gateway.get("/v1/stats").await["live_with_duration"], 1);
}

async fn a_report_stands_beside_the_day_before(gateway: Gateway) {
    calls(&gateway, 1).await;
    background(&gateway, START_MS, 1).await;
    gateway.clock.advance(DAY);
    calls(&gateway, 11).await;
    callback(&gateway, &sid(14), "failed", "", &[]).await;
    background(&gateway, START_MS + DAY, 2).await;
    // The day after both.
    gateway.clock.advance(DAY);
    let report = gateway.get("/v1/reports/daily").await;
    assert_eq!((&report["period"], &report["every"]), (&json!("2026-01-03"), &json!("daily")));
    let (figures, before) = (&report["figures"], &report["before"]);
    assert_eq!(
        (&figures["since"], &figures["until"]),
        (&json!("2026-01-03T00:00:00.000Z"), &json!("2026-01-04T00:00:00.000Z"))
    );
    assert_eq!((&before["since"], &before["until"]), (&json!("2026-01-02T00:00:00.000Z"), &figures["since"]));
    let of = |figures: &Value| {
        ["calls", "live", "leads_contacted", "talk_seconds"].map(|name| figures[name].as_i64().unwrap())
    };
    assert_eq!((of(figures), of(before)), ([4, 1, 1, 17], [3, 1, 1, 17]), "each has its own live calls");
    assert_eq!((&figures["failure_rate"][0]["rate"], &before["failure_rate"][0]["rate"]), (&json!(0.333), &json!(0.0)));
    assert_eq!((&figures["sweeps"]["given_up"], &before["sweeps"]["given_up"]), (&json!(2), &json!(1)));
    assert_eq!(report["accounts"], json!([{"account": ACCOUNT, "ended": 9, "missing": 6, "gaps": 0}]));
    assert_eq!(
        (&report["notices"], &report["notices_before"]),
        (&json!({"call.given_up": 1}), &json!({"call.given_up": 1}))
    );

    let first = gateway.get("/v1/reports/daily?date=2026-01-02").await;
    assert_eq!((of(&first["figures"]), of(&first["before"])), ([3, 1, 1, 17], [0, 0, 0, 0]));
    let today = gateway.get("/v1/reports/daily?date=2026-01-04").await;
    assert_eq!((of(&today["figures"])[0], of(&today["before"])[0]), (0, 4), "it is not over");
    let week = gateway.get("/v1/reports/weekly?week=2026-W01").await;
    assert_eq!((&week["period"], &week["every"]), (&json!("2026-W01"), &json!("weekly")));
    assert_eq!((of(&week["figures"]), &week["figures"]["since"]), ([7, 2, 2, 34], &json!("2025-12-29T00:00:00.000Z")));
    assert_eq!(week["notices"], json!({"call.given_up": 2}));
    assert_eq!(gateway.get("/v1/reports/weekly").await["period"], "2025-W52", "the last one that is over");
}

async fn another_tenant_has_its_own_figures(gateway: Gateway) {
    calls(&gateway, 1).await;
    background(&gateway, START_MS, 1).await;
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    for path in ["/v1/stats", "/v1/reports/daily?date=2026-01-02", "/v1/reports/weekly?week=2026-W01"] {
        let own = send(keyed(&gateway, &acme, Method::GET, path)).await;
        assert_eq!(own.status, 200);
        let figures = if path == "/v1/stats" { &own.body } else { &own.body["figures"] };
        for name in ["calls", "live", "leads_contacted", "talk_seconds"] {
            assert_eq!(figures[name], 0, "{path} {name}");
        }
        assert_eq!((&figures["sweeps"]["sweeps"], &figures["failure_rate"]), (&json!(0), &json!([])), "{path}");
        if path != "/v1/stats" {
            assert_eq!((&own.body["accounts"], &own.body["notices"]), (&json!([]), &json!({})), "{path}");
        }
    }
    let (_, writer) = key_of(&gateway, "default", &[Scope::Write], None).await;
    for path in ["/v1/stats", "/v1/reports/daily", "/v1/reports/weekly"] {
        expect_problem(&send(keyed(&gateway, &writer, Method::GET, path)).await, 403, "scope-missing");
    }
}

async fn wrong_times_are_named(gateway: Gateway) {
    for (path, says) in [
        ("/v1/stats?since=yesterday", "since"),
        ("/v1/stats?since=2026-01-02T00:00:00Z&until=2026-01-02T00:00:00Z", "is not before until"),
        ("/v1/stats?since=2026-01-01T00:00:00Z&until=2026-02-02T00:00:00Z", "at most 31 days"),
        ("/v1/stats?since=2026-01-03T00:00:00Z&until=2026-01-04T00:00:00Z", "in the future"),
        ("/v1/stats?window=7d", "window"),
        ("/v1/reports/daily?date=yesterday", "a date such as 2026-11-19"),
        ("/v1/reports/daily?date=2026-01-03", "the latest is 2026-01-02"),
        ("/v1/reports/daily?week=2026-W01", "week"),
        ("/v1/reports/weekly?week=2026-01", "such as 2026-W47"),
        ("/v1/reports/weekly?week=2026-W02", "the latest is 2026-W01"),
        ("/v1/reports/weekly?date=2026-01-01", "date"),
    ] {
        let asked = send(request(&gateway, Method::GET, path)).await;
        expect_problem(&asked, 400, "bad-filter");
        assert!(asked.body["detail"].as_str().unwrap().contains(says), "{path}: {asked:?}");
    }
    let longest = "/v1/stats?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z";
    assert_eq!(send(request(&gateway, Method::GET, longest)).await.status, 200);
}
