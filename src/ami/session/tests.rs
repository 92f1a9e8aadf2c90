//! Dialogues: what the other side says, what the session does. The answers are Asterisk's, see `fixtures/ami`.

use super::*;
use crate::ami::{
    Channel,
    frame::{Frame, Frames},
};
use bytes::BytesMut;
use tokio_util::codec::Decoder;

const NOW: Millis = 1_795_159_934_000;

struct Talk {
    session: Session,
    now_ms: Millis,
    sent: Vec<(Action, String)>,
    told: Vec<Output>,
}

impl Talk {
    fn new(role: Role, tls: bool) -> Self {
        let identity = Identity { user: "lab".to_owned(), secret: "labsecret".to_owned().into(), tls };
        let terms = Terms { role, identity, patience: Patience::default(), name: "onhook-t1".to_owned() };
        Self { session: Session::new(terms, NOW), now_ms: NOW, sent: Vec::new(), told: Vec::new() }
    }

    /// Up to the login's acceptance, booted an hour ago.
    fn logged_in(role: Role) -> Self {
        let mut talk = Self::new(role, false);
        talk.session.on_banner("5.0.4".to_owned(), NOW).unwrap();
        talk.collect();
        talk.hear("Response: Success\nActionID: {Challenge}\nChallenge: 622055135\n\n").unwrap();
        talk.hear("Response: Success\nActionID: {Login}\nMessage: Authentication accepted\n\n").unwrap();
        talk
    }

    /// Up to `Up`; the list is asked for.
    fn up() -> Self {
        let mut talk = Self::logged_in(Role::Listening);
        talk.hear("Event: FullyBooted\nPrivilege: system,all\nUptime: 3600\n\n").unwrap();
        talk.pong().unwrap();
        talk.hear(SETTINGS).unwrap();
        talk.hear(STATUS_OF_CORE).unwrap();
        assert!(talk.session.is_ready());
        talk
    }

    fn collect(&mut self) {
        while let Some(output) = self.session.output() {
            match output {
                Output::Send { action, id } => self.sent.push((action, id)),
                told => self.told.push(told),
            }
        }
    }

    fn id(&self, action: &str) -> String {
        let last = self.sent.iter().rev().find(|(sent, _)| sent.name() == action);
        last.map(|(_, id)| id.clone()).unwrap_or_else(|| panic!("{action} was not sent: {:?}", self.names()))
    }

    fn names(&self) -> Vec<&str> {
        self.sent.iter().map(|(sent, _)| sent.name()).collect()
    }

    /// Hears messages; `{Action}` stands for the id under which that was sent last.
    fn hear(&mut self, text: &str) -> Result<(), Failure> {
        let mut text = text.to_owned();
        while let Some((before, rest)) = text.split_once('{') {
            let (action, after) = rest.split_once('}').unwrap();
            text = format!("{before}{}{after}", self.id(action));
        }
        let mut bytes = BytesMut::from(format!("Asterisk Call Manager/5.0.4\n{text}").as_str());
        let mut frames = Frames::default();
        while let Some(frame) = frames.decode(&mut bytes).unwrap() {
            if let Frame::Message(message) = frame {
                let done = self.session.on_message(message, self.now_ms);
                self.collect();
                done?;
            }
        }
        assert!(bytes.is_empty(), "half a message in the test: {text}");
        Ok(())
    }

    fn pong(&mut self) -> Result<(), Failure> {
        let there = format!("{}.{:03}000", self.now_ms / 1_000, self.now_ms % 1_000);
        self.hear(&format!("Response: Success\nActionID: {{Ping}}\nPing: Pong\nTimestamp: {there}\n\n"))
    }

    /// Lets the time pass, waking the session when it asked for it.
    fn pass(&mut self, by_ms: Millis) -> Result<(), Failure> {
        let end = self.now_ms + by_ms;
        while self.session.wake_at_ms() <= end {
            self.now_ms = self.session.wake_at_ms().max(self.now_ms);
            let done = self.session.tick(self.now_ms);
            self.collect();
            done?;
            assert!(self.session.wake_at_ms() > self.now_ms, "it wants to be woken for ever");
        }
        self.now_ms = end;
        self.session.tick(end)?;
        self.collect();
        Ok(())
    }

    fn ups(&self) -> Vec<&Up> {
        self.told.iter().filter_map(|told| if let Output::Up(up) = told { Some(up) } else { None }).collect()
    }

    fn lists(&self) -> Vec<&Snapshot> {
        self.told.iter().filter_map(|told| if let Output::Listed(list) = told { Some(list) } else { None }).collect()
    }

    /// The events told, with when they happened, as milliseconds after the start.
    fn events(&self) -> Vec<(String, Option<Millis>)> {
        let told = self.told.iter().filter_map(|told| match told {
            Output::Message(m, heard) => Some((m.event().unwrap().to_owned(), heard.at_ms.map(|at| at - NOW))),
            _ => None,
        });
        told.collect()
    }
}

const SETTINGS: &str = "Response: Success\nActionID: {CoreSettings}\nAMIversion: 5.0.4\nAsteriskVersion: 16.28.0~dfsg\n\
                        SystemName: pbx1\n\n";
/// Started 07:32:14 − 1 h: of NOW's quarter of an hour that is 0, so the minutes are moved.
const STATUS_OF_CORE: &str =
    "Response: Success\nActionID: {CoreStatus}\nCoreStartupDate: 2026-11-20\nCoreStartupTime: 06:25:00\n\n";
const CHANNELS: &str = "Response: Success\nActionID: {CoreShowChannels}\nEventList: start\n\n\
    Event: CoreShowChannel\nActionID: {CoreShowChannels}\nChannel: PJSIP/2001-0000001f\nChannelState: 6\nCallerIDNum: 2001\n\
    ConnectedLineNum: <unknown>\nExten: 2002\nUniqueid: pbx1-1.3072\nLinkedid: pbx1-1.3072\nApplication: Dial\n\
    Duration: 01:00:05\nBridgeId: 1da9\n\n\
    Event: CoreShowChannelsComplete\nActionID: {CoreShowChannels}\nEventList: Complete\nListItems: 1\n\n";
const STATUS: &str = "Response: Success\nActionID: {Status}\nEventList: start\n\n\
    Event: Status\nPrivilege: Call\nChannel: PJSIP/2001-0000001f\nChannelState: 6\nUniqueid: pbx1-1.3072\nLinkedid: pbx1-1.3072\n\
    BridgeID: 1da9\nDNID: 2002\nSeconds: 3605\nVariable: CDR(answer,u)=1795159900.573179\nVariable: ONHOOK_LEAD=lead=7\n\
    ActionID: {Status}\n\n\
    Event: Status\nPrivilege: Call\nChannel: PJSIP/2002-00000020\nChannelState: 5\nUniqueid: pbx1-1.3073\nLinkedid: pbx1-1.3072\n\
    Seconds: 5\nVariable: CDR(answer,u)=\nVariable: ONHOOK_LEAD=(null)\nActionID: {Status}\n\n\
    Event: StatusComplete\nActionID: {Status}\nEventList: Complete\nListItems: 2\nItems: 2\n\n";

mod asking;
mod dialogue;
mod trouble;
