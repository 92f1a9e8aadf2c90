//! PBXs that push what happens over HTTP: the same correlator without a line.
//!
//! The process that takes the first push holds the PBX like one it listens to; another one refuses until that lease ends.
//! A push is answered when what it says is durable. If it cannot be, the correlator stands where it stood before, so the
//! same push can come again. What came before changes nothing: by its content, which also names its delivery.

use super::{
    Pbxs, Shared, State, claim,
    heard::{self, Key, Users},
    stored::{load_known, rules, submit},
};
use crate::{
    ami::{
        Message, PROVIDER,
        correlator::{Correlator, Heard},
    },
    domain::{
        signal::believable,
        time::{MINUTE, Millis, SECOND},
    },
    store::{
        StoreError,
        extensions::{self, PbxExtension},
        pbx::{self, PbxRow},
    },
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future,
    pin::Pin,
    sync::Arc,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinSet,
    time::{Sleep, sleep},
};

/// What became of a push. All of it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Messages that were taken.
    pub taken: usize,
    /// Of these: messages that said something of a call.
    pub said: usize,
    /// Messages that had come before.
    pub repeated: usize,
}

/// Why a push was not taken. The fragments complete "failed to …". Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The tenant has no such PBX.
    #[error("find the PBX {0:?}: add it as an account of the provider asterisk")]
    Unknown(String),
    /// It is listened to over its manager port: what it pushes would be told twice.
    #[error("take what the PBX {0:?} pushes: onhook is connected to it; take its address away to have it push instead")]
    Connected(String),
    /// Another process takes its pushes.
    #[error("take the push here: another process takes what this PBX pushes; send it again in {retry_after_s} s")]
    Elsewhere {
        /// When to send it again, in seconds.
        retry_after_s: u64,
    },
    /// It has too many messages.
    #[error("take {given} messages at once: at most {PUSHED_AT_ONCE_MAX} are; send the rest in another request")]
    TooMany {
        /// How many it has.
        given: usize,
    },
    /// The database is away. Sending it again is safe.
    #[error("make the push durable: {0}; send it again")]
    Unavailable(String),
}

/// The PBXs whose pushes this process takes.
#[derive(Debug, Default)]
pub(super) struct Takers(std::sync::Mutex<HashMap<Key, Arc<Mutex<Option<Taker>>>>>);

/// One of them.
#[derive(Debug)]
struct Taker {
    row: PbxRow,
    correlator: Correlator,
    recent: Recent,
    users: Users,
    /// What was said of phones since the lease was renewed; the correlator bounds how many there are.
    devices: BTreeMap<String, PbxExtension>,
    region: Option<String>,
    renew_at: Pin<Box<Sleep>>,
    pushed_ms: Millis,
}

impl Pbxs {
    /// Takes messages that a PBX of this tenant pushed, in the order in which they happened, and answers when all they say
    /// is durable.
    pub async fn push(
        &self,
        tenant: &str,
        account: &str,
        messages: Vec<Message>,
        received_ms: Millis,
    ) -> Result<Pushed, PushError> {
        let (shared, given) = (&self.0, messages.len());
        if given > PUSHED_AT_ONCE_MAX {
            return Err(PushError::TooMany { given });
        }
        let known = shared.directory.account(account).await;
        let known = known.map_err(|error| PushError::Unavailable(error.to_string()))?;
        let known = known.filter(|known| known.tenant == tenant && known.provider == PROVIDER);
        let known = known.ok_or_else(|| PushError::Unknown(account.to_owned()))?;
        // Also one whose secret cannot be opened now.
        if known.api_base.is_some() {
            return Err(PushError::Connected(account.to_owned()));
        }
        let key = Key { tenant: tenant.to_owned(), account: account.to_owned() };
        let slot = shared.takers.slot(&key).ok_or_else(|| PushError::Unavailable(FULL.to_owned()))?;
        let mut slot = slot.lock().await;
        let taker = ready(shared, &key, &mut slot).await?;
        taker.pushed_ms = received_ms;
        taker.take(shared, &key, messages, received_ms).await
    }
}

/// The taker of a PBX, with a lease that is good for a while.
async fn ready<'a>(shared: &Shared, key: &Key, slot: &'a mut Option<Taker>) -> Result<&'a mut Taker, PushError> {
    let unavailable = |error: StoreError| PushError::Unavailable(error.to_string());
    if let Some(taker) = slot.as_mut()
        && is_over(&mut taker.renew_at).await
        && !taker.renew(shared).await.map_err(unavailable)?
    {
        *slot = None;
    }
    if slot.is_none() {
        let Some(row) = claim(shared, key, State::Pushed).await.map_err(unavailable)? else {
            let left = pbx::find(&shared.db, &key.tenant, &key.account).await.map_err(unavailable)?;
            let left_ms = left.map_or(0, |pbx| pbx.left_ms).max(0);
            return Err(PushError::Elsewhere { retry_after_s: left_ms.unsigned_abs().div_ceil(1_000).max(1) });
        };
        let set = pbx::find_setting(&shared.db, &key.tenant, &key.account).await.map_err(unavailable)?;
        let region = set.and_then(|set| set.region).or_else(|| shared.rules.region.clone());
        let users = heard::load_users(&shared.db, key).await.map_err(unavailable)?;
        let mut correlator = Correlator::new(rules(shared, key));
        correlator.restore(load_known(shared, key).await.map_err(unavailable)?);
        let (recent, renew_at) = (Recent::default(), Box::pin(sleep(shared.pace.renew)));
        tracing::info!(tenant = key.tenant, account = key.account, "this process takes what the PBX pushes");
        let devices = BTreeMap::new();
        *slot =
            Some(Taker { row, correlator, recent, users, devices, region, renew_at, pushed_ms: shared.clock.now_ms() });
    }
    slot.as_mut().ok_or_else(|| PushError::Unavailable(FULL.to_owned()))
}

impl Taker {
    async fn take(
        &mut self,
        shared: &Shared,
        key: &Key,
        messages: Vec<Message>,
        received_ms: Millis,
    ) -> Result<Pushed, PushError> {
        let before = self.correlator.clone();
        let (mut pushed, mut submissions, mut digests) = (Pushed::default(), Vec::new(), Vec::new());
        let mut in_push = HashSet::new();
        for message in messages {
            let digest = digest(&message);
            if self.recent.has(&digest) || !in_push.insert(digest) {
                pushed.repeated += 1;
                continue;
            }
            digests.push(digest);
            pushed.taken += 1;
            let heard = Heard { received_ms, at_ms: stamp_ms(&message, received_ms) };
            let signals = self.correlator.absorb(&message, heard);
            let changes = self.correlator.extensions().into_iter();
            self.devices.extend(changes.map(|change| (change.extension.clone(), key.device(change, heard))));
            if !signals.is_empty() {
                pushed.said += 1;
                submissions.push(key.delivered(&message, heard, signals, "", heard::POST));
            }
        }
        let left = submit(shared, key, submissions, &self.users, self.region.as_deref()).await;
        if !left.is_empty() {
            self.correlator = before;
            return Err(PushError::Unavailable("the database does not take writes now".to_owned()));
        }
        digests.into_iter().for_each(|digest| self.recent.add(digest));
        let taken = i64::try_from(pushed.taken).unwrap_or(i64::MAX);
        self.row.events = self.row.events.saturating_add(taken);
        self.row.event_ms = Some(received_ms);
        self.row.heard_ms = self.row.heard_ms.max(Some(received_ms));
        (0..pushed.taken).for_each(|_| shared.metrics.pbx().message());
        Ok(pushed)
    }

    /// Tells the endings whose time has come. What cannot be written now is told at the next beat.
    async fn tick(&mut self, shared: &Shared, key: &Key) {
        let now_ms = shared.clock.now_ms();
        // A time further ahead than any can be was set before the clock was set back.
        let is_due = |at: Millis| at <= now_ms || at > now_ms.saturating_add(AHEAD_MS);
        let Some(at) = self.correlator.wake_at_ms().filter(|at| is_due(*at)) else { return };
        let before = self.correlator.clone();
        let submissions =
            self.correlator.tick(at.max(now_ms)).into_iter().map(|signal| key.submission(signal)).collect();
        if !submit(shared, key, submissions, &self.users, self.region.as_deref()).await.is_empty() {
            self.correlator = before;
        }
    }

    /// Lets the PBX go. Endings that are held back are told, because nobody will know of them later.
    async fn let_go(mut self, shared: &Shared, key: &Key) {
        let submissions = self.correlator.close().into_iter().map(|signal| key.submission(signal)).collect();
        let left = submit(shared, key, submissions, &self.users, self.region.as_deref()).await;
        if !left.is_empty() {
            let lost = left.len();
            tracing::warn!(
                account = key.account,
                lost,
                "endings could not be written when a PBX that pushes was let go"
            );
        }
        release(shared, &self.row).await;
    }

    /// Keeps the lease, and reads again whose the extensions are. `false`: another process has it.
    async fn renew(&mut self, shared: &Shared) -> Result<bool, StoreError> {
        let mut tx = shared.db.begin().await?;
        let is_ours = pbx::renew(&mut tx, &self.row, shared.pace.lease_ms()).await?;
        let devices: Vec<PbxExtension> = self.devices.values().filter(|_| is_ours).cloned().collect();
        extensions::put_devices(&mut tx, &devices).await?;
        tx.commit().await?;
        self.devices.clear();
        let key = Key { tenant: self.row.tenant.clone(), account: self.row.account.clone() };
        self.users = heard::load_users(&shared.db, &key).await?;
        self.renew_at = Box::pin(sleep(shared.pace.renew));
        Ok(is_ours)
    }
}

impl Takers {
    fn slot(&self, key: &Key) -> Option<Arc<Mutex<Option<Taker>>>> {
        let mut takers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if takers.len() >= TAKERS_MAX && !takers.contains_key(key) {
            return None;
        }
        Some(takers.entry(key.clone()).or_default().clone())
    }

    fn slots(&self) -> Vec<(Key, Arc<Mutex<Option<Taker>>>)> {
        let takers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        takers.iter().map(|(key, slot)| (key.clone(), slot.clone())).collect()
    }

    /// How many there are. One that is busy is one.
    pub(super) fn count(&self) -> usize {
        self.slots().iter().filter(|(_, slot)| slot.try_lock().map_or(true, |slot| slot.is_some())).count()
    }

    /// What is due: endings that are told later, leases, and letting go those that push no more. None waits for another.
    pub(super) async fn tick(shared: &Arc<Shared>) {
        let mut ticking = JoinSet::new();
        for (key, slot) in shared.takers.slots() {
            // One that is taking a push is ticked at the next beat.
            let Ok(slot) = slot.try_lock_owned() else { continue };
            if slot.is_some() {
                let shared = shared.clone();
                ticking.spawn(async move { tick(&shared, &key, slot).await });
            }
        }
        while ticking.join_next().await.is_some() {}
        shared.takers.forget_empty();
    }

    /// Forgets the places that nobody has and nobody waits for.
    fn forget_empty(&self) {
        let mut takers = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_empty = |slot: &Arc<Mutex<Option<Taker>>>| slot.try_lock().is_ok_and(|slot| slot.is_none());
        // Whoever waits for one has it too, and gets it only under this lock.
        takers.retain(|_, slot| Arc::strong_count(slot) > 1 || !is_empty(slot));
    }

    /// Lets all go.
    pub(super) async fn stop(shared: &Arc<Shared>) {
        let mut stopping = JoinSet::new();
        for (key, slot) in shared.takers.slots() {
            let shared = shared.clone();
            stopping.spawn(async move {
                if let Some(taker) = slot.lock().await.take() {
                    taker.let_go(&shared, &key).await;
                }
            });
        }
        while stopping.join_next().await.is_some() {}
    }
}

/// What is due of one.
async fn tick(shared: &Shared, key: &Key, mut slot: OwnedMutexGuard<Option<Taker>>) {
    let Some(taker) = slot.as_mut() else { return };
    if is_over(&mut taker.renew_at).await {
        match taker.renew(shared).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(account = key.account, "another process takes what the PBX pushes now");
                *slot = None;
                return;
            }
            Err(error) => {
                tracing::warn!(account = key.account, "failed to {error} to keep taking what a PBX pushes");
                taker.renew_at = Box::pin(sleep(shared.pace.again));
            }
        }
    }
    taker.tick(shared, key).await;
    let idle_ms = shared.clock.now_ms().saturating_sub(taker.pushed_ms);
    // What lives is in the rows: whoever takes the next push, here or elsewhere, goes on with them. So does a new correlator
    // where this one has no room: it knows nothing of calls that were given up meanwhile.
    if (idle_ms >= IDLE_MS || taker.correlator.needs_resync())
        && let Some(taker) = slot.take()
    {
        taker.let_go(shared, key).await;
    }
}

async fn release(shared: &Shared, row: &PbxRow) {
    let released = async {
        let mut tx = shared.db.begin().await?;
        pbx::release(&mut tx, row).await?;
        tx.commit().await
    };
    if let Err(error) = released.await {
        tracing::warn!(account = row.account, "failed to {error} to let a PBX go; its lease ends by itself");
    }
}

/// What was pushed lately, by content.
#[derive(Debug, Default)]
struct Recent {
    digests: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Recent {
    fn has(&self, digest: &[u8; 16]) -> bool {
        self.digests.contains(digest)
    }

    fn add(&mut self, digest: [u8; 16]) {
        if !self.digests.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }
}

fn digest(message: &Message) -> [u8; 16] {
    let digest = Sha256::digest(message.text());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    bytes
}

/// The time that the PBX stamped on it (`timestampevents`: seconds and microseconds), if it can be believed.
fn stamp_ms(message: &Message, received_ms: Millis) -> Option<Millis> {
    let (seconds, micros) = message.value("Timestamp")?.split_once('.')?;
    let millis = micros.get(..3)?.parse::<Millis>().ok()?;
    let at = seconds.parse::<Millis>().ok()?.checked_mul(1_000)?.checked_add(millis);
    believable(at, received_ms)
}

/// Whether its time has come. Polls it, which waking it up needs.
async fn is_over(at: &mut Pin<Box<Sleep>>) -> bool {
    tokio::select! {
        biased;
        () = at => true,
        () = future::ready(()) => false,
    }
}

/// Messages of one push.
pub const PUSHED_AT_ONCE_MAX: usize = 1_000;
/// Endings are held back for less long.
const AHEAD_MS: Millis = 10 * SECOND;
/// PBXs whose pushes one process takes.
const TAKERS_MAX: usize = 1_000;
const FULL: &str = "this process takes the pushes of as many PBXs as it can";
/// Messages that are known again: some minutes of a busy PBX.
const RECENT_MAX: usize = 20_000;
/// A PBX that pushed nothing for so long is let go.
const IDLE_MS: Millis = 15 * MINUTE;
