//! The writer: takes what is waiting, applies it in one transaction, commits once, answers everybody.
//!
//! There is no linger timer: while one commit is being written the next batch piles up, so the batch adapts to the
//! load and an idle system commits at once.

use super::{
    Job, Rules, Submission, SubmitError, Submitted,
    batch::{self, Tally, Terms},
};
use crate::{
    clock::{SharedClock, Stopwatch},
    domain::{
        retry::Backoff,
        time::{MINUTE, SECOND},
    },
    store::{
        Db, StoreError,
        calls::LegKey,
        deliveries::{self, DeliveryRow, UNAPPLIED},
    },
    telemetry::{DatabaseTrouble, Metrics},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// What the writer works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids and jitter.
    pub rng: StdRng,
    /// What a signal leads to.
    pub rules: Rules,
    /// Where it counts what it does.
    pub metrics: Metrics,
}

/// The one that writes. Made by [`super::Ingest::new`].
#[derive(Debug)]
pub struct Writer {
    waiting: Arc<Mutex<mpsc::Receiver<Job>>>,
    parts: Parts,
}

impl Writer {
    pub(super) fn new(waiting: mpsc::Receiver<Job>, parts: Parts) -> Self {
        Self { waiting: Arc::new(Mutex::new(waiting)), parts }
    }

    /// Another writer at the same queue (see `Db::writers`). They meet in the same locks as two nodes do.
    pub fn fork(&mut self) -> Self {
        let Parts { db, clock, rng, rules, metrics } = &mut self.parts;
        let rng = StdRng::from_rng(rng);
        let parts = Parts { db: db.clone(), clock: clock.clone(), rng, rules: *rules, metrics: metrics.clone() };
        Self { waiting: self.waiting.clone(), parts }
    }

    /// Runs until every door is dropped and what was waiting is answered.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while self.take(&mut jobs).await {
            self.answer_all(std::mem::take(&mut jobs)).await;
        }
    }

    /// Takes what is waiting; `false` once every door is dropped and nothing is left.
    async fn take(&self, jobs: &mut Vec<Job>) -> bool {
        let mut waiting = self.waiting.lock().await;
        let taken = waiting.recv_many(jobs, BATCH_MAX).await;
        self.parts.metrics.queue_depth(waiting.len());
        taken > 0
    }

    async fn answer_all(&mut self, jobs: Vec<Job>) {
        let (submissions, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|j| (j.submission, j.answer)).unzip();
        let results = match self.commit(&submissions).await {
            Ok(done) => done.into_iter().map(Ok).collect(),
            Err(error) if error.may_pass() => refuse_all(&error, submissions.len()),
            // One of them cannot be applied. One by one, so that it fails alone.
            Err(error) => self.one_by_one(&submissions, error).await,
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever gave up waiting finds it stored when it asks again.
            let _ = answer.send(result);
        }
    }

    /// Applies a batch in one transaction, repeating it where that may help. It carries its own keys, so repeating it
    /// after a commit of unknown outcome is safe.
    async fn commit(&mut self, submissions: &[Submission]) -> Result<Vec<Submitted>, StoreError> {
        let mut left = REPEATS_MAX;
        loop {
            let error = match self.try_commit(submissions).await {
                Ok((done, tally)) => {
                    self.count(&tally);
                    return Ok(done);
                }
                Err(error) => error,
            };
            let retry = match &error {
                StoreError::Again(_) => {
                    self.parts.metrics.database_error(DatabaseTrouble::Busy);
                    true
                }
                // A connection that broke may have been the only thing wrong: one more try, on another one.
                StoreError::Gone(_) => {
                    self.parts.metrics.database_error(DatabaseTrouble::Gone);
                    left == REPEATS_MAX
                }
                _ => false,
            };
            if !retry || left == 0 {
                return Err(error);
            }
            left -= 1;
            let jitter: f64 = self.parts.rng.random();
            tokio::time::sleep(PAUSE.mul_f64(f64::from(REPEATS_MAX - left) * (0.5 + jitter))).await;
        }
    }

    /// A peer that vanished without a word would keep a commit waiting for ever; the limit makes it a broken connection.
    async fn try_commit(&mut self, submissions: &[Submission]) -> Result<(Vec<Submitted>, Tally), StoreError> {
        let limited = tokio::time::timeout(COMMIT_WITHIN, self.apply_and_commit(submissions));
        limited.await.unwrap_or_else(|_| Err(StoreError::timed_out(COMMIT_WITHIN)))
    }

    async fn apply_and_commit(&mut self, submissions: &[Submission]) -> Result<(Vec<Submitted>, Tally), StoreError> {
        let Parts { db, clock, rng, rules, metrics } = &mut self.parts;
        let watch = Stopwatch::start();
        let mut tx = db.begin().await?;
        let terms = Terms { rules, now: clock.now_ms(), clock: &**clock, rng };
        let applied = batch::apply(&mut tx, terms, submissions).await?;
        tx.commit().await?;
        metrics.commit(submissions.len(), watch.seconds());
        Ok(applied)
    }

    async fn one_by_one(
        &mut self,
        submissions: &[Submission],
        error: StoreError,
    ) -> Vec<Result<Submitted, SubmitError>> {
        if let [only] = submissions {
            return vec![self.set_aside(only, error).await];
        }
        let mut results = Vec::with_capacity(submissions.len());
        for submission in submissions {
            let result = match self.commit(std::slice::from_ref(submission)).await {
                Ok(done) => Ok(done.first().copied().unwrap_or(Submitted::Stored)),
                Err(error) if error.may_pass() => {
                    // The rest would wait as long as this one did, and everybody is waiting for an answer.
                    let left = submissions.len() - results.len();
                    results.extend(refuse_all(&error, left));
                    return results;
                }
                Err(error) => self.set_aside(submission, error).await,
            };
            results.push(result);
        }
        results
    }

    /// Stores a delivery that cannot be applied, so that it is not lost: the provider would not send it again.
    async fn set_aside(&mut self, submission: &Submission, error: StoreError) -> Result<Submitted, SubmitError> {
        let Some(delivery) = &submission.delivery else { return Err(SubmitError::Refused(error)) };
        let row = self.unapplied(delivery, &error);
        let stored = async {
            let mut tx = self.parts.db.begin().await?;
            deliveries::insert_unapplied(&mut tx, &row).await?;
            tx.commit().await
        };
        stored.await.map_err(|e| SubmitError::Unavailable(e.to_string()))?;
        self.parts.metrics.delivery_unapplied();
        tracing::error!(
            delivery = row.id, call = row.provider_id, tenant = row.tenant, attempts = row.attempts, reason = %error,
            "a verified delivery could not be applied; it is kept as unapplied and tried again. \
             `onhook check` lists it; look for a trigger or a constraint that refuses it",
        );
        Ok(Submitted::Unapplied)
    }

    fn unapplied(&mut self, delivery: &DeliveryRow, error: &StoreError) -> DeliveryRow {
        let attempts = delivery.attempts + 1;
        let delay = RETRY.delay_ms(u32::try_from(attempts).unwrap_or(u32::MAX), self.parts.rng.random());
        let reason: String = error.to_string().chars().take(REASON_CHARS_MAX).collect();
        DeliveryRow {
            state: UNAPPLIED.to_owned(),
            reason: Some(reason),
            attempts,
            retry_at_ms: Some(self.parts.clock.now_ms() + delay),
            ..delivery.clone()
        }
    }

    fn count(&self, tally: &Tally) {
        for step in &tally.steps {
            self.parts.metrics.step(*step);
        }
        for LegKey { tenant, provider_id, account } in &tally.unknown {
            tracing::warn!(
                call = provider_id,
                account,
                tenant,
                "Twilio reports trouble with a call that nothing was ever heard of, so it cannot be asked about: \
                 either its first callback is the one that was lost, or its callbacks do not lead here",
            );
        }
        for ending in &tally.endings {
            self.parts.metrics.runs().jobs_ended(*ending, 1);
        }
        for _ in 0..tally.contacts {
            self.parts.metrics.lead_contacted();
        }
    }
}

fn refuse_all(error: &StoreError, count: usize) -> Vec<Result<Submitted, SubmitError>> {
    tracing::error!(%error, count, "cannot store deliveries: they were answered 503; nothing was acknowledged");
    (0..count).map(|_| Err(SubmitError::Unavailable(error.to_string()))).collect()
}

/// More in one transaction gains little and makes the first one wait.
const BATCH_MAX: usize = 256;
/// How often a batch is repeated when another writer was in the way, and the pause that grows in between.
const REPEATS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);
/// Less than a request waits for its answer.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);
/// When an unapplied delivery is tried again.
const RETRY: Backoff = Backoff { first_ms: 10 * SECOND, max_ms: 60 * MINUTE };
/// A database's message, as far as it is kept.
const REASON_CHARS_MAX: usize = 500;
