//! A PBX that this process listens to: one task that reads, keeps its lease, and writes what it heard, none of which
//! waits for another.

use super::{
    Shared, State,
    buffer::Buffer,
    face::Face,
    heard::{self, Key, Users},
    keeping::Kept,
    line::{Line, LineFigures},
    stored::{load_known, rules, submit},
    truth::{Listed, Question},
    wanted::Account,
};
use crate::{
    ami::{
        Message,
        correlator::{Correlator, Gap, Heard, Known},
    },
    domain::{
        signal::Signal,
        time::{MINUTE, Millis, SECOND},
    },
    ingest::Submission,
    store::{extensions::PbxExtension, pbx::PbxRow},
};
use std::{collections::BTreeMap, future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

/// The task of one PBX.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    account: Account,
    /// What its row will say.
    pub(super) row: PbxRow,
    pub(super) face: Arc<Face>,
    pub(super) correlator: Correlator,
    pub(super) buffer: Buffer,
    /// Who waits for the next channel list.
    pub(super) waiting: Vec<Question>,
    pub(super) listed: Option<Listed>,
    /// Since when it was not heard, from a cut to the channel list that closes the gap.
    pub(super) gap: Option<Gap>,
    /// The last byte of this connection, or of the one before.
    pub(super) heard_ms: Option<Millis>,
    /// When the PBX began to run, as this connection says.
    pub(super) boot_ms: Option<Millis>,
    /// Since when it is not heard and understood; None: it is.
    pub(super) lost_ms: Option<Millis>,
    /// When the next channel list is asked for by itself.
    pub(super) audit_ms: Option<Millis>,
    /// What was said of phones since the row was last written.
    pub(super) devices: BTreeMap<String, PbxExtension>,
    /// What this line dropped, as last counted.
    pub(super) line_dropped: u64,
    /// How many messages were kept as deliveries: tells equal ones apart.
    stamps: u64,
    users: (Option<Millis>, Users),
    writing: Option<JoinHandle<Written>>,
    pub(super) renewing: Option<JoinHandle<Kept>>,
    /// Ends when the lease that was last taken does: nothing is written after it.
    pub(super) fence: Pin<Box<Sleep>>,
    pub(super) is_fenced: bool,
    pub(super) renew_at: Pin<Box<Sleep>>,
}

/// What became of a batch.
struct Written {
    /// What is not durable.
    left: Vec<Submission>,
    /// The users that were read before it, if they were.
    users: Option<Users>,
}

/// Why a line was left.
enum Over {
    /// The gateway stops, or the PBX is to be held otherwise.
    Stopped,
    /// Another process has the PBX.
    Lost,
    /// It ended by itself.
    Closed,
    /// What was heard has a hole, and all that came before it is written.
    Hole,
}

impl Held {
    pub(super) fn new(
        shared: Arc<Shared>,
        key: Key,
        account: Account,
        row: PbxRow,
        face: Arc<Face>,
        fence: Sleep,
    ) -> Self {
        let correlator = Correlator::new(rules(&shared, &key));
        let (now_ms, fence) = (shared.clock.now_ms(), Box::pin(fence));
        let renew_at = Box::pin(sleep(shared.pace.renew));
        let buffer = Buffer::new(shared.pace.waiting_max);
        let heard_ms = row.heard_ms;
        Self {
            shared,
            key,
            account,
            row,
            face,
            correlator,
            buffer,
            waiting: Vec::new(),
            listed: None,
            gap: None,
            heard_ms,
            boot_ms: None,
            lost_ms: Some(now_ms),
            audit_ms: None,
            devices: BTreeMap::new(),
            line_dropped: 0,
            stamps: 0,
            users: (None, Users::default()),
            writing: None,
            renewing: None,
            fence,
            is_fenced: false,
            renew_at,
        }
    }

    /// Listens until stopped or until another process has the PBX. What was heard is written before it is let go.
    pub(super) async fn run(mut self, mut questions: mpsc::Receiver<Question>, stop: CancellationToken) {
        loop {
            let Some(known) = self.load(&stop).await else { break };
            self.correlator = Correlator::new(rules(&self.shared, &self.key));
            self.correlator.restore(known);
            let closing = CancellationToken::new();
            let _close = closing.clone().drop_guard();
            self.line_dropped = 0;
            let mut line = self.shared.connect.connect(self.account.target.clone(), closing.clone());
            let over = self.follow(&mut line, &mut questions, &stop).await;
            closing.cancel();
            self.ask_no_more();
            if tokio::time::timeout(CLOSE_WITHIN, line.far.ended()).await.is_err() {
                tracing::debug!(account = self.key.account, "a line to a PBX did not close in time; it is dropped");
            }
            match over {
                Over::Hole => self.begin_again(),
                Over::Closed => {
                    self.begin_again();
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = sleep(AGAIN) => {}
                    }
                }
                Over::Stopped => {
                    self.close();
                    break;
                }
                Over::Lost => return,
            }
        }
        self.write_out().await;
        self.let_go().await;
    }

    /// What of its calls lives, as it was stored. Tries until it can be read. `None`: stopped, or the lease is over.
    async fn load(&mut self, stop: &CancellationToken) -> Option<Vec<Known>> {
        loop {
            let (shared, key) = (self.shared.clone(), self.key.clone());
            let mut loading = Box::pin(async move { load_known(&shared, &key).await });
            let loaded = loop {
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = &mut self.fence => return None,
                    loaded = &mut loading => break loaded,
                    kept = joined(&mut self.renewing) => {
                        self.renewing = None;
                        if !self.kept(kept) {
                            return None;
                        }
                    }
                    // Many calls take long to read.
                    () = &mut self.renew_at, if self.renewing.is_none() => self.renew(LineFigures::default()),
                }
            };
            match loaded {
                Ok(known) => return Some(known),
                Err(error) => {
                    let account = &self.key.account;
                    tracing::warn!(account, "failed to {error}; the live calls of the PBX are read again in a second");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = &mut self.fence => return None,
                () = sleep(AGAIN) => {}
            }
        }
    }

    async fn follow(
        &mut self,
        line: &mut Line,
        questions: &mut mpsc::Receiver<Question>,
        stop: &CancellationToken,
    ) -> Over {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Over::Stopped,
                () = &mut self.fence, if !self.is_fenced => self.fence_off(),
                kept = joined(&mut self.renewing) => {
                    self.renewing = None;
                    if !self.kept(kept) {
                        return Over::Lost;
                    }
                }
                () = &mut self.renew_at, if self.renewing.is_none() => self.renew(line.far.figures()),
                written = joined(&mut self.writing) => self.written(written),
                told = line.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => return Over::Closed,
                },
                Some(question) = questions.recv() => self.asked(question, line),
                () = sleep(self.shared.pace.beat) => {}
            }
            self.beat(line);
            if self.buffer.hole_ms().is_some() && self.buffer.is_empty() {
                return Over::Hole;
            }
        }
    }

    /// What is due by the clock.
    fn beat(&mut self, line: &Line) {
        let now_ms = self.shared.clock.now_ms();
        // Whatever its time: that may have been set before our clock was set back.
        let signals = self.correlator.tick(now_ms);
        self.keep(signals, now_ms);
        // One that is further ahead than any can be was set before the clock was set back.
        if self.audit_ms.is_some_and(|at| at <= now_ms || at > now_ms.saturating_add(AUDIT_EVERY_MS)) {
            self.audit_ms = Some(now_ms.saturating_add(AUDIT_EVERY_MS));
            match self.correlator.needs_resync() {
                // It had to leave something out: a new connect and its list make it whole.
                true => self.buffer.tear(now_ms),
                false => line.far.list(),
            }
        }
        if !self.is_fenced && self.writing.is_none() {
            self.write();
        }
    }

    /// Takes a message of the world.
    pub(super) fn message(&mut self, message: &Message, heard: Heard) {
        let signals = self.correlator.absorb(message, heard);
        for change in self.correlator.extensions() {
            if self.devices.len() < DEVICES_MAX || self.devices.contains_key(&change.extension) {
                self.devices.insert(change.extension.clone(), self.key.device(change, heard));
            }
        }
        if signals.is_empty() {
            return;
        }
        self.stamps = self.stamps.wrapping_add(1);
        let stamp = format!("{} {} {}", self.row.token, self.stamps, heard.received_ms);
        let submission = self.key.delivered(message, heard, signals, &stamp, heard::AMI);
        self.push(submission, heard.received_ms);
    }

    /// Keeps signals that no message stands behind, to be written.
    pub(super) fn keep(&mut self, signals: Vec<Signal>, now_ms: Millis) {
        for signal in signals {
            let submission = self.key.submission(signal);
            self.push(submission, now_ms);
        }
    }

    fn push(&mut self, submission: Submission, now_ms: Millis) {
        let was_whole = self.buffer.hole_ms().is_none();
        if self.buffer.push(submission, now_ms) {
            return;
        }
        self.row.dropped = self.row.dropped.saturating_add(1);
        self.shared.metrics.pbx().dropped(1);
        if was_whole {
            let Key { tenant, account } = &self.key;
            tracing::error!(
                tenant,
                account,
                waiting = self.shared.pace.waiting_max,
                "what a PBX tells cannot be written, and no more of it can be kept: it is dropped from here on, and learned \
                 from the channel list once the database takes writes again"
            );
        }
    }

    /// Writes what waits, in the background.
    fn write(&mut self) {
        let Some(batch) = self.buffer.take() else { return };
        let now_ms = self.shared.clock.now_ms();
        let is_old = self.users.0.is_none_or(|at| !(at..at.saturating_add(USERS_AGE_MS)).contains(&now_ms));
        let users = self.users.1.clone();
        if is_old {
            self.users.0 = Some(now_ms);
        }
        let (shared, key, region) = (self.shared.clone(), self.key.clone(), self.account.region.clone());
        self.writing = Some(tokio::spawn(async move {
            let fresh = match is_old {
                true => tokio::time::timeout(USERS_WITHIN, heard::load_users(&shared.db, &key)).await,
                false => Ok(Ok(users.clone())),
            };
            let fresh = fresh.ok().and_then(Result::ok);
            let users = fresh.clone().unwrap_or(users);
            let left = submit(&shared, &key, batch, &users, region.as_deref()).await;
            if !left.is_empty() {
                sleep(shared.pace.again).await;
            }
            Written { left, users: fresh }
        }));
    }

    fn written(&mut self, written: Option<Written>) {
        self.writing = None;
        let Some(Written { left, users }) = written else {
            // The task broke: what it had is gone, and the next channel list says what became of it.
            return self.buffer.lose(self.shared.clock.now_ms());
        };
        match users {
            Some(users) => self.users.1 = users,
            // Tried again with the next batch.
            None => self.users.0 = None,
        }
        self.buffer.written(left);
    }

    /// Endings that are held back are told: nobody will know of them later.
    fn close(&mut self) {
        let signals = self.correlator.close();
        self.keep(signals, self.shared.clock.now_ms());
    }

    /// Writes what waits before the PBX is let go, for a while.
    async fn write_out(&mut self) {
        let all = async {
            while !self.is_fenced {
                self.write();
                if self.writing.is_none() {
                    return;
                }
                let written = joined(&mut self.writing).await;
                self.written(written);
            }
        };
        tokio::select! {
            () = all => {}
            () = sleep(WRITE_OUT_WITHIN) => {}
        }
    }

    /// All is written up to a hole: what followed is learned from the rows and the next channel list.
    fn begin_again(&mut self) {
        let hole_ms = self.buffer.hole_ms();
        self.buffer = Buffer::new(self.shared.pace.waiting_max);
        self.heard_ms = hole_ms.or(self.heard_ms);
        self.lost_ms.get_or_insert(self.shared.clock.now_ms());
        self.set_state(State::Connecting, None);
        self.gap = None;
        self.audit_ms = None;
        self.listed = None;
    }
}

/// What a task came to, when there is one. `None`: it broke.
pub(super) async fn joined<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    match task {
        Some(task) => task.await.ok(),
        None => future::pending().await,
    }
}

/// Between two channel lists that nobody asked for, and the first one after a connect.
const AUDIT_EVERY_MS: Millis = 5 * MINUTE;
pub(super) const AUDIT_FIRST_MS: Millis = 30 * SECOND;
/// For how long it is believed whose an extension is, and how long reading that may hold up what was heard.
const USERS_AGE_MS: Millis = MINUTE;
const USERS_WITHIN: Duration = Duration::from_secs(2);
/// How long what waits may take to be written when the PBX is let go.
const WRITE_OUT_WITHIN: Duration = Duration::from_secs(8);
/// Until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a line may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// Phones of one PBX of which it is kept what they do.
const DEVICES_MAX: usize = 10_000;
