//! What is counted of outbound runs: how alive they are, how their jobs end, and how long providers take to place a call.

use crate::domain::{
    run::RunState,
    state::Outcome,
    time::{Millis, SECOND},
    words,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

words! {
    /// How a job ended. Only the last attempt counts: a job that is tried again has not ended.
    pub enum JobEnding {
        /// Its call was answered, and is over.
        Completed = "completed",
        /// Its call met a busy line.
        Busy = "busy",
        /// Nobody answered its call.
        NoAnswer = "no-answer",
        /// Its call could not be connected.
        Failed = "failed",
        /// Its call was taken back while it rang, or before.
        Canceled = "canceled",
        /// Whether there was a call cannot be found out.
        Unknown = "unknown",
        /// It was cancelled before there was a call.
        Cancelled = "cancelled",
        /// The provider, or whoever dials, refused to place it.
        Refused = "refused",
        /// Its run failed before it was placed.
        Abandoned = "abandoned",
    }
}

impl From<Outcome> for JobEnding {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Busy => Self::Busy,
            Outcome::NoAnswer => Self::NoAnswer,
            Outcome::Failed => Self::Failed,
            Outcome::Canceled => Self::Canceled,
        }
    }
}

/// What was counted in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// How many runs are in which state; states that are not named have none.
    pub states: Vec<(RunState, i64)>,
    /// Of the running ones: how long the one that has been silent longest has been; 0 if none runs.
    pub heartbeat_age_ms: Millis,
    /// Of the running and cancelling ones: stale.
    pub stale: i64,
    /// Of these: somebody has, or had, the lease, and gives no sign of life.
    pub lease_without_heartbeat: i64,
    /// Slots that are held.
    pub slots_held: i64,
}

/// The figures of runs. Clones share them.
#[derive(Clone, Debug)]
pub struct RunFigures {
    runs: Family<StateLabels, Gauge>,
    heartbeat_age: Gauge<f64, AtomicU64>,
    stale: Gauge,
    lease_without_heartbeat: Gauge,
    slots_held: Gauge,
    jobs: Family<EndingLabels, Counter>,
    placed: Counter,
    place_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    outcome: &'static str,
}

impl Default for RunFigures {
    fn default() -> Self {
        Self {
            runs: Family::default(),
            heartbeat_age: Gauge::default(),
            stale: Gauge::default(),
            lease_without_heartbeat: Gauge::default(),
            slots_held: Gauge::default(),
            jobs: Family::default(),
            placed: Counter::default(),
            // From a PBX in the same house to a provider that answers just within the time-out.
            place_seconds: Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        }
    }
}

impl RunFigures {
    /// Jobs have ended so. Called once the transaction that ended them is committed, by whoever ended them.
    pub fn jobs_ended(&self, ending: JobEnding, count: u64) {
        self.jobs.get_or_create(&EndingLabels { outcome: ending.as_str() }).inc_by(count);
    }

    /// A provider has taken a call, or an external dialer reports that one has.
    pub fn job_placed(&self) {
        self.placed.inc();
    }

    /// A provider took so long to answer a request to place a call, whatever the answer was; a time-out counts as well.
    pub fn place_took(&self, seconds: f64) {
        self.place_seconds.observe(seconds);
    }

    /// What the database says now.
    pub fn show(&self, counts: &RunCounts) {
        for &state in RunState::ALL {
            let runs = counts.states.iter().filter(|(of, _)| *of == state).map(|(_, runs)| *runs).sum();
            self.runs.get_or_create(&StateLabels { state: state.as_str() }).set(runs);
        }
        self.heartbeat_age.set(counts.heartbeat_age_ms as f64 / SECOND as f64);
        self.stale.set(counts.stale);
        self.lease_without_heartbeat.set(counts.lease_without_heartbeat);
        self.slots_held.set(counts.slots_held);
    }

    /// Every name with its help; every series begins at zero.
    #[rustfmt::skip]
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_runs", "Outbound runs of all tenants by state, counted in the database; at most 100000 are counted", self.runs.clone());
        to.register("onhook_run_heartbeat_age_seconds", "How long ago the running run that has been silent longest gave its last heartbeat, or was started; 0 if none runs", self.heartbeat_age.clone());
        to.register("onhook_runs_stale", "Running and cancelling runs without a heartbeat, or without progress that could be made, for longer than run.stale_after", self.stale.clone());
        to.register("onhook_runs_lease_without_heartbeat", "Running and cancelling runs whose lease somebody took and then went silent for longer than run.stale_after", self.lease_without_heartbeat.clone());
        to.register("onhook_slots_held", "Calls at once that are taken by runs of all tenants; at most 100000 are counted", self.slots_held.clone());
        to.register("onhook_jobs", "Jobs of runs that this process ended, by how; a job that is tried again has not ended", self.jobs.clone());
        to.register("onhook_jobs_placed", "Calls of jobs that a provider has taken, every attempt, as this process learned", self.placed.clone());
        to.register("onhook_place_seconds", "Time that providers took to answer a request to place a call", self.place_seconds.clone());
        self.show(&RunCounts::default());
        for &ending in JobEnding::ALL {
            self.jobs_ended(ending, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text;

    fn lines(figures: &RunFigures) -> Vec<String> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        figures.register(&mut registry);
        text::encode(&mut text, &registry).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn assert_among(found: &[String], wanted: &[&str]) {
        for line in wanted {
            assert!(found.iter().any(|found| found == line), "{line} is missing in\n{}", found.join("\n"));
        }
    }

    #[test]
    fn every_series_begins_at_zero() {
        let found = lines(&RunFigures::default());
        assert_among(
            &found,
            &[
                r#"onhook_runs{state="pending"} 0"#,
                r#"onhook_runs{state="failed"} 0"#,
                "onhook_run_heartbeat_age_seconds 0.0",
                "onhook_runs_stale 0",
                "onhook_runs_lease_without_heartbeat 0",
                "onhook_slots_held 0",
                r#"onhook_jobs_total{outcome="no-answer"} 0"#,
                r#"onhook_jobs_total{outcome="abandoned"} 0"#,
                "onhook_jobs_placed_total 0",
                "onhook_place_seconds_count 0",
            ],
        );
    }

    #[test]
    fn what_is_counted_is_rendered_and_a_state_that_is_left_falls_to_zero() {
        let (figures, mut registry, mut text) = (RunFigures::default(), Registry::default(), String::new());
        figures.register(&mut registry);
        figures.jobs_ended(Outcome::NoAnswer.into(), 2);
        figures.jobs_ended(JobEnding::Refused, 1);
        figures.job_placed();
        figures.place_took(0.3);
        figures.show(&RunCounts { states: vec![(RunState::Paused, 4)], ..RunCounts::default() });
        figures.show(&RunCounts {
            states: vec![(RunState::Running, 3), (RunState::Completed, 9)],
            heartbeat_age_ms: 45_500,
            stale: 2,
            lease_without_heartbeat: 1,
            slots_held: 17,
        });
        text::encode(&mut text, &registry).unwrap();
        let found: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_among(
            &found,
            &[
                r#"onhook_runs{state="running"} 3"#,
                r#"onhook_runs{state="completed"} 9"#,
                r#"onhook_runs{state="paused"} 0"#,
                "onhook_run_heartbeat_age_seconds 45.5",
                "onhook_runs_stale 2",
                "onhook_runs_lease_without_heartbeat 1",
                "onhook_slots_held 17",
                r#"onhook_jobs_total{outcome="no-answer"} 2"#,
                r#"onhook_jobs_total{outcome="refused"} 1"#,
                "onhook_jobs_placed_total 1",
                r#"onhook_place_seconds_bucket{le="0.25"} 0"#,
                r#"onhook_place_seconds_bucket{le="0.5"} 1"#,
            ],
        );
    }
}
