//! Is it there, can it work, what has it counted?

use super::{Can, Gateway, Problem, ProblemKind, Read};
use crate::{
    clock::Stopwatch,
    store::{self, Db, StoreError},
    telemetry::METRICS_CONTENT_TYPE,
};
use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use std::sync::atomic::Ordering;
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// What `/readyz` found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Whether requests should be sent here.
    ready: bool,
    /// `ok`, or what is wrong with the database.
    database: String,
    /// Whether the gateway is stopping.
    draining: bool,
    /// Submissions waiting for the writer.
    waiting: usize,
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

/// The database is writable and migrated, and the gateway is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready for work", body = Readiness),
    (status = 503, description = "Not ready; the body says why", body = Readiness),
))]
pub(super) async fn ready(gateway: Data<Gateway>) -> HttpResponse {
    let database = gateway.health.database(&gateway.db).await;
    let draining = gateway.draining.load(Ordering::Relaxed);
    let ready = database == "ok" && !draining;
    let readiness = Readiness { ready, database, draining, waiting: gateway.ingest.waiting() };
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
