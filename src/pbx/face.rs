//! What the rest of the process sees of a PBX that is listened to here.

use super::{
    State,
    heard::Key,
    truth::{Here, Question},
};
use crate::store::pbx::PbxRow;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

#[derive(Debug)]
pub(super) struct Face {
    row: Mutex<PbxRow>,
    questions: mpsc::Sender<Question>,
}

impl Face {
    pub(super) fn new(row: PbxRow, questions: mpsc::Sender<Question>) -> Self {
        Self { row: Mutex::new(row), questions }
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

    pub(super) fn here(&self, of: &Key) -> Here {
        Here { account: of.account.clone(), questions: self.questions.clone() }
    }
}
