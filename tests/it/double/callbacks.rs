//! Its status callbacks: what is fired and what is not, the wire format, sequence numbers, retries, faults.

use crate::support::{
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, on_both_gateways},
    twilio::Twilio,
};
use onhook::{
    domain::{state::Outcome, time::parse_rfc2822},
    double::{
        Account, Application, Callback, Change, Double, Fate, Faults, Hook, Limits, Moment, Order, Reply, Setup, Voice,
        Webhook, webhook::signed_url,
    },
    twilio::{door::Method, form::Form, signature},
};
use std::collections::BTreeSet;

const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550101";
const STATUS: &str = "https://calls.example.com/status?lead_id=lead-42#rc=5&rp=all";

fn double(setup: Setup, seed: u64) -> Double {
    let mut double = Double::new(setup, seed);
    double.add_account(Account::new(ACCOUNT, TOKEN));
    double
}

fn order() -> Order {
    Order::new(ACCOUNT, NUMBER, CUSTOMER).telling(STATUS)
}

/// Everything that is sent in an hour, answered with 204 at once.
fn all(double: &mut Double) -> Vec<Webhook> {
    let mut sent = Vec::new();
    while let Some(at_ms) = double.next_due_ms().filter(|at_ms| *at_ms < START_MS + 3_600_000) {
        for webhook in double.due(at_ms) {
            double.replied(
                webhook.id,
                Reply::Answered { status: 204, content_type: None, body: String::new() },
                5,
                at_ms,
            );
            sent.push(webhook);
        }
    }
    sent
}

fn statuses(sent: &[Webhook]) -> Vec<(&str, &str)> {
    sent.iter().map(|w| (w.parameter("CallStatus"), w.parameter("SequenceNumber"))).collect()
}

/// The callbacks of one call that goes so, with these moments subscribed.
fn callbacks(fate: Fate, moments: &[Moment]) -> Vec<Webhook> {
    let mut double = double(Setup::default(), 3);
    let callback = Callback { hook: Hook::post(STATUS), moments: moments.iter().copied().collect() };
    double.place(Order { callback: Some(callback), ..order().going(fate) }, START_MS);
    all(&mut double)
}

#[test]
fn sequence_numbers_count_what_was_subscribed_to() {
    let fired = |fate, moments: &[Moment]| {
        let sent = callbacks(fate, moments);
        let owned = |(a, b): (&str, &str)| format!("{b} {a}");
        statuses(&sent).into_iter().map(owned).collect::<Vec<_>>()
    };
    let answered = Fate::Answered { talk_s: 17 };
    assert_eq!(fired(answered, Moment::ALL), ["0 initiated", "1 ringing", "2 in-progress", "3 completed"]);
    assert_eq!(fired(answered, &[Moment::Completed]), ["0 completed"], "a lone completed has 0");
    assert_eq!(fired(answered, &[Moment::Answered, Moment::Completed]), ["0 in-progress", "1 completed"]);
    assert_eq!(fired(Fate::Busy, Moment::ALL), ["0 initiated", "1 ringing", "2 busy"]);
    assert_eq!(fired(Fate::NoAnswer, Moment::ALL), ["0 initiated", "1 ringing", "2 no-answer"]);
    assert_eq!(fired(Fate::Failed { sip: 404 }, Moment::ALL), ["0 initiated", "1 failed"]);
    assert_eq!(fired(Fate::Canceled, Moment::ALL), ["0 initiated", "1 ringing", "2 canceled"]);
    assert_eq!(fired(Fate::CanceledInQueue, Moment::ALL), [""; 0], "nothing is fired of a call nobody dialed");
    assert_eq!(fired(answered, &[]), [""; 0]);
}

#[test]
fn the_wire_is_twilios() {
    let sent = callbacks(Fate::Answered { talk_s: 17 }, Moment::ALL);
    let last = sent.last().unwrap();
    assert_eq!((last.method, last.url.as_str()), (Method::Post, "https://calls.example.com/status?lead_id=lead-42"));
    let body = last.body();
    assert!(body.contains("%20") && !body.contains('+'), "a space is %20: {body}");
    let form = Form::parse(body.as_bytes()).unwrap();
    assert_eq!(last.signature, signature::sign(TOKEN, &last.url, Some(&form)));
    for (name, value) in [
        ("AccountSid", ACCOUNT),
        ("CallbackSource", "call-progress-events"),
        ("CallDuration", "17"),
        ("Duration", "1"),
        ("SipResponseCode", "200"),
        ("Direction", "outbound-api"),
        ("Caller", NUMBER),
        ("Called", CUSTOMER),
        ("ToCity", ""),
        ("ApiVersion", "2010-04-01"),
    ] {
        assert_eq!(form.first(name).as_deref(), Some(value), "{name}");
    }
    let at_ms = parse_rfc2822(last.parameter("Timestamp")).unwrap();
    assert!(at_ms % 1_000 == 0 && at_ms <= last.due_ms && last.due_ms < at_ms + 2_000, "whole seconds");
    assert!(!last.parameters.is_sorted(), "callbacks come in the order of a hash table");
    for early in &sent[..3] {
        assert_eq!((early.parameter("CallDuration"), early.parameter("SipResponseCode")), ("", ""));
    }
    assert_eq!(callbacks(Fate::NoAnswer, Moment::ALL).pop().unwrap().parameter("CallDuration"), "0");
    let minutes =
        |talk_s| callbacks(Fate::Answered { talk_s }, Moment::ALL).pop().unwrap().parameter("Duration").to_owned();
    assert_eq!((minutes(60), minutes(61)), ("1".to_owned(), "2".to_owned()));
}

#[test]
fn a_get_carries_everything_in_its_url() {
    let mut double = double(Setup::default(), 3);
    let callback = Some(Callback::end_only(Hook::get("http://calls.example.com:8080/status?a=b#rc=5")));
    double.place(Order { callback, ..order().going(Fate::Busy) }, START_MS);
    let sent = all(&mut double).remove(0);
    assert!(sent.url.starts_with("http://calls.example.com:8080/status?a=b&"), "{}", sent.url);
    assert!(sent.url.contains("CallStatus=busy") && sent.body().is_empty());
    assert_eq!(sent.signature, signature::sign(TOKEN, &sent.url, None));
}

#[test]
fn what_is_signed_of_the_url() {
    for (url, signed) in [
        ("https://ann:secret@calls.example.com:8443/a?b=c:1", "https://calls.example.com/a?b=c:1"),
        ("http://ann:secret@calls.example.com:8080/a", "http://calls.example.com:8080/a"),
        ("https://[::1]:8443/a", "https://[::1]/a"),
        ("https://calls.example.com?x=@:1", "https://calls.example.com?x=@:1"),
    ] {
        assert_eq!(signed_url(url), signed);
    }
}

#[test]
fn machines_are_told_from_people_where_it_was_asked_for() {
    let by = |detect_machines, fate| {
        let mut double = double(Setup::default(), 3);
        let limits = Limits { detect_machines, ..Limits::default() };
        double.place(Order { limits, ..order().going(fate) }, START_MS);
        all(&mut double).pop().unwrap().parameter("AnsweredBy").to_owned()
    };
    assert_eq!(by(true, Fate::Machine { talk_s: 9 }), "machine_start");
    assert_eq!(by(true, Fate::Answered { talk_s: 9 }), "human");
    assert_eq!(by(false, Fate::Machine { talk_s: 9 }), "");
}

#[test]
fn a_bad_answer_is_tried_again_as_the_fragment_says() {
    let tries = |url: &str, reply: &Reply| {
        let mut double = double(Setup::default(), 3);
        let callback = Some(Callback::end_only(Hook::post(url)));
        double.place(Order { callback, ..order().going(Fate::Busy) }, START_MS);
        let mut sent = Vec::new();
        while let Some(at_ms) = double.next_due_ms() {
            for webhook in double.due(at_ms) {
                double.replied(webhook.id, reply.clone(), 5, at_ms);
                sent.push(webhook);
            }
        }
        assert!(sent.windows(2).all(|w| w[0].token == w[1].token), "one idempotency token for all tries");
        sent.len()
    };
    let answer = |status| Reply::Answered { status, content_type: None, body: String::new() };
    let url = |fragment: &str| format!("https://calls.example.com/status{fragment}");
    assert_eq!(tries(&url(""), &answer(500)), 1, "by default an answer is an answer");
    assert_eq!(tries(&url(""), &Reply::TimedOut), 1);
    assert_eq!(tries(&url(""), &Reply::Unreachable), 2, "one more, if there was no connection");
    assert_eq!(tries(&url("#rc=5&rp=all"), &answer(500)), 6);
    assert_eq!(tries(&url("#rc=5&rp=all"), &answer(404)), 6);
    assert_eq!(tries(&url("#rc=5&rp=all"), &answer(204)), 1);
    assert_eq!(tries(&url("#rc=2&rp=5xx"), &answer(503)), 3);
    assert_eq!(tries(&url("#rc=2&rp=5xx"), &answer(403)), 1);
    assert_eq!(tries(&url("#rc=9&rp=rt,ct"), &Reply::TimedOut), 2, "more than five is no number of tries");
}

#[test]
fn slow_answers_leave_no_time_to_try_again() {
    let mut double = double(Setup::default(), 3);
    double
        .place(Order { callback: Some(Callback::end_only(Hook::post(STATUS))), ..order() }.going(Fate::Busy), START_MS);
    let (mut tries, mut now_ms) = (0, START_MS);
    while let Some(at_ms) = double.next_due_ms() {
        now_ms = now_ms.max(at_ms);
        for webhook in double.due(now_ms) {
            now_ms += 7_000;
            double.replied(webhook.id, Reply::TimedOut, 7_000, now_ms);
            tries += 1;
        }
    }
    assert_eq!(tries, 2, "everything about one request ends within 15 seconds");
}

#[test]
fn the_same_seed_makes_the_same_calls_and_faults() {
    let faults = Faults { lost: 0.05, late: 0.05, reordered: 0.1, duplicated: 0.05, slow: 0.05 };
    let run = |seed| {
        let mut double = double(Setup { faults, calls_per_second: 20, ..Setup::default() }, seed);
        (0..200).for_each(|_| drop(double.place(order(), START_MS)));
        let sent = all(&mut double);
        (sent, double.tally())
    };
    let (sent, tally) = run(11);
    assert_eq!((&sent, tally), (&run(11).0, run(11).1));
    assert_ne!(sent, run(12).0);
    for (name, met) in [
        ("lost", tally.lost),
        ("late", tally.late),
        ("reordered", tally.reordered),
        ("duplicated", tally.duplicated),
        ("slow", tally.slow),
    ] {
        assert!(met * 100 / tally.fired >= 2 && met * 100 / tally.fired <= 15, "{name}: {met} of {}", tally.fired);
    }
    assert_eq!(tally.sent, sent.len() as u64);
    assert_eq!(tally.sent, tally.fired - tally.lost + tally.duplicated);
}

#[test]
fn a_callback_is_overtaken_lost_or_doubled() {
    let sent = |faults| {
        let mut double = double(Setup { faults, ..Setup::default() }, 3);
        double.place(order().going(Fate::Answered { talk_s: 17 }), START_MS);
        let sent = all(&mut double);
        (sent, double)
    };
    let order_of = |sent: &[Webhook]| sent.iter().map(|w| w.parameter("SequenceNumber").to_owned()).collect::<Vec<_>>();
    let (reordered, _) = sent(Faults { reordered: 1.0, ..Faults::default() });
    assert_eq!(order_of(&reordered), ["3", "0", "1", "2"], "each waits until it was overtaken; the last one is not");
    let (doubled, _) = sent(Faults { duplicated: 1.0, ..Faults::default() });
    assert_eq!(doubled.len(), 8);
    let tokens: BTreeSet<&String> = doubled.iter().map(|w| &w.token).collect();
    assert_eq!(tokens.len(), 4, "a copy is the same request");
    let (lost, double) = sent(Faults { lost: 1.0, ..Faults::default() });
    assert_eq!(lost, []);
    let call = &double.calls()[0];
    assert!(call.ending_lost && call.is_over());
    assert!(call.exchanges.len() == 4 && call.exchanges.iter().all(|e| e.answer.is_none()));
    let (late, _) = sent(Faults { late: 1.0, ..Faults::default() });
    assert!(late.iter().all(|w| w.due_ms - parse_rfc2822(w.parameter("Timestamp")).unwrap() >= 20_000));
}

#[test]
fn the_queue_lets_one_call_go_a_second() {
    let mut double = double(Setup::default(), 3);
    let sids: Vec<String> = (0..5).map(|_| double.place(order().going(Fate::Busy), START_MS)).collect();
    all(&mut double);
    let started = |sid: &String| double.call(sid).unwrap().truth().unwrap().started_ms.unwrap();
    let starts: Vec<i64> = sids.iter().map(started).collect();
    assert!(starts.windows(2).all(|w| w[1] - w[0] == 1_000), "{starts:?}");
}

#[tokio::test]
async fn what_the_request_says_decides_who_is_told() {
    let twilio = Twilio::start(
        Setup { fate: Some(Fate::Busy), calls_per_second: 100, ..Setup::default() },
        &onhook::clock::ManualClock::new(START_MS),
    );
    let app = twilio.with(|double| {
        let (sid, account_sid) = (double.new_sid("AP"), ACCOUNT.to_owned());
        let hooks = Voice { status_callback: Some(Hook::post("https://app.example.com/ended")), ..Voice::default() };
        double.add_application(Application { sid: sid.clone(), account_sid, friendly_name: String::new(), hooks });
        sid
    });
    let told = async |more: &[(&str, &str)]| {
        let form = [&[("To", CUSTOMER), ("From", NUMBER), ("StatusCallback", STATUS)], more].concat();
        let (status, call) = twilio.post("/Calls.json", &form).await;
        assert_eq!(status, 201, "{call}");
        let sid = call["sid"].as_str().unwrap();
        twilio.with(|double| {
            let callback = double.call(sid).unwrap().callback.clone().unwrap();
            let moments: Vec<String> = callback.moments.iter().map(ToString::to_string).collect();
            (callback.hook.url, moments.join(" "))
        })
    };
    let (url, event) = (("Url", "https://app.example.com/twiml"), "StatusCallbackEvent");
    let status = |moments: &str| (STATUS.to_owned(), moments.to_owned());
    assert_eq!(told(&[url]).await, status("completed"), "the default");
    let all = [url, (event, "initiated"), (event, "ringing"), (event, "answered"), (event, "completed")];
    assert_eq!(told(&all).await, status("initiated ringing answered completed"));
    assert_eq!(told(&[url, (event, "initiated ringing")]).await, status("completed"), "several in one are none");
    let ignored = ("https://app.example.com/ended".to_owned(), "completed".to_owned());
    assert_eq!(told(&[("ApplicationSid", &app), (event, "answered")]).await, ignored, "the app's counts");
}

#[tokio::test]
async fn a_call_canceled_in_the_queue_is_reported_to_nobody() {
    let twilio = Twilio::start(Setup::default(), &onhook::clock::ManualClock::new(START_MS));
    let sid = twilio.with(|double| double.place(order(), START_MS));
    twilio.post(&format!("/Calls/{sid}.json"), &[("Status", "canceled")]).await;
    assert_eq!(twilio.pass(600_000).await, 0);
    assert_eq!(twilio.get(&format!("/Calls/{sid}.json")).await.1["status"], "canceled");
}

on_both_gateways!(the_gateway_takes_what_the_double_sends, what_was_sent_is_listed_a_quarter_of_an_hour_later,);

async fn the_gateway_takes_what_the_double_sends(gateway: Gateway) {
    let faults = Faults { reordered: 0.3, duplicated: 0.3, late: 0.2, ..Faults::default() };
    let twilio = Twilio::beside(&gateway, Setup { calls_per_second: 50, faults, ..Setup::default() });
    let status = format!("{PUBLIC_URL}/webhooks/twilio/status#rc=5&rp=all");
    twilio.with(|double| {
        (0..12).for_each(|_| drop(double.place(Order::new(ACCOUNT, NUMBER, CUSTOMER).telling(&status), START_MS)));
    });
    twilio.pass(400_000).await;
    let truths = twilio.with(|double| {
        let truth = |call: &onhook::double::Call| (call.sid.clone(), call.truth().unwrap(), call.fired);
        double.calls().iter().map(truth).filter(|(.., fired)| *fired > 0).collect::<Vec<_>>()
    });
    assert!(truths.len() > 9);
    for (sid, truth, _) in truths {
        let call = gateway.get(&format!("/v1/calls/{sid}")).await;
        assert_eq!((&call["status"], &call["verified"]), (&truth.status.as_str().into(), &true.into()), "{call}");
        assert_eq!(call["talk_seconds"].as_i64().unwrap_or(0), truth.seconds(), "{call}");
        assert_eq!(call["resolution"], "callback");
    }
}

async fn what_was_sent_is_listed_a_quarter_of_an_hour_later(gateway: Gateway) {
    let twilio = Twilio::beside(&gateway, Setup::default());
    let url = format!("{PUBLIC_URL}/webhooks/twilio/status");
    let form = [
        ("To", CUSTOMER),
        ("From", NUMBER),
        ("Url", "https://app.example.com/twiml"),
        ("StatusCallback", &url),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "completed"),
    ];
    twilio.with(|double| double.expect_fate(CUSTOMER, Fate::Answered { talk_s: 30 }));
    let sid = twilio.post("/Calls.json", &form).await.1["sid"].as_str().unwrap().to_owned();
    twilio.pass(120_000).await;
    let path = format!("/Calls/{sid}/Events.json");
    let ended_ms = twilio.with(|double| double.call(&sid).unwrap().truth().unwrap().ended_ms.unwrap());
    twilio.clock.set(ended_ms + 15 * 60_000 - 1);
    assert_eq!(twilio.get(&path).await.1["events"], serde_json::json!([]));
    twilio.clock.set(ended_ms + 15 * 60_000);
    let (_, page) = twilio.get(&path).await;
    let events = page["events"].as_array().unwrap();
    let short = |event: &serde_json::Value| {
        let (request, response) = (&event["request"], &event["response"]);
        let status = request["parameters"]["call_status"].as_str().unwrap_or("-").to_owned();
        (status, response["response_code"].as_u64().unwrap())
    };
    let shorts: Vec<(String, u64)> = events.iter().map(short).collect();
    let wanted = [("-", 201), ("ringing", 204), ("completed", 204)];
    assert_eq!(shorts, wanted.map(|(status, code)| (status.to_owned(), code)));
    assert_eq!(events[2]["request"]["parameters"]["call_duration"], "30");
    assert_eq!(events[2]["request"]["url"], url);
    assert_eq!(events[0]["request"]["parameters"]["status_callback_event"], "completed");
}

#[test]
fn a_call_can_begin_in_the_middle() {
    let mut double = double(Setup::default(), 3);
    let changes = vec![
        (START_MS, Change::Queued),
        (START_MS + 1_000, Change::Initiated),
        (START_MS + 9_000, Change::Answered { by: None }),
        (START_MS + 21_500, Change::Ended { outcome: Outcome::Completed, sip: 200 }),
    ];
    let sid = double.add_call(order(), changes);
    assert_eq!(all(&mut double), []);
    let truth = double.call(&sid).unwrap().truth().unwrap();
    assert_eq!((truth.seconds(), truth.minutes()), (12, 1));
}
