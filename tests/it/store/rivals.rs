//! Jobs that one call could be of.

use super::{commit, jobs::job, runs::run};
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    jobs::{self, JobKey, JobRow},
    rivals::{self, CallKey},
    runs::{self, RunRow},
};

on_both! {
    jobs_are_found_by_their_calls,
    jobs_that_could_have_made_a_call_are_found,
}

async fn jobs_are_found_by_their_calls(at: TestDatabase) {
    let rows = [
        JobRow { provider_id: Some("CA1".into()), ..job(1, "placed") },
        JobRow { provider_id: Some("CA1".into()), ..job(2, "live") },
        JobRow { provider_id: Some("CA2".into()), ..job(3, "done") },
        JobRow { tenant: "other".into(), provider_id: Some("CA1".into()), ..job(4, "live") },
        job(5, "placing"),
    ];
    commit!(at, |tx| jobs::insert(tx, &rows));
    let key = |id: &str| CallKey { tenant: "acme".into(), provider_id: id.into() };
    let mut found = commit!(at, |tx| rivals::list_of_calls(tx, &[key("CA1"), key("CA9")]));
    found.sort();
    let expected = ["job_01", "job_02"].map(|id| JobKey { tenant: "acme".into(), id: id.into() });
    assert_eq!(found, expected);
    assert_eq!(commit!(at, |tx| rivals::list_of_calls(tx, &[])), []);
}

async fn jobs_that_could_have_made_a_call_are_found(at: TestDatabase) {
    let of =
        |n: u32, state: &str| JobRow { run_id: format!("run_{n}"), to: "+1".into(), updated_ms: 100, ..job(n, state) };
    let states = ["placing", "placing", "unknown", "live", "unknown", "placing", "placing", "placing"];
    let mut rows: Vec<JobRow> = (1..).zip(states).map(|(n, state)| of(n, state)).collect();
    rows[4].updated_ms = 99;
    rows[5].to = "+2".into();
    for (n, row) in (1..).zip(&rows) {
        let account = if n == 7 { "AC2" } else { "AC1" };
        let ended_ms = (n == 8).then_some(99);
        let made = RunRow {
            id: row.run_id.clone(),
            account: account.into(),
            settings: n.to_string(),
            ended_ms,
            ..run(n, "running")
        };
        commit!(at, |tx| runs::insert(tx, &made));
    }
    commit!(at, |tx| jobs::insert(tx, &rows));
    let mut found = rivals::list_settings(&at.db, &rows[0], "AC1", 100, 9).await.unwrap();
    found.sort();
    assert_eq!(found, ["2", "3"]);
    assert_eq!(rivals::list_settings(&at.db, &rows[0], "AC1", 100, 1).await.unwrap().len(), 1);
}
