//! Lists: their filters, pages and cursors, and what is wrong with them.

use super::{Asked, callback, column, expect_problem, request, send, sid};
use crate::support::gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    calls_are_filtered_by_everything_they_have,
    a_list_comes_in_pages_without_gaps,
    limits_that_are_none_are_refused,
    cursors_that_were_tampered_with_are_refused,
    a_filter_nobody_knows_is_refused,
    a_wrong_filter_is_named_with_what_is_allowed,
);

async fn ask(gateway: &Gateway, path: &str) -> Asked {
    send(request(gateway, Method::GET, path)).await
}

async fn calls_are_filtered_by_everything_they_have(gateway: Gateway) {
    callback(&gateway, &sid(1), "ringing", "lead_id=lead-1&user_id=ann&extension=101", &[]).await;
    gateway.clock.advance(10_000);
    callback(&gateway, &sid(2), "completed", "lead_id=lead-2&user_id=bob&extension=102", &[]).await;
    gateway.clock.advance(10_000);
    let other = [
        ("CallSid", &*sid(3)),
        ("AccountSid", ACCOUNT),
        ("CallStatus", "queued"),
        ("From", "client:ann"),
        ("To", "+14155550177"),
    ];
    assert_eq!(gateway.callback("lead_id=it%27s%20%22odd%22", &other).await.status(), 204);
    let second = rfc3339(START_MS + 10_000);
    for (filter, expected) in [
        (String::new(), vec![3, 2, 1]),
        ("status=ringing".into(), vec![1]),
        ("live=true".into(), vec![3, 1]),
        ("live=false".into(), vec![2]),
        ("lead_id=lead-1".into(), vec![1]),
        ("lead_id=it%27s%20%22odd%22".into(), vec![3]),
        ("user_id=bob".into(), vec![2]),
        ("extension=101".into(), vec![1]),
        ("run_id=run-1".into(), vec![]),
        ("provider=twilio".into(), vec![3, 2, 1]),
        ("provider=asterisk".into(), vec![]),
        (format!("account={ACCOUNT}"), vec![3, 2, 1]),
        ("account=AC0".into(), vec![]),
        ("to=%2B14155550177".into(), vec![3]),
        ("to=+14155550177".into(), vec![3]),
        ("to=%2B1%20(415)%20555-0177".into(), vec![3]),
        ("from=client:ann".into(), vec![3]),
        ("from=%2B14155550100&live=true".into(), vec![1]),
        (format!("since={second}"), vec![3, 2]),
        (format!("until={second}"), vec![1]),
        (format!("since={second}&until={second}"), vec![]),
        ("since=2026-01-02T04:04:15%2B01:00".into(), vec![3, 2]),
        ("status=completed&lead_id=lead-2&user_id=bob".into(), vec![2]),
        ("status=completed&lead_id=lead-1".into(), vec![]),
    ] {
        let page = gateway.get(&format!("/v1/calls?{filter}")).await;
        let expected: Vec<String> = expected.into_iter().map(sid).collect();
        assert_eq!(column(&page, "provider_id"), expected, "{filter}");
        assert!(page["next_cursor"].is_null());
    }
}

async fn a_list_comes_in_pages_without_gaps(gateway: Gateway) {
    for n in 1..=7 {
        gateway.clock.advance(1);
        callback(&gateway, &sid(n), if n % 2 == 0 { "completed" } else { "ringing" }, "", &[]).await;
    }
    for limit in [1, 2, 3, 7, 8, 200] {
        let (mut seen, mut cursor): (Vec<String>, String) = (Vec::new(), String::new());
        loop {
            let page = gateway.get(&format!("/v1/calls?limit={limit}{cursor}")).await;
            seen.extend(column(&page, "provider_id").into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            assert_eq!(column(&page, "id").len(), limit);
            cursor = format!("&cursor={next}");
            // What comes in between does not move the pages that follow.
            callback(&gateway, &sid(u32::try_from(100 + seen.len()).unwrap()), "completed", "", &[]).await;
        }
        seen.retain(|call| *call < sid(100));
        assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1].map(sid), "limit {limit}");
    }
    let default = gateway.get("/v1/calls").await;
    assert!(default["data"].as_array().unwrap().len() <= 50);
}

async fn limits_that_are_none_are_refused(gateway: Gateway) {
    for path in ["/v1/calls", "/v1/leads", "/v1/keys"] {
        for limit in ["0", "201", "-1", "ten", "", "1.5", "99999999999999999999", "1e2", "%00"] {
            let asked = ask(&gateway, &format!("{path}?limit={limit}")).await;
            expect_problem(&asked, 400, "bad-filter");
            let detail = asked.body["detail"].as_str().unwrap();
            assert!(detail.contains("limit") && detail.contains("1 to 200"), "{detail}");
        }
        expect_problem(&ask(&gateway, &format!("{path}?limit=1&limit=2")).await, 400, "bad-filter");
    }
}

async fn cursors_that_were_tampered_with_are_refused(gateway: Gateway) {
    for n in 1..=3 {
        gateway.clock.advance(1);
        callback(&gateway, &sid(n), "ringing", "", &[]).await;
        callback(&gateway, &sid(n), "completed", "", &[]).await;
        let lead = json!({"id": format!("lead-{n}")});
        assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    }
    let cursor = async |path: &str| gateway.get(path).await["next_cursor"].as_str().unwrap().to_owned();
    let calls = cursor("/v1/calls?limit=1").await;
    let leads = cursor("/v1/leads?limit=1").await;
    let timeline = cursor(&format!("/v1/calls/{}/timeline?limit=1", sid(1))).await;

    let mut changed = calls.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    let bad = [
        "",
        "x",
        "AAAA",
        "%00",
        "not%20base64",
        "call_1",
        &changed,
        &calls[1..],
        &calls[..calls.len() - 2],
        &leads,
        &timeline,
    ];
    for bad in bad {
        expect_problem(&ask(&gateway, &format!("/v1/calls?cursor={bad}")).await, 400, "bad-cursor");
    }
    expect_problem(&ask(&gateway, &format!("/v1/calls?status=completed&cursor={calls}")).await, 400, "bad-cursor");
    expect_problem(&ask(&gateway, &format!("/v1/leads?cursor={calls}")).await, 400, "bad-cursor");
    expect_problem(
        &ask(&gateway, &format!("/v1/calls/{}/timeline?cursor={timeline}", sid(2))).await,
        400,
        "bad-cursor",
    );
    expect_problem(
        &ask(&gateway, &format!("/v1/calls/{}/deliveries?cursor={timeline}", sid(1))).await,
        400,
        "bad-cursor",
    );
    let next: Value = gateway.get(&format!("/v1/calls?limit=1&cursor={calls}")).await;
    assert_eq!(column(&next, "provider_id"), [sid(2)], "the good one is good");
    assert_eq!(
        column(&gateway.get(&format!("/v1/calls?limit=2&cursor={calls}")).await, "id").len(),
        2,
        "the limit may change"
    );
}

async fn a_filter_nobody_knows_is_refused(gateway: Gateway) {
    callback(&gateway, &sid(1), "ringing", "", &[]).await;
    let call = sid(1);
    for path in
        ["/v1/calls", "/v1/leads", "/v1/keys", &format!("/v1/calls/{call}"), &format!("/v1/calls/{call}/timeline")]
    {
        let asked = ask(&gateway, &format!("{path}?statsu=ringing")).await;
        expect_problem(&asked, 400, "bad-filter");
        assert!(asked.body["detail"].as_str().unwrap().contains("statsu"), "{asked:?}");
    }
}

async fn a_wrong_filter_is_named_with_what_is_allowed(gateway: Gateway) {
    for (query, name, allowed) in [
        ("status=answered", "status", "in-progress"),
        ("status=", "status", "in-progress"),
        ("live=yes", "live", "true"),
        ("stuck=maybe", "stuck", "critical"),
        ("since=yesterday", "since", "RFC 3339"),
        ("until=2026-13-01T00:00:00Z", "until", "RFC 3339"),
        ("lead_id=a%00b", "lead_id", "NUL"),
        ("from=%00", "from", "NUL"),
    ] {
        let asked = ask(&gateway, &format!("/v1/calls?{query}")).await;
        expect_problem(&asked, 400, "bad-filter");
        let detail = asked.body["detail"].as_str().unwrap();
        assert!(detail.contains(name) && detail.contains(allowed), "{query}: {detail}");
    }
    expect_problem(&ask(&gateway, &format!("/v1/calls?lead_id={}", "x".repeat(10_000))).await, 400, "bad-filter");
    expect_problem(&ask(&gateway, "/v1/leads?phone=ann").await, 400, "bad-filter");
}
