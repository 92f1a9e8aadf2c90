//! Leads one by one.

use super::{Asked, callback, column, expect_problem, request, send, sid, wrong_fields};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::{domain::time::rfc3339, store::journal};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_lead_is_created_once,
    a_put_creates_or_replaces,
    a_status_written_by_hand_outweighs_earlier_contacts,
    a_contact_can_be_older_than_its_lead,
    ids_are_the_users_own,
    a_wrong_lead_names_its_fields,
    leads_are_filtered_by_status_and_number,
    a_deleted_lead_is_gone_and_its_calls_keep_its_id,
    what_is_done_by_hand_is_in_the_journal,
);

async fn put(gateway: &Gateway, id: &str, body: Value) -> Asked {
    send(request(gateway, Method::PUT, &format!("/v1/leads/{id}")).json(&body)).await
}

async fn conversation(gateway: &Gateway, n: u32, lead: &str) {
    callback(gateway, &sid(n), "in-progress", &format!("lead_id={lead}"), &[]).await;
    callback(gateway, &sid(n), "completed", &format!("lead_id={lead}"), &[("CallDuration", "9")]).await;
}

async fn a_lead_is_created_once(gateway: Gateway) {
    let body = json!({"id": "lead-42", "name": "Ann Example", "phone": "+1 (415) 555-0101"});
    let asked = send(request(&gateway, Method::POST, "/v1/leads").json(&body)).await;
    assert_eq!(asked.status, 201);
    let now = rfc3339(START_MS);
    let lead = json!({
        "id": "lead-42", "name": "Ann Example", "phone": "+1 (415) 555-0101", "phone_e164": "+14155550101", "status": "new",
        "last_contacted_at": null, "contact_count": 0, "created_at": now, "updated_at": now,
        "forgotten_at": null,
    });
    assert_eq!(asked.body, lead);
    assert_eq!(gateway.get("/v1/leads/lead-42").await, lead);
    let again =
        send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": "lead-42", "name": "Other"}))).await;
    expect_problem(&again, 409, "already-exists");
    assert_eq!(gateway.get("/v1/leads/lead-42").await, lead);
}

async fn a_put_creates_or_replaces(gateway: Gateway) {
    let created = put(
        &gateway,
        "lead-1",
        json!({"name": "Ann", "phone": "+14155550101", "last_contacted_at": "2025-12-31T23:00:00+01:00"}),
    )
    .await;
    assert_eq!((created.status.as_u16(), &created.body["name"]), (201, &json!("Ann")));
    assert_eq!(created.body["last_contacted_at"], "2025-12-31T22:00:00.000Z");
    gateway.clock.advance(1_000);
    let replaced = put(&gateway, "lead-1", json!({"id": "lead-1", "name": "Bob"})).await;
    assert_eq!((replaced.status.as_u16(), &replaced.body["name"]), (200, &json!("Bob")));
    assert_eq!((&replaced.body["phone"], &replaced.body["last_contacted_at"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&replaced.body["created_at"], &replaced.body["updated_at"]),
        (&json!(rfc3339(START_MS)), &json!(rfc3339(START_MS + 1_000)))
    );
    assert_eq!(wrong_fields(&put(&gateway, "lead-1", json!({"id": "lead-2"})).await), ["id"]);
}

async fn a_status_written_by_hand_outweighs_earlier_contacts(gateway: Gateway) {
    put(&gateway, "lead-1", json!({"name": "Ann"})).await;
    conversation(&gateway, 1, "lead-1").await;
    let lead = gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&json!("contacted"), &json!(1)));
    assert_eq!(lead["last_contacted_at"], rfc3339(START_MS));

    gateway.clock.advance(1_000);
    let renamed = put(&gateway, "lead-1", json!({"name": "Ann B."})).await;
    assert_eq!(renamed.body["status"], "contacted", "a PUT without a status is no word about it");
    let reset = put(&gateway, "lead-1", json!({"name": "Ann B.", "status": "new"})).await;
    assert_eq!((&reset.body["status"], &reset.body["contact_count"]), (&json!("new"), &json!(1)));
    gateway.clock.advance(1_000);
    conversation(&gateway, 2, "lead-1").await;
    assert_eq!(gateway.get("/v1/leads/lead-1").await["status"], "contacted", "a later contact shows again");
    put(&gateway, "lead-1", json!({"status": "won"})).await;
    gateway.clock.advance(1_000);
    conversation(&gateway, 3, "lead-1").await;
    assert_eq!(gateway.get("/v1/leads/lead-1").await["status"], "won", "the user's own word stands");

    let activity = gateway.get("/v1/leads/lead-1/activity?limit=2").await;
    assert_eq!(column(&activity, "conversation"), [sid(3), sid(2)], "newest first");
    assert_eq!((&activity["data"][0]["contact"], &activity["data"][0]["talk_seconds"]), (&json!(true), &json!(9)));
    let cursor = activity["next_cursor"].as_str().unwrap();
    let rest = gateway.get(&format!("/v1/leads/lead-1/activity?limit=2&cursor={cursor}")).await;
    assert_eq!((column(&rest, "conversation"), &rest["next_cursor"]), (vec![&*sid(1)], &Value::Null));
}

async fn a_contact_can_be_older_than_its_lead(gateway: Gateway) {
    conversation(&gateway, 1, "lead-1").await;
    expect_problem(&send(request(&gateway, Method::GET, "/v1/leads/lead-1")).await, 404, "not-found");
    let asked = send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": "lead-1"}))).await;
    assert_eq!((&asked.body["status"], &asked.body["contact_count"]), (&json!("contacted"), &json!(1)), "{asked:?}");
}

async fn ids_are_the_users_own(gateway: Gateway) {
    let odd = [
        ("O'Brien \"x\"", "O%27Brien%20%22x%22"),
        ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
        ("é漢+&=;", "%C3%A9%E6%BC%A2+%26=%3B"),
        ("import", "import"),
    ];
    for (id, path) in odd {
        assert_eq!(put(&gateway, path, json!({"name": id})).await.status, 201, "{id}");
        assert_eq!(gateway.get(&format!("/v1/leads/{path}")).await["id"], id);
        let created = send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": id}))).await;
        expect_problem(&created, 409, "already-exists");
        assert_eq!(gateway.get(&format!("/v1/leads/{path}/activity")).await["data"], json!([]));
        assert_eq!(send(request(&gateway, Method::DELETE, &format!("/v1/leads/{path}"))).await.status, 204);
    }
    let (long, longest) = ("x".repeat(10_240), "é".repeat(100));
    assert_eq!(put(&gateway, &"%C3%A9".repeat(100), json!({})).await.body["id"], longest, "200 bytes");
    for bad in ["line%0Abreak", "nul%00", &long, &format!("{}y", "%C3%A9".repeat(100)), "%7F"] {
        assert_eq!(wrong_fields(&put(&gateway, bad, json!({})).await), ["id"], "{bad}");
        for (method, part) in [(Method::GET, ""), (Method::DELETE, ""), (Method::GET, "/activity")] {
            expect_problem(&send(request(&gateway, method, &format!("/v1/leads/{bad}{part}"))).await, 404, "not-found");
        }
    }
    for bad in ["", "line\nbreak", "nul\0", &long] {
        let asked = send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": bad}))).await;
        assert_eq!(wrong_fields(&asked), ["id"], "{bad:?}");
    }
}

async fn a_wrong_lead_names_its_fields(gateway: Gateway) {
    let cases = [
        (json!({"name": "n".repeat(501)}), vec!["name"]),
        (json!({"name": "a\u{0}b"}), vec!["name"]),
        (json!({"phone": "ann"}), vec!["phone"]),
        (json!({"phone": "415 555 0101"}), vec!["phone"]),
        (json!({"phone": "9".repeat(65)}), vec!["phone"]),
        (json!({"status": "s".repeat(65)}), vec!["status"]),
        (json!({"status": " new"}), vec!["status"]),
        (json!({"status": "a\tb"}), vec!["status"]),
        (json!({"last_contacted_at": "yesterday"}), vec!["last_contacted_at"]),
        (
            json!({"name": "\n", "phone": "x", "status": "\n", "last_contacted_at": "x"}),
            vec!["name", "phone", "status", "last_contacted_at"],
        ),
        (json!({"name": 7}), vec!["name"]),
        (json!({"phnoe": "+14155550101"}), vec!["phnoe"]),
        (json!("lead"), vec!["body"]),
    ];
    for (body, fields) in cases {
        assert_eq!(wrong_fields(&put(&gateway, "lead-1", body.clone()).await), fields, "{body}");
    }
    let asked = put(&gateway, "lead-1", json!({"phone": "not a number"})).await;
    assert!(asked.body["errors"][0]["message"].as_str().unwrap().contains("not a number"), "{asked:?}");
    assert_eq!(
        wrong_fields(&send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"name": "Ann"}))).await),
        ["id"]
    );
    assert_eq!(gateway.get("/v1/leads").await["data"], json!([]));
}

async fn leads_are_filtered_by_status_and_number(gateway: Gateway) {
    put(&gateway, "a", json!({"phone": "+14155550101"})).await;
    put(&gateway, "b", json!({"phone": "+14155550102", "status": "won"})).await;
    put(&gateway, "c", json!({"phone": "+1 415 555 0101"})).await;
    gateway.clock.advance(1_000);
    conversation(&gateway, 1, "c").await;
    for (filter, expected) in [
        ("", vec!["a", "b", "c"]),
        ("status=new", vec!["a"]),
        ("status=contacted", vec!["c"]),
        ("status=won", vec!["b"]),
        ("status=lost", vec![]),
        ("phone=%2B14155550101", vec!["a", "c"]),
        ("phone=+1 415 555 0101", vec!["a", "c"]),
        ("phone=%2B14155550101&status=contacted", vec!["c"]),
        ("phone=%2B14155550109", vec![]),
    ] {
        assert_eq!(column(&gateway.get(&format!("/v1/leads?{filter}")).await, "id"), expected, "{filter}");
    }
    let first = gateway.get("/v1/leads?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(column(&gateway.get(&format!("/v1/leads?limit=2&cursor={cursor}")).await, "id"), ["c"]);
}

async fn a_deleted_lead_is_gone_and_its_calls_keep_its_id(gateway: Gateway) {
    put(&gateway, "lead-1", json!({"name": "Ann"})).await;
    conversation(&gateway, 1, "lead-1").await;
    let delete = async || send(request(&gateway, Method::DELETE, "/v1/leads/lead-1")).await;
    let gone = delete().await;
    assert_eq!((gone.status.as_u16(), gone.body), (204, Value::Null));
    expect_problem(&delete().await, 404, "not-found");
    for part in ["", "/activity"] {
        expect_problem(
            &send(request(&gateway, Method::GET, &format!("/v1/leads/lead-1{part}"))).await,
            404,
            "not-found",
        );
    }
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(1))).await["lead_id"], "lead-1");
}

async fn what_is_done_by_hand_is_in_the_journal(gateway: Gateway) {
    put(&gateway, "lead-1", json!({})).await;
    put(&gateway, "lead-1", json!({"name": "Ann"})).await;
    send(request(&gateway, Method::DELETE, "/v1/leads/lead-1")).await;
    send(request(&gateway, Method::DELETE, "/v1/leads/lead-1")).await;
    send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": "lead-1"}))).await;
    send(request(&gateway, Method::POST, "/v1/leads").json(&json!({"id": "lead-1"}))).await;
    let table = "id,name\nlead-1,Bob\nlead-2,Cy\n";
    send(request(&gateway, Method::POST, "/v1/leads/import").header("content-type", "text/csv").body(table)).await;
    let entries = journal::list_after(&gateway.db, 0, 100).await.unwrap();
    let said: Vec<(String, String)> = entries.into_iter().map(|e| (e.subject, e.what)).collect();
    let change = |id: &str, word: &str| (id.to_owned(), format!(r#"{{"change":"lead.{word}"}}"#));
    let expected = [
        ("lead-1", "created"),
        ("lead-1", "updated"),
        ("lead-1", "deleted"),
        ("lead-1", "created"),
        ("lead-1", "updated"),
        ("lead-2", "created"),
    ];
    assert_eq!(said, expected.map(|(id, word)| change(id, word)));
}
