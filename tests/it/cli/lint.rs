//! `lint` reads files, URLs, standard input and accounts, and ends with 5 on findings only.

use super::Shell;
use crate::support::{
    canned::{Canned, Reply},
    database::TestDatabase,
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN},
    twilio::Twilio,
};
use onhook::{
    domain::time::MINUTE,
    double::{Account, Application, Fate, Hook, Order, PhoneNumber, Setup, Voice},
};
use serde_json::{Value, json};

const GOOD: &str = r#"<Response>
  <Dial action="/next">
    <Number statusCallback="https://calls.example.com/webhooks/twilio/status#rc=5&amp;rp=all"
            statusCallbackEvent="initiated ringing answered completed">+14155550100</Number>
  </Dial>
</Response>"#;
const BAD: &str = "<Response>\n  <Dial action=\"/next\" statusCallback=\"/x\">+14155550100</Dial>\n</Response>";

#[test]
fn twiml_of_a_file_and_of_standard_input() {
    let shell = Shell::new().with("ONHOOK_PUBLIC_URL", "https://calls.example.com");
    shell.write("good.xml", GOOD);
    shell.write("bad.xml", BAD);
    assert!(shell.run(&["lint", "good.xml"]).expect(0).stdout.contains("no callback is lost"));
    shell.feed(&["lint", "-"], GOOD).expect(0);
    let said = shell.run(&["lint", "bad.xml"]).expect(5).stdout;
    for word in ["2:24 <Dial>", "status_callback_on_dial", "12200", "put: <Number statusCallback=", "findings: 2"] {
        assert!(said.contains(word), "{word} is missing in\n{said}");
    }
    let report = shell.run(&["lint", "bad.xml", "--json"]).expect(5).json();
    assert_eq!((&report["findings"], &report["found"][0]["line"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!(report["found"][0]["rule"], "status_callback_on_dial");
    // A note alone is no finding.
    let note = GOOD.replace("https://calls.example.com/webhooks", "/webhooks");
    assert!(shell.feed(&["lint", "-"], &note).expect(0).stdout.contains("url_relative"));
    shell
        .run(&["lint", "missing.xml"])
        .expect(1)
        .says(&["failed to read missing.xml: No such file", "next: check the path"]);
    shell.run(&["lint"]).expect(2);
    shell.run(&["lint", "good.xml", "--account", ACCOUNT]).expect(2);
    shell.run(&["lint", "--account", "AC1"]).expect(2).says(&["32 hexadecimal"]);
    assert!(!shell.folder.path().join("onhook.db").exists());
}

#[test]
fn the_parameters_of_a_new_call() {
    let shell = Shell::new();
    shell.write("call", "To=%2B14155550100&StatusCallback=https%3A%2F%2Fa.example%2Fx%23rc%3D5%26rp%3Dall&StatusCallbackEvent=answered+completed\n");
    let said = shell.run(&["lint", "--create-call", "call"]).expect(5).stdout;
    assert!(said.contains("events_joined") && said.contains("StatusCallbackEvent=ringing&"), "{said}");
    shell.feed(&["lint", "--create-call", "-"], "ApplicationSid=AP1&StatusCallback=https://a.example/x").expect(5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twiml_of_a_url() {
    let server = Canned::serve(|_, seen| match seen.target.as_str() {
        "/good" => Reply { status: 200, headers: vec![("Content-Type", "text/xml".into())], body: GOOD.into() },
        "/plain" => Reply { status: 200, headers: vec![("Content-Type", "text/plain".into())], body: BAD.into() },
        "/moved" => Reply::status(301).with("Location", "https://a.example/twiml"),
        _ => Reply::status(403),
    })
    .await;
    let shell = Shell::new();
    let lint = |path: &str, code: i32| {
        let url = format!("{}{path}", server.url);
        let args = ["lint", &url, "--method", "POST", "--json"];
        let report = tokio::task::block_in_place(|| shell.run(&args)).expect(code).json();
        report["found"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lint("/good", 0), Vec::<String>::new());
    assert_eq!(lint("/plain", 5), ["content_type", "status_callback_on_dial", "status_callback_missing"]);
    assert_eq!(lint("/moved", 5), ["redirect"]);
    assert_eq!(lint("/refused", 5), ["answer_refused"]);
    assert!(server.seen().iter().all(|seen| seen.method == "POST"));
    tokio::task::block_in_place(|| shell.run(&["lint", "http://127.0.0.1:1/x"])).expect(6).says(&["refused", "11200"]);
}

/// What Twilio would answer about an account in which everything is wrong once.
fn twilio(url: &str, target: &str) -> Reply {
    let path = target.split('?').next().unwrap().trim_start_matches(&format!("/2010-04-01/Accounts/{ACCOUNT}/"));
    let ended = "Fri, 20 Nov 2020 10:01:00 +0000";
    let call =
        |sid: &str, status: &str| json!({ "sid": sid, "status": status, "to": "+14155550101", "end_time": ended });
    let page = |name: &str, entries: Value| Reply::json(json!({ name: entries, "next_page_uri": null }));
    match path {
        "IncomingPhoneNumbers.json" => page(
            "incoming_phone_numbers",
            json!([{ "sid": "PN1", "phone_number": "+14155550100", "status_callback": "", "sms_url": "x" },
                   { "sid": "PN2", "phone_number": "+14155550102", "status_callback": format!("{url}/moved#rc=5&rp=all") }]),
        ),
        "Applications.json" => {
            page("applications", json!([{ "sid": "AP1", "friendly_name": "desk", "status_callback": null }]))
        }
        "Calls.json" => page(
            "calls",
            json!([call("CA1", "completed"), call("CA2", "busy"), { "sid": "CA3", "status": "in-progress" }]),
        ),
        "Calls/CA1/Events.json" => page("events", json!([])),
        "Calls/CA2/Events.json" => page(
            "events",
            json!([{ "request": { "url": "https://a.example/x",
                       "parameters": { "call_status": "busy", "callback_source": "call-progress-events" } },
                     "response": { "response_code": 500 } }]),
        ),
        _ if target == "/moved" => Reply::status(308).with("Location", "https://a.example/"),
        _ => Reply::status(404),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account() {
    let server = Canned::serve(|_, seen| twilio(&format!("http://{}", seen.headers["host"]), &seen.target)).await;
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN", TOKEN)
        .with("ONHOOK_TWILIO_API_BASE", &server.url);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let report = run(&["lint", "--account", ACCOUNT, "--json"]).expect(5).json();
    let found: Vec<(&str, &str)> = report["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["rule"].as_str().unwrap(), f["subject"].as_str().unwrap().split(' ').next().unwrap()))
        .collect();
    let expected = [
        ("status_callback_missing", "number"),
        ("url_http", "number"),
        ("status_callback_missing", "application"),
        ("redirect", &*format!("{}/moved#rc=5&rp=all", server.url)),
        ("never_called_back", "call"),
        ("answer_refused", "call"),
    ];
    assert_eq!(found, expected, "{report:#}");
    assert_eq!(report["looked_at"], json!(["phone numbers: 2", "applications: 1", "calls: 3"]));
    let said = run(&["lint", "--account", ACCOUNT, "--calls", "0"]).expect(5).stdout;
    assert!(said.contains("number +14155550100 (PN1)") && !said.contains("CA1") && !said.contains(TOKEN), "{said}");

    shell.write("key", "SK00000000000000000000000000000001\nits secret\n");
    run(&["lint", "--account", ACCOUNT, "--api-key-file", "key"]).expect(5);
    assert!(server.seen().last().unwrap().headers["authorization"].starts_with("Basic U0swMDAw"));
    shell.write("nokey", "hello\n");
    run(&["lint", "--account", ACCOUNT, "--api-key-file", "nokey"]).expect(2).says(&["SK"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_be_asked() {
    let server = Canned::serve(|_, _| Reply { status: 401, headers: vec![], body: r#"{"code":20003}"#.into() }).await;
    let shell = |base: &str| {
        let shell = Shell::new().with("TWILIO_ACCOUNT_SID", ACCOUNT).with("TWILIO_AUTH_TOKEN", TOKEN);
        shell.with("ONHOOK_TWILIO_API_BASE", base)
    };
    let run = |shell: Shell| tokio::task::block_in_place(|| shell.run(&["lint", "--account", ACCOUNT]));
    run(shell(&server.url)).expect(1).says(&["20003", "auth token"]);
    run(Shell::new()).expect(6).says(&["there is no database"]);
}

/// An account whose callbacks reach a gateway, and then one of which some do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_of_the_double() {
    let at = TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[]).await;
    let twilio = Twilio::beside(&gateway, Setup { calls_per_second: 100, ..Setup::default() });
    let shell =
        Shell::on(&at.place).with("ONHOOK_PUBLIC_URL", PUBLIC_URL).with("ONHOOK_TWILIO_API_BASE", &twilio.address);
    let lint = |code: i32| {
        let report =
            tokio::task::block_in_place(|| shell.run(&["lint", "--account", ACCOUNT, "--json"])).expect(code).json();
        let rules = report["found"].as_array().unwrap().iter();
        let rules: Vec<String> = rules.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect();
        rules
    };
    let status = format!("{PUBLIC_URL}/webhooks/twilio/status#rc=5&rp=all");
    let hooks = |url: Option<&str>| Voice { status_callback: url.map(Hook::post), ..Voice::default() };
    let number = |sid: &str, hooks, application: Option<&str>| PhoneNumber {
        sid: sid.into(),
        account_sid: ACCOUNT.into(),
        phone_number: "+14155550100".into(),
        friendly_name: "desk".into(),
        hooks,
        voice_application_sid: application.map(str::to_owned),
    };
    let sid = |prefix: &str, n: u8| format!("{prefix}{n:032}");
    let now_ms = twilio.now_ms();
    twilio.with(|double| {
        double.add_number(number(&sid("PN", 1), hooks(Some(&status)), None));
        let order = Order::new(ACCOUNT, "+14155550100", "+14155550101").telling(&status).going(Fate::Busy);
        double.place(order, now_ms);
    });
    twilio.pass(20 * MINUTE).await;
    assert_eq!(lint(0), Vec::<String>::new());

    let now_ms = twilio.now_ms();
    twilio.with(|double| {
        double.add_number(number(&sid("PN", 2), hooks(None), None));
        double.add_number(number(&sid("PN", 3), hooks(Some("http://old.example/x")), Some(&sid("AP", 1))));
        let application = Application {
            sid: sid("AP", 1),
            account_sid: ACCOUNT.into(),
            friendly_name: "a".into(),
            hooks: hooks(None),
        };
        double.add_application(application);
        double.place(Order::new(ACCOUNT, "+14155550100", "+14155550102").going(Fate::Busy), now_ms);
        let nowhere = format!("{PUBLIC_URL}/nowhere#rc=5&rp=all");
        double.place(Order::new(ACCOUNT, "+14155550100", "+14155550103").telling(nowhere).going(Fate::Busy), now_ms);
    });
    twilio.pass(20 * MINUTE).await;
    let mut rules = lint(5);
    rules.sort();
    rules.dedup();
    let expected = ["answer_refused", "application_instead", "never_called_back", "status_callback_missing"];
    assert_eq!(rules, expected);
    // With the parent's token, because the sub-account's own is not known.
    let sub = sid("AC", 2);
    twilio.with(|double| double.add_account(Account::sub_account(&sub, "its-own", ACCOUNT)));
    let report = tokio::task::block_in_place(|| shell.run(&["lint", "--account", &sub, "--json"])).expect(0).json();
    assert_eq!(report["looked_at"][2], "calls: 0");
    twilio.was_asked_well();
    gateway.stop().await;
}
