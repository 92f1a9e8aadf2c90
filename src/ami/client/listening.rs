//! The connection that hears everything: made again whenever it is gone, read without ever waiting for whoever takes it out.

use super::{
    Down, DownKind, Told,
    queue::Queue,
    wire::{Ends, Wire},
};
use crate::{
    ami::session::{Failure, Output, Role},
    domain::time::Millis,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Keeps it until it is stopped.
pub async fn keep(mut ends: Ends, queue: Queue, wanted: Arc<Notify>) {
    let stop = ends.stop.clone();
    loop {
        let (failure, heard_ms) = once(&mut ends, &queue, &wanted).await;
        let stopped = failure.kind == DownKind::Stopped;
        let pause = if stopped { Duration::ZERO } else { ends.pause(failure.kind) };
        let now_ms = ends.clock.now_ms();
        let retry_ms = now_ms.saturating_add(Millis::try_from(pause.as_millis()).unwrap_or(0));
        queue.told(Told::Down(Down { kind: failure.kind, detail: failure.detail, heard_ms, retry_ms }), now_ms);
        if stopped {
            return;
        }
        let wait = async {
            tokio::time::sleep(pause).await;
            queue.half_empty().await;
        };
        // Stopping is told as well, by the next round.
        let _ = stop.run_until_cancelled(wait).await;
    }
}

/// One connection, from its making to its end.
async fn once(ends: &mut Ends, queue: &Queue, wanted: &Notify) -> (Failure, Option<Millis>) {
    let stop = ends.stop.clone();
    let mut wire = match stop.run_until_cancelled(ends.open(Role::Listening)).await {
        None => return (stopped(), None),
        Some(Err(failure)) => return (failure, None),
        Some(Ok(wire)) => wire,
    };
    loop {
        let now_ms = ends.clock.now_ms();
        match told(&mut wire, queue, now_ms) {
            Ok(true) => ends.went_well(),
            Ok(false) => {}
            Err(failure) => return (failure, wire.heard_ms),
        }
        let turned = tokio::select! {
            () = stop.cancelled() => {
                let heard_ms = wire.heard_ms;
                wire.farewell().await;
                return (stopped(), heard_ms);
            }
            turned = wire.turn() => turned,
            () = wanted.notified() => wire.session.list(ends.clock.now_ms()).map(|_| 0),
        };
        match turned {
            Ok(0) => {}
            Ok(bytes) => queue.heard(bytes, ends.clock.now_ms()),
            Err(failure) => {
                // What was said before the end was said.
                let _ = told(&mut wire, queue, ends.clock.now_ms());
                return (failure, wire.heard_ms);
            }
        }
    }
}

/// Does what the session wants. Whether a channel list was among it: then the connection is good.
fn told(wire: &mut Wire, queue: &Queue, now_ms: Millis) -> Result<bool, Failure> {
    let mut listed = false;
    while let Some(output) = wire.session.output() {
        match output {
            Output::Send { action, id } => wire.send(&action, &id)?,
            Output::Up(up) => queue.told(Told::Up(up), now_ms),
            Output::Listed(snapshot) => {
                listed = true;
                queue.told(Told::Listed(snapshot), now_ms);
            }
            Output::Message(message, heard) => {
                let bytes = message.text().len();
                queue.message(Told::Message(message, heard), bytes, heard.received_ms).map_err(|_| behind())?;
            }
            // Nobody asks here.
            Output::Answered { .. } => {}
        }
    }
    Ok(listed)
}

fn behind() -> Failure {
    Failure::new(DownKind::Behind, "keep up with it: the queue of what it told is full; its state is asked for anew")
}

fn stopped() -> Failure {
    Failure::new(DownKind::Stopped, "listen to it: we are stopping")
}
