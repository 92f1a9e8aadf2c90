//! Forgetting a person. It needs the scope `admin`, not `write`: it cannot be undone, and it reaches into raw and refused
//! deliveries, which only `admin` may see; the key of a CRM that writes leads should not be able to do that.

use super::{
    Admin, Gateway, Problem, body,
    idempotency::{Post, answer},
};
use crate::{
    directory::Scope,
    fields,
    leads::{self as room, Forgotten},
    transaction,
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use rand::RngExt;
use serde::Deserialize;
use utoipa::ToSchema;

/// How a person is to be forgotten. No body at all means: for good.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ForgetLead)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetText {
    /// Only say what would be erased.
    #[serde(default)]
    dry_run: bool,
}

/// Forgets a person: erases name and number of the lead, and numbers, recordings and raw deliveries of its calls and of all
/// calls with its number. What was counted stays: calls, times, talk seconds, contacts, activity, status, your own id.
///
/// It cannot be undone. It looks through all that is kept, which may take minutes on a large database; one that was cut off
/// is taken up by the next, and doing it twice changes nothing more. Refused deliveries of accounts that nobody has belong to
/// no tenant: only a key with the scope `operator` reaches them. docs/retention.md says what is erased and what is not.
#[utoipa::path(post, path = "/v1/leads/{id}/forget", tag = "leads", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "Your own id, percent-encoded")), request_body = Option<ForgetText>,
    responses(
        (status = 200, description = "What was erased, by kind of row, and what was kept", body = Forgotten),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such lead; GET /v1/leads shows those there are"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(super) async fn forget(
    post: Post<Admin>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    post.once(&gateway, gateway.config.limits.rest_body_bytes_max, async |posted| {
        let text = if posted.body.is_empty() {
            ForgetText::default()
        } else {
            posted.expect_media_type(&["application/json"])?;
            body::parse_json(&posted.body)?
        };
        let how = room::Forget {
            dry_run: text.dry_run,
            sees_unknown: posted.key.may(Scope::Operator),
            actor: format!("key:{}", posted.key.id),
            now_ms: gateway.clock.now_ms(),
            randomness: gateway.with_rng(|rng| rng.random()),
        };
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let forgotten = match fields::lead_id("id", &id) {
                Ok(_) => room::forget(&gateway.db, &posted.key.tenant, &id, &how).await?,
                Err(_) => None,
            };
            let forgotten = forgotten.ok_or_else(|| {
                let detail = format!("there is no lead {:?}; GET /v1/leads shows those there are", id.as_str());
                Problem::new(super::ProblemKind::NotFound, detail)
            })?;
            Ok::<_, Problem>(answer(StatusCode::OK, &forgotten))
        })
        .await
    })
    .await
}
