//! What keeps the state small: channels that hung up are remembered for a while, messages are kept back up to a number.

use super::Heard;
use crate::{
    ami::Message,
    domain::time::{MINUTE, Millis},
};
use std::collections::{HashMap, VecDeque};

/// Ids that are over. Messages about a channel come after its `Hangup`, so it must not be taken for a new one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tombstones {
    until_ms: HashMap<String, Millis>,
    order: VecDeque<(Millis, String)>,
}

impl Tombstones {
    pub(super) fn bury(&mut self, id: &str, now_ms: Millis) {
        let until_ms = now_ms.saturating_add(TOMBSTONE_MS);
        self.until_ms.insert(id.to_owned(), until_ms);
        self.order.push_back((until_ms, id.to_owned()));
    }

    pub(super) fn holds(&self, id: &str) -> bool {
        self.until_ms.contains_key(id)
    }

    /// Forgets what is old, and the oldest where there are too many. Says what was forgotten.
    pub(super) fn prune(&mut self, now_ms: Millis) -> Vec<String> {
        let mut forgotten = Vec::new();
        while self.order.front().is_some_and(|(until_ms, _)| *until_ms <= now_ms) || self.order.len() > TOMBSTONES_MAX {
            let Some((until_ms, id)) = self.order.pop_front() else { break };
            // An id may have been buried again since.
            if self.until_ms.get(&id) == Some(&until_ms) {
                self.until_ms.remove(&id);
                forgotten.push(id);
            }
        }
        forgotten
    }
}

/// Messages that wait for the channel list.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptBack {
    messages: VecDeque<(Message, Heard)>,
    bytes: usize,
    overflowed: bool,
}

impl KeptBack {
    /// Keeps one. Past the limit all are dropped, because a stream with a hole is worth nothing: a new list is needed.
    pub(super) fn push(&mut self, message: Message, heard: Heard) {
        if self.overflowed {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes_of(&message));
        if self.messages.len() >= KEPT_BACK_MAX || self.bytes > KEPT_BACK_BYTES_MAX {
            self.messages = VecDeque::new();
            self.overflowed = true;
            return;
        }
        self.messages.push_back((message, heard));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().map(|(message, _)| message)
    }

    pub(super) fn into_messages(self) -> (VecDeque<(Message, Heard)>, bool) {
        (self.messages, self.overflowed)
    }

    pub(super) const fn has_overflowed(&self) -> bool {
        self.overflowed
    }
}

/// About what a message takes in memory.
fn bytes_of(message: &Message) -> usize {
    message.headers().map(|(key, value)| key.len() + value.len() + HEADER_BYTES).sum()
}

/// For how long an id that is over is remembered.
const TOMBSTONE_MS: Millis = 10 * MINUTE;
/// How many are remembered at most: 80 calls a second for ten minutes.
const TOMBSTONES_MAX: usize = 50_000;
/// Messages kept back while a channel list is awaited.
const KEPT_BACK_MAX: usize = 100_000;
/// Bytes they may take.
const KEPT_BACK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a header takes beside its text, at most.
const HEADER_BYTES: usize = 48;
/// Longer ids, names and devices are ignored: Asterisk's own limit of a Uniqueid is 149, of a channel's name 80.
pub(super) const TEXT_BYTES_MAX: usize = 200;

/// A text of theirs that may be kept.
pub(super) fn short(text: &str) -> Option<&str> {
    (text.len() <= TEXT_BYTES_MAX).then_some(text)
}

/// Channels followed at once; a PBX with more is not one that Asterisk can be.
pub(super) const CHANNELS_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_remembered_for_ten_minutes() {
        let mut stones = Tombstones::default();
        stones.bury("a", 0);
        stones.bury("b", 1);
        stones.bury("a", 2);
        assert!(stones.prune(TOMBSTONE_MS - 1).is_empty());
        assert_eq!(stones.prune(TOMBSTONE_MS + 1), ["b"]);
        assert!(stones.holds("a") && !stones.holds("b"));
        assert_eq!(stones.prune(TOMBSTONE_MS + 2), ["a"]);
    }

    #[test]
    fn no_more_are_remembered_than_the_limit() {
        let mut stones = Tombstones::default();
        for n in 0..=TOMBSTONES_MAX {
            stones.bury(&n.to_string(), 0);
        }
        assert_eq!(stones.prune(0), ["0"]);
        assert_eq!(stones.order.len(), TOMBSTONES_MAX);
    }

    #[test]
    fn a_few_huge_messages_are_too_many_as_well() {
        let mut kept = KeptBack::default();
        let heard = Heard { received_ms: 0, at_ms: None };
        let huge = Message::new(vec![("Event".to_owned(), "x".repeat(1024 * 1024))]);
        for _ in 0..63 {
            kept.push(huge.clone(), heard);
        }
        assert!(!kept.has_overflowed());
        kept.push(huge, heard);
        assert!(kept.has_overflowed() && kept.into_messages().0.is_empty());
    }

    #[test]
    fn past_the_limit_nothing_is_kept_back() {
        let mut kept = KeptBack::default();
        let heard = Heard { received_ms: 0, at_ms: None };
        for _ in 0..=KEPT_BACK_MAX {
            kept.push(Message::default(), heard);
        }
        assert!(kept.has_overflowed());
        let (messages, overflowed) = kept.into_messages();
        assert!(messages.is_empty() && overflowed);
    }
}
