//! The client against a peer on a local socket that plays Asterisk: real bytes, real TLS, short patience.

use super::*;
use crate::clock::SystemClock;
use peer::{Line, Peer};
use std::future::Future;

mod hearing;
mod peer;
mod questions;
mod tls;
mod trouble;

/// Waits for what must come soon; a test that waits for ever says nothing.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it did not come")
}

struct Running {
    client: Client,
    told: mpsc::Receiver<Told>,
    stop: CancellationToken,
}

/// Everything quick, but pings are far away.
fn quick() -> Patience {
    Patience { retry: Duration::from_millis(10), retry_longest: Duration::from_millis(50), ..Patience::default() }
}

fn start(target: Target, patience: Patience, room: Room) -> Running {
    let (stop, rng) = (CancellationToken::new(), StdRng::seed_from_u64(7));
    let parts = Parts { target, patience, room, clock: Arc::new(SystemClock), rng, stop: stop.clone() };
    let (client, told) = Client::start(parts);
    Running { client, told, stop }
}

impl Running {
    async fn next(&mut self) -> Told {
        soon(self.told.recv()).await.expect("the queue has ended")
    }

    async fn down(&mut self) -> Down {
        loop {
            if let Told::Down(down) = self.next().await {
                return down;
            }
        }
    }

    async fn listed(&mut self) {
        while !matches!(self.next().await, Told::Listed(_)) {}
    }
}
