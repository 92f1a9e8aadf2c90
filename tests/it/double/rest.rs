//! Its REST API: shapes (every answer is held against Twilio's description by `Twilio::ask`), filters, errors.

use crate::support::{
    gateway::{ACCOUNT, START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::{
    clock::ManualClock,
    double::{Account, Application, Fate, Hook, Order, Outage, PhoneNumber, Setup, Voice},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550101";

fn twilio(setup: Setup) -> Twilio {
    Twilio::start(setup, &ManualClock::new(START_MS))
}

fn dial<'a>() -> Vec<(&'a str, &'a str)> {
    vec![("To", CUSTOMER), ("From", NUMBER), ("Url", "https://app.example.com/twiml")]
}

fn sids(page: &Value) -> Vec<String> {
    page["calls"].as_array().unwrap().iter().map(|call| call["sid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_call_is_placed_shown_and_ends() {
    let twilio = twilio(Setup { fate: Some(Fate::Answered { talk_s: 17 }), ..Setup::default() });
    let (status, placed) = twilio.post("/Calls.json", &dial()).await;
    assert_eq!((status, &placed["status"], &placed["duration"]), (StatusCode::CREATED, &"queued".into(), &Value::Null));
    assert_eq!((&placed["date_created"], &placed["start_time"]), (&Value::Null, &Value::Null), "just placed");
    let path = format!("/Calls/{}.json", placed["sid"].as_str().unwrap());
    assert_eq!(twilio.get(&path).await.1["status"], "queued");
    let mut seen = vec!["queued".to_owned()];
    for _ in 0..600 {
        twilio.pass(100).await;
        let status = twilio.get(&path).await.1["status"].as_str().unwrap().to_owned();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
    }
    assert_eq!(seen, ["queued", "ringing", "in-progress", "completed"], "REST has no initiated");
    let (_, call) = twilio.get(&path).await;
    assert_eq!((&call["duration"], &call["direction"]), (&"17".into(), &"outbound-api".into()));
    assert_eq!((&call["price_unit"], &call["answered_by"]), (&"USD".into(), &Value::Null));
    twilio.was_asked_well();
}

#[tokio::test]
async fn what_cannot_be_placed_is_refused_in_twilios_words() {
    let twilio = twilio(Setup::default());
    let code = async |form: &[(&str, &str)]| {
        let (status, body) = twilio.post("/Calls.json", form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        body["code"].as_u64().unwrap()
    };
    let url = ("Url", "https://app.example.com/twiml");
    assert_eq!(code(&[("From", NUMBER), url]).await, 21201, "no To");
    assert_eq!(code(&[("To", CUSTOMER), url]).await, 21213, "no From");
    assert_eq!(code(&[("To", "12"), ("From", NUMBER), url]).await, 21211);
    assert_eq!(code(&[("To", "client:"), ("From", NUMBER), url]).await, 21211);
    assert_eq!(code(&[("To", CUSTOMER), ("From", "me"), url]).await, 21212);
    assert_eq!(code(&[("To", CUSTOMER), ("From", NUMBER)]).await, 21205, "no instructions");
    let underscore = ("StatusCallback", "https://my_host.example.com/status");
    assert_eq!(code(&[("To", CUSTOMER), ("From", NUMBER), url, underscore]).await, 21205);
    assert_eq!(code(&[("To", CUSTOMER), ("From", NUMBER), url, ("Timeout", "long")]).await, 20001);
    twilio.with(|double| {
        let (sid, account_sid) = (double.new_sid("PN"), ACCOUNT.to_owned());
        let phone_number = "+14155550199".to_owned();
        let (friendly_name, hooks) = (phone_number.clone(), Voice::default());
        double.add_number(PhoneNumber {
            sid,
            account_sid,
            phone_number,
            friendly_name,
            hooks,
            voice_application_sid: None,
        });
    });
    assert_eq!(code(&dial()).await, 21210, "not a number of the account");
    assert_eq!(twilio.get("/Calls.json").await.1["calls"], json!([]), "nothing was placed");
}

#[tokio::test]
async fn who_may_ask_is_who_has_the_token() {
    const SUB: &str = "AC00000000000000000000000000000002";
    let twilio = twilio(Setup::default());
    twilio.with(|double| double.add_account(Account::sub_account(SUB, "token-of-the-sub", ACCOUNT)));
    let account = |sid: &str| format!("/2010-04-01/Accounts/{sid}.json");
    let ask = async |sid: &str, who: (&str, &str)| twilio.ask(Method::GET, &account(sid), who, &[]).await;
    let (status, own) = ask(ACCOUNT, (ACCOUNT, TOKEN)).await;
    assert_eq!(
        (status, &own["auth_token"], &own["owner_account_sid"]),
        (StatusCode::OK, &TOKEN.into(), &ACCOUNT.into())
    );
    let (status, sub) = ask(SUB, (ACCOUNT, TOKEN)).await;
    assert_eq!((status, &sub["auth_token"]), (StatusCode::OK, &"token-of-the-sub".into()), "the parent may");
    assert_eq!(sub["owner_account_sid"], ACCOUNT);
    let refused = [
        (ACCOUNT, (SUB, "token-of-the-sub")),
        (ACCOUNT, (ACCOUNT, "another")),
        (ACCOUNT, ("", "")),
        ("AC00000000000000000000000000000099", (ACCOUNT, TOKEN)),
    ];
    for (sid, who) in refused {
        let (status, body) = ask(sid, who).await;
        assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &20003.into()), "{who:?}");
    }
    let call = twilio.with(|double| double.place(Order::new(SUB, NUMBER, CUSTOMER), START_MS));
    let (status, body) = twilio.get(&format!("/Calls/{call}.json")).await;
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &20404.into()), "it is the sub-account's");
    let path = format!("/2010-04-01/Accounts/{SUB}/Calls/{call}.json");
    assert_eq!(twilio.ask(Method::GET, &path, (ACCOUNT, TOKEN), &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let twilio = twilio(Setup { fate: Some(Fate::Answered { talk_s: 10 }), ..Setup::default() });
    let mut placed = Vec::new();
    for n in 0..7 {
        let to = if n % 2 == 0 { CUSTOMER } else { "+14155550102" };
        placed.push(twilio.with(|double| double.place(Order::new(ACCOUNT, NUMBER, to), START_MS)));
    }
    twilio.pass(60_000).await;
    placed.push(twilio.with(|double| double.place(Order::new(ACCOUNT, NUMBER, CUSTOMER), START_MS + 60_000)));
    placed.reverse();

    let mut found = Vec::new();
    let mut next = Some("/2010-04-01/Accounts/AC00000000000000000000000000000001/Calls.json?PageSize=3".to_owned());
    while let Some(path) = next {
        let (_, page) = twilio.ask(Method::GET, &path, (ACCOUNT, TOKEN), &[]).await;
        found.extend(sids(&page));
        assert_eq!(page["page_size"], 3);
        next = page["next_page_uri"].as_str().map(str::to_owned);
    }
    assert_eq!(found, placed, "newest first, every call once");

    let count = async |query: &str| {
        let (status, page) = twilio.get(&format!("/Calls.json?{query}")).await;
        assert_eq!(status, StatusCode::OK);
        page["calls"].as_array().unwrap().len()
    };
    assert_eq!(count("To=%2B14155550102").await, 3);
    assert_eq!(count("From=%2B14155550102").await, 0);
    assert_eq!(count("Status=completed").await, 7);
    assert_eq!(count("Status=queued&To=%2B14155550101").await, 1);
    assert_eq!(count("StartTime=2026-01-02").await, 7, "a queued call has not started");
    assert_eq!(count("StartTime%3E=2026-01-03").await, 0);
    assert_eq!(count("StartTime%3C=2026-01-02").await, 0, "up to midnight of that day");
    assert_eq!(count("StartTime%3E=2026-01-02T03:04:08Z").await, 4);
    assert_eq!(count("EndTime%3E=2026-01-02").await, 7);
    assert_eq!(count("ParentCallSid=CA00000000000000000000000000000001").await, 0);
    twilio.was_asked_well();
    assert_eq!(count("StartTimeAfter=2026-01-03").await, 8, "an unknown name restricts nothing");
    assert_eq!(count("starttime%3E=2026-01-03").await, 8, "names are case-sensitive");
    for wrong in ["Status=initiated", "StartTime=yesterday", "Page=first", "PageToken=x"] {
        assert_eq!(twilio.get(&format!("/Calls.json?{wrong}")).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_call_is_ended_over_rest() {
    let twilio = twilio(Setup { fate: Some(Fate::Answered { talk_s: 100 }), ..Setup::default() });
    let place = || twilio.with(|double| double.place(Order::new(ACCOUNT, NUMBER, CUSTOMER), twilio.now_ms()));
    let update = async |sid: &str, status: &str| {
        let (code, body) = twilio.post(&format!("/Calls/{sid}.json"), &[("Status", status)]).await;
        (code, body["status"].clone(), body["code"].clone())
    };
    let queued = place();
    assert_eq!(update(&queued, "canceled").await, (StatusCode::OK, "canceled".into(), Value::Null));
    let over = (StatusCode::BAD_REQUEST, 400.into(), 21220.into());
    assert_eq!(update(&queued, "completed").await, over, "it is over");

    let talking = place();
    twilio.pass(30_000).await;
    assert_eq!(update(&talking, "canceled").await.1, "in-progress", "canceled does not affect it");
    assert_eq!(update(&talking, "completed").await.1, "completed");
    let ended = twilio.get(&format!("/Calls/{talking}.json")).await.1;
    assert!(ended["duration"].as_str().unwrap().parse::<u32>().unwrap() < 30, "{ended}");
    twilio.pass(200_000).await;
    assert_eq!(twilio.get(&format!("/Calls/{talking}.json")).await.1, ended, "its old script is forgotten");
    assert_eq!(update(&talking, "gone").await, over);
    assert_eq!(twilio.post(&format!("/Calls/{}.json", place()), &[("Status", "gone")]).await.0, 400);
}

#[tokio::test]
async fn numbers_and_applications_are_listed() {
    let twilio = twilio(Setup::default());
    let app = twilio.with(|double| {
        let sid = double.new_sid("AP");
        let hooks = Voice {
            voice: Some(Hook::post("https://calls.example.com/webhooks/twilio/voice")),
            fallback: None,
            status_callback: Some(Hook::get("https://calls.example.com/webhooks/twilio/status")),
        };
        let friendly_name = "softphone".to_owned();
        let application =
            Application { sid: sid.clone(), account_sid: ACCOUNT.to_owned(), friendly_name, hooks: hooks.clone() };
        double.add_application(application);
        let number = PhoneNumber {
            sid: double.new_sid("PN"),
            account_sid: ACCOUNT.to_owned(),
            phone_number: NUMBER.to_owned(),
            friendly_name: "main".to_owned(),
            hooks: Voice { status_callback: None, ..hooks },
            voice_application_sid: Some(sid.clone()),
        };
        double.add_number(number);
        sid
    });
    let (_, page) = twilio.get("/IncomingPhoneNumbers.json").await;
    let number = &page["incoming_phone_numbers"][0];
    assert_eq!((&number["phone_number"], &number["voice_application_sid"]), (&NUMBER.into(), &app.as_str().into()));
    assert_eq!((&number["status_callback"], &page["next_page_uri"]), (&"".into(), &Value::Null));
    let (_, page) = twilio.get("/Applications.json").await;
    let row = &page["applications"][0];
    assert_eq!((&row["sid"], &row["status_callback_method"]), (&app.as_str().into(), &"GET".into()));
    assert_eq!(twilio.get(&format!("/Applications/{app}.json")).await.1, *row);
    assert_eq!(
        twilio.get("/IncomingPhoneNumbers.json?PhoneNumber=%2B14155550199").await.1["incoming_phone_numbers"],
        json!([])
    );
    twilio.was_asked_well();
    assert_eq!(twilio.get("/Recordings.json").await.0, StatusCode::NOT_FOUND, "not here");
    assert_eq!(twilio.get("/Calls").await.0, StatusCode::NOT_FOUND, "XML is not spoken");
}

#[tokio::test]
async fn too_much_is_429_and_outages_are_outages() {
    let twilio = twilio(Setup { requests_per_second: Some(3), ..Setup::default() });
    for _ in 0..3 {
        assert_eq!(twilio.get("/Calls.json").await.0, StatusCode::OK);
    }
    let (status, body) = twilio.post("/Calls.json", &dial()).await;
    assert_eq!((status, &body["code"]), (StatusCode::TOO_MANY_REQUESTS, &20429.into()));
    twilio.clock.advance(1_000);
    assert_eq!(twilio.get("/Calls.json").await.1["calls"], json!([]), "what was refused was not done");
    twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    let (status, body) = twilio.get("/Calls.json").await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &20503.into()));
    twilio.with(|double| double.set_outage(Some(Outage::Silence)));
    let asked = reqwest::Client::builder().timeout(std::time::Duration::from_millis(200)).no_proxy().build().unwrap();
    assert!(asked.get(&twilio.address).send().await.unwrap_err().is_timeout());
    twilio.with(|double| double.set_outage(None));
    assert_eq!(twilio.get("/Calls.json").await.0, StatusCode::OK);
}

#[tokio::test]
async fn reads_may_lag_behind() {
    let twilio = twilio(Setup { stale_ms: 5_000, fate: Some(Fate::Busy), ..Setup::default() });
    let (status, placed) = twilio.post("/Calls.json", &dial()).await;
    assert_eq!(status, StatusCode::CREATED);
    let path = format!("/Calls/{}.json", placed["sid"].as_str().unwrap());
    assert_eq!(twilio.get(&path).await.0, StatusCode::NOT_FOUND, "not there yet");
    assert_eq!(twilio.get("/Calls.json").await.1["calls"], json!([]));
    twilio.pass(12_000).await;
    let truth = twilio.with(|double| double.calls()[0].truth().unwrap());
    let ended_ms = truth.ended_ms.unwrap();
    twilio.clock.set(ended_ms + 4_999);
    assert_ne!(twilio.get(&path).await.1["status"], "busy", "the end is not seen yet");
    twilio.clock.set(ended_ms + 5_000);
    let (_, call) = twilio.get(&path).await;
    assert_eq!((&call["status"], &call["duration"]), (&"busy".into(), &"0".into()));
}
