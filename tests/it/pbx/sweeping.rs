//! The sweeper and PBXs: what it is told, and what it leaves alone.

use super::scene::{CALL, LEG, Node, PACE, PBX, TENANT, hangs_up, is_answered, on_both_nodes, rings, talking, until};
use crate::support::{
    database::TestDatabase,
    gateway::{START_MS, config},
};
use onhook::{
    ami::client::DownKind,
    app::{self, Fuses},
    domain::time::{HOUR, MINUTE, SECOND},
    store::audit,
    sweep::{Report, Sweeper},
};
use rand::{SeedableRng, rngs::StdRng};

on_both_nodes! {
    a_long_call_that_is_listed_goes_on,
    a_call_that_vanished_is_ended_by_the_list,
    a_call_of_another_process_is_left_alone,
    nothing_is_given_up_before_its_limit_while_nobody_is_connected,
}

fn sweeper(node: &Node) -> Sweeper {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fuses = Fuses {
        db: node.db.clone(),
        clock: node.clock.shared(),
        directory: node.directory.clone(),
        ingest: node.ingest.clone(),
        metrics: node.metrics.clone(),
    };
    let config = config("sqlite://nowhere.db", &[]);
    app::sweeper(&config, fuses, node.pbxs.clone(), &mut StdRng::seed_from_u64(3)).unwrap()
}

async fn talk(a: &Node) -> super::scene::Fed {
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    line.say(&a.clock, is_answered()).await;
    a.until_status(LEG, "in-progress").await;
    a.until_status(CALL, "in-progress").await;
    line
}

/// Sweeps; each list that it asks for has these channels.
async fn sweep(a: &Node, line: &super::scene::Fed, channels: Vec<onhook::ami::Channel>) -> Report {
    let mut answered = line.lists();
    let answer = async {
        loop {
            until("a list is asked for", async || line.lists() > answered).await;
            answered = line.lists();
            line.listed(&a.clock, channels.clone()).await;
        }
    };
    let sweeper = sweeper(a);
    tokio::select! {
        swept = sweeper.tick() => swept.unwrap(),
        () = answer => panic!("nobody sweeps"),
    }
}

async fn a_long_call_that_is_listed_goes_on(_at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    for _ in 0..6 {
        a.clock.advance(HOUR);
        let report = sweep(&a, &line, talking()).await;
        assert_eq!((report.looked, report.alive, report.repaired, report.given_up), (2, 2, 0, 0), "{report:?}");
    }
    let call = a.call(CALL).await;
    assert_eq!((call.status.as_str(), call.alive_ms), ("in-progress", Some(START_MS + 6 * HOUR)));
    line.say(&a.clock, hangs_up()).await;
    a.until_status(LEG, "completed").await;
    a.clock.advance(3 * SECOND);
    let call = a.until_status(CALL, "completed").await;
    assert_eq!((call.resolution.as_deref(), call.talk_seconds), (Some("callback"), Some(6 * 3600)));
}

/// As when rows were there that no correlator knows: it ended, and nobody follows it.
async fn a_call_that_vanished_is_ended_by_the_list(_at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    a.clock.advance(2 * MINUTE);
    let report = sweep(&a, &line, Vec::new()).await;
    assert_eq!(report.repaired, 0, "one list is not enough for a call that is followed: {report:?}");
    assert_eq!(a.call(CALL).await.status, "in-progress");
    a.clock.advance(MINUTE);
    sweep(&a, &line, Vec::new()).await;
    let leg = a.until_status(LEG, "completed").await;
    assert_eq!((leg.resolution.as_deref(), leg.estimated), (Some("reconciled"), true));
    a.clock.advance(3 * SECOND);
    let call = a.until_status(CALL, "completed").await;
    assert_eq!(call.hangup_cause.as_deref(), Some("ended_while_disconnected"));
    assert_eq!(audit::list_of_subject(&a.db, TENANT, &call.id, 9).await.unwrap(), [], "nobody decided it");
}

async fn a_call_of_another_process_is_left_alone(at: TestDatabase, a: Node) {
    let _line = talk(&a).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    let due_ms = a.call(CALL).await.due_at_ms;
    a.clock.advance(9 * HOUR);
    let report = sweeper(&b).tick().await.unwrap();
    assert_eq!((report.looked, report.given_up), (0, 0), "{report:?}");
    assert_eq!((a.call(CALL).await.status.as_str(), a.call(CALL).await.due_at_ms), ("in-progress", due_ms));
}

async fn nothing_is_given_up_before_its_limit_while_nobody_is_connected(_at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    line.down(DownKind::Closed, Some(START_MS)).await;
    a.until_state("down").await;
    a.clock.advance(4 * HOUR);
    let report = sweeper(&a).tick().await.unwrap();
    assert_eq!((report.given_up, report.skipped_count), (0, 2), "{report:?}");
    a.clock.advance(HOUR);
    let report = sweeper(&a).tick().await.unwrap();
    assert_eq!(report.given_up, 2, "{report:?}");
    assert_eq!(a.call(CALL).await.resolution.as_deref(), Some("inferred"));
    let told = onhook::store::watch::find(&a.db, TENANT, PBX).await.unwrap();
    assert!(told.is_none_or(|watch| watch.trouble.is_none()), "whoever listens says that it is away");
}
