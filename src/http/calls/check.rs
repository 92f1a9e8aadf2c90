//! Asking the provider about one call, now.

use super::{Which, load_row, reload, show, view::CallView};
use crate::{
    http::{
        Gateway, Problem, Write,
        body::Query,
        idempotency::{Post, answer},
    },
    sweep::{Answer, Checked},
    transaction,
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Nothing is to be said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Nothing {}

/// What came of asking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckedCall)]
pub(in crate::http) struct CheckedView {
    /// The call after it.
    call: CallView,
    /// What was answered.
    asked: AskedView,
}

/// What the provider answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Asked)]
struct AskedView {
    /// `alive`; `ended`; `not-found`: it does not know the call; `trouble`: it did not answer; `nobody`: there is nobody to
    /// ask; null: nobody was asked, because the provider had told the ending before.
    #[schema(inline)]
    answer: Option<Answer>,
    /// In a sentence.
    #[schema(example = "The provider says that it ended as completed at 2026-11-20T10:11:28.000Z.")]
    why: String,
}

/// Asks the provider about a call now, and does what it says.
///
/// A live call that the provider says has ended gets its ending; one that was ended by hand or given up is asked about,
/// too: it gets the provider's ending, or lives again. Where the provider has told the ending nobody is asked and the call
/// is answered as it is. A provider that does not answer is no error of this request, which found that out and noted it:
/// the answer is 200 with `trouble` and the reason, and the call is asked about again by itself.
#[utoipa::path(post, path = "/v1/calls/{id}/check", tag = "calls", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Which),
    request_body(content = Option<Nothing>, description = "May be left out"),
    responses(
        (status = 200, description = "The call, and what was answered", body = CheckedView),
        (status = 400, description = "`unreadable` or `bad-filter`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous-call`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn check(
    post: Post<Write>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    post.once_json_or_nothing(&gateway, async |posted, _: Nothing| {
        let row = load_row(&gateway, &posted.key, &id, which.account.as_deref()).await?;
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let Checked { answer: said, why } =
                gateway.sweeper.check(&row, format!("key:{}", posted.key.id)).await.map_err(Problem::from)?;
            let call = show(&gateway, reload(&gateway, &row).await?)?;
            let view = CheckedView { call, asked: AskedView { answer: said, why } };
            Ok::<_, Problem>(answer(StatusCode::OK, &view))
        })
        .await
    })
    .await
}
