//! The connection that asks.

use super::*;

fn ready() -> Talk {
    let mut talk = Talk::logged_in(Role::Asking);
    talk.pong().unwrap();
    assert!(talk.session.is_ready());
    assert_eq!(talk.sent[1].0.get("Events"), Some("off"));
    talk
}

fn answers(talk: &mut Talk) -> Vec<(u64, Result<Answer, AskError>)> {
    let told = std::mem::take(&mut talk.told).into_iter().map(|told| match told {
        Output::Answered { ticket, result } => (ticket, result),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn each_answer_finds_its_question() {
    let mut talk = ready();
    talk.session.ask(7, Action::new("Hangup").with("Channel", "1.1"), NOW);
    talk.session.ask(8, Action::new("Getvar").with("Variable", "X"), NOW);
    talk.collect();
    talk.hear("Response: Success\nActionID: {Getvar}\nValue: y\n\n").unwrap();
    talk.hear("Event: Hangup\nUniqueid: 1.1\n\n").unwrap();
    talk.hear("Response: Error\nActionID: {Hangup}\nMessage: No such channel\n\n").unwrap();
    let got = answers(&mut talk);
    assert_eq!((got[0].0, got[0].1.as_ref().unwrap().response.get("Value")), (8, Some("y")));
    assert_eq!(got[1], (7, Err(AskError::Refused { action: "Hangup", message: "No such channel".to_owned() })));
}

#[test]
fn a_list_is_one_answer_and_gets_its_own_time() {
    let mut talk = ready();
    talk.session.ask(1, Action::new("QueueStatus"), NOW);
    talk.collect();
    talk.pass(9_000).unwrap();
    talk.hear("Response: Success\nActionID: {QueueStatus}\nEventList: start\n\nEvent: QueueParams\nActionID: {QueueStatus}\n\n").unwrap();
    talk.pass(1_000).unwrap();
    talk.pong().unwrap();
    talk.pass(8_999).unwrap();
    talk.hear("Event: QueueMember\nActionID: {QueueStatus}\n\n").unwrap();
    talk.hear("Event: QueueStatusComplete\nActionID: {QueueStatus}\nEventList: Complete\nListItems: 2\n\n").unwrap();
    let got = answers(&mut talk);
    let items: Vec<_> = got[0].1.as_ref().unwrap().items.iter().map(|item| item.event().unwrap()).collect();
    assert_eq!(items, ["QueueParams", "QueueMember"]);
}

#[test]
fn a_question_without_an_answer_is_given_up_and_its_late_answer_harms_nobody() {
    let mut talk = ready();
    talk.session.ask(1, Action::new("Hangup"), NOW);
    talk.session.ask(2, Action::new("Setvar").with("Value", "a\nb"), NOW);
    talk.collect();
    assert!(matches!(answers(&mut talk)[..], [(2, Err(AskError::Unsendable(_)))]));
    talk.pass(9_999).unwrap();
    assert!(talk.told.is_empty());
    talk.pass(1).unwrap();
    let got = answers(&mut talk);
    assert!(matches!(&got[..], [(1, Err(AskError::Unanswered { why, .. }))] if why == "it did not come in time"));
    talk.hear("Response: Success\nActionID: {Hangup}\n\n").unwrap();
    assert!(talk.told.is_empty());
}

#[test]
fn too_many_questions_at_once_are_refused() {
    let mut talk = ready();
    for ticket in 0..=ASKED_AT_ONCE_MAX as u64 {
        talk.session.ask(ticket, Action::new("Getvar"), NOW);
    }
    talk.collect();
    assert_eq!(answers(&mut talk), [(ASKED_AT_ONCE_MAX as u64, Err(AskError::TooMany { action: "Getvar" }))]);
}

#[test]
fn who_waits_when_the_connection_goes_learns_it() {
    let mut talk = ready();
    talk.session.ask(3, Action::new("Hangup"), NOW);
    talk.session.abandon("it closed the connection");
    talk.collect();
    let got = answers(&mut talk);
    assert_eq!(
        got[0].1.as_ref().unwrap_err().to_string(),
        "hear the answer to Hangup: it closed the connection; it may have been done"
    );
}
