//! The bytes of the stream: one line that says who speaks, then messages, each ended by an empty line.
//!
//! A decoder by `tokio-util` because that is pure: bytes in, frames out, however they were cut. Everything has a limit, and
//! a breach ends the connection: where one message of an endless stream ends cannot be guessed.

use super::Message;
use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

/// The longest line, its line end not counted.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The longest message, line ends counted.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The most lines of a message.
pub const HEADERS_MAX: usize = 4_096;
/// The longest first line.
pub const BANNER_BYTES_MAX: usize = 1_024;
/// The first version of the protocol that tells calls as they are told today (Asterisk 12).
pub const MAJOR_MIN: u32 = 2;

/// What the stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first line: the version of the protocol, such as `5.0.4`.
    Banner(String),
    /// A message.
    Message(Message),
}

/// Why the stream cannot be read on. The fragments complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The first line is not Asterisk's.
    #[error(
        "find Asterisk there: it begins with {0:?}, not with \"Asterisk Call Manager/…\"; is this the AMI port (5038, or 5039 with TLS)?"
    )]
    NotAmi(String),
    /// The dialect of Asterisk 11 and older.
    #[error("understand it: it speaks AMI {0}, {MAJOR_MIN}.0 or newer is needed (Asterisk 12 or newer)")]
    TooOld(String),
    /// A line that does not end.
    #[error("read a line: it has over {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    /// A message that does not end.
    #[error("read a message: it has over {MESSAGE_BYTES_MAX} bytes")]
    MessageTooLong,
    /// A message of too many lines.
    #[error("read a message: it has over {HEADERS_MAX} lines")]
    TooManyHeaders,
    /// The connection.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Cuts the stream of one connection. After an error it must not be used further.
#[derive(Debug, Default)]
pub struct Frames {
    /// Whether the first line was read.
    greeted: bool,
    /// How far the bytes that wait were looked through.
    scanned: usize,
    /// Where the line begins that is not ended yet.
    line: usize,
    /// The lines of the message that is not ended yet.
    headers: usize,
}

impl Decoder for Frames {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if self.greeted { self.message(bytes) } else { self.banner(bytes) }
    }

    /// What stands behind the last empty line is half a message: it is let go.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let frame = self.decode(bytes)?;
        if frame.is_none() {
            bytes.clear();
            *self = Self { greeted: self.greeted, ..Self::default() };
        }
        Ok(frame)
    }
}

impl Frames {
    fn banner(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            // One more for the CR that may have come without its LF.
            return if bytes.len() > BANNER_BYTES_MAX + 1 { Err(not_ami(bytes)) } else { Ok(None) };
        };
        let line = bytes.split_to(end);
        bytes.advance(1);
        let line = without_cr(&line);
        let version = std::str::from_utf8(line).ok().filter(|text| text.len() <= BANNER_BYTES_MAX).and_then(version);
        let Some(version) = version else {
            return Err(not_ami(line));
        };
        if major(version).is_none_or(|major| major < MAJOR_MIN) {
            return Err(FrameError::TooOld(version.to_owned()));
        }
        self.greeted = true;
        Ok(Some(Frame::Banner(version.to_owned())))
    }

    fn message(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.scanned..).unwrap_or_default()) {
            let (from, end) = (self.line, self.scanned.saturating_add(found));
            let after = end.saturating_add(1);
            let length = without_cr(bytes.get(from..end).unwrap_or_default()).len();
            (self.scanned, self.line) = (after, after);
            match length {
                // An empty line between messages: Asterisk's test events leave some.
                0 if from == 0 => {
                    bytes.advance(after);
                    (self.scanned, self.line) = (0, 0);
                }
                0 => {
                    let text = bytes.split_to(from);
                    bytes.advance(after.saturating_sub(from));
                    *self = Self { greeted: true, ..Self::default() };
                    return Ok(Some(Frame::Message(Message::parse(lossy(&text)))));
                }
                _ => {
                    self.headers = self.headers.saturating_add(1);
                    within_limits(length, after, self.headers)?;
                }
            }
        }
        self.scanned = bytes.len();
        if bytes.len().saturating_sub(self.line) > LINE_BYTES_MAX + 1 {
            return Err(FrameError::LineTooLong);
        }
        Ok(None)
    }
}

const fn within_limits(line_bytes: usize, message_bytes: usize, headers: usize) -> Result<(), FrameError> {
    if line_bytes > LINE_BYTES_MAX {
        return Err(FrameError::LineTooLong);
    }
    if message_bytes > MESSAGE_BYTES_MAX {
        return Err(FrameError::MessageTooLong);
    }
    if headers > HEADERS_MAX {
        return Err(FrameError::TooManyHeaders);
    }
    Ok(())
}

/// Bytes that are no UTF-8 (a trunk's caller name in Latin-1) become U+FFFD, and so does NUL, which PostgreSQL takes in no
/// text. Colons and line ends are never part of such a sequence, so a bad value spoils no other.
fn lossy(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    if memchr::memchr(0, bytes).is_some() { text.replace('\0', "\u{FFFD}") } else { text }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn version(line: &str) -> Option<&str> {
    let version = line.strip_prefix("Asterisk Call Manager/")?.trim();
    major(version).map(|_| version)
}

/// `x` of `x.y` or `x.y.z`.
fn major(version: &str) -> Option<u32> {
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    if numbers.len() < 2 { None } else { numbers.first().copied() }
}

/// What came instead, cut short: it is shown to people.
fn not_ami(line: &[u8]) -> FrameError {
    let shown = line.get(..line.len().min(SHOWN_BYTES_MAX)).unwrap_or_default();
    FrameError::NotAmi(lossy(shown).trim_end().to_owned())
}

const SHOWN_BYTES_MAX: usize = 60;

#[cfg(test)]
mod tests;
