//! The bad days.

use super::*;
use crate::clock::Clock;

#[tokio::test]
async fn it_connects_again_when_the_connection_is_closed() {
    let peer = Peer::new(None).await;
    let mut it = start(peer.target(), quick(), Room::default());
    drop(peer.in_sync().await);
    let down = it.down().await;
    assert!(down.heard_ms.is_some());
    assert_eq!((down.kind, down.detail.as_str()), (DownKind::Closed, "listen to it: it closed the connection"));
    let _line = peer.in_sync().await;
    assert!(matches!(it.next().await, Told::Up(_)));
    it.listed().await;
    assert_eq!(it.client.figures().connects, 2);
}

#[tokio::test]
async fn a_refused_login_is_tried_again_slowly() {
    let peer = Peer::new(None).await;
    let mut it = start(peer.target(), quick(), Room::default());
    let mut line = peer.accept().await;
    line.say("Asterisk Call Manager/5.0.4\r\n").await;
    line.read().await.unwrap();
    line.say("Response: Success\r\nActionID: {id}\r\nChallenge: 1\r\n\r\n").await;
    line.read().await.unwrap();
    line.say("Response: Error\r\nActionID: {id}\r\nMessage: Authentication failed\r\n\r\n").await;
    let before = SystemClock.now_ms();
    let down = it.down().await;
    assert_eq!(down.kind, DownKind::Refused);
    assert!((2_900..=6_100).contains(&(down.retry_ms - before)), "in {} ms", down.retry_ms - before);
}

#[test]
fn pauses_grow_to_a_limit_and_are_spread() {
    let target = Target {
        host: String::new(),
        port: 0,
        tls: false,
        user: String::new(),
        secret: String::new().into(),
        ca_pem: None,
    };
    let patience = Patience::default();
    let door = Arc::new(Door::new(target, patience));
    let rng = StdRng::seed_from_u64(1);
    let mut ends = Ends::new(door, patience, Arc::new(SystemClock), "l", rng, CancellationToken::new());
    let mut bounds = |kind, expected: &[f64]| {
        for whole in expected {
            let pause = ends.pause(kind).as_secs_f64();
            assert!((whole / 2.0..=*whole).contains(&pause), "{pause} is not half to all of {whole}");
        }
        ends.went_well();
    };
    bounds(DownKind::Closed, &[0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
    bounds(DownKind::Refused, &[6.0, 12.0, 24.0, 48.0, 60.0, 60.0]);
    bounds(DownKind::Unreachable, &[0.5]);
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dropped() {
    let peer = Peer::new(None).await;
    let patience = Patience { ping_every: Duration::from_millis(30), pong: Duration::from_millis(200), ..quick() };
    let mut it = start(peer.target(), patience, Room::default());
    let mut line = peer.in_sync().await;
    it.listed().await;
    assert!(line.until("Ping").await);
    let down = it.down().await;
    assert_eq!((down.kind, down.detail.as_str()), (DownKind::Silent, "hear from it: it does not answer a ping"));
    let _line = peer.in_sync().await;
    it.listed().await;
}

#[tokio::test]
async fn what_is_no_ami_or_does_not_end_is_dropped() {
    for (said, detail) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "find Asterisk there"),
        ("Asterisk Call Manager/1.1\r\n".to_owned(), "understand it: it speaks AMI 1.1"),
        (format!("Asterisk Call Manager/5.0.4\r\n{}", "x".repeat(70_000)), "read a line: it has over 65536 bytes"),
        (
            format!("Asterisk Call Manager/5.0.4\r\n{}", "A: b\r\n".repeat(5_000)),
            "read a message: it has over 4096 lines",
        ),
    ] {
        let peer = Peer::new(None).await;
        let mut it = start(peer.target(), quick(), Room::default());
        let mut line = peer.accept().await;
        line.try_say(&said).await;
        let down = it.down().await;
        let kind = if detail.starts_with("understand") { DownKind::Refused } else { DownKind::Garbage };
        assert!(down.kind == kind && down.detail.starts_with(detail), "{down:?}");
    }
}

async fn floods(room: Room) -> (Running, Peer, Line) {
    let peer = Peer::new(None).await;
    let it = start(peer.target(), quick(), room);
    let mut line = peer.in_sync().await;
    for number in 0..2_000 {
        if !line.try_say(&format!("Event: Newexten\r\nUniqueid: {number:050}\r\n\r\n")).await {
            break;
        }
    }
    (it, peer, line)
}

#[tokio::test]
async fn a_full_queue_drops_the_connection_and_what_was_heard_is_kept_in_order() {
    for room in [Room { messages: 100, ..Room::default() }, Room { bytes: 8_000, ..Room::default() }] {
        let (mut it, peer, mut line) = floods(room).await;
        assert!(!line.until("never").await, "the connection was not dropped");
        let figures = it.client.figures();
        assert!(figures.queued <= 100 && figures.queued_bytes <= room.bytes && figures.dropped >= 1, "{figures:?}");
        let mut numbers = Vec::new();
        let down = loop {
            match it.next().await {
                Told::Message(m, _) => numbers.extend(m.get("Uniqueid").map(|id| id.parse::<usize>().unwrap())),
                Told::Down(down) => break down,
                Told::Up(_) | Told::Listed(_) => {}
            }
        };
        assert_eq!(down.kind, DownKind::Behind);
        assert!((80..=130).contains(&numbers.len()), "{}", numbers.len());
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
        let _line = peer.in_sync().await;
        it.listed().await;
        let figures = it.client.figures();
        assert_eq!((figures.connects, figures.queued, figures.queued_bytes), (2, 0, 0));
    }
}

#[tokio::test]
async fn nobody_connects_again_before_there_is_room() {
    let (mut it, peer, _line) = floods(Room { messages: 100, ..Room::default() }).await;
    // Six times the longest pause.
    let mut again = Box::pin(peer.accept());
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut again).await;
    assert!(waited.is_err(), "it came back to a full queue");
    assert!(it.client.figures().lag_ms >= 200, "{:?}", it.client.figures());
    it.down().await;
    again.await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let target = Peer::new(None).await.target();
    let mut it = start(target.clone(), quick(), Room::default());
    let down = it.down().await;
    assert_eq!((down.kind, down.heard_ms), (DownKind::Unreachable, None));
    assert!(down.detail.starts_with(&format!("connect to 127.0.0.1:{}: ", target.port)), "{}", down.detail);
    let asked = soon(it.client.ask(Action::new("Ping"))).await;
    assert!(asked.unwrap_err().to_string().starts_with("ask the PBX for Ping: failed to connect to"));
}
