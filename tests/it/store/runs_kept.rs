//! What is kept of runs: pruned when they have ended, emptied when a person is forgotten.

use super::{
    commit,
    jobs::{job, slot},
    runs::run,
};
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    erasure::{self, ForgottenJob},
    jobs::{self, JobRow},
    retention,
    runs::{self, RunRow},
    slots::{self, Ledger, SlotRow},
};

on_both! {
    what_belongs_to_runs_that_ended_goes,
    jobs_of_a_person_are_emptied,
}

async fn what_belongs_to_runs_that_ended_goes(at: TestDatabase) {
    let of = |n, run: u32, state: &str| JobRow { run_id: format!("run_{run}"), ..job(n, state) };
    let slot_of = |n, run: u32, released_ms| SlotRow { run_id: format!("run_{run}"), released_ms, ..slot(n, 1) };
    for (n, ended_ms) in [(1, Some(99)), (2, Some(100)), (3, None), (4, Some(50))] {
        commit!(at, |tx| runs::insert(tx, &RunRow { ended_ms, ..run(n, "completed") }));
    }
    let rows = [of(1, 1, "done"), of(2, 1, "failed"), of(3, 2, "done"), of(4, 3, "done"), of(5, 4, "live")];
    commit!(at, |tx| jobs::insert(tx, &rows));
    let held = [
        slot_of(1, 1, Some(9)),
        slot_of(2, 1, Some(9)),
        slot_of(3, 2, Some(9)),
        slot_of(4, 3, Some(9)),
        slot_of(5, 4, None),
    ];
    commit!(at, |tx| slots::take(tx, &held));
    assert_eq!(commit!(at, |tx| retention::delete_runs(tx, 100, 9)), 0, "not before its jobs and slots");
    assert_eq!(commit!(at, |tx| retention::delete_jobs(tx, 100, 1)), 1);
    assert_eq!(commit!(at, |tx| retention::delete_jobs(tx, 100, 9)), 1, "none whose call is under way");
    assert_eq!(commit!(at, |tx| retention::delete_slots(tx, 100, 1)), 1);
    assert_eq!(commit!(at, |tx| retention::delete_slots(tx, 100, 9)), 1, "none that is held");
    assert_eq!(commit!(at, |tx| retention::delete_runs(tx, 100, 9)), 1);
    assert_eq!(runs::find(&at.db, "acme", "run_1").await.unwrap(), None);
    for n in 2..=4 {
        let id = format!("run_{n}");
        assert!(runs::find(&at.db, "acme", &id).await.unwrap().is_some());
        assert_eq!(jobs::last_place(&at.db, "acme", &id).await.unwrap(), i64::from(n + 1));
        assert_eq!(slots::ledger(&at.db, "acme", &id).await.unwrap().taken, 1);
    }
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger::default());
}

async fn jobs_of_a_person_are_emptied(at: TestDatabase) {
    let of = |row: JobRow| JobRow {
        phone_e164: Some(row.to.clone()),
        lead_id: Some("lead-1".into()),
        user_id: Some("ann".into()),
        error: Some("to +49301".into()),
        ..row
    };
    let done = of(JobRow { ended_ms: Some(7), attempt: 1, provider_id: Some("CA1".into()), ..job(2, "done") });
    let rows = [of(JobRow { token: Some(1), ..job(1, "queued") }), done, of(job(3, "placing")), of(job(4, "live"))];
    commit!(at, |tx| jobs::insert(tx, &rows));
    commit!(at, |tx| jobs::insert(tx, &[JobRow { tenant: "other".into(), ..of(job(1, "queued")) }]));
    let page = erasure::list_jobs(&at.db, "acme", "", 9).await.unwrap();
    assert_eq!(page, rows);
    assert_eq!(erasure::list_jobs(&at.db, "acme", "job_02", 1).await.unwrap(), rows[2..3]);
    let forgotten: Vec<ForgottenJob> = page
        .iter()
        .map(|row| ForgottenJob { tenant: row.tenant.clone(), id: row.id.clone(), key: format!("x{}", row.key) })
        .collect();
    let rewrite = async || commit!(at, |tx| erasure::rewrite_jobs(tx, &forgotten, "it's over", 50));
    assert_eq!(rewrite().await, 3);
    assert_eq!(rewrite().await, 0, "a second time changes nothing");
    assert_eq!(commit!(at, |tx| erasure::rewrite_jobs(tx, &[], "", 60)), 0);
    let emptied = |row: &JobRow| JobRow {
        key: format!("x{}", row.key),
        to: String::new(),
        phone_e164: None,
        lead_id: None,
        user_id: None,
        error: None,
        token: None,
        updated_ms: 50,
        ..row.clone()
    };
    let cancelled =
        JobRow { state: "cancelled".into(), error: Some("it's over".into()), ended_ms: Some(50), ..emptied(&rows[0]) };
    let expected = [cancelled, emptied(&rows[1]), rows[2].clone(), emptied(&rows[3])];
    assert_eq!(erasure::list_jobs(&at.db, "acme", "", 9).await.unwrap(), expected);
    let theirs = jobs::find(&at.db, "other", "job_01").await.unwrap().unwrap();
    assert_eq!(theirs.state, "queued");
}
