//! One connection as a conversation: logs in, asks, matches answers to questions, notices when the other side is gone.
//!
//! ```text
//! Greeting ─banner─▶ Challenging ─▶ LoggingIn ─┬─(asks)────────────────────────────────▶ Ready
//!                                              └─(listens)─▶ Looking ─settings, booted─▶ Ready, asks for the channel list
//! ```
//!
//! Fed with what is read and with the time, asked for what to do ([`Session::output`]) and when to be woken. No IO, no clock.

mod asked;
mod channels;
pub mod link;
pub mod list;
pub mod login;
mod looking;

use super::{
    Action, Message, Snapshot,
    action::ActionError,
    client::{ASKED_AT_ONCE_MAX, Answer, AskError, DownKind, Patience, Up},
    correlator::Heard,
};
use crate::domain::time::Millis;
use asked::{Asked, Purpose, Taken};
use link::{Link, Steady};
use list::List;
use login::Identity;
use looking::Looking;
use std::{collections::VecDeque, time::Duration};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hears everything that happens.
    Listening,
    /// Hears nothing but answers.
    Asking,
}

/// What the session wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Write this.
    Send {
        /// The action.
        action: Action,
        /// The id it is answered by.
        id: String,
    },
    /// It is logged in.
    Up(Up),
    /// A message of the world.
    Message(Message, Heard),
    /// A complete channel list.
    Listed(Snapshot),
    /// What [`Session::ask`] was answered.
    Answered {
        /// Whose question.
        ticket: u64,
        /// The answer.
        result: Result<Answer, AskError>,
    },
}

/// Why the connection has to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a word.
    pub kind: DownKind,
    /// In a sentence; completes "failed to …".
    pub detail: String,
}

impl Failure {
    /// A failure.
    pub fn new(kind: DownKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// What a session is made of.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it is for.
    pub role: Role,
    /// Who logs in.
    pub identity: Identity,
    /// For how long things are waited for.
    pub patience: Patience,
    /// Begins each ActionID: no two connections may share it, because `OriginateResponse` tells the id of one on the other.
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Challenging,
    LoggingIn,
    Looking,
    Ready,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    stage: Stage,
    steady: Steady,
    link: Link,
    /// By when the banner must have come; later, when the next ping is due.
    next: Millis,
    asked: Asked,
    looking: Looking,
    list: Option<List>,
    /// Void lists in a row.
    voids: u32,
    out: VecDeque<Output>,
}

impl Session {
    /// A connection that was just made.
    pub fn new(terms: Terms, now_ms: Millis) -> Self {
        let asked = Asked::new(terms.name.clone());
        Self {
            stage: Stage::Greeting,
            steady: Steady::new(now_ms),
            link: Link::default(),
            next: ms(terms.patience.connect),
            asked,
            looking: Looking::default(),
            list: None,
            voids: 0,
            out: VecDeque::new(),
            terms,
        }
    }

    /// Whether questions can be asked.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// What is to be done next.
    pub fn output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The first line was read.
    pub fn on_banner(&mut self, version: String, now_ms: Millis) -> Result<(), Failure> {
        self.steady.turn(now_ms);
        self.looking.up.ami_version = version;
        self.stage = Stage::Challenging;
        self.send(Purpose::Challenge, login::challenge())
    }

    /// A message was read.
    pub fn on_message(&mut self, message: Message, now_ms: Millis) -> Result<(), Failure> {
        self.steady.turn(now_ms);
        match message.action_id().map(|id| self.asked.find(id)) {
            Some(asked::Found::Open(number)) => self.answered(number, message, now_ms),
            // The answer to what was given up: nobody waits for it.
            Some(asked::Found::Closed) => Ok(()),
            Some(asked::Found::Foreign) | None if message.event().is_some() => self.world(message, now_ms),
            _ => Ok(()),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: Millis) -> Result<(), Failure> {
        let now = self.steady.turn(now_ms);
        if self.stage == Stage::Greeting && now >= self.next {
            return Err(Failure::new(DownKind::Silent, "hear its first line: it sends nothing; is this the AMI port?"));
        }
        while let Some(purpose) = self.asked.overdue(now) {
            self.unanswered(purpose, now_ms)?;
        }
        if self.stage == Stage::Looking && self.looking.is_done(now) {
            self.ready(now_ms)?;
        }
        if self.is_logged_in() && now >= self.next {
            self.ping()?;
        }
        Ok(())
    }

    /// When [`Self::tick`] has something to do.
    pub fn wake_at_ms(&self) -> Millis {
        let looking = if self.stage == Stage::Looking { self.looking.wait_until() } else { None };
        // While a ping is out its own deadline counts.
        let pings = matches!(self.stage, Stage::Challenging | Stage::LoggingIn) || self.link.is_pinged();
        let next = if pings { None } else { Some(self.next) };
        let due = [self.asked.due(), next, looking].into_iter().flatten().min();
        due.map_or(Millis::MAX, |due| self.steady.wall_ms(due))
    }

    /// Asks something; the answer comes as [`Output::Answered`] with the ticket.
    pub fn ask(&mut self, ticket: u64, action: Action, now_ms: Millis) {
        self.steady.turn(now_ms);
        let name = action.name();
        let refused = match action.check() {
            Err(e) => Some(AskError::from(e)),
            Ok(()) if self.asked.asks() >= ASKED_AT_ONCE_MAX => Some(AskError::TooMany { action: name }),
            Ok(()) => None,
        };
        if let Some(e) = refused {
            return self.out.push_back(Output::Answered { ticket, result: Err(e) });
        }
        let due = self.steady.ms().saturating_add(ms(self.terms.patience.answer));
        let id = self.asked.open(Purpose::ask(ticket, name), due);
        self.out.push_back(Output::Send { action, id });
    }

    /// Says good-bye.
    pub fn close(&mut self) -> Result<(), Failure> {
        if self.is_logged_in() { self.send(Purpose::Logoff, Action::new("Logoff")) } else { Ok(()) }
    }

    /// The other side closed the connection.
    pub fn closed(&self) -> Failure {
        let detail = match self.stage {
            Stage::Greeting => {
                "hear its first line: it closed the connection at once (authlimit, or an address it does not take)"
            }
            Stage::Challenging | Stage::LoggingIn => "log in: it closed the connection",
            Stage::Looking | Stage::Ready => "listen to it: it closed the connection",
        };
        Failure::new(DownKind::Closed, detail)
    }

    /// The connection is gone: whoever waits for an answer learns it.
    pub fn abandon(&mut self, why: &str) {
        for purpose in self.asked.drain() {
            self.give_up(purpose, why);
        }
    }

    const fn is_logged_in(&self) -> bool {
        matches!(self.stage, Stage::Looking | Stage::Ready)
    }

    fn send(&mut self, purpose: Purpose, action: Action) -> Result<(), Failure> {
        // A user name or secret with a line break.
        action.check().map_err(|e: ActionError| Failure::new(DownKind::Refused, e.to_string()))?;
        let due = self.steady.ms().saturating_add(ms(purpose.patience(&self.terms.patience)));
        let id = self.asked.open(purpose, due);
        self.out.push_back(Output::Send { action, id });
        Ok(())
    }

    fn ping(&mut self) -> Result<(), Failure> {
        self.next = self.steady.ms().saturating_add(ms(self.terms.patience.ping_every));
        if self.link.is_pinged() {
            return Ok(());
        }
        self.link.pinged(&self.steady);
        self.send(Purpose::Ping, Action::new("Ping"))
    }

    fn answered(&mut self, number: u64, message: Message, now_ms: Millis) -> Result<(), Failure> {
        let Some((purpose, due)) = self.asked.take(number) else { return Ok(()) };
        match purpose {
            Purpose::Challenge => {
                self.stage = Stage::LoggingIn;
                let login = login::login(&self.terms.identity, self.terms.role, &message)?;
                self.send(Purpose::Login, login)
            }
            Purpose::Login => {
                login::accepted(&self.terms.identity, &message)?;
                self.logged_in(now_ms)
            }
            Purpose::Settings => self.looked(now_ms, |looking, _| looking.settings(&message)),
            Purpose::Started => {
                let (there_ms, boot_ms) = (now_ms.saturating_add(self.link.ahead_ms()), ms(self.terms.patience.boot));
                self.looked(now_ms, |looking, now| looking.started(&message, there_ms, now, boot_ms))
            }
            Purpose::Ping => {
                self.link.ponged(&message, &self.steady);
                self.looked(now_ms, |looking, _| looking.ponged())
            }
            Purpose::List(which) => self.listed((number, due), which, &message, now_ms),
            Purpose::Ask(mut ask) => {
                let later = match ask.take(message) {
                    Taken::Done(result) => {
                        self.out.push_back(Output::Answered { ticket: ask.ticket, result });
                        return Ok(());
                    }
                    Taken::Begun => asked::list_due(self.steady.ms(), &self.terms.patience),
                    Taken::More => due,
                };
                self.asked.put_back(number, Purpose::Ask(ask), later);
                Ok(())
            }
            Purpose::Logoff => Ok(()),
        }
    }

    fn logged_in(&mut self, now_ms: Millis) -> Result<(), Failure> {
        self.looking.up.login_ms = now_ms;
        self.stage = if self.terms.role == Role::Listening { Stage::Looking } else { Stage::Ready };
        self.ping()?;
        if self.stage == Stage::Looking {
            self.send(Purpose::Settings, Action::new("CoreSettings"))?;
            self.send(Purpose::Started, Action::new("CoreStatus"))?;
        }
        Ok(())
    }

    fn looked(&mut self, now_ms: Millis, look: impl FnOnce(&mut Looking, Millis)) -> Result<(), Failure> {
        look(&mut self.looking, self.steady.ms());
        let done = self.stage == Stage::Looking && self.looking.is_done(self.steady.ms());
        if done { self.ready(now_ms) } else { Ok(()) }
    }

    /// Everything that is to be known at the beginning is known: tells it, then what was said meanwhile, then asks who is there.
    fn ready(&mut self, now_ms: Millis) -> Result<(), Failure> {
        self.stage = Stage::Ready;
        self.looking.up.clock_ahead_ms = self.link.ahead_ms();
        self.out.push_back(Output::Up(self.looking.up.clone()));
        for (message, received_ms, fresh) in self.looking.take_held() {
            let heard = self.link.heard(&message, received_ms, fresh);
            self.out.push_back(Output::Message(message, heard));
        }
        self.list(now_ms).map(|_| ())
    }

    fn world(&mut self, message: Message, now_ms: Millis) -> Result<(), Failure> {
        let fresh = self.link.is_fresh(&self.steady);
        match self.stage {
            _ if self.terms.role == Role::Asking => Ok(()),
            Stage::Ready => {
                let heard = self.link.heard(&message, now_ms, fresh);
                self.out.push_back(Output::Message(message, heard));
                Ok(())
            }
            _ => {
                self.looking.hold(message, now_ms, fresh)?;
                self.looked(now_ms, |_, _| ())
            }
        }
    }

    fn unanswered(&mut self, purpose: Purpose, now_ms: Millis) -> Result<(), Failure> {
        let silent = |detail: &str| Err(Failure::new(DownKind::Silent, detail));
        match purpose {
            Purpose::Challenge | Purpose::Login => silent("log in: it does not answer"),
            Purpose::Ping => silent("hear from it: it does not answer a ping"),
            Purpose::List(_) => self.void("the list did not end in time", now_ms),
            Purpose::Settings => self.looked(now_ms, |looking, _| looking.settings(&Message::default())),
            Purpose::Started => {
                self.looked(now_ms, |looking, now| looking.started(&Message::default(), now_ms, now, 0))
            }
            Purpose::Ask(_) | Purpose::Logoff => {
                self.give_up(purpose, "it did not come in time");
                Ok(())
            }
        }
    }

    fn give_up(&mut self, purpose: Purpose, why: &str) {
        if let Purpose::Ask(ask) = purpose {
            let result = Err(AskError::Unanswered { action: ask.action, why: why.to_owned() });
            self.out.push_back(Output::Answered { ticket: ask.ticket, result });
        }
    }
}

fn ms(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests;
