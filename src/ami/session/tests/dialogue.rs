//! The good dialogues.

use super::*;

#[test]
fn a_login_sends_no_secret_and_asks_for_what_tells_calls() {
    let talk = Talk::logged_in(Role::Listening);
    let (login, id) = &talk.sent[1];
    assert_eq!((login.name(), id.as_str()), ("Login", "onhook-t1-2"));
    assert_eq!((login.get("Secret"), login.get("Key")), (None, Some("117ea73ceb12d9710e877a4c3cf2f313")));
    assert_eq!((login.get("Username"), login.get("Events")), (Some("lab"), Some(login::EVENT_MASK)));
    assert_eq!(talk.names(), ["Challenge", "Login", "Ping", "CoreSettings", "CoreStatus"]);
}

#[test]
fn what_it_is_comes_first_then_what_was_said_meanwhile_then_the_list() {
    let mut talk = Talk::logged_in(Role::Listening);
    talk.now_ms += 200;
    talk.hear("Event: FullyBooted\nUptime: 3600\n\nEvent: Newchannel\nUniqueid: 1.1\n\n").unwrap();
    talk.now_ms += 100;
    talk.pong().unwrap();
    talk.hear(SETTINGS).unwrap();
    assert!(talk.told.is_empty(), "the CoreStatus is not here yet");
    talk.hear(STATUS_OF_CORE).unwrap();
    let expected = Up {
        login_ms: NOW,
        ami_version: "5.0.4".to_owned(),
        version: Some("16.28.0~dfsg".to_owned()),
        system_name: Some("pbx1".to_owned()),
        boot_ms: Some(NOW + 200 - 3_600_000),
        clock_ahead_ms: 0,
    };
    assert!(matches!(&talk.told[0], Output::Up(up) if *up == expected), "{:?}", talk.told);
    assert_eq!(talk.events(), [("FullyBooted".to_owned(), Some(200)), ("Newchannel".to_owned(), Some(200))]);
    assert_eq!(talk.names()[5..], ["CoreShowChannels", "Status"]);
    assert_eq!(talk.sent[6].0.get("Variables"), Some("CDR(answer,u),ONHOOK_LEAD"));

    talk.hear(CHANNELS).unwrap();
    talk.hear("Event: Hangup\nUniqueid: 1.1\n\n").unwrap();
    assert!(talk.lists().is_empty(), "half a list is none");
    talk.now_ms += 50;
    talk.hear(STATUS).unwrap();
    let list = talk.lists()[0].clone();
    assert_eq!((list.asked_ms, list.listed_ms, list.channels.len()), (NOW + 300, NOW + 350, 2));
    let caller = Channel {
        name: "PJSIP/2001-0000001f".to_owned(),
        uniqueid: "pbx1-1.3072".to_owned(),
        linkedid: "pbx1-1.3072".to_owned(),
        state: 6,
        bridge: Some("1da9".to_owned()),
        application: Some("Dial".to_owned()),
        caller: Some("2001".to_owned()),
        connected: None,
        exten: Some("2002".to_owned()),
        dialed: Some("2002".to_owned()),
        age_ms: Some(3_605_000),
        answered_ms: Some(1_795_159_900_573),
        lead_id: Some("lead=7".to_owned()),
    };
    assert_eq!(list.channels[0], caller);
    let callee = &list.channels[1];
    assert_eq!((callee.state, callee.age_ms, callee.answered_ms, &callee.lead_id), (5, Some(5_000), None, &None));
    assert!(matches!(talk.told.last(), Some(Output::Listed(_))), "the list stands where its last line stood");
}

#[test]
fn a_list_is_asked_for_once_at_a_time() {
    let mut talk = Talk::up();
    assert_eq!(talk.session.list(talk.now_ms), Ok(true));
    talk.collect();
    assert_eq!(talk.names().iter().filter(|name| **name == "Status").count(), 1, "one is under way");
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    assert_eq!(talk.session.list(talk.now_ms), Ok(true));
    talk.collect();
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    assert_eq!(talk.lists().len(), 2);
    assert_eq!(Talk::logged_in(Role::Listening).session.list(NOW), Ok(false));
}

#[test]
fn who_logs_in_while_it_starts_waits_for_it() {
    let mut talk = Talk::logged_in(Role::Listening);
    talk.pong().unwrap();
    talk.hear(SETTINGS).unwrap();
    // Fifteen seconds ago, in the zone of New York.
    talk.hear("Response: Success\nActionID: {CoreStatus}\nCoreStartupDate: 2026-11-20\nCoreStartupTime: 02:31:59\n\n")
        .unwrap();
    talk.pass(9_000).unwrap();
    assert!(!talk.session.is_ready());
    talk.hear("Event: FullyBooted\nUptime: 24\n\n").unwrap();
    assert_eq!(talk.ups()[0].boot_ms, Some(NOW + 9_000 - 24_000));
}

#[test]
fn who_may_not_hear_that_it_has_started_waits_only_while_it_may_be_starting() {
    let begun = |minutes: &str| {
        let mut talk = Talk::logged_in(Role::Listening);
        talk.pong().unwrap();
        talk.hear(SETTINGS).unwrap();
        let status = format!(
            "Response: Success\nActionID: {{CoreStatus}}\nCoreStartupDate: 2026-11-20\nCoreStartupTime: 02:{minutes}\n\n"
        );
        talk.hear(&status).unwrap();
        talk
    };
    let long_ago = begun("22:14");
    assert_eq!((long_ago.ups().len(), long_ago.ups()[0].boot_ms), (1, None));
    // Twenty seconds ago: ten are waited, because it may be any quarter of an hour since it began. Fifty-five: five.
    for (began, wait_ms) in [("31:54", 10_000), ("31:19", 5_000)] {
        let mut young = begun(began);
        young.pass(wait_ms - 1).unwrap();
        assert!(young.ups().is_empty(), "{began}");
        young.pass(1).unwrap();
        assert_eq!(young.ups().len(), 1, "{began}");
        assert!(young.names().contains(&"Status"), "the list is asked for");
    }
}

#[test]
fn the_pbx_tells_the_time_and_its_clock_is_corrected() {
    let mut talk = Talk::logged_in(Role::Listening);
    // Seven seconds ahead.
    talk.hear("Response: Success\nActionID: {Ping}\nPing: Pong\nTimestamp: 1795159941.000000\n\n").unwrap();
    talk.hear(SETTINGS).unwrap();
    talk.hear(STATUS_OF_CORE).unwrap();
    assert_eq!(talk.ups()[0].clock_ahead_ms, 7_000);
    talk.now_ms += 2_000;
    talk.hear("Event: Newstate\nTimestamp: 1795159941.500000\n\n").unwrap();
    assert_eq!(talk.events(), [("Newstate".to_owned(), Some(500))]);
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    assert_eq!(talk.lists()[0].channels[0].answered_ms, Some(1_795_159_893_573));
}

#[test]
fn an_event_with_somebody_elses_id_is_of_the_world() {
    let mut talk = Talk::up();
    talk.told.clear();
    talk.hear("Event: OriginateResponse\nActionID: onhook-t2-4\nResponse: Failure\nReason: 5\n\n").unwrap();
    talk.hear("Response: Success\nActionID: onhook-t2-5\n\n").unwrap();
    talk.hear("Response: Success\nMessage: nobody asked\n\n").unwrap();
    talk.hear("Event: CoreShowChannel\nActionID: onhook-t1-99\nUniqueid: 1\n\n").unwrap();
    talk.hear("--END COMMAND--\n\n").unwrap();
    assert_eq!(talk.events(), [("OriginateResponse".to_owned(), Some(0))]);
}

#[test]
fn it_says_good_bye_only_where_it_was_let_in() {
    let mut talk = Talk::up();
    talk.session.close().unwrap();
    talk.collect();
    assert_eq!(talk.names().last(), Some(&"Logoff"));
    let mut stranger = Talk::new(Role::Listening, false);
    stranger.session.close().unwrap();
    assert!(stranger.session.output().is_none());
}
