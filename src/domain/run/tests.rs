//! When a run is alive, and what a call means for its job.

use super::*;
use crate::domain::id::new_id;
use Follow::{Again, Becomes, Nothing, Stray};
use JobState::{Cancelled, Done, Failed, Live, Placed, Placing, Queued, Unknown};

const PATIENCE: Patience = Patience { stale_ms: 30, fail_ms: 900 };

/// A run that was started at 1,000.
fn signs(beat_ms: Option<Millis>, progress_ms: Option<Millis>, placeable_ms: Option<Millis>) -> Signs {
    Signs { state: RunState::Running, started_ms: 1_000, beat_ms, progress_ms, placeable_ms }
}

#[test]
fn a_run_is_as_alive_as_its_last_heartbeat_and_its_progress() {
    use Health::{Dead, Fresh, Stale};
    let table = [
        // Nobody has come yet.
        (signs(None, None, None), 1_029, Fresh),
        (signs(None, None, None), 1_030, Stale),
        (signs(None, None, None), 99_999, Stale),
        // A heartbeat from before it was resumed counts for nothing, nor against it.
        (signs(Some(10), None, None), 1_029, Fresh),
        (signs(Some(10), None, None), 1_030, Stale),
        (signs(Some(1_100), None, None), 1_129, Fresh),
        (signs(Some(1_100), None, None), 1_130, Stale),
        // It beats, and places nothing that could be placed.
        (signs(Some(1_129), Some(1_100), Some(1_100)), 1_129, Fresh),
        (signs(Some(1_130), Some(1_100), Some(1_100)), 1_130, Stale),
        (signs(Some(1_999), Some(1_100), Some(1_100)), 1_999, Stale),
        (signs(Some(2_000), Some(1_100), Some(1_100)), 2_000, Dead),
        // It counts from when a job could be placed, if that was later.
        (signs(Some(2_000), Some(1_100), Some(1_980)), 2_000, Fresh),
        (signs(Some(2_879), Some(1_100), Some(1_980)), 2_879, Stale),
        (signs(Some(2_880), Some(1_100), Some(1_980)), 2_880, Dead),
        // A job that was due long before the run was started waits since the start.
        (signs(Some(1_899), None, Some(5)), 1_899, Stale),
        (signs(Some(1_900), None, Some(5)), 1_900, Dead),
        // None could be: it waits in silence, for ever if need be.
        (signs(Some(9_000), Some(1_100), None), 9_000, Fresh),
        // Nobody beats, and a job could be placed: it fails in the end.
        (signs(None, None, Some(1_000)), 1_030, Stale),
        (signs(None, None, Some(1_000)), 1_900, Dead),
        // A clock that was set back.
        (signs(Some(1_500), Some(1_500), Some(1_500)), 900, Fresh),
    ];
    for (signs, now_ms, health) in table {
        assert_eq!(super::health(&signs, PATIENCE, now_ms), health, "{signs:?} at {now_ms}");
    }
}

#[test]
fn a_run_that_is_being_cancelled_can_only_fall_silent() {
    let cancelling = Signs { state: RunState::Cancelling, ..signs(Some(1_500), None, Some(1_000)) };
    assert_eq!(health(&cancelling, PATIENCE, 1_529), Health::Fresh, "it places nothing, and is not to");
    assert_eq!(health(&cancelling, PATIENCE, 1_530), Health::Stale);
    assert_eq!(health(&cancelling, PATIENCE, 99_999), Health::Stale);
}

#[test]
fn nothing_is_asked_of_a_run_that_is_not_dialed() {
    for state in [RunState::Pending, RunState::Paused, RunState::Completed, RunState::Cancelled, RunState::Failed] {
        let signs = Signs { state, ..signs(None, None, Some(1_000)) };
        assert_eq!(health(&signs, PATIENCE, 99_999), Health::Fresh, "{state}");
        assert_eq!(state.is_ended(), !matches!(state, RunState::Pending | RunState::Paused));
    }
}

fn call(status: Status, resolution: Option<Resolution>, estimated: bool) -> Row {
    Row {
        status,
        resolution,
        estimated,
        ended_at_max_ms: None,
        hangup_cause: None,
        created_at_ms: 0,
        initiated_at_ms: None,
        ringing_at_ms: None,
        answered_at_ms: None,
        ended_at_ms: None,
        talk_seconds: None,
        alive_ms: None,
        answered: false,
        link: None,
    }
}

fn live(status: Status) -> Row {
    call(status, None, false)
}

fn told(status: Status) -> Row {
    call(status, Some(Resolution::Callback), false)
}

const fn job(state: JobState) -> Followed<'static> {
    Followed { state, attempt: 1, provider_id: Some("CA1"), may_retry: true }
}

/// Two attempts in all, ten seconds after a busy one.
fn twice() -> Retry {
    Retry { attempts_max: 2, on: BTreeSet::from([Outcome::Busy]), after_seconds: 10 }
}

fn followed(job: Followed<'_>, call: &Row) -> Follow {
    follow(&job, &Seen { provider_id: "CA1", attempt: 1, call }, &twice(), 500)
}

const ALL: [JobState; 8] = [Queued, Placing, Placed, Live, Done, Unknown, Cancelled, Failed];
const AGAIN: Follow = Again { due_ms: 10_500 };

#[test]
fn a_call_that_lives_makes_its_job_live() {
    let stray = [(Cancelled, "its job was cancelled"), (Failed, "its job has failed")];
    for state in ALL {
        let stray = stray.iter().find(|(of, _)| *of == state).map(|(_, why)| Stray(why));
        for status in [Status::Initiated, Status::Ringing, Status::InProgress] {
            let expected = stray.clone().unwrap_or(Becomes(Live));
            assert_eq!(followed(job(state), &live(status)), expected, "{state} {status}");
        }
        let queued = match state {
            Placing | Placed => Becomes(Placed),
            _ => stray.unwrap_or(Becomes(Live)),
        };
        assert_eq!(followed(job(state), &live(Status::Queued)), queued, "{state}");
    }
}

#[test]
fn a_call_that_has_ended_ends_its_job_or_is_tried_again() {
    for state in ALL {
        let is_over = matches!(state, Cancelled | Failed);
        let done = if is_over { Nothing } else { Becomes(Done) };
        assert_eq!(followed(job(state), &told(Status::Completed)), done, "{state}");
        assert_eq!(followed(job(state), &told(Status::NoAnswer)), done, "{state}: not tried again after that");
        let busy = if matches!(state, Done | Unknown) || is_over { done.clone() } else { AGAIN };
        assert_eq!(followed(job(state), &told(Status::Busy)), busy, "{state}");
        assert_eq!(followed(Followed { may_retry: false, ..job(state) }, &told(Status::Busy)), done, "{state}");
    }
}

#[test]
fn only_what_was_told_is_tried_again() {
    let table = [
        (Resolution::Callback, false, true),
        // Told, without a time that can be believed.
        (Resolution::Callback, true, true),
        (Resolution::Reconciled, false, true),
        // A channel list that lacked it: nobody said how it ended.
        (Resolution::Reconciled, true, false),
        (Resolution::Manual, false, false),
        (Resolution::Manual, true, false),
        (Resolution::Inferred, true, false),
    ];
    for (resolution, estimated, again) in table {
        let ended = call(Status::Busy, Some(resolution), estimated);
        let expected = if again { AGAIN } else { Becomes(Done) };
        assert_eq!(followed(job(Live), &ended), expected, "{resolution} {estimated}");
    }
}

#[test]
fn attempts_are_counted() {
    let second = |attempts_max| {
        let job = Followed { attempt: 2, ..job(Live) };
        let busy = told(Status::Busy);
        follow(&job, &Seen { provider_id: "CA1", attempt: 2, call: &busy }, &Retry { attempts_max, ..twice() }, 500)
    };
    assert_eq!(second(3), AGAIN);
    assert_eq!(second(2), Becomes(Done));
    assert_eq!(second(0), Becomes(Done));
    assert_eq!(Retry::default().attempts_max, 1, "nothing is tried again unless somebody asks for it");
}

#[test]
fn another_attempt_teaches_nothing() {
    for state in ALL {
        for call in [live(Status::Ringing), told(Status::Busy), told(Status::Completed)] {
            let seen = Seen { provider_id: "CA1", attempt: 2, call: &call };
            assert_eq!(follow(&job(state), &seen, &twice(), 500), Nothing, "{state}");
        }
    }
}

#[test]
fn another_call_of_the_same_attempt_must_not_be() {
    for state in ALL {
        let other =
            |job: Followed<'_>, call: &Row| follow(&job, &Seen { provider_id: "CA2", attempt: 1, call }, &twice(), 500);
        let stray = other(job(state), &live(Status::Queued));
        assert_eq!(stray, Stray("another call of the same attempt is known"), "{state}");
        assert_eq!(other(job(state), &told(Status::Completed)), Nothing, "{state}");
        let first = other(Followed { provider_id: None, ..job(state) }, &live(Status::Ringing));
        assert_eq!(
            matches!(first, Stray(_)),
            matches!(state, Cancelled | Failed),
            "{state}: the first one is its call"
        );
    }
}

#[test]
fn a_job_is_under_way_or_over_or_waits() {
    for state in ALL {
        assert!(!(state.is_under_way() && state.is_final()), "{state}");
        assert_eq!(!state.is_under_way() && !state.is_final(), state == Queued);
    }
}

#[test]
fn ids_of_calls_name_their_attempt() {
    let job = new_id("job", 1_795_160_000_000, 7);
    let id = call_id(&job, 12);
    assert_eq!(of_call_id(&id), Some((job.as_str(), 12)));
    for other in [
        "1795160000.12",
        "job_1-1",
        &job,
        &format!("{job}-0"),
        &format!("{job}-01"),
        &format!("{job}-+1"),
        &format!("{id};2"),
        &format!("{id}-2"),
    ] {
        assert_eq!(of_call_id(other), None, "{other}");
    }
}
