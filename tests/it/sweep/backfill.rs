//! Calls that nobody told us of are found at the provider.

use super::{follow_ups_of, history::is_clean, pass_until_over};
use crate::{
    cli::Shell,
    http::{expect_problem, key_of, keyed, request, send, wrong_fields},
    support::{
        canned::{Canned, Reply},
        database::{TestDatabase, on_both},
        gateway::{ACCOUNT, Gateway},
        stage::{CUSTOMER, OURS, Stage, on_both_stages},
        twilio::Twilio,
    },
};
use onhook::{
    clock::{Clock, ManualClock, SystemClock},
    directory::Scope,
    domain::time::rfc3339,
    double::{Account, Fate, Order, Outage, Setup},
    store::{audit, follow_ups::HISTORY, tenants},
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stages!(
    a_call_of_which_everything_was_lost_is_found_with_its_ending,
    only_the_url_of_lost_callbacks_may_name_the_lead,
    a_dry_run_writes_nothing,
    live_and_queued_ones_are_found_and_swept_to_their_end,
    one_that_never_started_is_found_among_the_canceled_ones,
    known_calls_get_the_ending_they_lack,
    an_old_call_is_none_of_those_announced_since,
    tenants_see_their_own_calls_only,
    trouble_of_one_account_does_not_stop_the_others,
    what_cannot_be_asked_for_is_refused,
);
on_both!(an_answer_that_is_not_twilios_is_trouble, the_command_line_asks_too);

const MINUTE: i64 = 60_000;
const OTHER: &str = "AC00000000000000000000000000000002";

async fn backfill(stage: &Stage, body: Value) -> Value {
    let asked = send(request(&stage.gateway, Method::POST, "/v1/backfills").json(&body)).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    asked.body
}

/// What a backfill of a day came to for the one account there is.
async fn backfill_a_day(stage: &Stage) -> Value {
    let report = backfill(stage, json!({ "since": "24h" })).await;
    assert_eq!(report["accounts"].as_array().unwrap().len(), 1, "{report}");
    report["accounts"][0].clone()
}

/// Listed, known, found, ended and submitted.
fn counts(of: &Value) -> [u64; 5] {
    ["listed", "known", "found_count", "ended_count", "submitted"].map(|name| of[name].as_u64().unwrap())
}

fn sids(of: &Value, list: &str) -> Vec<String> {
    of[list].as_array().unwrap().iter().map(|call| call["provider_id"].as_str().unwrap().to_owned()).collect()
}

async fn is_unknown(stage: &Stage, sid: &str) -> bool {
    stage.gateway.ask(Method::GET, &format!("/v1/calls/{sid}"), None).await.0 == 404
}

async fn a_call_of_which_everything_was_lost_is_found_with_its_ending(stage: Stage) {
    stage.lead("lead-1").await;
    stage.lose(1.0);
    let sid = stage.place(Fate::Answered { talk_s: 42 });
    pass_until_over(&stage, &sid).await;
    stage.sweep_for(3).await;
    assert!(is_unknown(&stage, &sid).await, "sweeping does not find what nobody told of");

    let of = backfill_a_day(&stage).await;
    assert_eq!(counts(&of), [1, 0, 1, 0, 1], "{of}");
    let truth = stage.twilio.with(|double| double.call(&sid).unwrap().truth().unwrap());
    let found = &of["found"][0];
    assert_eq!((&found["provider_id"], &found["status"]), (&json!(sid), &json!("completed")));
    assert_eq!(found["direction"], "outbound-api");
    assert_eq!(found["started_at"], rfc3339(truth.started_ms.unwrap() / 1_000 * 1_000));
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
    assert_eq!((&call["talk_seconds"], &call["deliveries"], &call["due_at"]), (&42.into(), &0.into(), &Value::Null));
    assert_eq!(call["ended_at"], rfc3339(truth.ended_ms.unwrap() / 1_000 * 1_000));
    let lead = stage.gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"contacted".into(), &1.into()), "by its number: {lead}");

    let again = backfill_a_day(&stage).await;
    assert_eq!(counts(&again), [1, 1, 0, 0, 0], "{again}");
    assert_eq!(stage.call(&sid).await, call);
    let kept = audit::list_of_subject(&stage.gateway.db, "default", ACCOUNT, 10).await.unwrap();
    assert_eq!(kept.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), ["backfill"; 2]);
    assert!(kept.iter().all(|row| row.actor.starts_with("key:")), "{kept:?}");
    let detail: Value = serde_json::from_str(&kept[1].detail).unwrap();
    assert_eq!((&detail["found"], &detail["submitted"], &detail["trouble"]), (&json!(1), &json!(1), &Value::Null));
    is_clean(&stage).await;
    stage.twilio.was_asked_well();
}

async fn only_the_url_of_lost_callbacks_may_name_the_lead(stage: Stage) {
    let lead = json!({ "id": "lead-7", "name": "Ada", "phone": "+14155550177" });
    assert_eq!(stage.gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    stage.lead("lead-1").await;
    stage.lose(1.0);
    let sid = stage.place_with(Fate::Answered { talk_s: 42 }, "lead_id=lead-7");
    pass_until_over(&stage, &sid).await;
    backfill_a_day(&stage).await;
    assert_eq!(stage.call(&sid).await["lead_id"], "lead-1", "by its number, until more is known");
    assert_eq!(follow_ups_of(&stage, &sid).await, [HISTORY]);
    stage.pass(16 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.call(&sid).await["lead_id"], "lead-7", "the URL outranks the number");
    for (lead, status) in [("lead-7", "contacted"), ("lead-1", "new")] {
        assert_eq!(stage.gateway.get(&format!("/v1/leads/{lead}")).await["status"], status, "{lead}");
    }
    is_clean(&stage).await;
}

async fn a_dry_run_writes_nothing(stage: Stage) {
    stage.lose(1.0);
    let sid = stage.place(Fate::Busy);
    pass_until_over(&stage, &sid).await;
    let report = backfill(&stage, json!({ "since": "1h", "dry_run": true, "account": ACCOUNT })).await;
    let of = &report["accounts"][0];
    assert_eq!((&report["dry_run"], counts(of)), (&json!(true), [1, 0, 1, 0, 0]), "{report}");
    assert_eq!(report["since"], rfc3339(stage.twilio.now_ms() - 60 * MINUTE));
    assert!(is_unknown(&stage, &sid).await);
    assert_eq!(audit::list_of_subject(&stage.gateway.db, "default", ACCOUNT, 10).await.unwrap(), []);
    let until = rfc3339(stage.twilio.now_ms() - 30 * MINUTE);
    let report = backfill(&stage, json!({ "since": "1h", "until": until })).await;
    assert_eq!(counts(&report["accounts"][0])[0], 0, "it started later: {report}");
}

async fn live_and_queued_ones_are_found_and_swept_to_their_end(stage: Stage) {
    stage.lose(1.0);
    let live = stage.place(Fate::Answered { talk_s: 600 });
    stage.pass(30_000).await;
    // From here on the queue is long.
    stage.twilio.with(|double| double.setup_mut().calls_per_second = 1);
    let queued: Vec<String> = (0..5).map(|_| stage.place(Fate::NoAnswer)).collect();
    let of = backfill_a_day(&stage).await;
    assert_eq!(counts(&of), [6, 0, 6, 0, 6], "{of}");
    assert_eq!((stage.status(&live).await, stage.status(&queued[4]).await), ("in-progress".into(), "queued".into()));
    assert_eq!(of["found"].as_array().unwrap().iter().filter(|call| call["started_at"].is_null()).count(), 5);
    for sid in [&live, &queued[4]] {
        pass_until_over(&stage, sid).await;
    }
    stage.pass(15 * MINUTE).await;
    stage.sweep_for(2).await;
    assert_eq!((stage.status(&live).await, stage.status(&queued[4]).await), ("completed".into(), "no-answer".into()));
    assert_eq!(counts(&backfill_a_day(&stage).await), [6, 6, 0, 0, 0]);
    is_clean(&stage).await;
}

async fn one_that_never_started_is_found_among_the_canceled_ones(stage: Stage) {
    let sid = stage.place(Fate::CanceledInQueue);
    pass_until_over(&stage, &sid).await;
    let of = backfill_a_day(&stage).await;
    assert_eq!(counts(&of), [1, 0, 1, 0, 1], "Twilio reports nothing of it: {of}");
    assert_eq!((stage.status(&sid).await, of["found"][0]["started_at"].is_null()), ("canceled".into(), true));
    stage.pass(25 * 60 * MINUTE).await;
    assert_eq!(counts(&backfill_a_day(&stage).await)[0], 0, "it is longer ago");
}

async fn known_calls_get_the_ending_they_lack(stage: Stage) {
    let sid = stage.place(Fate::Answered { talk_s: 60 });
    stage.pass(20_000).await;
    stage.lose(1.0);
    pass_until_over(&stage, &sid).await;
    assert_eq!(stage.status(&sid).await, "in-progress");
    let of = backfill_a_day(&stage).await;
    assert_eq!(counts(&of), [1, 1, 0, 1, 1], "{of}");
    assert_eq!(sids(&of, "ended"), *std::slice::from_ref(&sid));
    assert_eq!(stage.status(&sid).await, "completed");
    assert_eq!(follow_ups_of(&stage, &sid).await, [HISTORY]);

    stage.lose(0.0);
    let given_up = stage.place(Fate::Answered { talk_s: 60 });
    stage.pass(1_500).await;
    stage.lose(1.0);
    stage.twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    stage.pass(61 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.call(&given_up).await["resolution"], "inferred");
    stage.twilio.with(|double| double.set_outage(None));
    let of = backfill_a_day(&stage).await;
    assert_eq!((counts(&of), sids(&of, "ended")), ([2, 2, 0, 1, 1], vec![given_up.clone()]), "{of}");
    assert_eq!(stage.status(&given_up).await, "completed");
    is_clean(&stage).await;
}

async fn an_old_call_is_none_of_those_announced_since(stage: Stage) {
    stage.lose(1.0);
    let old = stage.place(Fate::Answered { talk_s: 60 });
    pass_until_over(&stage, &old).await;
    stage.pass(60 * MINUTE).await;
    let body = json!({ "to": CUSTOMER, "lead_id": "lead-new" });
    let (status, answer) = stage.gateway.ask(Method::POST, "/v1/calls", Some(body)).await;
    assert!(status.is_success(), "{answer}");
    backfill_a_day(&stage).await;
    assert_eq!(stage.call(&old).await["lead_id"], Value::Null);
    stage.lose(0.0);
    let new = stage.place(Fate::Answered { talk_s: 60 });
    pass_until_over(&stage, &new).await;
    assert_eq!(stage.call(&new).await["lead_id"], "lead-new");
}

/// Another account at Twilio, with a call that nobody was told of.
fn other_account(stage: &Stage) -> String {
    stage.twilio.with(|double| double.add_account(Account::new(OTHER, "other-token")));
    let now_ms = stage.twilio.now_ms();
    stage.twilio.with(|double| double.place(Order::new(OTHER, OURS, CUSTOMER).going(Fate::Busy), now_ms))
}

async fn tenants_see_their_own_calls_only(stage: Stage) {
    let (_, acme) = key_of(&stage.gateway, "acme", Scope::ALL, None).await;
    let theirs = other_account(&stage);
    let account = json!({ "sid": OTHER, "token": "other-token" });
    let added = send(keyed(&stage.gateway, &acme, Method::POST, "/v1/accounts").json(&account)).await;
    assert_eq!(added.status, 201, "{added:?}");
    stage.lose(1.0);
    let ours = stage.place(Fate::Busy);
    pass_until_over(&stage, &ours).await;
    let of = backfill_a_day(&stage).await;
    assert_eq!(sids(&of, "found"), *std::slice::from_ref(&ours));
    let report =
        send(keyed(&stage.gateway, &acme, Method::POST, "/v1/backfills").json(&json!({ "since": "24h" }))).await.body;
    assert_eq!(sids(&report["accounts"][0], "found"), [theirs], "{report}");
    assert!(report["accounts"].as_array().unwrap().len() == 1 && report["accounts"][0]["account"] == OTHER);
    let body = json!({ "since": "24h", "account": OTHER });
    expect_problem(&send(request(&stage.gateway, Method::POST, "/v1/backfills").json(&body)).await, 404, "not-found");
}

async fn trouble_of_one_account_does_not_stop_the_others(stage: Stage) {
    let theirs = other_account(&stage);
    let account = json!({ "sid": OTHER, "token": "other-token" });
    assert_eq!(stage.gateway.ask(Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    stage.twilio.with(|double| double.add_account(Account::new(ACCOUNT, "another one by now")));
    pass_until_over(&stage, &theirs).await;
    let report = backfill(&stage, json!({ "since": "24h" })).await;
    let [ours, other] = [0, 1].map(|n| &report["accounts"][n]);
    assert_eq!((ours["account"].as_str(), other["account"].as_str()), (Some(ACCOUNT), Some(OTHER)));
    assert!(ours["trouble"].as_str().unwrap().contains("credentials are refused"), "{report}");
    assert_eq!((&other["trouble"], sids(other, "found")), (&Value::Null, vec![theirs]));
    for (outage, word) in [(503, "503"), (429, "too many requests")] {
        stage.twilio.with(|double| double.set_outage(Some(Outage::Status(outage))));
        let report = backfill(&stage, json!({ "since": "24h", "account": OTHER })).await;
        let trouble = report["accounts"][0]["trouble"].as_str().unwrap();
        assert!(trouble.starts_with("failed to ") && trouble.contains(word), "{trouble}");
    }
}

async fn what_cannot_be_asked_for_is_refused(stage: Stage) {
    let ask = async |body: Value| send(request(&stage.gateway, Method::POST, "/v1/backfills").json(&body)).await;
    let tomorrow = rfc3339(stage.twilio.now_ms() + 24 * 60 * MINUTE);
    for since in ["401d", "yesterday", "", tomorrow.as_str()] {
        assert_eq!(wrong_fields(&ask(json!({ "since": since })).await), ["since"], "{since}");
    }
    assert_eq!(wrong_fields(&ask(json!({ "since": "1h", "until": "2h" })).await), ["until"]);
    assert_eq!(
        wrong_fields(&ask(json!({ "since": "1y3", "until": "x", "account": "" })).await),
        ["since", "until", "account"]
    );
    expect_problem(&ask(json!({ "since": "1h", "account": OTHER })).await, 404, "not-found");
    expect_problem(&ask(json!({})).await, 422, "invalid-fields");
    let (_, reader) = key_of(&stage.gateway, "default", &[Scope::Read], None).await;
    let body = json!({ "since": "1h" });
    let asked = send(keyed(&stage.gateway, &reader, Method::POST, "/v1/backfills").json(&body)).await;
    expect_problem(&asked, 403, "scope-missing");
    assert_eq!(stage.heard("/Calls.json"), 0, "Twilio was not even asked");
}

async fn an_answer_that_is_not_twilios_is_trouble(at: TestDatabase) {
    let proxy = Canned::serve(|_, _| Reply { body: "<html>Log in</html>".to_owned(), ..Reply::status(200) }).await;
    let gateway = Gateway::on(&at, &[("ONHOOK_TWILIO_API_BASE", &proxy.url)]).await;
    let asked = send(request(&gateway, Method::POST, "/v1/backfills").json(&json!({ "since": "1h" }))).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    let trouble = asked.body["accounts"][0]["trouble"].as_str().unwrap();
    assert!(trouble.starts_with("failed to read what Twilio says of calls"), "{trouble}");
}

async fn the_command_line_asks_too(at: TestDatabase) {
    // The command has the machine's clock.
    let clock = ManualClock::new(SystemClock.now_ms() - 60 * MINUTE);
    let twilio = Twilio::start(Setup { calls_per_second: 1_000, ..Setup::default() }, &clock);
    let order = Order::new(ACCOUNT, OURS, CUSTOMER).going(Fate::Answered { talk_s: 5 });
    let sid = twilio.with(|double| double.place(order, clock.now_ms()));
    twilio.pass(5 * MINUTE).await;
    let shell = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", &twilio.address);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(&[&["backfill"], args].concat()));
    let mut tx = at.db.begin().await.unwrap();
    tenants::ensure_default(&mut tx, clock.now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    let dry = run(&["--since", "24h", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains(&sid) && dry.contains("1 not known") && dry.contains("nothing written"), "{dry}");
    let done = run(&["--since", "24h", "--yes", "--json"]).expect(0).json();
    assert_eq!(counts(&done["accounts"][0]), [1, 0, 1, 0, 1], "{done}");
    let call = tokio::task::block_in_place(|| shell.json(&["calls", "show", &sid]));
    assert_eq!((&call["status"], &call["talk_seconds"]), (&json!("completed"), &json!(5)), "{call}");
    let again = run(&["--since", "24h", "--yes"]).expect(0).stdout;
    assert!(again.contains("1 known, 0 not known") && again.contains("0 written") && !again.contains(&sid), "{again}");
    let kept = audit::list_of_subject(&at.db, "default", ACCOUNT, 10).await.unwrap();
    assert!(kept.len() == 2 && kept.iter().all(|row| row.actor == "cli"), "{kept:?}");

    run(&["--since", "24h"]).expect(2).says(&["nobody can be asked", "--yes"]);
    run(&["--since", "401d"]).expect(2).says(&["--since", "400 days"]);
    run(&["--since", "1h", "--until", "2h"]).expect(2).says(&["--until"]);
    run(&["--since", "24h", "--yes", "--account", OTHER]).expect(3).says(&[OTHER, "onhook accounts list"]);
    run(&["--since", "24h", "--yes", "--tenant", "nope"]).expect(3).says(&["tenant nope"]);
    twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    let away = run(&["--since", "24h", "--yes"]).expect(6).stdout;
    assert!(away.contains("failed to ask Twilio for calls"), "{away}");
}
