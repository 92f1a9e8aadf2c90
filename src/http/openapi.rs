//! The contract as a document: `/openapi.json`, and `/docs` to read and try it.
//!
//! The document is made from the code; `docs/openapi.json` is the committed copy, and a test compares them.

use super::{
    Problem, ProblemKind, account_health, accounts, audit, backfills, calls, do_not_call, extensions, forget, health,
    keys, leads, notifications, problem::ProblemBody, quarantine, reports, runs, stats, sweeps, voice, webhooks,
};
use actix_web::{HttpResponse, http::header, web::Path};
use std::sync::Arc;
use utoipa::{
    Modify, OpenApi, PartialSchema, ToSchema,
    openapi::{
        self, Content, Ref, RefOr, Required, Response,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "onhook",
        description = "A gateway that makes every phone call end with the truth.\n\n\
            Times are RFC 3339 in UTC with milliseconds. Lists come in pages: `?limit=` (50, at most 200) and `?cursor=`. \
            Refusals are problem details (RFC 9457) whose `type` never changes; `docs/problems.md` explains each. \
            A POST that carries an `Idempotency-Key` is done once, however often it is sent within 24 hours \
            (but for claims, heartbeats and reports of runs, which can be sent again as they are).",
    ),
    tags(
        (name = "calls", description = "Calls and what is known of them"),
        (name = "sweeps", description = "Looking after live calls whose next webhook is overdue"),
        (name = "leads", description = "The people called, and whether somebody spoke with them"),
        (name = "runs", description = "Lists of people to be called: made, dialed by onhook or by your own dialer, ended"),
        (name = "do-not-call", description = "Numbers that no run dials"),
        (name = "keys", description = "API keys of the tenant"),
        (name = "accounts", description = "Provider accounts of the tenant, their tokens, and whether their callbacks arrive"),
        (name = "quarantine", description = "Deliveries that were refused: why, and once more"),
        (name = "voice", description = "How calls are answered"),
        (name = "notifications", description = "What people should know"),
        (name = "audit", description = "Who decided what, by which rule, on which evidence"),
        (name = "reports", description = "What the calls of a time came to"),
        (name = "webhooks", description = "What providers send: Twilio's are signed and need no key, those of Asterisk need one"),
        (name = "health", description = "Is it there, can it work, what has it counted"),
    ),
    paths(
        calls::list, calls::announce, calls::import, calls::load, calls::timeline, calls::deliveries, calls::legs,
        extensions::list_extensions, extensions::list_of_pbx, extensions::put_user, extensions::delete_user,
        calls::check, calls::end, calls::explain,
        sweeps::list_stuck, sweeps::sweep, sweeps::list,
        backfills::create,
        leads::list, leads::create, leads::import, leads::load, leads::put, leads::delete, leads::activity,
        forget::forget,
        keys::list, keys::create, keys::revoke,
        account_health::load,
        accounts::list, accounts::create, accounts::load, accounts::verify, accounts::set_access, accounts::rotate, accounts::delete_token,
        quarantine::list, quarantine::load, quarantine::redrive, quarantine::drop,
        webhooks::ami::push,
        webhooks::twilio::status,
        webhooks::twilio::status_by_get,
        webhooks::twilio::recording, webhooks::twilio::recording_by_get,
        webhooks::twilio::amd, webhooks::twilio::amd_by_get,
        webhooks::twilio::debugger, webhooks::twilio::events,
        webhooks::twilio::voice, webhooks::twilio::voice_by_get,
        webhooks::twilio::dial, webhooks::twilio::dial_by_get,
        webhooks::twilio::whisper, webhooks::twilio::whisper_by_get,
        stats::load, reports::daily, reports::weekly,
        notifications::list, notifications::read, audit::list,
        voice::load, voice::put, voice::list_numbers, voice::load_number, voice::put_number, voice::delete_number,
        runs::list, runs::create, runs::active, runs::load, runs::list_jobs, runs::add_jobs, runs::load_job,
        runs::start, runs::pause, runs::resume, runs::cancel, runs::force_cancel,
        runs::claim, runs::heartbeat, runs::report,
        do_not_call::list, do_not_call::put, do_not_call::delete, do_not_call::import,
        health::live, health::ready, health::metrics,
        serve, docs, docs_file,
    ),
    modifiers(&Everywhere),
)]
struct Document;

/// The document.
pub fn document() -> openapi::OpenApi {
    Document::openapi()
}

/// What holds for every operation and would be noise at each handler.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("ohk_…");
        let bearer = bearer.description(Some("An API key. The scopes an operation needs are listed with it.")).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        components.schemas.insert("Problem".into(), ProblemBody::schema());
        let mut referenced = Vec::new();
        ProblemBody::schemas(&mut referenced);
        components.schemas.extend(referenced);
        for (path, item) in &mut document.paths.paths {
            if let Some(post) =
                item.post.as_mut().filter(|_| path.starts_with("/v1/") && !NOT_KEPT.contains(&path.as_str()))
            {
                add_idempotency_key(post);
            }
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                name(operation);
                add_refusals(operation);
            }
        }
    }
}

/// What a dialer of the user's own tells of its lease: an answer that was kept would tell of one that ended long ago.
const NOT_KEPT: &[&str] = &["/v1/runs/{id}/claim", "/v1/runs/{id}/heartbeat", "/v1/runs/{id}/jobs/{job}"];

/// Names an operation by its tag too: the functions have short names in modules of their own.
fn name(operation: &mut Operation) {
    let tag = operation.tags.as_ref().and_then(|tags| tags.first());
    if let (Some(tag), Some(id)) = (tag, &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{id}"));
    }
}

fn add_idempotency_key(operation: &mut Operation) {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(200));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "With it the request is done once: sent again within 24 hours it gets the same answer, with \
             `Idempotency-Replayed: true`. Imports and calls announced with a `provider_id` can be repeated without \
             harm; two of them that arrive at the same moment may both be carried out. 1 to 200 visible ASCII characters.",
        ))
        .schema(Some(text));
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
}

/// Refusals that come with every key, and the shape of all refusals.
fn add_refusals(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    if operation.security.is_some() {
        for (status, description) in [
            ("401", "`unauthorized`: no key, or one that is unknown, expired or revoked"),
            ("403", "`scope-missing`: the key lacks the scope"),
            ("500", "`internal`: a fault of the gateway"),
            ("503", "`unavailable`: try again later; see Retry-After"),
        ] {
            responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
        }
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            let problem = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert("application/problem+json".into(), RefOr::T(problem));
        }
        if status == "503" {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait")).build();
            response.headers.insert("Retry-After".into(), RefOr::T(header));
        }
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value),
))]
pub(super) async fn serve() -> Result<HttpResponse, Problem> {
    let text = document().to_json().map_err(|e| Problem::internal(&e))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

/// The way to the pages.
#[utoipa::path(get, path = "/docs", tag = "health", responses((status = 308, description = "Leads to /docs/")))]
pub(super) async fn docs() -> HttpResponse {
    // Relative, so that it holds behind a path prefix too. The pages name their files relative to `/docs/`.
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

/// A page of the documentation, or a file it needs. Nothing is loaded from elsewhere.
#[utoipa::path(get, path = "/docs/{file}", tag = "health",
    params(("file" = String, Path, description = "The name of the file; empty: the page")),
    responses((status = 200, description = "The file", content_type = "text/html", body = String), (status = 404, description = "`not-found`")))]
pub(super) async fn docs_file(file: Path<String>) -> Result<HttpResponse, Problem> {
    let config = utoipa_swagger_ui::Config::new(["../openapi.json"]).validator_url("none");
    let served = utoipa_swagger_ui::serve(&file, Arc::new(config)).map_err(|e| Problem::internal(&e))?;
    let served = served.ok_or_else(|| Problem::new(ProblemKind::NotFound, "the documentation has no such file"))?;
    Ok(HttpResponse::Ok()
        .content_type(served.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(served.bytes.into_owned()))
}

/// The pages run their own scripts and talk to this gateway, nothing else. They set styles from their scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
