//! The actions, and how they are answered.

use super::{
    Double, Out, Play,
    line::{Line, Request},
    lists,
    text::{Class, News, Text, epoch},
};
use crate::domain::time::{Millis, rfc3339};
use md5::{Digest, Md5};

impl Double {
    pub(super) fn answer(&mut self, number: u64, request: &Request, now_ms: Millis) {
        let id = request.get("ActionID");
        let action = request.action().to_ascii_lowercase();
        let logged_in = self.lines.get(&number).is_some_and(|line| line.user.is_some());
        let bytes = match action.as_str() {
            "login" => return self.login(number, request, now_ms),
            "challenge" => self.challenge(number, request),
            "logoff" => {
                let bye = Text::response("Goodbye", id).line("Message", "Thanks for all the fish.").end();
                self.put(number, now_ms, Out::Bytes(bye));
                return self.put(number, now_ms, Out::Close);
            }
            "" => refuse(id, "Missing action in request"),
            _ if !logged_in => refuse(id, "Permission denied"),
            _ if !self.may(number, &action) => refuse(id, "Permission denied"),
            // What comes of it is told after the answer.
            "originate" => return self.originate(number, request, now_ms),
            _ => self.act_on(number, &action, request, now_ms),
        };
        self.put(number, now_ms, Out::Bytes(bytes));
    }

    fn act_on(&mut self, number: u64, action: &str, request: &Request, now_ms: Millis) -> Vec<u8> {
        let id = request.get("ActionID");
        match action {
            "ping" => {
                let pong = Text::response("Success", id).line("Ping", "Pong");
                pong.line("Timestamp", epoch((now_ms, 0))).end()
            }
            "events" => {
                let mask = mask(request.get("EventMask").unwrap_or("on"));
                let word = if mask.is_empty() { "Off" } else { "On" };
                self.set_mask(number, mask);
                Text::response("Success", id).line("Events", word).end()
            }
            "coresettings" => {
                let text = Text::response("Success", id).line("AMIversion", &self.setup.ami_version);
                let text = text.line("AsteriskVersion", &self.setup.version);
                let name = self.setup.head.system_name.as_deref().unwrap_or_default();
                text.line("SystemName", name).line("CoreMaxCalls", 0).line("CoreCDRenabled", "Yes").end()
            }
            "corestatus" => self.core_status(id),
            "coreshowchannels" => {
                self.list_of_tape(now_ms);
                self.lists_answered += 1;
                lists::channels(self.channels(), id, now_ms)
            }
            "status" => self.status(request, now_ms),
            "queuestatus" => lists::queues(&self.setup.phones, self.channels(), id, now_ms),
            "devicestatelist" => lists::devices(&self.devices(), id),
            "extensionstatelist" => lists::extensions(&self.devices(), id),
            "hangup" => self.hang_up(request, now_ms),
            "userevent" => self.user_event(request, now_ms),
            "listcommands" => {
                let list = |text: Text, (name, _): &(&str, &[Class])| text.line(name, "(Priv: see manager.conf)");
                ACTIONS.iter().fold(Text::response("Success", id), list).end()
            }
            _ => {
                let name = request.action();
                let hint = "Use Action: ListCommands to show available commands.";
                refuse(id, &format!("Invalid/unknown command: {name}. {hint}"))
            }
        }
    }

    /// Whether the user may do this: a right to write one of its classes.
    fn may(&self, number: u64, action: &str) -> bool {
        let write = self.lines.get(&number).and_then(|line| line.user.as_ref()).map(|(_, _, write)| write.as_slice());
        let needs = ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(action)).map_or(&[][..], |(_, any)| any);
        needs.is_empty() || needs.iter().any(|class| write.is_some_and(|write| write.contains(class)))
    }

    /// Takes every right to do something from a user, also where it is logged in; the right to ask how things are stays.
    pub fn forbid(&mut self, name: &str) {
        let users = self.setup.users.iter_mut().filter(|user| user.name == name);
        users.for_each(|user| user.write = vec![Class::Reporting]);
        let lines = self.lines.values_mut().filter_map(|line| line.user.as_mut()).filter(|(user, ..)| user == name);
        lines.for_each(|(_, _, write)| *write = vec![Class::Reporting]);
    }

    fn challenge(&mut self, number: u64, request: &Request) -> Vec<u8> {
        let id = request.get("ActionID");
        if request.get("AuthType").is_none_or(|kind| !kind.eq_ignore_ascii_case("MD5")) {
            return refuse(id, "Must specify AuthType");
        }
        self.challenges += 1;
        // Any number that is another one each time.
        let challenge = format!("{}", 600_000_000 + self.challenges.wrapping_mul(7_919_317) % 300_000_000);
        let text = Text::response("Success", id).line("Challenge", &challenge);
        if let Some(line) = self.lines.get_mut(&number) {
            line.challenge = Some(challenge);
        }
        text.end()
    }

    fn login(&mut self, number: u64, request: &Request, now_ms: Millis) {
        let id = request.get("ActionID").map(str::to_owned);
        if let Play::Tape(tape) = &self.play {
            // As it was answered when it was captured: refused, or not at all.
            let Some(captured) = tape.login() else { return };
            if captured.get("Response") != Some("Success") {
                let bytes = captured.with_action_id(id.as_deref());
                self.put(number, now_ms, Out::Bytes(bytes));
                return self.put(number, now_ms, Out::Close);
            }
        }
        let user = self.setup.users.iter().find(|user| Some(user.name.as_str()) == request.get("Username"));
        let user = user.filter(|user| !self.faults.refuse_login && self.knows(number, request, &user.secret));
        let Some(user) = user.map(|user| (user.name.clone(), user.read.clone(), user.write.clone())) else {
            let late_ms = now_ms + self.setup.login_failure_ms;
            self.put(number, late_ms, Out::Bytes(refuse(id.as_deref(), "Authentication failed")));
            return self.put(number, late_ms, Out::Close);
        };
        let mask = mask(request.get("Events").unwrap_or("on"));
        let late_ms = now_ms + self.faults.login_delay_ms;
        let welcome = Text::response("Success", id.as_deref()).line("Message", "Authentication accepted").end();
        if let Some(line) = self.lines.get_mut(&number) {
            line.user = Some(user);
        }
        self.put(number, late_ms, Out::Bytes(welcome));
        self.set_mask(number, mask);
        self.greet(number, late_ms);
    }

    fn knows(&self, number: u64, request: &Request, secret: &str) -> bool {
        let challenge = self.lines.get(&number).and_then(|line| line.challenge.as_deref());
        match (request.get("AuthType"), challenge) {
            (Some(_), Some(challenge)) => {
                let key = hex::encode(Md5::digest(format!("{challenge}{secret}")));
                request.get("Key") == Some(key.as_str())
            }
            (Some(_), None) => false,
            (None, _) => request.get("Secret") == Some(secret),
        }
    }

    /// `FullyBooted`, told to everybody who logs in and may hear it.
    fn greet(&mut self, number: u64, now_ms: Millis) {
        let starts = match &mut self.play {
            Play::Tape(tape) => tape.begin(),
            Play::Model(_) => false,
        };
        let up_s = (now_ms - self.boot_ms()).max(0) / 1_000;
        let text = Text::new("Event", "FullyBooted").line("Privilege", "system,all").line("Uptime", up_s);
        let news =
            News { class: Class::System, bytes: text.line("LastReload", up_s).line("Status", "Fully Booted").end() };
        let hears = self.lines.get(&number).is_some_and(|line| line.hears(&news));
        if starts {
            // A capture has its own, which comes at once as well.
            self.tick(now_ms);
        } else if hears {
            self.put(number, now_ms, Out::Bytes(news.bytes));
        }
    }

    fn set_mask(&mut self, number: u64, mask: Vec<Class>) {
        if let Some(line) = self.lines.get_mut(&number) {
            line.mask = mask;
        }
    }

    fn core_status(&self, id: Option<&str>) -> Vec<u8> {
        let started = rfc3339(self.boot_ms());
        let (date, time) = started.split_once('T').unwrap_or_default();
        let time = time.get(..8).unwrap_or_default();
        let text = Text::response("Success", id).line("CoreStartupDate", date).line("CoreStartupTime", time);
        let text = text.line("CoreReloadDate", date).line("CoreReloadTime", time);
        text.line("CoreCurrentCalls", self.channels().len()).end()
    }

    fn status(&mut self, request: &Request, now_ms: Millis) -> Vec<u8> {
        self.list_of_tape(now_ms);
        let id = request.get("ActionID");
        let variables = request.get("Variables").unwrap_or_default();
        let Some(asked) = request.get("Channel").filter(|channel| !channel.is_empty()) else {
            return lists::status(self.channels(), variables, id, now_ms);
        };
        let one = self.channels().iter().find(|channel| channel.name == asked || channel.uniqueid == asked);
        match one {
            Some(one) => lists::status(std::slice::from_ref(one), variables, id, now_ms),
            None => refuse(id, "No such channel"),
        }
    }

    fn hang_up(&mut self, request: &Request, now_ms: Millis) -> Vec<u8> {
        let id = request.get("ActionID");
        let Some(channel) = request.get("Channel").filter(|channel| !channel.is_empty()) else {
            return refuse(id, "No channel specified");
        };
        let cause = request.get("Cause").and_then(|cause| cause.parse().ok()).unwrap_or(16);
        let Play::Model(model) = &mut self.play else { return refuse(id, "No such channel") };
        let (found, answer) = (model.hang_up(channel, cause, now_ms), Text::response("Success", id));
        if found { answer.line("Message", "Channel Hungup").end() } else { refuse(id, "No such channel") }
    }

    fn user_event(&mut self, request: &Request, now_ms: Millis) -> Vec<u8> {
        let id = request.get("ActionID");
        let Some(name) = request.get("UserEvent").map(str::to_owned) else { return refuse(id, "Missing UserEvent") };
        let own = |key: &str| ["Action", "ActionID", "UserEvent"].iter().any(|own| key.eq_ignore_ascii_case(own));
        let lines = request.headers.iter().filter(|(key, _)| !own(key)).cloned().collect();
        if let Play::Model(model) = &mut self.play {
            let news = model.announce(&name, lines, now_ms);
            self.tell(vec![news], now_ms);
        }
        Text::response("Success", id).line("Message", "Event Sent").end()
    }

    pub(super) fn line(&self, number: u64) -> Option<&Line> {
        self.lines.get(&number)
    }
}

/// Which news are wanted: all, none, or these; one word that nobody knows makes it none, as Asterisk has it.
fn mask(words: &str) -> Vec<Class> {
    match words.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" | "all" | "-1" => Class::ALL.to_vec(),
        "off" | "no" | "false" | "0" | "" => Vec::new(),
        words => words.split(',').map(|word| word.trim().parse().ok()).collect::<Option<_>>().unwrap_or_default(),
    }
}

/// An error that leaves the session as it is.
pub(super) fn refuse(id: Option<&str>, message: &str) -> Vec<u8> {
    Text::response("Error", id).line("Message", message).end()
}

/// Every action with the classes of which a user must be allowed to write one; empty: nothing is needed.
const ACTIONS: &[(&str, &[Class])] = &[
    ("Challenge", &[]),
    ("Command", &[Class::Command]),
    ("CoreSettings", &[Class::System, Class::Reporting]),
    ("CoreShowChannels", &[Class::System, Class::Reporting]),
    ("CoreStatus", &[Class::System, Class::Reporting]),
    ("DeviceStateList", &[Class::Call, Class::Reporting]),
    ("Events", &[]),
    ("ExtensionStateList", &[Class::Call, Class::Reporting]),
    ("GetConfig", &[Class::System, Class::Config]),
    ("Hangup", &[Class::System, Class::Call]),
    ("ListCommands", &[]),
    ("Login", &[]),
    ("Logoff", &[]),
    ("Originate", &[Class::Originate]),
    ("Ping", &[]),
    ("QueueStatus", &[]),
    ("Status", &[Class::System, Class::Call, Class::Reporting]),
    ("UserEvent", &[Class::User]),
];
