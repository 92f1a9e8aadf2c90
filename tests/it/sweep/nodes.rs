//! Several nodes, nodes that die, accounts and calls that fail, and many calls.

use super::scene::{LEASE_MS, Scene, is_in_order, is_list, on_both_scenes, owed, status, tell};
use crate::support::{
    canned::Reply,
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway},
    stage::INTERVAL_MS,
};
use onhook::{
    domain::{state::Outcome, time::MINUTE},
    double::{Account, Change, Order},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use std::time::Duration;

on_both! {
    a_node_that_dies_in_a_sweep_leaves_nothing_behind,
    two_nodes_that_sweep_at_once_ask_once,
    a_call_whose_row_cannot_be_read_stops_no_other,
}
on_both_scenes!(one_account_that_fails_stops_no_other, many_calls_live_and_many_are_lost);

async fn node(scene: &Scene, at: &TestDatabase) -> Gateway {
    let base = [("ONHOOK_TWILIO_API_BASE", scene.between.url.as_str())];
    Gateway::with_clock(&at.place, &base, scene.clock.clone()).await
}

/// The sweep is dropped at some moment, as if the process died; another node goes on.
async fn a_node_that_dies_in_a_sweep_leaves_nothing_behind(at: TestDatabase) {
    let scene = Scene::on(&at, &[]).await;
    let other = node(&scene, &at).await;
    let mut rng = StdRng::seed_from_u64(5);
    let mut sids = Vec::new();
    for _ in 0..8 {
        for _ in 0..6 {
            sids.push(scene.in_progress("").await);
        }
        sids[sids.len() - 6..].iter().for_each(|sid| scene.end(sid, Outcome::Completed));
        scene.pass(MINUTE).await;
        let moment = Duration::from_micros(rng.random_range(0..60_000));
        drop(tokio::time::timeout(moment, scene.gateway.sweeper.tick()).await);
        scene.pass(LEASE_MS).await;
        other.sweeper.tick().await.unwrap();
        for sid in &sids {
            assert_eq!(status(&other, sid).await, "completed");
        }
    }
    for sid in &sids {
        assert_eq!(owed(&other, sid).await, ["call.repaired"]);
    }
    is_in_order(&other).await;
}

async fn two_nodes_that_sweep_at_once_ask_once(at: TestDatabase) {
    let scene = Scene::on(&at, &[]).await;
    let other = node(&scene, &at).await;
    let mut sids = Vec::new();
    for n in 0..24 {
        let sid = scene.in_progress("").await;
        if n % 2 == 0 {
            scene.end(&sid, Outcome::Completed);
        }
        sids.push(sid);
    }
    scene.pass(MINUTE).await;
    let (ours, theirs) = tokio::join!(scene.gateway.sweeper.tick(), other.sweeper.tick());
    assert_eq!(ours.unwrap().looked + theirs.unwrap().looked, 24);
    assert_eq!(scene.asked("/Calls.json"), 3, "one list per status");
    for (n, sid) in sids.iter().enumerate() {
        let (asked, kinds, word) =
            if n % 2 == 0 { (1, vec!["call.repaired"], "completed") } else { (0, vec![], "in-progress") };
        assert_eq!(scene.asked(&format!("{sid}.json")), asked);
        assert_eq!(
            (status(&other, sid).await.as_str(), owed(&other, sid).await),
            (word, kinds.iter().map(|k| (*k).to_owned()).collect())
        );
    }
    is_in_order(&other).await;
}

async fn execute(place: &Place, sql: &str) {
    let changed = if place.url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&place.url).await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
    } else {
        let mut connection = place.postgres_connection().await;
        connection.execute("SET search_path TO onhook").await.unwrap();
        connection.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
    };
    assert!(changed > 0, "{sql} changed nothing");
}

async fn a_call_whose_row_cannot_be_read_stops_no_other(at: TestDatabase) {
    let scene = Scene::on(&at, &[]).await;
    let mut sids = Vec::new();
    for _ in 0..4 {
        sids.push(scene.in_progress("").await);
    }
    // One of them is listed, one is missing; and with each of them a healthy one.
    for sid in &sids[..2] {
        execute(&at.place, &format!("UPDATE call SET registers = '{{\"live\":' WHERE provider_id = '{sid}'")).await;
    }
    scene.end(&sids[1], Outcome::Completed);
    scene.end(&sids[3], Outcome::Busy);
    scene.pass(MINUTE).await;
    let report = scene.sweep().await;
    assert_eq!((report.alive, report.repaired), (1, 1), "{report:?}");
    assert!(report.skipped.iter().any(|skipped| skipped.provider_id == sids[1]), "{:?}", report.skipped);
    assert_eq!((scene.status(&sids[2]).await, scene.status(&sids[3]).await), ("in-progress".into(), "busy".into()));
    assert_eq!(scene.watched().await.trouble, None);
    // Nor where nobody answers.
    scene.away();
    scene.pass(5 * 60 * MINUTE).await;
    scene.sweep().await;
    assert_eq!(scene.call(&sids[2]).await["resolution"], "inferred");
}

const SECOND_ACCOUNT: &str = "AC0000000000000000000000000000000b";

async fn one_account_that_fails_stops_no_other(scene: Scene) {
    scene.double(|double| double.add_account(Account::new(SECOND_ACCOUNT, "second")));
    let add = json!({"sid": SECOND_ACCOUNT, "token": "second"});
    assert_eq!(scene.gateway.ask(Method::POST, "/v1/accounts", Some(add)).await.0, 201);
    let now_ms = scene.twilio.now_ms();
    let second = scene.double(|double| {
        let changes = vec![(now_ms, Change::Queued), (now_ms, Change::Ended { outcome: Outcome::Completed, sip: 200 })];
        double.add_call(Order::new(SECOND_ACCOUNT, "+14155550100", "+14155550101"), changes)
    });
    let body = format!("AccountSid={SECOND_ACCOUNT}&CallSid={second}&CallStatus=in-progress&Direction=outbound-api");
    assert_eq!(scene.gateway.post_signed("second", "", body.as_bytes()).await.status(), 204);
    let first = scene.in_progress("").await;
    scene.end(&first, Outcome::Completed);
    scene.answering(|seen| seen.target.contains(ACCOUNT).then(|| Reply::status(503).with("Retry-After", "3600")));
    scene.pass(MINUTE).await;
    scene.sweep().await;
    assert_eq!((scene.status(&first).await, scene.status(&second).await), ("in-progress".into(), "completed".into()));
    scene.honest();
    scene.sweep_for(1).await;
    assert_eq!(scene.status(&first).await, "completed");
}

/// More than a page of Twilio's lists; then half of them is over, and nobody was told.
async fn many_calls_live_and_many_are_lost(scene: Scene) {
    let sids: Vec<String> = (0..1_200).map(|_| scene.silent(Change::Answered { by: None })).collect();
    for some in sids.chunks(40) {
        futures(some.iter().map(|sid| tell(&scene.gateway, sid, "in-progress", "", &[]))).await;
    }
    scene.pass(MINUTE).await;
    let report = scene.sweep().await;
    assert_eq!((report.looked, report.alive), (1_200, 1_200), "{report:?}");
    assert_eq!(scene.asked("/Calls.json"), 4, "a second page of those in progress");
    sids[..600].iter().for_each(|sid| scene.end(sid, Outcome::Completed));
    scene.pass(INTERVAL_MS).await;
    let report = scene.sweep().await;
    assert_eq!((report.alive, report.repaired), (600, 600));
    let live = scene.gateway.get("/v1/calls?live=true&limit=1").await;
    assert_eq!(live["data"].as_array().unwrap().len(), 1);
    for sid in sids[..600].iter().step_by(97) {
        assert_eq!(scene.owed(sid).await, ["call.repaired"]);
    }
    assert_eq!(scene.status(&sids[600]).await, "in-progress");
    let singles = scene.between.seen().iter().filter(|seen| !is_list(seen)).count();
    assert_eq!(singles, 600);
}

/// All at once.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
