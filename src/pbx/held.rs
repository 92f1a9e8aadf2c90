//! A PBX that this process listens to: one task that reads, keeps its lease, and writes what it heard, none of which
//! waits for another.

use super::{
    Shared, State,
    asking::{Done, Request},
    buffer::Buffer,
    face::Face,
    heard::{self, Key, Users},
    keeping::Kept,
    line::{Line, LineFigures},
    stored::{load_known, rules},
    truth::{Listed, Question},
    wanted::Account,
    writing::Written,
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
    store::{extensions::PbxExtension, pbx::PbxRow},
};
use std::{collections::BTreeMap, future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

/// The task of one PBX.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) key: Key,
    pub(super) account: Account,
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
    pub(super) users: (Option<Millis>, Users),
    pub(super) writing: Option<JoinHandle<Written>>,
    /// What the PBX is being asked to do.
    pub(super) asking: JoinSet<Done>,
    pub(super) renewing: Option<JoinHandle<Kept>>,
    /// Ends when the lease that was last taken does: nothing is written after it.
    pub(super) fence: Pin<Box<Sleep>>,
    pub(super) is_fenced: bool,
    pub(super) renew_at: Pin<Box<Sleep>>,
}

/// By which others come in.
pub(super) struct Doors {
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) requests: mpsc::Receiver<Request>,
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
            asking: JoinSet::new(),
            renewing: None,
            fence,
            is_fenced: false,
            renew_at,
        }
    }

    /// Listens until stopped or until another process has the PBX. What was heard is written before it is let go.
    pub(super) async fn run(mut self, mut doors: Doors, stop: CancellationToken) {
        loop {
            let Some(known) = self.load(&stop).await else { break };
            let earlier = std::mem::replace(&mut self.correlator, Correlator::new(rules(&self.shared, &self.key)));
            self.correlator.restore(known);
            self.correlator.await_again(&earlier);
            let closing = CancellationToken::new();
            let _close = closing.clone().drop_guard();
            self.line_dropped = 0;
            let mut line = self.shared.connect.connect(self.account.target.clone(), closing.clone());
            let over = self.follow(&mut line, &mut doors, &stop).await;
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

    async fn follow(&mut self, line: &mut Line, doors: &mut Doors, stop: &CancellationToken) -> Over {
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
                // Few, and quickly done: a stream that never pauses must not hold them up.
                Some(done) = self.asking.join_next() => self.done(done),
                Some(request) = doors.requests.recv() => self.requested(request, line),
                told = line.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => return Over::Closed,
                },
                Some(question) = doors.questions.recv() => self.asked(question, line),
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
        if self.is_in_sync() && self.correlator.wants_list(now_ms) {
            line.far.list();
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
/// Until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a line may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// Phones of one PBX of which it is kept what they do.
const DEVICES_MAX: usize = 10_000;
