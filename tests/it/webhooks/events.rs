//! The sink of Event Streams: each event counts alone, and what plain callbacks tell too counts once.

use super::doors::{CALL, post, sign, sink_query};
use crate::{
    http::{add_account, key_of},
    support::{
        database::{Place, TestDatabase},
        gateway::{ACCOUNT, Gateway, START_MS, TOKEN, on_both_gateways},
    },
};
use onhook::{
    directory::Scope,
    domain::time::{rfc2822, rfc3339},
    store::outbox,
    story::{Play, disorder, embedded},
    twilio::door::{Door, Method},
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Response;
use serde_json::{Value, json};

on_both_gateways!(
    a_batch_lands_but_for_what_cannot_be_read,
    what_is_refused_of_batches_is_quarantined_and_redriven,
    bodies_that_are_not_the_signed_batch_are_refused,
    what_says_nothing_of_calls_is_taken_and_not_kept,
    every_kind_of_event_is_read_by_the_reader_of_its_webhook,
    events_of_other_accounts_count_within_the_tenant,
    told_by_both_in_any_order_counts_once,
    a_request_for_twiml_tells_no_time_and_a_dial_action_is_read_as_one,
);

const OTHER: &str = "AC00000000000000000000000000000002";

/// What Twilio sends of a webhook it made.
fn event(kind: &str, parameters: &Value) -> Value {
    json!({
        "specversion": "1.0", "type": format!("com.twilio.{kind}"), "source": "AC1", "id": "EZ1",
        "time": rfc3339(START_MS), "datacontenttype": "application/json",
        "dataschema": "https://events-schemas.twilio.com/Voice.WebhookEvent/2",
        "data": {
            "sid": parameters["CallSid"], "timestamp": rfc3339(START_MS), "eventSid": "VW1",
            "request": {
                "method": "POST", "url": "https://crm.example.com/callback?lead_id=lead-1", "parameters": parameters,
            },
            "response": {"responseCode": 200},
        },
    })
}

pub fn completed(call: &str) -> Value {
    let parameters = json!({
        "CallSid": call, "AccountSid": ACCOUNT, "CallStatus": "completed", "CallDuration": "7",
        "Direction": "outbound-api", "SequenceNumber": "0", "Timestamp": rfc2822(START_MS),
    });
    event("voice.status-callback.call.completed", &parameters)
}

pub async fn send(gateway: &Gateway, body: &[u8]) -> Response {
    let query = sink_query(body);
    let signature = sign(TOKEN, Door::Events, &query, body);
    post(gateway, Door::Events, &query, body, Some(&signature)).await
}

pub async fn batch(gateway: &Gateway, events: &[Value]) -> u16 {
    send(gateway, &serde_json::to_vec(events).unwrap()).await.status().as_u16()
}

fn counted(gateway: &Gateway, answer: &str) -> Option<String> {
    let text = gateway.metrics.render();
    let line = text.lines().find(|l| l.contains("\"twilio_events\"") && l.contains(answer))?;
    line.rsplit(' ').next().map(str::to_owned)
}

async fn a_batch_lands_but_for_what_cannot_be_read(gateway: Gateway) {
    let sid = |n: usize| format!("CA{n:032x}");
    let mut events: Vec<Value> = (0..1_000).map(|n| completed(&sid(n))).collect();
    events[500] = json!({"specversion": "1.0", "type": 17});
    for answer in ["stored", "repeated"] {
        assert_eq!(batch(&gateway, &events).await, 204);
        assert_eq!(counted(&gateway, answer).as_deref(), Some("999"));
    }
    assert_eq!(counted(&gateway, "unreadable").as_deref(), Some("2"), "set aside each time");
    for n in [0, 499, 501, 999] {
        let row = gateway.get(&format!("/v1/calls/{}", sid(n))).await;
        assert_eq!(
            (&row["status"], &row["talk_seconds"], &row["deliveries"]),
            (&json!("completed"), &json!(7), &json!(1))
        );
    }
    assert_eq!(gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{}", sid(500)), None).await.0, 404);
    let stored = &gateway.get(&format!("/v1/calls/{}/deliveries", sid(7))).await["data"][0];
    assert_eq!((&stored["source"], &stored["query"]), (&json!("twilio/events"), &json!(format!("account={ACCOUNT}"))));
    assert_eq!(stored["body"], completed(&sid(7)).to_string(), "the event alone, byte for byte");

    events.push(completed(&sid(1_000)));
    assert_eq!(batch(&gateway, &events).await, 413, "one more than is allowed at once");
    let huge = json!([{"type": "x", "data": "x".repeat(1 << 20)}]);
    assert_eq!(send(&gateway, huge.to_string().as_bytes()).await.status(), 413);
}

async fn bodies_that_are_not_the_signed_batch_are_refused(gateway: Gateway) {
    let body = json!([completed(CALL)]).to_string().into_bytes();
    let refused = async |query: &str, body: &[u8]| {
        let signature = sign(TOKEN, Door::Events, query, body);
        let answer = post(&gateway, Door::Events, query, body, Some(&signature)).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, why) = refused(&sink_query(b"[]"), &body).await;
    assert_eq!(status, 403, "the hash of another body");
    assert!(why.contains("hash of another body"), "{why}");
    let (status, why) = refused(&format!("account={ACCOUNT}"), &body).await;
    assert_eq!(status, 403);
    assert!(why.contains("no bodySHA256"), "{why}");
    let hash = sink_query(&body).replace(&format!("account={ACCOUNT}&"), "");
    let (status, why) = refused(&hash, &body).await;
    assert_eq!(status, 403);
    assert!(why.contains("account= in the URL of the sink"), "{why}");
    let (status, why) = refused(&format!("account={OTHER}&{hash}"), &body).await;
    assert_eq!(status, 403, "{why}");
    for broken in ["", "[", "[{\"type\":", "7", "\"x\"", "[]]", "[{},", "\u{0}"] {
        let (status, why) = refused(&sink_query(broken.as_bytes()), broken.as_bytes()).await;
        assert_eq!(status, 400, "{broken:?}: {why}");
    }
    let (status, _) = refused(&sink_query(b"[\"\xff\"]"), b"[\"\xff\"]").await;
    assert_eq!(status, 400, "no UTF-8");
    assert_eq!(gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404);
    assert_eq!(send(&gateway, &body).await.status(), 204);
    // Whoever has a signed URL cannot put the events of another body under it.
    let other = json!([completed("CA00000000000000000000000000000043")]).to_string().into_bytes();
    let signature = sign(TOKEN, Door::Events, &sink_query(&body), &body);
    let replayed = post(&gateway, Door::Events, &sink_query(&body), &other, Some(&signature)).await;
    assert_eq!(replayed.status(), 403);
}

async fn what_says_nothing_of_calls_is_taken_and_not_kept(gateway: Gateway) {
    let test = json!({
        "specversion": "1.0", "type": "com.twilio.eventstreams.test-event", "source": "Sink", "id": ACCOUNT,
        "datacontenttype": "application/json", "time": rfc3339(START_MS), "data": {"test_id": "1"},
    });
    let message = json!({"type": "com.twilio.messaging.message.sent", "data": {"messageSid": "SM1"}});
    let conference =
        event("voice.status-callback.conference.updated", &json!({"CallSid": CALL, "AccountSid": ACCOUNT}));
    assert_eq!(batch(&gateway, &[test.clone(), message, conference]).await, 204);
    assert_eq!(send(&gateway, test.to_string().as_bytes()).await.status(), 204, "one event without a list");
    assert_eq!(batch(&gateway, &[]).await, 204);
    assert_eq!(counted(&gateway, "stored").as_deref(), Some("0"));
    assert_eq!(gateway.get("/v1/calls").await["data"], json!([]));
}

async fn every_kind_of_event_is_read_by_the_reader_of_its_webhook(gateway: Gateway) {
    let call = |more: Value| {
        let mut parameters = json!({"CallSid": CALL, "AccountSid": ACCOUNT, "Direction": "outbound-api"});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parameters
    };
    let row = async |event: Value| {
        assert_eq!(batch(&gateway, &[event]).await, 204);
        gateway.get(&format!("/v1/calls/{CALL}")).await
    };
    // The name it had before it was renamed; a time only around the parameters.
    let initiated = event("voice.webhook.status-callback.call.initiated", &call(json!({"CallStatus": "initiated"})));
    let shown = row(initiated).await;
    assert_eq!((&shown["status"], &shown["initiated_at"]), (&json!("initiated"), &json!(rfc3339(START_MS))));
    assert_eq!(shown["lead_id"], "lead-1", "from the URL that Twilio called");
    let requested = event("voice.twiml.call.requested", &call(json!({"CallStatus": "in-progress"})));
    assert_eq!(row(requested).await["status"], "in-progress");
    let amd = event("voice.status-callback.amd.detected", &call(json!({"AnsweredBy": "human"})));
    assert_eq!(row(amd).await["answered_by"], "human");
    let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
    let recording = json!({"RecordingStatus": "completed", "RecordingUrl": url, "RecordingDuration": 12});
    let recording = event("voice.status-callback.recording.processed", &call(recording));
    assert_eq!(row(recording).await["recording"], json!({"url": url, "duration_seconds": 12}));

    gateway.clock.advance(5_000);
    let payload = json!({"resource_sid": CALL, "error_code": "11200"}).to_string();
    let data = json!({
        "sid": "NO00000000000000000000000000000001", "account_sid": ACCOUNT, "level": "ERROR", "error_code": "11200",
        "product_name": "Programmable Voice", "payload": payload,
    });
    let logged = json!({"type": "com.twilio.error-logs.error.logged", "data": data});
    assert_eq!(row(logged).await["due_at"], rfc3339(START_MS + 5_000));

    // Not confirmed, so both are taken: parameters in the open, in the words of JSON; data as JSON text.
    let flat = json!({
        "call_sid": CALL, "account_sid": ACCOUNT, "call_status": "completed", "call_duration": 9, "sequenceNumber": 3,
        "timestamp": rfc3339(START_MS + 1_000),
    });
    let ended = json!({"type": "com.twilio.voice.status-callback.call.completed", "data": flat.to_string()});
    let shown = row(ended).await;
    assert_eq!((&shown["status"], &shown["talk_seconds"]), (&json!("completed"), &json!(9)));
    assert_eq!((&shown["ended_at"], &shown["deliveries"]), (&json!(rfc3339(START_MS + 1_000)), &json!(6)));
}

async fn events_of_other_accounts_count_within_the_tenant(gateway: Gateway) {
    let foreign = "AC00000000000000000000000000000003";
    key_of(&gateway, "acme", Scope::ALL, None).await;
    add_account(&gateway, "default", OTHER).await;
    add_account(&gateway, "acme", foreign).await;
    let of = |account: &str, call: &str| {
        let mut event = completed(call);
        event["data"]["request"]["parameters"]["AccountSid"] = json!(account);
        event
    };
    let sid = |n: u8| format!("CA{n:032x}");
    let unknown = "AC00000000000000000000000000000004";
    let events = [of(ACCOUNT, &sid(1)), of(OTHER, &sid(2)), of(foreign, &sid(3)), of(unknown, &sid(4))];
    assert_eq!(batch(&gateway, &events).await, 204);
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(1))).await["account"], ACCOUNT);
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(2))).await["account"], OTHER, "a sub-account of the tenant");
    for n in [3, 4] {
        assert_eq!(gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{}", sid(n)), None).await.0, 404);
        assert!(onhook::store::calls::find(&gateway.db, "acme", &sid(n), None).await.unwrap().is_empty());
    }
    assert_eq!(counted(&gateway, "unreadable").as_deref(), Some("2"));
}

async fn told_by_both_in_any_order_counts_once(gateway: Gateway) {
    let stories = embedded().unwrap();
    let story = stories.iter().find(|story| story.name == "told-twice").unwrap();
    let mut rows = Vec::new();
    for seed in 0..12 {
        let mut rng = StdRng::seed_from_u64(seed);
        let salt = format!("s{seed}");
        let play = Play { start_ms: START_MS, account_sid: ACCOUNT, salt: &salt };
        let mut requests = story.requests(play);
        disorder::duplicate(&mut requests, &mut rng);
        disorder::shuffle(&mut requests, &mut rng);
        gateway.clock.set(START_MS + story.length_ms());
        for request in requests {
            assert_eq!(request.method, Method::Post);
            let signature = sign(TOKEN, request.door(), &request.query, &request.body);
            let sent = post(&gateway, request.door(), &request.query, &request.body, Some(&signature)).await;
            assert_eq!(sent.status(), 204);
        }
        let (sid, lead) = (story.sid("customer", &salt), story.lead_id(&salt).unwrap());
        let mut row = gateway.get(&format!("/v1/calls/{sid}")).await;
        assert_eq!(row["deliveries"], 8, "each delivery is counted, of whichever kind");
        for own in ["id", "provider_id", "lead_id"] {
            row[own] = Value::Null;
        }
        rows.push(row);
        let owed = outbox::list_of_subject(&gateway.db, "default", &lead).await.unwrap();
        let kinds: Vec<&str> = owed.iter().map(|effect| effect.kind.as_str()).collect();
        assert_eq!(kinds, ["lead.contacted"], "seed {seed}: one contact, one effect");
        let signals = onhook::store::signals::list_of_call(&gateway.db, "default", ACCOUNT, &sid).await.unwrap();
        assert_eq!(signals.len(), 4, "both tell the same four signals");
    }
    rows.dedup();
    assert_eq!(rows.len(), 1, "{rows:#?}");
}

async fn a_request_for_twiml_tells_no_time_and_a_dial_action_is_read_as_one(gateway: Gateway) {
    let child = "CAffffffffffffffffffffffffffffffff";
    let told = async |kind: &str, after_ms: i64, more: Value| {
        let mut parameters = json!({"CallSid": CALL, "AccountSid": ACCOUNT, "Direction": "inbound"});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut event = event(kind, &parameters);
        event["data"]["timestamp"] = json!(rfc3339(START_MS + after_ms));
        gateway.clock.set(START_MS + after_ms);
        assert_eq!(batch(&gateway, &[event]).await, 204);
    };
    told("voice.twiml.call.requested", 0, json!({"CallStatus": "ringing"})).await;
    let action = json!({
        "CallStatus": "in-progress", "DialCallSid": child, "DialCallStatus": "completed", "DialCallDuration": "290",
        "DialBridged": "true",
    });
    told("voice.twiml.call.requested", 300_000, action).await;
    let end = json!({"CallStatus": "completed", "CallDuration": "299", "Timestamp": rfc2822(START_MS + 301_000)});
    told("voice.status-callback.call.completed", 301_000, end).await;
    let parent = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(parent["answered_at"], rfc3339(START_MS + 2_000), "its end less 299 s: {parent}");
    assert_eq!(parent["ended_at"], rfc3339(START_MS + 301_000));
    let dialed = gateway.get(&format!("/v1/calls/{child}")).await;
    assert_eq!((&dialed["status"], &dialed["talk_seconds"]), (&json!("completed"), &json!(290)), "{dialed}");
    assert_eq!(dialed["parent_id"], CALL);
}

/// What is not durable is asked for again: the sink sends the whole batch until it is answered 2xx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_not_durable_is_answered_503() {
    let place = Place::postgres().await;
    let gateway = Gateway::at(&place, &[]).await;
    let events = [completed(CALL), completed("CA00000000000000000000000000000043")];
    assert_eq!(batch(&gateway, &events[..1]).await, 204);
    place.refuse_connections(true).await;
    let refused = send(&gateway, &serde_json::to_vec(&events).unwrap()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    place.refuse_connections(false).await;
    assert_eq!(batch(&gateway, &events).await, 204);
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(row["deliveries"], 1, "what was durable already is only repeated");
}

/// An event that could not be applied is read again from its own bytes, as the delivery of any other door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unapplied_event_is_read_again() {
    use sqlx::Executor;
    let at = TestDatabase::postgres().await;
    let mut own = at.place.postgres_connection().await;
    own.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON onhook.contact FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await
    .unwrap();
    let gateway = Gateway::on(&at, &[]).await;
    assert_eq!(batch(&gateway, &[completed(CALL)]).await, 204);
    assert_eq!(onhook::store::deliveries::list_unapplied(&at.db, 10).await.unwrap().len(), 1);
    own.execute("DROP TRIGGER refuse ON onhook.contact").await.unwrap();
    gateway.clock.advance(3_600_000);
    let (ingest, _) = crate::ingest::node(&at.db, 3);
    let reread = onhook::ingest::Reread { db: at.db.clone(), ingest, clock: gateway.clock.shared() };
    assert_eq!(reread.tick().await.unwrap().applied, 1);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["status"], "completed");
}

/// While a token is rolled out nothing is refused: what does not verify is marked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_observe_a_batch_that_does_not_verify_is_marked() {
    let at = TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[("ONHOOK_VERIFY", "observe")]).await;
    let body = json!([completed(CALL)]).to_string().into_bytes();
    let sent = post(&gateway, Door::Events, &format!("account={ACCOUNT}"), &body, None).await;
    assert_eq!(sent.status(), 204);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["verified"], false);
}

async fn what_is_refused_of_batches_is_quarantined_and_redriven(gateway: Gateway) {
    let bad = json!({"specversion": "1.0", "type": 17});
    assert_eq!(batch(&gateway, &[completed(CALL), bad.clone()]).await, 204);
    let row = gateway.get("/v1/quarantine").await["data"][0].clone();
    assert_eq!((&row["reason"], &row["source"]), (&json!("bad-entry"), &json!("twilio/events")), "{row}");
    let full = gateway.get(&format!("/v1/quarantine/{}", row["id"].as_str().unwrap())).await;
    assert_eq!(full["body"], bad.to_string(), "the entry alone");
    // A whole batch that was signed with a token that is mended later; one entry of it cannot be read either.
    let other = "CA00000000000000000000000000000043";
    let bad = json!({"specversion": "1.0", "type": 18});
    let body = json!([completed(other), bad]).to_string().into_bytes();
    let query = sink_query(&body);
    let signature = sign("mended", Door::Events, &query, &body);
    gateway.clock.advance(1_000);
    let answer = post(&gateway, Door::Events, &query, &body, Some(&signature)).await;
    assert_eq!(answer.status(), 403);
    let redrive =
        async || gateway.ask(reqwest::Method::POST, "/v1/quarantine/redrive", Some(json!({"all": true}))).await.1;
    assert_eq!(redrive().await["stayed"], 2);
    let account = json!({"sid": ACCOUNT, "token": "mended"});
    assert_eq!(gateway.ask(reqwest::Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    let done = redrive().await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(1), &json!(1)), "{done}");
    let call = gateway.get(&format!("/v1/calls/{other}")).await;
    assert_eq!((&call["status"], &call["verified"]), (&json!("completed"), &json!(true)), "{call}");
    let left = gateway.get("/v1/quarantine").await["data"].as_array().unwrap().clone();
    assert_eq!(left.len(), 2, "the bad entry has a row of its own now");
    assert!(left.iter().all(|row| row["reason"] == "bad-entry"), "{left:?}");
}
