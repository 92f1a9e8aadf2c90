//! The follower: each entry counts once, whoever counts it and however often it is tried.

use super::{callback, count_now, endings, follower, has_metric, health, kinds, own_writer, settle, whole_call};
use crate::{
    cli::Shell,
    http::sid,
    support::{
        database::{TestDatabase, on_both},
        gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS},
    },
};
use onhook::{
    clock::ManualClock,
    domain::time::rfc3339,
    health::{BEHIND_MS, Health, LAG_MS, Pass, Window, report},
    housekeeping::Housekeeping,
    store::journal::{self, CALL, NewEntry},
    telemetry::Metrics,
};
use serde_json::json;

on_both!(
    the_gateway_counts_by_itself,
    what_is_young_is_left_for_later,
    racing_followers_count_each_entry_once,
    what_cannot_be_read_does_not_hold_up_the_rest,
    an_entry_of_the_future_does_not_hold_up_the_rest,
    old_figures_are_forgotten,
    the_command_line_shows_the_same,
);

async fn the_gateway_counts_by_itself(at: TestDatabase) {
    let clock = ManualClock::new(START_MS);
    let (ingest, _) = crate::ingest::node(&at.db, 1);
    let said = crate::ingest::signal(&sid(1), crate::ingest::completed(4), None, None);
    ingest.submit(super::through("twilio/status", &said, START_MS)).await.unwrap();
    let behind_since = async |after_ms: i64| {
        let now_ms = START_MS + after_ms;
        report(&at.db, ("default", ACCOUNT), &Window::default(), now_ms, None).await.unwrap().behind_since
    };
    assert_eq!(behind_since(BEHIND_MS).await, None, "a pass may come yet");
    assert_eq!(behind_since(BEHIND_MS + 1).await, Some(rfc3339(START_MS)), "nobody counts");
    clock.advance(BEHIND_MS + 1);
    let gateway = Gateway::with_clock(&at.place, &[], clock).await;
    let until_counted = async {
        while !has_metric(&gateway, r#"onhook_endings_total{known_by="callback"} 1"#) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), until_counted).await.expect("nobody counts");
    let shown = health(&gateway).await;
    assert_eq!((&shown["behind_since"], shown["endings"].as_array().unwrap().len()), (&json!(null), 1));
}

async fn what_is_young_is_left_for_later(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    whole_call(&gateway, &sid(1), "outbound-api").await;
    gateway.clock.advance(LAG_MS - 1);
    whole_call(&gateway, &sid(2), "outbound-api").await;
    assert_eq!(follower(&gateway).tick().await.unwrap(), Pass::Nothing);
    gateway.clock.advance(1);
    count_now(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "outbound-api")["called_back"], 1);
    gateway.clock.advance(LAG_MS);
    count_now(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "outbound-api")["called_back"], 2);
}

async fn racing_followers_count_each_entry_once(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let nodes: Vec<Health> = vec![
        Health::new(at.another_node().await, gateway.clock.shared(), Metrics::new(), None),
        Health::new(at.another_node().await, gateway.clock.shared(), Metrics::new(), None),
    ];
    let mut counted = 0;
    for round in 0..8 {
        for n in 0..5 {
            whole_call(&gateway, &sid(round * 100 + n), "outbound-api").await;
            callback(&gateway, &sid(round * 100 + n), "outbound-api", "completed", 3).await;
        }
        gateway.clock.advance(LAG_MS);
        let (one, two) = tokio::join!(nodes[0].tick(), nodes[1].tick());
        for pass in [one.unwrap(), two.unwrap()] {
            match pass {
                Pass::Counted(entries) => counted += entries,
                Pass::Nothing | Pass::Elsewhere => {}
            }
        }
        count_now(&gateway).await;
    }
    assert!(counted <= 8 * 25, "{counted}");
    let shown = health(&gateway).await;
    let came = &shown["callbacks"][0];
    assert_eq!((&came["received"], &came["repeated"]), (&json!(200), &json!(40)));
    assert_eq!(endings(&shown, "outbound-api")["called_back"], 40);
}

async fn what_cannot_be_read_does_not_hold_up_the_rest(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let garbage = |subject: &str, what: &str| NewEntry {
        tenant: "default".into(),
        kind: CALL,
        subject: subject.into(),
        at_ms: 1_767_323_045_000,
        what: what.into(),
    };
    let mut tx = at.db.begin().await.unwrap();
    journal::append(&mut tx, &[garbage("call_1", "{}"), garbage("call_2", "no JSON \"claim\":\"ended\"")])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    whole_call(&gateway, &sid(1), "inbound").await;
    settle(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "inbound")["called_back"], 1);
}

/// The clock of a node was wrong for a while.
async fn an_entry_of_the_future_does_not_hold_up_the_rest(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let mut tx = at.db.begin().await.unwrap();
    let of = |at_ms: i64| NewEntry {
        tenant: "default".into(),
        kind: CALL,
        subject: "call_1".into(),
        at_ms,
        what: "{}".into(),
    };
    journal::append(&mut tx, &[of(START_MS + 40 * 365 * 86_400_000)]).await.unwrap();
    tx.commit().await.unwrap();
    whole_call(&gateway, &sid(1), "inbound").await;
    settle(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "inbound")["called_back"], 1);
}

async fn old_figures_are_forgotten(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    whole_call(&gateway, &sid(1), "inbound").await;
    settle(&gateway).await;
    let housekeeping = Housekeeping {
        db: at.db.clone(),
        clock: gateway.clock.shared(),
        metrics: gateway.metrics.clone(),
        keep_refused_ms: 7 * 86_400_000,
        keep: onhook::housekeeping::Keep { deliveries_ms: 1, journal_ms: 1, audit_ms: 1 },
    };
    let wide = format!("/v1/accounts/{ACCOUNT}/health?window=30d");
    gateway.clock.advance(30 * 86_400_000);
    housekeeping.tick().await.unwrap();
    assert_eq!(gateway.get(&wide).await["endings"].as_array().unwrap().len(), 1, "the longest window is whole");
    gateway.clock.advance(2 * 3_600_000);
    assert_eq!(housekeeping.tick().await.unwrap(), 2);
    // An entry that is older than any window is passed over: its hour would never go again.
    whole_call(&gateway, &sid(2), "inbound").await;
    gateway.clock.advance(31 * 86_400_000);
    count_now(&gateway).await;
    assert_eq!(gateway.get(&wide).await["endings"], json!([]));
    assert_eq!(housekeeping.tick().await.unwrap(), 0);
}

async fn the_command_line_shows_the_same(at: TestDatabase) {
    // It has the time of the machine, so the gateway gets that too.
    let gateway = Gateway::with_clock(&at.place, &[], ManualClock::new(machine_ms())).await;
    for n in 1..=5 {
        whole_call(&gateway, &sid(n), "outbound-api").await;
    }
    settle(&gateway).await;
    let shell = Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    let run = |args: &[&str]| {
        let args = [&["accounts", "health"], args].concat();
        tokio::task::block_in_place(|| shell.run(&args))
    };
    let figures = |mut value: serde_json::Value| {
        value.as_object_mut().unwrap().remove("since");
        value
    };
    assert_eq!(figures(run(&[ACCOUNT, "--json"]).expect(0).json()), figures(health(&gateway).await));
    let text = run(&[ACCOUNT]).expect(0).stdout;
    assert!(text.contains("outbound-api") && text.contains("all is as it should be"), "{text}");

    // Five inbound legs that only another door ended.
    let ingest = own_writer(&gateway);
    for n in 11..=15 {
        let mut said = crate::ingest::signal(&sid(n), crate::ingest::completed(4), None, None);
        said.details.insert(onhook::domain::signal::Field::Direction, "inbound".into());
        ingest.submit(super::through("twilio/dial", &said, machine_ms())).await.unwrap();
    }
    settle(&gateway).await;
    let found = run(&[ACCOUNT, "--window", "2h", "--json"]).expect(5).json();
    assert_eq!(kinds(&found), ["no-ending-callbacks"]);
    let text = run(&[ACCOUNT, "--window", "7d"]).expect(5).stdout;
    assert!(
        text.contains("no-ending-callbacks") && text.contains("fix: ") && text.contains("Call status changes"),
        "{text}"
    );

    run(&["AC99999999999999999999999999999999"]).expect(3).says(&["there is no account", "onhook accounts list"]);
    run(&[ACCOUNT, "--tenant", "acme"]).expect(3);
    run(&[ACCOUNT, "--window", "1y"]).expect(2).says(&["from 1h to 30d"]);
}

/// The time of the machine, which only the command line reads.
fn machine_ms() -> i64 {
    onhook::clock::Clock::now_ms(&onhook::clock::SystemClock)
}
