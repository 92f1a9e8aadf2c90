//! What a PBX tells of a call of two channels.

use super::scene::{CALL, LEG};
use onhook::ami::{Channel, Message};

/// A message of these headers.
pub fn message(event: &str, headers: &[(&str, &str)]) -> Message {
    let event = [("Event", event)];
    let headers = event.iter().chain(headers).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Message::new(headers.collect())
}

fn of_channel<'a>(id: &'a str, state: &'a str, extension: &'a str) -> Vec<(&'a str, String)> {
    let channel = format!("PJSIP/{extension}-{:0>8}", id.rsplit('.').next().unwrap());
    let plain = |text: &str| text.to_owned();
    vec![
        ("Channel", channel),
        ("ChannelState", plain(state)),
        ("CallerIDNum", plain(extension)),
        ("ConnectedLineNum", plain("<unknown>")),
        ("Context", plain("lab")),
        ("Exten", plain(if id == CALL { "2002" } else { "s" })),
        ("Uniqueid", plain(id)),
        ("Linkedid", plain(CALL)),
    ]
}

fn channel_message(event: &str, id: &str, state: &str, more: &[(&str, &str)]) -> Message {
    let extension = if id == CALL { "2001" } else { "2002" };
    let headers = of_channel(id, state, extension);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(key, value)| (*key, value.as_str())).collect();
    message(event, &[headers.as_slice(), more].concat())
}

fn dial_message(event: &str, more: &[(&str, &str)]) -> Message {
    let (caller, callee) = (of_channel(CALL, "4", "2001"), of_channel(LEG, "0", "2002"));
    let mut headers: Vec<(String, String)> = caller.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    headers.extend(callee.into_iter().map(|(key, value)| (format!("Dest{key}"), value)));
    headers.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    headers.insert(0, ("Event".to_owned(), event.to_owned()));
    Message::new(headers)
}

/// 2001 dials 2002, whose phone rings.
pub fn rings() -> Vec<Message> {
    vec![
        channel_message("Newchannel", CALL, "4", &[]),
        channel_message("Newchannel", LEG, "0", &[]),
        dial_message("DialBegin", &[("DialString", "2002")]),
        channel_message("Newstate", LEG, "5", &[]),
    ]
}

/// 2002 picks up, and they talk.
pub fn is_answered() -> Vec<Message> {
    let bridge = [("BridgeUniqueid", "b-1"), ("BridgeType", "basic"), ("BridgeTechnology", "simple_bridge")];
    let enter = |id: &str, count| {
        let count = [("BridgeNumChannels", count)];
        channel_message("BridgeEnter", id, "6", &[bridge.as_slice(), &count].concat())
    };
    vec![
        channel_message("Newstate", LEG, "6", &[]),
        dial_message("DialEnd", &[("DialStatus", "ANSWER")]),
        channel_message("Newstate", CALL, "6", &[]),
        enter(LEG, "1"),
        enter(CALL, "2"),
    ]
}

/// Both hang up.
pub fn hangs_up() -> Vec<Message> {
    let cause = [("Cause", "16"), ("Cause-txt", "Normal Clearing")];
    vec![channel_message("Hangup", LEG, "6", &cause), channel_message("Hangup", CALL, "6", &cause)]
}

/// Both channels of the call, talking.
pub fn talking() -> Vec<Channel> {
    let channel = |name: &str, id: &str| Channel {
        name: name.to_owned(),
        uniqueid: id.to_owned(),
        linkedid: CALL.to_owned(),
        state: 6,
        bridge: Some("b-1".to_owned()),
        ..Channel::default()
    };
    vec![channel("PJSIP/2001-00000001", CALL), channel("PJSIP/2002-00000002", LEG)]
}

/// The same messages of another call.
pub fn of_another_call(messages: Vec<Message>, n: usize) -> Vec<Message> {
    let ids = format!("{}.", 1_700_000_001 + n);
    messages.into_iter().map(|message| Message::parse(message.text().replace("1700000000.", &ids))).collect()
}
