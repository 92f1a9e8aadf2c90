//! Captures that are played again: byte for byte, with the list where it was, and with the list that follows from them.

use super::peer::{Peer, Read};
use onhook::{
    clock::ManualClock,
    pbx_double::{Double, Play, Setup, Tape, server::Server},
};
use std::{fs, path::PathBuf};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/ami").join(name)
}

/// What was captured, by connection.
fn parts(name: &str) -> Vec<Vec<u8>> {
    let bytes = fs::read(file(&format!("{name}.txt"))).unwrap();
    let banner = b"Asterisk Call Manager/";
    let starts = bytes.windows(banner.len()).enumerate().filter(|(_, w)| *w == banner).map(|(at, _)| at);
    let starts: Vec<usize> = starts.chain([bytes.len()]).collect();
    starts.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

/// Without the banner and the answer to the login, which the double gives by itself.
fn without_login(part: &[u8]) -> Vec<u8> {
    let banner_end = part.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
    let rest = &part[banner_end..];
    let accepted = b"Message: Authentication accepted\r\n\r\n";
    let end = rest.windows(accepted.len()).position(|window| window == accepted).unwrap() + accepted.len();
    let begin = rest[..end].windows(10).rposition(|window| window == b"Response: ").unwrap();
    [&rest[..begin], &rest[end..]].concat()
}

fn tape(name: &str) -> Tape {
    let clock = fs::read_to_string(file(&format!("{name}.ts.tsv"))).unwrap();
    Tape::parse(&fs::read(file(&format!("{name}.txt"))).unwrap(), &clock).expect(name)
}

async fn start(name: &str) -> (Server, ManualClock) {
    let tape = tape(name);
    let clock = ManualClock::new(tape.start_ms(0).unwrap());
    let double = Double::of(Setup::default(), Play::Tape(Box::new(tape)));
    (Server::start(double, clock.shared()).await.unwrap(), clock)
}

#[tokio::test]
async fn every_capture_is_played_byte_for_byte() {
    let index = fs::read_to_string(file("INDEX.tsv")).unwrap();
    let mut played = 0;
    for name in index.lines().skip(1).filter_map(|line| line.split('\t').next()) {
        let parts = parts(name);
        let (server, clock) = start(name).await;
        if !parts[0].windows(8).any(|window| window == b"accepted") {
            continue;
        }
        let mut peer = Peer::login(&server).await;
        let end_ms =
            server.with(|double| double.tape().unwrap().start_ms(1).or(double.tape().unwrap().end_ms()).unwrap());
        server.turn(&clock, end_ms);
        let heard = if parts.len() > 1 { peer.rest().await } else { peer.bytes().await };
        let (expected, heard) = (without_login(&parts[0]), heard);
        assert!(heard == expected, "{name}: {} bytes, expected {}", heard.len(), expected.len());
        played += 1;
    }
    assert!(played > 60, "{played}");
}

#[tokio::test]
async fn after_a_cut_the_list_is_the_one_that_was_captured() {
    let (server, clock) = start("cut_then_call_still_up").await;
    let mut peer = Peer::login(&server).await;
    let second_ms = server.with(|double| double.tape().unwrap().start_ms(1)).unwrap();
    server.turn(&clock, second_ms - 1);
    peer.rest().await;
    server.turn(&clock, second_ms);
    let mut peer = Peer::login(&server).await;
    let list = peer.ask("Action: CoreShowChannels").await;
    let names: Vec<&str> = list.iter().map(|read| read.get("Channel")).collect();
    assert_eq!(names, ["", "PJSIP/2001-000000b2", "PJSIP/2002-000000b3", ""]);
    assert_eq!(server.with(|double| double.channels().len()), 2);
    let end_ms = server.with(|double| double.tape().unwrap().end_ms()).unwrap();
    server.turn(&clock, end_ms);
    assert_eq!(peer.heard().await.iter().filter(|read| read.is("Hangup")).count(), 2);
    assert!(server.with(|double| double.channels().is_empty() && double.tape().unwrap().is_over()));
}

/// The list that follows from the events is the one that Asterisk gave.
#[tokio::test]
async fn the_list_follows_from_what_was_played() {
    for name in ["coreshowchannels_midcall", "status_variables_midcall"] {
        let text = String::from_utf8_lossy(&parts(name)[0]).into_owned();
        let messages: Vec<Read> = text.split("\r\n\r\n").map(|message| Read::parse(message.as_bytes())).collect();
        let row = |read: &Read| {
            let of = |key| read.get(key).to_owned();
            [of("Uniqueid"), of("Linkedid"), of("ChannelState"), of("BridgeId")]
        };
        let mut captured: Vec<_> = messages.iter().filter(|read| read.is("CoreShowChannel")).map(row).collect();
        let times = fs::read_to_string(file(&format!("{name}.ts.tsv"))).unwrap();
        let at = times
            .lines()
            .find(|line| line.contains("CoreShowChannel"))
            .or_else(|| times.lines().find(|line| line.contains("Channels will follow")));
        let at_ms = onhook::domain::time::parse_rfc3339(at.unwrap().split('\t').nth(1).unwrap()).unwrap();
        let (server, clock) = start(name).await;
        let mut peer = Peer::login(&server).await;
        server.turn(&clock, at_ms - 1);
        let list = peer.ask("Action: CoreShowChannels").await;
        let mut ours: Vec<_> = list.iter().filter(|read| read.is("CoreShowChannel")).map(row).collect();
        captured.sort();
        ours.sort();
        assert!(!captured.is_empty());
        assert_eq!(ours, captured, "{name}");
    }
}

#[tokio::test]
async fn a_login_is_refused_as_it_was() {
    let (server, _clock) = start("login_fail_bad_secret").await;
    let mut peer = Peer::connect(&server).await;
    peer.send("Action: Login\r\nActionID: ours\r\nUsername: onhook\r\nSecret: secret\r\n\r\n").await;
    let all = String::from_utf8(peer.rest().await).unwrap();
    assert_eq!(all, "Response: Error\r\nActionID: ours\r\nMessage: Authentication failed\r\n\r\n");
    // This one was never answered.
    let (server, _clock) = start("login_timeout").await;
    let mut peer = Peer::connect(&server).await;
    peer.send("Action: Login\r\nActionID: ours\r\nUsername: onhook\r\nSecret: secret\r\n\r\n").await;
    assert_eq!(peer.ask("Action: Ping").await[0].get("Message"), "Permission denied");
}
