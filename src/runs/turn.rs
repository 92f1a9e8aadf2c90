//! A turn at the runs of a tenant: one transaction that has their lock, reads, decides, writes, and tells.

use super::{Desk, RunError, Shared};
use crate::{
    domain::{id::new_id, time::Millis},
    store::{
        Tx,
        jobs::{self, JobKey, JobRow},
        journal::{self, NewEntry},
        now,
        runs::{self, RunRow},
    },
    telemetry::JobEnding,
};
use rand::RngExt;
use std::sync::PoisonError;

/// See the module. Dropped without [`Turn::commit`], nothing was done.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub shared: &'a Shared,
    pub tx: Tx,
    pub tenant: &'a str,
    /// By the clock of leases.
    pub now_ms: Millis,
    /// Written last.
    pub journal: Vec<NewEntry>,
    /// Counted once it is durable.
    endings: Vec<(JobEnding, u64)>,
}

impl Desk {
    /// Waits for the turn.
    pub(super) async fn turn<'a>(&'a self, tenant: &'a str) -> Result<Turn<'a>, RunError> {
        let shared = &*self.0;
        let mut tx = shared.db.begin().await?;
        runs::lock(&mut tx, tenant).await?;
        // After the lock: whoever waited for it must not act by an old time.
        let now_ms = now::for_leases(&mut tx, &*shared.clock).await?;
        Ok(Turn { shared, tx, tenant, now_ms, journal: Vec::new(), endings: Vec::new() })
    }

    /// What time it is for runs, for whoever only reads.
    pub(super) async fn now_ms(&self) -> Result<Millis, RunError> {
        Ok(now::for_leases(&self.0.db, &*self.0.clock).await?)
    }
}

impl Turn<'_> {
    /// A run of the tenant.
    pub async fn load(&mut self, id: &str) -> Result<RunRow, RunError> {
        let found = runs::find(&mut self.tx, self.tenant, id).await?;
        found.ok_or_else(|| RunError::NotFound { what: "run", id: id.to_owned() })
    }

    /// A job, to be changed: calls change jobs without waiting for a turn.
    pub async fn load_job(&mut self, id: &str) -> Result<Option<JobRow>, RunError> {
        let key = JobKey { tenant: self.tenant.to_owned(), id: id.to_owned() };
        Ok(jobs::load_locked(&mut self.tx, &[key]).await?.pop())
    }

    /// Writes a run.
    pub async fn save(&mut self, row: &RunRow) -> Result<(), RunError> {
        Ok(runs::update(&mut self.tx, row).await?)
    }

    /// A new id.
    pub fn id(&self, prefix: &str) -> String {
        self.shared.id(prefix, self.now_ms)
    }

    /// So many jobs have ended so.
    pub fn ended(&mut self, ending: JobEnding, jobs: u64) {
        self.endings.push((ending, jobs));
    }

    /// Makes it durable.
    pub async fn commit(mut self) -> Result<(), RunError> {
        journal::append(&mut self.tx, &self.journal).await?;
        self.tx.commit().await?;
        for (ending, jobs) in self.endings {
            self.shared.metrics.runs().jobs_ended(ending, jobs);
        }
        Ok(())
    }
}

impl Shared {
    fn id(&self, prefix: &str, now_ms: Millis) -> String {
        // A panic while drawing leaves the generator usable.
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        new_id(prefix, now_ms, rng.random())
    }
}

/// Makes an attempt again when another writer was in the way.
macro_rules! repeated {
    ($attempt:expr) => {{
        let mut left = $crate::runs::turn::REPEATS_MAX;
        loop {
            match $attempt.await {
                Err($crate::runs::RunError::Store($crate::store::StoreError::Again(_))) if left > 0 => left -= 1,
                result => break result,
            }
        }
    }};
}
pub(super) use repeated;

/// How often a turn is repeated when another writer was in the way.
pub(super) const REPEATS_MAX: u32 = 5;
