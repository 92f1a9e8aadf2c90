//! One connection at work: bytes to the session, the session's actions to bytes. And how the next one is made.

use super::{
    DownKind, Patience,
    door::{Door, Stream},
};
use crate::{
    ami::{
        Action,
        frame::{Frame, FrameError, Frames},
        session::{Failure, Output, Role, Session, Terms, login::Identity},
    },
    clock::SharedClock,
    domain::time::{Millis, SECOND},
};
use bytes::BytesMut;
use rand::{RngExt, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::{codec::Decoder, sync::CancellationToken};

/// A connection with its session.
pub struct Wire {
    /// What is said on it.
    pub session: Session,
    /// The last byte that was heard.
    pub heard_ms: Option<Millis>,
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    frames: Frames,
    input: BytesMut,
    output: BytesMut,
    /// Something is to be written, or TLS still holds some of it.
    unwritten: bool,
    clock: SharedClock,
}

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Somebody may set the clock while we wait by it: it is looked at so often.
const LOOK_MS: Millis = SECOND;
/// How long a good-bye may take.
const FAREWELL: Duration = Duration::from_secs(1);

impl Wire {
    /// A connection that was just made.
    pub fn new(stream: Box<dyn Stream>, terms: Terms, clock: SharedClock) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            session: Session::new(terms, clock.now_ms()),
            heard_ms: None,
            reader,
            writer,
            frames: Frames::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            unwritten: false,
            clock,
        }
    }

    /// Waits until something comes, was written, or is due, and does it. May be dropped while it waits. Says how many bytes came.
    pub async fn turn(&mut self) -> Result<u64, Failure> {
        self.input.reserve(READ_BYTES);
        let wait_ms = self.session.wake_at_ms().saturating_sub(self.clock.now_ms()).clamp(1, LOOK_MS);
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1));
        let writing = self.unwritten;
        tokio::select! {
            read = self.reader.read_buf(&mut self.input) => return self.read(read),
            // If the other arms win, what was written is gone from the buffer, and the rest is for the next turn.
            written = write(&mut self.writer, &mut self.output), if writing => {
                written.map_err(lost)?;
                self.unwritten = false;
            }
            () = tokio::time::sleep(wait) => {}
        }
        self.session.tick(self.clock.now_ms()).map(|()| 0)
    }

    fn read(&mut self, read: std::io::Result<usize>) -> Result<u64, Failure> {
        let bytes = read.map_err(lost)?;
        if bytes == 0 {
            return Err(self.session.closed());
        }
        let now_ms = self.clock.now_ms();
        self.heard_ms = Some(now_ms);
        while let Some(frame) = self.frames.decode(&mut self.input).map_err(unreadable)? {
            match frame {
                Frame::Banner(version) => self.session.on_banner(version, now_ms)?,
                Frame::Message(message) => self.session.on_message(message, now_ms)?,
            }
        }
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Writes an action behind what waits to be written.
    pub fn send(&mut self, action: &Action, id: &str) -> Result<(), Failure> {
        self.unwritten = true;
        action.write(id, &mut self.output).map_err(|e| Failure::new(DownKind::Refused, e.to_string()))
    }

    /// Says good-bye and waits a moment for the other side to close.
    pub async fn farewell(mut self) {
        let good_bye = async {
            let _ = self.session.close();
            while let Some(output) = self.session.output() {
                if let Output::Send { action, id } = output {
                    let _ = self.send(&action, &id);
                }
            }
            while self.turn().await.is_ok() {
                while self.session.output().is_some() {}
            }
        };
        let _ = tokio::time::timeout(FAREWELL, good_bye).await;
    }
}

async fn write(writer: &mut WriteHalf<Box<dyn Stream>>, output: &mut BytesMut) -> std::io::Result<()> {
    writer.write_all_buf(output).await?;
    writer.flush().await
}

fn lost(e: std::io::Error) -> Failure {
    Failure::new(DownKind::Closed, format!("listen to it: {e}"))
}

fn unreadable(e: FrameError) -> Failure {
    let kind = match e {
        FrameError::TooOld(_) => DownKind::Refused,
        FrameError::Io(_) => DownKind::Closed,
        FrameError::NotAmi(_) | FrameError::LineTooLong | FrameError::MessageTooLong | FrameError::TooManyHeaders => {
            DownKind::Garbage
        }
    };
    Failure::new(kind, e.to_string())
}

/// What a connection is made with, again and again.
pub struct Ends {
    /// Ends everything.
    pub stop: CancellationToken,
    /// The clock of stamps.
    pub clock: SharedClock,
    /// For how long things are waited for.
    pub patience: Patience,
    door: Arc<Door>,
    rng: StdRng,
    role: String,
    number: u64,
    /// Failed attempts in a row, and whether the last was a refusal.
    failed: u32,
}

impl Ends {
    /// Nothing is made yet. Connections are named by `role` and a number.
    pub fn new(
        door: Arc<Door>,
        patience: Patience,
        clock: SharedClock,
        role: &str,
        mut rng: StdRng,
        stop: CancellationToken,
    ) -> Self {
        // The ids of one process must not be those of the one before: late answers may still come out of Asterisk.
        let role = format!("onhook-{:04x}{role}", rng.random::<u16>());
        Self { stop, clock, patience, door, rng, role, number: 0, failed: 0 }
    }

    /// Connects. The login is up to the session.
    pub async fn open(&mut self, role: Role) -> Result<Wire, Failure> {
        self.number = self.number.saturating_add(1);
        let stream = self.door.open().await?;
        let target = &self.door.target;
        let identity = Identity { user: target.user.clone(), secret: target.secret.clone(), tls: target.tls };
        let name = format!("{}{}", self.role, self.number);
        let terms = Terms { role, identity, patience: self.patience, name };
        Ok(Wire::new(stream, terms, Arc::clone(&self.clock)))
    }

    /// It went well: the next failure is a first one.
    pub const fn went_well(&mut self) {
        self.failed = 0;
    }

    /// How long to wait after this failure.
    pub fn pause(&mut self, kind: DownKind) -> Duration {
        let (first, longest) = match kind {
            DownKind::Refused => (self.patience.refused_longest / 10, self.patience.refused_longest),
            _ => (self.patience.retry, self.patience.retry_longest),
        };
        let whole = first.saturating_mul(2_u32.saturating_pow(self.failed)).min(longest);
        self.failed = self.failed.saturating_add(1).min(16);
        whole.mul_f64(self.rng.random_range(0.5..1.0))
    }
}
