//! Imports of leads and of calls.

use super::{Asked, callback, column, expect_problem, request, send, sid, wrong_fields};
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways},
};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor;

on_both_gateways!(
    leads_are_imported_from_csv_and_ndjson,
    a_row_that_is_wrong_is_left_out_with_its_line,
    an_import_is_no_word_about_the_status,
    a_table_that_cannot_be_read_is_refused_as_a_whole,
    many_leads_are_written_in_batches,
    calls_are_imported_and_looked_after,
    calls_that_have_ended_are_skipped,
    one_wrong_call_and_nothing_is_imported,
    an_import_never_ends_or_contradicts_what_the_provider_said,
);

on_both!(bodies_over_the_limit_are_refused);

const CSV: &str = "text/csv; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";

async fn import(gateway: &Gateway, what: &str, media: &str, body: impl Into<Vec<u8>>) -> Asked {
    send(request(gateway, Method::POST, &format!("/v1/{what}/import")).header("content-type", media).body(body.into()))
        .await
}

async fn leads_are_imported_from_csv_and_ndjson(gateway: Gateway) {
    let table =
        "\u{feff}id, name ,phone,status\r\nlead-1,\"Ann, \"\"the\"\" first\",+1 415 555 0101,\r\nlead-2,Bob,,won\r\n";
    let asked = import(&gateway, "leads", CSV, table).await;
    assert_eq!(asked.body, json!({"created": 2, "updated": 0, "failed": 0, "errors": []}), "{asked:?}");
    let ann = gateway.get("/v1/leads/lead-1").await;
    assert_eq!(
        (&ann["name"], &ann["phone_e164"], &ann["status"]),
        (&json!("Ann, \"the\" first"), &json!("+14155550101"), &json!("new"))
    );

    let lines = "{\"id\":\"lead-2\",\"phone\":\"+14155550102\"}\n\n{\"id\":\"lead-3\",\"last_contacted_at\":\"2025-01-01T00:00:00Z\"}";
    let asked = import(&gateway, "leads", NDJSON, lines).await;
    assert_eq!(asked.body, json!({"created": 1, "updated": 1, "failed": 0, "errors": []}), "{asked:?}");
    let bob = gateway.get("/v1/leads/lead-2").await;
    assert_eq!(
        (&bob["name"], &bob["phone"], &bob["status"]),
        (&json!("Bob"), &json!("+14155550102"), &json!("won")),
        "what a row leaves out stays"
    );
    assert_eq!(gateway.get("/v1/leads/lead-3").await["last_contacted_at"], "2025-01-01T00:00:00.000Z");
    assert_eq!(import(&gateway, "leads", CSV, "id\n").await.body["created"], 0);
}

async fn a_row_that_is_wrong_is_left_out_with_its_line(gateway: Gateway) {
    let table = b"id,phone,status\nlead-1,+14155550101,new\nlead-2,ann,new\nlead-3,+14155550103\n,+14155550104,x\nlead-5,\"+1\n415\",\nlead-6,\xff,\nlead-7,,\n";
    let asked = import(&gateway, "leads", CSV, *table).await;
    assert_eq!((&asked.body["created"], &asked.body["failed"]), (&json!(2), &json!(5)), "{asked:?}");
    let errors: Vec<(u64, Option<&str>)> = asked.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["line"].as_u64().unwrap(), e["field"].as_str()))
        .collect();
    assert_eq!(errors, [(3, Some("phone")), (4, None), (5, Some("id")), (6, Some("phone")), (8, None)], "{asked:?}");
    assert_eq!(column(&gateway.get("/v1/leads").await, "id"), ["lead-1", "lead-7"]);

    let lines =
        "{\"id\":\"a\"}\nnot json\n{\"id\":7}\n{\"id\":\"b\",\"nmae\":\"x\"}\n{\"name\":\"x\"}\n{\"id\":\"c\"}\n";
    let asked = import(&gateway, "leads", NDJSON, lines).await;
    let errors: Vec<(u64, Option<&str>)> = asked.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["line"].as_u64().unwrap(), e["field"].as_str()))
        .collect();
    assert_eq!(errors, [(2, None), (3, Some("id")), (4, Some("nmae")), (5, Some("id"))], "{asked:?}");
    assert_eq!(asked.body["created"], 2);

    let wrong: String = (0..300).map(|n| format!("lead-{n},ann\n")).collect();
    let asked = import(&gateway, "leads", CSV, format!("id,phone\n{wrong}")).await;
    assert_eq!(
        (&asked.body["failed"], asked.body["errors"].as_array().unwrap().len()),
        (&json!(300), 100),
        "the list is bounded"
    );
}

async fn an_import_is_no_word_about_the_status(gateway: Gateway) {
    import(&gateway, "leads", CSV, "id,status\nlead-1,new\n").await;
    callback(&gateway, &sid(1), "in-progress", "lead_id=lead-1", &[]).await;
    callback(&gateway, &sid(1), "completed", "lead_id=lead-1", &[("CallDuration", "9")]).await;
    gateway.clock.advance(1_000);
    import(&gateway, "leads", CSV, "id,status\nlead-1,new\n").await;
    assert_eq!(gateway.get("/v1/leads/lead-1").await["status"], "contacted");
    import(&gateway, "leads", CSV, "id,status\nlead-1,won\n").await;
    assert_eq!(gateway.get("/v1/leads/lead-1").await["status"], "won");
}

async fn a_table_that_cannot_be_read_is_refused_as_a_whole(gateway: Gateway) {
    for (table, field) in [("id,email\nlead-1,a@b\n", "email"), ("name\nAnn\n", "id"), ("", "id"), ("\n", "id")] {
        assert_eq!(wrong_fields(&import(&gateway, "leads", CSV, table).await), [field], "{table:?}");
    }
    for media in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let asked = import(&gateway, "leads", media, "id\nlead-1\n").await;
        expect_problem(&asked, 415, "unsupported-media-type");
        assert!(asked.body["detail"].as_str().unwrap().contains("text/csv"));
    }
    let bare = send(request(&gateway, Method::POST, "/v1/leads/import").body("id\nlead-1\n")).await;
    expect_problem(&bare, 415, "unsupported-media-type");
    let lines = "\n".repeat(1_000_001);
    expect_problem(&import(&gateway, "leads", NDJSON, lines).await, 413, "too-large");
    assert_eq!(gateway.get("/v1/leads").await["data"], json!([]));
}

async fn many_leads_are_written_in_batches(gateway: Gateway) {
    let rows: String = (0..1_201).map(|n| format!("lead-{n:04},Name {n}\n")).collect();
    // The last row writes the first lead again: the later row has the last word.
    let table = format!("id,name\n{rows}lead-0000,Again\n");
    let asked = import(&gateway, "leads", CSV, table.clone()).await;
    assert_eq!(asked.body, json!({"created": 1_201, "updated": 1, "failed": 0, "errors": []}));
    assert_eq!(gateway.get("/v1/leads/lead-0000").await["name"], "Again");
    let asked = import(&gateway, "leads", CSV, format!("id,name\nlead-0001,One\nlead-0001,Two\n{rows}")).await;
    assert_eq!(asked.body, json!({"created": 0, "updated": 1_203, "failed": 0, "errors": []}));
}

fn row(n: u32, status: &str) -> Value {
    json!({"provider_id": sid(n), "created_at": "2026-01-01T00:00:00Z", "status": status})
}

fn with(mut row: Value, field: &str, value: Value) -> Value {
    row[field] = value;
    row
}

async fn import_json(gateway: &Gateway, rows: Value) -> Asked {
    import(gateway, "calls", "application/json", json!({"calls": rows}).to_string()).await
}

async fn calls_are_imported_and_looked_after(gateway: Gateway) {
    let full = json!({
        "provider_id": sid(1), "account": ACCOUNT, "lead_id": "lead-1", "created_at": "2026-01-01T00:00:00Z", "status": "in-progress",
        "from": "+14155550100", "to": "+1 415 555 0101", "user_id": "ann", "extension": "101",
    });
    let asked = import_json(&gateway, json!([full, row(2, "queued"), row(3, "ringing")])).await;
    assert_eq!(asked.status, 200);
    assert_eq!(asked.body, json!({"imported": 3, "skipped": []}), "{asked:?}");
    let call = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    let shown =
        (&call["status"], &call["lead_id"], &call["to"], &call["user_id"], &call["extension"], &call["created_at"]);
    assert_eq!(
        shown,
        (
            &json!("in-progress"),
            &json!("lead-1"),
            &json!("+14155550101"),
            &json!("ann"),
            &json!("101"),
            &json!("2026-01-01T00:00:00.000Z")
        )
    );
    assert_eq!(
        (&call["due_at"], &call["stuck"]),
        (&json!("2026-01-01T00:01:00.000Z"), &json!("critical")),
        "due long ago"
    );
    let timeline = gateway.get(&format!("/v1/calls/{}/timeline", sid(1))).await;
    assert_eq!(
        (&timeline["data"][0]["witness"], &timeline["data"][0]["claim"]),
        (&json!("manual"), &json!("answered"))
    );

    let lines = format!("{}\n\n{}\n", row(2, "queued"), row(4, "initiated"));
    let asked = import(&gateway, "calls", NDJSON, lines).await;
    assert_eq!(asked.body, json!({"imported": 2, "skipped": []}), "again is harmless: {asked:?}");
    assert_eq!(column(&gateway.get("/v1/calls?live=true").await, "id").len(), 4);
    let timeline = gateway.get(&format!("/v1/calls/{}/timeline", sid(2))).await;
    assert_eq!(timeline["data"].as_array().unwrap().len(), 1);

    let many: Vec<Value> = (100..601).map(|n| row(n, "ringing")).collect();
    assert_eq!(import_json(&gateway, json!(many)).await.body["imported"], 501);
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(600))).await["status"], "ringing");
}

async fn calls_that_have_ended_are_skipped(gateway: Gateway) {
    let asked = import_json(&gateway, json!([row(1, "completed"), row(2, "ringing"), row(3, "busy")])).await;
    let skipped =
        |n: u32, word: &str| json!({"row": n, "provider_id": sid(n), "reason": format!("it has ended: {word}")});
    assert_eq!(asked.body, json!({"imported": 1, "skipped": [skipped(1, "completed"), skipped(3, "busy")]}));
    assert_eq!(column(&gateway.get("/v1/calls").await, "provider_id"), [sid(2)]);
}

async fn one_wrong_call_and_nothing_is_imported(gateway: Gateway) {
    let future = rfc3339(START_MS + 301_000);
    for (field, value) in [
        ("created_at", json!(future)),
        ("created_at", json!("yesterday")),
        ("created_at", json!("9999-12-31T23:59:59Z")),
        ("status", json!("answered")),
        ("status", json!("")),
        ("provider_id", json!("")),
        ("provider_id", json!("CA\u{0}")),
        ("account", json!("AC-of-somebody")),
        ("lead_id", json!("a\nb")),
        ("lead_id", json!("x".repeat(10_000))),
        ("from", json!("ann")),
        ("to", json!("client:")),
        ("user_id", json!("x".repeat(201))),
        ("stauts", json!("ringing")),
        ("created_at", json!(7)),
    ] {
        let bad = with(row(2, "ringing"), field, value.clone());
        let asked = import_json(&gateway, json!([row(1, "ringing"), bad])).await;
        assert_eq!(wrong_fields(&asked), [format!("calls[1].{field}")], "{field}={value}");
        let asked = import(&gateway, "calls", NDJSON, format!("{}\n\n{bad}", row(1, "ringing"))).await;
        assert_eq!(wrong_fields(&asked), [format!("line 3.{field}")], "{field}={value}");
    }
    let missing = import_json(&gateway, json!([{"provider_id": sid(1)}])).await;
    assert_eq!(wrong_fields(&missing), ["calls[0].created_at"]);
    expect_problem(&import(&gateway, "calls", NDJSON, "{\"provider_id\"").await, 400, "unreadable");
    expect_problem(&import(&gateway, "calls", "application/json", "{").await, 400, "unreadable");
    expect_problem(&import(&gateway, "calls", "text/csv", "provider_id\n").await, 415, "unsupported-media-type");
    let soon = import_json(
        &gateway,
        json!([{"provider_id": sid(9), "status": "queued", "created_at": rfc3339(START_MS + 299_000)}]),
    )
    .await;
    assert_eq!(soon.body["imported"], 1, "{soon:?}");
    assert_eq!(
        gateway.get(&format!("/v1/calls/{}", sid(9))).await["created_at"],
        rfc3339(START_MS),
        "a clock that is ahead a little"
    );
    assert_eq!(column(&gateway.get("/v1/calls").await, "provider_id"), [sid(9)], "and nothing of the others");
}

async fn an_import_never_ends_or_contradicts_what_the_provider_said(gateway: Gateway) {
    callback(&gateway, &sid(1), "in-progress", "lead_id=lead-1", &[]).await;
    callback(&gateway, &sid(2), "completed", "lead_id=lead-1", &[("CallDuration", "9")]).await;
    let imported = json!([
        {"provider_id": sid(1), "created_at": "2026-01-01T00:00:00Z", "status": "queued", "lead_id": "lead-2"},
        {"provider_id": sid(2), "created_at": "2026-01-01T00:00:00Z", "status": "in-progress", "lead_id": "lead-2"},
    ]);
    assert_eq!(import_json(&gateway, imported).await.body["imported"], 2);
    let one = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    assert_eq!((&one["status"], &one["lead_id"]), (&json!("in-progress"), &json!("lead-1")));
    let two = gateway.get(&format!("/v1/calls/{}", sid(2))).await;
    assert_eq!(
        (&two["status"], &two["lead_id"], &two["resolution"]),
        (&json!("completed"), &json!("lead-1"), &json!("callback"))
    );
}

async fn bodies_over_the_limit_are_refused(at: TestDatabase) {
    let limits = [("ONHOOK_LIMITS_IMPORT_BYTES_MAX", "2KiB"), ("ONHOOK_LIMITS_REST_BODY_BYTES_MAX", "1KiB")];
    let gateway = Gateway::on(&at, &limits).await;
    let long = "x".repeat(2_000);
    let body = json!({"id": "lead-1", "name": long});
    expect_problem(&send(request(&gateway, Method::POST, "/v1/leads").json(&body)).await, 413, "too-large");
    expect_problem(&send(request(&gateway, Method::PUT, "/v1/leads/lead-1").json(&body)).await, 413, "too-large");
    expect_problem(&send(request(&gateway, Method::POST, "/v1/calls").json(&body)).await, 413, "too-large");
    expect_problem(&send(request(&gateway, Method::POST, "/v1/keys").json(&body)).await, 413, "too-large");
    let rows = format!("id\n{}", "lead\n".repeat(500));
    let asked = import(&gateway, "leads", CSV, rows.clone()).await;
    expect_problem(&asked, 413, "too-large");
    assert!(asked.body["detail"].as_str().unwrap().contains("2048"), "{asked:?}");
    expect_problem(&import(&gateway, "calls", NDJSON, rows).await, 413, "too-large");
    assert_eq!(import(&gateway, "leads", CSV, format!("id,name\nlead-1,{}", "x".repeat(490))).await.body["created"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_database_refuses_fails_alone() {
    let at = TestDatabase::postgres().await;
    let gateway = Gateway::on(&at, &[]).await;
    let triggers = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.lead_id = 'lead-2' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
         CREATE FUNCTION refuse_lead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.id = 'lead-2' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON onhook.call FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON onhook.lead FOR EACH ROW EXECUTE FUNCTION refuse_lead();";
    at.place.postgres_connection().await.execute(triggers).await.unwrap();

    let asked = import(&gateway, "leads", CSV, "id\nlead-1\nlead-2\nlead-3\n").await;
    assert_eq!((&asked.body["created"], &asked.body["failed"]), (&json!(2), &json!(1)), "{asked:?}");
    let error = &asked.body["errors"][0];
    assert_eq!((&error["line"], &error["field"]), (&json!(3), &Value::Null));
    assert!(error["message"].as_str().unwrap().contains("not this one"), "{error}");

    let calls: Vec<Value> = (1..=3).map(|n| with(row(n, "ringing"), "lead_id", json!(format!("lead-{n}")))).collect();
    let asked = import_json(&gateway, json!(calls)).await;
    assert_eq!(asked.body["imported"], 2, "{asked:?}");
    let skipped = &asked.body["skipped"][0];
    assert_eq!((&skipped["row"], &skipped["provider_id"]), (&json!(2), &json!(sid(2))));
    assert!(skipped["reason"].as_str().unwrap().contains("not this one"), "{skipped}");

    let one = send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": "lead-2"}))).await;
    expect_problem(&one, 500, "internal");
    assert!(!one.body.to_string().contains("not this one"), "the cause is in the log, not in the answer");
    assert_eq!(column(&gateway.get("/v1/leads").await, "id"), ["lead-1", "lead-3"]);
}
