//! Asterisk is killed while calls are under way, and started again: nobody is told that they ended.

use super::{
    calls::phones,
    gateway::Gateway,
    line::now_ms,
    pbx::Pbx,
    phone::{answers_after, never_answers},
    truth::{Row, call, compare, leg, until_so},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_pbx_that_was_killed_end_with_it() {
    let mut pbx = Pbx::start("killed").await;
    let gateways = Gateway::both(&pbx).await;
    pbx.until_boots_differ().await;
    let (near, far) = phones(&pbx, ["2001", "2002"], answers_after(100)).await;
    let (waiting, silent) = phones(&pbx, ["2003", "2004"], never_answers()).await;
    let up = near.call("2002").up().await.up_ms.unwrap();
    waiting.call("2004").ringing().await;
    let heard_ms = now_ms();
    let both = |from: &str, to: &str, of: &dyn Fn(Row) -> Row| of(call(from, to)).legs([of(leg(to))]);
    let before = [both("2001", "2002", &|row| row.talks(up)), both("2003", "2004", &Row::rings)];
    compare(&gateways, &before).await;

    pbx.kill();
    let killed_ms = now_ms();
    for gateway in &gateways {
        gateway.until_lost().await;
    }
    // Until it is back nothing is known: it may have been the network.
    compare(&gateways, &before).await;
    pbx.start_again().await;
    let booted_ms = now_ms();
    let missed = |row: Row, status, up_ms| row.missed(status, up_ms, heard_ms..=booted_ms).cause("pbx_restart");
    let after = [
        both("2001", "2002", &|row| missed(row, "completed", Some(up))),
        both("2003", "2004", &|row| missed(row, "no-answer", None)),
    ];
    for gateway in &gateways {
        gateway.until_in_step().await;
        until_so(gateway, &after).await;
        let back_ms = gateway.network.until_passed_after(killed_ms).await;
        let took_ms = now_ms() - back_ms;
        assert!(took_ms <= 2_000 + (booted_ms - killed_ms), "{took_ms} ms until every call was right");
    }
    compare(&gateways, &after).await;

    // The same phones, and channels of the same names.
    for phone in [&near, &far, &waiting, &silent] {
        phone.register_again().await;
    }
    let line = near.call("2002");
    let again = line.up().await.up_ms.unwrap();
    line.hang_up();
    let over = now_ms();
    let [first, second] = after;
    let third = both("2001", "2002", &|row| row.completed(again, over)).after(1);
    compare(&gateways, &[first, second, third]).await;
    for gateway in &gateways {
        gateway.assert_checked();
    }
}
