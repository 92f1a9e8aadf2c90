//! Making runs and giving them jobs: JSON, CSV, NDJSON, what is wrong with them, and the same list twice.

use super::{Asked, column, expect_problem, request, runs::make, send, wrong_fields};
use crate::support::gateway::{ACCOUNT, Gateway, on_both_gateways};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write};

on_both_gateways!(
    every_wrong_setting_is_named_with_what_is_allowed,
    what_is_no_setting_or_of_another_type_is_refused,
    a_list_comes_as_csv_and_ndjson_with_its_settings_in_the_query,
    a_query_that_says_nonsense_is_refused,
    rows_that_are_wrong_are_left_out_with_their_lines,
    a_table_that_cannot_be_read_is_refused_as_a_whole,
    the_same_list_twice_makes_one_run,
    a_run_gets_more_jobs,
    a_request_with_an_idempotency_key_is_done_once,
    a_hundred_thousand_rows_are_one_run,
);

const CSV: &str = "text/csv; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";

async fn create(gateway: &Gateway, body: &Value) -> Asked {
    send(request(gateway, Method::POST, "/v1/runs").json(body)).await
}

async fn table(gateway: &Gateway, path: &str, media: &str, body: impl Into<Vec<u8>>) -> Asked {
    send(request(gateway, Method::POST, path).header("content-type", media).body(body.into())).await
}

/// A run that can be made, but for one field.
fn but(field: &str, value: Value) -> Value {
    let mut body = json!({"from": "+14155550100", "connect": ["client:ann"], "jobs": []});
    body[field] = value;
    body
}

async fn every_wrong_setting_is_named_with_what_is_allowed(gateway: Gateway) {
    let long = |n: usize| json!("x".repeat(n));
    for (field, value, says) in [
        ("key", long(201), "200"),
        ("key", json!("a\nb"), "control"),
        ("name", long(201), "200"),
        ("worker", json!("robot"), "internal"),
        ("account", json!("AC00000000000000000000000000000099"), ACCOUNT),
        ("from", json!("ann"), "ann"),
        ("connect", json!(["ann"]), "ann"),
        ("url", json!("ftp://example.com"), "http"),
        ("timeout_seconds", json!(4), "5"),
        ("timeout_seconds", json!(601), "600"),
        ("time_limit_seconds", json!(0), "1"),
        ("time_limit_seconds", json!(86_401), "86400"),
        ("machine_detection", json!("enable"), "DetectMessageEnd"),
        ("calls_per_second", json!(0.0), "0.01"),
        ("calls_per_second", json!(101), "100"),
        ("calls_at_once", json!(0), "1"),
        ("calls_at_once", json!(10_001), "10000"),
        ("channel", json!("PJSIP/{to}"), "PBX"),
    ] {
        let asked = create(&gateway, &but(field, value.clone())).await;
        let fields = wrong_fields(&asked);
        assert!(fields[0].starts_with(field), "{field} {value}: {fields:?}");
        let message = asked.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(says), "{field} {value}: {message}");
    }
    for (retry, field) in [
        (json!({"attempts": 0}), "retry.attempts"),
        (json!({"attempts": 11}), "retry.attempts"),
        (json!({"on": ["completed"]}), "retry.on"),
        (json!({"after_seconds": 0}), "retry.after_seconds"),
    ] {
        let asked = create(&gateway, &but("retry", retry)).await;
        assert!(wrong_fields(&asked)[0].starts_with(field), "{field}: {asked:?}");
    }
    let both = json!({"from": "+14155550100", "worker": "robot", "calls_at_once": 0, "connect": ["client:ann"]});
    assert_eq!(wrong_fields(&create(&gateway, &both).await).len(), 2, "all at once");
    assert_eq!(wrong_fields(&create(&gateway, &json!({"connect": ["client:ann"]})).await), ["from"]);
    assert_eq!(gateway.get("/v1/runs").await["data"], json!([]), "nothing was made");
}

async fn what_is_no_setting_or_of_another_type_is_refused(gateway: Gateway) {
    for (body, field) in [
        (but("form", json!("+14155550100")), "form"),
        (but("from", json!(1)), "from"),
        (but("calls_at_once", json!("ten")), "calls_at_once"),
        (but("calls_at_once", json!(1.5)), "calls_at_once"),
        (but("connect", json!("client:ann")), "connect"),
        (but("retry", json!({"attempt": 1})), "retry.attempt"),
        (but("retry", json!(3)), "retry"),
        (but("jobs", json!({})), "jobs"),
        (but("jobs", json!([{"to": "+14155550101", "lead": "x"}])), "jobs[0].lead"),
        (but("jobs", json!([{"to": 14155550101_i64}])), "jobs[0].to"),
        (json!([]), "body"),
        (json!(7), "body"),
    ] {
        assert_eq!(wrong_fields(&create(&gateway, &body).await), [field], "{body}");
    }
    let double = r#"{"from":"+14155550100","from":"+14155550101","jobs":[]}"#;
    assert_eq!(wrong_fields(&table(&gateway, "/v1/runs", "application/json", double).await), ["from"]);
    expect_problem(&table(&gateway, "/v1/runs", "application/json", "{").await, 400, "unreadable");
    expect_problem(&table(&gateway, "/v1/runs", "text/plain", "to\n").await, 415, "unsupported-media-type");
    let asked =
        send(request(&gateway, Method::POST, "/v1/runs?from=%2B14155550100").json(&but("key", json!("x")))).await;
    expect_problem(&asked, 400, "bad-filter");
}

async fn a_list_comes_as_csv_and_ndjson_with_its_settings_in_the_query(gateway: Gateway) {
    let path = "/v1/runs?key=spring&from=+14155550100&connect=client:ann,+14155550109&calls_per_second=0.5\
                &retry_attempts=3&retry_on=busy&machine_detection=Enable";
    let rows = "\u{feff}to, lead_id ,user_id,key,not_before\r\n\
                \"+1 (415) 555-0101\",\"lead \"\"1\"\", the first\",ann,,\r\n\
                +14155550102,,,row-2,2026-01-03T00:00:00Z\r\n";
    let asked = table(&gateway, path, CSV, rows).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.body["imported"], json!({"created": 2, "existing": 0, "failed": 0, "errors": []}));
    let run = &asked.body["run"];
    assert_eq!((&run["from"], &run["connect"]), (&json!("+14155550100"), &json!(["client:ann", "+14155550109"])));
    assert_eq!(run["retry"], json!({"attempts": 3, "on": ["busy"], "after_seconds": 900}));
    assert_eq!((&run["calls_per_second"], &run["calls_at_once"]), (&json!(0.5), &json!(10)));
    let jobs = gateway.get(&format!("/v1/runs/{}/jobs", run["id"].as_str().unwrap())).await;
    assert_eq!(column(&jobs, "to"), ["+14155550101", "+14155550102"]);
    let (first, second) = (&jobs["data"][0], &jobs["data"][1]);
    assert_eq!((&first["lead_id"], &first["user_id"]), (&json!("lead \"1\", the first"), &json!("ann")));
    assert_eq!((&second["key"], &second["due_at"]), (&json!("row-2"), &json!("2026-01-03T00:00:00.000Z")));

    let lines = "{\"to\":\"+14155550103\"}\n\n{\"to\":\"client:bob\",\"lead_id\":\"lead-9\"}\n";
    let asked = table(&gateway, "/v1/runs?worker=external", NDJSON, lines).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let jobs = gateway.get(&format!("/v1/runs/{}/jobs", asked.body["run"]["id"].as_str().unwrap())).await;
    assert_eq!(column(&jobs, "to"), ["+14155550103", "client:bob"]);
}

async fn a_query_that_says_nonsense_is_refused(gateway: Gateway) {
    for (query, field) in [
        ("calls_at_once=ten", "calls_at_once"),
        ("calls_per_second=fast", "calls_per_second"),
        ("timeout_seconds=1.5", "timeout_seconds"),
        ("retry_attempts=x", "retry_attempts"),
        ("retry_on=answered", "retry.on"),
    ] {
        let asked = table(&gateway, &format!("/v1/runs?worker=external&{query}"), CSV, "to\n").await;
        assert!(wrong_fields(&asked)[0].starts_with(field), "{query}: {asked:?}");
    }
    for query in ["form=1", "worker=external&worker=external", "jobs=1", "calls_at_once"] {
        let asked = table(&gateway, &format!("/v1/runs?{query}"), CSV, "to\n").await;
        assert!([400, 422].contains(&asked.status.as_u16()), "{query}: {asked:?}");
    }
}

async fn rows_that_are_wrong_are_left_out_with_their_lines(gateway: Gateway) {
    let rows = b"to,lead_id,not_before\n+14155550101,a,\nann,b,\n,c,\n+14155550104,d,soon\n+14155550105\n+14155550106,\xff,\n\"+1\n415\",,\n+14155550108,h,\n";
    let asked = table(&gateway, "/v1/runs?worker=external", CSV, *rows).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let imported = &asked.body["imported"];
    assert_eq!((&imported["created"], &imported["failed"]), (&json!(2), &json!(6)), "{asked:?}");
    let errors: Vec<(u64, Option<&str>)> = imported["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str()))
        .collect();
    let expected = [(3, Some("to")), (4, Some("to")), (5, Some("not_before")), (6, None), (7, None), (8, Some("to"))];
    assert_eq!(errors, expected, "{imported}");
    let body = json!({"worker": "external", "jobs": [{"to": "+14155550101"}, {"to": "ann"}, {"lead_id": "x"}]});
    let asked = create(&gateway, &body).await;
    assert_eq!((asked.status.as_u16(), &asked.body["imported"]["failed"]), (201, &json!(2)), "{asked:?}");
    assert_eq!(asked.body["imported"]["errors"][0]["line"], 2, "jobs of a JSON body are counted from 1");
}

async fn a_table_that_cannot_be_read_is_refused_as_a_whole(gateway: Gateway) {
    for (rows, field) in [("to,phone\n+1,2\n", "phone"), ("lead_id\nx\n", "to"), ("", "to"), ("\n", "to")] {
        let asked = table(&gateway, "/v1/runs?worker=external", CSV, rows).await;
        assert_eq!(wrong_fields(&asked), [field], "{rows:?}");
    }
    expect_problem(&table(&gateway, "/v1/runs?worker=external", NDJSON, "\n".repeat(100_002)).await, 413, "too-large");
    assert_eq!(gateway.get("/v1/runs").await["data"], json!([]), "nothing was made");
}

async fn the_same_list_twice_makes_one_run(gateway: Gateway) {
    let path = "/v1/runs?worker=external&key=spring";
    let first = table(&gateway, path, CSV, "to,lead_id\n+14155550101,a\n+14155550102,b\n+14155550102,b\n").await;
    assert_eq!(first.body["imported"], json!({"created": 2, "existing": 1, "failed": 0, "errors": []}), "{first:?}");
    let again = table(&gateway, path, CSV, "to,lead_id\n+14155550102,b\n+14155550101,a\n+14155550103,c\n").await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200), "{again:?}");
    assert_eq!(again.body["imported"], json!({"created": 1, "existing": 2, "failed": 0, "errors": []}));
    assert_eq!(again.body["run"]["id"], first.body["run"]["id"]);
    let jobs = gateway.get(&format!("/v1/runs/{}/jobs", first.body["run"]["id"].as_str().unwrap())).await;
    assert_eq!(column(&jobs, "lead_id"), ["a", "b", "c"]);
    assert_eq!(column(&gateway.get("/v1/runs").await, "key"), ["spring"]);
    let otherwise = table(&gateway, &format!("{path}&calls_at_once=3"), CSV, "to\n").await;
    assert!([409, 422].contains(&otherwise.status.as_u16()), "another run under the same key: {otherwise:?}");
}

async fn a_run_gets_more_jobs(gateway: Gateway) {
    let run = make(&gateway, json!({}), 2).await;
    let path = format!("/v1/runs/{}/jobs", run["id"].as_str().unwrap());
    let body = json!({"jobs": [{"to": "+14155550000", "lead_id": "lead-0"}, {"to": "+14155550199"}]});
    let asked = send(request(&gateway, Method::POST, &path).json(&body)).await;
    assert_eq!((asked.status.as_u16(), &asked.body["run"]["jobs"]["total"]), (200, &json!(3)), "{asked:?}");
    assert_eq!(asked.body["imported"], json!({"created": 1, "existing": 1, "failed": 0, "errors": []}));
    assert_eq!(table(&gateway, &path, CSV, "to\n+14155550198\n").await.body["imported"]["created"], 1);
    assert_eq!(table(&gateway, &path, NDJSON, "{\"to\":\"+14155550197\"}").await.body["imported"]["created"], 1);
    assert_eq!(wrong_fields(&send(request(&gateway, Method::POST, &path).json(&json!({}))).await), ["jobs"]);
    assert_eq!(wrong_fields(&send(request(&gateway, Method::POST, &path).json(&json!({"job": []}))).await), ["job"]);
    expect_problem(&table(&gateway, &path, "text/plain", "to\n").await, 415, "unsupported-media-type");
    expect_problem(&table(&gateway, "/v1/runs/run_0/jobs", CSV, "to\n").await, 404, "not-found");
    assert_eq!(gateway.get(&path).await["data"].as_array().unwrap().len(), 5);
}

async fn a_request_with_an_idempotency_key_is_done_once(gateway: Gateway) {
    let post = async |key: &str, body: &str| {
        let request = request(&gateway, Method::POST, "/v1/runs?worker=external").header("idempotency-key", key);
        send(request.header("content-type", CSV).body(body.to_owned())).await
    };
    let first = post("key-1", "to\n+14155550101\n").await;
    let again = post("key-1", "to\n+14155550101\n").await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!((&again.body, &again.headers["idempotency-replayed"]), (&first.body, &"true".parse().unwrap()));
    expect_problem(&post("key-1", "to\n+14155550102\n").await, 422, "idempotency-mismatch");
    assert_eq!(gateway.get("/v1/runs").await["data"].as_array().unwrap().len(), 1);
}

async fn a_hundred_thousand_rows_are_one_run(gateway: Gateway) {
    let mut rows = String::from("to,lead_id\n");
    for n in 0..100_000 {
        writeln!(rows, "+14155{n:06},lead-{n}").unwrap();
    }
    let asked = table(&gateway, "/v1/runs?worker=external&key=large", CSV, rows.clone()).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.body["imported"]["created"], 100_000, "{}", asked.body["imported"]);
    assert_eq!(asked.body["run"]["jobs"]["total"], 100_000);
    let run = asked.body["run"]["id"].as_str().unwrap();
    let page = gateway.get(&format!("/v1/runs/{run}/jobs?limit=200")).await;
    let leads: BTreeSet<&str> = column(&page, "lead_id").into_iter().collect();
    assert_eq!((leads.len(), page["data"][199]["lead_id"].as_str()), (200, Some("lead-199")));
    rows.push_str("+14165000000,one-more\n");
    let asked = table(&gateway, "/v1/runs?worker=external&key=large", CSV, rows).await;
    expect_problem(&asked, 413, "too-large");
    let more = table(&gateway, &format!("/v1/runs/{run}/jobs"), CSV, "to\n+14165000000\n").await;
    assert_eq!(
        (&more.body["imported"]["created"], &more.body["imported"]["failed"]),
        (&json!(0), &json!(1)),
        "{more:?}"
    );
}
