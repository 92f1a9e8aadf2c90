//! The good days.

use super::*;

#[tokio::test]
async fn what_is_heard_comes_out_in_the_order_of_the_stream() {
    let peer = Peer::new(None).await;
    let mut it = start(peer.target(), quick(), Room::default());
    let mut line = peer.in_sync().await;
    line.say("Event: Newchannel\r\nUniqueid: 1\r\n\r\n").await;
    assert!(
        matches!(it.next().await, Told::Up(up) if up.version.as_deref() == Some("16.28.0") && up.boot_ms.is_some())
    );
    let event =
        |told: Told| if let Told::Message(m, _) = told { m.event().unwrap().to_owned() } else { panic!("{told:?}") };
    assert_eq!(event(it.next().await), "FullyBooted");
    assert!(matches!(it.next().await, Told::Listed(list) if list.channels.is_empty()));
    assert_eq!(event(it.next().await), "Newchannel");

    // An audit stands where its last line stood.
    it.client.list();
    assert!(line.until("CoreShowChannels").await);
    line.say("Event: Between\r\n\r\n").await;
    assert!(line.until("Status").await);
    line.say("Event: After\r\n\r\n").await;
    assert_eq!(event(it.next().await), "Between");
    assert!(matches!(it.next().await, Told::Listed(_)));
    assert_eq!(event(it.next().await), "After");

    let figures = it.client.figures();
    assert_eq!((figures.connects, figures.messages, figures.lists, figures.dropped), (1, 4, 2, 0));
    assert!(figures.up.is_some() && figures.heard_ms.is_some() && figures.bytes > 500, "{figures:?}");
}

#[tokio::test]
async fn it_is_stopped_with_a_good_bye_on_both_connections() {
    let peer = Peer::new(None).await;
    let mut it = start(peer.target(), quick(), Room::default());
    let mut listening = peer.in_sync().await;
    it.listed().await;
    let client = it.client.clone();
    let asked = tokio::spawn(async move { client.ask(Action::new("ListCommands")).await });
    let mut asking = peer.in_sync().await;
    assert!(asking.until("ListCommands").await);
    assert_eq!(soon(asked).await.unwrap().unwrap().response.get("Message"), Some("fine"));
    it.stop.cancel();
    for line in [&mut listening, &mut asking] {
        assert!(line.until("Logoff").await);
    }
    drop((listening, asking));
    assert_eq!(it.down().await.kind, DownKind::Stopped);
    assert!(soon(it.told.recv()).await.is_none());
    soon(it.client.ended()).await;
    assert!(matches!(it.client.ask(Action::new("Ping")).await, Err(AskError::Away { .. })));
    assert_eq!(it.client.figures().up, None);
}

#[tokio::test]
async fn it_ends_when_nobody_listens_to_it_any_more() {
    let peer = Peer::new(None).await;
    let Running { client, told, stop } = start(peer.target(), quick(), Room::default());
    let mut line = peer.in_sync().await;
    drop(told);
    // The first that cannot be handed over shows it.
    assert!(line.until("Logoff").await);
    drop(line);
    soon(client.ended()).await;
    assert!(!stop.is_cancelled(), "others may go on");
}
