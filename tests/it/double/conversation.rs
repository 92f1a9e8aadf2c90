//! The gateway's own TwiML, executed: both legs come out as one conversation, and the lead is contacted by the customer's.

use crate::support::{
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, on_both_gateways},
    twilio::Twilio,
};
use onhook::double::{Application, Caller, Fate, Hook, Line, Order, PhoneNumber, Setup, Voice};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    an_agents_browser_calls_a_customer,
    a_caller_is_put_through_or_told_that_nobody_is_there,
    an_agent_is_called_first,
    who_is_refused_is_dialed_by_nobody,
);

const APP: &str = "AP00000000000000000000000000000001";
const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550101";
const CALLER: &str = "+14155550190";

/// A Twilio whose number and app are answered by the gateway, as docs/voice.md says.
fn twilio(gateway: &Gateway, fates: &[(&str, Fate)]) -> Twilio {
    let twilio = Twilio::beside(gateway, Setup::default());
    twilio.with(|double| {
        let url = |door: &str| Some(Hook::post(format!("{PUBLIC_URL}/webhooks/twilio/{door}#rc=5&rp=all")));
        let hooks = Voice {
            voice: Some(Hook::post(format!("{PUBLIC_URL}/webhooks/twilio/voice?lead_id=lead-gus"))),
            fallback: None,
            status_callback: url("status"),
        };
        let account_sid = || ACCOUNT.to_owned();
        double.add_application(Application {
            sid: APP.to_owned(),
            account_sid: account_sid(),
            friendly_name: "softphone".to_owned(),
            hooks: hooks.clone(),
        });
        double.add_number(PhoneNumber {
            sid: "PN00000000000000000000000000000001".to_owned(),
            account_sid: account_sid(),
            phone_number: NUMBER.to_owned(),
            friendly_name: "main".to_owned(),
            hooks,
            voice_application_sid: None,
        });
        fates.iter().for_each(|(to, fate)| double.expect_fate(to, *fate));
    });
    twilio
}

fn call_in(twilio: &Twilio, from: &str, line: Line) -> String {
    let caller = Caller { account_sid: ACCOUNT.to_owned(), from: from.to_owned(), line, stays_s: None };
    twilio.with(|double| double.call_in(caller, twilio.now_ms()).unwrap())
}

async fn set(gateway: &Gateway, settings: Value) {
    let (status, body) = gateway.ask(Method::PUT, "/v1/voice", Some(settings)).await;
    assert!(status.is_success(), "{body}");
    let lead = json!({ "name": "Gus Guest", "phone": CUSTOMER });
    assert!(gateway.ask(Method::PUT, "/v1/leads/lead-gus", Some(lead)).await.0.is_success());
}

/// The dialed legs of a call, as REST shows them.
async fn legs(gateway: &Gateway, parent: &str) -> Vec<Value> {
    let page = gateway.get(&format!("/v1/calls/{parent}/legs")).await;
    let rows = page["data"].as_array().unwrap().iter();
    rows.filter(|leg| leg["parent_id"] == parent).cloned().collect()
}

/// Every callback the gateway wrote into its TwiML came back, and was taken.
#[track_caller]
fn nothing_was_refused(twilio: &Twilio) {
    let tally = twilio.with(|double| double.tally());
    assert_eq!((tally.refused, tally.failed), (0, 0), "{tally:?}");
    twilio.with(|double| {
        double.calls().iter().for_each(|call| assert_eq!(call.warnings, [""; 0], "the TwiML is as Twilio has it"));
    });
}

async fn an_agents_browser_calls_a_customer(gateway: Gateway) {
    set(&gateway, json!({ "caller_id": NUMBER, "record": "record-from-answer", "machine_detection": "Enable" })).await;
    let twilio = twilio(&gateway, &[(CUSTOMER, Fate::Answered { talk_s: 40 })]);
    let parameters = vec![("To".to_owned(), CUSTOMER.to_owned())];
    let agent = call_in(&twilio, "client:ann", Line::Application { sid: APP.to_owned(), parameters });
    twilio.pass(120_000).await;
    let customer = &legs(&gateway, &agent).await[0];
    let wanted = ["completed", "outbound-dial", CUSTOMER, NUMBER, "lead-gus", "human"].map(Value::from);
    let shown = ["status", "direction", "to", "from", "lead_id", "answered_by"].map(|key| customer[key].clone());
    assert_eq!(shown, wanted, "{customer}");
    assert_eq!(customer["talk_seconds"], 40);
    let parent = gateway.get(&format!("/v1/calls/{agent}")).await;
    assert_eq!((&parent["status"], &parent["from"]), (&"completed".into(), &"client:ann".into()), "{parent}");
    assert_eq!((&parent["resolution"], &parent["verified"]), (&"callback".into(), &true.into()));
    let lead = gateway.get("/v1/leads/lead-gus").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"contacted".into(), &1.into()), "one conversation");
    nothing_was_refused(&twilio);
}

async fn a_caller_is_put_through_or_told_that_nobody_is_there(gateway: Gateway) {
    set(&gateway, json!({ "connect": ["client:ann"], "unanswered": "Please call again", "whisper": "From the web" }))
        .await;
    let twilio = twilio(&gateway, &[("client:ann", Fate::Answered { talk_s: 30 })]);
    let answered = call_in(&twilio, CALLER, Line::Number(NUMBER.to_owned()));
    twilio.pass(120_000).await;
    let leg = &legs(&gateway, &answered).await[0];
    assert_eq!((&leg["status"], &leg["to"], &leg["from"]), (&"completed".into(), &"client:ann".into(), &CALLER.into()));

    twilio.with(|double| double.expect_fate("client:ann", Fate::NoAnswer));
    let missed = call_in(&twilio, CALLER, Line::Number(NUMBER.to_owned()));
    twilio.pass(120_000).await;
    assert_eq!(legs(&gateway, &missed).await[0]["status"], "no-answer");
    let parent = gateway.get(&format!("/v1/calls/{missed}")).await;
    assert_eq!((&parent["status"], &parent["direction"]), (&"completed".into(), &"inbound".into()), "{parent}");
    nothing_was_refused(&twilio);
}

async fn an_agent_is_called_first(gateway: Gateway) {
    set(&gateway, json!({ "caller_id": NUMBER })).await;
    let fates = [("client:ann", Fate::Answered { talk_s: 300 }), (CUSTOMER, Fate::Busy)];
    let twilio = twilio(&gateway, &fates);
    let voice = format!("{PUBLIC_URL}/webhooks/twilio/voice?connect=%2B14155550101&lead_id=lead-gus");
    let status = format!("{PUBLIC_URL}/webhooks/twilio/status#rc=5&rp=all");
    let order = Order::new(ACCOUNT, NUMBER, "client:ann").telling(status).following(voice);
    let agent = twilio.with(|double| double.place(order, twilio.now_ms()));
    twilio.pass(120_000).await;
    assert_eq!(legs(&gateway, &agent).await[0]["status"], "busy");
    assert_eq!(gateway.get(&format!("/v1/calls/{agent}")).await["status"], "completed");
    let lead = gateway.get("/v1/leads/lead-gus").await;
    assert_eq!(lead["status"], "new", "the agent answered, the customer did not");
    nothing_was_refused(&twilio);
}

async fn who_is_refused_is_dialed_by_nobody(gateway: Gateway) {
    set(&gateway, json!({ "caller_id": NUMBER })).await;
    let twilio = twilio(&gateway, &[]);
    let parameters = vec![("To".to_owned(), "+19005550101".to_owned())];
    let agent = call_in(&twilio, "client:ann", Line::Application { sid: APP.to_owned(), parameters });
    twilio.pass(120_000).await;
    assert_eq!(legs(&gateway, &agent).await, [Value::Null; 0], "a premium number");
    assert_eq!(twilio.with(|double| double.calls().len()), 1);
    assert_eq!(gateway.get(&format!("/v1/calls/{agent}")).await["status"], "completed");
    nothing_was_refused(&twilio);
}
