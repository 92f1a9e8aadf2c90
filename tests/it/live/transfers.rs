//! Calls that are handed on.

use super::{
    calls::phones,
    gateway::Gateway,
    line::now_ms,
    pbx::Pbx,
    phone::{Phone, answers_after, never_answers},
    truth::{Row, call, compare, leg},
};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_handed_on_stays_one_call() {
    let pbx = Pbx::start("transfers").await;
    let gateways = Gateway::both(&pbx).await;
    let (blind, attended, local) = tokio::join!(blind(&pbx), attended(&pbx), group_of_locals(&pbx));
    compare(&gateways, &[blind, attended.0, attended.1, local]).await;
    for gateway in &gateways {
        gateway.assert_checked();
    }
}

/// Who was called sends the caller on, and is out of it.
async fn blind(pbx: &Pbx) -> Row {
    let (near, middle) = phones(pbx, ["2025", "2026"], answers_after(200)).await;
    let far = Phone::register(pbx.sip, "2027", answers_after(300)).await;
    let line = near.call("2026");
    let up = line.up().await.up_ms.unwrap();
    let first = middle.rung().await;
    sleep(TALK).await;
    first.transfer("2027");
    // From now on the caller hears it ring; the phone that sent it on only waits for how that goes.
    let first_over = now_ms();
    let second = far.rung().await;
    let second_up = second.up().await.up_ms.unwrap();
    first.over().await;
    sleep(TALK).await;
    line.hang_up();
    let over = second.over().await.ended_ms.unwrap();
    let talked = (first_over - up) + (over - second_up);
    call("2025", "2026")
        .completed(up, over)
        .talked(talked)
        .legs([leg("2026").completed(up, first_over), leg("2027").completed(second_up, over)])
}

/// Who was called asks a third one first, and then puts the caller through: two calls become the older one.
async fn attended(pbx: &Pbx) -> (Row, Row) {
    let (near, middle) = phones(pbx, ["2028", "2029"], answers_after(200)).await;
    let far = Phone::register(pbx.sip, "2030", answers_after(200)).await;
    let line = near.call("2029");
    let up = line.up().await.up_ms.unwrap();
    let first = middle.rung().await;
    sleep(TALK).await;
    first.hold();
    let asking = middle.call("2030");
    let asking_up = asking.up().await.up_ms.unwrap();
    let third = far.rung().await;
    sleep(TALK).await;
    first.transfer_to(&asking);
    let first_over = first.over().await.ended_ms.unwrap();
    sleep(TALK).await;
    line.hang_up();
    let over = third.over().await.ended_ms.unwrap();
    let whole =
        call("2028", "2029").completed(up, over).talked(over - up).legs([leg("2029").completed(up, first_over)]);
    (whole, call("2029", "2030").merged().legs([leg("2030").completed(asking_up, over)]))
}

/// As FreePBX rings a group: over Local channels, which are nobody.
async fn group_of_locals(pbx: &Pbx) -> Row {
    let near = Phone::register(pbx.sip, "2050", never_answers()).await;
    let slow = Phone::register(pbx.sip, "2051", never_answers()).await;
    let fast = Phone::register(pbx.sip, "2052", answers_after(500)).await;
    let line = near.call("42051");
    let answered = fast.rung().await;
    let up = answered.up().await.up_ms.unwrap();
    let gone = slow.rung().await.over().await.ended_ms.unwrap();
    sleep(TALK).await;
    line.hang_up();
    let over = answered.over().await.ended_ms.unwrap();
    call("2050", "42051")
        .completed(up, over)
        .legs([leg("2051").ended("canceled", gone), leg("2052").completed(up, over)])
}

const TALK: Duration = Duration::from_millis(700);
