//! PBXs that push what happens.

use super::scene::{
    CALL, LEG, LOCKED, Node, PACE, PBX, PUSHES, TENANT, expire, hangs_up, is_answered, on_both_nodes, rings,
};
use crate::support::{database::TestDatabase, gateway::START_MS};
use onhook::{
    domain::time::{HOUR, MINUTE, SECOND},
    pbx::{PUSHED_AT_ONCE_MAX, PushError, Pushed},
    provider::{Standing, Switchboard},
};

on_both_nodes! {
    what_is_pushed_is_durable_when_it_is_answered,
    the_same_push_again_changes_nothing,
    one_process_takes_the_pushes,
    what_is_not_to_be_pushed_is_refused,
    an_ending_that_is_held_back_is_told_when_we_stop,
    one_that_pushes_no_more_is_let_go_though_calls_of_it_live,
    an_ending_is_not_late_when_the_clock_was_set_back,
}

async fn push(node: &Node, messages: Vec<onhook::ami::Message>) -> Pushed {
    node.pbxs.push(TENANT, PUSHES, messages, node.clock_ms()).await.unwrap()
}

async fn what_is_pushed_is_durable_when_it_is_answered(_at: TestDatabase, a: Node) {
    let pushed = push(&a, rings()).await;
    assert_eq!((pushed.taken, pushed.repeated), (4, 0));
    assert!(pushed.said > 0, "{pushed:?}");
    assert_eq!(a.call(LEG).await.status, "ringing");
    push(&a, is_answered()).await;
    assert_eq!((a.call(LEG).await.status.as_str(), a.call(CALL).await.account.as_str()), ("in-progress", PUSHES));
    assert!(matches!(a.pbxs.standing(TENANT, PUSHES).await, Ok(Standing::Nowhere)), "nobody can be asked");
    a.clock.advance(10 * SECOND);
    push(&a, hangs_up()).await;
    assert_eq!(a.call(LEG).await.status, "completed");
    assert_eq!(a.call(CALL).await.status, "in-progress", "for two seconds more");
    a.clock.advance(3 * SECOND);
    a.pbxs.tick().await.unwrap();
    assert_eq!(a.call(CALL).await.status, "completed");
}

async fn the_same_push_again_changes_nothing(at: TestDatabase, a: Node) {
    push(&a, rings()).await;
    let before = (a.call(CALL).await, a.call(LEG).await);
    a.clock.advance(SECOND);
    let again = push(&a, rings()).await;
    assert_eq!((again.taken, again.repeated), (0, 4));
    assert_eq!((a.call(CALL).await, a.call(LEG).await), before);
    // Also to a process that has never heard it.
    expire(&a.db, PUSHES).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    push(&b, rings()).await;
    let (call, leg) = (b.call(CALL).await, b.call(LEG).await);
    assert_eq!((&call.registers, &leg.registers), (&before.0.registers, &before.1.registers));
    assert_eq!((call.deliveries, leg.deliveries), (before.0.deliveries, before.1.deliveries));
}

async fn one_process_takes_the_pushes(at: TestDatabase, a: Node) {
    push(&a, rings()).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    let refused = b.pbxs.push(TENANT, PUSHES, is_answered(), b.clock_ms()).await.unwrap_err();
    let PushError::Elsewhere { retry_after_s } = refused else { panic!("{refused}") };
    assert!((1..=15).contains(&retry_after_s));
    assert_eq!(a.call(LEG).await.status, "ringing");
    expire(&a.db, PUSHES).await;
    push(&b, is_answered()).await;
    assert_eq!(b.call(LEG).await.status, "in-progress", "it goes on with what is stored");
}

async fn what_is_not_to_be_pushed_is_refused(_at: TestDatabase, a: Node) {
    let push = async |tenant, account, messages| a.pbxs.push(tenant, account, messages, 1).await.unwrap_err();
    assert!(matches!(push(TENANT, PBX, rings()).await, PushError::Connected(_)));
    assert!(matches!(push(TENANT, LOCKED, rings()).await, PushError::Connected(_)), "it is to be listened to");
    assert!(matches!(push(TENANT, "pbx9", rings()).await, PushError::Unknown(_)));
    assert!(matches!(push("other", PUSHES, rings()).await, PushError::Unknown(_)));
    let many = vec![onhook::ami::Message::default(); PUSHED_AT_ONCE_MAX + 1];
    assert!(matches!(push(TENANT, PUSHES, many).await, PushError::TooMany { given: 1_001 }));
}

async fn talked(a: &Node) {
    push(a, rings()).await;
    push(a, is_answered()).await;
    a.clock.advance(10 * SECOND);
    push(a, hangs_up()).await;
    assert_eq!(a.call(CALL).await.status, "in-progress", "for two seconds more");
}

async fn an_ending_that_is_held_back_is_told_when_we_stop(at: TestDatabase, mut a: Node) {
    talked(&a).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    a.start();
    a.stop().await;
    let call = b.call(CALL).await;
    assert_eq!((call.status.as_str(), call.resolution.as_deref()), ("completed", Some("callback")));
    push(&b, Vec::new()).await;
}

async fn one_that_pushes_no_more_is_let_go_though_calls_of_it_live(at: TestDatabase, a: Node) {
    push(&a, rings()).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    a.clock.advance(14 * MINUTE);
    a.pbxs.tick().await.unwrap();
    assert!(b.pbxs.push(TENANT, PUSHES, is_answered(), b.clock_ms()).await.is_err(), "A has it");
    a.clock.advance(MINUTE);
    a.pbxs.tick().await.unwrap();
    push(&b, is_answered()).await;
    assert_eq!(b.call(LEG).await.status, "in-progress", "it goes on with what is stored");
}

async fn an_ending_is_not_late_when_the_clock_was_set_back(_at: TestDatabase, a: Node) {
    talked(&a).await;
    a.clock.set(START_MS - HOUR);
    a.pbxs.tick().await.unwrap();
    assert_eq!(a.call(CALL).await.status, "completed");
}
