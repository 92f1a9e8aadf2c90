//! The connection that asks: opened when something is asked, closed when long nothing was.

use super::{
    Answer, AskError, Chance, DownKind,
    wire::{Ends, Wire},
};
use crate::{
    ami::{
        Action,
        session::{Failure, Output, Role},
    },
    domain::time::{Millis, SECOND},
};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Something that somebody asks.
#[derive(Debug)]
pub struct Question {
    /// What.
    pub action: Action,
    /// Taken right before it is sent; one that is taken is not sent.
    pub chance: Chance,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Answer, AskError>>,
}

/// After a refused login nobody is bothered again for so long: each attempt costs Asterisk a second and an alarm.
const REFUSED_MS: Millis = 5 * SECOND;

/// Keeps it until it is stopped.
pub async fn keep(mut ends: Ends, mut questions: mpsc::Receiver<Question>) {
    let stop = ends.stop.clone();
    let mut refused: Option<(Millis, Failure)> = None;
    while let Some(Some(first)) = stop.run_until_cancelled(questions.recv()).await {
        let fresh = |(at, _): &(Millis, Failure)| ends.clock.now_ms().saturating_sub(*at).abs() < REFUSED_MS;
        if let Some((_, failure)) = refused.as_ref().filter(|refused| fresh(refused)) {
            away(first, failure);
            continue;
        }
        refused = None;
        let ended = match stop.run_until_cancelled(ends.open(Role::Asking)).await {
            None => return,
            Some(Err(failure)) => Err((failure, vec![first])),
            Some(Ok(wire)) => serve(wire, &ends, &mut questions, first).await,
        };
        if let Err((failure, unasked)) = ended {
            unasked.into_iter().for_each(|question| away(question, &failure));
            refused = (failure.kind == DownKind::Refused).then(|| (ends.clock.now_ms(), failure));
        }
    }
}

/// Nothing was sent for this one.
fn away(question: Question, failure: &Failure) {
    let error = AskError::Away { action: question.action.name(), why: format!("failed to {}", failure.detail) };
    // Nobody waits any more: fine.
    let _ = question.answer.send(Err(error));
}

/// One connection, until it ends or nobody asks any more. Gives back what could not be asked.
async fn serve(
    mut wire: Wire,
    ends: &Ends,
    questions: &mut mpsc::Receiver<Question>,
    first: Question,
) -> Result<(), (Failure, Vec<Question>)> {
    let mut desk = Desk { unasked: vec![first], ..Desk::default() };
    let idle = tokio::time::sleep(ends.patience.idle);
    tokio::pin!(idle);
    loop {
        desk.ask(&mut wire, ends.clock.now_ms());
        if let Err(failure) = desk.answer(&mut wire) {
            return Err(desk.fail(wire, failure));
        }
        let turned = tokio::select! {
            () = ends.stop.cancelled() => {
                let failure = Failure::new(DownKind::Stopped, "ask it: we are stopping");
                let unasked = desk.abandon(&mut wire, &failure);
                wire.farewell().await;
                return Err((failure, unasked));
            }
            question = questions.recv(), if desk.has_room() => {
                idle.as_mut().reset(in_the_future(ends.patience.idle));
                desk.unasked.extend(question);
                Ok(0)
            }
            () = &mut idle, if desk.is_empty() => {
                wire.farewell().await;
                return Ok(());
            }
            turned = wire.turn() => turned,
        };
        if let Err(failure) = turned {
            return Err(desk.fail(wire, failure));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a sleep is put off; nothing is decided by it")]
fn in_the_future(by: std::time::Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + by
}

/// Who waits for what.
#[derive(Default)]
struct Desk {
    unasked: Vec<Question>,
    waiting: HashMap<u64, oneshot::Sender<Result<Answer, AskError>>>,
    last: u64,
}

impl Desk {
    fn is_empty(&self) -> bool {
        self.unasked.is_empty() && self.waiting.is_empty()
    }

    fn has_room(&self) -> bool {
        self.unasked.len() < super::ASKED_AT_ONCE_MAX
    }

    /// Asks what waits, once the session can.
    fn ask(&mut self, wire: &mut Wire, now_ms: Millis) {
        if !wire.session.is_ready() {
            return;
        }
        for question in self.unasked.drain(..).filter(|question| question.chance.take()) {
            self.last = self.last.saturating_add(1);
            self.waiting.insert(self.last, question.answer);
            wire.session.ask(self.last, question.action, now_ms);
        }
    }

    /// Does what the session wants.
    fn answer(&mut self, wire: &mut Wire) -> Result<(), Failure> {
        while let Some(output) = wire.session.output() {
            match output {
                Output::Send { action, id } => wire.send(&action, &id)?,
                Output::Answered { ticket, result } => {
                    if let Some(answer) = self.waiting.remove(&ticket) {
                        let _ = answer.send(result);
                    }
                }
                // It has events off, and what comes all the same comes on the other connection too.
                Output::Up(_) | Output::Message(..) | Output::Listed(_) => {}
            }
        }
        Ok(())
    }

    /// The connection is gone: what was asked may have been done; what was not asked is given back.
    fn abandon(&mut self, wire: &mut Wire, failure: &Failure) -> Vec<Question> {
        wire.session.abandon(&format!("failed to {}", failure.detail));
        let _ = self.answer(wire);
        std::mem::take(&mut self.unasked)
    }

    fn fail(&mut self, mut wire: Wire, failure: Failure) -> (Failure, Vec<Question>) {
        let unasked = self.abandon(&mut wire, &failure);
        (failure, unasked)
    }
}
