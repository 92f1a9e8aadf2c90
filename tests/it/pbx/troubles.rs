//! A PBX that cannot be heard: what is shown of it, and who is told.

use super::scene::{Node, PBX, TENANT, on_both_nodes, until};
use crate::support::database::TestDatabase;
use onhook::{
    ami::client::DownKind,
    domain::time::{MINUTE, SECOND},
    store::{audit, notices},
};

on_both_nodes! { one_that_is_away_is_said_once, a_refused_login_is_said_at_once, metrics_name_no_pbx }

async fn noticed(a: &Node) -> Vec<String> {
    let mut rows = notices::list_of_subject(&a.db, TENANT, PBX, 99).await.unwrap();
    rows.sort_by_key(|row| (row.created_ms, row.id.clone()));
    let audited = audit::list_of_subject(&a.db, TENANT, PBX, 99).await.unwrap();
    assert!(audited.len() >= rows.len(), "what is said is kept in the audit");
    rows.into_iter().map(|row| row.kind).collect()
}

async fn one_that_is_away_is_said_once(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    line.down(DownKind::Closed, Some(a.clock_ms())).await;
    a.until_state("down").await;
    let row = a.row().await;
    assert_eq!(row.detail.as_deref(), Some("connect to pbx.example.com:5038: nobody answers"));
    a.clock.advance(MINUTE - 1);
    a.renewed().await;
    assert_eq!(noticed(&a).await, Vec::<String>::new(), "such things pass");
    a.clock.advance(SECOND);
    until("people are told", async || !noticed(&a).await.is_empty()).await;
    line.down(DownKind::Unreachable, None).await;
    a.clock.advance(MINUTE);
    a.renewed().await;
    assert_eq!(noticed(&a).await, ["pbx-down"]);
    assert_eq!(a.row().await.alarm.as_deref(), Some("pbx-down"));
    a.clock.advance(1);
    line.up(&a.clock, None).await;
    line.listed(&a.clock, Vec::new()).await;
    a.until_state("connected").await;
    until("the alarm is over", async || a.row().await.alarm.is_none()).await;
    assert_eq!(noticed(&a).await, ["pbx-down", "pbx-heard-again"]);
    assert_eq!((a.row().await.gaps, a.row().await.resyncs), (1, 2));
}

async fn a_refused_login_is_said_at_once(_at: TestDatabase, a: Node) {
    let line = a.listen().await;
    line.down(DownKind::Refused, None).await;
    until("people are told", async || noticed(&a).await == ["pbx-refuses-login"]).await;
    assert_eq!(a.row().await.state, "refused");
    line.down(DownKind::Unreachable, None).await;
    a.until_state("down").await;
    a.clock.advance(9 * MINUTE);
    a.renewed().await;
    assert_eq!(noticed(&a).await, ["pbx-refuses-login"], "it is not known better");
}

async fn metrics_name_no_pbx(_at: TestDatabase, a: Node) {
    a.hear(Vec::new()).await;
    a.pbxs.tick().await.unwrap();
    let shown = a.metrics.render();
    for line in [r#"onhook_ami_pbxs{state="connected"} 1"#, "onhook_ami_connected 1", "onhook_ami_resyncs_total 1"] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!shown.contains(PBX));
}
