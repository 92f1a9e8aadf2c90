//! Is it there, can it work, what has it counted?

use super::{Can, Gateway, Problem, ProblemKind, Read};
use crate::{
    clock::Stopwatch,
    domain::{time::rfc3339, words},
    store::{self, Db, StoreError},
    sweep::{Concern, ConcernKind},
    telemetry::METRICS_CONTENT_TYPE,
};
use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use std::sync::atomic::Ordering;
use tokio::sync::Mutex;
use utoipa::ToSchema;

words! {
    /// How the gateway does, in one word.
    pub enum Condition {
        /// All is well.
        Ok = "ok",
        /// Requests should be sent here, and webhooks are kept as ever; something keeps live calls from being looked after:
        /// `details` says what, and what to do.
        Degraded = "degraded",
        /// No requests should be sent here; `database` and `draining` say why.
        Unready = "unready",
    }
}

/// What `/readyz` found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether requests should be sent here.
    ready: bool,
    /// The same and more, in one word.
    #[schema(inline)]
    status: Condition,
    /// What keeps live calls from being looked after, as counted within the last minute or so.
    details: Vec<Detail>,
    /// `ok`, or what is wrong with the database.
    database: String,
    /// Whether the gateway is stopping.
    draining: bool,
    /// Submissions waiting for the writer.
    waiting: usize,
}

/// Something that keeps live calls from being looked after.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    /// What it is.
    #[schema(inline)]
    kind: ConcernKind,
    /// How many provider accounts it is about, at most 1,000; 0 if it is about none. Which, say the log, /v1/notifications
    /// and /v1/audit: whoever asks here needs no key.
    accounts: usize,
    /// Since when, RFC 3339 in UTC; of several accounts, the first.
    since: Option<String>,
    /// What happened, in a sentence.
    why: &'static str,
    /// What to do, in a sentence.
    fix: &'static str,
}

impl From<Concern> for Detail {
    fn from(concern: Concern) -> Self {
        let Concern { kind, accounts, since_ms } = concern;
        Self { kind, accounts, since: since_ms.map(rfc3339), why: kind.why(), fix: kind.fix() }
    }
}

/// What is known of the database. It is asked by one request at a time and not more than once a second: whoever asks
/// for readiness needs no key, and must not stand in the writer's way.
#[derive(Debug, Default)]
pub struct DatabaseHealth(Mutex<Option<(Stopwatch, String)>>);

impl DatabaseHealth {
    async fn database(&self, db: &Db) -> String {
        let mut known = self.0.lock().await;
        if let Some((since, state)) = &*known
            && since.seconds() < KNOWN_FOR_SECONDS
        {
            return state.clone();
        }
        // Whoever asks needs no key, so the answer says what is wrong and the log says why.
        let state = match store::probe(db).await {
            Ok(()) => "ok",
            Err(error) => {
                tracing::warn!(%error, "the database is not ready; /readyz answers 503");
                match error {
                    StoreError::Corrupt { .. } => "the schema is not up to date: run `onhook migrate`",
                    StoreError::Gone(_) | StoreError::Again(_) => "cannot be reached or does not take writes",
                    _ => "does not answer as it should; see the log",
                }
            }
        }
        .to_owned();
        *known = Some((Stopwatch::start(), state.clone()));
        state
    }
}

const KNOWN_FOR_SECONDS: f64 = 1.0;

/// The process answers. Never touches the database.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "The process answers", content_type = "text/plain", body = String)))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// The database is writable and migrated, and the gateway is not stopping. A provider that cannot be asked, or a sweeper
/// that is late, makes the status `degraded` and stays 200: what comes in is kept all the same.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready for work; `status` is `ok` or `degraded`", body = Readiness),
    (status = 503, description = "Not ready; the body says why", body = Readiness),
))]
pub(super) async fn ready(gateway: Data<Gateway>) -> HttpResponse {
    let database = gateway.health.database(&gateway.db).await;
    let draining = gateway.draining.load(Ordering::Relaxed);
    let ready = database == "ok" && !draining;
    let concerns = gateway.sweeper.concerns();
    let status = match (ready, concerns.is_empty()) {
        (false, _) => Condition::Unready,
        (true, true) => Condition::Ok,
        (true, false) => Condition::Degraded,
    };
    let details = concerns.into_iter().map(Detail::from).collect();
    let waiting = gateway.ingest.waiting();
    let readiness = Readiness { ready, status, details, database, draining, waiting };
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(readiness)
}

/// What was counted, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("key" = [])), responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String),
    (status = 401, description = "No valid key"), (status = 403, description = "The key lacks the scope read"),
))]
pub(super) async fn metrics(_key: Can<Read>, gateway: Data<Gateway>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS_CONTENT_TYPE).body(gateway.metrics.render())
}

/// The same without a key, for the second listener.
pub(crate) async fn metrics_only(gateway: Data<Gateway>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS_CONTENT_TYPE).body(gateway.metrics.render())
}

/// Anything else on the second listener.
pub(crate) async fn only_metrics_here() -> Result<HttpResponse, Problem> {
    Err(Problem::new(ProblemKind::NotFound, "this listener serves /metrics only"))
}
