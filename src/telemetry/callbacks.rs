//! The figures of callback health. They are summed over all accounts: an account's own are asked for by its id.

use crate::domain::ending::KnownBy;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::collections::BTreeMap;

/// What a piece of the journal adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackCounts {
    /// Deliveries that said what was known already.
    pub repeated: i64,
    /// Deliveries that were overtaken by a later one.
    pub late: i64,
    /// Callbacks that were fired and did not arrive.
    pub gaps: i64,
    /// Legs that ended, by how that was known within a minute.
    pub endings: BTreeMap<KnownBy, i64>,
    /// Endings that a status callback told after all, after they had been counted otherwise.
    pub corrected: i64,
}

/// The counters of all that.
#[derive(Debug, Default)]
pub(super) struct CallbackCounters {
    repeated: Counter,
    late: Counter,
    gaps: Counter,
    endings: Family<EndingLabels, Counter>,
    corrected: Counter,
    pub(super) accounts_without_endings: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndingLabels {
    known_by: &'static str,
}

impl CallbackCounters {
    /// Every name with its help, and every series from zero on.
    #[rustfmt::skip]
    pub(super) fn register(&self, to: &mut Registry) {
        to.register("onhook_callbacks_repeated", "Callbacks that said what was known already", self.repeated.clone());
        to.register("onhook_callbacks_late", "Callbacks that were overtaken by a later one", self.late.clone());
        to.register("onhook_callback_gaps", "Callbacks that the provider fired and that did not arrive within a minute of the ending", self.gaps.clone());
        to.register("onhook_endings", "Legs that ended, by how that was known within a minute", self.endings.clone());
        to.register("onhook_endings_corrected", "Endings that a callback told more than a minute after they were known otherwise", self.corrected.clone());
        to.register("onhook_accounts_without_ending_callbacks", "Accounts whose calls end without status callbacks", self.accounts_without_endings.clone());
        for &known in KnownBy::ALL {
            self.endings.get_or_create_owned(&EndingLabels { known_by: known.as_str() });
        }
    }

    pub(super) fn add(&self, counts: &CallbackCounts) {
        let pairs = [
            (&self.repeated, counts.repeated),
            (&self.late, counts.late),
            (&self.gaps, counts.gaps),
            (&self.corrected, counts.corrected),
        ];
        for (counter, n) in pairs {
            counter.inc_by(n.max(0).unsigned_abs());
        }
        for (known, n) in &counts.endings {
            let labels = EndingLabels { known_by: known.as_str() };
            self.endings.get_or_create(&labels).inc_by((*n).max(0).unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text;

    #[test]
    fn what_is_counted_is_rendered_under_its_name() {
        let (counters, mut registry, mut text) = (CallbackCounters::default(), Registry::default(), String::new());
        counters.register(&mut registry);
        let endings = BTreeMap::from([(KnownBy::Elsewhere, 5)]);
        counters.add(&CallbackCounts { repeated: 1, late: 2, gaps: 3, endings, corrected: 4 });
        counters.accounts_without_endings.set(6);
        text::encode(&mut text, &registry).unwrap();
        for line in [
            "onhook_callbacks_repeated_total 1",
            "onhook_callbacks_late_total 2",
            "onhook_callback_gaps_total 3",
            "onhook_endings_corrected_total 4",
            r#"onhook_endings_total{known_by="elsewhere"} 5"#,
            r#"onhook_endings_total{known_by="callback"} 0"#,
            "onhook_accounts_without_ending_callbacks 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
