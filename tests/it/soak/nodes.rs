//! The processes, and the one address at which whoever lives answers.

use super::super::support::{
    database::Place,
    gateway::{ACCOUNT, KEY, PUBLIC_URL, TOKEN},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    env,
    fs::OpenOptions,
    net::TcpListener as StdListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// After how long without a heartbeat another process goes on.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// Some `onhook serve` on one database. Killed with the value.
pub struct Nodes {
    /// Where a balancer would be: a process that can be reached answers.
    pub address: String,
    nodes: Vec<Node>,
    relay: JoinHandle<()>,
}

struct Node {
    process: Child,
    port: u16,
    settings: Vec<(&'static str, String)>,
}

impl Nodes {
    pub async fn start(place: &Place, twilio: &str, count: usize, seed: u64) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..count {
            let port = free_port();
            let settings = settings(place, twilio, port);
            let mut node = Node { process: spawn(&settings, port), port, settings };
            // One after the other: the first one migrates.
            node.until_it_listens().await;
            nodes.push(node);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ports = nodes.iter().map(|node| node.port).collect();
        Self { address, nodes, relay: tokio::spawn(relay(listener, ports, StdRng::seed_from_u64(seed))) }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// SIGKILL, and another process in its place.
    pub fn kill(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.process.kill().unwrap();
        node.process.wait().unwrap();
        node.process = spawn(&node.settings, node.port);
    }

    /// Stops a process where it stands.
    pub fn freeze(&self, at: usize) {
        signal("-STOP", self.nodes[at].process.id());
    }

    /// Lets it go on.
    pub fn thaw(&self, at: usize) {
        signal("-CONT", self.nodes[at].process.id());
    }

    /// Returns when all of them take connections.
    pub async fn until_they_listen(&mut self) {
        for node in &mut self.nodes {
            node.until_it_listens().await;
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.relay.abort();
        for node in &mut self.nodes {
            let _ = node.process.kill();
            let _ = node.process.wait();
        }
    }
}

impl Node {
    async fn until_it_listens(&mut self) {
        let listens = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), listens).await.expect("a process of the gateway did not begin to listen");
    }
}

fn settings(place: &Place, twilio: &str, port: u16) -> Vec<(&'static str, String)> {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    [
        ("ONHOOK_DATABASE_URL", place.url.clone()),
        ("ONHOOK_LISTEN", format!("127.0.0.1:{port}")),
        ("ONHOOK_PUBLIC_URL", PUBLIC_URL.to_owned()),
        ("ONHOOK_API_KEY", KEY.to_owned()),
        ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM=".to_owned()),
        ("ONHOOK_LOG", env::var("ONHOOK_SOAK_LOG").map_or("off", |_| "info").to_owned()),
        ("ONHOOK_LOG_FORMAT", "text".to_owned()),
        ("ONHOOK_TWILIO_API_BASE", twilio.to_owned()),
        ("ONHOOK_TWILIO_REQUESTS_PER_SECOND", "100".to_owned()),
        ("TWILIO_ACCOUNT_SID", ACCOUNT.to_owned()),
        ("TWILIO_AUTH_TOKEN", TOKEN.to_owned()),
        ("ONHOOK_RUN_STALE_AFTER", seconds(STALE_AFTER)),
        ("ONHOOK_RUN_LOOK_FOR_AFTER", "5s".to_owned()),
        ("ONHOOK_SWEEP_INTERVAL", "1s".to_owned()),
        ("ONHOOK_SWEEP_CHECK_AFTER_QUEUED", "5s".to_owned()),
        ("ONHOOK_SWEEP_CHECK_AFTER_RINGING", "5s".to_owned()),
        ("ONHOOK_SWEEP_CHECK_AFTER_ANSWERED", "5s".to_owned()),
    ]
    .into()
}

fn spawn(settings: &[(&'static str, String)], port: u16) -> Child {
    let log = || match env::var_os("ONHOOK_SOAK_LOG") {
        None => Stdio::null(),
        Some(folder) => {
            let path = Path::new(&folder).join(format!("{port}.log"));
            OpenOptions::new().create(true).append(true).open(path).unwrap().into()
        }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_onhook"));
    command.env_clear().envs(settings.iter().map(|(name, value)| (name, value))).arg("serve");
    command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn().unwrap()
}

/// Hands each connection to one of them, at random; to another one if that one is dead. One that is frozen takes a
/// connection and never answers, as it would.
async fn relay(listener: TcpListener, ports: Vec<u16>, mut rng: StdRng) {
    while let Ok((mut client, _)) = listener.accept().await {
        let first = rng.random_range(0..ports.len());
        let turns: Vec<u16> = (0..ports.len()).map(|n| ports[(first + n) % ports.len()]).collect();
        tokio::spawn(async move {
            for port in turns {
                if let Ok(mut node) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = copy_bidirectional(&mut client, &mut node).await;
                    return;
                }
            }
        });
    }
}

fn signal(signal: &str, id: u32) {
    let sent = Command::new("kill").args([signal, &id.to_string()]).status().unwrap();
    assert!(sent.success(), "kill {signal} failed");
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
