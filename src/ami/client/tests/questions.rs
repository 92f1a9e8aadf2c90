//! The connection that asks.

use super::*;

#[tokio::test]
async fn a_question_opens_the_connection_and_idleness_closes_it() {
    let peer = Peer::new(None).await;
    let it = start(peer.target(), Patience { idle: Duration::from_millis(50), ..quick() }, Room::default());
    let _listening = peer.in_sync().await;
    for _ in 0..2 {
        let client = it.client.clone();
        let asked = tokio::spawn(async move { client.ask(Action::new("Hangup").with("Channel", "1.1")).await });
        let mut line = peer.accept().await;
        assert_eq!(line.login().await, "off");
        assert!(line.until("Hangup").await);
        soon(asked).await.unwrap().unwrap();
        assert!(line.until("Logoff").await, "it was not closed");
    }
}

#[tokio::test]
async fn who_asks_when_the_login_is_refused_is_told_at_once_and_asterisk_is_left_alone() {
    let peer = Peer::new(None).await;
    let it = start(peer.target(), quick(), Room::default());
    let _listening = peer.in_sync().await;
    let client = it.client.clone();
    let asked = tokio::spawn(async move { client.ask(Action::new("ListCommands")).await });
    let mut line = peer.accept().await;
    line.say("Asterisk Call Manager/5.0.4\r\n").await;
    line.read().await.unwrap();
    line.say("Response: Success\r\nActionID: {id}\r\nChallenge: 1\r\n\r\n").await;
    line.read().await.unwrap();
    line.say("Response: Error\r\nActionID: {id}\r\nMessage: Login Already In Use\r\n\r\n").await;
    for result in [soon(asked).await.unwrap(), soon(it.client.ask(Action::new("Ping"))).await] {
        let said = result.unwrap_err().to_string();
        assert!(said.contains("set allowmultiplelogin = yes"), "{said}");
    }
}

#[tokio::test]
async fn what_was_asked_when_the_connection_broke_may_have_been_done() {
    let peer = Peer::new(None).await;
    let it = start(peer.target(), quick(), Room::default());
    let _listening = peer.in_sync().await;
    let client = it.client.clone();
    let asked = tokio::spawn(async move { client.ask(Action::new("Hangup")).await });
    let mut line = peer.in_sync().await;
    while line.read().await.unwrap().0 != "Hangup" {}
    drop(line);
    let error = soon(asked).await.unwrap().unwrap_err();
    assert!(matches!(&error, AskError::Unanswered { action: "Hangup", .. }), "{error}");
    assert!(error.to_string().ends_with("it may have been done"), "{error}");
}

/// Nothing that was given up is sent later: whoever waits for it no more may do it otherwise.
#[tokio::test]
async fn what_was_given_up_before_it_was_sent_is_not_sent() {
    let peer = Peer::new(None).await;
    let it = start(peer.target(), quick(), Room::default());
    let _listening = peer.in_sync().await;
    let chance = Chance::default();
    let (client, asked_with) = (it.client.clone(), chance.clone());
    let asked =
        tokio::spawn(async move { client.ask_once(Action::new("Originate").with("Channel", "x"), asked_with).await });
    let mut line = peer.accept().await;
    assert!(chance.take(), "it was sent before anybody was logged in");
    assert_eq!(line.login().await, "off");
    let error = soon(asked).await.unwrap().unwrap_err();
    assert!(matches!(&error, AskError::Unanswered { .. }), "who took the chance knows better: {error}");
    let client = it.client.clone();
    let later = tokio::spawn(async move { client.ask(Action::new("Hangup")).await });
    loop {
        match line.read().await.unwrap().0.as_str() {
            "Hangup" => break,
            name => assert_ne!(name, "Originate"),
        }
    }
    drop(line);
    assert!(soon(later).await.unwrap().is_err());
    assert!(!chance.take());
}

#[tokio::test]
async fn whoever_stops_waiting_takes_the_chance() {
    let chance = Chance::default();
    drop(chance.taken_at_the_end());
    assert!(!chance.take());
}
