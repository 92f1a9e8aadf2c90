//! Calls that a gateway places at a PBX, and hangs up there.

use super::scene::{Fed, Node, PACE, PBX, PUSHES, TENANT, message, on_both_nodes, until};
use crate::support::{database::TestDatabase, gateway::START_MS};
use onhook::{
    ami::{
        Message,
        client::{Answer, AskError, DownKind},
    },
    domain::{
        id::{Leg, new_id},
        run::{Settings, call_id},
        signal::{Claim, Field, Signal, Witness},
        state::Live,
        time::SECOND,
    },
    ingest::Submission,
    provider::{Dialer, Found, Order, Placed, Reach, TroubleKind},
};
use std::sync::Arc;
use tokio::task::JoinHandle;

on_both_nodes! {
    a_call_is_placed_under_the_id_of_its_attempt,
    what_the_pbx_refuses_is_no_call,
    what_it_refuses_of_everybody_is_tried_later,
    an_answer_that_is_not_heard_is_lost,
    nothing_is_sent_to_a_pbx_that_is_not_heard,
    one_that_fails_without_a_channel_ends,
    one_that_is_queued_as_the_line_is_cut_ends,
    one_that_is_queued_as_we_are_killed_ends,
    one_whose_answer_was_lost_is_found_by_its_id,
    a_call_that_rings_is_hung_up_and_canceled,
    a_call_that_had_ended_is_not_hung_up,
    who_only_pushes_or_is_held_elsewhere_cannot_be_dialed_here,
}

fn order(attempt: i64) -> Order {
    let settings = Settings {
        from: Some("+14155550100".into()),
        channel: Some("PJSIP/{to}@trunk".into()),
        context: Some("customers".into()),
        timeout_seconds: Some(20),
        ..Settings::default()
    };
    Order {
        job_id: new_id("job", START_MS, 7),
        attempt,
        to: "+14155550101".into(),
        lead_id: Some("lead-1".into()),
        user_id: Some("ada".into()),
        settings,
        placing_ms: START_MS,
    }
}

fn id_of(order: &Order) -> String {
    call_id(&order.job_id, order.attempt)
}

async fn dialer(node: &Node) -> Arc<dyn Dialer> {
    match node.pbxs.reach(TENANT, PBX).await.unwrap() {
        Reach::Here(dialer) => dialer,
        Reach::Elsewhere => panic!("it is listened to here"),
    }
}

/// Places it in the background, as soon as the PBX is asked for it.
async fn placing(node: &Node, line: &Fed, order: &Order) -> JoinHandle<Placed> {
    let (dialer, order) = (dialer(node).await, order.clone());
    let before = line.asked.lock().unwrap().len();
    let placing = tokio::spawn(async move { dialer.place(&order).await });
    until("it is asked for", async || line.asked.lock().unwrap().len() > before).await;
    placing
}

fn success(words: &str) -> Result<Answer, AskError> {
    let response = Message::new(vec![("Response".into(), "Success".into()), ("Message".into(), words.into())]);
    Ok(Answer { response, items: Vec::new() })
}

/// Answers what was asked last.
fn answer(line: &Fed, result: Result<Answer, AskError>) {
    let (_, answer) = line.asked.lock().unwrap().pop().expect("something was asked");
    answer.send(result).expect("somebody waits for it");
}

fn refuses(message: &str) -> Result<Answer, AskError> {
    Err(AskError::Refused { action: "Originate", message: message.into() })
}

/// Placed and taken, and told as the dialer of runs tells it.
async fn accepted(node: &Node, line: &Fed, order: &Order) -> String {
    let placing = placing(node, line, order).await;
    answer(line, success("Originate successfully queued"));
    let Placed::Accepted(id) = placing.await.unwrap() else { panic!("it was taken") };
    let details = [(Field::JobId, order.job_id.clone()), (Field::Direction, "outbound-api".to_owned())];
    let signal = Signal {
        leg: Leg { provider_id: id.clone(), account: PBX.into() },
        witness: Witness::Reconciled,
        claim: Claim::Live(Live::Queued),
        at: None,
        sequence: None,
        details: details.into(),
        link: None,
        received_ms: node.clock_ms(),
    };
    let (delivery, signals, ask, decision) = (None, vec![signal], Vec::new(), None);
    let submission = Submission { tenant: TENANT.into(), provider: "asterisk", delivery, signals, ask, decision };
    node.ingest.submit(submission).await.unwrap();
    node.until_status(&id, "queued").await;
    id
}

fn of_channel(event: &str, id: &str, state: &str, more: &[(&str, &str)]) -> Message {
    let own = [("Channel", "PJSIP/trunk-00000001"), ("ChannelState", state), ("Uniqueid", id), ("Linkedid", id)];
    message(event, &[own.as_slice(), more].concat())
}

async fn a_call_is_placed_under_the_id_of_its_attempt(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let order = order(2);
    let placing = placing(&a, &line, &order).await;
    let action = line.asked.lock().unwrap()[0].0.clone();
    let id = id_of(&order);
    for (field, value) in [
        ("Channel", "PJSIP/+14155550101@trunk"),
        ("ChannelId", id.as_str()),
        ("Context", "customers"),
        ("Exten", "s"),
        ("Timeout", "20000"),
        ("CallerID", "+14155550100"),
        ("Async", "true"),
        ("Variable", "ONHOOK_LEAD=lead-1"),
    ] {
        assert_eq!(action.get(field), Some(value), "{field}");
    }
    answer(&line, success("Originate successfully queued"));
    assert_eq!(placing.await.unwrap(), Placed::Accepted(id));
}

async fn what_the_pbx_refuses_is_no_call(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let placing = placing(&a, &line, &order(1)).await;
    answer(&line, refuses("Invalid channel"));
    let Placed::Refused(why) = placing.await.unwrap() else { panic!("it speaks of this call") };
    assert_eq!(why, "place the call: the PBX pbx1 says \"Invalid channel\"");
    let before = line.asked.lock().unwrap().len();
    let mut odd = order(1);
    odd.to = "2001@evil".into();
    let placed = dialer(&a).await.place(&odd).await;
    assert!(matches!(&placed, Placed::Refused(why) if why.contains("dial the number")), "{placed:?}");
    odd = order(1);
    odd.settings.context = None;
    let placed = dialer(&a).await.place(&odd).await;
    assert_eq!(placed, Placed::Refused("place the call: the run names no context".into()));
    odd = order(1);
    odd.lead_id = Some("a\r\nAction: Logoff".into());
    let placed = dialer(&a).await.place(&odd).await;
    assert!(matches!(&placed, Placed::Refused(why) if why.contains("line break")), "{placed:?}");
    assert_eq!(line.asked.lock().unwrap().len(), before, "nothing of it was sent");
}

async fn what_it_refuses_of_everybody_is_tried_later(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    for (message, kind, next) in [
        ("Permission denied", TroubleKind::Refused, "originate in write="),
        ("Extension does not exist.", TroubleKind::Refused, "context and extension"),
        ("Originate failed", TroubleKind::TooMany, "no room"),
    ] {
        let placing = placing(&a, &line, &order(1)).await;
        answer(&line, refuses(message));
        let Placed::NotNow(trouble) = placing.await.unwrap() else { panic!("{message}: another call fares the same") };
        assert!(trouble.kind == kind && trouble.detail.contains(next), "{trouble:?}");
    }
    let placing = placing(&a, &line, &order(1)).await;
    answer(&line, Err(AskError::Away { action: "Originate", why: "failed to connect".into() }));
    let placed = placing.await.unwrap();
    assert!(matches!(&placed, Placed::NotNow(trouble) if trouble.kind == TroubleKind::Unreachable), "{placed:?}");
}

async fn an_answer_that_is_not_heard_is_lost(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let unheard = placing(&a, &line, &order(1)).await;
    answer(&line, Err(AskError::Unanswered { action: "Originate", why: "it is cut".into() }));
    assert!(matches!(unheard.await.unwrap(), Placed::Lost(_)));
    // Asked, and never answered: as long as placing may take.
    let unanswered = placing(&a, &line, &order(2)).await;
    assert!(matches!(unanswered.await.unwrap(), Placed::Lost(_)));
}

async fn nothing_is_sent_to_a_pbx_that_is_not_heard(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let dialer = dialer(&a).await;
    line.down(DownKind::Closed, Some(START_MS)).await;
    a.until_state("down").await;
    let placed = dialer.place(&order(1)).await;
    assert!(matches!(&placed, Placed::NotNow(trouble) if trouble.kind == TroubleKind::Unreachable), "{placed:?}");
    assert!(line.asked.lock().unwrap().is_empty());
    assert_eq!(a.pbxs.reach(TENANT, PBX).await.unwrap_err().kind, TroubleKind::Unreachable);
}

async fn one_that_fails_without_a_channel_ends(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let id = accepted(&a, &line, &order(1)).await;
    let failed = [("Response", "Failure"), ("Reason", "0"), ("Channel", "PJSIP/+14155550101@trunk"), ("Uniqueid", &id)];
    line.say(&a.clock, vec![message("OriginateResponse", &failed)]).await;
    a.clock.advance(3 * SECOND);
    let call = a.until_status(&id, "failed").await;
    assert_eq!((call.resolution.as_deref(), call.estimated), (Some("callback"), false));
}

async fn one_that_is_queued_as_the_line_is_cut_ends(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let id = accepted(&a, &line, &order(1)).await;
    line.down(DownKind::Closed, Some(a.clock_ms())).await;
    a.clock.advance(SECOND / 2);
    line.up(&a.clock, None).await;
    line.listed(&a.clock, Vec::new()).await;
    a.until_state("connected").await;
    assert_eq!(a.call(&id).await.status, "queued", "its channel may be made in this moment");
    let lists = line.lists();
    a.clock.advance(3 * SECOND);
    until("another list is asked for", async || line.lists() > lists).await;
    line.listed(&a.clock, Vec::new()).await;
    let call = a.until_status(&id, "no-answer").await;
    assert_eq!(
        (call.resolution.as_deref(), call.estimated),
        (Some("reconciled"), true),
        "nobody was told how it ended"
    );
}

async fn one_that_is_queued_as_we_are_killed_ends(at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let id = accepted(&a, &line, &order(1)).await;
    a.die(&line).await;
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    a.clock.advance(20 * SECOND);
    let _line = b.hear(Vec::new()).await;
    let call = b.until_status(&id, "no-answer").await;
    assert_eq!((call.resolution.as_deref(), call.estimated), (Some("reconciled"), true));
}

async fn one_whose_answer_was_lost_is_found_by_its_id(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let (order, id) = (order(3), id_of(&order(3)));
    let find = async |channels| {
        let (dialer, order, lists) = (dialer(&a).await, order.clone(), line.lists());
        let finding = tokio::spawn(async move { dialer.find(&order, &|_: &str| false).await });
        until("a list is asked for", async || line.lists() > lists).await;
        line.listed(&a.clock, channels).await;
        finding.await.unwrap().unwrap()
    };
    let found = find(Vec::new()).await;
    assert!(matches!(&found, Found::Unclear(why) if why.contains("may have ended")), "{found:?}");
    let channel = onhook::ami::Channel {
        name: "PJSIP/trunk-00000001".into(),
        uniqueid: id.clone(),
        linkedid: id.clone(),
        state: 5,
        ..onhook::ami::Channel::default()
    };
    let Found::Call(signal) = find(vec![channel]).await else { panic!("it is listed") };
    assert_eq!((signal.leg.provider_id.as_str(), signal.witness), (id.as_str(), Witness::Reconciled));
    let said = [Field::JobId, Field::Attempt].map(|field| signal.details[&field].clone());
    assert_eq!(said, [order.job_id.clone(), "3".to_owned()]);
    assert_eq!(a.until_status(&id, "ringing").await.direction.as_deref(), Some("outbound-api"), "as the list shows it");
}

async fn a_call_that_rings_is_hung_up_and_canceled(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let id = accepted(&a, &line, &order(1)).await;
    line.say(&a.clock, vec![of_channel("Newchannel", &id, "0", &[]), of_channel("Newstate", &id, "5", &[])]).await;
    a.until_status(&id, "ringing").await;
    let (dialer, ended) = (dialer(&a).await, id.clone());
    let ending = tokio::spawn(async move { dialer.hang_up(&ended).await });
    until("it is asked", async || !line.asked.lock().unwrap().is_empty()).await;
    let action = line.asked.lock().unwrap()[0].0.clone();
    assert_eq!((action.name(), action.get("Channel"), action.get("Cause")), ("Hangup", Some(id.as_str()), Some("16")));
    // Told before the answer, as Asterisk may have it.
    line.say(&a.clock, vec![of_channel("Hangup", &id, "5", &[("Cause", "16")])]).await;
    answer(&line, success("Channel Hungup"));
    assert_eq!(ending.await.unwrap(), Ok(true));
    a.clock.advance(3 * SECOND);
    a.until_status(&id, "canceled").await;
}

async fn a_call_that_had_ended_is_not_hung_up(_at: TestDatabase, a: Node) {
    let line = a.hear(Vec::new()).await;
    let dialer = dialer(&a).await;
    for (message, result) in [("No such channel", Some(false)), ("Permission denied", None)] {
        let asked = dialer.clone();
        let ending = tokio::spawn(async move { asked.hang_up("1700000000.9").await });
        until("it is asked", async || !line.asked.lock().unwrap().is_empty()).await;
        answer(&line, Err(AskError::Refused { action: "Hangup", message: message.into() }));
        assert_eq!(ending.await.unwrap().ok(), result, "{message}");
    }
}

async fn who_only_pushes_or_is_held_elsewhere_cannot_be_dialed_here(at: TestDatabase, a: Node) {
    let _line = a.hear(Vec::new()).await;
    let trouble = a.pbxs.reach(TENANT, PUSHES).await.unwrap_err();
    assert!(trouble.kind == TroubleKind::Refused && trouble.detail.contains("only pushes"), "{trouble}");
    let b = Node::with(&at.place, 2, PACE, a.clock.clone()).await;
    assert!(matches!(b.pbxs.reach(TENANT, PBX).await, Ok(Reach::Elsewhere)));
}
