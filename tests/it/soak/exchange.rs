//! The Twilio of the soak: calls of some seconds, callbacks that get lost, and a REST API that fails.

use super::{
    super::support::gateway::{ACCOUNT, PUBLIC_URL, TOKEN},
    nodes::STALE_AFTER,
};
use onhook::{
    clock::{SharedClock, SystemClock},
    double::{
        Account, Double, Fate, Faults, PlacingFaults, Reception, Setup, Shared,
        courier::{Courier, WhenIdle},
        server,
    },
};
use std::{net::TcpListener, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// A running double and the list that is dialed there.
pub struct Exchange {
    pub double: Shared,
    /// Where its REST API is.
    pub address: String,
    /// Whom to call.
    pub numbers: Vec<String>,
    clock: SharedClock,
    handle: server::Handle,
}

/// Its callbacks, under way.
pub struct Callbacks {
    double: Shared,
    running: JoinHandle<()>,
    stop: CancellationToken,
}

impl Exchange {
    pub fn start(jobs: usize, seed: u64) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let faults = Faults { lost: 0.05, reordered: 0.05, duplicated: 0.05, slow: 0.05, ..Faults::default() };
        let placing = PlacingFaults {
            too_many: 0.05,
            broken: 0.05,
            broken_done: 0.05,
            cut: 0.05,
            cut_done: 0.05,
            late: 0.05,
            // Later than anybody waits whose lease is this short.
            late_ms: STALE_AFTER.as_millis() as i64,
        };
        let setup = Setup { calls_per_second: 1_000, faults, placing, ..Setup::default() };
        let mut double = Double::new(setup, seed);
        double.add_account(Account::new(ACCOUNT, TOKEN));
        let numbers: Vec<String> = (0..jobs).map(|n| format!("+1415{:07}", 5_551_000 + n)).collect();
        for (n, number) in numbers.iter().enumerate() {
            double.expect_fate(number, fate(n));
            if is_refused(n) {
                double.receive_as(number, [Reception::Refused { status: 400, code: 21211 }; 9]);
            }
        }
        let (double, clock): (_, SharedClock) = (Shared::new(double), Arc::new(SystemClock));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server::serve(listener, double.clone(), clock.clone()).unwrap();
        let handle = server.handle();
        tokio::spawn(server);
        Self { double, address, numbers, clock, handle }
    }

    /// Whether Twilio takes no call to this number.
    pub fn refuses(&self, number: &str) -> bool {
        self.numbers.iter().position(|of| of == number).is_some_and(is_refused)
    }

    /// From here on its callbacks reach this address.
    pub fn tell(&self, address: &str) -> Callbacks {
        let courier = Courier::new(self.double.clone(), self.clock.clone()).unwrap().via(PUBLIC_URL, address);
        let stop = CancellationToken::new();
        let told = stop.clone();
        let running = tokio::spawn(async move { courier.run(WhenIdle::Wait, &told).await });
        Callbacks { double: self.double.clone(), running, stop }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Spawned by the runtime of the test, which is still there.
        drop(tokio::spawn(self.handle.stop(false)));
    }
}

impl Callbacks {
    /// Returns when the last callback was sent.
    pub async fn until_silent(&self) {
        for _ in 0..1_200 {
            if self.double.with(|double| double.is_idle()) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("calls of the double do not end");
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}

/// Whether Twilio takes no call to the number in this place of the list.
const fn is_refused(n: usize) -> bool {
    n % 50 == 49
}

/// Short calls, of every kind.
fn fate(n: usize) -> Fate {
    match n % 10 {
        0..=4 => Fate::Answered { talk_s: 1 + (n % 3) as u32 },
        5 => Fate::Machine { talk_s: 2 },
        6 => Fate::Busy,
        7 => Fate::NoAnswer,
        8 => Fate::Failed { sip: 404 },
        _ => Fate::Answered { talk_s: 0 },
    }
}
