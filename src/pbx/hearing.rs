//! What a PBX tells, taken in the order of its stream.

use super::{
    State,
    held::{AUDIT_FIRST_MS, Held},
    line::Line,
    truth::{Listed, Question, away},
};
use crate::{
    ami::{
        Snapshot,
        client::{Down, DownKind, Told, Up},
        correlator::Gap,
    },
    domain::time::{Millis, SECOND},
    provider::Trouble,
};

impl Held {
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Up(up) => self.up(up),
            Told::Message(message, heard) => {
                self.row.events = self.row.events.saturating_add(1);
                self.row.event_ms = Some(heard.received_ms);
                self.shared.metrics.pbx().message();
                if self.is_in_sync() {
                    self.heard_ms = self.heard_ms.max(Some(heard.received_ms));
                }
                self.message(&message, heard);
            }
            Told::Listed(snapshot) => self.listed(&snapshot),
            Told::Down(down) => self.down(&down),
        }
    }

    /// Whether everything that is told is understood: there is a connection, and a channel list came on it.
    pub(super) fn is_in_sync(&self) -> bool {
        self.lost_ms.is_none()
    }

    fn up(&mut self, up: Up) {
        let Up { login_ms, ami_version, version, system_name, boot_ms, clock_ahead_ms } = up;
        let known_ms = self.row.boot_ms;
        let restarted_ms = boot_ms.filter(|boot| known_ms.is_some_and(|known| *boot > known + BOOT_SLACK_MS));
        self.gap = Some(Gap { heard_ms: self.heard_ms, restarted_ms });
        self.boot_ms = boot_ms;
        self.row.ami_version = Some(ami_version);
        self.row.version = version.or(self.row.version.take());
        self.row.system_name = system_name.or(self.row.system_name.take());
        self.row.clock_ahead_ms = Some(clock_ahead_ms);
        self.correlator.connected(login_ms);
        self.set_state(State::Syncing, None);
    }

    fn listed(&mut self, snapshot: &Snapshot) {
        let now_ms = self.shared.clock.now_ms();
        let signals = match self.gap.take() {
            Some(gap) => self.resync(snapshot, gap, now_ms),
            None => self.correlator.audit(snapshot),
        };
        self.row.synced_ms = Some(snapshot.listed_ms);
        self.row.channels = i64::try_from(snapshot.channels.len()).ok();
        self.keep(signals, now_ms);
        self.listed = Some(Listed::of(snapshot));
        for question in std::mem::take(&mut self.waiting) {
            self.answer(question);
        }
        self.face.show(&self.row);
    }

    fn resync(&mut self, snapshot: &Snapshot, gap: Gap, now_ms: Millis) -> Vec<crate::domain::signal::Signal> {
        let signals = self.correlator.resync(snapshot, gap);
        let was_heard = gap.heard_ms.is_some();
        self.row.resyncs = self.row.resyncs.saturating_add(1);
        self.row.gaps = self.row.gaps.saturating_add(i64::from(was_heard));
        self.shared.metrics.pbx().resynced(was_heard);
        // The same boot is measured a little differently each time.
        let is_same =
            |known: Millis| self.boot_ms.is_some_and(|boot| known.abs_diff(boot) <= BOOT_SLACK_MS.unsigned_abs());
        if !self.row.boot_ms.is_some_and(is_same) {
            self.row.boot_ms = self.boot_ms.or(self.row.boot_ms);
        }
        self.lost_ms = None;
        self.heard_ms = self.heard_ms.max(Some(snapshot.listed_ms));
        self.audit_ms = Some(now_ms.saturating_add(AUDIT_FIRST_MS));
        self.set_state(State::Connected, None);
        tracing::info!(
            tenant = self.key.tenant,
            account = self.key.account,
            channels = snapshot.channels.len(),
            learned = signals.len(),
            restarted = gap.restarted_ms.is_some(),
            not_heard_for_ms = gap.heard_ms.map(|heard| snapshot.asked_ms.saturating_sub(heard)),
            "the PBX is heard, and its channel list was compared with the calls that are known"
        );
        signals
    }

    fn down(&mut self, down: &Down) {
        let now_ms = self.shared.clock.now_ms();
        let was_up = self.is_in_sync() || self.gap.is_some();
        if self.is_in_sync() {
            self.heard_ms = self.heard_ms.max(down.heard_ms);
        }
        self.lost_ms.get_or_insert(now_ms);
        (self.gap, self.audit_ms, self.listed) = (None, None, None);
        self.correlator.disconnected();
        self.ask_no_more();
        let state = match down.kind {
            DownKind::Stopped => return,
            DownKind::Refused => State::Refused,
            DownKind::Unreachable
            | DownKind::Tls
            | DownKind::Closed
            | DownKind::Silent
            | DownKind::Garbage
            | DownKind::Behind => State::Down,
        };
        let is_news = was_up || self.row.state != state.as_str();
        if is_news {
            let (kind, detail) = (down.kind.as_str(), &down.detail);
            tracing::warn!(
                tenant = self.key.tenant,
                account = self.key.account,
                kind,
                "failed to {detail}; the PBX is not heard, it is tried again by itself, and what is missed is learned from its \
                 next channel list"
            );
        }
        self.set_state(state, Some(&down.detail));
    }

    /// Takes a question.
    pub(super) fn asked(&mut self, question: Question, line: &Line) {
        if !self.is_in_sync() || self.waiting.len() >= QUESTIONS_MAX {
            return question.fail(self.away());
        }
        let now_ms = self.shared.clock.now_ms();
        let is_fresh = self.listed.as_ref().is_some_and(|listed| listed.is_fresh(now_ms));
        match question {
            Question::Look(..) if is_fresh => self.answer(question),
            question => {
                self.waiting.push(question);
                line.far.list();
            }
        }
    }

    /// Answers from the last channel list.
    fn answer(&self, question: Question) {
        let Some(listed) = &self.listed else { return question.fail(self.away()) };
        // Whoever waited no more does not hear it.
        match question {
            Question::Live(answer) => drop(answer.send(Ok(listed.signs(&self.key)))),
            Question::Look(id, answer) => {
                let is_open = self.correlator.follows(&id) || self.buffer.holds(&id);
                let said = match (listed.has(&id), is_open) {
                    (true, _) => Some(listed.sign(&self.key, &id)),
                    (false, true) => None,
                    (false, false) => Some(listed.absence(&self.key, &id, self.shared.rules.if_answered)),
                };
                drop(answer.send(Ok(said)));
            }
        }
    }

    /// There is no list to answer from any more.
    pub(super) fn ask_no_more(&mut self) {
        let trouble = self.away();
        for question in std::mem::take(&mut self.waiting) {
            question.fail(trouble.clone());
        }
    }

    fn away(&self) -> Trouble {
        away(&self.key.account, "there is no connection to it now")
    }
}

/// The time at which a PBX began to run is known to a second or two.
const BOOT_SLACK_MS: Millis = 2 * SECOND;
/// Questions that wait for one channel list.
const QUESTIONS_MAX: usize = 1_000;
