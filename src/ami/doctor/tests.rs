//! What follows from what was found.

use super::{conf::Site, *};

fn message(headers: &[(&str, &str)]) -> Message {
    Message::new(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// As Asterisk 16 answers a user with `write = call,reporting,originate`, shortened.
const LEAST: &[(&str, &str)] = &[
    ("Response", "Success"),
    ("Redirect", "Redirect (transfer) a call.  (Priv: call,all)"),
    ("Ping", "Keepalive command.  (Priv: <none>)"),
    ("CoreSettings", "Show PBX core settings (version etc).  (Priv: system,reporting,all)"),
    ("CoreShowChannels", "List currently active channels.  (Priv: system,reporting,all)"),
    ("DeviceStateList", "List the current known device states.  (Priv: call,reporting,all)"),
    ("ExtensionStateList", "List the current known extension states.  (Priv: call,reporting,all)"),
    ("Hangup", "Hangup channel.  (Priv: system,call,all)"),
    ("Originate", "Originate a call.  (Priv: originate,all)"),
    ("Status", "List channel status.  (Priv: system,call,reporting,all)"),
];

/// What a user with every right is listed beside that.
const MORE: &[(&str, &str)] = &[
    ("Command", "Execute Asterisk CLI Command.  (Priv: command,all)"),
    ("GetConfig", "Retrieve configuration.  (Priv: system,config,all)"),
    ("UpdateConfig", "Update basic configuration.  (Priv: config,all)"),
    ("Filter", "Dynamically add filters for the current manager session.  (Priv: system,all)"),
];

fn up() -> Up {
    Up {
        login_ms: 0,
        ami_version: "5.0.4".into(),
        version: Some("16.28.0".into()),
        system_name: None,
        boot_ms: None,
        clock_ahead_ms: 0,
    }
}

/// A PBX on which everything is as it should be.
fn well() -> Found {
    let mut heard = Heard { listened_ms: 5_000, ..Heard::default() };
    heard.note(&message(&[("Event", "Newchannel"), ("Privilege", "call,all"), ("Timestamp", "1.5")]));
    let status = [("Event", "Status"), ("Variable", "CDR(start,u)=1700000000.5"), ("Variable", "CDR(answer,u)=")];
    Found {
        tls: true,
        here: false,
        up: Some(up()),
        commands: Some(message(LEAST)),
        settings: Some(message(&[("Response", "Success"), ("CoreCDRenabled", "Yes")])),
        listed: true,
        status: Some(vec![message(&status)]),
        heard,
    }
}

/// What is said under a name, if it is not as it should be.
#[track_caller]
fn said(found: &Found, name: &str, weight: Weight) -> String {
    let judged = judge(found);
    let hits: Vec<&Judged> = judged.iter().filter(|judged| judged.name == name && judged.weight == weight).collect();
    assert_eq!(hits.len(), 1, "{name} {weight}: {judged:#?}");
    if weight != Weight::Good {
        assert!(!hits[0].next.is_empty(), "it says what to do: {:?}", hits[0]);
    }
    format!("{} | {}", hits[0].what, hits[0].next)
}

#[test]
fn a_pbx_with_the_least_rights_is_well() {
    let judged = judge(&well());
    let other: Vec<_> = judged.iter().filter(|judged| judged.weight != Weight::Good).collect();
    // The one thing that cannot be read with these rights.
    assert_eq!(other.iter().map(|judged| judged.name).collect::<Vec<_>>(), ["writetimeout"], "{other:#?}");
    assert!(said(&well(), "version", Weight::Good).contains("Asterisk 16.28.0"));
}

#[test]
fn rights_that_are_missing_are_named_with_what_is_lost() {
    let few = LEAST.iter().copied().filter(|(name, _)| !["Originate", "CoreShowChannels"].contains(name));
    let found = Found { commands: Some(message(&few.collect::<Vec<_>>())), ..well() };
    let said = said(&found, "rights", Weight::Finding);
    for words in ["CoreShowChannels (repairing calls after a cut)", "Originate", "add originate, reporting to write="] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn rights_that_show_secrets_are_too_many() {
    let all: Vec<_> = LEAST.iter().chain(MORE).copied().collect();
    let all = Found { commands: Some(message(&all)), ..well() };
    let what = said(&all, "rights", Weight::Finding);
    assert!(what.contains("take system, config, command out of write="), "{what}");
    assert!(what.contains("GetConfig"), "{what}");
    assert_eq!(said(&all, "rights", Weight::Good).split(" |").next(), Some("the user may do all that is needed"));
    for commands in [None, Some(message(&[("Response", "Error"), ("Message", "Permission denied")]))] {
        said(&Found { commands, ..well() }, "rights", Weight::Unknown);
    }
}

#[test]
fn an_old_protocol_is_refused() {
    let found = Found { up: Some(Up { ami_version: "1.4".into(), version: None, ..up() }), ..well() };
    assert!(said(&found, "version", Weight::Finding).contains("1.4: too old"));
}

#[test]
fn encryption_matters_where_something_leaves_the_machine() {
    let plain = |here| Found { tls: false, here, ..well() };
    said(&plain(true), "encryption", Weight::Good);
    assert!(said(&plain(false), "encryption", Weight::Finding).contains("amis://"));
}

#[test]
fn a_clock_that_is_off_is_a_finding() {
    let of = |clock_ahead_ms| Found { up: Some(Up { clock_ahead_ms, ..up() }), ..well() };
    said(&of(-2_000), "clock", Weight::Good);
    assert!(said(&of(90_000), "clock", Weight::Finding).contains("90 s ahead of ours"));
    assert!(said(&of(-90_000), "clock", Weight::Finding).contains("90 s behind ours"));
}

#[test]
fn events_show_their_classes_and_whether_they_carry_times() {
    let heard = |events: &[&[(&str, &str)]]| {
        let mut heard = Heard { listened_ms: 5_000, ..Heard::default() };
        events.iter().for_each(|event| heard.note(&message(event)));
        Found { heard, ..well() }
    };
    let untimed = heard(&[&[("Event", "Newchannel"), ("Privilege", "call,all")]]);
    assert!(said(&untimed, "timestampevents", Weight::Finding).contains("timestampevents = yes"));
    assert!(said(&untimed, "events", Weight::Good).contains("call 1"));
    let none = heard(&[]);
    said(&none, "timestampevents", Weight::Unknown);
    assert!(said(&none, "events", Weight::Unknown).contains("none"));
    // An item of a list has no privilege, and is not heard of the world.
    said(&heard(&[&[("Event", "CoreShowChannel")]]), "events", Weight::Unknown);
    let noisy = heard(&[&[("Event", "VarSet"), ("Privilege", "dialplan,all"), ("Timestamp", "1.5")]]);
    assert!(said(&noisy, "events", Weight::Finding).contains("leave dialplan out of read="));
}

#[test]
fn classes_are_counted_within_bounds() {
    let mut heard = Heard::default();
    for n in 0..1_000 {
        heard.note(&message(&[("Event", "x"), ("Privilege", &format!("c{n},all"))]));
    }
    assert_eq!((heard.classes.len(), heard.without_timestamp), (32, 1_000));
}

#[test]
fn cdr_variables_are_tried_on_live_calls() {
    said(&well(), "CDR variables", Weight::Good);
    let off = Some(message(&[("CoreCDRenabled", "No")]));
    assert!(said(&Found { settings: off, ..well() }, "CDR variables", Weight::Finding).contains("cdr.conf"));
    said(&Found { status: Some(Vec::new()), ..well() }, "CDR variables", Weight::Unknown);
    assert!(said(&Found { status: None, ..well() }, "CDR variables", Weight::Finding).contains("refused"));
    let empty = vec![message(&[("Event", "Status"), ("Variable", "CDR(start,u)=(null)")])];
    assert!(said(&Found { status: Some(empty), ..well() }, "CDR variables", Weight::Finding).contains("func_cdr.so"));
    said(&Found { listed: false, ..well() }, "channel list", Weight::Finding);
}

#[test]
fn the_manager_conf_gives_the_least() {
    let site = Site { user: "onhook", secret: "s3cret", gateway: "10.0.0.7", tls: true };
    let conf = conf::manager_conf(&site);
    for line in [
        "[onhook]",
        "secret = s3cret",
        "permit = 10.0.0.7/32",
        "read = system,call,agent,user,cdr",
        "write = call,reporting,originate",
        "writetimeout = 5000",
        "timestampevents = yes",
        "channelvars = ONHOOK_LEAD,ONHOOK_USER",
        "tlsenable = yes",
    ] {
        assert!(conf.lines().any(|given| given == line), "{line}\n{conf}");
    }
    let plain = conf::manager_conf(&Site { tls: false, gateway: "2001:db8::7", ..site });
    assert!(plain.contains("permit = 2001:db8::7/128") && !plain.contains("tlsenable"), "{plain}");
    assert!(conf::manager_conf(&Site { gateway: "10.0.0.0/8", ..site }).contains("permit = 10.0.0.0/8\n"));
}
