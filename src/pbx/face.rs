//! What the rest of the process sees of a PBX that is listened to here.

use super::{State, asking::Request, dialer::Here, heard::Key, truth::Question};
use crate::store::pbx::PbxRow;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

#[derive(Debug)]
pub(super) struct Face {
    row: Mutex<PbxRow>,
    questions: mpsc::Sender<Question>,
    requests: mpsc::Sender<Request>,
}

impl Face {
    pub(super) const fn new(row: PbxRow, questions: mpsc::Sender<Question>, requests: mpsc::Sender<Request>) -> Self {
        Self { row: Mutex::new(row), questions, requests }
    }

    pub(super) fn show(&self, row: &PbxRow) {
        // It is replaced as a whole: a panic elsewhere leaves it usable.
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone_from(row);
    }

    /// What its row says, or will say in a moment.
    pub(super) fn row(&self) -> PbxRow {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.row().state == State::Connected.as_str()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.row().state == State::Refused.as_str()
    }

    /// Whoever asks it; placing a call takes no longer than this.
    pub(super) fn here(&self, of: &Key, place_within: Duration) -> Here {
        let (questions, requests) = (self.questions.clone(), self.requests.clone());
        Here { account: of.account.clone(), questions, requests, place_within }
    }
}
