//! What extensions do: device states, hints and registrations, told once per change.

use crate::{ami::Message, domain::words};
use std::collections::{BTreeMap, BTreeSet};

words! {
    /// What the device of an extension does.
    pub enum DeviceState {
        /// It could be called.
        Available = "available",
        /// It speaks.
        InUse = "in-use",
        /// It rings.
        Ringing = "ringing",
        /// It holds a call.
        OnHold = "on-hold",
        /// It is not registered.
        Unavailable = "unavailable",
        /// Asterisk does not know.
        Unknown = "unknown",
    }
}

/// An extension does something else than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionChange {
    /// The extension, such as `2001`.
    pub extension: String,
    /// What its device does now.
    pub device: DeviceState,
}

/// What every extension does.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    now: BTreeMap<String, DeviceState>,
    changed: BTreeSet<String>,
    /// Those with a hint: it may join several devices, so it counts more than one of them.
    hinted: BTreeSet<String>,
}

impl Board {
    /// Takes the state of an extension by its hint.
    pub(super) fn read_hint(&mut self, message: &Message) {
        let Some(extension) = message.value("Exten").filter(|exten| exten.len() <= EXTENSION_BYTES_MAX) else { return };
        let Some(device) = message.value("Status").and_then(|status| status.parse().ok()).map(of_hint) else { return };
        if self.hinted.len() < EXTENSIONS_MAX {
            self.hinted.insert(extension.to_owned());
        }
        self.set(extension, device);
    }

    /// Takes the state of a device.
    pub(super) fn read_device(&mut self, extension: &str, state: &str) {
        if !self.hinted.contains(extension) {
            self.set(extension, of_device(state));
        }
    }

    /// Takes whether a phone is registered or answers.
    pub(super) fn read_peer(&mut self, extension: &str, status: &str) {
        let known = self.now.get(extension).copied().unwrap_or(DeviceState::Unknown);
        match status {
            "Unreachable" | "Unregistered" | "Rejected" => self.set(extension, DeviceState::Unavailable),
            "Reachable" | "Registered" if matches!(known, DeviceState::Unavailable | DeviceState::Unknown) => {
                self.set(extension, DeviceState::Available);
            }
            _ => {}
        }
    }

    fn set(&mut self, extension: &str, device: DeviceState) {
        if self.now.get(extension) == Some(&device) {
            return;
        }
        if self.now.len() < EXTENSIONS_MAX || self.now.contains_key(extension) {
            self.now.insert(extension.to_owned(), device);
            self.changed.insert(extension.to_owned());
        }
    }

    /// What has changed since the last time: one entry per extension.
    pub(super) fn take(&mut self) -> Vec<ExtensionChange> {
        let changed = std::mem::take(&mut self.changed);
        let state = |extension: String| {
            let device = *self.now.get(&extension)?;
            Some(ExtensionChange { extension, device })
        };
        changed.into_iter().filter_map(state).collect()
    }
}

/// A bit mask: 1 in use, 2 busy, 4 unavailable, 8 ringing, 16 on hold; −1 and −2: the hint or the extension is gone.
#[rustfmt::skip]
const fn of_hint(status: i32) -> DeviceState {
    match status {
        0                                   => DeviceState::Available,
        status if status < 0                => DeviceState::Unknown,
        status if status & 4 != 0           => DeviceState::Unavailable,
        status if status & 3 != 0 && status & 16 == 0 => DeviceState::InUse,
        status if status & 16 != 0          => DeviceState::OnHold,
        status if status & 8 != 0           => DeviceState::Ringing,
        _                                   => DeviceState::Unknown,
    }
}

#[rustfmt::skip]
fn of_device(state: &str) -> DeviceState {
    match state {
        "NOT_INUSE"                   => DeviceState::Available,
        "INUSE" | "BUSY" | "RINGINUSE" => DeviceState::InUse,
        "RINGING"                     => DeviceState::Ringing,
        "ONHOLD"                      => DeviceState::OnHold,
        "UNAVAILABLE" | "INVALID"     => DeviceState::Unavailable,
        _                             => DeviceState::Unknown,
    }
}

/// Extensions followed at most.
pub(super) const EXTENSIONS_MAX: usize = 20_000;
/// Longer names are ignored.
const EXTENSION_BYTES_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(extension: &str, status: &str) -> Message {
        let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Message::new(vec![header("Exten", extension), header("Status", status)])
    }

    fn taken(board: &mut Board) -> Vec<(String, DeviceState)> {
        board.take().into_iter().map(|change| (change.extension, change.device)).collect()
    }

    #[test]
    fn changes_are_told_once_and_the_last_one_counts() {
        let mut board = Board::default();
        board.read_device("2001", "RINGING");
        board.read_device("2001", "INUSE");
        board.read_device("2002", "NOT_INUSE");
        let now = [("2001".to_owned(), DeviceState::InUse), ("2002".to_owned(), DeviceState::Available)];
        assert_eq!(taken(&mut board), now);
        board.read_device("2001", "INUSE");
        assert!(taken(&mut board).is_empty());
    }

    #[test]
    fn a_hint_counts_more_than_one_device_of_it() {
        let mut board = Board::default();
        board.read_hint(&hint("2001", "1"));
        board.read_device("2001", "NOT_INUSE");
        assert_eq!(taken(&mut board), [("2001".to_owned(), DeviceState::InUse)]);
        for (status, device) in
            [("8", "ringing"), ("16", "on-hold"), ("9", "in-use"), ("17", "on-hold"), ("4", "unavailable")]
        {
            board.read_hint(&hint("2001", status));
            assert_eq!(taken(&mut board).pop().map(|(_, state)| state.as_str()), Some(device), "{status}");
        }
        board.read_hint(&hint("2001", "-2"));
        assert_eq!(taken(&mut board), [("2001".to_owned(), DeviceState::Unknown)]);
    }

    #[test]
    fn a_phone_that_registers_becomes_available_but_one_that_speaks_goes_on() {
        let mut board = Board::default();
        board.read_peer("2001", "Reachable");
        board.read_device("2002", "INUSE");
        board.read_peer("2002", "Reachable");
        board.read_peer("2003", "Unreachable");
        let states: Vec<_> = taken(&mut board).into_iter().map(|(_, state)| state).collect();
        assert_eq!(states, [DeviceState::Available, DeviceState::InUse, DeviceState::Unavailable]);
    }
}
