//! The sweeper's doors: what is stuck, sweeps by hand, the sweeps there were.

use super::{column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::START_MS,
    stage::{Stage, on_both_stages},
};
use onhook::{
    directory::Scope,
    domain::time::{MINUTE, rfc3339},
    double::{Fate, Outage},
};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use std::collections::BTreeMap;

on_both!(a_dry_run_says_what_a_sweep_does_and_changes_nothing);
on_both_stages!(
    stuck_calls_say_why,
    stuck_calls_come_in_pages_of_one_tenant,
    what_is_wrong_with_a_threshold_is_said,
    a_sweep_by_threshold_takes_calls_that_are_not_due,
);

/// By then who answers has answered, and who does not still rings.
const ANSWERED_BY_MS: i64 = 20_000;

/// Places calls whose callbacks get lost once they are in progress; answers their sids.
async fn lose(stage: &Stage, fates: &[Fate]) -> Vec<String> {
    let sids: Vec<String> = fates.iter().map(|fate| stage.place(*fate)).collect();
    stage.pass(ANSWERED_BY_MS).await;
    stage.lose(1.0);
    sids
}

async fn stuck_calls_say_why(stage: Stage) {
    let sids = lose(&stage, &[Fate::Answered { talk_s: 7_200 }]).await;
    let none = stage.gateway.get("/v1/stuck-calls").await;
    assert_eq!((&none["data"], &none["next_cursor"]), (&json!([]), &Value::Null));
    stage.pass(61 * MINUTE).await;
    let listed = stage.gateway.get("/v1/stuck-calls").await;
    let stuck = &listed["data"][0];
    let call = stage.call(&sids[0]).await;
    for (field, value) in call.as_object().unwrap() {
        assert_eq!(&stuck[field], value, "it is the call, and more: {field}");
    }
    assert_eq!(stuck["stuck"], "critical");
    let silent = stuck["silent_seconds"].as_i64().unwrap();
    assert!((61 * 60..62 * 60).contains(&silent), "{stuck}");
    let why = stuck["why"].as_str().unwrap();
    for words in ["61 min ago", "was not asked about it yet", "sweep.interval is 0", "onhook sweep"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!(stage.gateway.get("/v1/stuck-calls?threshold=60").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(stage.gateway.get("/v1/stuck-calls?threshold=62").await["data"], json!([]));

    // Nobody answers: that is said, with the time at which it would be given up.
    stage.twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    let checked = send(request(&stage.gateway, Method::POST, &format!("/v1/calls/{}/check", sids[0]))).await;
    assert_eq!(checked.status, 200, "{checked:?}");
    let asked_at = rfc3339(stage.twilio.now_ms());
    let stuck = stage.gateway.get("/v1/stuck-calls").await["data"][0].clone();
    let why = stuck["why"].as_str().unwrap();
    let answered = format!("asked at {asked_at} and did not answer");
    assert!(why.contains(&answered) && why.contains(stuck["give_up_at"].as_str().unwrap()), "{why}");

    // It answers again: the call lives, and is not stuck any more.
    stage.twilio.with(|double| double.set_outage(None));
    stage.pass(MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.gateway.get("/v1/stuck-calls").await["data"], json!([]));
    let silent = stage.gateway.get("/v1/stuck-calls?threshold=0").await;
    assert!(silent["data"][0]["why"].as_str().unwrap().contains("said that it lives"), "{silent}");
}

async fn stuck_calls_come_in_pages_of_one_tenant(stage: Stage) {
    let long = Fate::Answered { talk_s: 7_200 };
    let sids = lose(&stage, &[long, long, long, Fate::Failed { sip: 404 }]).await;
    assert_eq!(stage.status(&sids[3]).await, "failed");
    let (_, acme) = key_of(&stage.gateway, "acme", Scope::ALL, None).await;
    stage.pass(40 * MINUTE).await;
    let all = stage.gateway.get("/v1/stuck-calls").await;
    let all = column(&all, "provider_id").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(all.len(), 3, "what has ended is not stuck: {all:?}");
    let (mut paged, mut path) = (Vec::new(), "/v1/stuck-calls?limit=2".to_owned());
    loop {
        let page = stage.gateway.get(&path).await;
        paged.extend(column(&page, "provider_id").into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/stuck-calls?limit=2&cursor={cursor}");
    }
    assert_eq!(paged, all);
    let other = send(keyed(&stage.gateway, &acme, Method::GET, "/v1/stuck-calls?threshold=0")).await;
    assert_eq!(other.body["data"], json!([]), "another tenant's");
    let swept = send(keyed(&stage.gateway, &acme, Method::POST, "/v1/sweeps").json(&json!({"threshold": 0}))).await;
    assert_eq!((swept.status.as_u16(), &swept.body["looked"]), (200, &json!(0)), "{swept:?}");
    assert_eq!(stage.gateway.get("/v1/sweeps").await["data"], json!([]), "the other tenant's sweep is its own");

    let (_, reader) = key_of(&stage.gateway, "default", &[Scope::Read], None).await;
    let (_, writer) = key_of(&stage.gateway, "default", &[Scope::Write], None).await;
    for path in ["/v1/stuck-calls", "/v1/sweeps"] {
        expect_problem(&send(keyed(&stage.gateway, &writer, Method::GET, path)).await, 403, "scope-missing");
        assert_eq!(send(keyed(&stage.gateway, &reader, Method::GET, path)).await.status, 200);
    }
    for path in ["/v1/sweeps".to_owned(), format!("/v1/calls/{}/check", all[0]), format!("/v1/calls/{}/end", all[0])] {
        expect_problem(&send(keyed(&stage.gateway, &reader, Method::POST, &path)).await, 403, "scope-missing");
    }
}

async fn what_is_wrong_with_a_threshold_is_said(stage: Stage) {
    for bad in ["-1", "10081", "1.5", "x", "", "9999999999999999999"] {
        let asked = send(request(&stage.gateway, Method::GET, &format!("/v1/stuck-calls?threshold={bad}"))).await;
        expect_problem(&asked, 400, "bad-filter");
        let detail = asked.body["detail"].as_str().unwrap();
        assert!(detail.contains("threshold") && detail.contains("0 to 10080"), "{detail}");
    }
    for path in ["/v1/stuck-calls?treshold=60", "/v1/sweeps?threshold=60"] {
        expect_problem(&send(request(&stage.gateway, Method::GET, path)).await, 400, "bad-filter");
    }
    let sweep = async |body: Value| send(request(&stage.gateway, Method::POST, "/v1/sweeps").json(&body)).await;
    for bad in [json!(-1), json!(10_081), json!("60"), json!(1.5)] {
        assert_eq!(wrong_fields(&sweep(json!({ "threshold": bad })).await), ["threshold"]);
    }
    assert_eq!(wrong_fields(&sweep(json!({"dry_run": "yes"})).await), ["dry_run"]);
    assert_eq!(wrong_fields(&sweep(json!({"dryrun": true})).await).len(), 1);
    expect_problem(
        &send(request(&stage.gateway, Method::POST, "/v1/sweeps").body("{}")).await,
        415,
        "unsupported-media-type",
    );
    let sweeps = stage.gateway.get("/v1/sweeps").await;
    assert_eq!(sweeps["data"], json!([]), "nothing of this was a sweep");
    let plain = send(request(&stage.gateway, Method::POST, "/v1/sweeps")).await;
    assert_eq!(
        (plain.status.as_u16(), &plain.body["dry_run"]),
        (200, &json!(false)),
        "both may be left out: {plain:?}"
    );
}

async fn a_sweep_by_threshold_takes_calls_that_are_not_due(stage: Stage) {
    let sids = lose(&stage, &[Fate::Answered { talk_s: 45 }]).await;
    stage.pass(10_000).await;
    let sweep = async |body: Value| {
        let asked = send(request(&stage.gateway, Method::POST, "/v1/sweeps").json(&body)).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        asked.body
    };
    // Nothing is due yet.
    assert_eq!(sweep(json!({})).await["looked"], 0);
    assert_eq!(sweep(json!({"threshold": 60})).await["looked"], 0, "it showed a sign of life a moment ago");
    let alive = sweep(json!({"threshold": 0})).await;
    assert_eq!((&alive["looked"], &alive["alive"], &alive["changed"]), (&json!(1), &json!(1), &json!([])), "{alive}");
    stage.pass(MINUTE).await;
    let keyed = || request(&stage.gateway, Method::POST, "/v1/sweeps").header("idempotency-key", "once");
    let swept = send(keyed().json(&json!({"threshold": 0}))).await;
    let change = &swept.body["changed"][0];
    assert_eq!((&change["provider_id"], &change["to"]), (&json!(sids[0]), &json!("completed")), "{swept:?}");
    let again = send(keyed().json(&json!({"threshold": 0}))).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, swept.body);
    let listed = stage.gateway.get("/v1/sweeps").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 4, "each that was asked for, and the last one once: {listed}");
    let first = listed["data"].as_array().unwrap().iter().find(|row| row["repaired"] == 1).unwrap();
    assert_eq!((&first["threshold"], &first["changed"]), (&json!(0), &swept.body["changed"]));
    assert!(first["actor"].as_str().unwrap().starts_with("key:"), "{first}");
}

async fn a_dry_run_says_what_a_sweep_does_and_changes_nothing(at: TestDatabase) {
    let stage = Stage::on(&at, &[]).await;
    stage.lead("lead-1").await;
    let linked = stage.place_with(Fate::Answered { talk_s: 50 }, "lead_id=lead-1");
    let mut sids = lose(&stage, &[Fate::Answered { talk_s: 3_600 }, Fate::NoAnswer, Fate::NoAnswer]).await;
    sids.push(linked);
    stage.pass(10 * MINUTE).await;
    let sweep = async |dry_run: bool| {
        let body = json!({ "dry_run": dry_run });
        let asked = send(request(&stage.gateway, Method::POST, "/v1/sweeps").json(&body)).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        asked.body
    };
    let before = dump(&at.place).await;
    let mut said = sweep(true).await;
    let after = dump(&at.place).await;
    assert!(before.len() > 20 && before["call"].len() > 500, "a dump of blanks: {:?}", before.keys());
    assert_eq!(before, after);
    assert_eq!((&said["looked"], &said["alive"]), (&json!(4), &json!(1)), "{said}");
    assert_eq!((&said["repaired"], said["changed"].as_array().unwrap().len()), (&json!(3), 3), "{said}");
    assert_eq!(stage.gateway.get("/v1/leads/lead-1").await["contact_count"], 0);

    stage.pass(1).await;
    let done = sweep(false).await;
    assert_eq!((&said["dry_run"], &done["dry_run"]), (&json!(true), &json!(false)));
    said["dry_run"] = json!(false);
    let sorted = |mut report: Value| {
        report["changed"].as_array_mut().unwrap().sort_by_key(|change| change["call_id"].to_string());
        report
    };
    assert_eq!(sorted(done.clone()), sorted(said), "it did what the dry run said");
    for change in done["changed"].as_array().unwrap() {
        let call = stage.call(change["call_id"].as_str().unwrap()).await;
        assert_eq!((&call["status"], &call["resolution"]), (&change["to"], &change["resolution"]));
    }
    assert_eq!(stage.gateway.get("/v1/leads/lead-1").await["contact_count"], 1);
    assert_ne!(dump(&at.place).await, before, "the dump sees changes");
    let listed = stage.gateway.get("/v1/sweeps?limit=1").await;
    assert_eq!((&listed["data"][0]["dry_run"], &listed["data"][0]["repaired"]), (&json!(false), &done["repaired"]));
    let next = format!("/v1/sweeps?limit=1&cursor={}", listed["next_cursor"].as_str().unwrap());
    let dry = stage.gateway.get(&next).await;
    assert_eq!((&dry["data"][0]["dry_run"], &dry["next_cursor"]), (&json!(true), &Value::Null), "newest first: {dry}");
    assert!(dry["data"][0]["started_at"].as_str().unwrap() > rfc3339(START_MS).as_str());
}

/// Every row of every table but who asks whom (`watch`), and that somebody asked (`sweep`).
async fn dump(place: &Place) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::new();
    let skipped = |name: &str| ["watch", "sweep", "_sqlx_migrations"].contains(&name) || name.starts_with("sqlite_");
    if place.url.starts_with("sqlite") {
        let mut db = SqliteConnection::connect(&place.url).await.unwrap();
        let names = "SELECT name FROM sqlite_master WHERE type = 'table'";
        for row in db.fetch_all(names).await.unwrap() {
            let name: String = row.get(0);
            if skipped(&name) {
                continue;
            }
            let columns = AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{name}')"));
            let columns = db.fetch_all(columns).await.unwrap();
            let quoted: Vec<_> = columns.iter().map(|c| format!("quote(\"{}\")", c.get::<String, _>(0))).collect();
            let rows = AssertSqlSafe(format!("SELECT {} FROM \"{name}\" ORDER BY 1", quoted.join("||'|'||")));
            let rows = db.fetch_all(rows).await.unwrap();
            tables.insert(name, rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n"));
        }
    } else {
        let mut db = place.postgres_connection().await;
        let names = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'onhook'";
        for row in db.fetch_all(names).await.unwrap() {
            let name: String = row.get(0);
            if skipped(&name) {
                continue;
            }
            let rows = AssertSqlSafe(format!("SELECT t::text FROM onhook.\"{name}\" AS t ORDER BY 1"));
            let rows = db.fetch_all(rows).await.unwrap();
            tables.insert(name, rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n"));
        }
    }
    tables
}
