//! The phones themselves: what both ends of a call know agrees, and the PBX sees as many channels as there are.

use super::{
    calls::phones,
    pbx::Pbx,
    phone::{Phone, answers_after, never_answers, refuses},
};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_of_a_call_agree() {
    let pbx = Pbx::start("phones").await;
    let (near, far) = phones(&pbx, ["2001", "2002"], answers_after(200)).await;
    let line = near.call("2002");
    let end = far.rung().await;
    let (up, end_up) = (line.up().await.up_ms.unwrap(), end.up().await.up_ms.unwrap());
    assert!(up.abs_diff(end_up) < 200, "{up} {end_up}");
    let channels = pbx.ask("CoreStatus", &[]).await;
    // Its word for channels.
    assert_eq!(channels["CoreCurrentCalls"], "2");
    end.hang_up();
    let (over, end_over) = (line.over().await.ended_ms.unwrap(), end.over().await.ended_ms.unwrap());
    assert!(over.abs_diff(end_over) < 200, "{over} {end_over}");

    far.set_policy(refuses("486 Busy Here"));
    assert_eq!(near.call("2002").over().await.code, Some(486));
    far.set_policy(never_answers());
    let line = near.call("2002");
    line.ringing().await;
    line.cancel();
    assert_eq!(line.over().await.code, Some(487));
    let third = Phone::register(pbx.sip, "2003", answers_after(100)).await;
    far.set_policy(answers_after(100));
    let _ = (far.rung().await, far.rung().await);
    let line = near.call("2002");
    let first = far.rung().await;
    line.up().await;
    first.up().await;
    // Only who is in a bridge can be handed on, and the bridge comes after the answer.
    sleep(Duration::from_millis(300)).await;
    first.transfer("2003");
    let second = third.rung().await;
    second.up().await;
    first.over().await;
    assert!(line.facts().ended_ms.is_none(), "the caller was handed on");
    line.hang_up();
    second.over().await;
}
