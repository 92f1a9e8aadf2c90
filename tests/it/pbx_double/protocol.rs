//! How the double speaks: logins, answers, lists, masks, and what goes wrong.

use super::peer::{Peer, START_MS, start};
use md5::{Digest, Md5};
use onhook::{
    domain::time::SECOND,
    pbx_double::{Fate, Order, Setup, Side},
};

fn answered() -> Order {
    Order::new("2001", "2002", Fate::Answered { talk_ms: 5_000, by: Side::Caller })
}

#[tokio::test]
async fn a_challenge_is_answered_with_md5() {
    let (server, _clock) = start(Setup::default()).await;
    let mut peer = Peer::connect(&server).await;
    assert_eq!(peer.banner, "Asterisk Call Manager/5.0.4\r\n");
    let challenge = peer.ask("Action: Challenge\r\nAuthType: MD5").await[0].get("Challenge").to_owned();
    let key = hex::encode(Md5::digest(format!("{challenge}secret")));
    let answer = peer.ask(&format!("Action: Login\r\nAuthType: MD5\r\nUsername: onhook\r\nKey: {key}")).await;
    assert_eq!(answer[0].get("Message"), "Authentication accepted");
    let booted = peer.next().await;
    assert!(booted.is("FullyBooted") && booted.get("Uptime") == "0", "{booted:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_late_and_the_line_closed() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::connect(&server).await;
    peer.send("Action: Login\r\nActionID: 1\r\nUsername: onhook\r\nSecret: wrong\r\n\r\n").await;
    peer.send("Action: Ping\r\nActionID: 2\r\n\r\n").await;
    while server.with(|double| double.asked().count()) < 2 {
        tokio::task::yield_now().await;
    }
    clock.advance(999);
    server.tick();
    clock.advance(1);
    server.tick();
    let all = String::from_utf8(peer.rest().await).unwrap();
    assert_eq!(all, "Response: Error\r\nActionID: 1\r\nMessage: Authentication failed\r\n\r\n");
}

#[tokio::test]
async fn the_list_follows_the_calls() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    server.with(|double| double.call(answered().about("lead-1"), START_MS));
    server.turn(&clock, START_MS + 3 * SECOND);
    let list = peer.ask("Action: CoreShowChannels").await;
    assert_eq!(list.len(), 4, "{list:?}");
    assert_eq!((list[1].get("ChannelState"), list[1].get("Duration")), ("6", "00:00:03"));
    assert!(!list[1].get("BridgeId").is_empty() && list[1].get("BridgeId") == list[2].get("BridgeId"));
    assert_eq!(list[2].get("Linkedid"), list[1].get("Uniqueid"));
    assert_eq!(list[3].get("ListItems"), "2");
    let status = peer.ask("Action: Status\r\nVariables: CDR(answer,u),ONHOOK_LEAD,NOTHING").await;
    let said = |at: usize| {
        let said = status[at].0.iter().filter(|(key, _)| key == "Variable").map(|(_, value)| value.as_str());
        said.collect::<Vec<_>>()
    };
    assert_eq!(said(1), ["CDR(answer,u)=1767323046.000000", "ONHOOK_LEAD=lead-1", "NOTHING=(null)"]);
    assert_eq!(said(2), ["CDR(answer,u)=1767323046.000000", "ONHOOK_LEAD=(null)", "NOTHING=(null)"]);
    server.turn(&clock, START_MS + 6 * SECOND);
    assert_eq!(peer.ask("Action: CoreShowChannels").await.len(), 2);
}

#[tokio::test]
async fn a_call_is_ended_by_its_id() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    let call = server.with(|double| double.call(answered(), START_MS)).unwrap();
    server.turn(&clock, START_MS + 2 * SECOND);
    let id = server.with(|double| double.channels()[0].uniqueid.clone());
    let answer = peer.ask(&format!("Action: Hangup\r\nChannel: {id}\r\nCause: 16")).await;
    assert_eq!(answer[0].get("Message"), "Channel Hungup");
    assert_eq!(peer.ask("Action: Hangup\r\nChannel: nobody").await[0].get("Message"), "No such channel");
    let model = |at: &dyn Fn(&onhook::pbx_double::Truth) -> bool| {
        server.with(|double| at(double.model().unwrap().truth(call).unwrap()))
    };
    assert!(model(&|truth| truth.outcome.unwrap().as_str() == "completed" && truth.ended_ms == Some(START_MS + 2_000)));
    assert!(server.with(|double| double.channels().is_empty() && double.next_due_ms().is_none()));
}

#[tokio::test]
async fn only_what_is_wanted_and_allowed_is_told() {
    let (server, clock) = start(Setup::default()).await;
    let (mut all, mut some, mut none) =
        (Peer::login(&server).await, Peer::login(&server).await, Peer::login(&server).await);
    assert_eq!(some.ask("Action: Events\r\nEventMask: user,system").await[0].get("Events"), "On");
    assert_eq!(none.ask("Action: Events\r\nEventMask: nonsense").await[0].get("Events"), "Off");
    server.with(|double| double.call(answered(), START_MS));
    server.turn(&clock, START_MS + 10 * SECOND);
    assert_eq!(none.ask("Action: GetConfig\r\nFilename: manager.conf").await[0].get("Message"), "Permission denied");
    assert_eq!(all.heard().await.iter().filter(|read| read.is("Hangup")).count(), 2);
    assert!(some.heard().await.iter().all(|read| read.is("FullyBooted")));
    assert!(none.heard().await.is_empty());
}

#[tokio::test]
async fn nobody_is_told_what_a_restart_ends_and_its_counters_begin_again() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    server.with(|double| double.call(answered(), START_MS));
    server.turn(&clock, START_MS + 2 * SECOND);
    clock.advance(5 * SECOND / 2);
    server.with(|double| double.restart(START_MS + 4_500));
    let heard = String::from_utf8(peer.rest().await).unwrap();
    assert!(heard.contains("DialStatus: ANSWER") && !heard.contains("Event: Hangup\r\n"), "{heard}");
    let mut peer = Peer::login(&server).await;
    clock.advance(1_000);
    server.with(|double| double.call(answered(), START_MS + 5_500));
    let began = peer.heard().await.into_iter().find(|read| read.is("Newchannel")).unwrap();
    assert_eq!((began.get("Channel"), began.get("Uniqueid")), ("PJSIP/2001-00000000", "pbx1-1767323050.0"));
}

#[tokio::test]
async fn what_goes_wrong() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    // Frozen: nothing is sent, and nothing is lost.
    server.with(|double| double.faults.frozen = true);
    server.with(|double| double.call(answered(), START_MS));
    server.turn(&clock, START_MS + 10 * SECOND);
    server.with(|double| double.faults.frozen = false);
    assert_eq!(peer.heard().await.iter().filter(|read| read.is("Hangup")).count(), 2);
    // Lost: the list knows better.
    server.with(|double| double.faults.loses = true);
    server.with(|double| double.call(answered(), START_MS + 10 * SECOND));
    server.with(|double| double.faults.loses = false);
    assert!(peer.heard().await.is_empty());
    assert_eq!(peer.ask("Action: CoreShowChannels").await.len(), 4);
    // Piece by piece.
    server.with(|double| double.faults.piece_bytes = Some(1));
    assert_eq!(peer.ask("Action: Ping").await[0].get("Ping"), "Pong");
    server.with(|double| double.faults.piece_bytes = None);
    // Broken off in the middle of a message.
    server.with(onhook::pbx_double::Double::cut_in_next_message);
    server.turn(&clock, START_MS + 30 * SECOND);
    let rest = String::from_utf8(peer.rest().await).unwrap();
    assert!(!rest.contains("\r\n\r\n"), "{rest}");
    // A line without end.
    let mut peer = Peer::login(&server).await;
    server.with(|double| double.send_without_end(START_MS));
    assert!(peer.take(1_000_000).await.ends_with(b"xxxx"));
    server.with(onhook::pbx_double::Double::cut);
    drop(peer);
    server.with(|double| double.faults.refuse = true);
    let stream = tokio::net::TcpStream::connect(server.address()).await;
    let mut byte = [0];
    let read = async { tokio::io::AsyncReadExt::read(&mut stream?, &mut byte).await };
    assert!(matches!(read.await, Ok(0) | Err(_)));
}
