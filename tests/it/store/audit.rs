//! The audit: decisions by subject, action and time.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::id::new_id,
    store::audit::{self, AuditFilter, AuditRow},
};

on_both! { decisions_are_listed_newest_first }

fn row(tenant: &str, at_ms: i64, action: &str, subject: &str) -> AuditRow {
    AuditRow {
        tenant: tenant.into(),
        id: new_id("audit", at_ms, 5),
        at_ms,
        actor: "sweeper".into(),
        action: action.into(),
        subject: subject.into(),
        detail: r#"{"rule":"it's \"é\""}"#.into(),
    }
}

async fn decisions_are_listed_newest_first(at: TestDatabase) {
    let rows = [
        row("acme", 10, "call.given_up", "call_1"),
        row("acme", 20, "call.superseded", "call_1"),
        row("acme", 30, "call.given_up", "call_2"),
        row("other", 40, "call.given_up", "call_1"),
    ];
    commit!(at, |tx| audit::insert(tx, &rows));
    commit!(at, |tx| audit::insert(tx, &[AuditRow { actor: "cli".into(), ..rows[0].clone() }]));
    assert_eq!(audit::list_of_subject(&at.db, "acme", "call_1", 1).await.unwrap(), [rows[1].clone()]);
    let times = async |filter: AuditFilter, before: Option<&str>, limit| {
        let found = audit::list(&at.db, "acme", &filter, before, limit).await.unwrap();
        found.into_iter().map(|row| row.at_ms).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    assert_eq!(times(all(), None, 9).await, [30, 20, 10]);
    assert_eq!(times(all(), Some(&rows[2].id), 1).await, [20]);
    assert_eq!(times(AuditFilter { subject: Some("call_1".into()), ..all() }, None, 9).await, [20, 10]);
    assert_eq!(times(AuditFilter { action: Some("call.given_up".into()), ..all() }, None, 9).await, [30, 10]);
    assert_eq!(times(AuditFilter { since_ms: Some(20), ..all() }, None, 9).await, [30, 20]);
    assert_eq!(times(AuditFilter { until_ms: Some(20), ..all() }, None, 9).await, [10], "until is not included");
    let both = AuditFilter { since_ms: Some(11), until_ms: Some(30), subject: Some("call_1".into()), action: None };
    assert_eq!(times(both.clone(), None, 9).await, [20]);
    assert_eq!(times(both, Some(&rows[2].id), 9).await, [20], "a page after the end of the span begins at its end");
    assert_eq!(times(AuditFilter { until_ms: Some(i64::MIN), ..all() }, None, 9).await, [0; 0]);
    assert_eq!(audit::list(&at.db, "other", &all(), None, 9).await.unwrap().len(), 1);
}
