//! One call at one phone: what it does, and what the phone remembers of it.
//!
//! That is the truth which the database is compared with.

use super::{
    phone::{Inner, Policy, Then},
    sip::{Packet, Request, sound, tag},
};
use rand::RngExt;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How far a call is at this phone, and when it came there (milliseconds since 1970).
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub began_ms: i64,
    pub ringing_ms: Option<i64>,
    pub up_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    /// The status of the last answer to its INVITE.
    pub code: Option<u16>,
}

/// One call at one phone.
#[derive(Clone)]
pub struct Line {
    phone: Arc<Inner>,
    call_id: Arc<str>,
    dialog: Arc<Mutex<Dialog>>,
    facts: Arc<watch::Sender<Facts>>,
}

#[derive(Default)]
struct Dialog {
    /// From and To of our requests.
    local: String,
    remote: String,
    /// What our requests are sent to; an INVITE of ours first to the number.
    target: String,
    number: u32,
    /// Of our INVITE.
    branch: String,
    /// The INVITE that we were sent.
    invite: Option<Packet>,
}

impl Line {
    /// A call of this phone to a number, with these lines in its INVITE.
    pub fn placed(phone: &Arc<Inner>, number: &str, more: &str) -> Self {
        let uri = format!("sip:{number}@127.0.0.1:{}", phone.pbx.port());
        let dialog = Dialog {
            local: format!("<sip:{}@127.0.0.1>;tag={}", phone.user, token()),
            remote: format!("<{uri}>"),
            target: uri,
            number: 1,
            branch: branch(),
            invite: None,
        };
        let line = Self::new(phone, token(), dialog);
        line.send("INVITE", 1, more, &sound(phone.at, 1, "sendrecv"));
        line
    }

    /// A call that came in.
    pub fn offered(phone: &Arc<Inner>, invite: &Packet) -> Self {
        let dialog = Dialog {
            local: format!("{};tag={}", invite.get("to"), token()),
            remote: invite.get("from").to_owned(),
            target: invite.target().unwrap_or_default(),
            number: 1,
            branch: String::new(),
            invite: Some(invite.clone()),
        };
        Self::new(phone, invite.get("call-id").to_owned(), dialog)
    }

    fn new(phone: &Arc<Inner>, call_id: String, dialog: Dialog) -> Self {
        let facts = Facts { began_ms: now_ms(), ..Facts::default() };
        Self {
            phone: phone.clone(),
            call_id: call_id.into(),
            dialog: Arc::new(Mutex::new(dialog)),
            facts: Arc::new(watch::Sender::new(facts)),
        }
    }

    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// What is known by now.
    pub fn facts(&self) -> Facts {
        *self.facts.borrow()
    }

    /// Waits until it rings (at the far end, if this phone called).
    pub async fn ringing(&self) -> Facts {
        self.until("ring", |facts| facts.ringing_ms.is_some()).await
    }

    /// Waits until it is answered.
    pub async fn up(&self) -> Facts {
        self.until("be answered", |facts| facts.up_ms.is_some()).await
    }

    /// Waits until it is over, answered or not.
    pub async fn over(&self) -> Facts {
        self.until("end", |facts| facts.ended_ms.is_some()).await
    }

    /// Hangs up.
    pub fn hang_up(&self) {
        self.in_dialog("BYE", "", "");
        self.ended();
    }

    /// Gives up a call that was not answered yet.
    pub fn cancel(&self) {
        let dialog = self.dialog.lock().unwrap();
        self.phone.request(&Request {
            method: "CANCEL",
            uri: &dialog.target,
            from: &dialog.local,
            to: &dialog.remote,
            call_id: &self.call_id,
            number: 1,
            branch: &dialog.branch,
            more: "",
            body: "",
        });
    }

    /// Answers a call that rings and rings.
    pub fn answer(&self) {
        self.say("200 OK", &sound(self.phone.at, 1, "sendrecv"));
        self.note(|facts, now| facts.up_ms = Some(now));
    }

    pub fn hold(&self) {
        self.in_dialog("INVITE", "", &sound(self.phone.at, 2, "sendonly"));
    }

    pub fn resume(&self) {
        self.in_dialog("INVITE", "", &sound(self.phone.at, 3, "sendrecv"));
    }

    /// Sends the far end to this number.
    pub fn transfer(&self, number: &str) {
        self.refer(&format!("sip:{number}@127.0.0.1"));
    }

    /// Puts the far end of this call through to the far end of another one of this phone.
    pub fn transfer_to(&self, other: &Self) {
        let refer_to = {
            let dialog = other.dialog.lock().unwrap();
            let uri = dialog.remote.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let (ours, theirs) = (tag(&dialog.local), tag(&dialog.remote));
            format!("{uri}?Replaces={}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}", other.call_id)
        };
        self.refer(&refer_to);
    }

    fn refer(&self, to: &str) {
        let by = format!("Refer-To: <{to}>\r\nReferred-By: <sip:{}@127.0.0.1>\r\n", self.phone.user);
        self.in_dialog("REFER", &by, "");
    }

    /// What a phone does by itself with a call that came in.
    pub async fn obey(self, policy: Policy) {
        if let Some(ring) = policy.ring {
            self.say("180 Ringing", "");
            self.note(|facts, now| facts.ringing_ms = Some(now));
            sleep(ring).await;
        }
        if self.facts().ended_ms.is_some() {
            return;
        }
        match policy.then {
            Then::Answer => self.answer(),
            Then::AnswerFor(talk) => {
                self.answer();
                sleep(talk).await;
                if self.facts().ended_ms.is_none() {
                    self.hang_up();
                }
            }
            Then::Refuse(status) => {
                self.say(status, "");
                self.ended();
            }
            Then::Forward(number) => {
                let contact = format!("sip:{number}@127.0.0.1:{}", self.phone.pbx.port());
                let dialog = self.dialog.lock().unwrap();
                let (invite, tag) = (dialog.invite.as_ref().unwrap(), tag(&dialog.local));
                self.phone.post(&invite.answer("302 Moved Temporarily", tag, &contact, ""));
                drop(dialog);
                self.ended();
            }
            Then::Nothing => {}
        }
    }

    /// An answer to our INVITE, the first or one that changes the sound.
    pub fn answered(&self, code: u16, packet: &Packet) {
        match code {
            100 => {}
            101..200 => self.note(|facts, now| facts.ringing_ms = facts.ringing_ms.or(Some(now))),
            200..300 => {
                {
                    let mut dialog = self.dialog.lock().unwrap();
                    packet.get("to").clone_into(&mut dialog.remote);
                    dialog.target = packet.target().unwrap_or_else(|| dialog.target.clone());
                }
                self.send("ACK", packet.number(), "", "");
                self.note(|facts, now| (facts.up_ms, facts.code) = (facts.up_ms.or(Some(now)), Some(code)));
            }
            _ => {
                self.acknowledge_refusal(packet);
                self.note(|facts, _| facts.code = Some(code));
                if self.facts().up_ms.is_none() {
                    self.ended();
                }
            }
        }
    }

    fn acknowledge_refusal(&self, packet: &Packet) {
        let dialog = self.dialog.lock().unwrap();
        self.phone.request(&Request {
            method: "ACK",
            uri: &dialog.target,
            from: &dialog.local,
            to: packet.get("to"),
            call_id: &self.call_id,
            number: packet.number(),
            branch: &dialog.branch,
            more: "",
            body: "",
        });
    }

    /// The same INVITE again (ours is on its way), or one inside the call.
    pub fn invited_again(&self, packet: &Packet) {
        if packet.get("to").contains("tag=") {
            self.phone.answer(packet, "200 OK", "", &sound(self.phone.at, 4, "sendrecv"));
        }
    }

    pub fn canceled(&self, packet: &Packet) {
        self.phone.answer(packet, "200 OK", "", "");
        let facts = self.facts();
        if facts.up_ms.is_none() && facts.ended_ms.is_none() {
            self.say("487 Request Terminated", "");
            self.ended();
        }
    }

    /// An answer to the INVITE that began it.
    fn say(&self, status: &str, body: &str) {
        let dialog = self.dialog.lock().unwrap();
        let invite = dialog.invite.as_ref().expect("a call that came in");
        self.phone.answer(invite, status, tag(&dialog.local), body);
    }

    fn in_dialog(&self, method: &str, more: &str, body: &str) {
        let number = {
            let mut dialog = self.dialog.lock().unwrap();
            dialog.number += 1;
            dialog.number
        };
        self.send(method, number, more, body);
    }

    fn send(&self, method: &str, number: u32, more: &str, body: &str) {
        let dialog = self.dialog.lock().unwrap();
        let branch = if method == "INVITE" && number == 1 { dialog.branch.clone() } else { branch() };
        self.phone.request(&Request {
            method,
            uri: &dialog.target,
            from: &dialog.local,
            to: &dialog.remote,
            call_id: &self.call_id,
            number,
            branch: &branch,
            more,
            body,
        });
    }

    pub fn ended(&self) {
        self.note(|facts, now| facts.ended_ms = facts.ended_ms.or(Some(now)));
    }

    fn note(&self, change: impl FnOnce(&mut Facts, i64)) {
        self.facts.send_modify(|facts| change(facts, now_ms()));
    }

    async fn until(&self, what: &str, reached: impl FnMut(&Facts) -> bool) -> Facts {
        let mut facts = self.facts.subscribe();
        let waited = timeout(PATIENCE, facts.wait_for(reached)).await;
        let user = &self.phone.user;
        *waited.unwrap_or_else(|_| panic!("a call at {user} did not {what}: {:?}", self.facts())).unwrap()
    }
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn token() -> String {
    format!("{:016x}", rand::rng().random::<u64>())
}

pub fn branch() -> String {
    format!("z9hG4bK{}", token())
}

/// For how long anything is waited for that ought to happen within a second or two.
pub const PATIENCE: Duration = Duration::from_secs(20);
