//! A job follows its call: which calls are its calls, and what becomes of those that must not be.

use super::stage::{JOB, RUN, Stage, ended, told};
use crate::{
    ingest::completed,
    support::{
        database::{TestDatabase, on_both},
        gateway::{ACCOUNT, Gateway},
    },
};
use onhook::{
    domain::{
        signal::{Claim, Field, Link, LinkRank, Signal, Witness},
        state::{Live, Outcome},
    },
    store::{
        audit,
        calls::{self, CallFilter},
        contacts,
        hangups::{self, HangupCount},
        jobs::{self, JobRow},
        runs::{self, RunRow},
    },
};

on_both! {
    another_attempt_teaches_nothing,
    a_job_of_nobody_is_the_users_own_word,
    a_job_of_another_tenant_is_not_touched,
    a_leg_that_names_the_job_is_not_its_call,
    a_leg_that_does_not_say_what_it_is_is_not_hung_up,
    a_call_without_an_attempt_is_the_present_one,
    a_channel_whose_id_is_ours_needs_no_word,
    a_second_call_of_an_attempt_is_hung_up_once,
    calls_of_jobs_that_are_over_are_hung_up_once,
    the_lead_of_the_job_is_the_lead_of_the_call,
    a_better_link_stands,
    a_call_that_became_part_of_an_older_one_frees_its_slot,
    a_leg_that_the_job_knows_is_followed_to_its_end,
    calls_of_a_run_are_listed,
}

async fn another_attempt_teaches_nothing(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow { attempt: 2, ..JobRow::default() }).await;
    for claim in [Claim::Live(Live::Ringing), Claim::Live(Live::Answered), completed(7)] {
        stage.say(told("CA1", claim, "1")).await;
    }
    for attempt in ["3", "0", "-2", "two", "", "99999999999999999999"] {
        stage.say(told(&format!("CA{attempt}"), Claim::Live(Live::Answered), attempt)).await;
    }
    let job = stage.job().await;
    assert_eq!((job.state.as_str(), job.attempt, job.provider_id), ("placing", 2, None));
    assert_eq!(stage.hangups().await, HangupCount::default());
    assert_eq!(stage.call("CA1").await.run_id.as_deref(), Some(RUN), "it is a call of the run all the same");
    assert_eq!(stage.call("CAtwo").await.run_id, None);
    stage.say(told("CA9", completed(7), "2")).await;
    stage.is_even().await;
}

async fn a_job_of_nobody_is_the_users_own_word(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    for job_id in ["4711", "job_unknown", "it's'; --"] {
        let mut signal = told(&format!("CA-{}", job_id.len()), Claim::Live(Live::Answered), "1");
        signal.details.insert(Field::JobId, job_id.to_owned());
        stage.say(signal).await;
    }
    let call = stage.call("CA-4").await;
    assert_eq!((call.job_id.as_deref(), call.run_id), (Some("4711"), None));
    assert_eq!(stage.hangups().await, HangupCount::default());
    assert_eq!(stage.job().await.state, "placing");
}

async fn a_job_of_another_tenant_is_not_touched(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let before = stage.job().await;
    stage.say_as("other", told("CA1", Claim::Live(Live::Answered), "1")).await;
    stage.say_as("other", told(&format!("{JOB}-1"), Claim::Live(Live::Answered), "1")).await;
    assert_eq!(stage.job().await, before);
    let call = calls::find(&at.db, "other", "CA1", None).await.unwrap().remove(0);
    assert_eq!((call.run_id, call.lead_id), (None, None));
    assert_eq!(stage.ledger().await, (1, 0));
}

async fn a_leg_that_names_the_job_is_not_its_call(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let leg = |claim| {
        let mut signal = told("CA2", claim, "1");
        signal.details.insert(Field::ParentId, "CA1".to_owned());
        signal
    };
    stage.say(leg(Claim::Live(Live::Ringing))).await;
    assert_eq!(stage.job().await.state, "placing");
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    stage.say(leg(ended(Outcome::NoAnswer))).await;
    let job = stage.job().await;
    assert_eq!((job.state.as_str(), job.provider_id.as_deref(), job.outcome), ("live", Some("CA1"), None));
    assert_eq!(stage.call("CA2").await.run_id, None);
    stage.say(told("CA1", completed(7), "1")).await;
    stage.is_even().await;
}

/// The callback about a machine at an agent's leg names job and attempt, but neither a parent nor a direction.
async fn a_leg_that_does_not_say_what_it_is_is_not_hung_up(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    let mut leg = told("CA2", Claim::Live(Live::Answered), "1");
    for direction in [None, Some("outbound-dial")] {
        leg.details.remove(&Field::Direction);
        leg.details.extend(direction.map(|word| (Field::Direction, word.to_owned())));
        stage.say(leg.clone()).await;
        assert_eq!(stage.hangups().await, HangupCount::default(), "{direction:?}");
    }
    assert_eq!(stage.job().await.provider_id.as_deref(), Some("CA1"));
    stage.say(told("CA3", Claim::Live(Live::Answered), "1")).await;
    assert_eq!(stage.hangups().await.pending, 1, "one that was asked for is");
}

async fn a_call_without_an_attempt_is_the_present_one(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow { attempt: 2, ..JobRow::default() }).await;
    let plain = |call: &str, claim| {
        let mut signal = told(call, claim, "");
        signal.details.remove(&Field::Attempt);
        signal
    };
    stage.say(plain("CA1", Claim::Live(Live::Ringing))).await;
    assert_eq!(stage.job().await.state, "live");
    stage.say(plain("CA2", Claim::Live(Live::Ringing))).await;
    assert_eq!(stage.hangups().await, HangupCount::default(), "which attempt it is of cannot be said");
    stage.change(|job| (job.attempt, job.provider_id) = (3, None)).await;
    stage.say(plain("CA1", completed(7))).await;
    assert_eq!(stage.job().await.outcome, None, "it stays the call of the attempt that it was made for");
    stage.change(|job| job.attempt = 2).await;
    stage.say(plain("CA1", completed(8))).await;
    stage.is_even().await;
}

async fn a_channel_whose_id_is_ours_needs_no_word(at: TestDatabase) {
    let row = JobRow { lead_id: Some("lead-7".into()), user_id: Some("ann".into()), ..JobRow::default() };
    let mut stage = Stage::set(&at, row).await;
    let channel = |id: &str, claim| {
        let mut signal = told(id, claim, "");
        signal.details.remove(&Field::Attempt);
        signal.details.remove(&Field::JobId);
        signal
    };
    let ours = format!("{JOB}-1");
    stage.say(channel(&ours, Claim::Live(Live::Ringing))).await;
    let call = stage.call(&ours).await;
    let said = (call.job_id.as_deref(), call.run_id.as_deref(), call.lead_id.as_deref(), call.user_id.as_deref());
    assert_eq!(said, (Some(JOB), Some(RUN), Some("lead-7"), Some("ann")));
    assert_eq!((stage.job().await.state.as_str(), stage.job().await.call_id), ("live", Some(call.id)));
    for other in [format!("{JOB}-1;2"), format!("{JOB}-x"), format!("{JOB}-"), "job_unknown-1".into(), "-1".into()] {
        stage.say(channel(&other, Claim::Live(Live::Ringing))).await;
        assert_eq!(stage.call(&other).await.run_id, None, "{other}");
    }
    stage.say(channel(&ours, completed(7))).await;
    stage.is_even().await;
    assert_eq!(stage.hangups().await, HangupCount::default());
}

async fn a_second_call_of_an_attempt_is_hung_up_once(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    stage.say(told("CA2", Claim::Live(Live::Ringing), "1")).await;
    stage.say(told("CA2", Claim::Live(Live::Answered), "1")).await;
    let stray = stage.call("CA2").await;
    let audited = audit::list_of_subject(&at.db, "default", &stray.id, 9).await.unwrap();
    assert_eq!(audited.len(), 1, "{audited:?}");
    assert_eq!((audited[0].action.as_str(), audited[0].actor.as_str()), ("call.stray", "runs"));
    assert!(audited[0].detail.contains("The job is live: another call of the same attempt is known."), "{audited:?}");
    let mut tx = at.db.begin().await.unwrap();
    let due = hangups::claim(&mut tx, stage.now_ms(), 1, 9).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(due.len(), 1);
    let said = (due[0].provider_id.as_str(), due[0].account.as_str(), due[0].reason.as_str(), due[0].run_id.as_deref());
    assert_eq!(said, ("CA2", ACCOUNT, "stray", Some(RUN)));
    stage.say(told("CA2", completed(1), "1")).await;
    assert_eq!(stage.job().await.provider_id.as_deref(), Some("CA1"));
    stage.say(told("CA1", completed(7), "1")).await;
    stage.is_even().await;
}

async fn calls_of_jobs_that_are_over_are_hung_up_once(at: TestDatabase) {
    for (n, state) in ["cancelled", "failed"].into_iter().enumerate() {
        let mut stage = Stage::set_as(&at, n, JobRow::default()).await;
        stage.end_placing(state).await;
        let call = format!("CA{n}");
        for live in [Live::Queued, Live::Ringing, Live::Answered] {
            stage.say(stage.told(&call, Claim::Live(live))).await;
        }
        assert_eq!(stage.hangups().await.pending, 1, "{state}");
        let audited = audit::list_of_subject(&at.db, "default", &stage.call(&call).await.id, 9).await.unwrap();
        assert_eq!(audited.len(), 1, "{audited:?}");
        stage.say(stage.told(&call, completed(2))).await;
        let other = format!("CA{n}-over");
        stage.say(stage.told(&other, completed(2))).await;
        assert_eq!(stage.hangups().await.pending, 1, "what is over needs no hanging up");
        assert_eq!(stage.job().await.state, state);
        assert_eq!(stage.call(&call).await.run_id.as_deref(), Some(stage.run.as_str()));
        stage.is_even().await;
    }
}

async fn the_lead_of_the_job_is_the_lead_of_the_call(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow { lead_id: Some("lead-7".into()), ..JobRow::default() }).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    stage.say(told("CA1", completed(7), "1")).await;
    assert_eq!(stage.call("CA1").await.lead_id.as_deref(), Some("lead-7"));
    assert_eq!(contacts::of_lead(&at.db, "default", "lead-7").await.unwrap().count, 1, "in the same transaction");
    stage.is_even().await;
}

async fn a_better_link_stands(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow { lead_id: Some("lead-7".into()), ..JobRow::default() }).await;
    let linked = |call: &str, rank| Signal {
        link: Some(Link { rank, lead_id: "lead-1".into() }),
        ..told(call, Claim::Live(Live::Ringing), "1")
    };
    stage.say(linked("CA1", LinkRank::Url)).await;
    assert_eq!(stage.call("CA1").await.lead_id.as_deref(), Some("lead-1"));
    stage.change(|job| job.provider_id = None).await;
    stage.say(linked("CA2", LinkRank::Number)).await;
    assert_eq!(stage.call("CA2").await.lead_id.as_deref(), Some("lead-7"));
}

async fn a_call_that_became_part_of_an_older_one_frees_its_slot(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    let mut merged = told("CA1", Claim::Link, "1");
    merged.details.insert(Field::MergedInto, "CA0".to_owned());
    stage.say(merged).await;
    let job = stage.job().await;
    assert_eq!((job.state.as_str(), job.outcome.as_deref()), ("done", Some("completed")));
    stage.is_even().await;
}

async fn a_leg_that_the_job_knows_is_followed_to_its_end(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    let mut merged = told("CA1", Claim::Link, "1");
    merged.details.extend([(Field::MergedInto, "CA0".to_owned()), (Field::ParentId, "CA0".to_owned())]);
    stage.say(merged).await;
    assert_eq!(stage.job().await.state, "live", "its own channel lives on there");
    stage.say(told("CA1", completed(7), "1")).await;
    assert_eq!(stage.job().await.state, "done");
    stage.is_even().await;
}

async fn calls_of_a_run_are_listed(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let reconciled = Signal { witness: Witness::Reconciled, ..told("CA1", Claim::Live(Live::Queued), "1") };
    stage.say(reconciled).await;
    assert_eq!(stage.job().await.state, "placed");
    let filter = CallFilter { run_id: Some(RUN.into()), ..CallFilter::default() };
    let listed = calls::list(&at.db, "default", &filter, None, 9).await.unwrap();
    assert_eq!(listed.iter().map(|row| row.provider_id.as_str()).collect::<Vec<_>>(), ["CA1"]);
    stage.say(told("CA1", ended(Outcome::Canceled), "1")).await;
    stage.is_even().await;
}

/// The same through the doors: a signed callback that names the job, and the list of calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_moves_the_job_that_its_url_names() {
    let at = TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[]).await;
    let mut tx = at.db.begin().await.unwrap();
    let run = RunRow {
        tenant: "default".into(),
        id: RUN.into(),
        state: "running".into(),
        account: ACCOUNT.into(),
        settings: "{}".into(),
        ..RunRow::default()
    };
    runs::insert(&mut tx, &run).await.unwrap();
    let job = JobRow {
        tenant: "default".into(),
        id: JOB.into(),
        run_id: RUN.into(),
        state: "placing".into(),
        attempt: 1,
        ..JobRow::default()
    };
    jobs::insert(&mut tx, &[job]).await.unwrap();
    tx.commit().await.unwrap();
    let call = "CA00000000000000000000000000000077";
    let said = [("CallSid", call), ("AccountSid", ACCOUNT), ("CallStatus", "ringing"), ("Direction", "outbound-api")];
    let answer = gateway.callback(&format!("job_id={JOB}&attempt=1"), &said).await;
    assert_eq!(answer.status(), 204);
    let job = jobs::find(&at.db, "default", JOB).await.unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.provider_id.as_deref()), ("live", Some(call)));
    let listed = gateway.get(&format!("/v1/calls?run_id={RUN}")).await;
    assert_eq!(listed["data"][0]["provider_id"], call, "{listed}");
    assert_eq!(listed["data"][0]["run_id"], RUN, "{listed}");
}
