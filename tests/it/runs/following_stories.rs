//! A job follows its call: whole stories, each of which ends with as many slots released as were taken.

use super::stage::{RUN, Stage, ended, given_up, told};
use crate::{
    ingest::completed,
    support::{
        database::{TestDatabase, on_both},
        gateway::START_MS,
    },
};
use onhook::{
    domain::{
        signal::{Claim, Field, Signal, Witness},
        state::{Live, Outcome},
    },
    ingest::Submission,
    store::{jobs::JobRow, slots},
};

on_both! {
    callbacks_in_order,
    callbacks_before_the_provider_answered,
    reordered_and_repeated_callbacks,
    a_lost_ending_that_was_asked_for,
    a_call_that_was_given_up_lives_again,
    a_busy_one_is_tried_again,
    a_correction_while_it_waits_ends_it,
    a_correction_after_the_end_changes_the_outcome_only,
    only_told_endings_are_tried_again,
    a_run_that_is_over_tries_nothing_again,
    a_waiting_job_that_lives_again_gives_its_reservation_back,
    copies_of_an_ending_do_not_move_the_next_attempt,
    a_whole_story_in_one_batch,
    a_call_that_was_taken_for_the_wrong_jobs_goes_to_its_own,
}

fn is(state: &str, outcome: &str, resolution: &str) -> (String, Option<String>, Option<String>) {
    (state.into(), Some(outcome.into()), Some(resolution.into()))
}

async fn callbacks_in_order(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow { lost_ms: Some(1), error: Some("lost".into()), ..JobRow::default() }).await;
    for (live, state) in
        [(Live::Queued, "placed"), (Live::Initiated, "live"), (Live::Ringing, "live"), (Live::Answered, "live")]
    {
        stage.say(told("CA1", Claim::Live(live), "1")).await;
        assert_eq!(stage.job().await.state, state, "{live}");
        assert_eq!(stage.ledger().await, (1, 0));
    }
    let job = stage.job().await;
    assert_eq!((job.placing_ms, job.lost_ms, job.error.as_deref(), job.ended_ms), (None, None, None, None));
    stage.clock.advance(500);
    let mut last = told("CA1", completed(7), "1");
    last.details.insert(Field::AnsweredBy, "human".to_owned());
    stage.say(last).await;
    let job = stage.job().await;
    assert_eq!((job.ended_ms, job.updated_ms), (Some(START_MS + 500), START_MS + 500));
    assert_eq!(job.answered_by.as_deref(), Some("human"));
    assert_eq!((job.provider_id, job.call_id), (Some("CA1".into()), Some(stage.call("CA1").await.id)));
    assert_eq!(stage.stands().await, is("done", "completed", "callback"));
    assert_eq!(slots::last_released(&at.db, "default", RUN).await.unwrap(), Some(START_MS + 500));
    stage.is_even().await;
}

/// The answer to the request that created the call comes after its callbacks.
async fn callbacks_before_the_provider_answered(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let created = Signal { witness: Witness::Reconciled, at: None, ..told("CA1", Claim::Live(Live::Queued), "1") };
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    stage.say(created.clone()).await;
    assert_eq!(stage.job().await.state, "live");
    stage.say(told("CA1", completed(7), "1")).await;
    stage.say(Signal { sequence: Some(9), ..created }).await;
    assert_eq!(stage.stands().await, is("done", "completed", "callback"));
    stage.is_even().await;
}

async fn reordered_and_repeated_callbacks(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let said = [completed(7), Claim::Live(Live::Answered), Claim::Live(Live::Queued), completed(7)];
    for claim in said {
        let next = stage.next("default", told("CA1", claim, "1"));
        for _ in 0..2 {
            stage.ingest.submit(next.clone()).await.unwrap();
        }
        assert_eq!(stage.stands().await, is("done", "completed", "callback"));
        stage.is_even().await;
    }
}

async fn a_lost_ending_that_was_asked_for(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    let mut asked = Signal { witness: Witness::Reconciled, ..told("CA1", ended(Outcome::NoAnswer), "1") };
    asked.details.clear();
    stage.say(asked).await;
    assert_eq!(stage.stands().await, is("queued", "no-answer", "reconciled"), "it was told, so it is tried again");
    stage.is_even().await;
}

async fn a_call_that_was_given_up_lives_again(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    stage.say(Signal { witness: Witness::Inferred, ..told("CA1", given_up(START_MS + 10), "1") }).await;
    assert_eq!(stage.stands().await, is("done", "completed", "inferred"));
    stage.is_even().await;
    let sign = Signal { at: Some(START_MS + 20), ..told("CA1", Claim::Live(Live::Answered), "1") };
    stage.say(sign).await;
    assert_eq!(stage.stands().await, ("live".into(), None, None));
    assert_eq!((stage.job().await.ended_ms, stage.ledger().await), (None, (1, 0)), "its slot is held again");
    stage.say(told("CA1", completed(7), "1")).await;
    assert_eq!(stage.stands().await, is("done", "completed", "callback"));
    stage.is_even().await;
}

async fn a_busy_one_is_tried_again(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    stage.say(told("CA1", ended(Outcome::Busy), "1")).await;
    assert_eq!(stage.stands().await, is("queued", "busy", "callback"));
    let job = stage.job().await;
    assert_eq!((job.attempt, job.token, job.due_ms, job.ended_ms), (1, None, START_MS + 60_000, None));
    stage.is_even().await;
    stage.hand_out("placing").await;
    stage.say(told("CA1", ended(Outcome::Busy), "1")).await;
    assert_eq!(stage.job().await.state, "placing", "what the first attempt says is over");
    stage.say(told("CA2", Claim::Live(Live::Ringing), "2")).await;
    assert_eq!(stage.job().await.state, "live");
    stage.say(told("CA2", ended(Outcome::Busy), "2")).await;
    assert_eq!(stage.stands().await, is("done", "busy", "callback"), "that was the last attempt");
    assert_eq!(stage.ledger().await, (2, 2));
}

async fn a_correction_while_it_waits_ends_it(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let busy = Signal { sequence: Some(1), ..told("CA1", ended(Outcome::Busy), "1") };
    stage.say(busy).await;
    assert_eq!(stage.job().await.state, "queued");
    stage.hand_out("queued").await;
    stage.say(Signal { sequence: Some(2), ..told("CA1", completed(7), "1") }).await;
    assert_eq!(stage.stands().await, is("done", "completed", "callback"));
    assert_eq!(stage.job().await.token, None, "whoever has it cannot place it any more");
    assert_eq!(stage.ledger().await, (2, 2), "what was taken for the next attempt is released, too");
}

async fn a_correction_after_the_end_changes_the_outcome_only(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(Signal { sequence: Some(1), ..told("CA1", completed(7), "1") }).await;
    stage.clock.advance(1_000);
    stage.say(Signal { sequence: Some(2), ..told("CA1", ended(Outcome::Busy), "1") }).await;
    assert_eq!(stage.stands().await, is("done", "busy", "callback"), "what is over is not dialed again");
    assert_eq!((stage.job().await.ended_ms, stage.job().await.updated_ms), (Some(START_MS), START_MS + 1_000));
    stage.is_even().await;
}

async fn only_told_endings_are_tried_again(at: TestDatabase) {
    let weak = [(Witness::Inferred, "inferred"), (Witness::Manual, "manual"), (Witness::Absent, "reconciled")];
    for (n, (witness, resolution)) in weak.into_iter().enumerate() {
        let mut stage = Stage::set_as(&at, n, JobRow::default()).await;
        let call = format!("CA{n}");
        stage.say(stage.told(&call, Claim::Live(Live::Ringing))).await;
        stage.say(Signal { witness, ..stage.told(&call, given_up(START_MS + 10)) }).await;
        let job = stage.job().await;
        assert_eq!((job.state.as_str(), job.resolution.as_deref()), ("done", Some(resolution)));
        stage.is_even().await;
        stage.say(stage.told(&call, ended(Outcome::Busy))).await;
        assert_eq!(stage.stands().await, is("done", "busy", "callback"), "it is over");
    }
    let mut stage = Stage::set_as(&at, 9, JobRow::default()).await;
    stage.say(Signal { at: None, ..stage.told("CA9", ended(Outcome::Busy)) }).await;
    assert_eq!(stage.stands().await, is("queued", "busy", "callback"), "told, if without a time");
}

async fn a_run_that_is_over_tries_nothing_again(at: TestDatabase) {
    for (n, state) in ["cancelling", "cancelled", "failed", "completed"].into_iter().enumerate() {
        let mut stage = Stage::set_as(&at, n, JobRow::default()).await;
        stage.run_is(state).await;
        stage.say(stage.told(&format!("CA{n}"), ended(Outcome::Busy))).await;
        assert_eq!(stage.stands().await, is("done", "busy", "callback"), "{state}");
        stage.is_even().await;
    }
    let mut stage = Stage::set_as(&at, 9, JobRow::default()).await;
    stage.run_is("paused").await;
    stage.say(stage.told("CA9", ended(Outcome::Busy))).await;
    assert_eq!(stage.job().await.state, "queued", "a paused one goes on later");
}

async fn a_waiting_job_that_lives_again_gives_its_reservation_back(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", Claim::Live(Live::Answered), "1")).await;
    stage.say(Signal { witness: Witness::Inferred, ..told("CA1", given_up(START_MS + 10), "1") }).await;
    stage.change(|job| (job.state, job.ended_ms) = ("queued".into(), None)).await;
    stage.hand_out("queued").await;
    assert_eq!(stage.ledger().await, (2, 1));
    stage.say(Signal { at: Some(START_MS + 20), ..told("CA1", Claim::Alive, "1") }).await;
    let job = stage.job().await;
    assert_eq!((job.state.as_str(), job.token, job.attempt), ("live", None, 1));
    assert_eq!(stage.ledger().await, (2, 1), "one for the call that lives, none for the next one");
    stage.say(told("CA1", completed(7), "1")).await;
    stage.is_even().await;
}

async fn copies_of_an_ending_do_not_move_the_next_attempt(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(Signal { sequence: Some(1), ..told("CA1", ended(Outcome::Busy), "1") }).await;
    let before = stage.job().await;
    stage.clock.advance(10_000);
    stage.say(Signal { sequence: Some(1), ..told("CA1", ended(Outcome::Busy), "1") }).await;
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    assert_eq!(stage.job().await, before);
    stage.say(Signal { sequence: Some(2), ..told("CA1", ended(Outcome::NoAnswer), "1") }).await;
    let job = stage.job().await;
    assert_eq!((job.outcome.as_deref(), job.due_ms), (Some("no-answer"), before.due_ms));
    stage.is_even().await;
}

async fn a_whole_story_in_one_batch(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    let said = [Claim::Live(Live::Queued), Claim::Live(Live::Ringing), Claim::Live(Live::Answered), completed(7)];
    let all: Vec<Submission> = said.map(|claim| stage.next("default", told("CA1", claim, "1"))).into();
    for result in stage.ingest.submit_all(all, std::time::Duration::from_secs(10)).await {
        result.unwrap();
    }
    assert_eq!(stage.stands().await, is("done", "completed", "callback"));
    stage.is_even().await;
}

/// Both answers are lost and one call is found: it was taken for that of the first, and then says whose it is.
async fn a_call_that_was_taken_for_the_wrong_jobs_goes_to_its_own(at: TestDatabase) {
    let mut wrong = Stage::set_as(&at, 0, JobRow { lost_ms: Some(1), ..JobRow::default() }).await;
    let right = Stage::set_as(&at, 1, JobRow { lost_ms: Some(1), ..JobRow::default() }).await;
    let found = Signal { witness: Witness::Reconciled, ..wrong.told("CA1", Claim::Live(Live::Queued)) };
    wrong.say(found).await;
    assert_eq!((wrong.job().await.state.as_str(), right.job().await.state.as_str()), ("placed", "placing"));
    // Through one door: deliveries of two stages would count as copies.
    wrong.say(right.told("CA1", Claim::Live(Live::Answered))).await;
    let (taken, own) = (wrong.job().await, right.job().await);
    assert_eq!((own.state.as_str(), own.provider_id.as_deref()), ("live", Some("CA1")));
    assert_eq!((taken.state.as_str(), taken.provider_id, taken.call_id), ("unknown", None, None));
    assert!(taken.error.unwrap().contains("another job's") && taken.ended_ms.is_some());
    wrong.is_even().await;
    assert_eq!(right.ledger().await, (1, 0));
    wrong.say(right.told("CA1", completed(7))).await;
    assert_eq!((wrong.job().await.state.as_str(), right.job().await.state.as_str()), ("unknown", "done"));
    right.is_even().await;
    assert_eq!((wrong.hangups().await, right.hangups().await), Default::default());
}
