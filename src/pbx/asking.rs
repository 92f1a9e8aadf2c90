//! What a PBX is asked to do: to place a call, and to end one. It is asked on the side, so that its stream goes on.

use super::{held::Held, line::Line, truth::away};
use crate::{
    ami::{
        Action,
        client::{Answer, AskError, Chance},
        correlator::Placing,
        originate,
    },
    provider::{Placed, Trouble, TroubleKind},
};
use tokio::{sync::oneshot, task::JoinError};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Request {
    /// Place a call.
    Place(Place),
    /// End one.
    End(String, oneshot::Sender<Result<bool, Trouble>>),
}

/// A call to be placed.
#[derive(Debug)]
pub(super) struct Place {
    /// The id its channel will have.
    pub id: String,
    pub action: Action,
    /// Taken by whoever waits no more: nothing is sent then.
    pub chance: Chance,
    pub answer: oneshot::Sender<Placed>,
}

/// What came of it.
pub(super) enum Done {
    Placed { id: String, placed: Placed, answer: oneshot::Sender<Placed> },
    Ended { channels: Vec<String>, result: Result<bool, Trouble>, answer: oneshot::Sender<Result<bool, Trouble>> },
}

impl Held {
    /// Begins to do it.
    pub(super) fn requested(&mut self, request: Request, line: &Line) {
        // Another process may have the PBX by now, or nobody hears what it says.
        let is_ready = self.is_in_sync() && !self.is_fenced && self.asking.len() < ASKED_AT_ONCE_MAX;
        let trouble = || away(&self.key.account, "it is not heard now, or asked too much at once");
        match request {
            // Whoever waited no more does not hear it.
            Request::Place(place) if !is_ready => drop(place.answer.send(Placed::NotNow(trouble()))),
            Request::End(_, answer) if !is_ready => drop(answer.send(Err(trouble()))),
            Request::Place(place) if place.answer.is_closed() => {}
            Request::Place(place) => self.place(place, line),
            Request::End(id, answer) => self.end(&id, answer, line),
        }
    }

    fn place(&mut self, place: Place, line: &Line) {
        let Place { id, action, chance, answer } = place;
        self.correlator.originate_asked(&id, self.shared.clock.now_ms());
        let (asking, account) = (line.far.ask(action, chance), self.key.account.clone());
        self.asking.spawn(async move {
            let placed = placed(&account, &id, asking.await);
            Done::Placed { id, placed, answer }
        });
    }

    fn end(&mut self, id: &str, answer: oneshot::Sender<Result<bool, Trouble>>, line: &Line) {
        let channels = self.correlator.channels_of(id);
        // Said before it is sent: its messages may come before the answer.
        channels.iter().for_each(|channel| self.correlator.hangup_asked(channel));
        let ask = |channel: &String| line.far.ask(originate::hangup(channel), Chance::default());
        let asking: Vec<_> = channels.iter().map(ask).collect();
        let (is_awaited, account) = (self.correlator.awaits(id), self.key.account.clone());
        self.asking.spawn(async move {
            let mut result = Ok(false);
            for asking in asking {
                result = match (ended(&account, asking.await), result) {
                    (_, Err(trouble)) | (Err(trouble), _) => Err(trouble),
                    (Ok(one), Ok(other)) => Ok(one || other),
                };
            }
            if is_awaited && result == Ok(false) {
                result = Err(away(&account, "the channel of the call is still being made; ask again"));
            }
            Done::Ended { channels, result, answer }
        });
    }

    /// Takes what came of it.
    pub(super) fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Placed { id, placed, answer }) => {
                let placing = match placed {
                    Placed::Accepted(_) => Placing::Accepted,
                    Placed::Refused(_) | Placed::NotNow(_) => Placing::Refused,
                    Placed::Lost(_) => Placing::Lost,
                };
                self.correlator.originate_answered(&id, placing);
                drop(answer.send(placed));
            }
            Ok(Done::Ended { channels, result, answer }) => {
                // What was not ended by us ends as it does by itself.
                if result != Ok(true) {
                    channels.iter().for_each(|channel| self.correlator.hangup_refused(channel));
                }
                drop(answer.send(result));
            }
            Err(error) => {
                tracing::error!(account = self.key.account, %error, "asking a PBX for something broke; whether it was done is not known");
            }
        }
    }
}

/// What an answer to an `Originate` means.
fn placed(account: &str, id: &str, asked: Result<Answer, AskError>) -> Placed {
    let trouble = |kind, error: &AskError| {
        Placed::NotNow(Trouble { kind, detail: format!("place a call at the PBX {account}: failed to {error}") })
    };
    match asked {
        Ok(_) => Placed::Accepted(id.to_owned()),
        Err(AskError::Refused { message, .. }) => refused(account, &message),
        Err(error @ AskError::Unsendable(_)) => Placed::Refused(error.to_string()),
        Err(error @ AskError::Away { .. }) => trouble(TroubleKind::Unreachable, &error),
        Err(error @ AskError::TooMany { .. }) => trouble(TroubleKind::TooMany, &error),
        Err(error @ AskError::Unanswered { .. }) => Placed::Lost(error.to_string()),
    }
}

/// What an `Error` means: some speak of this call, others of all that this user, or this run, asks for.
fn refused(account: &str, message: &str) -> Placed {
    let has = |words: &[&str]| words.iter().any(|word| message.to_ascii_lowercase().contains(word));
    let (kind, next) = if has(&["permission denied", "unknown command"]) {
        (TroubleKind::Refused, "its user needs originate in write= of manager.conf, and to log in again")
    } else if has(&["extension does not exist", "requires 'context'", "access forbidden"]) {
        (TroubleKind::Refused, "the run's context and extension must be in its dialplan")
    } else if has(&["originate failed"]) {
        (TroubleKind::TooMany, "it has no room for another call now")
    } else {
        return Placed::Refused(format!("place the call: the PBX {account} says {message:?}"));
    };
    let detail = format!("place a call at the PBX {account}: it says {message:?}; {next}");
    Placed::NotNow(Trouble { kind, detail })
}

/// What an answer to a `Hangup` means.
fn ended(account: &str, asked: Result<Answer, AskError>) -> Result<bool, Trouble> {
    let error = match asked {
        Ok(_) => return Ok(true),
        Err(AskError::Refused { message, .. }) if message.to_ascii_lowercase().contains("no such channel") => {
            return Ok(false);
        }
        Err(error) => error,
    };
    let kind = match &error {
        AskError::Refused { .. } | AskError::Unsendable(_) => TroubleKind::Refused,
        AskError::TooMany { .. } => TroubleKind::TooMany,
        AskError::Away { .. } | AskError::Unanswered { .. } => TroubleKind::Unreachable,
    };
    Err(Trouble { kind, detail: format!("hang up at the PBX {account}: failed to {error}") })
}

/// Calls that one PBX is asked for at once.
const ASKED_AT_ONCE_MAX: usize = 1_000;
