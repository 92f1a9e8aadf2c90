//! Incoming IO: what is asked over HTTP and how it is answered. Never SQL, never a decision about a call.
//!
//! [`routes`] is the whole surface on one screen.

mod account_health;
mod accounts;
mod audit;
mod auth;
mod backfills;
mod body;
mod calls;
mod client;
mod do_not_call;
mod extensions;
mod filter;
mod forget;
mod health;
mod idempotency;
mod keys;
mod leads;
mod notifications;
pub mod openapi;
mod page;
mod problem;
mod quarantine;
mod reports;
mod runs;
mod stats;
mod sweeps;
mod time;
mod trace;
mod voice;
mod webhooks;

pub use auth::{Admin, Can, Deliver, Needs, Read, Write};
pub use health::{Condition, DatabaseHealth};
pub(crate) use health::{metrics_only, only_metrics_here};
pub use problem::{FieldError, Problem, ProblemKind};
pub use trace::trace;

use crate::{
    audit::{Act, Deed},
    clock::SharedClock,
    config::Config,
    directory::{Directory, Key},
    ingest::Ingest,
    pbx::Pbxs,
    quarantine::Quarantine,
    runs::{Desk, Dialing},
    store::Db,
    sweep::Sweeper,
    telemetry::Metrics,
};
use actix_web::{
    HttpRequest, HttpResponse, ResponseError, guard,
    http::header::{self, HeaderValue},
    web::{self, Data, ServiceConfig, delete, get, post, put},
};
use rand::rngs::StdRng;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

/// What requests work with.
#[derive(Debug)]
pub struct Gateway {
    /// What is in force.
    pub config: Arc<Config>,
    /// The time.
    pub clock: SharedClock,
    /// The database, for questions; changes to calls go through `ingest`.
    pub db: Db,
    /// The one door for changes to calls.
    pub ingest: Ingest,
    /// What was refused is kept here for a while.
    pub quarantine: Quarantine,
    /// Looks after live calls.
    pub sweeper: Sweeper,
    /// Where runs are changed.
    pub desk: Desk,
    /// Dials runs, and hangs calls up.
    pub dialing: Dialing,
    /// Listens to PBXs, and takes what they push.
    pub pbxs: Pbxs,
    /// Who may speak.
    pub directory: Arc<Directory>,
    /// What is counted.
    pub metrics: Metrics,
    /// Randomness for ids and keys.
    pub rng: Mutex<StdRng>,
    /// One import at a time: each holds its body in memory.
    pub imports: tokio::sync::Semaphore,
    /// What is known of the database.
    pub health: DatabaseHealth,
    /// Set while stopping: `/readyz` says so, and a balancer sends nobody here any more.
    pub draining: AtomicBool,
}

impl Gateway {
    /// From here on `/readyz` answers 503.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A new id of ours.
    pub fn new_id(&self, prefix: &str) -> String {
        use rand::RngExt;
        crate::domain::id::new_id(prefix, self.clock.now_ms(), self.with_rng(|rng| rng.random()))
    }

    /// Keeps in the audit what somebody with this key did.
    pub(crate) async fn audit(&self, key: &Key, act: Act, subject: &str, detail: serde_json::Value) {
        use rand::RngExt;
        let (tenant, actor, subject) = (key.tenant.clone(), format!("key:{}", key.id), subject.to_owned());
        let deed = Deed { tenant, actor, act, subject, detail };
        deed.keep(&self.db, self.clock.now_ms(), self.with_rng(|rng| rng.random())).await;
    }

    /// Uses the generator.
    pub fn with_rng<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A panic while drawing leaves the generator usable, so a poisoned lock is no reason to stop.
        draw(&mut self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The route table.
pub fn routes(gateway: Data<Gateway>) -> impl FnOnce(&mut ServiceConfig) {
    move |app| {
        app.app_data(gateway)
            .app_data(body::path_config())
            .service(
                at("/webhooks/twilio/status", "GET, POST")
                    .route(post().to(webhooks::twilio::status))
                    .route(get().to(webhooks::twilio::status_by_get)),
            )
            .service(
                at("/webhooks/twilio/recording", "GET, POST")
                    .route(post().to(webhooks::twilio::recording))
                    .route(get().to(webhooks::twilio::recording_by_get)),
            )
            .service(
                at("/webhooks/twilio/amd", "GET, POST")
                    .route(post().to(webhooks::twilio::amd))
                    .route(get().to(webhooks::twilio::amd_by_get)),
            )
            .service(at("/webhooks/twilio/debugger", "POST").route(post().to(webhooks::twilio::debugger)))
            .service(at("/webhooks/twilio/events", "POST").route(post().to(webhooks::twilio::events)))
            .service(
                at("/webhooks/twilio/voice", "GET, POST")
                    .route(post().to(webhooks::twilio::voice))
                    .route(get().to(webhooks::twilio::voice_by_get)),
            )
            .service(
                at("/webhooks/twilio/dial", "GET, POST")
                    .route(post().to(webhooks::twilio::dial))
                    .route(get().to(webhooks::twilio::dial_by_get)),
            )
            .service(
                at("/webhooks/twilio/whisper", "GET, POST")
                    .route(post().to(webhooks::twilio::whisper))
                    .route(get().to(webhooks::twilio::whisper_by_get)),
            )
            .service(at("/webhooks/ami", "POST").route(post().to(webhooks::ami::push)))
            .service(at("/v1/calls", "GET, POST").route(get().to(calls::list)).route(post().to(calls::announce)))
            .service(at("/v1/calls/import", "POST").route(post().to(calls::import)))
            .service(at("/v1/calls/{id}", "GET").route(get().to(calls::load)))
            .service(at("/v1/calls/{id}/timeline", "GET").route(get().to(calls::timeline)))
            .service(at("/v1/calls/{id}/deliveries", "GET").route(get().to(calls::deliveries)))
            .service(at("/v1/calls/{id}/legs", "GET").route(get().to(calls::legs)))
            .service(at("/v1/extensions", "GET").route(get().to(extensions::list_extensions)))
            .service(at("/v1/calls/{id}/check", "POST").route(post().to(calls::check)))
            .service(at("/v1/calls/{id}/end", "POST").route(post().to(calls::end)))
            .service(at("/v1/calls/{id}/explain", "GET").route(get().to(calls::explain)))
            .service(at("/v1/stuck-calls", "GET").route(get().to(sweeps::list_stuck)))
            .service(at("/v1/sweeps", "GET, POST").route(get().to(sweeps::list)).route(post().to(sweeps::sweep)))
            .service(at("/v1/backfills", "POST").route(post().to(backfills::create)))
            .service(at("/v1/leads", "GET, POST").route(get().to(leads::list)).route(post().to(leads::create)))
            // Only its POST: a lead may be called `import`.
            .service(at("/v1/leads/import", "POST").guard(guard::Post()).route(post().to(leads::import)))
            .service(
                at("/v1/leads/{id}", "GET, PUT, DELETE")
                    .route(get().to(leads::load))
                    .route(put().to(leads::put))
                    .route(delete().to(leads::delete)),
            )
            .service(at("/v1/leads/{id}/forget", "POST").route(post().to(forget::forget)))
            .service(at("/v1/leads/{id}/activity", "GET").route(get().to(leads::activity)))
            .service(at("/v1/keys", "GET, POST").route(get().to(keys::list)).route(post().to(keys::create)))
            .service(at("/v1/keys/{id}", "DELETE").route(delete().to(keys::revoke)))
            .service(at("/v1/accounts/{id}/health", "GET").route(get().to(account_health::load)))
            .service(at("/v1/notifications", "GET").route(get().to(notifications::list)))
            .service(at("/v1/notifications/{id}/read", "POST").route(post().to(notifications::read)))
            .service(at("/v1/stats", "GET").route(get().to(stats::load)))
            .service(at("/v1/reports/daily", "GET").route(get().to(reports::daily)))
            .service(at("/v1/reports/weekly", "GET").route(get().to(reports::weekly)))
            .service(at("/v1/audit", "GET").route(get().to(audit::list)))
            .service(at("/v1/voice", "GET, PUT").route(get().to(voice::load)).route(put().to(voice::put)))
            .service(at("/v1/voice/numbers", "GET").route(get().to(voice::list_numbers)))
            .service(
                at("/v1/voice/numbers/{number}", "GET, PUT, DELETE")
                    .route(get().to(voice::load_number))
                    .route(put().to(voice::put_number))
                    .route(delete().to(voice::delete_number)),
            )
            .service(at("/v1/accounts", "GET, POST").route(get().to(accounts::list)).route(post().to(accounts::create)))
            .service(at("/v1/accounts/{id}", "GET").route(get().to(accounts::load)))
            .service(at("/v1/accounts/{id}/extensions", "GET").route(get().to(extensions::list_of_pbx)))
            .service(
                at("/v1/accounts/{id}/extensions/{extension}", "PUT, DELETE")
                    .route(put().to(extensions::put_user))
                    .route(delete().to(extensions::delete_user)),
            )
            .service(at("/v1/accounts/{id}/verify", "PUT").route(put().to(accounts::verify)))
            .service(at("/v1/accounts/{id}/access", "PUT").route(put().to(accounts::set_access)))
            .service(at("/v1/accounts/{id}/rotate", "POST").route(post().to(accounts::rotate)))
            .service(at("/v1/accounts/{id}/tokens/{token}", "DELETE").route(delete().to(accounts::delete_token)))
            .service(at("/v1/quarantine", "GET").route(get().to(quarantine::list)))
            .service(at("/v1/quarantine/redrive", "POST").route(post().to(quarantine::redrive)))
            .service(
                at("/v1/quarantine/{id}", "GET, DELETE")
                    .route(get().to(quarantine::load))
                    .route(delete().to(quarantine::drop)),
            )
            .service(at("/v1/runs", "GET, POST").route(get().to(runs::list)).route(post().to(runs::create)))
            .service(at("/v1/runs/active", "GET").route(get().to(runs::active)))
            .service(at("/v1/runs/{id}", "GET").route(get().to(runs::load)))
            .service(
                at("/v1/runs/{id}/jobs", "GET, POST").route(get().to(runs::list_jobs)).route(post().to(runs::add_jobs)),
            )
            .service(
                at("/v1/runs/{id}/jobs/{job}", "GET, POST")
                    .route(get().to(runs::load_job))
                    .route(post().to(runs::report)),
            )
            .service(at("/v1/runs/{id}/start", "POST").route(post().to(runs::start)))
            .service(at("/v1/runs/{id}/pause", "POST").route(post().to(runs::pause)))
            .service(at("/v1/runs/{id}/resume", "POST").route(post().to(runs::resume)))
            .service(at("/v1/runs/{id}/cancel", "POST").route(post().to(runs::cancel)))
            .service(at("/v1/runs/{id}/force-cancel", "POST").route(post().to(runs::force_cancel)))
            .service(at("/v1/runs/{id}/claim", "POST").route(post().to(runs::claim)))
            .service(at("/v1/runs/{id}/heartbeat", "POST").route(post().to(runs::heartbeat)))
            .service(at("/v1/do-not-call", "GET").route(get().to(do_not_call::list)))
            .service(at("/v1/do-not-call/import", "POST").route(post().to(do_not_call::import)))
            .service(
                at("/v1/do-not-call/{number}", "PUT, DELETE")
                    .route(put().to(do_not_call::put))
                    .route(delete().to(do_not_call::delete)),
            )
            .service(at("/healthz", "GET").route(get().to(health::live)))
            .service(at("/readyz", "GET").route(get().to(health::ready)))
            .service(at("/metrics", "GET").route(get().to(health::metrics)))
            .service(at("/openapi.json", "GET").route(get().to(openapi::serve)))
            .service(at("/docs", "GET").route(get().to(openapi::docs)))
            .service(at("/docs/{file:.*}", "GET").route(get().to(openapi::docs_file)))
            .default_service(web::to(no_such_path));
    }
}

/// A path and its methods. It answers every other one with 405 in our own words.
fn at(path: &str, methods: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move |request| no_such_method(request, methods)))
}

async fn no_such_path(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path: String = request.path().chars().take(PATH_CHARS_SHOWN_MAX).collect();
    if !path.contains("/webhooks/") {
        return Err(Problem::new(ProblemKind::NotFound, format!("there is nothing at {path}; see /docs")));
    }
    // Whoever posts there loses what it tells, and nobody else would notice.
    tracing::warn!(
        method = %request.method(),
        path,
        "answered 404 to a webhook: no door has this path. If the proxy leaves the path prefix of ONHOOK_PUBLIC_URL in \
         place, let it strip the prefix; else correct the URL at the provider (docs/callbacks-do-not-arrive.md)",
    );
    let detail = format!(
        "there is no webhook at {path}; if the proxy left the path prefix of ONHOOK_PUBLIC_URL in place, it must strip \
         it; see /docs"
    );
    Err(Problem::new(ProblemKind::NotFound, detail))
}

async fn no_such_method(request: HttpRequest, methods: &'static str) -> HttpResponse {
    let detail = format!("{} takes {methods}, not {}; see /docs", request.path(), request.method());
    let mut answer = Problem::new(ProblemKind::MethodNotAllowed, detail).error_response();
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    answer
}

/// How much of a path that is not there is shown and logged.
const PATH_CHARS_SHOWN_MAX: usize = 200;
