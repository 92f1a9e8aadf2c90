//! Making runs and giving them jobs: in JSON, or as a table with the settings in the query string.

use super::{
    actor, by, refusal, require_plain,
    settings::RunQuery,
    view::{ImportedView, RunView},
};
use crate::{
    http::{
        Gateway, Problem, ProblemKind, Write,
        body::{self, Query},
        idempotency::{Post, Posted, answer},
    },
    runs::{Format, JOBS_MAX, JobText, Jobs, RunText},
    transaction,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;
use utoipa::ToSchema;

/// A run that is to be made, with its jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CreateRun {
    #[serde(flatten)]
    run: RunText,
    /// Its jobs, at most 100,000. More can be added later.
    jobs: Vec<JobText>,
}

/// Jobs that a run is to get.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AddJobs {
    /// The jobs, at most 100,000.
    #[serde(deserialize_with = "jobs_up_to_limit")]
    jobs: Vec<JobText>,
}

/// Makes a run. It is `pending`: nobody is called until it is started.
///
/// As JSON, with the jobs in `jobs`; or the jobs as CSV with a header (`to`, `lead_id`, `user_id`, `key`, `not_before`) or as
/// NDJSON, with the settings in the query string. A job that is wrong is left out and reported in `imported.errors`. With a `key`
/// that a run has already, that run gets the jobs it lacks, by their keys, and the answer is 200: the same list can be sent
/// again. Without a `key`, two such requests make two runs.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", security(("key" = ["write"])), params(RunQuery),
    request_body(content((CreateRun = "application/json"), (String = "text/csv", example = "to,lead_id\n+14155550101,lead-42\n"), (JobText = "application/x-ndjson"))),
    responses(
        (status = 200, description = "There was a run with this key: it got the jobs it lacked", body = ImportedView),
        (status = 201, description = "The run, and what came of its jobs", body = ImportedView),
        (status = 400, description = "`unreadable`, or `bad-filter`: a name in the query is unknown, or there is one beside a JSON body"),
        (status = 409, description = "`run-state`: the run with this key has ended"),
        (status = 413, description = "`too-large`: too many bytes or jobs"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`: a setting or a column; or the run with this key is dialed otherwise; or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn create(
    post: Post<Write>,
    request: HttpRequest,
    Query(query): Query<RunQuery>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let _alone = gateway.imports.acquire().await.map_err(|e| Problem::internal(&e))?;
    post.once(&gateway, gateway.config.limits.import_bytes_max, async |posted| {
        let given = Given::read(&posted)?;
        let (text, jobs) = match &given {
            Given::Json(_) if !request.query_string().is_empty() => {
                let detail = "with a JSON body the settings stand in the body; the query string must be empty";
                return Err(Problem::new(ProblemKind::BadFilter, detail));
            }
            Given::Json(given) => (given.run()?, Jobs::Texts(&given.jobs)),
            Given::Table(format) => (query.read()?, Jobs::Table(*format, &posted.body)),
        };
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let actor = actor(&posted.key);
            let created = match gateway.desk.create(&by(&posted.key, &actor), &text, jobs).await {
                Ok(created) => created,
                Err(error) => return Err(refusal(&gateway, &posted.key, error, ProblemKind::RunState).await),
            };
            let status = if created.is_new { StatusCode::CREATED } else { StatusCode::OK };
            let shown = ImportedView { run: created.run.try_into()?, imported: created.imported };
            Ok::<_, Problem>(answer(status, &shown))
        })
        .await
    })
    .await
}

/// Gives a run more jobs, at any time before it is cancelled or has ended. Those it has already, by their keys, stay as they are.
///
/// As JSON `{"jobs":[…]}`, CSV with a header, or NDJSON. A job that is wrong is left out and reported.
#[utoipa::path(post, path = "/v1/runs/{id}/jobs", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content((AddJobs = "application/json"), (String = "text/csv", example = "to,lead_id\n+14155550101,lead-42\n"), (JobText = "application/x-ndjson"))),
    responses(
        (status = 200, description = "The run, and what came of the jobs", body = ImportedView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: the run is being cancelled or has ended"),
        (status = 413, description = "`too-large`: too many bytes or jobs"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn add_jobs(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    require_plain("run", &id)?;
    let _alone = gateway.imports.acquire().await.map_err(|e| Problem::internal(&e))?;
    post.once(&gateway, gateway.config.limits.import_bytes_max, async |posted| {
        let given = match media(&posted)? {
            None => Ok(body::parse_json::<AddJobs>(&posted.body)?.jobs),
            Some(format) => Err(format),
        };
        let jobs = match &given {
            Ok(texts) => Jobs::Texts(texts),
            Err(format) => Jobs::Table(*format, &posted.body),
        };
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let actor = actor(&posted.key);
            let added = async {
                let imported = gateway.desk.add_jobs(&by(&posted.key, &actor), &id, jobs).await?;
                Ok((gateway.desk.show(&posted.key.tenant, &id).await?, imported))
            };
            let (run, imported) = match added.await {
                Ok(added) => added,
                Err(error) => return Err(refusal(&gateway, &posted.key, error, ProblemKind::RunState).await),
            };
            Ok::<_, Problem>(answer(StatusCode::OK, &ImportedView { run: RunView::try_from(run)?, imported }))
        })
        .await
    })
    .await
}

/// What a body holds.
enum Given {
    Json(JsonRun),
    Table(Format),
}

impl Given {
    fn read(posted: &Posted<Write>) -> Result<Self, Problem> {
        match media(posted)? {
            None => body::parse_json(&posted.body).map(Self::Json),
            Some(format) => Ok(Self::Table(format)),
        }
    }
}

/// How the body is written; `None`: as JSON.
fn media(posted: &Posted<Write>) -> Result<Option<Format>, Problem> {
    Ok(match posted.expect_media_type(&["application/json", "text/csv", "application/x-ndjson"])? {
        "text/csv" => Some(Format::Csv),
        "application/x-ndjson" => Some(Format::Ndjson),
        _ => None,
    })
}

/// A JSON body: jobs, and settings that are judged by themselves, so that an unknown one is named.
struct JsonRun {
    settings: Map<String, Value>,
    jobs: Vec<JobText>,
}

impl JsonRun {
    fn run(&self) -> Result<RunText, Problem> {
        let text = serde_json::to_vec(&self.settings).map_err(|e| Problem::internal(&e))?;
        body::parse_json(&text)
    }
}

impl<'de> Deserialize<'de> for JsonRun {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = JsonRun;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the settings of a run and its jobs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRun, A::Error> {
                let (mut settings, mut jobs) = (Map::new(), None);
                while let Some(name) = map.next_key::<String>()? {
                    let is_double = match name.as_str() {
                        "jobs" => jobs.replace(map.next_value_seed(UpToLimit)?).is_some(),
                        _ => settings.insert(name.clone(), map.next_value()?).is_some(),
                    };
                    if is_double {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                }
                Ok(JsonRun { settings, jobs: jobs.unwrap_or_default() })
            }
        }
        from.deserialize_map(Fields)
    }
}

fn jobs_up_to_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<JobText>, D::Error> {
    UpToLimit.deserialize(from)
}

/// Stops reading at the limit: a body may hold many more jobs than memory should.
struct UpToLimit;

impl<'de> DeserializeSeed<'de> for UpToLimit {
    type Value = Vec<JobText>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for UpToLimit {
    type Value = Vec<JobText>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {JOBS_MAX} jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut jobs = Vec::new();
        while let Some(job) = from.next_element()? {
            if jobs.len() >= JOBS_MAX {
                return Err(A::Error::custom(format!("has more than {JOBS_MAX} jobs; make several runs")));
            }
            jobs.push(job);
        }
        Ok(jobs)
    }
}
