//! What is counted of the PBXs that this process listens to. None is named: a process may hold hundreds.

use crate::domain::time::{Millis, SECOND};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

/// The figures of the PBXs. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct PbxFigures {
    pbxs: Family<StateLabels, Gauge>,
    connected: Gauge,
    channels: Gauge,
    lag: Gauge<f64, AtomicU64>,
    messages: Counter,
    resyncs: Counter,
    gaps: Counter,
    dropped: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// The words of `pbx::State`: each has a series from the start.
const STATES: [&str; 6] = ["connecting", "syncing", "connected", "refused", "down", "pushed"];

impl PbxFigures {
    /// A message of the world was taken.
    pub fn message(&self) {
        self.messages.inc();
    }

    /// A channel list was taken after a connect. `was_heard`: the PBX was listened to before, so there was a gap.
    pub fn resynced(&self, was_heard: bool) {
        self.resyncs.inc();
        if was_heard {
            self.gaps.inc();
        }
    }

    /// What was told could not be kept.
    pub fn dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// How many PBXs are in this state.
    pub fn show_state(&self, state: &'static str, count: usize) {
        self.pbxs.get_or_create(&StateLabels { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many are connected, how far the slowest is behind, and how many channels live in all of them.
    pub fn show(&self, connected: usize, lag_ms: Millis, channels: i64) {
        self.connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
        self.lag.set(lag_ms as f64 / SECOND as f64);
        self.channels.set(channels);
    }

    /// Every name with its help; every series begins at zero.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_ami_pbxs", "PBXs that this process holds, by state", self.pbxs.clone());
        to.register("onhook_ami_connected", "PBXs that this process hears", self.connected.clone());
        to.register("onhook_ami_channels", "Channels in their last lists", self.channels.clone());
        to.register("onhook_ami_lag_seconds", "How far it is behind the stream of the slowest", self.lag.clone());
        to.register("onhook_ami_events", "Messages of the world that were taken", self.messages.clone());
        to.register("onhook_ami_resyncs", "Channel lists that were taken after a connect", self.resyncs.clone());
        to.register("onhook_ami_gaps", "Times a PBX was not heard for a while", self.gaps.clone());
        to.register("onhook_ami_dropped", "What was told and could not be kept", self.dropped.clone());
        STATES.iter().for_each(|state| self.show_state(state, 0));
    }
}
