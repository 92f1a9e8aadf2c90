//! What is answered with a list: channels, phones, queues.

use super::{
    act::QUEUE,
    channel::Channel,
    model::{Phone, hint},
    text::{Text, epoch},
};
use crate::domain::time::Millis;

/// A whole answer: that a list follows, its items, that it is complete.
pub struct List<'a> {
    action_id: Option<&'a str>,
    bytes: Vec<u8>,
    items: usize,
}

impl<'a> List<'a> {
    fn begin(message: &str, action_id: Option<&'a str>) -> Self {
        let start = Text::response("Success", action_id).line("EventList", "start").line("Message", message);
        Self { action_id, bytes: start.end(), items: 0 }
    }

    fn add(&mut self, item: Text) {
        self.items += 1;
        self.bytes.extend(item.end());
    }

    fn item(&self, event: &str) -> Text {
        Text::new("Event", event).maybe("ActionID", self.action_id)
    }

    fn end(mut self, event: &str) -> Vec<u8> {
        let end = self.item(event).line("EventList", "Complete").line("ListItems", self.items);
        let end = if event == "StatusComplete" { end.line("Items", self.items) } else { end };
        self.bytes.extend(end.end());
        self.bytes
    }
}

/// `CoreShowChannels`.
pub fn channels(channels: &[Channel], action_id: Option<&str>, now_ms: Millis) -> Vec<u8> {
    let mut list = List::begin("Channels will follow", action_id);
    for channel in channels {
        let age_s = (now_ms - channel.began_ms).max(0) / 1_000;
        let duration = format!("{:02}:{:02}:{:02}", age_s / 3_600, age_s / 60 % 60, age_s % 60);
        let (application, arguments) = &channel.application;
        let item = list.item("CoreShowChannel").lines(channel.lines("")).line("Application", application);
        let item = item.line("ApplicationData", arguments).line("Duration", duration);
        list.add(item.line("BridgeId", channel.bridge.as_deref().unwrap_or_default()));
    }
    list.end("CoreShowChannelsComplete")
}

/// `Status`, of one channel or all, with the variables that were asked for.
pub fn status(channels: &[Channel], variables: &str, action_id: Option<&str>, now_ms: Millis) -> Vec<u8> {
    let mut list = List::begin("Channel status will follow", action_id);
    for channel in channels {
        let (application, arguments) = &channel.application;
        let mut item = Text::new("Event", "Status").line("Privilege", "Call").lines(channel.lines(""));
        item = item.line("Type", "PJSIP").line("DNID", &channel.exten).line("TimeToHangup", 0);
        item = item.line("BridgeID", channel.bridge.as_deref().unwrap_or_default());
        item = item.line("Application", application).line("Data", arguments);
        item = item.line("Seconds", (now_ms - channel.began_ms).max(0) / 1_000);
        for name in names(variables) {
            item = item.line("Variable", format_args!("{name}={}", variable(channel, &name)));
        }
        list.add(item.maybe("ActionID", action_id));
    }
    list.end("StatusComplete")
}

/// Splits a list of variables at its commas; those within brackets belong to a function.
fn names(list: &str) -> Vec<String> {
    let (mut names, mut depth) = (vec![String::new()], 0_usize);
    for c in list.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match names.last_mut() {
            _ if c == ',' && depth == 0 => names.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    names.retain(|name| !name.trim().is_empty());
    names
}

fn variable(channel: &Channel, name: &str) -> String {
    let time = |at_ms: Option<Millis>| at_ms.map(|at_ms| epoch((at_ms, 0))).unwrap_or_default();
    match name {
        "CDR(start,u)" => time(Some(channel.began_ms)),
        "CDR(answer,u)" => time(channel.answered_ms),
        "CDR(dst)" => channel.exten.clone(),
        "CHANNEL(linkedid)" => channel.linkedid.clone(),
        other => {
            let own = channel.variables.iter().find(|(key, _)| key == other);
            own.map_or_else(|| "(null)".to_owned(), |(_, value)| value.clone())
        }
    }
}

/// `DeviceStateList`.
pub fn devices(devices: &[(String, &'static str)], action_id: Option<&str>) -> Vec<u8> {
    let mut list = List::begin("Device State Changes will follow", action_id);
    for (device, state) in devices {
        list.add(list.item("DeviceStateChange").line("Device", device).line("State", state));
    }
    list.end("DeviceStateListComplete")
}

/// `ExtensionStateList`.
pub fn extensions(devices: &[(String, &'static str)], action_id: Option<&str>) -> Vec<u8> {
    let mut list = List::begin("Extension Statuses will follow", action_id);
    for (device, state) in devices {
        let (status, words) = hint(state);
        let item = list.item("ExtensionStatus").line("Exten", device.trim_start_matches("PJSIP/"));
        let item = item.line("Context", "hints").line("Hint", device);
        list.add(item.line("Status", status).line("StatusText", words));
    }
    list.end("ExtensionStateListComplete")
}

/// `QueueStatus`: one queue of all phones, and who waits in it.
pub fn queues(phones: &[Phone], channels: &[Channel], action_id: Option<&str>, now_ms: Millis) -> Vec<u8> {
    let mut list = List::begin("Queue status will follow", action_id);
    let waiting: Vec<_> = channels.iter().filter(|c| c.application.0 == "Queue" && c.bridge.is_none()).collect();
    let queue = |event: &str| Text::new("Event", event).line("Queue", QUEUE);
    list.add(
        queue("QueueParams").line("Strategy", "ringall").line("Calls", waiting.len()).maybe("ActionID", action_id),
    );
    for phone in phones {
        let location = format!("PJSIP/{}", phone.exten);
        let item = queue("QueueMember").line("Name", &phone.name).line("Location", location).line("Paused", 0);
        list.add(item.maybe("ActionID", action_id));
    }
    for (position, channel) in waiting.iter().enumerate() {
        let item = queue("QueueEntry").line("Position", position + 1).line("Channel", &channel.name);
        let item = item.line("Uniqueid", &channel.uniqueid).line("Wait", (now_ms - channel.began_ms).max(0) / 1_000);
        list.add(item.maybe("ActionID", action_id));
    }
    list.end("QueueStatusComplete")
}
