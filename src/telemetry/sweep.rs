//! What is counted of looking after live calls: how many there are, how many are stuck, how sweeping goes, and how the
//! providers answer.

use crate::{
    domain::{
        state::Stuck,
        time::{Millis, SECOND},
        words,
    },
    provider::TroubleKind,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

words! {
    /// What became of a call that a sweep looked at.
    pub enum LookedAt {
        /// The provider says that it lives.
        Alive = "alive",
        /// The provider says that it ended.
        Repaired = "repaired",
        /// Nobody could say until the limit.
        GivenUp = "given_up",
        /// Nobody could say; it is left as it is.
        Skipped = "skipped",
    }
}

words! {
    /// What a provider was asked for.
    pub enum ProviderRequest {
        /// A page of live calls.
        List = "list",
        /// One call.
        Call = "call",
        /// The callbacks that were made for one call.
        Events = "events",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// How a provider answered a request.
    pub enum ProviderAnswer {
        /// With what was asked for.
        Ok = "ok",
        /// There is no such thing.
        NotFound = "not_found",
        /// It does not take the credentials.
        Refused = "refused",
        /// It is asked too often.
        TooMany = "too_many",
        /// Not at all, or that it cannot.
        Unreachable = "unreachable",
        /// With something that cannot be read.
        Malformed = "malformed",
    }
}

impl From<TroubleKind> for ProviderAnswer {
    fn from(trouble: TroubleKind) -> Self {
        match trouble {
            TroubleKind::Refused => Self::Refused,
            TroubleKind::Blind => Self::NotFound,
            TroubleKind::TooMany => Self::TooMany,
            TroubleKind::Unreachable => Self::Unreachable,
            TroubleKind::Malformed => Self::Malformed,
        }
    }
}

/// What was counted in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallFigures {
    /// Calls that live.
    pub live: i64,
    /// Of these: stuck, worth a warning, and not critical.
    pub stuck_warn: i64,
    /// Of these: stuck and critical.
    pub stuck_critical: i64,
    /// Of these: to be asked about now.
    pub due: i64,
    /// How long the oldest of those has been waiting to be asked about; 0 if none is due.
    pub due_for_ms: Millis,
    /// Follow-ups of ended calls whose time has come.
    pub follow_ups: i64,
}

/// The figures of the sweeper. Clones share them.
#[derive(Clone, Debug)]
pub struct SweepFigures {
    live: Gauge,
    stuck: Family<LevelLabels, Gauge>,
    due: Gauge,
    due_age: Gauge<f64, AtomicU64>,
    follow_ups: Gauge,
    troubled: Family<TroubleLabels, Gauge>,
    start: Gauge<f64, AtomicU64>,
    interval: Gauge<f64, AtomicU64>,
    last_success: Gauge<f64, AtomicU64>,
    last_success_ms: Arc<AtomicI64>,
    sweeps: Family<OutcomeLabels, Counter>,
    calls: Family<ResultLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TroubleLabels {
    trouble: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    answer: &'static str,
}

impl Default for SweepFigures {
    fn default() -> Self {
        Self {
            live: Gauge::default(),
            stuck: Family::default(),
            due: Gauge::default(),
            due_age: Gauge::default(),
            follow_ups: Gauge::default(),
            troubled: Family::default(),
            start: Gauge::default(),
            interval: Gauge::default(),
            last_success: Gauge::default(),
            last_success_ms: Arc::default(),
            sweeps: Family::default(),
            calls: Family::default(),
            requests: Family::default(),
            // From nothing to do to a provider that is slow for thousands of calls.
            seconds: Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0]),
        }
    }
}

impl SweepFigures {
    /// A background sweep was completed at `now_ms` and took so long. Trouble with a provider does not fail it.
    pub fn succeeded(&self, now_ms: Millis, seconds: f64) {
        self.last_success_ms.store(now_ms, Ordering::Relaxed);
        self.last_success.set(in_seconds(now_ms));
        self.ended("ok", seconds);
    }

    /// A background sweep broke off, and took so long.
    pub fn failed(&self, seconds: f64) {
        self.ended("failed", seconds);
    }

    /// When a background sweep was last completed in this process, in Unix milliseconds.
    pub fn last_success_ms(&self) -> Option<Millis> {
        let at = self.last_success_ms.load(Ordering::Relaxed);
        (at != 0).then_some(at)
    }

    /// Since when this process sweeps in the background, and how often; `None`: never.
    pub fn begin(&self, now_ms: Millis, interval_ms: Option<Millis>) {
        self.start.set(in_seconds(now_ms));
        self.interval.set(in_seconds(interval_ms.unwrap_or(0)));
    }

    /// Sweeps looked at so many calls, which came to this.
    pub fn calls(&self, looked_at: LookedAt, count: u64) {
        self.calls.get_or_create(&ResultLabels { result: looked_at.as_str() }).inc_by(count);
    }

    /// A provider was sent a request and answered.
    pub fn provider_request(&self, request: ProviderRequest, answer: ProviderAnswer) {
        self.requests.get_or_create(&RequestLabels::of(request, answer)).inc();
    }

    /// What the database says now.
    pub fn show(&self, figures: &CallFigures) {
        self.live.set(figures.live);
        for (level, calls) in [(Stuck::Warn, figures.stuck_warn), (Stuck::Critical, figures.stuck_critical)] {
            self.stuck.get_or_create(&LevelLabels { level: level.as_str() }).set(calls);
        }
        self.due.set(figures.due);
        self.due_age.set(in_seconds(figures.due_for_ms));
        self.follow_ups.set(figures.follow_ups);
    }

    /// The accounts whose provider cannot be asked now, each by why.
    pub fn show_troubled(&self, troubles: &[TroubleKind]) {
        for &trouble in TroubleKind::ALL {
            let count = troubles.iter().filter(|kind| **kind == trouble).count();
            let labels = TroubleLabels { trouble: trouble.as_str() };
            self.troubled.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn ended(&self, outcome: &'static str, seconds: f64) {
        self.sweeps.get_or_create(&OutcomeLabels { outcome }).inc();
        self.seconds.observe(seconds);
    }

    /// Every name with its help; every series begins at zero.
    #[rustfmt::skip]
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_calls_live", "Calls that have not ended, of all tenants, counted in the database; at most 100000 are counted", self.live.clone());
        to.register("onhook_calls_stuck", "Live calls without a sign of life for longer than sweep.stuck_after, by level: each call counts under one level only, a critical one is no warn", self.stuck.clone());
        to.register("onhook_calls_due", "Live calls that are to be asked about now", self.due.clone());
        to.register("onhook_calls_due_oldest_age_seconds", "How long the call that waits longest has been waiting to be asked about; 0 if none waits", self.due_age.clone());
        to.register("onhook_follow_ups_waiting", "Questions about ended calls (lost callbacks, true endings) whose time has come and that were not asked yet", self.follow_ups.clone());
        to.register("onhook_provider_unreachable_accounts", "Accounts whose provider cannot be asked about calls, by why: refused and blind are for somebody to mend, the others may pass", self.troubled.clone());
        to.register("onhook_sweep_start_timestamp_seconds", "When this process began to sweep in the background, as Unix time; 0: not yet", self.start.clone());
        to.register("onhook_sweep_interval_seconds", "How often this process sweeps in the background; 0: never", self.interval.clone());
        to.register("onhook_sweep_last_success_timestamp_seconds", "When this process last completed a background sweep, as Unix time; 0: not yet", self.last_success.clone());
        to.register("onhook_sweeps", "Background sweeps by outcome; one that met a provider in trouble is ok, one that broke off is failed", self.sweeps.clone());
        to.register("onhook_sweep_calls", "Calls that sweeps looked at, by what became of them", self.calls.clone());
        to.register("onhook_provider_requests", "Requests to providers by what was asked and how it was answered", self.requests.clone());
        to.register("onhook_sweep_seconds", "Time that a background sweep took", self.seconds.clone());
        self.show(&CallFigures::default());
        self.show_troubled(&[]);
        for outcome in ["ok", "failed"] {
            self.sweeps.get_or_create_owned(&OutcomeLabels { outcome });
        }
        for &looked_at in LookedAt::ALL {
            self.calls(looked_at, 0);
        }
        for &request in ProviderRequest::ALL {
            for &answer in ProviderAnswer::ALL {
                self.requests.get_or_create_owned(&RequestLabels::of(request, answer));
            }
        }
    }
}

impl RequestLabels {
    fn of(request: ProviderRequest, answer: ProviderAnswer) -> Self {
        Self { kind: request.as_str(), answer: answer.as_str() }
    }
}

fn in_seconds(ms: Millis) -> f64 {
    ms as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text;

    fn rendered(figures: &SweepFigures) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        figures.register(&mut registry);
        text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn every_series_begins_at_zero() {
        let text = rendered(&SweepFigures::default());
        for line in [
            "onhook_calls_live 0",
            r#"onhook_calls_stuck{level="warn"} 0"#,
            r#"onhook_calls_stuck{level="critical"} 0"#,
            r#"onhook_provider_unreachable_accounts{trouble="blind"} 0"#,
            "onhook_sweep_last_success_timestamp_seconds 0.0",
            r#"onhook_sweeps_total{outcome="failed"} 0"#,
            r#"onhook_sweep_calls_total{result="given_up"} 0"#,
            r#"onhook_provider_requests_total{kind="events",answer="too_many"} 0"#,
            "onhook_sweep_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn what_is_counted_is_rendered_under_its_name() {
        let (figures, mut registry, mut text) = (SweepFigures::default(), Registry::default(), String::new());
        figures.register(&mut registry);
        assert_eq!(figures.last_success_ms(), None);
        figures.begin(1_767_323_000_000, Some(30_000));
        figures.succeeded(1_767_323_045_500, 0.2);
        figures.failed(7.0);
        assert_eq!(figures.last_success_ms(), Some(1_767_323_045_500));
        figures.calls(LookedAt::Repaired, 4);
        figures.calls(LookedAt::Repaired, 1);
        figures.provider_request(ProviderRequest::List, TroubleKind::Refused.into());
        figures.show(&CallFigures {
            live: 9,
            stuck_warn: 1,
            stuck_critical: 2,
            due: 3,
            due_for_ms: 4_500,
            follow_ups: 5,
        });
        figures.show_troubled(&[TroubleKind::Blind, TroubleKind::Refused, TroubleKind::Blind]);
        text::encode(&mut text, &registry).unwrap();
        for line in [
            "onhook_calls_live 9",
            r#"onhook_calls_stuck{level="warn"} 1"#,
            r#"onhook_calls_stuck{level="critical"} 2"#,
            "onhook_calls_due 3",
            "onhook_calls_due_oldest_age_seconds 4.5",
            "onhook_follow_ups_waiting 5",
            r#"onhook_provider_unreachable_accounts{trouble="blind"} 2"#,
            r#"onhook_provider_unreachable_accounts{trouble="refused"} 1"#,
            r#"onhook_provider_unreachable_accounts{trouble="unreachable"} 0"#,
            "onhook_sweep_start_timestamp_seconds 1767323000.0",
            "onhook_sweep_interval_seconds 30.0",
            "onhook_sweep_last_success_timestamp_seconds 1767323045.5",
            r#"onhook_sweeps_total{outcome="ok"} 1"#,
            r#"onhook_sweeps_total{outcome="failed"} 1"#,
            r#"onhook_sweep_calls_total{result="repaired"} 5"#,
            r#"onhook_provider_requests_total{kind="list",answer="refused"} 1"#,
            "onhook_sweep_seconds_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        figures.show_troubled(&[]);
        text.clear();
        text::encode(&mut text, &registry).unwrap();
        assert!(text.contains(r#"onhook_provider_unreachable_accounts{trouble="blind"} 0"#), "mended again");
    }
}
