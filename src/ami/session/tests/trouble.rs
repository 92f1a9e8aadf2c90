//! The dialogues that end badly, or late.

use super::*;

fn challenged(tls: bool) -> Talk {
    let mut talk = Talk::new(Role::Listening, tls);
    talk.session.on_banner("2.8.0".to_owned(), NOW).unwrap();
    talk.collect();
    talk
}

#[test]
fn a_refused_login_says_what_to_check_and_not_the_secret() {
    for (said, mend) in [
        ("Authentication failed", "check the user, its secret and its permit lines"),
        ("Login Already In Use", "set allowmultiplelogin = yes"),
    ] {
        let mut talk = challenged(false);
        talk.hear("Response: Success\nActionID: {Challenge}\nChallenge: 1\n\n").unwrap();
        let failure = talk.hear(&format!("Response: Error\nActionID: {{Login}}\nMessage: {said}\n\n")).unwrap_err();
        assert_eq!(failure.kind, DownKind::Refused);
        assert!(failure.detail.starts_with(&format!("log in as \"lab\": it says {said:?}; ")), "{}", failure.detail);
        assert!(failure.detail.contains(mend) && !failure.detail.contains("labsecret"), "{}", failure.detail);
    }
}

#[test]
fn the_secret_travels_only_where_nobody_listens() {
    let refusal = "Response: Error\nActionID: {Challenge}\nMessage: Invalid/unknown command\n\n";
    let mut open = challenged(false);
    let failure = open.hear(refusal).unwrap_err();
    assert_eq!(failure.kind, DownKind::Refused);
    assert!(failure.detail.contains("use amis://"), "{}", failure.detail);
    assert_eq!(open.names(), ["Challenge"]);
    let mut tls = challenged(true);
    tls.hear(refusal).unwrap();
    assert_eq!(tls.sent[1].0.get("Secret"), Some("labsecret"));
}

#[test]
fn a_user_with_a_line_break_forges_nothing() {
    let mut talk = Talk::new(Role::Listening, false);
    talk.session.terms.identity.user = "lab\r\nAction: Originate".to_owned();
    talk.session.on_banner("5.0.4".to_owned(), NOW).unwrap();
    talk.collect();
    let failure = talk.hear("Response: Success\nActionID: {Challenge}\nChallenge: 1\n\n").unwrap_err();
    assert_eq!((failure.kind, talk.names()), (DownKind::Refused, vec!["Challenge"]));
    assert!(failure.detail.contains("Username holds a line break"), "{}", failure.detail);
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let mut mute = Talk::new(Role::Listening, false);
    mute.pass(9_999).unwrap();
    assert_eq!(mute.pass(1).unwrap_err().kind, DownKind::Silent);
    let mut talk = challenged(false);
    talk.pass(9_999).unwrap();
    assert_eq!(talk.pass(1).unwrap_err().detail, "log in: it does not answer");
}

#[test]
fn a_ping_without_an_answer_ends_it() {
    let mut talk = Talk::up();
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    talk.pass(10_000).unwrap();
    assert_eq!(talk.names().iter().filter(|name| **name == "Ping").count(), 2);
    talk.pass(4_999).unwrap();
    let failure = talk.pass(1).unwrap_err();
    assert_eq!((failure.kind, failure.detail.as_str()), (DownKind::Silent, "hear from it: it does not answer a ping"));
}

#[test]
fn what_comes_in_a_burst_after_a_stall_has_no_time_of_its_own() {
    let mut talk = Talk::up();
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    talk.told.clear();
    talk.pass(10_000).unwrap();
    talk.now_ms += 1_000;
    talk.hear("Event: InTime\n\n").unwrap();
    talk.now_ms += 3_000;
    talk.hear("Event: Late\n\nEvent: Told\nTimestamp: 1795159945.000000\n\n").unwrap();
    talk.pong().unwrap();
    talk.hear("Event: StillLate\n\n").unwrap();
    talk.now_ms += 1_000;
    talk.hear("Event: Fresh\n\n").unwrap();
    let events = talk.events();
    let expected = [
        ("InTime", Some(11_000)),
        ("Late", None),
        ("Told", Some(11_000)),
        ("StillLate", None),
        ("Fresh", Some(15_000)),
    ];
    assert_eq!(events, expected.map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn a_list_that_does_not_end_is_void_and_asked_for_again_once() {
    let mut talk = Talk::up();
    let first = talk.id("Status");
    talk.hear(CHANNELS).unwrap();
    talk.pass(10_000).unwrap();
    talk.pong().unwrap();
    assert_ne!(talk.id("Status"), first);
    // Its end, too late: nobody waits for it any more.
    talk.hear(&STATUS.replace("{Status}", &first)).unwrap();
    assert!(talk.lists().is_empty());
    talk.hear(CHANNELS).unwrap();
    let failure = talk.pass(10_000).unwrap_err();
    assert_eq!((failure.kind, talk.lists().len()), (DownKind::Silent, 0));
    assert_eq!(failure.detail, "learn which channels there are: the list did not end in time");
}

#[test]
fn a_list_that_was_broken_off_or_lacks_items_is_void() {
    for end in ["EventList: cancelled", "EventList: Complete\nListItems: 2", "EventList: oh"] {
        let mut talk = Talk::up();
        let broken = CHANNELS.replace("EventList: Complete\nListItems: 1", end);
        assert_ne!(broken, CHANNELS);
        talk.hear(&broken).unwrap();
        talk.hear(CHANNELS).unwrap();
        talk.hear(STATUS).unwrap();
        assert_eq!(talk.lists().len(), 1, "{end}");
        assert_eq!(talk.names().iter().filter(|name| **name == "CoreShowChannels").count(), 2, "{end}");
    }
}

#[test]
fn a_list_of_more_memory_than_any_pbx_needs_is_void() {
    let mut talk = Talk::up();
    talk.hear("Response: Success\nActionID: {CoreShowChannels}\nEventList: start\n\n").unwrap();
    let first = talk.id("CoreShowChannels");
    let item = |n: &str, text: &str| {
        let long =
            ["Channel", "Application", "BridgeId", "CallerIDNum", "Linkedid"].map(|key| format!("{key}: {text}\n"));
        Message::parse(format!("Event: CoreShowChannel\nActionID: {first}\nUniqueid: {n}\n{}", long.concat()))
    };
    let (name, cut) = ("é".repeat(30_000), "é".repeat(100));
    talk.session.on_message(item("0", &name), NOW).unwrap();
    talk.session.on_message(item(&name, &name), NOW).unwrap();
    let list = talk.session.list.clone().unwrap().snapshot(NOW);
    let [channel] = list.channels.as_slice() else { panic!("an id that no Asterisk writes is passed over: {list:?}") };
    assert_eq!((&channel.name, channel.application.as_ref()), (&cut, Some(&cut)));
    assert_eq!((channel.bridge.as_ref(), channel.caller.as_ref(), channel.linkedid.as_str()), (Some(&cut), None, "0"));
    let asked_again = (1..50_000).find(|n: &usize| {
        talk.session.on_message(item(&n.to_string(), &cut), NOW).unwrap();
        talk.session.voids == 1
    });
    assert!(asked_again.is_some_and(|n| n > 10_000), "{asked_again:?}");
}

#[test]
fn who_may_not_list_is_told_which_right_is_missing() {
    for action in ["CoreShowChannels", "Status"] {
        let mut talk = Talk::up();
        let denied = format!("Response: Error\nActionID: {{{action}}}\nMessage: Permission denied\n\n");
        let failure = talk.hear(&denied).unwrap_err();
        assert_eq!(failure.kind, DownKind::Refused);
        assert!(
            failure.detail.contains(action) && failure.detail.contains("write = call,reporting"),
            "{}",
            failure.detail
        );
    }
}

#[test]
fn who_may_not_ask_for_settings_knows_less_and_goes_on() {
    let mut talk = Talk::logged_in(Role::Listening);
    talk.pong().unwrap();
    talk.hear("Response: Error\nActionID: {CoreSettings}\nMessage: Permission denied\n\n").unwrap();
    talk.hear("Response: Error\nActionID: {CoreStatus}\nMessage: Permission denied\n\n").unwrap();
    assert_eq!((talk.ups()[0].version.as_ref(), talk.ups()[0].boot_ms), (None, None));
}

#[test]
fn what_comes_before_the_answers_to_a_login_is_bounded() {
    let mut talk = Talk::logged_in(Role::Listening);
    let failure = talk.hear(&"Event: Newexten\n\n".repeat(10_001)).unwrap_err();
    assert_eq!(failure.kind, DownKind::Behind);
    // Few messages, but large ones: long lines, and many short ones, whose marks count as well.
    for (large, most) in [("A: ".to_owned() + &"x".repeat(60_000) + "\n", 280), ("A\n".repeat(4_000), 260)] {
        let mut talk = Talk::logged_in(Role::Listening);
        let one = format!("Event: VarSet\n{large}\n");
        let came = (0..most).find_map(|n| talk.hear(&one).err().map(|failure| (n, failure)));
        let (n, failure) = came.expect("it has no end");
        assert!(failure.kind == DownKind::Behind && n > 100, "{n}: {failure:?}");
    }
}

#[test]
fn a_clock_that_is_set_back_delays_no_ping() {
    let mut talk = Talk::up();
    talk.hear(CHANNELS).unwrap();
    talk.hear(STATUS).unwrap();
    talk.now_ms -= 3_600_000;
    talk.session.tick(talk.now_ms).unwrap();
    assert_eq!(talk.session.wake_at_ms(), talk.now_ms + 10_000);
}

#[test]
fn a_closed_connection_says_how_far_it_came() {
    let said = |talk: &Talk| talk.session.closed().detail;
    assert!(said(&Talk::new(Role::Listening, false)).contains("authlimit"));
    assert_eq!(said(&challenged(false)), "log in: it closed the connection");
    assert_eq!(said(&Talk::up()), "listen to it: it closed the connection");
}
