//! One connection: what came in on it, who it is, and what waits to go out.

use super::{
    Out,
    text::{Class, News},
};
use crate::domain::time::Millis;
use std::collections::VecDeque;

/// A connection.
#[derive(Debug, Default)]
pub struct Line {
    incoming: Vec<u8>,
    outgoing: VecDeque<(Millis, Out)>,
    waiting_bytes: usize,
    /// Who has logged in, and what they may read and write.
    pub user: Option<(String, Vec<Class>, Vec<Class>)>,
    /// The challenge they were given.
    pub challenge: Option<String>,
    /// Which news they want; empty: none.
    pub mask: Vec<Class>,
}

/// What somebody asks for: the headers of an action in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The headers.
    pub headers: Vec<(String, String)>,
}

/// What was found in what came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An action.
    Request(Request),
    /// One that is longer than it may be, with what was understood of it.
    TooLong(Request),
}

impl Line {
    /// Takes bytes, and finds what is complete in them.
    pub fn take_in(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.incoming.extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(end) = end_of_message(&self.incoming) {
            let message: Vec<u8> = self.incoming.drain(..end).collect();
            found.extend(Request::parse(&message));
        }
        if self.incoming.len() > INCOMING_BYTES_MAX {
            self.incoming.clear();
            found.push(Found::TooLong(Request { headers: Vec::new() }));
        }
        found
    }

    /// Puts something on its way, not before this time. What nobody reads is not kept for ever: the line is cut.
    pub fn put(&mut self, not_before_ms: Millis, out: Out) {
        if let Out::Bytes(bytes) = &out {
            self.waiting_bytes += bytes.len();
        }
        if self.waiting_bytes > OUTGOING_BYTES_MAX {
            self.cut();
        } else {
            self.outgoing.push_back((not_before_ms, out));
        }
    }

    /// What is to be sent now.
    pub fn due(&mut self, now_ms: Millis) -> Vec<Out> {
        let mut due = Vec::new();
        while self.outgoing.front().is_some_and(|(at_ms, _)| *at_ms <= now_ms) {
            due.extend(self.outgoing.pop_front().map(|(_, out)| out));
        }
        let bytes = |out: &Out| if let Out::Bytes(bytes) = out { bytes.len() } else { 0 };
        self.waiting_bytes -= due.iter().map(bytes).sum::<usize>();
        due
    }

    /// Nothing more is sent: the connection is reset.
    pub fn cut(&mut self) {
        self.outgoing.clear();
        self.waiting_bytes = 0;
        self.outgoing.push_back((Millis::MIN, Out::Reset));
    }

    /// Whether it is broken off as soon as somebody looks.
    pub fn is_cut(&self) -> bool {
        self.outgoing.front().is_some_and(|(at_ms, out)| *at_ms == Millis::MIN && *out == Out::Reset)
    }

    /// Whether it wants to hear this.
    pub fn hears(&self, news: &News) -> bool {
        let may = self.user.as_ref().is_some_and(|(_, read, _)| read.contains(&news.class));
        may && self.mask.contains(&news.class)
    }

    /// Whether it is logged in and wants to hear anything.
    pub fn listens(&self) -> bool {
        self.user.is_some() && !self.mask.is_empty()
    }
}

impl Request {
    /// The first header of this name.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut same = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        same.next().map(|(_, value)| value.as_str())
    }

    /// What is asked for.
    pub fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    fn parse(message: &[u8]) -> Option<Found> {
        let text = String::from_utf8_lossy(message);
        let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).filter(|l| !l.is_empty()).collect();
        if lines.is_empty() {
            return None;
        }
        let header = |line: &&str| {
            let (key, value) = line.split_once(':')?;
            Some((key.trim().to_owned(), value.trim_start().to_owned()))
        };
        let fits = lines.iter().take_while(|line| line.len() <= LINE_BYTES_MAX).count();
        let headers = lines.iter().take(fits).take(LINES_MAX).filter_map(header).collect();
        let request = Request { headers };
        let too_long = fits < lines.len() || lines.len() > LINES_MAX;
        Some(if too_long { Found::TooLong(request) } else { Found::Request(request) })
    }
}

/// Behind the first empty line. A line ends with LF, whether or not CR stands before it.
fn end_of_message(bytes: &[u8]) -> Option<usize> {
    let mut line_is_empty = true;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if line_is_empty => return Some(at + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    None
}

/// As Asterisk has it.
const LINE_BYTES_MAX: usize = 1_024;
/// As Asterisk has it.
const LINES_MAX: usize = 128;
const INCOMING_BYTES_MAX: usize = 256 * 1024;
/// Asterisk keeps everything; this machine does not.
const OUTGOING_BYTES_MAX: usize = 64 * 1024 * 1024;
