//! The gateway is killed while calls are under way, and started again.

use super::{
    calls::phones,
    gateway::Gateway,
    line::now_ms,
    outage::Cast,
    pbx::Pbx,
    phone::answers_after,
    truth::{call, compare, leg, until_so},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_killed_finds_out_what_it_missed() {
    let pbx = Pbx::start("gateway").await;
    let mut gateways = Gateway::both(&pbx).await;
    let cast = Cast::begin(&pbx).await;
    let heard_ms = now_ms();
    compare(&gateways, &cast.before()).await;

    for gateway in &mut gateways {
        gateway.kill();
    }
    let played = cast.play().await;
    let [sqlite, postgres] = &mut gateways;
    let back = tokio::join!(sqlite.start_again(), postgres.start_again());
    for (gateway, back_ms) in gateways.iter().zip([back.0, back.1]) {
        until_so(gateway, &played.found(heard_ms..=now_ms())).await;
        let took_ms = now_ms() - back_ms;
        assert!(took_ms <= 2_000, "{took_ms} ms from the reconnect until every call was right");
    }
    let found = heard_ms..=now_ms();
    compare(&gateways, &played.found(found.clone())).await;
    compare(&gateways, &played.end(found).await).await;
    for gateway in &gateways {
        gateway.assert_checked();
    }
}

/// Killed between what ended the legs and the moment when the whole is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_as_a_call_ends_still_ends_it() {
    let pbx = Pbx::start("ending").await;
    let mut gateways = Gateway::both(&pbx).await;
    let (near, far) = phones(&pbx, ["2001", "2002"], answers_after(100)).await;
    let line = near.call("2002");
    let up = line.up().await.up_ms.unwrap();
    let talking = [call("2001", "2002").talks(up).legs([leg("2002").talks(up)])];
    compare(&gateways, &talking).await;

    line.hang_up();
    let over = far.rung().await.over().await.ended_ms.unwrap();
    for gateway in &mut gateways {
        gateway.kill();
    }
    let [sqlite, postgres] = &mut gateways;
    tokio::join!(sqlite.start_again(), postgres.start_again());
    let legs = [leg("2002").completed_somehow(up, over)];
    compare(&gateways, &[call("2001", "2002").completed_somehow(up, over).legs(legs)]).await;
}
