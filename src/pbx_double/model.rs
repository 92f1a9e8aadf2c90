//! A PBX as a small model: its channels and bridges, the calls under way, and what it tells of them.

use super::{
    channel::{Channel, DOWN, Party, UP},
    fate::{Order, Step, outcome, steps},
    text::{Class, Head, News, Text},
    truth::Truth,
};
use crate::domain::{state::Outcome, time::Millis};
use std::collections::BTreeMap;

/// A phone of the PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// Its extension, such as `2001`.
    pub exten: String,
    /// Whose it is.
    pub name: String,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    head: Head,
    phones: Vec<Phone>,
    boot_ms: Millis,
    pub(super) channels: Vec<Channel>,
    /// Who is in which bridge, in the order they entered.
    pub(super) bridges: BTreeMap<String, Vec<String>>,
    bridges_made: u64,
    names_made: u32,
    ids_made: u64,
    calls: BTreeMap<u64, Call>,
    calls_made: u64,
    plan: BTreeMap<(Millis, u64), (u64, Step)>,
    planned: u64,
    now_ms: Millis,
    beyond_us: u32,
    told: Vec<News>,
}

/// A call under way, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub order: Order,
    /// The ids of its legs, in the order they began.
    pub legs: Vec<String>,
    pub truth: Truth,
}

impl Model {
    /// One that starts now.
    pub fn new(head: Head, phones: Vec<Phone>, now_ms: Millis) -> Self {
        Self {
            head,
            phones,
            boot_ms: now_ms,
            channels: Vec::new(),
            bridges: BTreeMap::new(),
            bridges_made: 0,
            names_made: 0,
            ids_made: 0,
            calls: BTreeMap::new(),
            calls_made: 0,
            plan: BTreeMap::new(),
            planned: 0,
            now_ms,
            beyond_us: 0,
            told: Vec::new(),
        }
    }

    /// When it began to run.
    pub const fn boot_ms(&self) -> Millis {
        self.boot_ms
    }

    /// Its phones.
    pub fn phones(&self) -> &[Phone] {
        &self.phones
    }

    /// What lives now.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Makes a call; its number, by which [`Self::truth`] knows it.
    pub fn call(&mut self, order: Order, now_ms: Millis) -> u64 {
        self.calls_made += 1;
        let number = self.calls_made;
        for (after_ms, step) in steps(&order) {
            self.planned += 1;
            self.plan.insert((now_ms.saturating_add(after_ms), self.planned), (number, step));
        }
        let truth = Truth::of(&order);
        self.calls.insert(number, Call { order, legs: Vec::new(), truth });
        if self.calls.len() > CALLS_MAX {
            self.calls.pop_first();
        }
        number
    }

    /// What really becomes of a call, as far as it has come.
    pub fn truth(&self, call: u64) -> Option<&Truth> {
        self.calls.get(&call).map(|call| &call.truth)
    }

    /// What really became of all of them, oldest first.
    pub fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.calls.values().map(|call| &call.truth)
    }

    /// When something happens next.
    pub fn next_due_ms(&self) -> Option<Millis> {
        self.plan.first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    /// Lets everything happen that is due, each thing at its moment; what there is to tell of it.
    pub fn tick(&mut self, now_ms: Millis) -> Vec<News> {
        while let Some(entry) = self.plan.first_entry() {
            if entry.key().0 > now_ms {
                break;
            }
            let at_ms = entry.key().0;
            let (call, step) = entry.remove();
            self.at(at_ms.max(self.now_ms));
            self.happen(call, step);
        }
        self.at(now_ms.max(self.now_ms));
        std::mem::take(&mut self.told)
    }

    /// Ends a leg because somebody asked for it over AMI; whether there was one of this name or id.
    pub fn hang_up(&mut self, name_or_id: &str, cause: u8, now_ms: Millis) -> bool {
        self.at(now_ms.max(self.now_ms));
        let Some(id) = self.find_id(name_or_id) else { return false };
        let found = self.calls.iter().find(|(_, call)| call.legs.contains(&id)).map(|(number, _)| *number);
        let before = self.devices();
        let is_unanswered = self.channel(&id).is_some_and(|channel| channel.originated && channel.is_dialed());
        if let Some(call) = found.filter(|_| is_unanswered).and_then(|number| self.calls.get(&number)).cloned() {
            self.tell_originated(&call, &id, 0);
        }
        self.ask_to_end(&id, cause);
        self.tell_devices(&before);
        let Some(number) = found else { return true };
        self.plan.retain(|_, (call, _)| *call != number);
        let now_ms = self.now_ms;
        if let Some(call) = self.calls.get_mut(&number) {
            let outcome = if call.truth.answered_ms.is_some() { Outcome::Completed } else { Outcome::Canceled };
            call.truth.over(outcome, now_ms);
        }
        true
    }

    /// Everything ends at once and nobody is told; the counters begin again.
    pub fn restart(&mut self, now_ms: Millis) {
        self.at(now_ms.max(self.now_ms));
        self.channels.clear();
        self.bridges.clear();
        self.plan.clear();
        (self.names_made, self.ids_made, self.boot_ms) = (0, 0, self.now_ms);
        let now_ms = self.now_ms;
        for call in self.calls.values_mut().filter(|call| call.truth.outcome.is_none()) {
            let answered = call.truth.answered_ms.is_some();
            call.truth.over(if answered { Outcome::Completed } else { Outcome::NoAnswer }, now_ms);
            call.truth.killed = true;
        }
    }

    /// The time of the next thing, to the microsecond, so that things have an order.
    fn moment(&mut self) -> (Millis, u32) {
        self.beyond_us += 1;
        (self.now_ms, self.beyond_us)
    }

    fn at(&mut self, now_ms: Millis) {
        if now_ms != self.now_ms {
            (self.now_ms, self.beyond_us) = (now_ms, 0);
        }
    }

    fn happen(&mut self, number: u64, step: Step) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        let before = self.devices();
        match step {
            Step::Over(_) if call.truth.outcome.is_some() => {}
            Step::Over(outcome) => call.truth.over(outcome, self.now_ms),
            step => self.act(&mut call, step),
        }
        self.tell_devices(&before);
        self.calls.insert(number, call);
    }

    /// Tells something that is about these legs.
    pub(super) fn tell(&mut self, event: &str, legs: &[(&str, &str)], more: impl FnOnce(Text) -> Text) {
        self.tell_as(event, Class::Call, legs, more);
    }

    pub(super) fn tell_as(
        &mut self,
        event: &str,
        class: Class,
        legs: &[(&str, &str)],
        more: impl FnOnce(Text) -> Text,
    ) {
        let moment = self.moment();
        let mut text = self.head.begin(event, class, moment);
        for (prefix, id) in legs {
            text = text.lines(self.channel(id).map(|channel| channel.lines(prefix)).unwrap_or_default());
        }
        self.told.push(News { class, bytes: more(text).end() });
    }

    /// Somebody told the world something by an action.
    pub fn announce(&mut self, event: &str, lines: Vec<(String, String)>, now_ms: Millis) -> News {
        self.at(now_ms.max(self.now_ms));
        let moment = self.moment();
        let text = self.head.begin("UserEvent", Class::User, moment).line("UserEvent", event).lines(lines);
        News { class: Class::User, bytes: text.end() }
    }

    pub(super) fn channel(&self, id: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.uniqueid == id)
    }

    pub(super) fn channel_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.uniqueid == id)
    }

    fn find_id(&self, name_or_id: &str) -> Option<String> {
        let same = |channel: &&Channel| channel.name == name_or_id || channel.uniqueid == name_or_id;
        self.channels.iter().find(same).map(|channel| channel.uniqueid.clone())
    }

    pub(super) const fn now_ms(&self) -> Millis {
        self.now_ms
    }

    pub(super) fn party(&self, exten: &str) -> Party {
        let phone = self.phones.iter().find(|phone| phone.exten == exten);
        Party { number: exten.to_owned(), name: phone.map(|phone| phone.name.clone()).unwrap_or_default() }
    }

    /// A new leg of this phone; its id.
    pub(super) fn make(&mut self, phone: &str, state: u8, linkedid: Option<&str>, id: Option<String>) -> String {
        let uniqueid = id.unwrap_or_else(|| {
            let system = self.head.system_name.as_ref().map(|name| format!("{name}-")).unwrap_or_default();
            format!("{system}{}.{}", self.now_ms.div_euclid(1_000), self.ids_made)
        });
        let name = format!("PJSIP/{phone}-{:08x}", self.names_made);
        self.ids_made += 1;
        self.names_made = self.names_made.wrapping_add(1);
        let channel = Channel {
            name,
            linkedid: linkedid.unwrap_or(&uniqueid).to_owned(),
            uniqueid: uniqueid.clone(),
            state,
            party: self.party(phone),
            connected: Party::default(),
            exten: "s".to_owned(),
            priority: 1,
            application: ("AppDial", "(Outgoing Line)".to_owned()),
            bridge: None,
            began_ms: self.now_ms,
            answered_ms: None,
            dialed_by: None,
            originated: false,
            variables: Vec::new(),
        };
        self.channels.push(channel);
        uniqueid
    }

    /// A name for a new bridge, of the form Asterisk's have.
    pub(super) fn name_bridge(&mut self) -> String {
        self.bridges_made += 1;
        let (count, boot) = (self.bridges_made, self.boot_ms.unsigned_abs() & 0xffff_ffff_ffff);
        format!("{:08x}-0d0b-4000-8000-{boot:012x}", count & 0xffff_ffff)
    }

    /// The state of each phone, as `DeviceStateList` lists them.
    pub fn devices(&self) -> Vec<(String, &'static str)> {
        let state = |phone: &Phone| {
            let device = format!("PJSIP/{}", phone.exten);
            let own: Vec<_> = self.channels.iter().filter(|channel| channel.device() == device).collect();
            let word = match () {
                () if own.iter().any(|channel| channel.state != DOWN && !channel.is_dialed()) => "INUSE",
                () if own.iter().any(|channel| channel.state == UP) => "INUSE",
                () if own.iter().any(|channel| channel.state != DOWN) => "RINGING",
                () => "NOT_INUSE",
            };
            (device, word)
        };
        self.phones.iter().map(state).collect()
    }

    fn tell_devices(&mut self, before: &[(String, &'static str)]) {
        for (device, state) in self.devices() {
            if before.iter().any(|(was, word)| *was == device && *word == state) {
                continue;
            }
            let exten = device.trim_start_matches("PJSIP/").to_owned();
            let (status, words) = hint(state);
            self.tell("DeviceStateChange", &[], |text| text.line("Device", &device).line("State", state));
            self.tell("ExtensionStatus", &[], |text| {
                let text = text.line("Exten", &exten).line("Context", "hints").line("Hint", &device);
                text.line("Status", status).line("StatusText", words)
            });
        }
    }
}

/// The state of a hint whose device has this state.
pub fn hint(device_state: &str) -> (u8, &'static str) {
    match device_state {
        "INUSE" => (1, "InUse"),
        "RINGING" => (8, "Ringing"),
        _ => (0, "Idle"),
    }
}

impl Call {
    /// The id of a leg; nothing if it never began.
    pub fn leg(&self, at: usize) -> Option<String> {
        self.legs.get(at).cloned()
    }
}

/// How a call ends if nothing comes between, for those who compare.
pub fn expected(order: &Order) -> Outcome {
    outcome(&order.fate)
}

/// What became of older calls is forgotten.
const CALLS_MAX: usize = 10_000;
