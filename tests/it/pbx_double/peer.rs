//! A plain client: reads messages until an empty line, and keeps its headers in their order.

use onhook::{
    clock::ManualClock,
    pbx_double::{Double, Setup, server::Server},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// When every test begins: 2026-01-02T03:04:05Z.
pub const START_MS: i64 = 1_767_323_045_000;

/// A message as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read(pub Vec<(String, String)>);

impl Read {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let header = |line: &str| {
            let (key, value) = line.split_once(':')?;
            Some((key.to_owned(), value.trim_start_matches(' ').to_owned()))
        };
        Self(text.split("\r\n").filter_map(header).collect())
    }

    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    pub fn is(&self, event: &str) -> bool {
        self.get("Event") == event
    }
}

/// A connection to a double.
pub struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    pub banner: String,
}

impl Peer {
    pub async fn connect(server: &Server) -> Self {
        let mut peer = Self {
            stream: TcpStream::connect(server.address()).await.unwrap(),
            unread: Vec::new(),
            banner: String::new(),
        };
        peer.banner = String::from_utf8(peer.until(b"\r\n").await).unwrap();
        peer
    }

    /// Connected and logged in with all events.
    pub async fn login(server: &Server) -> Self {
        let mut peer = Self::connect(server).await;
        peer.send("Action: Login\r\nActionID: in\r\nUsername: onhook\r\nSecret: secret\r\n\r\n").await;
        let answer = peer.next().await;
        assert_eq!((answer.get("Response"), answer.get("ActionID")), ("Success", "in"), "{answer:?}");
        peer
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Asks, and reads the answer: one message, or a whole list. Events between are not kept.
    pub async fn ask(&mut self, text: &str) -> Vec<Read> {
        self.send(&format!("{text}\r\nActionID: ask\r\n\r\n")).await;
        let mut answer: Vec<Read> = Vec::new();
        loop {
            let read = self.next().await;
            if read.get("ActionID") != "ask" {
                continue;
            }
            let lists = read.get("EventList") == "start" || !answer.is_empty();
            let complete = read.get("EventList") == "Complete";
            answer.push(read);
            if !lists || complete {
                return answer;
            }
        }
    }

    /// The next message, which must come soon.
    pub async fn next(&mut self) -> Read {
        Read::parse(&self.until(b"\r\n\r\n").await)
    }

    /// Everything up to and with this mark.
    async fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return self.unread.drain(..at + mark.len()).collect();
            }
            assert!(self.read().await, "closed; unread: {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// Reads more; whether there was more.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let count =
            read.unwrap_or_else(|_| panic!("nothing came; unread: {:?}", String::from_utf8_lossy(&self.unread)));
        let count = count.unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Every byte until it is closed.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.read().await {}
        std::mem::take(&mut self.unread)
    }

    /// Reads until so many bytes wait, and takes them.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read().await, "closed after {} of {count} bytes", self.unread.len());
        }
        self.unread.drain(..count).collect()
    }

    /// Every byte that was sent before an answer that is asked for now.
    pub async fn bytes(&mut self) -> Vec<u8> {
        let mark = b"Response: Success\r\nActionID: mark\r\n";
        self.send("Action: Events\r\nActionID: mark\r\nEventMask: on\r\n\r\n").await;
        let mut bytes = self.until(mark).await;
        bytes.truncate(bytes.len() - mark.len());
        assert_eq!(self.until(b"\r\n\r\n").await, b"Events: On\r\n\r\n");
        bytes
    }

    /// Everything that was sent before an answer that is asked for now.
    pub async fn heard(&mut self) -> Vec<Read> {
        self.send("Action: Ping\r\nActionID: mark\r\n\r\n").await;
        let mut heard = Vec::new();
        loop {
            let read = self.next().await;
            if read.get("ActionID") == "mark" {
                return heard;
            }
            heard.push(read);
        }
    }
}

/// A double with its hand-turned clock.
pub async fn start(setup: Setup) -> (Server, ManualClock) {
    let clock = ManualClock::new(START_MS);
    let server = Server::start(Double::new(setup, START_MS), clock.shared()).await.unwrap();
    (server, clock)
}

const PATIENCE: Duration = Duration::from_secs(10);
