//! Asterisk stands still for some seconds, and goes on as if nothing had been.

use super::{
    calls::phones,
    gateway::Gateway,
    line::now_ms,
    pbx::Pbx,
    phone::answers_after,
    truth::{call, compare, leg},
};
use std::time::Duration;
use tokio::time::sleep;

/// A frozen process loses nothing: its calls go on afterwards, and end as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pbx_that_stood_still_goes_on() {
    let pbx = Pbx::start("frozen").await;
    let gateways = Gateway::both(&pbx).await;
    let (near, far) = phones(&pbx, ["2001", "2002"], answers_after(100)).await;
    let (other, _other_far) = phones(&pbx, ["2003", "2004"], answers_after(100)).await;
    let (line, stays) = (near.call("2002"), other.call("2004"));
    let up = line.up().await.up_ms.unwrap();
    let stays_up = stays.up().await.up_ms.unwrap();
    let talking = call("2003", "2004").talks(stays_up).legs([leg("2004").talks(stays_up)]);
    let first = call("2001", "2002").talks(up).legs([leg("2002").talks(up)]);
    compare(&gateways, &[first, talking.clone()]).await;

    pbx.freeze();
    line.hang_up();
    sleep(Duration::from_secs(4)).await;
    pbx.thaw();
    // It takes the hangup when it goes on: by its own clock the call lasted until then.
    let thawed = now_ms();
    far.rung().await.over().await;
    let first = call("2001", "2002").completed(up, thawed).legs([leg("2002").completed(up, thawed)]);
    compare(&gateways, &[first.clone(), talking]).await;

    stays.hang_up();
    let over = now_ms();
    let second = call("2003", "2004").completed(stays_up, over).legs([leg("2004").completed(stays_up, over)]);
    compare(&gateways, &[first, second]).await;
}
