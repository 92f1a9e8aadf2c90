//! What was heard and is not durable yet: bounded, in the order in which it was heard.
//!
//! While the database is away it grows. When it is full, what comes is dropped and counted: the stream has a hole then,
//! which the next channel list closes, once what waited is written. What a list says has a room of its own: it is one for
//! each channel, and a hole for want of room would only ask for the next list.

use crate::{domain::time::Millis, ingest::Submission};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Buffer {
    waiting: VecDeque<Submission>,
    /// Of these: messages, and what lists and the time say.
    told: Fill,
    listed: Fill,
    /// The moment of what is being written, if something is.
    writing_ms: Option<Millis>,
    /// Since when there is a hole.
    hole_ms: Option<Millis>,
    max: usize,
}

/// How much of a room is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fill {
    count: usize,
    bytes: usize,
}

impl Buffer {
    pub(super) fn new(max: usize) -> Self {
        let (waiting, told, listed) = Default::default();
        Self { waiting, told, listed, writing_ms: None, hole_ms: None, max }
    }

    fn fill(&mut self, of: &Submission) -> &mut Fill {
        if of.delivery.is_some() { &mut self.told } else { &mut self.listed }
    }

    fn add(&mut self, one: &Submission) {
        let fill = self.fill(one);
        fill.count = fill.count.saturating_add(1);
        fill.bytes = fill.bytes.saturating_add(size(one));
    }

    fn has_room(&self, one: &Submission) -> bool {
        let bytes = size(one);
        match one.delivery {
            Some(_) => self.told.count < self.max && self.told.bytes.saturating_add(bytes) <= BYTES_MAX,
            None => self.listed.bytes.saturating_add(bytes) <= LISTED_BYTES_MAX,
        }
    }

    /// Keeps it. `false`: there was no room, and there is none until what waits is written.
    pub(super) fn push(&mut self, submission: Submission, now_ms: Millis) -> bool {
        if self.hole_ms.is_some() || !self.has_room(&submission) {
            self.hole_ms.get_or_insert(now_ms);
            return false;
        }
        self.add(&submission);
        self.waiting.push_back(submission);
        true
    }

    /// Takes what is to be written next, unless something is being written.
    pub(super) fn take(&mut self) -> Option<Vec<Submission>> {
        if self.writing_ms.is_some() {
            return None;
        }
        let first_ms = self.waiting.front().map(heard_ms)?;
        let batch: Vec<_> = self.waiting.drain(..self.waiting.len().min(BATCH_MAX)).collect();
        for one in &batch {
            let fill = self.fill(one);
            fill.count = fill.count.saturating_sub(1);
            fill.bytes = fill.bytes.saturating_sub(size(one));
        }
        self.writing_ms = Some(first_ms);
        Some(batch)
    }

    /// What was taken is durable but for these, which come first again.
    pub(super) fn written(&mut self, left: Vec<Submission>) {
        self.writing_ms = None;
        for one in left.into_iter().rev() {
            self.add(&one);
            self.waiting.push_front(one);
        }
    }

    /// Something was left out: a hole.
    pub(super) fn tear(&mut self, now_ms: Millis) {
        self.hole_ms.get_or_insert(now_ms);
    }

    /// What was taken is gone, durable or not: a hole.
    pub(super) fn lose(&mut self, now_ms: Millis) {
        let since_ms = self.writing_ms.take().unwrap_or(now_ms);
        self.hole_ms.get_or_insert(since_ms);
    }

    /// Whether all that was kept is durable.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.writing_ms.is_none()
    }

    /// Since when there is a hole in what was kept.
    pub(super) const fn hole_ms(&self) -> Option<Millis> {
        self.hole_ms
    }

    /// Whether something of this leg waits to be written, or may.
    pub(super) fn holds(&self, provider_id: &str) -> bool {
        let speaks = |one: &Submission| one.signals.iter().any(|signal| signal.leg.provider_id == provider_id);
        self.writing_ms.is_some() || self.waiting.iter().any(speaks)
    }

    /// Up to when everything that was heard is durable; None: all of it is.
    pub(super) fn durable_to_ms(&self) -> Option<Millis> {
        let first = self.waiting.front().map(heard_ms);
        [self.writing_ms, first, self.hole_ms].into_iter().flatten().min()
    }
}

fn heard_ms(submission: &Submission) -> Millis {
    submission.signals.iter().map(|signal| signal.received_ms).min().unwrap_or_default()
}

/// About what it takes in memory.
fn size(submission: &Submission) -> usize {
    let delivery = submission.delivery.as_ref().map_or(0, |row| row.body.len());
    delivery.saturating_add(submission.signals.len().saturating_mul(SIGNAL_BYTES))
}

/// What waits while the database is away: some five minutes of a PBX with ten calls a second.
pub(super) const WAITING_MAX: usize = 20_000;
/// And what it may take in memory.
const BYTES_MAX: usize = 64 << 20;
/// What lists say may take so much: three signals of each of as many channels as are listened to.
const LISTED_BYTES_MAX: usize = 160 << 20;
const SIGNAL_BYTES: usize = 1_000;
/// What is submitted at once: as much as one transaction takes.
const BATCH_MAX: usize = crate::ingest::AT_ONCE_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::Leg,
        signal::{Claim, Signal, Witness},
    };

    fn heard(id: &str, received_ms: Millis) -> Submission {
        let leg = Leg { provider_id: id.into(), account: "pbx1".into() };
        let (witness, claim, at) = (Witness::Callback, Claim::Alive, Some(received_ms));
        let (details, link, sequence) = (Default::default(), None, None);
        let signal = Signal { leg, witness, claim, at, sequence, details, link, received_ms };
        let (tenant, provider) = ("acme".to_owned(), "asterisk");
        Submission { tenant, provider, delivery: None, signals: vec![signal], ask: Vec::new(), decision: None }
    }

    fn ids(batch: &[Submission]) -> Vec<&str> {
        batch.iter().map(|one| one.signals[0].leg.provider_id.as_str()).collect()
    }

    #[test]
    fn what_could_not_be_written_comes_first_again() {
        let mut buffer = Buffer::new(9);
        assert!(buffer.is_empty() && buffer.take().is_none());
        assert!(buffer.push(heard("a", 1), 1) && buffer.push(heard("b", 2), 2));
        let batch = buffer.take().unwrap();
        assert_eq!(ids(&batch), ["a", "b"]);
        assert!(buffer.push(heard("c", 3), 3));
        assert!(buffer.take().is_none(), "one after the other");
        assert_eq!(buffer.durable_to_ms(), Some(1));
        assert!(buffer.holds("a") && !buffer.is_empty());
        buffer.written(vec![heard("b", 2)]);
        assert_eq!(buffer.durable_to_ms(), Some(2));
        assert!(!buffer.holds("a") && buffer.holds("b"));
        assert_eq!(ids(&buffer.take().unwrap()), ["b", "c"]);
        buffer.written(Vec::new());
        assert!(buffer.is_empty() && buffer.durable_to_ms().is_none());
        assert_eq!((buffer.told, buffer.listed), (Fill::default(), Fill::default()));
    }

    #[test]
    fn what_a_long_list_says_makes_no_hole() {
        let mut buffer = Buffer::new(2);
        for n in 0..150_000 {
            assert!(buffer.push(heard("a", n), n), "{n}");
        }
        while buffer.push(heard("a", 1), 1) {}
        assert_eq!(buffer.hole_ms(), Some(1), "it has an end all the same");
    }

    #[test]
    fn when_it_is_full_there_is_a_hole_from_there_on() {
        let told = |id: &str, received_ms| {
            let delivery = Some(crate::store::deliveries::DeliveryRow::default());
            Submission { delivery, ..heard(id, received_ms) }
        };
        let mut buffer = Buffer::new(2);
        assert!(buffer.push(told("a", 1), 1) && buffer.push(told("b", 2), 2));
        assert!(!buffer.push(told("c", 3), 3));
        buffer.take().unwrap();
        buffer.written(Vec::new());
        assert!(!buffer.push(heard("d", 4), 4), "what follows a hole is of no use");
        assert_eq!((buffer.hole_ms(), buffer.durable_to_ms()), (Some(3), Some(3)));
    }
}
