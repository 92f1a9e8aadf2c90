//! An Asterisk of our own, for demonstrations and tests: it speaks AMI, and either plays calls by their fate, as a small
//! model of channels and bridges, or plays a captured stream again, byte for byte.
//!
//! Pure but for `server`: it is told the time and what came in, and asked what it sends.

mod act;
mod actions;
mod bridging;
mod channel;
mod fate;
mod line;
mod lists;
mod model;
mod originate;
pub mod server;
mod tape;
mod text;
mod truth;

pub use channel::{Channel, Party};
pub use fate::{Fate, Order, Side};
pub use line::Request;
pub use model::{Model, Phone, expected};
pub use originate::Dialed;
pub use tape::{Played, Recorded, Tape};
pub use text::{Class, Head, News};
pub use truth::{LegTruth, Truth};

use crate::domain::time::Millis;
use line::{Found, Line};
use std::collections::{BTreeMap, VecDeque};

/// How the PBX is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The version of its protocol.
    pub ami_version: String,
    /// Its own version.
    pub version: String,
    /// What stands at the head of its messages.
    pub head: Head,
    /// Its phones.
    pub phones: Vec<Phone>,
    /// Who may log in.
    pub users: Vec<User>,
    /// How long it waits before it says that a login failed.
    pub login_failure_ms: Millis,
}

/// A user of `manager.conf`.
#[derive(Clone, Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its secret.
    pub secret: String,
    /// `read`: what it may hear.
    pub read: Vec<Class>,
    /// `write`: what it may do.
    pub write: Vec<Class>,
}

impl User {
    /// One with the rights a gateway needs.
    pub fn new(name: &str, secret: &str) -> Self {
        let read = vec![Class::System, Class::Call, Class::Agent, Class::User, Class::Cdr, Class::Dialplan];
        let write = vec![Class::Call, Class::Reporting, Class::Originate];
        Self { name: name.to_owned(), secret: secret.to_owned(), read, write }
    }
}

impl Default for Setup {
    fn default() -> Self {
        let people = [("2001", "Alice"), ("2002", "Bob"), ("2003", "Carol"), ("2004", "Dave")];
        let phone = |(exten, name): (&str, &str)| Phone { exten: exten.to_owned(), name: name.to_owned() };
        Self {
            ami_version: "5.0.4".to_owned(),
            version: "16.28.0".to_owned(),
            head: Head { system_name: Some("pbx1".to_owned()), timestamps: true },
            phones: people.into_iter().map(phone).collect(),
            users: vec![User::new("onhook", "secret")],
            login_failure_ms: 1_000,
        }
    }
}

/// What goes wrong until it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// New connections are reset at once.
    pub refuse: bool,
    /// Nobody may log in.
    pub refuse_login: bool,
    /// A login is answered so much later.
    pub login_delay_ms: Millis,
    /// The process stands still: nothing is answered and nothing sent, and nothing of it is lost.
    pub frozen: bool,
    /// It takes nothing more out of its sockets.
    pub deaf: bool,
    /// What happens is told to nobody.
    pub loses: bool,
    /// Bytes are sent in pieces of this many.
    pub piece_bytes: Option<usize>,
}

/// What is to be done on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// Send these bytes.
    Bytes(Vec<u8>),
    /// Close it after what was sent.
    Close,
    /// Break it off.
    Reset,
    /// Send a line that never ends.
    Endless,
}

/// What is played.
#[derive(Clone, Debug)]
pub enum Play {
    /// Calls by their fate.
    Model(Box<Model>),
    /// A captured stream.
    Tape(Box<Tape>),
}

/// The PBX.
#[derive(Debug)]
pub struct Double {
    setup: Setup,
    play: Play,
    /// What goes wrong.
    pub faults: Faults,
    lines: BTreeMap<u64, Line>,
    lines_made: u64,
    challenges: u64,
    lists_answered: u64,
    told: u64,
    asked: VecDeque<Request>,
    dialed: BTreeMap<String, Dialed>,
    cuts_next: bool,
}

impl Double {
    /// A PBX that starts now, with nobody on the phone.
    pub fn new(setup: Setup, now_ms: Millis) -> Self {
        let model = Model::new(setup.head.clone(), setup.phones.clone(), now_ms);
        Self::of(setup, Play::Model(Box::new(model)))
    }

    /// A PBX that plays this.
    pub fn of(setup: Setup, play: Play) -> Self {
        Self {
            setup,
            play,
            faults: Faults::default(),
            lines: BTreeMap::new(),
            lines_made: 0,
            challenges: 0,
            lists_answered: 0,
            told: 0,
            asked: VecDeque::new(),
            dialed: BTreeMap::new(),
            cuts_next: false,
        }
    }

    /// Makes a call; its number. Nothing where a capture is played.
    pub fn call(&mut self, order: Order, now_ms: Millis) -> Option<u64> {
        let number = self.model_mut()?.call(order, now_ms);
        self.tick(now_ms);
        Some(number)
    }

    /// The model, if it is one.
    pub fn model(&self) -> Option<&Model> {
        if let Play::Model(model) = &self.play { Some(model) } else { None }
    }

    /// The model, to change it.
    pub fn model_mut(&mut self) -> Option<&mut Model> {
        if let Play::Model(model) = &mut self.play { Some(model) } else { None }
    }

    /// The capture, if it is one.
    pub fn tape(&self) -> Option<&Tape> {
        if let Play::Tape(tape) = &self.play { Some(tape) } else { None }
    }

    /// What lives now.
    pub fn channels(&self) -> &[Channel] {
        match &self.play {
            Play::Model(model) => model.channels(),
            Play::Tape(tape) => tape.channels(),
        }
    }

    /// When something happens next by itself.
    pub fn next_due_ms(&self) -> Option<Millis> {
        match &self.play {
            Play::Model(model) => model.next_due_ms(),
            Play::Tape(tape) => tape.next_due_ms(),
        }
    }

    /// How many listen: logged in, with any news wanted.
    pub fn listeners(&self) -> usize {
        self.lines.values().filter(|line| line.listens()).count()
    }

    /// How many are connected.
    pub fn connections(&self) -> usize {
        self.lines.len()
    }

    /// How often the channel list was answered.
    pub const fn lists_answered(&self) -> u64 {
        self.lists_answered
    }

    /// How many events were told to anybody.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// What was asked for, the latest last.
    pub fn asked(&self) -> impl Iterator<Item = &Request> {
        self.asked.iter()
    }

    /// Lets everything happen that is due.
    pub fn tick(&mut self, now_ms: Millis) {
        match &mut self.play {
            Play::Model(model) => {
                let news = model.tick(now_ms);
                self.tell(news, now_ms);
            }
            Play::Tape(tape) => {
                let played = tape.tick(now_ms);
                played.into_iter().for_each(|played| self.play_to_listeners(played, now_ms));
            }
        }
    }

    /// Breaks every connection off.
    pub fn cut(&mut self) {
        self.lines.values_mut().for_each(Line::cut);
    }

    /// Breaks the connections off in the middle of the next message.
    pub fn cut_in_next_message(&mut self) {
        self.cuts_next = true;
    }

    /// Sends this to whoever listens, as it is.
    pub fn send(&mut self, bytes: &[u8], now_ms: Millis) {
        self.play_to_listeners(Played::Bytes(bytes.to_vec()), now_ms);
    }

    /// Begins a line that never ends, for whoever listens.
    pub fn send_without_end(&mut self, now_ms: Millis) {
        self.lines.values_mut().filter(|line| line.listens()).for_each(|line| line.put(now_ms, Out::Endless));
    }

    /// The process dies and starts again: everything ends, nobody is told, and all connections are closed.
    pub fn restart(&mut self, now_ms: Millis) {
        self.tick(now_ms);
        self.lines.values_mut().for_each(|line| line.put(now_ms, Out::Close));
        if let Play::Model(model) = &mut self.play {
            model.restart(now_ms);
        }
    }

    /// A connection is made; its number. Nothing: it is refused.
    pub fn accept(&mut self, now_ms: Millis) -> Option<u64> {
        let closed = self.tape().is_some_and(|tape| !tape.is_open(now_ms));
        if self.faults.refuse || closed || self.lines.len() >= LINES_MAX {
            return None;
        }
        self.lines_made += 1;
        let mut line = Line::default();
        let banner = self.tape().map(Tape::banner);
        let own = || format!("Asterisk Call Manager/{}\r\n", self.setup.ami_version).into_bytes();
        line.put(now_ms, Out::Bytes(banner.unwrap_or_else(own)));
        self.lines.insert(self.lines_made, line);
        Some(self.lines_made)
    }

    /// Bytes came in on a connection.
    pub fn take_in(&mut self, number: u64, bytes: &[u8], now_ms: Millis) {
        let found = self.lines.get_mut(&number).map(|line| line.take_in(bytes)).unwrap_or_default();
        for found in found {
            match found {
                Found::Request(request) => {
                    self.answer(number, &request, now_ms);
                    self.asked.push_back(request);
                    if self.asked.len() > ASKED_MAX {
                        self.asked.pop_front();
                    }
                }
                Found::TooLong(request) => {
                    let message = "Failed to parse message: line too long";
                    self.put(number, now_ms, Out::Bytes(actions::refuse(request.get("ActionID"), message)));
                }
            }
        }
    }

    /// What is to be done on a connection now.
    pub fn due(&mut self, number: u64, now_ms: Millis) -> Vec<Out> {
        if self.faults.frozen {
            return Vec::new();
        }
        self.lines.get_mut(&number).map(|line| line.due(now_ms)).unwrap_or_default()
    }

    /// Whether a connection was broken off, whatever else waits on it.
    pub fn is_cut(&self, number: u64) -> bool {
        self.line(number).is_none_or(Line::is_cut)
    }

    /// A connection is gone.
    pub fn closed(&mut self, number: u64) {
        self.lines.remove(&number);
    }

    fn put(&mut self, number: u64, not_before_ms: Millis, out: Out) {
        if let Some(line) = self.lines.get_mut(&number) {
            line.put(not_before_ms, out);
        }
    }

    fn tell(&mut self, news: Vec<News>, now_ms: Millis) {
        for news in news.into_iter().filter(|_| !self.faults.loses) {
            let cuts = std::mem::take(&mut self.cuts_next);
            let mut heard = false;
            for line in self.lines.values_mut().filter(|line| line.hears(&news)) {
                heard = true;
                let half = news.bytes.len() / 2;
                let sent = if cuts { news.bytes.get(..half).unwrap_or_default() } else { &news.bytes };
                line.put(now_ms, Out::Bytes(sent.to_vec()));
                if cuts {
                    line.put(now_ms, Out::Reset);
                }
            }
            self.told += u64::from(heard);
        }
    }

    fn play_to_listeners(&mut self, played: Played, now_ms: Millis) {
        match played {
            Played::Cut => self.cut_after(now_ms),
            Played::Bytes(bytes) => {
                let is_event = bytes.starts_with(b"Event:") || bytes.windows(8).any(|window| window == b"\r\nEvent:");
                let mut heard = false;
                for line in self.lines.values_mut().filter(|line| line.listens()) {
                    heard = true;
                    line.put(now_ms, Out::Bytes(bytes.clone()));
                }
                self.told += u64::from(heard && is_event);
            }
        }
    }

    /// Breaks the connections off after what was sent.
    fn cut_after(&mut self, now_ms: Millis) {
        self.lines.values_mut().for_each(|line| line.put(now_ms, Out::Close));
    }

    /// A capture that was cut has its own list after the cut.
    fn list_of_tape(&mut self, now_ms: Millis) {
        if let Play::Tape(tape) = &mut self.play {
            let played = tape.list();
            played.into_iter().for_each(|bytes| self.play_to_listeners(Played::Bytes(bytes), now_ms));
        }
    }

    fn boot_ms(&self) -> Millis {
        match &self.play {
            Play::Model(model) => model.boot_ms(),
            Play::Tape(tape) => tape.boot_ms(),
        }
    }

    fn devices(&self) -> Vec<(String, &'static str)> {
        self.model().map(Model::devices).unwrap_or_default()
    }
}

const LINES_MAX: usize = 64;
/// What was asked before that is forgotten.
const ASKED_MAX: usize = 10_000;
