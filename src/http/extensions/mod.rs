//! Extensions: which are free, which ring, which are busy and with which call, whose they are, and what their phones do.

mod of_pbx;

pub(super) use of_pbx::{__path_delete_user, __path_list_of_pbx, __path_put_user, delete_user, list_of_pbx, put_user};

use super::{
    Can, Gateway, Problem, Read,
    body::Query,
    calls::{CallView, show},
    page::{Limit, List, Page},
};
use crate::{
    domain::{
        state::{ExtensionState, Status},
        time::{DAY, Millis},
    },
    store::{
        calls::{CallRow, LegKey},
        due,
        extensions::{self, Busy, ExtensionKey, Known, Lately, PbxExtension},
    },
};
use actix_web::{HttpResponse, web::Data};
use of_pbx::PbxExtensionView;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};

/// An extension, as far as calls name it or a PBX speaks of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Extension)]
pub(super) struct ExtensionView {
    /// As `extension` in the callback URLs names it, or its PBX.
    #[schema(example = "204")]
    extension: String,
    /// What it is doing.
    state: ExtensionState,
    /// The call that makes it so: of several the one that was answered last, else the newest; null if it is free.
    call: Option<CallView>,
    /// How many calls live on it. More than one in progress is usual while a call is held or handed over.
    #[schema(example = 1)]
    calls: i64,
    /// The user that the call belongs to. Of a free one: whose it is, as was said of its PBX, else the user of the last call on it.
    user_id: Option<String>,
    /// What the PBX says of its phone: `available`, `in-use`, `ringing`, `on-hold`, `unavailable` (not registered) or
    /// `unknown`; null: no PBX speaks of it. Of several PBXs with this extension: what was said last.
    #[schema(example = "available")]
    device: Option<String>,
    /// What each PBX that has this extension says of it.
    pbxs: Vec<PbxExtensionView>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The extensions that calls name or a PBX speaks of, by name: those on which a call lives, those named by one of the latest
/// 2,000 calls of the last 7 days, and those of the PBXs.
#[utoipa::path(get, path = "/v1/extensions", tag = "calls", security(("key" = ["read"])), params(Which), responses(
    (status = 200, description = "A page of extensions", body = Page<ExtensionView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list_extensions(
    key: Can<Read>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("extensions", "");
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let (db, tenant) = (&gateway.db, &key.tenant);
    let lately = Lately { since_ms: gateway.clock.now_ms().saturating_sub(LATELY_MS), calls_max: LATELY_CALLS_MAX };
    let known = extensions::list(db, tenant, lately, &after, which.limit.fetch()).await?;
    let keys = known.iter().map(|known| ExtensionKey { tenant: tenant.clone(), extension: known.extension.clone() });
    let keys: Vec<_> = keys.collect();
    let busy = extensions::list_busy(db, &keys).await?;
    let mut phones: HashMap<String, Vec<PbxExtension>> = HashMap::new();
    for phone in extensions::list_of_pbxs(db, &keys).await? {
        phones.entry(phone.extension.clone()).or_default().push(phone);
    }
    let legs: Vec<LegKey> = busy.iter().map(|busy| leg(tenant, busy)).collect();
    let rows = if legs.is_empty() { Vec::new() } else { due::list_by_keys(db, &legs).await? };
    let mut rows: HashMap<(String, String), CallRow> =
        rows.into_iter().map(|row| ((row.provider_id.clone(), row.account.clone()), row)).collect();
    let mut busy: HashMap<String, (i64, CallRow)> = busy
        .into_iter()
        .filter_map(|busy| Some((busy.extension, (busy.calls, rows.remove(&(busy.provider_id, busy.account))?))))
        .collect();
    let view = |known: Known| {
        let phones = phones.remove(&known.extension).unwrap_or_default();
        let view = match busy.remove(&known.extension) {
            Some((calls, row)) => taken(&gateway, known.extension, calls, row)?,
            None => free(known),
        };
        Ok(with_phones(view, phones))
    };
    let page = list.page(which.limit, known, |known| known.extension.clone(), view)?;
    Ok(HttpResponse::Ok().json(page))
}

fn leg(tenant: &str, busy: &Busy) -> LegKey {
    LegKey { tenant: tenant.to_owned(), provider_id: busy.provider_id.clone(), account: busy.account.clone() }
}

fn free(known: Known) -> ExtensionView {
    let Known { extension, user_id } = known;
    ExtensionView {
        extension,
        state: ExtensionState::Free,
        call: None,
        calls: 0,
        user_id,
        device: None,
        pbxs: Vec::new(),
    }
}

fn taken(gateway: &Gateway, extension: String, calls: i64, row: CallRow) -> Result<ExtensionView, Problem> {
    let user_id = row.user_id.clone();
    let state = if row.status == Status::InProgress.as_str() { ExtensionState::Busy } else { ExtensionState::Ringing };
    if row.due_at_ms.is_none() {
        // It ended between two looks.
        return Ok(free(Known { extension, user_id }));
    }
    let call = Some(show(gateway, row)?);
    Ok(ExtensionView { extension, state, call, calls, user_id, device: None, pbxs: Vec::new() })
}

/// The same with what PBXs say of it. The owner of a free one is who it was given to, not who happened to use it last.
fn with_phones(view: ExtensionView, mut phones: Vec<PbxExtension>) -> ExtensionView {
    phones.sort_by(|a, b| b.device_ms.cmp(&a.device_ms).then_with(|| a.account.cmp(&b.account)));
    let device = phones.iter().find_map(|phone| phone.device.clone());
    let of_call = view.call.as_ref().map(CallView::account);
    let here = phones.iter().find(|phone| of_call == Some(phone.account.as_str())).or_else(|| phones.first());
    let owner = here.and_then(|phone| phone.user_id.clone());
    let user_id = match view.state {
        ExtensionState::Free => owner.or(view.user_id),
        ExtensionState::Ringing | ExtensionState::Busy => view.user_id.or(owner),
    };
    phones.sort_by(|a, b| a.account.cmp(&b.account));
    let pbxs = phones.into_iter().map(PbxExtensionView::from).collect();
    ExtensionView { user_id, device, pbxs, ..view }
}

/// How far back extensions are looked for. There is no list of them, and no index: what is looked at is bounded.
const LATELY_MS: Millis = 7 * DAY;
const LATELY_CALLS_MAX: i64 = 2_000;
