//! A small Asterisk: takes logins, answers what every connection asks, says what it is told to.

use super::*;
use crate::ami::client::door::Stream;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

pub struct Peer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// One connection to it.
pub struct Line {
    io: BufReader<Box<dyn Stream>>,
    /// The last action that was read.
    pub id: String,
}

impl Peer {
    pub async fn new(tls: Option<TlsAcceptor>) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls }
    }

    pub fn target(&self) -> Target {
        Target {
            host: "127.0.0.1".to_owned(),
            port: self.listener.local_addr().unwrap().port(),
            tls: self.tls.is_some(),
            user: "lab".to_owned(),
            secret: "labsecret".to_owned().into(),
            ca_pem: None,
        }
    }

    /// The next connection; None: its TLS failed.
    pub async fn try_accept(&self) -> Option<Line> {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => Box::new(soon(tls.accept(tcp)).await.ok()?),
            None => Box::new(tcp),
        };
        Some(Line { io: BufReader::new(stream), id: String::new() })
    }

    pub async fn accept(&self) -> Line {
        self.try_accept().await.unwrap()
    }

    /// The next connection, logged in and, if it listens, with its first channel list.
    pub async fn in_sync(&self) -> Line {
        let mut line = self.accept().await;
        if line.login().await != "off" {
            line.until("Status").await;
        }
        line
    }
}

impl Line {
    pub async fn say(&mut self, text: &str) {
        let text = text.replace("{id}", &self.id);
        self.io.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// Says what may not arrive any more.
    pub async fn try_say(&mut self, text: &str) -> bool {
        self.io.get_mut().write_all(text.as_bytes()).await.is_ok()
    }

    /// Reads one action: its name and its headers. None: the connection was closed.
    pub async fn read(&mut self) -> Option<(String, Vec<(String, String)>)> {
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if soon(self.io.read_line(&mut line)).await.unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((key, value)) => headers.push((key.to_owned(), value.to_owned())),
                None if headers.is_empty() => {}
                None => break,
            }
        }
        let of = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone()).unwrap_or_default();
        self.id = of("ActionID");
        Some((of("Action"), headers))
    }

    /// Says who it is and takes the login. Which messages are wanted.
    pub async fn login(&mut self) -> String {
        self.say("Asterisk Call Manager/5.0.4\r\n").await;
        assert_eq!(self.read().await.unwrap().0, "Challenge");
        self.say("Response: Success\r\nActionID: {id}\r\nChallenge: 622055135\r\n\r\n").await;
        let (action, headers) = self.read().await.unwrap();
        let of = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        assert_eq!((action.as_str(), of("Key").as_deref()), ("Login", Some("117ea73ceb12d9710e877a4c3cf2f313")));
        self.say("Response: Success\r\nActionID: {id}\r\nMessage: Authentication accepted\r\n\r\n").await;
        let events = of("Events").unwrap();
        if events != "off" {
            self.say("Event: FullyBooted\r\nUptime: 77\r\n\r\n").await;
        }
        events
    }

    /// Answers as an idle Asterisk would until `last` was answered. False: it was closed before.
    pub async fn until(&mut self, last: &str) -> bool {
        while let Some((action, _)) = self.read().await {
            self.say(match action.as_str() {
                "Ping" => "Response: Success\r\nActionID: {id}\r\nPing: Pong\r\n\r\n",
                "CoreSettings" => "Response: Success\r\nActionID: {id}\r\nAsteriskVersion: 16.28.0\r\n\r\n",
                "CoreShowChannels" | "Status" => {
                    "Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n\
                     Event: TheirComplete\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: 0\r\n\r\n"
                }
                _ => "Response: Success\r\nActionID: {id}\r\nMessage: fine\r\n\r\n",
            })
            .await;
            if action == last {
                return true;
            }
        }
        false
    }
}
