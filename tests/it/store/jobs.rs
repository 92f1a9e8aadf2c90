//! Jobs: handed out once, taken back, ended, found again.

use super::{commit, runs::run};
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    Db, Tx,
    calls::{self, CallRow},
    jobs::{self, JobFilter, JobKey, JobRow},
    runs::{self, RunRow},
    slots::{self, Ledger, SlotRow},
    tenants::{self, TenantRow},
};
use std::collections::BTreeSet;

on_both! {
    a_job_comes_back_as_it_was_written,
    whose_a_job_is,
    a_key_is_there_once_in_a_run,
    a_list_comes_in_pages_and_filtered,
    what_is_handed_out_next,
    two_who_pick_at_once_get_different_jobs,
    jobs_are_loaded_and_locked,
    reserved_jobs_are_taken_back_with_their_slots,
    queued_jobs_end_with_the_slots_they_had,
    jobs_being_placed_end_with_their_slots,
    the_jobs_of_a_lead_are_cancelled,
    what_is_open_and_what_lives,
    lost_answers_are_found,
    calls_that_belong_to_jobs,
}

pub(crate) fn job(n: u32, state: &str) -> JobRow {
    JobRow {
        tenant: "acme".into(),
        id: format!("job_{n:02}"),
        run_id: "run_1".into(),
        key: format!("k{n}"),
        place: i64::from(n),
        to: format!("+4930{n:07}"),
        state: state.into(),
        ..JobRow::default()
    }
}

fn full() -> JobRow {
    let text = |text: &str| Some(text.to_owned());
    JobRow {
        phone_e164: text("+49301234567"),
        lead_id: text("lead-1"),
        user_id: text("ä"),
        attempt: 2,
        token: Some(3),
        due_ms: 4,
        placing_ms: Some(5),
        lost_ms: Some(6),
        provider_id: text("CA1"),
        call_id: text("call_1"),
        outcome: text("busy"),
        resolution: text("callback"),
        answered_by: text("human"),
        error: text("it's \"lost\""),
        created_ms: 7,
        updated_ms: 8,
        ended_ms: Some(9),
        ..job(1, "placing")
    }
}

/// A queued job that was handed out, and the slot of the attempt it was handed out for.
fn reserved(n: u32, token: i64) -> JobRow {
    JobRow { token: Some(token), ..job(n, "queued") }
}

pub(crate) fn slot(n: u32, attempt: i64) -> SlotRow {
    SlotRow {
        tenant: "acme".into(),
        job_id: format!("job_{n:02}"),
        attempt,
        run_id: "run_1".into(),
        account: "AC1".into(),
        taken_ms: 1,
        released_ms: None,
    }
}

async fn add(at: &TestDatabase, rows: &[JobRow]) -> Vec<String> {
    commit!(at, |tx| jobs::insert(tx, rows))
}

async fn found(at: &TestDatabase, n: u32) -> JobRow {
    jobs::find(&at.db, "acme", &format!("job_{n:02}")).await.unwrap().unwrap()
}

fn places(rows: &[JobRow]) -> Vec<i64> {
    rows.iter().map(|row| row.place).collect()
}

async fn a_job_comes_back_as_it_was_written(at: TestDatabase) {
    assert_eq!(add(&at, &[full()]).await, ["k1"]);
    assert_eq!(found(&at, 1).await, full());
    assert_eq!(jobs::find(&at.db, "other", "job_01").await.unwrap(), None);
    let fixed = JobRow {
        phone_e164: full().phone_e164,
        lead_id: full().lead_id,
        user_id: full().user_id,
        created_ms: 7,
        ..job(1, "queued")
    };
    commit!(at, |tx| jobs::update(tx, &[]));
    commit!(at, |tx| jobs::update(tx, std::slice::from_ref(&fixed)));
    assert_eq!(found(&at, 1).await, fixed);
    commit!(at, |tx| jobs::update(tx, &[JobRow { tenant: "other".into(), ..full() }]));
    assert_eq!(found(&at, 1).await, fixed);
}

async fn whose_a_job_is(at: TestDatabase) {
    let row = |id: &str| TenantRow { id: id.into(), name: id.into(), created_ms: 1 };
    commit!(at, |tx| tenants::insert(tx, &row("acme")));
    commit!(at, |tx| tenants::insert(tx, &row("other")));
    let theirs = JobRow { tenant: "other".into(), ..job(2, "queued") };
    commit!(at, |tx| jobs::insert(tx, &[job(1, "queued"), theirs]));
    assert_eq!(jobs::owner(&at.db, "job_01").await.unwrap().as_deref(), Some("acme"));
    assert_eq!(jobs::owner(&at.db, "job_02").await.unwrap().as_deref(), Some("other"));
    assert_eq!(jobs::owner(&at.db, "job_03").await.unwrap(), None);
}

async fn a_key_is_there_once_in_a_run(at: TestDatabase) {
    let again = JobRow { id: "job_90".into(), ..job(1, "queued") };
    assert_eq!(add(&at, &[job(1, "queued"), again.clone(), job(2, "queued")]).await, ["k1", "k2"]);
    assert_eq!(add(&at, &[again.clone(), job(3, "queued")]).await, ["k3"]);
    assert_eq!(add(&at, &[JobRow { run_id: "run_2".into(), ..again }]).await, ["k1"]);
    assert_eq!(add(&at, &[]).await, [""; 0]);
    assert_eq!(jobs::last_place(&at.db, "acme", "run_1").await.unwrap(), 3);
    assert_eq!(jobs::last_place(&at.db, "acme", "run_9").await.unwrap(), 0);
}

async fn a_list_comes_in_pages_and_filtered(at: TestDatabase) {
    let done = |n, outcome: &str| JobRow { outcome: Some(outcome.into()), ..job(n, "done") };
    let of = |n, lead: &str| JobRow { lead_id: Some(lead.into()), ..done(n, "busy") };
    let elsewhere = JobRow { run_id: "run_2".into(), ..job(9, "queued") };
    add(&at, &[of(4, "lead-4"), done(3, "completed"), job(2, "queued"), job(1, "queued"), elsewhere]).await;
    let list = async |state: Option<&str>, outcome: Option<&str>, lead_id: Option<&str>, after, limit| {
        let [state, outcome, lead_id] = [state, outcome, lead_id].map(|word| word.map(str::to_owned));
        let filter = JobFilter { state, outcome, lead_id };
        places(&jobs::list(&at.db, "acme", "run_1", &filter, after, limit).await.unwrap())
    };
    assert_eq!(list(None, None, None, 0, 3).await, [1, 2, 3]);
    assert_eq!(list(None, None, None, 3, 3).await, [4]);
    assert_eq!(list(Some("queued"), None, None, 0, 9).await, [1, 2]);
    assert_eq!(list(Some("queued"), None, None, 1, 9).await, [2]);
    assert_eq!(list(None, Some("busy"), None, 0, 9).await, [4]);
    assert_eq!(list(Some("done"), Some("completed"), None, 0, 9).await, [3]);
    assert_eq!(list(Some("queued"), Some("completed"), None, 0, 9).await, [0; 0]);
    assert_eq!(list(None, None, Some("lead-4"), 0, 9).await, [4]);
    assert_eq!(list(Some("queued"), None, Some("lead-4"), 0, 9).await, [0; 0]);
}

async fn what_is_handed_out_next(at: TestDatabase) {
    let due = |n, due_ms| JobRow { due_ms, ..job(n, "queued") };
    let rows = [due(1, 200), due(2, 100), due(3, 100), due(4, 301), reserved(5, 1), job(6, "live"), job(7, "failed")];
    add(&at, &rows).await;
    add(&at, &[JobRow { run_id: "run_2".into(), ..due(8, 1) }, JobRow { tenant: "other".into(), ..due(9, 1) }]).await;
    let pick = async |now_ms, limit| places(&commit!(at, |tx| jobs::pick(tx, "acme", "run_1", now_ms, limit)));
    assert_eq!(pick(300, 9).await, [2, 3, 1], "the longest due first, then by their place");
    assert_eq!(pick(300, 1).await, [2]);
    assert_eq!(pick(99, 9).await, [0; 0]);
    assert_eq!(jobs::first_due(&at.db, "acme", "run_1").await.unwrap(), Some(100));
    assert_eq!(jobs::first_due(&at.db, "acme", "run_9").await.unwrap(), None);
    assert_eq!(places(&jobs::list_reserved(&at.db, "acme", "run_1", 1, 9).await.unwrap()), [5]);
    assert_eq!(jobs::list_reserved(&at.db, "acme", "run_1", 2, 9).await.unwrap(), []);
}

/// On PostgreSQL at the same time: nobody waits, nobody gets the other's. On SQLite one after the other.
async fn two_who_pick_at_once_get_different_jobs(at: TestDatabase) {
    let other = at.another_node().await;
    add(&at, &(1..=6).map(|n| job(n, "queued")).collect::<Vec<_>>()).await;
    let take = async |tx: &mut Tx, token| {
        let mut rows = jobs::pick(tx, "acme", "run_1", 0, 3).await.unwrap();
        rows.iter_mut().for_each(|row| row.token = Some(token));
        jobs::update(tx, &rows).await.unwrap();
        places(&rows)
    };
    if at.db.kind() == "postgres" {
        let (mut a, mut b) = (at.db.begin().await.unwrap(), other.begin().await.unwrap());
        assert_eq!(take(&mut a, 1).await, [1, 2, 3]);
        assert_eq!(take(&mut b, 2).await, [4, 5, 6], "without waiting for what the other has");
        b.commit().await.unwrap();
        a.commit().await.unwrap();
    } else {
        let both = async |db: &Db, token| {
            let mut tx = db.begin().await.unwrap();
            let taken = take(&mut tx, token).await;
            tx.commit().await.unwrap();
            taken
        };
        let (a, b) = tokio::join!(both(&at.db, 1), both(&other, 2));
        let taken: BTreeSet<i64> = a.into_iter().chain(b).collect();
        assert_eq!(taken.len(), 6);
    }
    assert_eq!(jobs::first_due(&at.db, "acme", "run_1").await.unwrap(), None);
}

async fn jobs_are_loaded_and_locked(at: TestDatabase) {
    add(&at, &[job(1, "queued"), job(2, "live"), JobRow { tenant: "other".into(), ..job(3, "live") }]).await;
    let key = |tenant: &str, id: &str| JobKey { tenant: tenant.into(), id: id.into() };
    let keys = [key("other", "job_03"), key("acme", "job_02"), key("acme", "job_01"), key("acme", "job_03")];
    let loaded = commit!(at, |tx| jobs::load_locked(tx, &keys));
    assert_eq!(places(&loaded), [1, 2, 3], "in the order of their keys");
    assert_eq!(commit!(at, |tx| jobs::load_locked(tx, &[])), []);
    if at.db.kind() == "sqlite" {
        return;
    }
    let other = at.another_node().await;
    let (mut a, mut b) = (at.db.begin().await.unwrap(), other.begin().await.unwrap());
    jobs::load_locked(&mut a, &[key("acme", "job_01")]).await.unwrap();
    assert_eq!(jobs::pick(&mut b, "acme", "run_1", 0, 9).await.unwrap(), []);
    let mut changed = loaded[0].clone();
    changed.attempt = 7;
    jobs::update(&mut a, &[changed]).await.unwrap();
    let keys = [key("acme", "job_02"), key("acme", "job_01")];
    let (waited, done) = tokio::join!(jobs::load_locked(&mut b, &keys), a.commit());
    done.unwrap();
    assert_eq!(waited.unwrap()[0].attempt, 7, "whoever waited reads what was written");
}

async fn held(at: &TestDatabase) -> i64 {
    slots::count_held(&at.db, "acme", "AC1", "run_1").await.unwrap().tenant
}

async fn reserved_jobs_are_taken_back_with_their_slots(at: TestDatabase) {
    let tried = JobRow { attempt: 1, ..reserved(2, 6) };
    let placing = JobRow { attempt: 1, token: Some(6), ..job(4, "placing") };
    add(&at, &[reserved(1, 6), tried, reserved(3, 7), placing, job(5, "queued")]).await;
    commit!(at, |tx| slots::take(tx, &[slot(1, 1), slot(2, 2), slot(3, 1), slot(4, 1)]));
    assert_eq!(commit!(at, |tx| jobs::take_back(tx, "other", "run_1", 7, 50)), 0);
    assert_eq!(commit!(at, |tx| jobs::take_back(tx, "acme", "run_1", 7, 50)), 2);
    let mut tokens = Vec::new();
    for n in 1..=5 {
        let row = found(&at, n).await;
        tokens.push((row.token, row.updated_ms));
    }
    assert_eq!(tokens, [(None, 50), (None, 50), (Some(7), 0), (Some(6), 0), (None, 0)]);
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger { taken: 4, released: 2 });
    assert_eq!(slots::last_released(&at.db, "acme", "run_1").await.unwrap(), Some(50));
    assert_eq!(commit!(at, |tx| jobs::take_back(tx, "acme", "run_1", 7, 60)), 0);
}

async fn queued_jobs_end_with_the_slots_they_had(at: TestDatabase) {
    let elsewhere = JobRow { run_id: "run_2".into(), ..job(4, "queued") };
    let live = JobRow { attempt: 1, ..job(3, "live") };
    add(&at, &[reserved(1, 6), job(2, "queued"), live.clone(), elsewhere.clone()]).await;
    commit!(at, |tx| slots::take(tx, &[slot(1, 1), slot(3, 1)]));
    assert_eq!(commit!(at, |tx| jobs::end_queued(tx, "acme", "run_1", "failed", "it's over", 50)), 2);
    let ended = JobRow { error: Some("it's over".into()), updated_ms: 50, ended_ms: Some(50), ..job(1, "failed") };
    assert_eq!(found(&at, 1).await, ended);
    assert_eq!(found(&at, 2).await.state, "failed");
    assert_eq!([found(&at, 3).await, found(&at, 4).await], [live, elsewhere]);
    assert_eq!(held(&at).await, 1, "what lives keeps its slot");
}

async fn jobs_being_placed_end_with_their_slots(at: TestDatabase) {
    let placing = JobRow { attempt: 2, token: Some(1), placing_ms: Some(9), ..job(1, "placing") };
    let placed = JobRow { attempt: 1, ..job(2, "placed") };
    add(&at, &[placing.clone(), placed.clone(), job(3, "queued")]).await;
    commit!(at, |tx| slots::take(tx, &[slot(1, 2), slot(2, 1)]));
    assert_eq!(commit!(at, |tx| jobs::end_placing(tx, "acme", "run_1", "cancelled", "why", 50)), 1);
    let ended = JobRow {
        state: "cancelled".into(),
        token: None,
        error: Some("why".into()),
        updated_ms: 50,
        ended_ms: Some(50),
        ..placing
    };
    assert_eq!([found(&at, 1).await, found(&at, 2).await, found(&at, 3).await], [ended, placed, job(3, "queued")]);
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger { taken: 2, released: 1 });
}

async fn the_jobs_of_a_lead_are_cancelled(at: TestDatabase) {
    let of = |row: JobRow| JobRow { lead_id: Some("lead-1".into()), ..row };
    let elsewhere = of(JobRow { run_id: "run_2".into(), ..job(2, "queued") });
    add(&at, &[of(reserved(1, 6)), elsewhere, of(job(3, "live")), job(4, "queued")]).await;
    add(&at, &[JobRow { tenant: "other".into(), ..of(job(5, "queued")) }]).await;
    commit!(at, |tx| slots::take(tx, &[slot(1, 1), slot(3, 0)]));
    assert_eq!(commit!(at, |tx| jobs::cancel_of_lead(tx, "acme", "lead-1", "the lead was deleted", 50)), 2);
    let mut states = Vec::new();
    for n in 1..=4 {
        states.push(found(&at, n).await.state);
    }
    assert_eq!(states, ["cancelled", "cancelled", "live", "queued"]);
    assert_eq!(found(&at, 2).await.error.as_deref(), Some("the lead was deleted"));
    assert_eq!(held(&at).await, 1);
}

async fn what_is_open_and_what_lives(at: TestDatabase) {
    let states = ["queued", "placing", "placed", "live", "done", "unknown", "cancelled", "failed"];
    for (n, state) in (1..).zip(states) {
        add(&at, &[JobRow { run_id: format!("run_{state}"), ..job(n, state) }]).await;
        let open = jobs::any_open(&at.db, "acme", &format!("run_{state}")).await.unwrap();
        assert_eq!(open, n <= 4, "{state}");
    }
    add(&at, &[job(11, "placed"), job(12, "live"), job(13, "placing")]).await;
    assert_eq!(places(&jobs::list_live(&at.db, "acme", "run_1", 9).await.unwrap()), [11, 12]);
    assert_eq!(places(&jobs::list_live(&at.db, "acme", "run_1", 1).await.unwrap()), [11]);
    assert_eq!(jobs::list_live(&at.db, "other", "run_1", 9).await.unwrap(), []);
}

async fn lost_answers_are_found(at: TestDatabase) {
    let placing = |n, placing_ms| JobRow { token: Some(3), placing_ms: Some(placing_ms), ..job(n, "placing") };
    let of_run = |n, row: JobRow| JobRow { run_id: format!("run_{n}"), ..row };
    for (n, token, state) in [(1, 3, "running"), (2, 4, "running"), (3, 3, "paused")] {
        commit!(at, |tx| runs::insert(tx, &RunRow { token, ..run(n, state) }));
    }
    let known = JobRow { lost_ms: Some(1), ..placing(3, 97) };
    let placed = JobRow { state: "placed".into(), call_id: Some("call_1".into()), ..of_run(2, placing(6, 1)) };
    let untold = JobRow { state: "placed".into(), ..of_run(1, placing(7, 99)) };
    let rows = [
        placing(1, 1),
        of_run(2, placing(2, 98)),
        known,
        of_run(3, placing(4, 100)),
        of_run(2, placing(5, 101)),
        placed,
        untold,
    ];
    add(&at, &rows).await;
    assert_eq!(places(&jobs::list_lost(&at.db, 100, 9).await.unwrap()), [3, 2, 7, 4], "the oldest first");
    assert_eq!(places(&jobs::list_lost(&at.db, 100, 1).await.unwrap()), [3]);
}

async fn calls_that_belong_to_jobs(at: TestDatabase) {
    let of_job = JobRow { provider_id: Some("CA1".into()), ..job(1, "live") };
    let theirs = JobRow { provider_id: Some("CA4".into()), tenant: "other".into(), ..job(2, "live") };
    add(&at, &[of_job, theirs]).await;
    let call = |n: u32, run_id: Option<&str>| CallRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: "completed".into(),
        run_id: run_id.map(Into::into),
        ..CallRow::default()
    };
    commit!(at, |tx| calls::upsert(tx, &[call(1, Some("run_1")), call(2, Some("run_1")), call(3, None)]));
    let ids = ["CA1", "CA2", "CA3", "CA4", "CA5"].map(str::to_owned);
    let mut claimed = jobs::list_claimed(&at.db, "acme", &ids).await.unwrap();
    claimed.sort();
    assert_eq!(claimed, ["CA1", "CA2"], "that of an earlier attempt, too");
    assert_eq!(jobs::list_claimed(&at.db, "acme", &[]).await.unwrap(), [""; 0]);
}
