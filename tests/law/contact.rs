//! The contact rule: what is evidence that somebody spoke with the lead, and what a lead then is.

use crate::build::{Carry, WEAK, at, completed, ended, given_up, live, signal, weak};
use Witness::{Absent, Callback, Inferred, Manual};
use onhook::domain::{
    call::Call,
    lead::{ContactPolicy, Contacts, LegView, Verdict, Written},
    signal::{Claim, Field, LinkRank, Signal, Weak, Witness},
    state::{Live, Outcome, Status},
    time::{Millis, SECOND},
};

const STRICT: ContactPolicy = ContactPolicy { min_talk_seconds: 0, count_machines: false, count_parent: false };

fn leg(provider_id: &str, is_root: bool, direction: &str, story: &[Signal]) -> LegView {
    LegView {
        provider_id: provider_id.into(),
        row: Call::fold(story).read(),
        is_root,
        direction: Some(direction.into()),
        answered_by: None,
        bridged: None,
        recorded: false,
    }
}

fn outbound(story: &[Signal]) -> LegView {
    leg("CA-root", true, "outbound-api", story)
}

fn inbound(story: &[Signal]) -> LegView {
    leg("CA-root", true, "inbound", story)
}

fn dialed(provider_id: &str, story: &[Signal]) -> LegView {
    leg(provider_id, false, "outbound-dial", story)
}

fn linked() -> Signal {
    signal(Callback, Claim::Link, 1).link(LinkRank::Url, "lead-42")
}

fn answered(t: i64) -> Signal {
    live(Live::Answered, Callback, t)
}

/// A conversation of the lead from second 3 to second 20.
fn talked() -> Vec<Signal> {
    vec![linked(), answered(3), completed(17, Callback, 20)]
}

fn missed(outcome: Outcome) -> Vec<Signal> {
    vec![linked(), ended(outcome, Callback, 20)]
}

fn verdict(policy: ContactPolicy, legs: &[LegView]) -> Verdict {
    policy.judge(legs).expect("tied to a lead")
}

fn contacted(policy: ContactPolicy, legs: &[LegView]) -> Option<Millis> {
    verdict(policy, legs).contacted_ms
}

/// Which leg decided the activity, and how.
fn activity(legs: &[LegView]) -> Option<(String, Status, Millis, i64)> {
    verdict(STRICT, legs).activity.map(|a| (a.provider_id, a.outcome, a.at_ms, a.talk_seconds))
}

#[test]
fn a_leg_is_seen_through_its_details() {
    let seen = |field, value: &str| LegView::read("CA1", &Call::fold(&[answered(3).detail(field, value)]));
    let bare = LegView::read("CA1", &Call::fold(&[answered(3)]));
    assert_eq!((bare.provider_id.as_str(), bare.row.status), ("CA1", Status::InProgress));
    assert_eq!((bare.is_root, bare.direction, bare.answered_by), (true, None, None));
    assert_eq!((bare.bridged, bare.recorded), (None, false));
    assert!(!seen(Field::ParentId, "CA0").is_root);
    assert_eq!(seen(Field::Direction, "inbound").direction.as_deref(), Some("inbound"));
    assert_eq!(seen(Field::AnsweredBy, "fax").answered_by.as_deref(), Some("fax"));
    assert_eq!(seen(Field::Bridged, "false").bridged, Some(false));
    assert_eq!(seen(Field::Bridged, "true").bridged, Some(true));
    assert!(seen(Field::RecordingUrl, "u").recorded);
    assert!(!seen(Field::RecordingSeconds, "5").recorded);
}

#[test]
fn the_defaults_are_strict() {
    assert_eq!(ContactPolicy::default(), STRICT);
}

#[test]
fn a_conversation_that_was_answered_and_completed_is_a_contact() {
    assert_eq!(contacted(STRICT, &[outbound(&talked())]), at(20));
    assert_eq!(activity(&[outbound(&talked())]), Some(("CA-root".into(), Status::Completed, 20_000, 17)));
    assert_eq!(contacted(STRICT, &[outbound(&[linked(), completed(17, Callback, 20)])]), at(20));
}

#[test]
fn completed_without_an_answer_is_none() {
    assert_eq!(contacted(STRICT, &[outbound(&[linked(), completed(0, Callback, 20)])]), None);
    assert_eq!(contacted(STRICT, &[outbound(&[linked(), completed(None, Callback, 20)])]), None);
    // Nor is the word of an operator an answer.
    let says = live(Live::Answered, Manual, 3);
    assert_eq!(contacted(STRICT, &[outbound(&[linked(), says, completed(None, Callback, 20)])]), None);
}

#[test]
fn a_call_that_was_not_reached_is_an_activity_and_no_contact() {
    for outcome in [Outcome::Busy, Outcome::NoAnswer, Outcome::Canceled, Outcome::Failed] {
        let legs = [outbound(&missed(outcome))];
        assert_eq!(contacted(STRICT, &legs), None);
        assert_eq!(activity(&legs), Some(("CA-root".into(), outcome.into(), 20_000, 0)));
        let answered_first = [linked(), answered(3), ended(outcome, Callback, 20)];
        assert_eq!(contacted(STRICT, &[outbound(&answered_first)]), None);
    }
}

#[test]
fn a_conversation_without_a_lead_means_nothing() {
    assert_eq!(STRICT.judge(&[outbound(&[answered(3), completed(17, Callback, 20)])]), None);
    assert_eq!(STRICT.judge(&[]), None);
}

#[test]
fn the_legs_that_were_dialed_decide_where_there_are_any() {
    // Agent first: the agent answers, the customer does not.
    let agent = || outbound(&talked());
    let no_customer = [agent(), dialed("CA-b", &missed(Outcome::NoAnswer))];
    assert_eq!(contacted(STRICT, &no_customer), None);
    assert_eq!(activity(&no_customer), Some(("CA-b".into(), Status::NoAnswer, 20_000, 0)));
    let count_parent = ContactPolicy { count_parent: true, ..STRICT };
    assert_eq!(contacted(count_parent, &no_customer), None);

    let customer = dialed("CA-b", &[answered(5), completed(9, Callback, 14)]);
    assert_eq!(contacted(STRICT, &[agent(), customer.clone()]), at(14));
    assert_eq!(activity(&[agent(), customer]), Some(("CA-b".into(), Status::Completed, 14_000, 9)));
}

#[test]
fn the_agents_leg_and_the_customers_make_one_contact_the_latest() {
    let legs = [
        outbound(&talked()),
        dialed("CA-b", &[answered(5), completed(9, Callback, 14)]),
        dialed("CA-c", &[answered(6), completed(10, Callback, 16)]),
        dialed("CA-d", &missed(Outcome::Busy)),
    ];
    assert_eq!(contacted(STRICT, &legs), at(16));
    assert_eq!(activity(&legs).unwrap().0, "CA-c");
    // Of two that ended together the greater id is named, in any order of the legs.
    let same = |id: &str| dialed(id, &[linked(), answered(5), completed(9, Callback, 14)]);
    for legs in [[same("CA-b"), same("CA-c")], [same("CA-c"), same("CA-b")]] {
        assert_eq!(activity(&legs).unwrap().0, "CA-c");
    }
}

#[test]
fn a_root_alone_is_evidence_only_if_we_placed_it() {
    let count_parent = ContactPolicy { count_parent: true, ..STRICT };
    assert_eq!(contacted(STRICT, &[inbound(&talked())]), None);
    assert_eq!(contacted(count_parent, &[inbound(&talked())]), at(20));
    for direction in ["outbound-dial", "trunking-originating", "trunking-terminating", "sideways"] {
        assert_eq!(contacted(STRICT, &[leg("CA-root", true, direction, &talked())]), None, "{direction}");
    }
    let undirected = LegView { direction: None, ..inbound(&talked()) };
    assert_eq!(contacted(STRICT, &[undirected]), None);
    // Once it is put through, the dialed leg counts.
    let put_through = dialed("CA-b", &[answered(5), completed(9, Callback, 14)]);
    assert_eq!(contacted(STRICT, &[inbound(&talked()), put_through]), at(14));
}

#[test]
fn machines_and_faxes_count_only_on_request() {
    let count_machines = ContactPolicy { count_machines: true, ..STRICT };
    let by = |who: &str| [LegView { answered_by: Some(who.into()), ..outbound(&talked()) }];
    for machine in ["machine", "machine_start", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax"] {
        assert_eq!(contacted(STRICT, &by(machine)), None, "{machine}");
        assert_eq!(contacted(count_machines, &by(machine)), at(20), "{machine}");
        assert_eq!(activity(&by(machine)).unwrap().1, Status::Completed);
    }
    for person in ["human", "unknown", ""] {
        assert_eq!(contacted(STRICT, &by(person)), at(20), "{person}");
    }
}

#[test]
fn who_was_never_bridged_was_not_spoken_with() {
    let bridged = |bridged| [LegView { bridged, ..dialed("CA-b", &talked()) }];
    assert_eq!(contacted(STRICT, &bridged(Some(false))), None);
    assert_eq!(contacted(STRICT, &bridged(Some(true))), at(20));
    assert_eq!(contacted(STRICT, &bridged(None)), at(20));
}

#[test]
fn short_conversations_can_be_left_out() {
    let at_least = |min_talk_seconds| ContactPolicy { min_talk_seconds, ..STRICT };
    let legs = [outbound(&talked())];
    assert_eq!(contacted(at_least(17), &legs), at(20));
    assert_eq!(contacted(at_least(18), &legs), None);
    assert_eq!(activity(&legs).unwrap().3, 17);
}

#[test]
fn in_progress_counts_with_a_recording_from_the_answer_on() {
    let talking = |recorded| [LegView { recorded, ..outbound(&[linked(), answered(3)]) }];
    assert_eq!(contacted(STRICT, &talking(true)), at(3));
    assert_eq!(activity(&talking(true)), Some(("CA-root".into(), Status::InProgress, 3_000, 0)));
    assert_eq!(contacted(STRICT, &talking(false)), None);
    assert_eq!(activity(&talking(false)), None);
    // How long it has lasted is not known before it ends.
    assert_eq!(contacted(ContactPolicy { min_talk_seconds: 1, ..STRICT }, &talking(true)), None);
    for level in [Live::Queued, Live::Initiated, Live::Ringing] {
        let waiting = LegView { recorded: true, ..outbound(&[linked(), live(level, Callback, 3)]) };
        assert_eq!(contacted(STRICT, &[waiting]), None);
    }
    // What an operator says of a live call is no evidence, recorded or not.
    let said = LegView { recorded: true, ..outbound(&[linked(), live(Live::Answered, Manual, 3)]) };
    assert_eq!(contacted(STRICT, &[said]), None);
}

#[test]
fn elapsed_time_is_never_evidence() {
    let rings = live(Live::Ringing, Callback, 3);
    for witness in [Absent, Manual, Inferred] {
        let gone = |life: Signal, if_answered| {
            let ending = weak(witness, Weak { decided_ms: 9_000 * SECOND, if_answered, ..WEAK });
            [outbound(&[linked(), life, ending])]
        };
        assert_eq!(contacted(STRICT, &gone(rings.clone(), Outcome::Completed)), None);
        assert_eq!(contacted(STRICT, &gone(answered(3), Outcome::Completed)), at(3));
        assert_eq!(contacted(STRICT, &gone(answered(3), Outcome::Failed)), None);
    }
    assert_eq!(activity(&[outbound(&[linked(), rings, given_up(Inferred, 60)])]).unwrap().1, Status::Failed);
}

#[test]
fn what_came_of_it_is_said_once_all_that_was_dialed_has_ended() {
    let busy = || dialed("CA-b", &missed(Outcome::Busy));
    let rings = dialed("CA-c", &[live(Live::Ringing, Callback, 3)]);
    assert_eq!(activity(&[inbound(&[linked()]), busy(), rings]), None);
    assert_eq!(activity(&[inbound(&[linked()]), busy()]).unwrap().1, Status::Busy);
    let later = dialed("CA-a", &[ended(Outcome::Failed, Callback, 21)]);
    assert_eq!(activity(&[busy(), later.clone()]).unwrap().0, "CA-a");
    assert_eq!(activity(&[later, busy()]).unwrap().0, "CA-a");
    let same = dialed("CA-a", &missed(Outcome::Failed));
    assert_eq!(activity(&[same, busy()]).unwrap().0, "CA-b");
}

#[test]
fn a_conversation_has_the_best_linked_lead() {
    let says = |rank, lead| signal(Callback, Claim::Link, 1).link(rank, lead);
    let lead = |legs: &[LegView]| verdict(STRICT, legs).lead_id;
    let root = |rank, lead| outbound(&[says(rank, lead)]);
    let child = |id, rank, lead| dialed(id, &[says(rank, lead)]);
    use LinkRank::{Job, Number, Url};
    assert_eq!(lead(&[root(Number, "a"), child("CA-b", Url, "b")]), "b");
    assert_eq!(lead(&[root(Job, "z"), child("CA-b", Job, "a")]), "z");
    for legs in [[child("CA-c", Job, "a"), child("CA-b", Job, "z")], [child("CA-b", Job, "z"), child("CA-c", Job, "a")]]
    {
        assert_eq!(lead(&legs), "z");
    }
}

#[test]
fn the_users_word_stands_unless_it_is_new_and_a_contact_came_later() {
    let status = |word: &str, written_ms, contact_ms: Option<Millis>| {
        let written = Written { status: word.into(), status_written_ms: written_ms, last_contacted_ms: None };
        written.status(&Contacts { count: contact_ms.map_or(0, |_| 1), last_ms: contact_ms }).to_owned()
    };
    // (the user's word, written explicitly, the latest active contact) → status
    assert_eq!(status("new", None, None), "new");
    assert_eq!(status("new", None, Some(i64::MIN)), "contacted");
    assert_eq!(status("new", None, Some(5)), "contacted");
    assert_eq!(status("new", Some(4), Some(5)), "contacted");
    assert_eq!(status("new", Some(5), Some(5)), "new");
    assert_eq!(status("new", Some(6), Some(5)), "new");
    assert_eq!(status("new", Some(6), None), "new");
    assert_eq!(status("won", None, Some(5)), "won");
    assert_eq!(status("won", Some(4), Some(5)), "won");
    assert_eq!(status("contacted", Some(4), None), "contacted");
}

#[test]
fn the_last_contact_is_the_users_or_ours_whichever_is_later() {
    let last = |users, ours| {
        let written = Written { status: "won".into(), status_written_ms: None, last_contacted_ms: users };
        written.last_contacted_ms(&Contacts { count: 1, last_ms: ours })
    };
    assert_eq!([last(None, None), last(Some(3), None), last(None, Some(3))], [None, Some(3), Some(3)]);
    assert_eq!([last(Some(3), Some(4)), last(Some(4), Some(3))], [Some(4), Some(4)]);
}

#[test]
fn an_inbound_call_that_dialed_nobody_took_place_but_is_no_contact() {
    assert_eq!(contacted(STRICT, &[inbound(&talked())]), None);
    let entry = ("CA-root".to_owned(), Status::Completed, 20 * SECOND, 17);
    assert_eq!(activity(&[inbound(&talked())]), Some(entry));
    assert_eq!(activity(&[inbound(&[linked(), answered(3)])]), None, "not while it lives");
}
