//! Logs in to a PBX, asks what the doctor wants to know, and listens for a while.

use crate::{
    ami::{
        Action, Message,
        client::{Client, Down, DownKind, Parts, Patience, Room, Told},
        doctor::{CDR_VARIABLES, Found},
    },
    clock::{SharedClock, Stopwatch},
    directory::pbx::Line,
    domain::time::Millis,
};
use rand::rngs::StdRng;
use std::{net::IpAddr, pin::pin, time::Duration};
use tokio::{
    sync::mpsc::Receiver,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// A connection of our own. It logs off when it is dropped.
pub(super) struct Own {
    pub client: Client,
    pub told: Receiver<Told>,
    _stop: tokio_util::sync::DropGuard,
}

impl Own {
    /// Starts to connect.
    pub(super) fn start(line: &Line, clock: SharedClock, rng: StdRng) -> Self {
        let stop = CancellationToken::new();
        let parts = Parts { target: line.target(), patience: PATIENCE, room: ROOM, clock, rng, stop: stop.clone() };
        let (client, told) = Client::start(parts);
        Self { client, told, _stop: stop.drop_guard() }
    }
}

/// What is found out of a PBX, or why it cannot be spoken with.
pub(super) async fn examine(line: &Line, listen: Duration, clock: SharedClock, rng: StdRng) -> Result<Found, Down> {
    let mut own = Own::start(line, clock, rng);
    let mut found = Found { tls: line.address.tls, here: is_here(&line.address.host), ..Found::default() };
    match timeout(CONNECT_WITHIN, own.told.recv()).await {
        Ok(Some(Told::Up(up))) => found.up = Some(up),
        Ok(Some(Told::Down(down))) => return Err(down),
        Ok(_) | Err(_) => return Err(silent()),
    }
    let Own { client, told, .. } = &mut own;
    let asking = async {
        let commands = client.ask(Action::new("ListCommands")).await.ok();
        let settings = client.ask(Action::new("CoreSettings")).await.ok();
        let status = client.ask(Action::new("Status").with("Variables", CDR_VARIABLES)).await.ok();
        (
            commands.map(|answer| answer.response),
            settings.map(|answer| answer.response),
            status.map(|answer| answer.items),
        )
    };
    let (asked, down) = tokio::join!(asking, hear(told, listen, &mut found));
    if let Some(down) = down {
        return Err(down);
    }
    (found.commands, found.settings, found.status) = asked;
    Ok(found)
}

/// Listens for so long, and until a channel list has come, if that does not take for ever. Answers why it broke off.
async fn hear(told: &mut Receiver<Told>, listen: Duration, found: &mut Found) -> Option<Down> {
    let watch = Stopwatch::start();
    let (mut enough, mut latest) = (pin!(sleep(listen)), pin!(sleep(listen.max(LIST_WITHIN))));
    let note = |found: &mut Found, message: &Message| found.heard.note(message);
    loop {
        let next = tokio::select! {
            next = told.recv() => next,
            () = &mut enough, if found.listed => break,
            () = &mut latest => break,
        };
        match next {
            Some(Told::Message(message, _)) => note(found, &message),
            Some(Told::Listed(_)) => found.listed = true,
            Some(Told::Up(_)) => {}
            Some(Told::Down(down)) => return Some(down),
            None => return Some(silent()),
        }
    }
    found.heard.listened_ms = (watch.seconds() * 1_000.0) as Millis;
    None
}

fn silent() -> Down {
    let detail = format!("log in to the PBX within {} s", CONNECT_WITHIN.as_secs());
    Down { kind: DownKind::Unreachable, detail, heard_ms: None, retry_ms: 0 }
}

/// Whether what is sent leaves this machine.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A person waits for it.
pub(super) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(8),
    answer: Duration::from_secs(8),
    list: Duration::from_secs(10),
    ping_every: Duration::from_secs(10),
    pong: Duration::from_secs(5),
    boot: Duration::from_secs(10),
    retry: Duration::from_millis(500),
    retry_longest: Duration::from_secs(30),
    refused_longest: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};
/// Minutes of a busy PBX.
const ROOM: Room = Room { messages: 100_000, bytes: 256 * 1024 * 1024 };
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
const LIST_WITHIN: Duration = Duration::from_secs(12);
