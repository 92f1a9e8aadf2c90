//! Thousands of calls over a bad network, and a Twilio that is away for a while: in the end every call is what it was,
//! and every lead is what came of its calls.

use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, PUBLIC_URL, config},
    stage::{INTERVAL_MS, OURS, Stage},
};
use onhook::{
    domain::state::Status,
    double::{Call, Fate, Faults, Limits, Moment, Order, Outage},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

on_both!(every_call_ends_true_and_every_lead_is_right, an_ending_is_true_whichever_callbacks_are_lost);

const CALLS: i64 = 2_000;
const LEADS: i64 = 50;
/// Twenty minutes of calls, the last one some minutes longer.
const GAP_MS: i64 = 600;
/// What is due within it is sent at once.
const STEP_MS: i64 = 5_000;
/// Enough for the last call to end and for what was lost to be asked for.
const INTERVALS: i64 = 60;
/// In the middle, for five minutes.
const OUTAGE: std::ops::Range<i64> = 20..30;

async fn stage(at: &TestDatabase) -> Stage {
    Stage::on(at, &[("ONHOOK_TWILIO_REQUESTS_PER_SECOND", "1000")]).await
}

fn number(lead: i64) -> String {
    format!("+1415555{:04}", 101 + lead)
}

/// A call that tells everything to the gateway, and of which Twilio finds out who answered.
fn order(to: &str, query: &str) -> Order {
    let limits = Limits { detect_machines: true, ..Limits::default() };
    let order = Order::new(ACCOUNT, OURS, to).telling(format!("{PUBLIC_URL}/webhooks/twilio/status{query}"));
    Order { limits, ..order }
}

async fn create_lead(stage: &Stage, id: &str, phone: &str) {
    let body = json!({ "id": id, "phone": phone });
    let (status, answer) = stage.gateway.ask(Method::POST, "/v1/leads", Some(body)).await;
    assert_eq!(status, 201, "{answer}");
}

/// All rows of a list, by what `key` names.
async fn all(stage: &Stage, list: &str, key: &str) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    let mut next = format!("/v1/{list}?limit=200");
    loop {
        let page = stage.gateway.get(&next).await;
        rows.extend(page["data"].as_array().unwrap().iter().map(|row| (text(row, key).to_owned(), row.clone())));
        let Some(cursor) = page["next_cursor"].as_str() else { return rows };
        next = format!("/v1/{list}?limit=200&cursor={cursor}");
    }
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// What is not as Twilio knows it.
fn differences(call: &Call, row: &Value) -> Option<String> {
    let truth = call.truth().unwrap();
    let expected = (truth.status.as_str(), Some(truth.seconds()).filter(|_| truth.status == Status::Completed));
    let talk = row["talk_seconds"].as_i64().filter(|_| truth.status == Status::Completed);
    let actual = (text(row, "status"), talk);
    let is_open = !row["due_at"].is_null() || !row["stuck"].is_null();
    (expected != actual || is_open).then(|| format!("{}: expected {expected:?}, is {row}", call.sid))
}

fn is_contact(call: &Call) -> bool {
    let truth = call.truth().unwrap();
    truth.status == Status::Completed && truth.answered_by == Some("human")
}

/// Every call the gateway knows is what Twilio knows of it, and the database agrees with itself. Answers their rows.
async fn all_is_true(stage: &Stage) -> BTreeMap<String, Value> {
    let rows = all(stage, "calls", "provider_id").await;
    let wrong: Vec<String> = stage.twilio.with(|double| {
        let known = double.calls().iter().filter_map(|call| Some((call, rows.get(&call.sid)?)));
        let missing = double.calls().iter().filter(|call| call.accepted > 0 && !rows.contains_key(&call.sid));
        let missing = missing.map(|call| format!("{} was heard of and is not there", call.sid));
        known.filter_map(|(call, row)| differences(call, row)).chain(missing).collect()
    });
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    let live = stage.gateway.get("/v1/calls?live=true").await;
    assert_eq!(live["data"], json!([]));
    let rules = onhook::app::rules(&config("sqlite://unused.db", &[]));
    let report = onhook::check::check(&stage.gateway.db, &rules).await.unwrap();
    assert_eq!((report.findings, report.calls), (Vec::new(), rows.len() as u64));
    rows
}

async fn every_call_ends_true_and_every_lead_is_right(at: TestDatabase) {
    let stage = stage(&at).await;
    let id = |lead: i64| format!("lead-{lead}");
    for lead in 0..LEADS {
        create_lead(&stage, &id(lead), &number(lead)).await;
    }
    let faults = Faults { lost: 0.1, reordered: 0.2, duplicated: 0.1, ..Faults::default() };
    let begin_ms = stage.twilio.now_ms();
    let calls_of: BTreeMap<String, i64> = stage.twilio.with(|double| {
        double.setup_mut().faults = faults;
        let place = |n: i64| {
            let lead = n % LEADS;
            // The other half is tied to its lead by the number.
            let query = if n / LEADS % 2 == 0 { format!("?lead_id={}", id(lead)) } else { String::new() };
            (double.place(order(&number(lead), &query), begin_ms + n * GAP_MS), lead)
        };
        (0..CALLS).map(place).collect()
    });
    let mut skipped = 0;
    for interval in 0..INTERVALS {
        let outage = OUTAGE.contains(&interval).then_some(Outage::Status(503));
        stage.twilio.with(|double| double.set_outage(outage));
        stage.twilio.pass_by(INTERVAL_MS, STEP_MS).await;
        let report = stage.sweep().await;
        assert_eq!(report.given_up, 0, "nothing is given up: {report:?}");
        skipped += report.skipped_count;
    }
    assert!(stage.twilio.with(|double| double.is_idle()), "all calls are over");
    assert!(skipped > 0, "calls were due during the outage");

    let rows = all_is_true(&stage).await;
    let repaired = rows.values().filter(|row| text(row, "resolution") == "reconciled").count();
    assert!(repaired > 100, "{repaired} of {} were repaired", rows.len());
    let mut contacts: BTreeMap<i64, i64> = (0..LEADS).map(|lead| (lead, 0)).collect();
    stage.twilio.with(|double| {
        for call in double.calls().iter().filter(|call| rows.contains_key(&call.sid) && is_contact(call)) {
            *contacts.get_mut(&calls_of[&call.sid]).unwrap() += 1;
        }
    });
    let leads = all(&stage, "leads", "id").await;
    for (lead, contacts) in contacts {
        let row = &leads[&id(lead)];
        let status = if contacts > 0 { "contacted" } else { "new" };
        assert_eq!((text(row, "status"), &row["contact_count"]), (status, &contacts.into()), "{row}");
    }
    stage.twilio.was_asked_well();
}

const FATES: [Fate; 6] = [
    Fate::Answered { talk_s: 40 },
    Fate::Machine { talk_s: 20 },
    Fate::Busy,
    Fate::NoAnswer,
    Fate::Failed { sip: 404 },
    Fate::Canceled,
];

/// Every set of callbacks that can be lost, for every way a call can go: what arrived is enough to ask for the rest.
async fn an_ending_is_true_whichever_callbacks_are_lost(at: TestDatabase) {
    let stage = stage(&at).await;
    let mut placed = Vec::new();
    for (n, fate) in FATES.into_iter().enumerate() {
        for lost in 0..1 << Moment::ALL.len() {
            let moments = Moment::ALL.iter().enumerate().filter(|(at, _)| lost >> at & 1 == 1).map(|(_, m)| *m);
            let lost: BTreeSet<Moment> = moments.collect();
            let lead = format!("lead-{}", placed.len());
            let order = order(&number(n as i64), &format!("?lead_id={lead}")).going(fate).losing(lost.clone());
            let now_ms = stage.twilio.now_ms();
            let sid = stage.twilio.with(|double| double.place(order, now_ms));
            create_lead(&stage, &lead, &number(50)).await;
            placed.push((sid, fate, lost, lead));
        }
    }
    stage.twilio.with(|double| assert_eq!(double.calls().len(), FATES.len() * 16));
    for _ in 0..12 {
        stage.twilio.pass_by(INTERVAL_MS, STEP_MS).await;
        stage.sweep().await;
    }
    assert!(stage.twilio.with(|double| double.is_idle()), "all calls are over");
    let rows = all_is_true(&stage).await;
    let leads = all(&stage, "leads", "id").await;
    let mut unheard = 0;
    for (sid, fate, lost, lead) in placed {
        let accepted = stage.twilio.with(|double| double.call(&sid).unwrap().accepted);
        assert_eq!(rows.contains_key(&sid), accepted > 0);
        unheard += u32::from(accepted == 0);
        let contacts = i64::from(accepted > 0 && matches!(fate, Fate::Answered { .. }));
        assert_eq!(leads[&lead]["contact_count"], contacts, "{fate:?} with {lost:?} lost: {}", rows[&sid]);
    }
    // All four lost, and what a call of that fate has of them.
    assert!((6..=6 * 8).contains(&unheard), "{unheard}");
}
