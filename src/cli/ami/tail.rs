//! `onhook ami tail`: what a PBX says of calls, as it happens.

use super::{examine::Own, known::Which, shown};
use crate::{
    ami::{
        client::{Down, DownKind, Told},
        correlator::{Correlator, Gap, Rules},
    },
    cli::{
        desk::Desk,
        exit::{Exit, Stop},
        out::printable,
    },
    config::AnsweredOutcome,
    domain::{signal::Signal, state::Outcome, time::rfc3339},
};
use anyhow::Result;
use clap::Args;
use rand::{SeedableRng, rngs::StdRng};
use std::{pin::pin, time::Duration};
use tokio::time::sleep;

/// Follow what a PBX says of calls, until Ctrl-C
///
/// It listens with a connection of its own and reads the events as the servers do; nothing is stored, and the servers go on
/// undisturbed. With --json every line is a JSON object. Numbers of people are masked.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook ami tail pbx1
  onhook ami tail pbx1 --raw --json
  onhook ami tail --url ami://127.0.0.1 --user onhook --secret-file s.txt --for 1m")]
pub struct Tail {
    #[command(flatten)]
    which: Which,
    /// Events as Asterisk sends them, in place of what follows from them
    #[arg(long)]
    raw: bool,
    /// Show the numbers of people whole
    #[arg(long)]
    show_numbers: bool,
    /// End by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    span: Option<Duration>,
}

impl Tail {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let known = self.which.find_one(desk).await?;
        let mut own = Own::start(&known.line, desk.clock.clone(), StdRng::from_rng(&mut desk.rng));
        let if_answered = match desk.config.sweep.answered_outcome {
            AnsweredOutcome::Completed => Outcome::Completed,
            AnsweredOutcome::Failed => Outcome::Failed,
        };
        let rules = Rules { account: known.name.clone(), if_answered };
        let mut following = Following { tail: &self, desk, correlator: Correlator::new(rules), state: State::New };
        let mut end = pin!(async {
            match self.span {
                Some(span) => sleep(span).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let wake = following.wake();
            tokio::select! {
                told = own.told.recv() => match told {
                    Some(told) => following.hear(told)?,
                    None => return Ok(Exit::Unavailable),
                },
                () = sleep(wake) => following.tick()?,
                () = &mut end => return Ok(Exit::Ok),
                stopped = tokio::signal::ctrl_c() => {
                    stopped?;
                    return Ok(Exit::Ok);
                }
            }
        }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There was none yet.
    New,
    /// Logged in; the channel list is still to come.
    Syncing,
    /// Everything is known.
    Connected,
    /// It is gone, and is made again.
    Down,
}

struct Following<'a> {
    tail: &'a Tail,
    desk: &'a Desk,
    correlator: Correlator,
    state: State,
}

impl Following<'_> {
    fn hear(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Up(up) => {
                self.state = State::Syncing;
                self.correlator.connected(up.login_ms);
                let version = up.version.unwrap_or_else(|| "of unknown version".to_owned());
                self.note(&format!("connected to Asterisk {version}, manager protocol {}", up.ami_version));
                Ok(())
            }
            Told::Listed(snapshot) => {
                let signals = match self.state {
                    State::Connected => self.correlator.audit(&snapshot),
                    _ => self.correlator.resync(&snapshot, Gap::default()),
                };
                self.state = State::Connected;
                self.show(&signals)
            }
            Told::Message(message, heard) => {
                let signals = Correlator::absorb(&mut self.correlator, &message, heard);
                if !self.tail.raw {
                    return self.show(&signals);
                }
                let (out, numbers) = (&self.desk.out, self.tail.show_numbers);
                match out.is_json() {
                    true => out.line(shown::event_json(&message, heard.received_ms, numbers).to_string()),
                    false => out.line(printable(&shown::event_line(&message, heard.received_ms, numbers))),
                }
            }
            Told::Down(down) => self.down(&down),
        }
    }

    /// The first attempt must succeed; what breaks later is made again.
    fn down(&mut self, down: &Down) -> Result<()> {
        if self.state == State::New {
            let exit = if down.kind == DownKind::Refused { Exit::Failed } else { Exit::Unavailable };
            let next = "`onhook ami doctor` says what to do";
            return Err(Stop::with(exit, format!("failed to {}", down.detail), next));
        }
        if self.state != State::Down {
            self.correlator.disconnected();
            self.state = State::Down;
        }
        self.note(&format!("failed to {}; it is tried again at {}", down.detail, rfc3339(down.retry_ms)));
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        let signals = self.correlator.tick(self.desk.now_ms());
        self.show(&signals)
    }

    /// For how long the correlator has nothing to do by itself.
    fn wake(&self) -> Duration {
        let left_ms = self.correlator.wake_at_ms().map(|at_ms| at_ms.saturating_sub(self.desk.now_ms()).max(0));
        left_ms.map_or(IDLE, |ms| Duration::from_millis(ms.unsigned_abs())).clamp(SHORTEST, IDLE)
    }

    fn show(&self, signals: &[Signal]) -> Result<()> {
        let (out, numbers) = (&self.desk.out, self.tail.show_numbers);
        for signal in signals.iter().filter(|_| !self.tail.raw) {
            match out.is_json() {
                true => out.line(shown::signal_json(signal, numbers).to_string())?,
                false => out.line(printable(&shown::signal_line(signal, numbers)))?,
            }
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        self.desk.out.note(printable(&format!("{} {text}", rfc3339(self.desk.now_ms()))));
    }
}

const IDLE: Duration = Duration::from_secs(60);
/// A clock that was set back must not make it spin.
const SHORTEST: Duration = Duration::from_millis(20);
