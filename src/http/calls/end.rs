//! Taking a call as ended, by hand.

use super::{Which, load_row, reload, show, view::CallView};
use crate::{
    domain::time::Millis,
    fields::{self, Wrong, Wrongs},
    http::{
        Gateway, Problem, ProblemKind, Write,
        body::Query,
        idempotency::{Post, answer},
    },
    store::calls::CallRow,
    sweep::{EndByHand, EndError},
    transaction,
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a call ended. Each may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = EndCall)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct EndText {
    /// Also hang it up at the provider.
    hangup: bool,
    /// When it ended, RFC 3339: not in the future and not before `created_at`. Left out: its last sign of life counts.
    #[schema(example = "2026-11-20T10:11:08.000Z", format = DateTime)]
    ended_at: Option<String>,
    /// Why, for those who read its story: up to 500 bytes.
    #[schema(max_length = 500, example = "The agent's computer crashed.")]
    reason: Option<String>,
}

/// What came of ending a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedCall)]
pub(in crate::http) struct EndedView {
    /// The call after it.
    call: CallView,
    /// Whether the provider hung up; null if it was not to.
    hangup: Option<HangupView>,
}

/// Whether the provider hung up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hangup)]
struct HangupView {
    /// Whether it did, or had before.
    done: bool,
    /// In a sentence.
    why: String,
}

/// Takes a live call as ended. With `hangup` it is also hung up at the provider.
///
/// The ending counts as `manual`, until the provider tells one: that one stands. A call that goes on at the provider lives
/// again with its next sign of life: the next list of live calls shows it. To be sure, say `hangup`; if that fails the call
/// is ended here all the same, and `hangup` in the answer says why.
#[utoipa::path(post, path = "/v1/calls/{id}/end", tag = "calls", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Which),
    request_body(content = Option<EndText>, description = "May be left out"),
    responses(
        (status = 200, description = "The call, and whether it was hung up", body = EndedView),
        (status = 400, description = "`unreadable` or `bad-filter`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`call-ended`: it had ended before; or `ambiguous-call`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn end(
    post: Post<Write>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    post.once_json_or_nothing(&gateway, async |posted, text: EndText| {
        let row = load_row(&gateway, &posted.key, &id, which.account.as_deref()).await?;
        let end = text.read(&row, format!("key:{}", posted.key.id), gateway.clock.now_ms())?;
        expect_live(&row)?;
        let hangup = text.hangup;
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            gateway.sweeper.end(&row, end).await.map_err(Problem::from)?;
            let after = reload(&gateway, &row).await?;
            if after.resolution.as_deref().is_some_and(|resolution| resolution != "manual") {
                // The provider's word came first, and nothing was changed.
                expect_live(&after)?;
            }
            let hangup = if hangup { Some(hang_up(&gateway, &row).await) } else { None };
            let call = show(&gateway, after)?;
            Ok::<_, Problem>(answer(StatusCode::OK, &EndedView { call, hangup }))
        })
        .await
    })
    .await
}

async fn hang_up(gateway: &Gateway, row: &CallRow) -> HangupView {
    let (done, why) = gateway.sweeper.hang_up(row).await;
    HangupView { done, why }
}

fn expect_live(row: &CallRow) -> Result<(), Problem> {
    let ended = match (&row.resolution, row.merged_into.as_ref().filter(|_| row.is_replaced())) {
        (Some(resolution), _) => format!("has ended: {} ({resolution})", row.status),
        (None, Some(into)) => format!("was merged into {into}: end that one"),
        (None, None) => return Ok(()),
    };
    Err(Problem::new(ProblemKind::CallEnded, format!("the call {} {ended}", row.id)))
}

impl EndText {
    fn read(&self, row: &CallRow, actor: String, now_ms: Millis) -> Result<EndByHand, Problem> {
        let mut wrongs = Wrongs::default();
        let stated = self.ended_at.as_deref().map(|text| stated_end(text, row, now_ms)).transpose();
        let stated_end_ms = wrongs.take(stated);
        let reason = wrongs.take(fields::optional_line("reason", self.reason.as_deref(), REASON_BYTES_MAX));
        let made = stated_end_ms.zip(reason);
        let made = made.map(|(stated_end_ms, reason)| EndByHand { actor, stated_end_ms, reason });
        Ok(wrongs.settle(made)?)
    }
}

fn stated_end(text: &str, row: &CallRow, now_ms: Millis) -> Result<Millis, Wrong> {
    use crate::domain::time::rfc3339;
    let at = fields::moment("ended_at", text)?;
    if at > now_ms {
        return Err(Wrong::new("ended_at", format!("lies in the future: it is {} now", rfc3339(now_ms))));
    }
    if at < row.created_at_ms {
        let since = rfc3339(row.created_at_ms);
        return Err(Wrong::new("ended_at", format!("lies before the call was known: created_at is {since}")));
    }
    Ok(at)
}

impl From<EndError> for Problem {
    fn from(error: EndError) -> Self {
        match error {
            EndError::Store(error) => error.into(),
            EndError::Submit(error) => error.into(),
        }
    }
}

const REASON_BYTES_MAX: usize = 500;
