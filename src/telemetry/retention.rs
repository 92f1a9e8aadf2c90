//! What is counted of rows that were kept long enough.

use crate::domain::words;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

words! {
    /// A table of which rows are taken away after their time.
    pub enum PrunedTable {
        /// Signals of calls that ended.
        Signal = "signal",
        /// Raw deliveries.
        Delivery = "delivery",
        /// The journal.
        Journal = "journal",
        /// Notices.
        Notice = "notice",
        /// Sweeps.
        Sweep = "sweep",
        /// Figures of sweeps.
        SweepFigure = "sweep_figure",
        /// The audit.
        Audit = "audit",
        /// Jobs of runs that ended.
        Job = "job",
        /// Their slots.
        Slot = "slot",
        /// Runs that ended.
        Run = "run",
        /// Calls that were to be hung up, settled.
        Hangup = "hangup",
    }
}

/// The figures of retention. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RetentionFigures {
    pruned: Family<TableLabels, Counter>,
    walks: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabels {
    table: &'static str,
}

impl RetentionFigures {
    /// So many rows of this table were taken away.
    pub fn pruned(&self, table: PrunedTable, rows: u64) {
        self.pruned.get_or_create(&TableLabels { table: table.as_str() }).inc_by(rows);
    }

    /// Everything that is kept was looked through once.
    pub fn walked(&self) {
        self.walks.inc();
    }

    /// Every name with its help; every series begins at zero.
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_pruned_rows", "Rows that were kept long enough, by table", self.pruned.clone());
        to.register("onhook_retention_walks", "How often all that is kept was looked through", self.walks.clone());
        for &table in PrunedTable::ALL {
            self.pruned.get_or_create_owned(&TableLabels { table: table.as_str() });
        }
    }
}
