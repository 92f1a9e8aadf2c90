//! Calls that a program asks for, and gets, or does not.

use super::peer::{Peer, Read, START_MS, start};
use onhook::{
    domain::{state::Outcome, time::SECOND},
    pbx_double::{Dialed, Setup},
};

fn asks(number: &str, id: &str) -> String {
    format!(
        "Action: Originate\r\nActionID: dial\r\nChannel: PJSIP/{number}@trunk\r\nContext: customers\r\nExten: s\r\n\
         Priority: 1\r\nTimeout: 20000\r\nAsync: true\r\nChannelId: {id}\r\nCallerID: 5550100\r\n\
         Variable: TIMEOUT(absolute)=9\r\nVariable: ONHOOK_LEAD=lead-1,X=a\\,b\r\n\r\n"
    )
}

/// What is told until the call is over: the events of it, in their order.
async fn told(dialed: Dialed) -> (Vec<Read>, Option<Outcome>) {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    peer.next().await;
    server.with(|double| double.expect_dialed("15551230000", dialed));
    peer.send(&asks("15551230000", "job-1")).await;
    let answer = peer.next().await;
    assert_eq!((answer.get("Response"), answer.get("Message")), ("Success", "Originate successfully queued"));
    server.turn(&clock, START_MS + 60 * SECOND);
    peer.send("Action: Ping\r\nActionID: last\r\n\r\n").await;
    let mut told = Vec::new();
    loop {
        let read = peer.next().await;
        if read.get("ActionID") == "last" {
            break;
        }
        if ["Uniqueid", "DestUniqueid"].iter().any(|key| read.get(key) == "job-1") {
            told.push(read);
        }
    }
    assert!(server.with(|double| double.channels().is_empty()));
    let outcome = server.with(|double| double.model().unwrap().truths().last().unwrap().outcome);
    (told, outcome)
}

fn said<'r>(told: &'r [Read], event: &str, key: &str) -> Vec<&'r str> {
    told.iter().filter(|read| read.is(event)).map(|read| read.get(key)).collect()
}

#[tokio::test]
async fn one_that_is_answered_goes_on_in_the_dialplan() {
    let (told, outcome) = told(Dialed::default()).await;
    assert_eq!(said(&told, "Newchannel", "Linkedid"), ["job-1"]);
    assert!(said(&told, "Newchannel", "Channel")[0].starts_with("PJSIP/trunk-"), "{told:?}");
    assert_eq!(said(&told, "DialBegin", "DialString"), ["15551230000@trunk"]);
    assert_eq!(said(&told, "VarSet", "Variable"), ["ONHOOK_LEAD", "X"]);
    assert_eq!(said(&told, "VarSet", "Value"), ["lead-1", "a,b"]);
    assert_eq!((said(&told, "OriginateResponse", "Reason"), outcome), (vec!["4"], Some(Outcome::Completed)));
    assert_eq!(said(&told, "Hangup", "Cause"), ["16"]);
}

#[tokio::test]
async fn one_that_is_not_answered_says_why_by_its_cause() {
    for (dialed, words, cause, outcome) in
        [(Dialed::Busy, "BUSY", "17", Outcome::Busy), (Dialed::Rejected, "NOANSWER", "21", Outcome::Failed)]
    {
        let (told, ended) = told(dialed).await;
        assert_eq!(said(&told, "DialEnd", "DialStatus"), [words], "{dialed:?}");
        assert_eq!((said(&told, "Hangup", "Cause"), ended), (vec![cause], Some(outcome)), "{dialed:?}");
        assert_eq!(said(&told, "OriginateResponse", "Reason"), ["0"], "{dialed:?}");
    }
    let (told, ended) = told(Dialed::NoAnswer).await;
    assert_eq!(said(&told, "OriginateResponse", "Reason"), ["3"]);
    assert_eq!((said(&told, "Hangup", "Cause"), ended), (vec!["0"], Some(Outcome::NoAnswer)));
}

#[tokio::test]
async fn one_that_is_not_there_has_no_channel() {
    let (told, outcome) = told(Dialed::Unregistered).await;
    let events: Vec<&str> = told.iter().map(|read| read.get("Event")).collect();
    assert_eq!((events, outcome), (vec!["OriginateResponse"], Some(Outcome::Failed)));
    let answer = ["Response", "Reason", "Channel"].map(|key| told[0].get(key));
    assert_eq!(answer, ["Failure", "0", "PJSIP/15551230000@trunk"]);
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused() {
    let (server, _clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    let (good, long) = (asks("1", "job-1"), "x".repeat(150));
    for (from, to, message) in [
        ("Channel: PJSIP/1@trunk\r\n", "", "Channel not specified"),
        ("PJSIP/1@trunk", "nobody", "Invalid channel"),
        ("Context: customers", "Context: nowhere", "Extension does not exist."),
        ("Context: customers\r\n", "", "Originate with 'Exten' requires 'Context' and 'Priority'"),
        ("ChannelId: job-1", &format!("ChannelId: {long}"), "Uniqueid length exceeds maximum of 149"),
    ] {
        let text = good.replace("ActionID: dial\r\n", "").replace(from, to);
        let answer = peer.ask(text.trim_end()).await;
        assert_eq!((answer[0].get("Response"), answer[0].get("Message")), ("Error", message));
    }
    assert!(server.with(|double| double.channels().is_empty()));
}

/// The one that lives keeps the id, and the other fails under it.
#[tokio::test]
async fn an_id_that_is_used_is_not_used_again() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    peer.send(&asks("1", "job-1")).await;
    peer.send(&asks("2", "job-1")).await;
    let failed = loop {
        let read = peer.next().await;
        if read.is("OriginateResponse") {
            break read;
        }
    };
    assert_eq!((failed.get("Response"), failed.get("Uniqueid")), ("Failure", "job-1"));
    assert_eq!(server.with(|double| double.channels().len()), 1);
    server.turn(&clock, START_MS + SECOND);
}

#[tokio::test]
async fn an_answer_may_be_lost_and_the_phone_ring_all_the_same() {
    let (server, _clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    server.with(|double| {
        double.expect_dialed("1", Dialed::Unheard { rings: true });
        double.expect_dialed("2", Dialed::Unheard { rings: false });
        double.expect_dialed("3", Dialed::CutOff { rings: true });
    });
    for (number, live) in [("1", 1), ("2", 1)] {
        peer.send(&asks(number, &format!("job-{number}")).replace("ActionID: dial", "ActionID: ask")).await;
        let answer = peer.ask("Action: Ping").await;
        assert_eq!(answer[0].get("Ping"), "Pong", "the first answer with that id is the ping's");
        assert_eq!(server.with(|double| double.channels().len()), live, "{number}");
    }
    peer.send(&asks("3", "job-3")).await;
    let rest = String::from_utf8(peer.rest().await).unwrap();
    assert!(rest.contains("Originate successfully queued"), "{rest}");
    assert_eq!(server.with(|double| double.channels().len()), 2);
}

#[tokio::test]
async fn one_that_rings_is_taken_back() {
    let (server, clock) = start(Setup::default()).await;
    let mut peer = Peer::login(&server).await;
    peer.send(&asks("1", "job-1")).await;
    peer.ask("Action: Ping").await;
    server.turn(&clock, START_MS + SECOND / 2);
    let answer = peer.ask("Action: Hangup\r\nChannel: job-1\r\nCause: 16").await;
    assert_eq!(answer[0].get("Response"), "Success");
    server.tick();
    let outcome = server.with(|double| double.model().unwrap().truths().last().unwrap().outcome);
    assert_eq!(outcome, Some(Outcome::Canceled));
    let again = peer.ask("Action: Hangup\r\nChannel: job-1\r\nCause: 16").await;
    assert_eq!(again[0].get("Message"), "No such channel");
}
