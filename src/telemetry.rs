//! What can be seen from outside: logs and metrics. Metrics are values that are handed around, nothing is global;
//! only the log subscriber is, because that is how `tracing` works.

mod callbacks;
mod labels;
mod log;
mod pbx;
mod quarantine;
mod retention;
mod runs;
mod sweep;
mod voice;

pub use sweep::{CallFigures, LookedAt, ProviderAnswer, ProviderRequest, SweepFigures};
pub use voice::VoiceFigures;

use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info as BuildInfo;
use prometheus_client::registry::Registry;

use crate::domain::call::Step;
use crate::domain::words;
use callbacks::CallbackCounters;
pub use callbacks::CallbackCounts;
use labels::{DeliveryLabels, RequestLabels, RouteLabels, StepLabels, TroubleLabels, method_label, status_class};
pub(crate) use log::read_filter;
pub use log::{LogFormat, TelemetryError, init_tracing};
pub use pbx::PbxFigures;
pub use quarantine::QuarantineFigures;
pub use retention::{PrunedTable, RetentionFigures};
pub use runs::{JobEnding, RunCounts, RunFigures};

words! {
    /// A door that deliveries come in by.
    pub enum Endpoint {
        /// `/webhooks/twilio/status`.
        TwilioStatus = "twilio_status",
        /// `/webhooks/twilio/voice`.
        TwilioVoice = "twilio_voice",
        /// `/webhooks/twilio/whisper`.
        TwilioWhisper = "twilio_whisper",
        /// `/webhooks/twilio/dial`.
        TwilioDial = "twilio_dial",
        /// `/webhooks/twilio/recording`.
        TwilioRecording = "twilio_recording",
        /// `/webhooks/twilio/amd`.
        TwilioAmd = "twilio_amd",
        /// `/webhooks/twilio/debugger`.
        TwilioDebugger = "twilio_debugger",
        /// `/webhooks/twilio/events`.
        TwilioEvents = "twilio_events",
        /// `/webhooks/ami`.
        Ami = "ami",
    }
}

words! {
    /// How a delivery was answered.
    pub enum DeliveryAnswer {
        /// It is durable.
        Stored = "stored",
        /// It was durable before.
        Repeated = "repeated",
        /// Its signature is not good, or its account is unknown.
        RefusedSignature = "refused_signature",
        /// It is not what the door takes.
        Unreadable = "unreadable",
        /// Its body is over the limit.
        TooLarge = "too_large",
        /// It could not be made durable.
        Unavailable = "unavailable",
    }
}

words! {
    /// What went wrong with the database.
    pub enum DatabaseTrouble {
        /// It cannot be reached.
        Gone = "gone",
        /// It was busy, or transactions met.
        Busy = "busy",
        /// It refused a statement.
        Refused = "refused",
    }
}

/// Counts what happens. Clones share one set of figures.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Figures>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A set of figures of its own, all at zero.
    pub fn new() -> Self {
        let mut figures = Figures::default();
        figures.register();
        figures.begin_at_zero();
        Self(Arc::new(figures))
    }

    /// A delivery was answered.
    pub fn delivery(&self, endpoint: Endpoint, answer: DeliveryAnswer) {
        self.0.deliveries.get_or_create(&DeliveryLabels::of(endpoint, answer)).inc();
    }

    /// A status word that nobody knows was refused.
    pub fn status_refused(&self) {
        self.0.statuses_refused.inc();
    }

    /// A verified delivery was stored without being applied.
    pub fn delivery_unapplied(&self) {
        self.0.deliveries_unapplied.inc();
    }

    /// A call took a step.
    pub fn step(&self, step: Step) {
        self.0.steps.get_or_create(&StepLabels { step: step.as_str() }).inc();
    }

    /// A batch of `deliveries` was committed in so many seconds.
    pub fn commit(&self, deliveries: usize, seconds: f64) {
        self.0.commit_deliveries.observe(deliveries as f64);
        self.0.commit_seconds.observe(seconds);
    }

    /// So many deliveries wait for the writer.
    pub fn queue_depth(&self, waiting: usize) {
        self.0.queue_depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// The database failed.
    pub fn database_error(&self, trouble: DatabaseTrouble) {
        self.0.database_errors.get_or_create(&TroubleLabels { trouble: trouble.as_str() }).inc();
    }

    /// A request was answered. `route` is the template of the route table (`/v1/calls/{id}`), never the path itself:
    /// that would make a series per call. `None`: no route matched.
    pub fn http_request(&self, method: &str, route: Option<&str>, status: u16, seconds: f64) {
        let route = RouteLabels { method: method_label(method), route: route.unwrap_or("unmatched").to_owned() };
        self.0.http_seconds.get_or_create(&route).observe(seconds);
        self.0.http_requests.get_or_create(&RequestLabels { route, status: status_class(status) }).inc();
    }

    /// A key asked for another tenant's object.
    pub fn tenant_crossing_refused(&self) {
        self.0.tenant_crossings_refused.inc();
    }

    /// A lead was contacted.
    pub fn lead_contacted(&self) {
        self.0.lead_contacts.inc();
    }

    /// Callbacks were counted from the journal.
    pub fn callbacks_counted(&self, counts: &CallbackCounts) {
        self.0.callbacks.add(counts);
    }

    /// So many accounts have calls that end without callbacks.
    pub fn accounts_without_ending_callbacks(&self, accounts: i64) {
        self.0.callbacks.accounts_without_endings.set(accounts);
    }

    /// The figures of the voice webhook.
    pub fn voice(&self) -> &VoiceFigures {
        &self.0.voice
    }

    /// The figures of the quarantine.
    pub fn quarantine(&self) -> &QuarantineFigures {
        &self.0.quarantine
    }

    /// The figures of the PBXs that are listened to.
    pub fn pbx(&self) -> &PbxFigures {
        &self.0.pbx
    }

    /// The figures of the sweeper, and of how providers answer.
    pub fn sweep(&self) -> &SweepFigures {
        &self.0.sweep
    }

    /// The figures of outbound runs.
    pub fn runs(&self) -> &RunFigures {
        &self.0.runs
    }

    /// The figures of retention.
    pub fn retention(&self) -> &RetentionFigures {
        &self.0.retention
    }

    /// All figures as OpenMetrics text; see [`METRICS_CONTENT_TYPE`].
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &self.0.registry) {
            tracing::error!(%error, "failed to render the metrics");
        }
        text
    }
}

/// The content type of [`Metrics::render`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug)]
struct Figures {
    registry: Registry,
    deliveries: Family<DeliveryLabels, Counter>,
    deliveries_unapplied: Counter,
    statuses_refused: Counter,
    steps: Family<StepLabels, Counter>,
    commit_deliveries: Histogram,
    commit_seconds: Histogram,
    queue_depth: Gauge,
    database_errors: Family<TroubleLabels, Counter>,
    http_requests: Family<RequestLabels, Counter>,
    http_seconds: Family<RouteLabels, Histogram>,
    tenant_crossings_refused: Counter,
    lead_contacts: Counter,
    callbacks: CallbackCounters,
    voice: VoiceFigures,
    quarantine: QuarantineFigures,
    sweep: SweepFigures,
    pbx: PbxFigures,
    runs: RunFigures,
    retention: RetentionFigures,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            registry: Registry::default(),
            deliveries: Family::default(),
            deliveries_unapplied: Counter::default(),
            statuses_refused: Counter::default(),
            steps: Family::default(),
            commit_deliveries: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            commit_seconds: seconds(),
            queue_depth: Gauge::default(),
            database_errors: Family::default(),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(seconds),
            tenant_crossings_refused: Counter::default(),
            lead_contacts: Counter::default(),
            callbacks: CallbackCounters::default(),
            voice: VoiceFigures::default(),
            quarantine: QuarantineFigures::default(),
            sweep: SweepFigures::default(),
            pbx: PbxFigures::default(),
            runs: RunFigures::default(),
            retention: RetentionFigures::default(),
        }
    }
}

impl Figures {
    /// Every name with its help. The encoder appends `_total` to counters and `_info` to the build.
    #[rustfmt::skip]
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("onhook_deliveries", "Webhook deliveries by endpoint and answer", self.deliveries.clone());
        to.register("onhook_deliveries_unapplied", "Verified deliveries that were stored but could not be applied", self.deliveries_unapplied.clone());
        to.register("onhook_statuses_refused", "Signals whose status word nobody knows", self.statuses_refused.clone());
        to.register("onhook_steps", "Steps of calls by kind", self.steps.clone());
        to.register("onhook_commit_deliveries", "Deliveries in one commit", self.commit_deliveries.clone());
        to.register("onhook_commit_seconds", "Time from the start of a batch to its commit", self.commit_seconds.clone());
        to.register("onhook_ingest_queue_depth", "Deliveries that wait for the writer", self.queue_depth.clone());
        to.register("onhook_database_errors", "Failures of the database by kind", self.database_errors.clone());
        to.register("onhook_http_requests", "HTTP requests by method, route and class of status", self.http_requests.clone());
        to.register("onhook_http_request_duration_seconds", "Time to answer an HTTP request", self.http_seconds.clone());
        to.register("onhook_tenant_crossings_refused", "Requests for another tenant's object", self.tenant_crossings_refused.clone());
        to.register("onhook_lead_contacts", "Leads that were contacted", self.lead_contacts.clone());
        self.callbacks.register(to);
        self.voice.register(to);
        self.quarantine.register(to);
        self.sweep.register(to);
        self.pbx.register(to);
        self.runs.register(to);
        self.retention.register(to);
        to.register("onhook_build", "The version that runs", BuildInfo::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// A series that appears only with its first increment hides that increment from a rate.
    fn begin_at_zero(&self) {
        for &endpoint in Endpoint::ALL {
            for &answer in DeliveryAnswer::ALL {
                self.deliveries.get_or_create_owned(&DeliveryLabels::of(endpoint, answer));
            }
        }
        for &step in Step::ALL {
            self.steps.get_or_create_owned(&StepLabels { step: step.as_str() });
        }
        for &trouble in DatabaseTrouble::ALL {
            self.database_errors.get_or_create_owned(&TroubleLabels { trouble: trouble.as_str() });
        }
    }
}

/// From a cached answer to a request that somebody gave up on.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_rendered_under_their_names() {
        let metrics = Metrics::new();
        let held = metrics.clone();
        held.delivery(Endpoint::TwilioStatus, DeliveryAnswer::RefusedSignature);
        held.step(Step::Moved);
        held.commit(3, 0.002);
        held.queue_depth(7);
        held.database_error(DatabaseTrouble::Busy);
        held.http_request("GET", Some("/v1/calls/{id}"), 404, 0.3);
        held.http_request("BREW", None, 999, 0.3);
        held.delivery_unapplied();
        held.status_refused();
        held.tenant_crossing_refused();
        held.lead_contacted();
        let text = metrics.render();
        for line in [
            r#"onhook_deliveries_total{endpoint="twilio_status",answer="refused_signature"} 1"#,
            r#"onhook_deliveries_total{endpoint="twilio_status",answer="stored"} 0"#,
            r#"onhook_steps_total{step="moved"} 1"#,
            "onhook_commit_deliveries_sum 3.0",
            r#"onhook_commit_seconds_bucket{le="0.0025"} 1"#,
            "onhook_ingest_queue_depth 7",
            r#"onhook_database_errors_total{trouble="busy"} 1"#,
            r#"onhook_http_requests_total{method="GET",route="/v1/calls/{id}",status="4xx"} 1"#,
            r#"onhook_http_requests_total{method="other",route="unmatched",status="other"} 1"#,
            r#"onhook_http_request_duration_seconds_count{method="GET",route="/v1/calls/{id}"} 1"#,
            "onhook_deliveries_unapplied_total 1",
            "onhook_statuses_refused_total 1",
            "onhook_tenant_crossings_refused_total 1",
            "onhook_lead_contacts_total 1",
            concat!(r#"onhook_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(Metrics::new().render().contains("onhook_lead_contacts_total 0"), "another set begins at zero");
    }

    #[test]
    fn logging_begins_once_and_only_with_a_filter_that_can_be_read() {
        let refused = init_tracing("inffo", LogFormat::Json).unwrap_err();
        assert!(matches!(&refused, TelemetryError::Filter { filter, .. } if filter == "inffo"), "{refused}");
        assert!(init_tracing("off", LogFormat::Json).is_ok());
        assert!(matches!(init_tracing("off", LogFormat::Json), Err(TelemetryError::AlreadySet)));
    }
}
