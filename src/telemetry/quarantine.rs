//! What is counted of refused deliveries: how many there are, why, and what became of them.

use crate::domain::refusal::Reason;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The figures of the quarantine. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFigures {
    refused: Family<ReasonLabels, Counter>,
    not_kept: Counter,
    redriven: Counter,
    dropped: Counter,
    rows: Family<AccountLabels, Gauge>,
    bytes: Family<AccountLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountLabels {
    account: &'static str,
}

impl QuarantineFigures {
    /// A delivery was refused for this reason, kept or not.
    pub fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// A refused delivery was only counted: too many were waiting, it is too long, or the database was away.
    pub fn not_kept(&self, count: usize) {
        self.not_kept.inc_by(count as u64);
    }

    /// Refused deliveries were applied after all.
    pub fn redriven(&self, count: usize) {
        self.redriven.inc_by(count as u64);
    }

    /// Refused deliveries were taken away: over the bounds, too old, or by hand.
    pub fn dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// How many rows and bytes are kept of known and of unknown accounts.
    pub fn size(&self, known: (i64, i64), unknown: (i64, i64)) {
        for (account, (rows, bytes)) in [("known", known), ("unknown", unknown)] {
            self.rows.get_or_create(&AccountLabels { account }).set(rows);
            self.bytes.get_or_create(&AccountLabels { account }).set(bytes);
        }
    }

    /// Every name with its help; every series begins at zero.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_quarantine_refused", "Refused deliveries by reason", self.refused.clone());
        to.register("onhook_quarantine_not_kept", "Refused deliveries that were only counted", self.not_kept.clone());
        to.register("onhook_quarantine_redriven", "Refused deliveries that were applied later", self.redriven.clone());
        to.register("onhook_quarantine_dropped", "Refused deliveries that were taken away", self.dropped.clone());
        to.register(
            "onhook_quarantine_rows",
            "Refused deliveries that are kept, by whether their account is known",
            self.rows.clone(),
        );
        to.register("onhook_quarantine_bytes", "Bytes of the refused deliveries that are kept", self.bytes.clone());
        for &reason in Reason::ALL {
            self.refused.get_or_create_owned(&ReasonLabels { reason: reason.as_str() });
        }
        self.size((0, 0), (0, 0));
    }
}
