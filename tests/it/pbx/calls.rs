//! Calls of a PBX: what is written of them, and what is known after a gap.

use super::scene::{
    CALL, LEG, Node, PACE, PBX, TENANT, hangs_up, is_answered, of_another_call, on_both_nodes, rings, talking, until,
};
use crate::support::{database::TestDatabase, gateway::START_MS};
use onhook::{
    ami::client::DownKind,
    clock::ManualClock,
    domain::{
        id::Leg,
        signal::{Claim, Field, Signal, Witness},
        state::Live,
        time::{HOUR, MINUTE, SECOND},
    },
    ingest::Submission,
    pbx::Pace,
    store::{calls, deliveries, extensions},
};

on_both_nodes! {
    a_call_is_written_as_it_happens,
    extensions_name_their_users,
    a_call_that_ended_while_we_were_away,
    a_call_that_goes_on_over_a_gap,
    a_restart_of_ours_in_the_middle_of_a_call,
    another_process_ends_what_ended_meanwhile,
    a_restart_of_the_pbx,
    channel_lists_are_asked_for_now_and_then,
    lists_go_on_when_the_clock_was_set_back,
    an_ending_that_is_held_back_is_told_when_we_stop,
    a_leg_that_lives_on_in_another_call_is_ended_after_a_restart,
}

async fn a_call_is_written_as_it_happens(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    a.until_status(CALL, "ringing").await;
    a.clock.advance(5 * SECOND);
    line.say(&a.clock, is_answered()).await;
    let leg = a.until_status(LEG, "in-progress").await;
    assert_eq!((leg.provider.as_str(), leg.account.as_str()), ("asterisk", PBX));
    assert_eq!(leg.parent_id.as_deref(), Some(CALL));
    a.until_status(CALL, "in-progress").await;
    a.clock.advance(20 * SECOND);
    line.say(&a.clock, hangs_up()).await;
    let leg = a.until_status(LEG, "completed").await;
    assert_eq!(leg.ended_at_ms, Some(START_MS + 25 * SECOND));
    assert_eq!(a.call(CALL).await.status, "in-progress", "for two seconds more: a transfer may go on with it");
    a.clock.advance(3 * SECOND);
    let call = a.until_status(CALL, "completed").await;
    assert_eq!((call.resolution.as_deref(), call.estimated), (Some("callback"), false));
    assert_eq!((call.ended_at_ms, call.talk_seconds), (Some(START_MS + 25 * SECOND), Some(20)));
    let kept = deliveries::list_of_call(&a.db, TENANT, PBX, LEG, (0, ""), 99).await.unwrap();
    assert!(kept.iter().all(|row| row.source == "asterisk/ami" && row.method == "AMI" && row.verified));
    assert!(kept.iter().any(|row| row.body.starts_with(b"Event: Hangup\r\n")), "as it was heard");
}

async fn extensions_name_their_users(_at: TestDatabase, a: Node) {
    let mut tx = a.db.begin().await.unwrap();
    extensions::put_user(&mut tx, (TENANT, PBX), "2002", Some("ada")).await.unwrap();
    tx.commit().await.unwrap();
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    let leg = a.until_status(LEG, "ringing").await;
    assert_eq!((leg.extension.as_deref(), leg.user_id.as_deref()), (Some("2002"), Some("ada")));
}

async fn talk(a: &Node) -> super::scene::Fed {
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    line.say(&a.clock, is_answered()).await;
    a.until_status(LEG, "in-progress").await;
    a.until_status(CALL, "in-progress").await;
    line
}

async fn is_estimated(a: &Node, id: &str, cause: &str, ended_ms: i64) {
    let call = a.until_status(id, "completed").await;
    assert_eq!((call.resolution.as_deref(), call.estimated), (Some("reconciled"), true), "{id}");
    assert_eq!((call.hangup_cause.as_deref(), call.ended_at_ms), (Some(cause), Some(ended_ms)), "{id}");
}

async fn a_call_that_ended_while_we_were_away(_at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    let heard_ms = a.clock_ms() + 7 * SECOND;
    a.clock.advance(10 * SECOND);
    line.down(DownKind::Silent, Some(heard_ms)).await;
    a.until_state("down").await;
    a.clock.advance(10 * SECOND);
    line.up(&a.clock, None).await;
    line.listed(&a.clock, Vec::new()).await;
    is_estimated(&a, LEG, "ended_while_disconnected", heard_ms).await;
    is_estimated(&a, CALL, "ended_while_disconnected", heard_ms).await;
    assert_eq!((a.row().await.gaps, a.row().await.state.as_str()), (1, "connected"));
}

async fn a_call_that_goes_on_over_a_gap(_at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    line.down(DownKind::Closed, Some(a.clock_ms())).await;
    a.clock.advance(10 * SECOND);
    line.up(&a.clock, None).await;
    // Heard before the list is complete: kept back, and not lost.
    line.listed(&a.clock, talking()).await;
    a.clock.advance(MINUTE);
    line.say(&a.clock, hangs_up()).await;
    let leg = a.until_status(LEG, "completed").await;
    assert_eq!((leg.resolution.as_deref(), leg.ended_at_ms), (Some("callback"), Some(a.clock_ms())));
    a.clock.advance(3 * SECOND);
    let call = a.until_status(CALL, "completed").await;
    assert_eq!((call.resolution.as_deref(), call.estimated), (Some("callback"), false));
}

async fn a_restart_of_ours_in_the_middle_of_a_call(at: TestDatabase, a: Node) {
    let line = talk(&a).await;
    let heard_ms = START_MS + 4 * SECOND;
    line.figures.lock().unwrap().heard_ms = Some(heard_ms);
    until("the row knows how long it was heard", async || a.row().await.heard_ms == Some(heard_ms)).await;
    a.die(&line).await;
    let b = Node::with(&at.place, 2, PACE, ManualClock::new(START_MS + MINUTE)).await;
    let line = b.listen().await;
    line.up(&b.clock, None).await;
    line.listed(&b.clock, Vec::new()).await;
    is_estimated(&b, LEG, "ended_while_disconnected", heard_ms).await;
    is_estimated(&b, CALL, "ended_while_disconnected", heard_ms).await;
}

async fn another_process_ends_what_ended_meanwhile(at: TestDatabase, a: Node) {
    let old = talk(&a).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    a.die(&old).await;
    let line = b.listen().await;
    b.clock.advance(30 * SECOND);
    line.up(&b.clock, None).await;
    line.listed(&b.clock, talking()).await;
    b.until_state("connected").await;
    line.say(&b.clock, hangs_up()).await;
    let leg = b.until_status(LEG, "completed").await;
    assert_eq!(leg.resolution.as_deref(), Some("callback"), "B goes on with what A has written");
    b.clock.advance(3 * SECOND);
    let call = b.until_status(CALL, "completed").await;
    assert_eq!(call.resolution.as_deref(), Some("callback"));
}

async fn a_restart_of_the_pbx(_at: TestDatabase, a: Node) {
    let line = a.listen().await;
    let boot_ms = START_MS - HOUR;
    line.up(&a.clock, Some(boot_ms)).await;
    line.listed(&a.clock, Vec::new()).await;
    a.until_state("connected").await;
    line.say(&a.clock, rings()).await;
    line.say(&a.clock, is_answered()).await;
    a.until_status(CALL, "in-progress").await;
    let heard_ms = a.clock_ms();
    line.down(DownKind::Closed, Some(heard_ms)).await;
    a.clock.advance(20 * SECOND);
    line.up(&a.clock, Some(heard_ms + 5 * SECOND)).await;
    line.listed(&a.clock, Vec::new()).await;
    is_estimated(&a, LEG, "pbx_restart", heard_ms).await;
    is_estimated(&a, CALL, "pbx_restart", heard_ms).await;
    until("it is known since when it runs", async || a.row().await.boot_ms == Some(heard_ms + 5 * SECOND)).await;
}

async fn channel_lists_are_asked_for_now_and_then(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    a.renewed().await;
    assert_eq!(line.lists(), 0, "the first one comes by itself");
    a.clock.advance(30 * SECOND);
    until("one is asked for", async || line.lists() == 1).await;
    a.clock.advance(5 * MINUTE);
    until("and another", async || line.lists() == 2).await;
}

/// Not on SQLite: its file does not go away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_while_the_database_is_away_is_kept() {
    let at = TestDatabase::postgres().await;
    let a = Node::on(&at, 1).await;
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    a.until_status(CALL, "ringing").await;
    at.place.refuse_connections(true).await;
    line.say(&a.clock, is_answered()).await;
    a.clock.advance(30 * SECOND);
    line.say(&a.clock, hangs_up()).await;
    a.clock.advance(3 * SECOND);
    at.place.refuse_connections(false).await;
    let call = a.until_status(CALL, "completed").await;
    assert_eq!((call.resolution.as_deref(), call.talk_seconds), (Some("callback"), Some(30)));
    assert_eq!(a.call(LEG).await.resolution.as_deref(), Some("callback"));
    assert_eq!((a.lines.count(), a.row().await.dropped), (1, 0), "the line was not even dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_learned_from_the_next_channel_list() {
    let at = TestDatabase::postgres().await;
    let pace = Pace { waiting_max: 10, ..PACE };
    let a = Node::with(&at.place, 1, pace, ManualClock::new(START_MS)).await;
    let line = a.hear(Vec::new()).await;
    line.say(&a.clock, rings()).await;
    a.until_status(CALL, "ringing").await;
    a.until_status(LEG, "ringing").await;
    at.place.refuse_connections(true).await;
    line.say(&a.clock, is_answered()).await;
    line.say(&a.clock, hangs_up()).await;
    for n in 0..20 {
        line.say(&a.clock, of_another_call(rings(), n)).await;
    }
    let shown = || a.metrics.render();
    let n = |text: &str| text.lines().find_map(|l| l.strip_prefix("onhook_ami_dropped_total ")?.parse::<u64>().ok());
    until("something is dropped", async || n(&shown()).is_some_and(|dropped| dropped > 0)).await;
    at.place.refuse_connections(false).await;
    let again = a.line(1).await;
    assert!(line.closed.is_cancelled());
    again.up(&a.clock, None).await;
    again.listed(&a.clock, Vec::new()).await;
    until("both are over", async || {
        let (call, leg) = (a.call(CALL).await, a.call(LEG).await);
        call.resolution.is_some() && leg.resolution.is_some()
    })
    .await;
    until("it is counted", async || a.row().await.dropped > 0 && a.row().await.gaps == 1).await;
}

async fn lists_go_on_when_the_clock_was_set_back(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    a.clock.set(START_MS - HOUR);
    until("one is asked for", async || line.lists() == 1).await;
}

async fn an_ending_that_is_held_back_is_told_when_we_stop(_at: TestDatabase, mut a: Node) {
    a.start();
    let line = a.line(0).await;
    line.up(&a.clock, None).await;
    line.listed(&a.clock, Vec::new()).await;
    line.say(&a.clock, rings()).await;
    line.say(&a.clock, is_answered()).await;
    a.until_status(CALL, "in-progress").await;
    a.clock.advance(20 * SECOND);
    line.say(&a.clock, hangs_up()).await;
    a.until_status(LEG, "completed").await;
    let db = a.db.clone();
    a.stop().await;
    let call = calls::find(&db, TENANT, CALL, None).await.unwrap().remove(0);
    assert_eq!((call.status.as_str(), call.resolution.as_deref()), ("completed", Some("callback")));
    assert_eq!((call.ended_at_ms, call.talk_seconds), (Some(START_MS + 20 * SECOND), Some(20)));
}

/// 2003 picks up for 2002: its channel, which began a call of its own, is a leg of the older one from then on.
async fn a_leg_that_lives_on_in_another_call_is_ended_after_a_restart(_at: TestDatabase, a: Node) {
    let own = "1700000000.9";
    let signal = |details: &[(Field, &str)], received_ms| Signal {
        leg: Leg { provider_id: own.into(), account: PBX.into() },
        witness: Witness::Callback,
        claim: Claim::Live(Live::Answered),
        at: Some(received_ms),
        sequence: None,
        details: details.iter().map(|(field, text)| (*field, (*text).to_owned())).collect(),
        link: None,
        received_ms,
    };
    let adopted = signal(&[(Field::ParentId, CALL), (Field::MergedInto, CALL)], START_MS);
    let (tenant, provider) = (TENANT.to_owned(), "asterisk");
    let one = Submission { tenant, provider, delivery: None, signals: vec![adopted], ask: Vec::new(), decision: None };
    a.ingest.submit(one).await.unwrap();
    let leg = a.call(own).await;
    assert!(leg.due_at_ms.is_some(), "it lives, so it is looked at");
    a.clock.advance(MINUTE);
    let _line = a.hear(Vec::new()).await;
    let leg = a.until_status(own, "completed").await;
    assert_eq!((leg.resolution.as_deref(), leg.due_at_ms), (Some("reconciled"), None));
}
