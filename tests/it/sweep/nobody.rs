//! Accounts that nobody can be asked about, and sweeps that nobody wants.

use super::scene::{Scene, TENANT, is_in_order, is_list};
use crate::support::{
    canned::Reply,
    database::{TestDatabase, on_both},
    stage::INTERVAL_MS,
};
use onhook::{
    domain::time::MINUTE,
    store::{
        accounts::{self, AccountRow},
        calls, sweeps,
    },
};
use serde_json::{Value, json};
use std::sync::mpsc;

on_both! {
    the_timeout_holds_where_nobody_can_be_asked,
    a_newer_call_on_an_extension_ends_the_older_one_if_that_is_wanted,
    a_newer_call_on_an_extension_ends_nothing_unasked,
    an_answered_call_is_failed_if_that_is_wanted,
    a_long_interval_looks_after_them_too,
    without_an_interval_nothing_is_swept,
    it_stops_in_the_middle_of_a_sweep,
}

const STRANGER: &str = "AC000000000000000000000000000000ff";

fn sid(n: u32) -> String {
    format!("CA{n:032x}")
}

/// A callback of an account without credentials, let in by `observe`.
async fn tell(scene: &Scene, n: u32, status: &str, query: &str) {
    let body = format!("AccountSid={STRANGER}&CallSid={}&CallStatus={status}&Direction=outbound-api", sid(n));
    let response = scene.gateway.post_signed("any", query, body.as_bytes()).await;
    assert!(response.status().is_success(), "{}", response.status());
}

async fn scene(at: &TestDatabase, settings: &[(&str, &str)]) -> Scene {
    let settings: Vec<_> = [("ONHOOK_VERIFY", "observe")].into_iter().chain(settings.iter().copied()).collect();
    let scene = Scene::on(at, &settings).await;
    // Known, and without credentials.
    let account = AccountRow {
        id: STRANGER.into(),
        tenant: TENANT.into(),
        provider: "twilio".into(),
        verify: None,
        verify_until_ms: None,
        created_ms: 1,
        parent: None,
        api_base: None,
        api_key: None,
    };
    let mut tx = at.db.begin().await.unwrap();
    accounts::insert(&mut tx, &account).await.unwrap();
    tx.commit().await.unwrap();
    scene
}

async fn the_timeout_holds_where_nobody_can_be_asked(at: TestDatabase) {
    let scene = scene(&at, &[]).await;
    tell(&scene, 1, "in-progress", "user_id=ann").await;
    tell(&scene, 2, "ringing", "").await;
    for (n, live, after_ms) in [(1, "in-progress", 30 * MINUTE), (2, "ringing", 30 * MINUTE)] {
        scene.pass(after_ms - 1).await;
        scene.sweep().await;
        assert_eq!(scene.status(&sid(n)).await, live);
        scene.pass(INTERVAL_MS).await;
        scene.sweep().await;
        let call = scene.call(&sid(n)).await;
        assert_eq!(
            (&call["resolution"], &call["hangup_cause"]),
            (&"inferred".into(), &"timeout_cleanup".into()),
            "{call}"
        );
        let audited = scene.audited(call["id"].as_str().unwrap()).await;
        let detail: Value = serde_json::from_str(&audited[0].detail).unwrap();
        assert!(detail["rule"].as_str().unwrap().contains("nobody can be asked about"), "{detail}");
        assert_eq!(scene.owed(&sid(n)).await, ["call.repaired"]);
        scene.pass(1 - INTERVAL_MS).await;
    }
    assert_eq!(scene.between.seen().len(), 0);
    is_in_order(&scene.gateway).await;
}

async fn a_newer_call_on_an_extension_ends_the_older_one_if_that_is_wanted(at: TestDatabase) {
    let scene = scene(&at, &[("ONHOOK_SWEEP_SUPERSEDE", "true")]).await;
    let call = beside_newer_ones(&scene).await;
    assert_eq!((&call["status"], &call["hangup_cause"]), (&"completed".into(), &"superseded".into()), "{call}");
    let id = call["id"].as_str().unwrap();
    assert_eq!(scene.audited(id).await[0].action, "call.superseded");
    assert_eq!(scene.noticed(id).await.len(), 1);
    assert_eq!(scene.owed(&sid(1)).await, ["call.repaired"]);
}

async fn a_newer_call_on_an_extension_ends_nothing_unasked(at: TestDatabase) {
    let scene = scene(&at, &[]).await;
    let call = beside_newer_ones(&scene).await;
    assert_eq!(call["status"], "in-progress");
}

/// A call, after others came: one on its extension, one elsewhere, one that only rings. Those live.
async fn beside_newer_ones(scene: &Scene) -> Value {
    tell(scene, 1, "in-progress", "extension=100").await;
    scene.pass(1_000).await;
    tell(scene, 2, "in-progress", "extension=100").await;
    tell(scene, 3, "in-progress", "extension=7").await;
    tell(scene, 4, "ringing", "extension=100").await;
    scene.pass(2 * MINUTE).await;
    scene.sweep().await;
    for (other, status) in [(2, "in-progress"), (3, "in-progress"), (4, "ringing")] {
        assert_eq!(scene.status(&sid(other)).await, status);
    }
    is_in_order(&scene.gateway).await;
    scene.call(&sid(1)).await
}

async fn an_answered_call_is_failed_if_that_is_wanted(at: TestDatabase) {
    let scene = scene(&at, &[("ONHOOK_SWEEP_ANSWERED_OUTCOME", "failed")]).await;
    scene.lead("lead-1").await;
    tell(&scene, 1, "in-progress", "lead_id=lead-1").await;
    scene.pass(31 * MINUTE).await;
    scene.sweep().await;
    let call = scene.call(&sid(1)).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"failed".into(), &"inferred".into()));
    assert_eq!(scene.gateway.get("/v1/leads/lead-1").await["contact_count"], 0);
    is_in_order(&scene.gateway).await;
}

async fn a_long_interval_looks_after_them_too(at: TestDatabase) {
    let scene = scene(&at, &[("ONHOOK_SWEEP_INTERVAL", "1h")]).await;
    tell(&scene, 1, "in-progress", "").await;
    scene.pass(20 * MINUTE).await;
    let report = scene.sweep().await;
    assert_eq!((report.looked, report.skipped_count), (1, 1), "{report:?}");
    scene.pass(60 * MINUTE).await;
    scene.sweep().await;
    assert_eq!(scene.call(&sid(1)).await["resolution"], "inferred");
}

async fn without_an_interval_nothing_is_swept(at: TestDatabase) {
    let scene = scene(&at, &[]).await;
    let known = scene.in_progress("").await;
    tell(&scene, 1, "in-progress", "").await;
    scene.pass(600 * MINUTE).await;
    assert_eq!(scene.between.seen().len(), 0);
    assert_eq!((scene.status(&sid(1)).await, scene.status(&known).await), ("in-progress".into(), "in-progress".into()));
    assert_eq!(sweeps::list(&scene.gateway.db, TENANT, None, 9).await.unwrap(), []);
    scene.gateway.stop().await;
}

async fn it_stops_in_the_middle_of_a_sweep(at: TestDatabase) {
    let scene = scene(&at, &[("ONHOOK_SWEEP_INTERVAL", "100ms")]).await;
    let (begun, sweeping) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    scene.answering(move |seen| {
        assert!(is_list(seen));
        begun.send(()).unwrap();
        // Until the test lets go: the sweep is under way when it is told to stop.
        let _ = tokio::task::block_in_place(|| released.recv());
        Some(Reply::json(json!({ "calls": [] })))
    });
    let sid = scene.in_progress("").await;
    scene.pass(2 * MINUTE).await;
    tokio::task::block_in_place(|| sweeping.recv()).unwrap();
    let Scene { gateway, .. } = scene;
    gateway.stop().await;
    drop(release);
    let call = calls::find(&at.another_node().await, TENANT, &sid, None).await.unwrap();
    assert_eq!(call[0].status, "in-progress");
}
