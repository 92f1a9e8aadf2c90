//! A telephone: registers, calls, and rings. What happens on its lines is in `line`.

use super::{
    line::{Line, PATIENCE, branch, token},
    sip::{Packet, Request},
};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// What it does with a call that comes in.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long it rings; not at all with None.
    pub ring: Option<Duration>,
    pub then: Then,
}

#[derive(Clone, Debug)]
pub enum Then {
    Answer,
    /// Answers, and hangs up after talking for so long.
    AnswerFor(Duration),
    /// `486 Busy Here`
    Refuse(&'static str),
    /// Sends the caller to this number.
    Forward(&'static str),
    /// Rings until the caller has enough.
    Nothing,
}

/// Rings for so many milliseconds, then answers.
pub const fn answers_after(ring_ms: u64) -> Policy {
    Policy { ring: Some(Duration::from_millis(ring_ms)), then: Then::Answer }
}

/// Rings for so many milliseconds, then answers for so many.
pub const fn talks_for(ring_ms: u64, talk_ms: u64) -> Policy {
    let then = Then::AnswerFor(Duration::from_millis(talk_ms));
    Policy { ring: Some(Duration::from_millis(ring_ms)), then }
}

/// Rings for a moment, then refuses.
pub const fn refuses(status: &'static str) -> Policy {
    Policy { ring: Some(Duration::from_millis(200)), then: Then::Refuse(status) }
}

/// Rings and rings.
pub const fn never_answers() -> Policy {
    Policy { ring: Some(Duration::ZERO), then: Then::Nothing }
}

/// A registered phone. Deaf with the value's end.
pub struct Phone {
    inner: Arc<Inner>,
    incoming: tokio::sync::Mutex<mpsc::UnboundedReceiver<Line>>,
    listening: JoinHandle<()>,
}

/// What its lines share.
pub struct Inner {
    pub user: String,
    socket: UdpSocket,
    pub at: SocketAddr,
    pub pbx: SocketAddr,
    policy: Mutex<Policy>,
    lines: Mutex<HashMap<String, Line>>,
    registered: watch::Sender<Option<u16>>,
    rung: mpsc::UnboundedSender<Line>,
}

impl Phone {
    /// A phone with this number (or the carrier, as `trunk`), registered with the PBX at this address.
    pub async fn register(pbx: SocketAddr, user: &str, policy: Policy) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = socket.local_addr().unwrap();
        let (rung, incoming) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            user: user.to_owned(),
            socket,
            at,
            pbx,
            policy: Mutex::new(policy),
            lines: Mutex::default(),
            registered: watch::Sender::new(None),
            rung,
        });
        let listening = tokio::spawn(inner.clone().listen());
        let phone = Self { inner, incoming: tokio::sync::Mutex::new(incoming), listening };
        phone.register_again().await;
        phone
    }

    /// After a restart of the PBX, which may have forgotten.
    pub async fn register_again(&self) {
        let inner = &self.inner;
        let me = format!("<sip:{}@127.0.0.1>", inner.user);
        let (from, call_id) = (format!("{me};tag={}", token()), token());
        // One that is still starting answers nothing, and then an error: it is asked again for as long as it takes.
        let answered = timeout(PATIENCE, async {
            for number in 1.. {
                inner.registered.send_replace(None);
                inner.request(&Request {
                    method: "REGISTER",
                    uri: "sip:127.0.0.1",
                    from: &from,
                    to: &me,
                    call_id: &call_id,
                    number,
                    branch: &branch(),
                    more: "Expires: 3600\r\n",
                    body: "",
                });
                let mut answer = inner.registered.subscribe();
                let code = timeout(Duration::from_millis(300), answer.wait_for(Option::is_some)).await;
                if code.is_ok_and(|code| code.is_ok_and(|code| *code == Some(200))) {
                    return;
                }
            }
        });
        assert!(answered.await.is_ok(), "{} could not register with the PBX", inner.user);
    }

    /// Calls a number.
    pub fn call(&self, number: &str) -> Line {
        self.call_as(number, "")
    }

    /// Calls a number, with these lines in the INVITE.
    pub fn call_as(&self, number: &str, more: &str) -> Line {
        let line = Line::placed(&self.inner, number, more);
        self.inner.lines.lock().unwrap().insert(line.call_id().to_owned(), line.clone());
        line
    }

    /// The next call that comes in (or came in).
    pub async fn rung(&self) -> Line {
        let next = timeout(PATIENCE, async { self.incoming.lock().await.recv().await }).await;
        next.unwrap_or_else(|_| panic!("nobody called {}", self.inner.user)).unwrap()
    }

    /// How many calls came in.
    pub fn times_rung(&self) -> usize {
        self.inner.lines.lock().unwrap().len()
    }

    /// From now on it does this with what comes in.
    pub fn set_policy(&self, policy: Policy) {
        *self.inner.policy.lock().unwrap() = policy;
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Inner {
    async fn listen(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        while let Ok(read) = self.socket.recv(&mut buffer).await {
            if let Some(packet) = Packet::read(&buffer[..read]) {
                self.take(&packet);
            }
        }
    }

    fn take(self: &Arc<Self>, packet: &Packet) {
        if let (Some(code), "REGISTER") = (packet.code(), packet.method()) {
            self.registered.send_replace(Some(code));
            return;
        }
        let line = self.lines.lock().unwrap().get(packet.get("call-id")).cloned();
        match (packet.code(), packet.method(), line) {
            (Some(code), "INVITE", Some(line)) => line.answered(code, packet),
            (Some(_), ..) | (None, "ACK", _) => {}
            (None, "INVITE", None) => self.ring(packet),
            (None, "INVITE", Some(line)) => line.invited_again(packet),
            (None, "CANCEL", Some(line)) => line.canceled(packet),
            (None, "BYE", Some(line)) => {
                self.answer(packet, "200 OK", "", "");
                line.ended();
            }
            (None, "NOTIFY", Some(line)) => {
                self.answer(packet, "200 OK", "", "");
                // How a transfer went: it worked, so this phone is out of the call.
                if packet.body.starts_with("SIP/2.0 200") && line.facts().ended_ms.is_none() {
                    line.hang_up();
                }
            }
            (None, ..) => self.answer(packet, "200 OK", "", ""),
        }
    }

    fn ring(self: &Arc<Self>, packet: &Packet) {
        let line = Line::offered(self, packet);
        self.lines.lock().unwrap().insert(line.call_id().to_owned(), line.clone());
        let policy = self.policy.lock().unwrap().clone();
        tokio::spawn(line.clone().obey(policy));
        let _ = self.rung.send(line);
    }

    pub fn request(&self, request: &Request<'_>) {
        self.post(&request.text(&self.user, self.at));
    }

    pub fn answer(&self, request: &Packet, status: &str, tag: &str, body: &str) {
        self.post(&request.answer(status, tag, &self.contact(), body));
    }

    /// A datagram to this machine: it is gone at once, or its reader is.
    pub fn post(&self, text: &str) {
        let _ = self.socket.try_send_to(text.as_bytes(), self.pbx);
    }

    fn contact(&self) -> String {
        format!("sip:{}@{}", self.user, self.at)
    }
}
