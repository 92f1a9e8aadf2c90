//! The jobs of a person: nobody dials it any more, and they do not show whom they called.

use super::{PAGE, Search};
use crate::{
    domain::{run::JobState, time::Millis},
    store::{
        StoreError,
        erasure::{self, ForgottenJob},
        jobs::{self, JobKey, JobRow},
        runs, slots,
    },
};

impl Search<'_> {
    /// Jobs of the lead, and jobs with its number.
    pub(super) async fn jobs(&mut self, now_ms: Millis) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = erasure::list_jobs(self.db, self.tenant, &after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(&last.id);
            let theirs: Vec<JobRow> = rows.into_iter().filter(|row| self.is_theirs(row)).collect();
            if !theirs.is_empty() {
                self.erase_jobs(&theirs, now_ms).await?;
            }
        }
    }

    fn is_theirs(&self, row: &JobRow) -> bool {
        let texts = [Some(&row.to), row.phone_e164.as_ref(), Some(&row.key)];
        row.lead_id.as_deref() == Some(self.id) || texts.into_iter().flatten().any(|t| self.traces.are_in(t.as_bytes()))
    }

    async fn erase_jobs(&mut self, rows: &[JobRow], now_ms: Millis) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        runs::lock(&mut tx, self.tenant).await?;
        let keys: Vec<JobKey> =
            rows.iter().map(|row| JobKey { tenant: row.tenant.clone(), id: row.id.clone() }).collect();
        let locked = jobs::load_locked(&mut tx, &keys).await?;
        let placing = locked.iter().filter(|row| row.state == JobState::Placing.as_str()).count();
        let forgotten: Vec<ForgottenJob> = locked.iter().map(|row| self.without_number(row)).collect();
        let erased = erasure::rewrite_jobs(&mut tx, &forgotten, "the person was forgotten", now_ms).await?;
        slots::release_idle(&mut tx, self.tenant, None, now_ms).await?;
        self.end(tx).await?;
        self.report.erased.jobs += erased;
        self.report.kept.placing_jobs += placing as u64;
        Ok(())
    }

    /// A list that is imported again meets the key, and nobody is dialed anew; a number is no key to be kept.
    fn without_number(&self, row: &JobRow) -> ForgottenJob {
        let key = if self.traces.are_in(row.key.as_bytes()) { &row.id } else { &row.key };
        ForgottenJob { tenant: row.tenant.clone(), id: row.id.clone(), key: key.clone() }
    }
}
