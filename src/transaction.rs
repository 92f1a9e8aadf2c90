//! Transactions outside of ingest: repeated when somebody was in the way, the journal written last, and once only
//! where the client sent an Idempotency-Key.
//!
//! The answer to such a request is stored in the transaction of what it answers. So neither a crash nor a second node
//! can come between doing it and remembering it: of two requests with one key, at the same moment or hours apart, one
//! is done and both get its answer. A request that was refused changed nothing and is not remembered: it is judged anew.

use crate::{
    domain::time::{DAY, Millis},
    store::{
        Db, StoreError, Tx,
        idempotency::{self, IdempotencyRow, Stored},
        journal::{self, NewEntry},
    },
};

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// What to answer.
    pub value: T,
    /// What the journal says about it.
    pub journal: Vec<NewEntry>,
}

/// A request that may come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose request it is.
    pub tenant: String,
    /// The client's Idempotency-Key.
    pub key: String,
    /// A digest of the request.
    pub request: Vec<u8>,
    /// When it came, in Unix milliseconds.
    pub now_ms: Millis,
}

/// An answer that can be given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// What is remembered of the body where that differs: a secret is shown once.
    pub kept_body: Option<Vec<u8>>,
}

/// What a request with an Idempotency-Key gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was done now.
    Now(Answer),
    /// It was done before; this was its answer.
    Before(Answer),
    /// The key came with another request before.
    OtherRequest,
}

/// Runs `work` in a transaction, writes the journal and commits. Repeats it when another writer was in the way.
pub async fn run<T>(
    db: &Db,
    mut work: impl AsyncFnMut(&mut Tx) -> Result<Done<T>, StoreError>,
) -> Result<T, StoreError> {
    let mut left = REPEATS_MAX;
    loop {
        let attempt = async {
            let mut tx = db.begin().await?;
            let done = work(&mut tx).await?;
            journal::append(&mut tx, &done.journal).await?;
            tx.commit().await?;
            Ok(done.value)
        };
        match attempt.await {
            Err(StoreError::Again(_)) if left > 0 => left -= 1,
            result => return result,
        }
    }
}

/// Like [`run`], but what has a ticket is done once.
pub async fn run_once(
    db: &Db,
    ticket: Option<&Ticket>,
    mut work: impl AsyncFnMut(&mut Tx) -> Result<Done<Answer>, StoreError>,
) -> Result<Answered, StoreError> {
    let Some(ticket) = ticket else { return run(db, work).await.map(Answered::Now) };
    let mut left = REPEATS_MAX;
    loop {
        if let Some(before) = ticket.find(db).await? {
            return Ok(before);
        }
        match ticket.attempt(db, &mut work).await {
            Ok(answered) => return Ok(answered),
            Err(StoreError::Again(_)) if left > 0 => left -= 1,
            // It may have failed because the same request was done at the same moment.
            Err(error) => return ticket.find(db).await?.ok_or(error),
        }
    }
}

/// For work that may be done twice without harm, such as submitting a signal: it is done, then its answer is kept.
pub async fn run_then_keep<E: From<StoreError>>(
    db: &Db,
    ticket: Option<&Ticket>,
    work: impl AsyncFnOnce() -> Result<Answer, E>,
) -> Result<Answered, E> {
    let Some(ticket) = ticket else { return work().await.map(Answered::Now) };
    if let Some(before) = ticket.find(db).await? {
        return Ok(before);
    }
    let answer = work().await?;
    let kept =
        ticket.attempt(db, &mut async |_: &mut Tx| Ok(Done { value: answer.clone(), journal: Vec::new() })).await;
    match kept {
        Ok(answered) => Ok(answered),
        Err(error) => {
            // It is done; only a repetition would be done again, without harm.
            tracing::warn!(%error, "the answer to a request with an Idempotency-Key could not be kept");
            Ok(Answered::Now(answer))
        }
    }
}

/// Forgets answers that are older than [`KEPT_MS`], some at a time; says how many.
pub async fn forget(tx: &mut Tx, now_ms: Millis) -> Result<u64, StoreError> {
    idempotency::delete_older(tx, now_ms.saturating_sub(KEPT_MS), FORGET_ROWS_MAX).await
}

impl Ticket {
    /// What the request got when it came before; `None` if it did not within the last [`KEPT_MS`].
    pub async fn find(&self, db: &Db) -> Result<Option<Answered>, StoreError> {
        let row = idempotency::find(db, &self.tenant, &self.key).await?;
        Ok(row.filter(|row| row.created_ms > self.now_ms.saturating_sub(KEPT_MS)).map(|row| self.judge(row)))
    }

    async fn attempt(
        &self,
        db: &Db,
        work: &mut impl AsyncFnMut(&mut Tx) -> Result<Done<Answer>, StoreError>,
    ) -> Result<Answered, StoreError> {
        let mut tx = db.begin().await?;
        let Done { value: answer, journal } = work(&mut tx).await?;
        let row = IdempotencyRow {
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            request: self.request.clone(),
            status: answer.status.into(),
            body: answer.kept_body.as_ref().unwrap_or(&answer.body).clone(),
            created_ms: self.now_ms,
        };
        idempotency::delete_expired(&mut tx, &self.tenant, &self.key, self.now_ms.saturating_sub(KEPT_MS)).await?;
        if let Stored::Existing(row) = idempotency::insert(&mut tx, &row).await? {
            // Rolled back with the transaction: the other one is done, and this one is not.
            return Ok(self.judge(row));
        }
        journal::append(&mut tx, &journal).await?;
        tx.commit().await?;
        Ok(Answered::Now(answer))
    }

    fn judge(&self, row: IdempotencyRow) -> Answered {
        if row.request != self.request {
            return Answered::OtherRequest;
        }
        let status = u16::try_from(row.status).unwrap_or_default();
        Answered::Before(Answer { status, body: row.body, kept_body: None })
    }
}

/// How long an answer is remembered.
pub const KEPT_MS: Millis = DAY;
/// How often a transaction is repeated when another writer was in the way.
const REPEATS_MAX: u32 = 5;
/// How many answers one pass of [`forget`] takes.
const FORGET_ROWS_MAX: i64 = 5_000;
