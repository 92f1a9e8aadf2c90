//! Batches of Event Streams that are redriven: their entries, their order, and how much at once.

use crate::{
    support::{
        database::{TestDatabase, on_both},
        gateway::{ACCOUNT, Gateway, START_MS, TOKEN},
    },
    webhooks::doors::{post, sign, sink_query},
};
use onhook::{
    clock::ManualClock,
    domain::time::{rfc2822, rfc3339},
    twilio::door::Door,
};
use reqwest::Method;
use serde_json::{Value, json};

on_both!(
    an_entry_stays_an_entry_whatever_became_of_it,
    one_redrive_takes_so_many_events_at_most,
    bad_entries_of_a_redriven_batch_stay_within_the_bounds
);

const OTHER: &str = "AC00000000000000000000000000000099";

fn event(account: &str, call: usize, status: &str) -> Value {
    json!({
        "specversion": "1.0", "type": format!("com.twilio.voice.status-callback.call.{status}"), "source": "AC1",
        "id": "EZ1", "time": rfc3339(START_MS), "datacontenttype": "application/json",
        "data": {"request": {"method": "POST", "url": "https://crm.example.com/", "parameters": {
            "CallSid": format!("CA{call:032x}"), "AccountSid": account, "CallStatus": status,
            "Direction": "outbound-api", "SequenceNumber": "0", "Timestamp": rfc2822(START_MS),
        }}},
    })
}

async fn send(gateway: &Gateway, token: &str, events: &[Value]) -> u16 {
    let body = serde_json::to_vec(events).unwrap();
    let query = sink_query(&body);
    let signature = sign(token, Door::Events, &query, &body);
    post(gateway, Door::Events, &query, &body, Some(&signature)).await.status().as_u16()
}

async fn redrive(gateway: &Gateway, body: Value) -> Value {
    let (status, done) = gateway.ask(Method::POST, "/v1/quarantine/redrive", Some(body)).await;
    assert_eq!(status, 200, "{done}");
    done
}

async fn an_entry_stays_an_entry_whatever_became_of_it(at: TestDatabase) {
    let clock = ManualClock::new(START_MS);
    let gateway = Gateway::with_clock(&at.place, &[], clock.clone()).await;
    assert_eq!(send(&gateway, TOKEN, &[event(ACCOUNT, 1, "ringing"), event(OTHER, 2, "ringing")]).await, 204);
    assert_eq!(redrive(&gateway, json!({"all": true})).await["rows"][0]["reason"], "unknown-account");
    gateway.stop().await;
    // The account of the sink is not there for a while: the row is refused for another reason.
    let without = Gateway::with_clock(&at.place, &[("TWILIO_ACCOUNT_SID", OTHER)], clock.clone()).await;
    assert_eq!(redrive(&without, json!({"all": true})).await["rows"][0]["reason"], "unknown-account");
    without.stop().await;
    // A gateway of the tests draws the same ids in the same moment.
    clock.advance(1_000);
    let gateway = Gateway::with_clock(&at.place, &[], clock).await;
    let account = json!({"sid": OTHER, "token": "theirs"});
    assert_eq!(gateway.ask(Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    let done = redrive(&gateway, json!({"all": true})).await;
    assert_eq!(done["applied"], 1, "the batch it was in had verified: {done}");
    let all = gateway.get("/v1/calls").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 2, "{done} {all}");
    let call = gateway.get(&format!("/v1/calls/CA{:032x}", 2)).await;
    assert_eq!((&call["account"], &call["verified"]), (&json!(OTHER), &json!(true)));
}

async fn one_redrive_takes_so_many_events_at_most(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    for batch in 0..3 {
        let events: Vec<Value> = (0..1_000).map(|n| event(ACCOUNT, batch * 1_000 + n, "ringing")).collect();
        assert_eq!(send(&gateway, "mended", &events).await, 403);
        gateway.clock.advance(1_000);
    }
    let account = json!({"sid": ACCOUNT, "token": "mended"});
    assert_eq!(gateway.ask(Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    let page = redrive(&gateway, json!({"all": true, "dry_run": true})).await;
    assert_eq!((&page["looked"], &page["applied"]), (&json!(2), &json!(2)));
    let rest = redrive(&gateway, json!({"all": true, "dry_run": true, "cursor": page["next_cursor"]})).await;
    assert_eq!((&rest["looked"], &rest["next_cursor"]), (&json!(1), &Value::Null));
    let ids: Vec<Value> =
        [&page, &rest].into_iter().flat_map(|page| page["rows"].as_array().unwrap()).cloned().collect();
    let ids: Vec<&Value> = ids.iter().map(|row| &row["id"]).collect();
    let by_id = redrive(&gateway, json!({"ids": ids, "dry_run": true})).await;
    let outcomes: Vec<&str> =
        by_id["rows"].as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["would-apply", "would-apply", "later"]);
    assert_eq!(by_id["looked"], 2);
}

async fn bad_entries_of_a_redriven_batch_stay_within_the_bounds(at: TestDatabase) {
    let settings = [("ONHOOK_QUARANTINE_ROWS_MAX", "1000")];
    let gateway = Gateway::on(&at, &settings).await;
    for batch in 0..2 {
        let bad = |n: usize| json!({"specversion": "1.0", "type": batch * 1_000 + n});
        let mut events: Vec<Value> = (0..998).map(bad).collect();
        // In the order of their arrival; what comes twice in a batch is one row.
        events.extend([event(ACCOUNT, batch, "ringing"), bad(0)]);
        assert_eq!(send(&gateway, "mended", &events).await, 403);
        gateway.clock.advance(1_000);
    }
    let account = json!({"sid": ACCOUNT, "token": "mended"});
    assert_eq!(gateway.ask(Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    let done = redrive(&gateway, json!({"all": true})).await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(2), &json!(0)), "{done}");
    let size = onhook::store::quarantine::size(&at.db).await.unwrap();
    assert!((800..=900).contains(&size.known_rows), "{size:?}");
    for call in 0..2 {
        assert_eq!(gateway.get(&format!("/v1/calls/CA{call:032x}")).await["status"], "ringing");
    }
}
