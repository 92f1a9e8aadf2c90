//! What was asked and is not answered yet, by the number in its ActionID.

use super::{list::Which, ms};
use crate::{
    ami::{
        Message,
        client::{Answer, AskError, Patience},
    },
    domain::time::Millis,
};
use std::{collections::BTreeMap, time::Duration};

/// The most items of a list that somebody asked for; the rest is not waited for.
const ITEMS_MAX: usize = 50_000;

/// What an answer is for.
#[derive(Debug)]
pub enum Purpose {
    /// The challenge of the login.
    Challenge,
    /// The login.
    Login,
    /// `CoreSettings`.
    Settings,
    /// `CoreStatus`.
    Started,
    /// A ping.
    Ping,
    /// Half of a channel list.
    List(Which),
    /// Somebody's question.
    Ask(Ask),
    /// Good-bye.
    Logoff,
}

impl Purpose {
    /// Somebody's question.
    pub const fn ask(ticket: u64, action: &'static str) -> Self {
        Self::Ask(Ask { ticket, action, response: None, items: Vec::new() })
    }

    /// For how long its answer is waited for.
    pub const fn patience(&self, patience: &Patience) -> Duration {
        match self {
            Self::Ping => patience.pong,
            Self::List(_) => patience.list,
            Self::Challenge | Self::Login | Self::Settings | Self::Started | Self::Ask(_) | Self::Logoff => {
                patience.answer
            }
        }
    }
}

/// Somebody's question.
#[derive(Debug)]
pub struct Ask {
    /// Whose.
    pub ticket: u64,
    /// The action.
    pub action: &'static str,
    response: Option<Message>,
    items: Vec<Message>,
}

/// What a message did to a question.
pub enum Taken {
    /// The list has just begun.
    Begun,
    /// More is to come.
    More,
    /// This is the answer.
    Done(Result<Answer, AskError>),
}

impl Ask {
    /// Takes a message that belongs to it.
    pub fn take(&mut self, message: Message) -> Taken {
        let list = |word: &str| message.get("EventList").is_some_and(|said| said.eq_ignore_ascii_case(word));
        if message.event().is_none() {
            let refused = message.response().is_none_or(|word| word.eq_ignore_ascii_case("Error"));
            if refused {
                let message = message.get("Message").unwrap_or_default().to_owned();
                return Taken::Done(Err(AskError::Refused { action: self.action, message }));
            }
            if list("start") {
                self.response = Some(message);
                return Taken::Begun;
            }
            return Taken::Done(Ok(Answer { response: message, items: Vec::new() }));
        }
        if self.items.len() >= ITEMS_MAX || list("cancelled") {
            return Taken::Done(Err(AskError::Unanswered {
                action: self.action,
                why: "the list was broken off".into(),
            }));
        }
        if list("Complete") {
            let response = self.response.take().unwrap_or_default();
            return Taken::Done(Ok(Answer { response, items: std::mem::take(&mut self.items) }));
        }
        self.items.push(message);
        Taken::More
    }
}

/// Everything that waits for an answer.
#[derive(Debug)]
pub struct Asked {
    name: String,
    last: u64,
    open: BTreeMap<u64, (Purpose, Millis)>,
}

/// Whose an ActionID is.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Ours, and waited for.
    Open(u64),
    /// Ours, but nobody waits for it any more.
    Closed,
    /// Somebody else's.
    Foreign,
}

impl Asked {
    /// Nothing was asked; ids begin with `name`.
    pub const fn new(name: String) -> Self {
        Self { name, last: 0, open: BTreeMap::new() }
    }

    /// Notes a question and gives it its id.
    pub fn open(&mut self, purpose: Purpose, due: Millis) -> String {
        self.last = self.last.saturating_add(1);
        self.open.insert(self.last, (purpose, due));
        format!("{}-{}", self.name, self.last)
    }

    /// Whose this id is.
    pub fn find(&self, id: &str) -> Found {
        let number = id.strip_prefix(self.name.as_str()).and_then(|rest| rest.strip_prefix('-')).map(str::parse::<u64>);
        match number {
            Some(Ok(number)) if self.open.contains_key(&number) => Found::Open(number),
            Some(_) => Found::Closed,
            None => Found::Foreign,
        }
    }

    /// Takes a question out, with its deadline.
    pub fn take(&mut self, number: u64) -> Option<(Purpose, Millis)> {
        self.open.remove(&number)
    }

    /// Puts it back: more answers are to come.
    pub fn put_back(&mut self, number: u64, purpose: Purpose, due: Millis) {
        self.open.insert(number, (purpose, due));
    }

    /// Takes out one whose time is over.
    pub fn overdue(&mut self, now: Millis) -> Option<Purpose> {
        let number = self.open.iter().find(|(_, (_, due))| *due <= now).map(|(number, _)| *number)?;
        self.open.remove(&number).map(|(purpose, _)| purpose)
    }

    /// When the first one's time is over.
    pub fn due(&self) -> Option<Millis> {
        self.open.values().map(|(_, due)| *due).min()
    }

    /// How many of somebody's questions wait.
    pub fn asks(&self) -> usize {
        self.open.values().filter(|(purpose, _)| matches!(purpose, Purpose::Ask(_))).count()
    }

    /// The channel list is void: what else comes of it is not waited for.
    pub fn close_lists(&mut self) {
        self.open.retain(|_, (purpose, _)| !matches!(purpose, Purpose::List(_)));
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> impl Iterator<Item = Purpose> + use<> {
        std::mem::take(&mut self.open).into_values().map(|(purpose, _)| purpose)
    }
}

/// A list's own deadline begins with its first line.
pub fn list_due(steady_ms: Millis, patience: &Patience) -> Millis {
    steady_ms.saturating_add(ms(patience.list))
}
