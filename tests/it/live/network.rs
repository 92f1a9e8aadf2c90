//! The network between a gateway and its PBX, which can be cut, held up, and mended.

use super::line::{PATIENCE, now_ms};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// What the network does with what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything arrives.
    Fair,
    /// Nothing arrives, and nobody is told: a cable that was pulled. What was sent meanwhile arrives once it is fair.
    Silent,
    /// Connections are reset, and new ones too.
    Cut,
}

/// A way to a port of this machine. Gone with the value.
pub struct Network {
    pub port: u16,
    weather: watch::Sender<Weather>,
    /// When somebody came by.
    passed_ms: Arc<watch::Sender<Vec<i64>>>,
    accepting: JoinHandle<()>,
}

impl Network {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let weather = watch::Sender::new(Weather::Fair);
        let passed_ms = Arc::new(watch::Sender::default());
        let accepting = tokio::spawn(accept(listener, port, weather.clone(), passed_ms.clone()));
        Self { port: own, weather, passed_ms, accepting }
    }

    /// Waits for the first connection after this moment; when it was made.
    pub async fn until_passed_after(&self, ms: i64) -> i64 {
        let mut passed = self.passed_ms.subscribe();
        let passed = timeout(PATIENCE, passed.wait_for(|all| all.iter().any(|passed| *passed >= ms)));
        let passed = passed.await.expect("the gateway did not connect").unwrap();
        passed.iter().copied().find(|passed| *passed >= ms).unwrap()
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.set(Weather::Cut);
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    port: u16,
    weather: watch::Sender<Weather>,
    passed_ms: Arc<watch::Sender<Vec<i64>>>,
) {
    while let Ok((near, _)) = listener.accept().await {
        tokio::spawn(carry(near, port, weather.subscribe(), passed_ms.clone()));
    }
}

async fn carry(
    near: TcpStream,
    port: u16,
    mut weather: watch::Receiver<Weather>,
    passed_ms: Arc<watch::Sender<Vec<i64>>>,
) {
    // Closing then means a reset: whoever reads gets an error, not an end.
    near.set_zero_linger().unwrap();
    // Whoever calls into silence gets through once it is over.
    if weather.wait_for(|now| *now != Weather::Silent).await.is_ok_and(|now| *now == Weather::Cut) {
        return;
    }
    passed_ms.send_modify(|all| all.push(now_ms()));
    let Ok(far) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else { return };
    far.set_zero_linger().unwrap();
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let (up, down) = (weather.clone(), weather.clone());
    tokio::select! {
        () = pump(near_read, far_write, up) => {}
        () = pump(far_read, near_write, down) => {}
        _ = weather.wait_for(|now| *now == Weather::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 16_384];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        // What was on its way when the weather turned waits here.
        if weather.wait_for(|now| *now != Weather::Silent).await.is_err() {
            return;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            // The other half may still be carrying the last of what was said.
            tokio::time::sleep(Duration::from_millis(10)).await;
            return;
        }
    }
}
