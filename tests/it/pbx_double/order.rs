//! The order in which a call is told, against what a real Asterisk told of the same call.

use super::peer::{Peer, Read, START_MS, start};
use onhook::{
    domain::time::SECOND,
    pbx_double::{Fate, Order, Setup, Side},
};
use std::{collections::BTreeMap, fs, path::Path};

/// What both are compared by: the event, its legs, and what it says of them.
type Line = (String, Vec<String>, String);

const COMPARED: &[&str] = &[
    "Newchannel",
    "Newstate",
    "NewConnectedLine",
    "DialBegin",
    "DialState",
    "DialEnd",
    "BridgeCreate",
    "BridgeEnter",
    "BridgeLeave",
    "BridgeDestroy",
    "HangupRequest",
    "SoftHangupRequest",
    "Hangup",
    "OriginateResponse",
    "BlindTransfer",
    "AttendedTransfer",
    "Hold",
    "Unhold",
    "QueueCallerJoin",
    "QueueCallerLeave",
    "QueueCallerAbandon",
    "AgentCalled",
    "AgentConnect",
    "AgentComplete",
    "AgentRingNoAnswer",
];

/// Legs by the order they begin in.
fn lines(messages: &[Read]) -> Vec<Line> {
    let mut legs: BTreeMap<String, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for message in messages.iter().filter(|message| COMPARED.contains(&message.get("Event"))) {
        let event = message.get("Event");
        if event == "Newchannel" {
            let name = format!("leg {}", legs.len());
            legs.insert(message.get("Uniqueid").to_owned(), name);
        }
        let keys = ["Uniqueid", "DestUniqueid", "Linkedid", "DestLinkedid", "TransfererUniqueid", "TransfereeUniqueid"];
        let named = |key: &str| legs.get(message.get(key)).map(|leg| format!("{key} {leg}"));
        let state = |key: &str| match event {
            // A phone that begins to ring while the dial is told is one or the other, by chance.
            "DialState" => String::new(),
            _ => message.get(key).to_owned(),
        };
        let said = ["DialStatus", "BridgeNumChannels", "Response", "Reason"].map(|key| message.get(key).to_owned());
        let cause = if event == "Hangup" { message.get("Cause") } else { "" };
        let said = format!("{} {} {} {cause}", state("ChannelState"), state("DestChannelState"), said.join(" "));
        let said = if event == "AgentComplete" { String::new() } else { said };
        lines.push((event.to_owned(), keys.into_iter().filter_map(named).collect(), said));
    }
    free(lines)
}

/// What comes in any order is sorted: rings of several phones and what is told of them, and the end of a call.
fn free(lines: Vec<Line>) -> Vec<Line> {
    let group = |line: &Line| match line.0.as_str() {
        "DialState" => 1,
        "Newstate" if line.2.starts_with('5') => 1,
        "NewConnectedLine" => 1,
        "DialEnd" => 2,
        "BridgeLeave" | "BridgeDestroy" | "SoftHangupRequest" | "Hangup" | "AgentComplete" => 3,
        "BridgeCreate" => 4,
        _ => 0,
    };
    let mut sorted: Vec<Line> = Vec::new();
    let mut run: Vec<Line> = Vec::new();
    for line in lines {
        if run.first().is_some_and(|first| group(first) != group(&line)) || group(&line) == 0 {
            run.sort();
            sorted.append(&mut run);
        }
        run.push(line);
    }
    run.sort();
    sorted.append(&mut run);
    sorted
}

fn captured(name: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/ami/{name}.txt"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let messages: Vec<Read> = text.split("\r\n\r\n").map(|message| Read::parse(message.as_bytes())).collect();
    lines(&messages)
}

async fn played(order: Order) -> Vec<Line> {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    server.with(|double| double.call(order, START_MS));
    server.turn(&clock, START_MS + 60 * SECOND);
    let heard = peer.heard().await;
    assert!(server.with(|double| double.channels().is_empty()), "nothing is left");
    lines(&heard)
}

async fn same(name: &str, order: Order) {
    let (played, captured) = (played(order).await, captured(name));
    for (at, (ours, theirs)) in played.iter().zip(&captured).enumerate() {
        assert_eq!(ours, theirs, "{name}: line {at}\nours: {played:#?}\ntheirs: {captured:#?}");
    }
    assert_eq!(played.len(), captured.len(), "{name}\nours: {played:#?}\ntheirs: {captured:#?}");
}

const TALK_MS: i64 = 3_000;

#[tokio::test]
async fn answered_calls() {
    let answered = |by| Order::new("2001", "2002", Fate::Answered { talk_ms: TALK_MS, by });
    same("answered_caller_hangs_up", answered(Side::Caller)).await;
    same("answered_callee_hangs_up", answered(Side::Called)).await;
}

#[tokio::test]
async fn calls_nobody_answers() {
    same("busy_486", Order::new("2001", "2002", Fate::Busy)).await;
    same("congestion_503", Order::new("2001", "2002", Fate::Congestion)).await;
    same("no_answer_timeout", Order::new("2001", "2002", Fate::NoAnswer)).await;
    same("caller_cancels_ringing", Order::new("2001", "2002", Fate::Canceled)).await;
    same("failed_unregistered", Order::new("2001", "2005", Fate::Unregistered)).await;
    let announced = Fate::AnnouncedNoAnswer { speaks_ms: 2_000 };
    same("ivr_then_dial_no_answer", Order::new("2001", "2002", announced)).await;
}

#[tokio::test]
async fn several_phones() {
    let phones = || vec!["2002".to_owned(), "2003".to_owned()];
    let group =
        |answers: Option<&str>| Fate::Group { phones: phones(), answers: answers.map(str::to_owned), talk_ms: TALK_MS };
    same("parallel_ring_one_answers", Order::new("2001", "600", group(Some("2003")))).await;
    same("parallel_ring_no_answer", Order::new("2001", "600", group(None))).await;
    let agents = vec!["2003".to_owned(), "2002".to_owned()];
    let queue = Fate::Queue { agents, answers: Some("2003".to_owned()), talk_ms: TALK_MS };
    same("queue_answered", Order::new("2001", "610", queue)).await;
}

#[tokio::test]
async fn transfers() {
    let blind = Fate::BlindTransfer { to: "2003".to_owned(), talk_ms: TALK_MS };
    same("blind_transfer_by_callee", Order::new("2001", "2002", blind)).await;
    let attended = Fate::AttendedTransfer { to: "2003".to_owned(), talk_ms: TALK_MS };
    same("attended_transfer", Order::new("2001", "2002", attended)).await;
}

#[tokio::test]
async fn calls_a_program_places() {
    let order = |from: &str, fate| Order::new(from, "2002", fate).originated("job-1");
    same(
        "originate_click_to_call",
        order("2001", Fate::Answered { talk_ms: TALK_MS, by: Side::Called }).showing("5550100"),
    )
    .await;
    same("originate_busy", order("trunk", Fate::Busy)).await;
    same("originate_no_answer", order("trunk", Fate::NoAnswer)).await;
}
