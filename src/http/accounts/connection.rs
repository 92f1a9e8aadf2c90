//! A PBX as it is shown: what is set for it, and how it goes with it.

use crate::{
    ami::address,
    directory::Key,
    http::{Gateway, Problem, time::Moment},
    store::pbx::{self, LeasedPbx, PbxSettingRow},
};
use serde::Serialize;
use utoipa::ToSchema;

/// What is set for a PBX beside its address and its user.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Pbx)]
pub(in crate::http) struct PbxView {
    /// The country of numbers that are dialed without a country code; null: that of ONHOOK_PHONE_REGION.
    #[schema(example = "US")]
    pub(super) region: Option<String>,
    /// How many certificates its TLS is checked with; 0: those of the system.
    pub(super) ca_certificates: usize,
}

/// How it goes with a PBX, as the process that has it wrote a few seconds ago.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PbxConnection)]
pub(in crate::http) struct ConnectionView {
    /// `connecting`, `syncing` (logged in, and asking for the list of channels), `connected`, `refused` (it does not let us log
    /// in), `down`, or `pushed` (it is not connected to; it pushes).
    #[schema(example = "connected")]
    state: String,
    /// Why, in words.
    detail: Option<String>,
    /// Since when it is in that state.
    since: Moment,
    /// Whether a gateway has it now. If not, the rest is what the last one knew.
    held: bool,
    /// The version of Asterisk.
    #[schema(example = "20.9.1")]
    asterisk_version: Option<String>,
    /// The version of its manager protocol.
    #[schema(example = "9.0.0")]
    ami_version: Option<String>,
    /// The `systemname` of its asterisk.conf.
    system_name: Option<String>,
    /// When it began to run, to a second or two.
    boot_at: Option<Moment>,
    /// For how long it runs.
    #[schema(example = 86400)]
    uptime_seconds: Option<i64>,
    /// When its last byte arrived.
    last_byte_at: Option<Moment>,
    /// When its last event arrived.
    last_event_at: Option<Moment>,
    /// When it last gave a complete list of its channels.
    synced_at: Option<Moment>,
    /// How far we are behind what it says, in milliseconds.
    #[schema(example = 3)]
    lag_ms: Option<i64>,
    /// How far its clock is ahead of ours, in milliseconds; under a second counts as 0.
    #[schema(example = 0)]
    clock_ahead_ms: Option<i64>,
    /// Events that were heard, since it was added.
    events: i64,
    /// Lists of channels that were taken after a connect.
    resyncs: i64,
    /// Times it was not heard for a while; what happened meanwhile was learned from the list after it.
    gaps: i64,
    /// Times something was dropped because it came faster than it could be kept; a list followed each.
    dropped: i64,
    /// Live channels when it was last listed.
    channels: Option<i64>,
}

impl PbxView {
    pub(super) fn of(row: &PbxSettingRow) -> Self {
        Self { region: row.region.clone(), ca_certificates: certificates(row.ca_pem.as_deref()) }
    }
}

impl ConnectionView {
    fn new(leased: LeasedPbx, now_ms: i64) -> Self {
        let LeasedPbx { row, left_ms } = leased;
        let held = left_ms > 0;
        Self {
            state: row.state,
            detail: row.detail,
            since: Moment(row.since_ms),
            held,
            asterisk_version: row.version,
            ami_version: row.ami_version,
            system_name: row.system_name,
            boot_at: row.boot_ms.map(Moment),
            uptime_seconds: row.boot_ms.filter(|_| held).map(|boot_ms| now_ms.saturating_sub(boot_ms).max(0) / 1_000),
            last_byte_at: row.heard_ms.map(Moment),
            last_event_at: row.event_ms.map(Moment),
            synced_at: row.synced_ms.map(Moment),
            lag_ms: row.lag_ms,
            clock_ahead_ms: row.clock_ahead_ms,
            events: row.events,
            resyncs: row.resyncs,
            gaps: row.gaps,
            dropped: row.dropped,
            channels: row.channels,
        }
    }
}

/// What is set for a PBX.
pub(super) async fn settings(gateway: &Gateway, key: &Key, id: &str, configured: bool) -> Result<PbxView, Problem> {
    if configured {
        return Ok(PbxView { region: None, ca_certificates: certificates(gateway.config.ami_ca.as_deref()) });
    }
    let row = pbx::find_setting(&gateway.db, &key.tenant, id).await?;
    Ok(row.as_ref().map(PbxView::of).unwrap_or_default())
}

/// How it goes with a PBX; `None`: nobody has had it yet.
pub(super) async fn load(gateway: &Gateway, key: &Key, id: &str) -> Result<Option<ConnectionView>, Problem> {
    let leased = pbx::find(&gateway.db, &key.tenant, id).await?;
    Ok(leased.map(|leased| ConnectionView::new(leased, gateway.clock.now_ms())))
}

fn certificates(pem: Option<&str>) -> usize {
    pem.and_then(|pem| address::certificates(pem).ok()).map_or(0, |read| read.len())
}
