//! A person is forgotten: afterwards its number stands nowhere in the database, and everything that was counted is there.

use crate::{
    cli::Shell,
    http::{add_account, expect_problem, key_of, keyed, request, send, sid},
    support::{
        database::{Place, TestDatabase, on_both},
        dump::{dump, with},
        gateway::{ACCOUNT, Gateway, START_MS, config},
        stage::{CUSTOMER, Stage},
    },
};
use onhook::{
    check,
    directory::Scope,
    domain::time::{DAY, MINUTE},
    double::Fate,
    health::LAG_MS,
    housekeeping::{Keep, Retention, Walk},
    leads::{self, Forget},
    store::{
        audit,
        deliveries::{self, DeliveryRow, UNAPPLIED},
        follow_ups,
        notices::{self, NoticeRow},
        quarantine,
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_both!(
    nothing_of_a_person_is_left_but_what_was_counted,
    one_that_was_cut_off_is_taken_up_by_the_next,
    who_may_not_ask_and_what_is_not_there_is_said,
    the_command_line_does_the_same,
    what_belongs_to_no_tenant_is_the_operators,
    what_is_asked_afterwards_brings_nothing_back,
);

const DIGITS: &str = "14155550142";
const NUMBER: &str = "+14155550142";
/// What must not be found: the digits stand in `+…`, `%2B…` and JSON as well.
const TRACES: &[&str] = &[DIGITS, "(415) 555-0142", "Ann Example", "RE0000000000000000000000000000dead"];

async fn found(place: &Place) -> Vec<String> {
    let rows = dump(place).await;
    TRACES.iter().flat_map(|trace| with(&rows, trace)).map(str::to_owned).collect()
}

async fn ann(gateway: &Gateway) {
    let lead = json!({"id": "lead-42", "name": "Ann Example", "phone": "+1 (415) 555-0142"});
    let created = request(gateway, Method::POST, "/v1/leads").header("idempotency-key", "ann").json(&lead);
    assert_eq!(send(created).await.status, 201);
    let bob = json!({"id": "lead-7", "name": "Bob", "phone": "+14155550143"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(bob)).await.0, 201);
}

async fn told(gateway: &Gateway, query: &str, call: u32, status: &str, more: &[(&str, &str)]) {
    let sid = sid(call);
    let usual = [("CallSid", sid.as_str()), ("AccountSid", ACCOUNT), ("CallStatus", status)];
    let parameters: Vec<_> = usual.into_iter().chain(more.iter().copied()).collect();
    assert_eq!(gateway.callback(query, &parameters).await.status(), 204);
}

/// A conversation with a number, with a recording, in three callbacks.
async fn conversation(gateway: &Gateway, call: u32, to: &str, query: &str) {
    let ends = [("From", "+14155550100"), ("To", to), ("Direction", "outbound-api")];
    let url =
        format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE0000000000000000000000000000dead");
    let recording = if to == NUMBER { url } else { url.replace("dead", "beef") };
    let more = [("CallDuration", "9"), ("RecordingUrl", recording.as_str()), ("ToCity", "SAN FRANCISCO")];
    told(gateway, query, call, "ringing", &ends).await;
    told(gateway, query, call, "in-progress", &ends).await;
    told(gateway, query, call, "completed", &[ends.as_slice(), &more].concat()).await;
}

fn unapplied(leg: &str) -> DeliveryRow {
    DeliveryRow {
        tenant: "default".into(),
        provider_id: leg.into(),
        account: ACCOUNT.into(),
        id: "dlv_stuck".into(),
        source: "twilio/status".into(),
        method: "POST".into(),
        query: Vec::new(),
        body: format!("To=%2B{DIGITS}").into_bytes(),
        received_ms: START_MS,
        verified: true,
        state: UNAPPLIED.into(),
        reason: None,
        attempts: 1,
        retry_at_ms: Some(START_MS + 9_000 * DAY),
    }
}

/// What there can be of a person: calls by URL, by number, by a leg of another one, pruned and not; whatever waits.
async fn life(gateway: &Gateway) {
    ann(gateway).await;
    conversation(gateway, 9, NUMBER, "").await;
    gateway.clock.advance(31 * DAY);
    let keep = Keep { deliveries_ms: 30 * DAY, journal_ms: 90 * DAY, audit_ms: 400 * DAY };
    let (db, clock, metrics) = (gateway.db.clone(), gateway.clock.shared(), gateway.metrics.clone());
    let retention = Retention { db, clock, metrics, keep, pause: Duration::ZERO };
    let mut walk = Walk::default();
    while !walk.is_over() {
        retention.advance(&mut walk).await.unwrap();
    }
    let created = json!({"id": "lead-43", "name": "Ann Example", "phone": NUMBER});
    let created = request(gateway, Method::POST, "/v1/leads").header("idempotency-key", "ann2").json(&created);
    assert_eq!(send(created).await.status, 201);
    assert_eq!(send(request(gateway, Method::DELETE, "/v1/leads/lead-43")).await.status, 204);

    conversation(gateway, 1, NUMBER, &format!("lead_id=lead-42&extension=%2B{DIGITS}")).await;
    conversation(gateway, 2, "+14155550143", "").await;
    let inbound = [("From", NUMBER), ("To", "+14155550100"), ("Direction", "inbound"), ("CallerName", "Ann Example")];
    told(gateway, "", 3, "ringing", &inbound).await;
    told(gateway, "", 3, "busy", &inbound).await;
    // An agent's leg without a number of hers, which has the recording; her leg below it.
    let agent = [("From", "client:agent"), ("To", "+14155550100"), ("Direction", "inbound")];
    let url =
        format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/RE0000000000000000000000000000dead");
    let agent = [agent.as_slice(), &[("RecordingUrl", url.as_str())]].concat();
    told(gateway, "", 4, "completed", &agent).await;
    let parent = sid(4);
    let dialed = [("From", "+14155550100"), ("To", NUMBER), ("ParentCallSid", &parent), ("Direction", "outbound-dial")];
    told(gateway, "", 5, "in-progress", &dialed).await;

    let announced = json!({"account": ACCOUNT, "to": NUMBER});
    let announced = request(gateway, Method::POST, "/v1/calls").header("idempotency-key", "soon").json(&announced);
    assert_eq!(send(announced).await.status, 201);
    let body = format!("CallSid={}&AccountSid={ACCOUNT}&CallStatus=busy&To=%2B{DIGITS}", sid(6));
    assert_eq!(gateway.post_raw("", body.as_bytes(), Some("bad")).await.status(), 403);
    let stranger = body.replace(ACCOUNT, "AC99999999999999999999999999999999");
    assert_eq!(gateway.post_raw("", stranger.as_bytes(), None).await.status(), 403);
    let kept = async || quarantine::size(&gateway.db).await.unwrap();
    while kept().await.known_rows + kept().await.unknown_rows < 2 {
        tokio::task::yield_now().await;
    }
    let call = gateway.get(&format!("/v1/calls/{}", sid(1))).await;
    let notice = NoticeRow {
        tenant: "default".into(),
        id: "note_1".into(),
        user_id: None,
        kind: "call.given_up".into(),
        subject: call["id"].as_str().unwrap().into(),
        text: "The call to +1415*******".into(),
        created_ms: START_MS,
        read_ms: None,
    };
    let mut tx = gateway.db.begin().await.unwrap();
    deliveries::insert_unapplied(&mut tx, &unapplied(&sid(8))).await.unwrap();
    notices::insert(&mut tx, &[notice]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn call(gateway: &Gateway, n: u32) -> Value {
    gateway.get(&format!("/v1/calls/{}", sid(n))).await
}

async fn check_is_clean(gateway: &Gateway) {
    let rules = onhook::app::rules(&config("sqlite://nowhere.db", &[]));
    let report = check::check(&gateway.db, &rules).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

async fn nothing_of_a_person_is_left_but_what_was_counted(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    life(&gateway).await;
    let before = (gateway.get("/v1/leads/lead-42").await, call(&gateway, 1).await, call(&gateway, 2).await);
    let activity = gateway.get("/v1/leads/lead-42/activity").await;
    let traces = found(&at.place).await;
    for table in ["lead", "call", "signal", "delivery", "quarantine", "expected", "idempotency"] {
        assert!(traces.iter().any(|row| row.starts_with(&format!("{table}:"))), "nothing in {table}: is this a test?");
    }

    let forget = "/v1/leads/lead-42/forget";
    let (status, would) = gateway.ask(Method::POST, forget, Some(json!({"dry_run": true}))).await;
    assert_eq!((status.as_u16(), &would["dry_run"]), (200, &json!(true)), "{would}");
    assert_eq!(found(&at.place).await, traces, "it only looked");
    gateway.clock.advance(1_000);
    let (status, done) = gateway.ask(Method::POST, forget, None).await;
    assert_eq!(status, 200, "{done}");
    assert_eq!((&done["erased"], &done["kept"]), (&would["erased"], &would["kept"]));
    let mut counted = done["erased"].clone();
    let remembered = counted.as_object_mut().unwrap().remove("remembered_answers").unwrap();
    assert!(remembered.as_u64() >= Some(2), "those of today; older ones are cleared away by themselves: {done}");
    let erased = json!({
        "leads": 1, "calls": 5, "signals": 3 + 2 + 1 + 1, "deliveries": 3 + 2 + 1 + 1, "unapplied_deliveries": 1,
        "notices": 1, "announcements": 1, "jobs": 0, "refused_deliveries": 2,
    });
    assert_eq!(counted, erased);
    assert_eq!(done["kept"], json!({"calls": 5, "live_calls": 1, "placing_jobs": 0, "contacts": 2, "other_leads": 0}));
    assert_eq!(found(&at.place).await, [""; 0]);

    let lead = gateway.get("/v1/leads/lead-42").await;
    assert_eq!((&lead["name"], &lead["phone"], &lead["phone_e164"]), (&Value::Null, &Value::Null, &Value::Null));
    assert!(lead["forgotten_at"].is_string(), "{lead}");
    for field in ["status", "contact_count", "last_contacted_at", "created_at"] {
        assert_eq!(lead[field], before.0[field], "{field}");
    }
    assert_eq!(gateway.get("/v1/leads/lead-42/activity").await, activity);
    let mut expected = before.1.clone();
    for field in ["from", "to", "extension", "recording"] {
        assert!(!expected[field].is_null(), "{field}");
        expected[field] = Value::Null;
    }
    assert_eq!(call(&gateway, 1).await, expected, "everything else of the call stays");
    assert_eq!(call(&gateway, 2).await, before.2, "and all of somebody else's");
    check_is_clean(&gateway).await;

    // The same delivery again meets its key, and the same signal in another one meets its own.
    conversation(&gateway, 1, NUMBER, &format!("lead_id=lead-42&extension=%2B{DIGITS}")).await;
    assert_eq!(found(&at.place).await, [""; 0]);
    let (_, again) = gateway.ask(Method::POST, forget, None).await;
    assert!(again["erased"].as_object().unwrap().values().all(|count| *count == 0), "{again}");
    let rows = audit::list_of_subject(&gateway.db, "default", "lead-42", 9).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].action.as_str(), rows[0].actor.starts_with("key:")), ("lead.forgotten", true));
    check_is_clean(&gateway).await;
}

async fn one_that_was_cut_off_is_taken_up_by_the_next(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ann(&gateway).await;
    for n in 0..60 {
        told(&gateway, "", n, "busy", &[("To", NUMBER), ("Direction", "outbound-api")]).await;
    }
    let how = Forget { dry_run: false, sees_unknown: true, actor: "cli".into(), now_ms: START_MS, randomness: 7 };
    let until_some_are_done = async {
        while call(&gateway, 59).await["to"] == NUMBER {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = leads::forget(&gateway.db, "default", "lead-42", &how) => panic!("it was done at once: {done:?}"),
        () = until_some_are_done => {}
    }
    let lead = gateway.get("/v1/leads/lead-42").await;
    assert_eq!((&lead["phone_e164"], &lead["forgotten_at"]), (&json!(NUMBER), &Value::Null), "its number is needed");
    check_is_clean(&gateway).await;
    let done = leads::forget(&gateway.db, "default", "lead-42", &how).await.unwrap().unwrap();
    assert!((1..60).contains(&done.erased.calls), "only the rest: {done:?}");
    assert_eq!((done.kept.calls, done.erased.leads), (60, 1));
    assert_eq!(found(&at.place).await, [""; 0]);
    check_is_clean(&gateway).await;
}

async fn who_may_not_ask_and_what_is_not_there_is_said(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ann(&gateway).await;
    conversation(&gateway, 1, NUMBER, "").await;
    for id in ["lead-x", "line%0Abreak", "%20"] {
        let asked = send(request(&gateway, Method::POST, &format!("/v1/leads/{id}/forget"))).await;
        expect_problem(&asked, 404, "not-found");
        assert!(asked.body["detail"].as_str().unwrap().contains("GET /v1/leads"), "{asked:?}");
    }
    let path = "/v1/leads/lead-42/forget";
    let (_, writer) = key_of(&gateway, "default", &[Scope::Read, Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &writer, Method::POST, path)).await, 403, "scope-missing");
    let (_, stranger) = key_of(&gateway, "other", &[Scope::Admin], None).await;
    add_account(&gateway, "other", "AC00000000000000000000000000000009").await;
    expect_problem(&send(keyed(&gateway, &stranger, Method::POST, path)).await, 404, "not-found");
    let text = request(&gateway, Method::POST, path).header("content-type", "text/plain").body("x");
    expect_problem(&send(text).await, 415, "unsupported-media-type");
    for (body, status, kind) in [("{", 400, "unreadable"), (r#"{"dry":true}"#, 422, "invalid-fields")] {
        let post = request(&gateway, Method::POST, path).header("content-type", "application/json").body(body);
        expect_problem(&send(post).await, status, kind);
    }
    assert_eq!(gateway.get("/v1/leads/lead-42").await["phone_e164"], NUMBER, "nothing was done");
    assert_eq!(call(&gateway, 1).await["to"], NUMBER);
    let once = async || send(request(&gateway, Method::POST, path).header("idempotency-key", "k")).await;
    let first = once().await;
    assert_eq!((first.status.as_u16(), &first.body["erased"]["leads"]), (200, &json!(1)));
    let second = once().await;
    assert_eq!((&second.headers["idempotency-replayed"], second.body), (&"true".parse().unwrap(), first.body));
}

async fn the_command_line_does_the_same(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ann(&gateway).await;
    conversation(&gateway, 1, NUMBER, "").await;
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(&[&["leads", "forget"], args].concat()));
    run(&["lead-x", "--yes"]).expect(3).says(&["there is no lead lead-x", "onhook leads list"]);
    run(&["lead-42"]).expect(2).says(&["nobody can be asked", "--yes", "--dry-run"]);
    run(&["lead-42", "--yes", "--dry-run"]).expect(2);
    let would = run(&["lead-42", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&would["dry_run"], &would["erased"]["calls"]), (&json!(true), &json!(1)));
    assert!(!found(&at.place).await.is_empty());
    let done = run(&["lead-42", "--yes"]).expect(0).stdout;
    assert!(done.contains("erased: name and number of 1 leads") && done.contains("retention.md"), "{done}");
    assert_eq!(found(&at.place).await, [""; 0]);
    let shown = tokio::task::block_in_place(|| shell.json(&["leads", "show", "lead-42"]));
    assert!(shown["forgotten_at"].is_string() && shown["phone"].is_null(), "{shown}");
    assert_eq!(audit::list_of_subject(&gateway.db, "default", "lead-42", 9).await.unwrap()[0].actor, "cli");
    let again = run(&["lead-42", "--yes", "--json"]).expect(0).json();
    assert_eq!(again["erased"]["leads"], 0);
}

async fn what_belongs_to_no_tenant_is_the_operators(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ann(&gateway).await;
    let body = format!("CallSid={}&AccountSid={ACCOUNT}&CallStatus=busy&To=%2B{DIGITS}", sid(6));
    assert_eq!(gateway.post_raw("", body.as_bytes(), Some("bad")).await.status(), 403);
    let stranger = body.replace(ACCOUNT, "AC99999999999999999999999999999999");
    assert_eq!(gateway.post_raw("", stranger.as_bytes(), None).await.status(), 403);
    let kept = async || {
        let size = quarantine::size(&gateway.db).await.unwrap();
        (size.known_rows, size.unknown_rows)
    };
    while kept().await != (1, 1) {
        tokio::task::yield_now().await;
    }
    let (_, admin) = key_of(&gateway, "default", &[Scope::Admin], None).await;
    let path = "/v1/leads/lead-42/forget";
    let looked = json!({"dry_run": true});
    let refused = |answer: Value| answer["erased"]["refused_deliveries"].clone();
    let would = send(keyed(&gateway, &admin, Method::POST, path).json(&looked)).await;
    assert_eq!(refused(would.body), 1, "those of others are not even counted");
    assert_eq!(refused(gateway.ask(Method::POST, path, Some(looked)).await.1), 2);
    let done = send(keyed(&gateway, &admin, Method::POST, path)).await;
    assert_eq!((refused(done.body), kept().await), (json!(1), (0, 1)));
}

async fn what_is_asked_afterwards_brings_nothing_back(at: TestDatabase) {
    let stage = Stage::on(&at, &[]).await;
    stage.lead("lead-1").await;
    let number = async || {
        let rows = dump(&at.place).await;
        with(&rows, CUSTOMER.trim_start_matches('+')).len()
    };
    // The first callback is lost, so there is something to ask for; of another call only the ending, which is asked for.
    stage.lose(1.0);
    let gap = stage.place(Fate::Answered { talk_s: 30 });
    stage.pass(250).await;
    stage.lose(0.0);
    let over = async |sid: &str| {
        while !stage.twilio.with(|double| double.call(sid).unwrap().is_over()) {
            stage.pass(10_000).await;
        }
    };
    over(&gap).await;
    let cut = stage.place(Fate::Answered { talk_s: 30 });
    stage.pass(5_000).await;
    stage.lose(1.0);
    over(&cut).await;
    stage.sweep_for(6).await;
    assert_eq!(stage.call(&cut).await["resolution"], "reconciled");
    assert!(number().await > 4, "is this a test?");
    let (status, done) = stage.gateway.ask(Method::POST, "/v1/leads/lead-1/forget", None).await;
    assert_eq!((status.as_u16(), number().await), (200, 0), "{done}");

    stage.pass(LAG_MS).await;
    crate::sweep::history::tally(&stage).await;
    let open =
        async |sid: &str| follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, sid).await.unwrap().len();
    assert_eq!((open(&gap).await, open(&cut).await), (1, 1));
    stage.pass(20 * MINUTE).await;
    stage.sweep().await;
    assert_eq!((open(&gap).await, open(&cut).await), (0, 0));
    assert_eq!((stage.heard("/Events.json"), number().await), (0, 0), "nobody is asked");
    check_is_clean(&stage.gateway).await;
}
