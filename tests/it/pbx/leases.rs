//! One process listens to a PBX, and another takes it over.

use super::scene::{LOCKED, Node, PBX, TENANT, expire, on_both_nodes, until};
use crate::support::database::TestDatabase;
use onhook::{
    ami::client::DownKind,
    provider::{Standing, Switchboard, TroubleKind},
    store::pbx::{self, Claim, PbxSettingRow},
};
use std::time::Duration;

on_both_nodes! {
    one_of_two_processes_listens,
    one_that_stops_lets_go_at_once,
    whoever_lost_its_lease_drops_the_line,
    other_settings_are_another_connection,
    the_sweeper_is_told_where_a_pbx_is_asked,
}

async fn one_of_two_processes_listens(at: TestDatabase, a: Node) {
    let b = Node::on(&at, 2).await;
    let line = a.hear(Vec::new()).await;
    b.pbxs.tick().await.unwrap();
    a.pbxs.tick().await.unwrap();
    assert_eq!((a.lines.count(), b.lines.count()), (1, 0));
    let held = a.row().await;
    assert_eq!((held.version.as_deref(), held.system_name.as_deref()), (Some("16.28.0"), Some("lab")));
    assert_eq!((held.resyncs, held.gaps, held.channels, held.token), (1, 0, Some(0), 1));
    assert!(!line.closed.is_cancelled());
}

async fn one_that_stops_lets_go_at_once(at: TestDatabase, mut a: Node) {
    let mut b = Node::on(&at, 2).await;
    a.start();
    let line = a.line(0).await;
    line.up(&a.clock, None).await;
    b.start();
    a.stop().await;
    assert!(line.closed.is_cancelled());
    // Well before the lease of a process that died would have ended.
    tokio::time::timeout(Duration::from_secs(10), b.line(0)).await.expect("it is free");
    assert_eq!(b.row().await.token, 2);
    b.stop().await;
}

async fn whoever_lost_its_lease_drops_the_line(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    // Both at once, so that it does not renew in between.
    let mut tx = a.db.begin().await.unwrap();
    let row = pbx::find(&mut tx, TENANT, PBX).await.unwrap().unwrap().row;
    pbx::release(&mut tx, &row).await.unwrap();
    let state = "connecting";
    let claim = Claim { tenant: TENANT, account: PBX, holder: "another", lease_ms: 60_000, state, now_ms: 1 };
    let taken = pbx::claim(&mut tx, claim).await.unwrap().expect("it is free");
    tx.commit().await.unwrap();
    until("the line is dropped", async || line.closed.is_cancelled()).await;
    a.pbxs.tick().await.unwrap();
    assert_eq!(a.lines.count(), 1, "it is not connected to again");
    assert_eq!(a.row().await, taken, "nothing of it is kept");
    expire(&a.db, PBX).await;
    a.listen().await;
    assert_eq!(a.row().await.token, 3);
}

async fn other_settings_are_another_connection(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    a.pbxs.tick().await.unwrap();
    assert!(!line.closed.is_cancelled());
    let mut tx = a.db.begin().await.unwrap();
    let ca_pem = Some("-----BEGIN CERTIFICATE-----".to_owned());
    let row = PbxSettingRow {
        tenant: TENANT.into(),
        account: PBX.into(),
        ca_pem: ca_pem.clone(),
        region: None,
        updated_ms: 1,
    };
    pbx::put_setting(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    a.pbxs.tick().await.unwrap();
    until("the line is dropped", async || line.closed.is_cancelled()).await;
    until("it is taken up again", async || {
        a.pbxs.tick().await.unwrap();
        a.lines.count() == 2
    })
    .await;
    let again = a.line(1).await;
    assert_eq!((again.target.ca_pem, again.target.host.as_str(), again.target.port), (ca_pem, "pbx.example.com", 5038));
}

async fn the_sweeper_is_told_where_a_pbx_is_asked(at: TestDatabase, a: Node) {
    let b = Node::on(&at, 2).await;
    let trouble = a.pbxs.standing(TENANT, PBX).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Unreachable, "nobody is connected");
    assert!(matches!(a.pbxs.standing(TENANT, "pbx2").await, Ok(Standing::Nowhere)), "it only pushes");
    assert!(matches!(a.pbxs.standing("other", PBX).await, Ok(Standing::Nowhere)), "it is none of theirs");
    let locked = a.pbxs.standing(TENANT, LOCKED).await.unwrap_err();
    assert_eq!(locked.kind, TroubleKind::Refused, "its secret is to be mended: no call is given up");
    let line = a.listen().await;
    assert!(a.pbxs.standing(TENANT, PBX).await.is_err(), "not connected yet");
    line.down(DownKind::Refused, None).await;
    a.until_state("refused").await;
    let refused = a.pbxs.standing(TENANT, PBX).await.unwrap_err();
    assert_eq!(refused.kind, TroubleKind::Refused, "{refused}");
    line.up(&a.clock, None).await;
    line.listed(&a.clock, Vec::new()).await;
    a.until_state("connected").await;
    assert!(matches!(a.pbxs.standing(TENANT, PBX).await, Ok(Standing::Here(_))));
    assert!(matches!(b.pbxs.standing(TENANT, PBX).await, Ok(Standing::Elsewhere)));
}
