//! The double's door: a TCP server that speaks AMI, with the faults of networks and of processes.

use super::{Double, Out};
use crate::{
    clock::{ManualClock, SharedClock},
    domain::time::Millis,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A PBX that listens on a port of its own. Clones are the same one; it stops with the last of them.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    double: Mutex<Double>,
    /// Rings whenever something may have changed.
    bell: watch::Sender<()>,
    clock: SharedClock,
}

impl Server {
    /// Listens on a free port of this machine. `clock` is the PBX's own.
    pub async fn start(double: Double, clock: SharedClock) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { double: Mutex::new(double), bell: watch::Sender::new(()), clock });
        let stop = CancellationToken::new();
        tokio::spawn(listen(listener, shared.clone(), stop.clone()));
        Ok(Self { shared, address, _stop: Arc::new(stop.drop_guard()) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Uses the double; what that changes is sent at once.
    pub fn with<T>(&self, act: impl FnOnce(&mut Double) -> T) -> T {
        let answer = self.shared.with(act);
        self.shared.bell.send_replace(());
        answer
    }

    /// Lets everything happen that is due by its clock.
    pub fn tick(&self) {
        let now_ms = self.shared.clock.now_ms();
        self.with(|double| double.tick(now_ms));
    }

    /// When something happens next by itself.
    pub fn next_due_ms(&self) -> Option<Millis> {
        self.shared.with(|double| double.next_due_ms())
    }

    /// Turns the clock, which must be the double's, to this time; each thing happens at its moment.
    pub fn turn(&self, clock: &ManualClock, until_ms: Millis) {
        while let Some(next_ms) = self.next_due_ms().filter(|next_ms| *next_ms <= until_ms) {
            clock.set(next_ms.max(self.shared.clock.now_ms()));
            self.tick();
        }
        clock.set(until_ms);
        self.tick();
    }

    /// Lets things happen by themselves until it is told to stop.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.tick();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Double) -> T) -> T {
        // A panic in a test's closure is that test's failure; the double itself is still usable.
        act(&mut self.double.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let now_ms = shared.clock.now_ms();
        match shared.with(|double| double.accept(now_ms)) {
            Some(number) => {
                let (shared, stop) = (shared.clone(), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = serve(stream, number, &shared) => {}
                    }
                    shared.with(|double| double.closed(number));
                });
            }
            None => reset(&stream),
        }
    }
}

/// What a connection does next.
enum Next {
    Go,
    End,
}

async fn serve(mut stream: TcpStream, number: u64, shared: &Shared) {
    // What is small is sent at once, as Asterisk has it; if the system refuses, it is only slower.
    let _ = stream.set_nodelay(true);
    let mut bell = shared.bell.subscribe();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let now_ms = shared.clock.now_ms();
        let (due, deaf) =
            shared.with(|double| (double.due(number, now_ms), double.faults.deaf || double.faults.frozen));
        for out in due {
            if let Next::End = carry_out(&mut stream, out, number, shared).await {
                return;
            }
        }
        tokio::select! {
            rung = bell.changed() => if rung.is_err() { return },
            // What waits for its time is looked for; so is a clock that was turned.
            () = tokio::time::sleep(LOOK_EVERY) => {}
            read = stream.read(&mut buffer), if !deaf => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let now_ms = shared.clock.now_ms();
                    shared.with(|double| double.take_in(number, buffer.get(..count).unwrap_or_default(), now_ms));
                }
            },
        }
    }
}

async fn carry_out(stream: &mut TcpStream, out: Out, number: u64, shared: &Shared) -> Next {
    match out {
        Out::Bytes(bytes) => {
            let piece = shared.with(|double| double.faults.piece_bytes).unwrap_or(bytes.len()).max(1);
            for piece in bytes.chunks(piece) {
                if let Next::End = write(stream, piece, number, shared).await {
                    return Next::End;
                }
            }
            Next::Go
        }
        Out::Close => {
            // Whoever is on the other side is gone already, or hears it.
            let _ = stream.shutdown().await;
            Next::End
        }
        Out::Reset => {
            reset(stream);
            Next::End
        }
        Out::Endless => {
            let piece = vec![b'x'; READ_BYTES];
            loop {
                if let Next::End = write(stream, &piece, number, shared).await {
                    return Next::End;
                }
            }
        }
    }
}

/// Writes, unless the connection is broken off meanwhile.
async fn write(stream: &mut TcpStream, bytes: &[u8], number: u64, shared: &Shared) -> Next {
    let broken = async {
        while !shared.with(|double| double.is_cut(number)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let written = tokio::select! {
        biased;
        written = stream.write_all(bytes) => Some(written),
        () = broken => None,
    };
    match written {
        Some(Ok(())) => Next::Go,
        Some(Err(_)) => Next::End,
        None => {
            reset(stream);
            Next::End
        }
    }
}

/// Breaks it off: what was sent and not yet read is lost with it.
fn reset(stream: &TcpStream) {
    // Without it the connection is closed; it ends either way.
    let _ = stream.set_zero_linger();
}

const READ_BYTES: usize = 16 * 1024;
/// Things are late by this much at most.
const LOOK_EVERY: Duration = Duration::from_millis(5);
