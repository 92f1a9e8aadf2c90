//! `simulate` is a Twilio with a bad network, and says whether the gateway gets every call right.

use super::{Ran, Shell};
use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, KEY, PUBLIC_URL, TOKEN},
};
use onhook::clock::{Clock, ManualClock, SystemClock};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// The environment of who plays Twilio for this gateway.
fn shell() -> Shell {
    let shell = Shell::new().with("TWILIO_AUTH_TOKEN", TOKEN).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    shell.with("ONHOOK_API_KEY", KEY)
}

/// Forty calls, as fast as it goes.
fn simulate(shell: &Shell, gateway: &Gateway, args: &[&str]) -> Ran {
    let usual = ["simulate", "--to", &gateway.address, "--public-url", PUBLIC_URL];
    let fast = ["--calls", "40", "--rate", "200", "--speed", "2000x", "--seed", "7"];
    tokio::task::block_in_place(|| shell.run(&[&usual[..], &fast, args].concat()))
}

async fn gateway(place: &Place) -> Gateway {
    Gateway::with_clock(place, &[], ManualClock::new(SystemClock.now_ms())).await
}

const FAULTS: [&str; 10] = ["--lose", "10%", "--reorder", "20%", "--duplicate", "0.1", "--late", "5%", "--slow", "5%"];

on_both!(a_bad_network_breaks_no_call, what_the_gateway_gets_wrong_is_found);

async fn a_bad_network_breaks_no_call(at: TestDatabase) {
    let gateway = gateway(&at.place).await;
    let shell = shell();
    let salted = [&FAULTS[..], &["--json", "--salt", "a"]].concat();
    let first = simulate(&shell, &gateway, &salted).expect(0).json();
    assert_eq!((&first["seed"], &first["salt"]), (&7.into(), &"a".into()));
    let count = |verdict: &Value, word: &str| verdict["calls"][word].as_u64().unwrap();
    let words = ["true", "ending_lost", "unheard", "live", "wrong"];
    assert_eq!(words.iter().map(|word| count(&first, word)).sum::<u64>(), 40, "{first}");
    assert_eq!((count(&first, "live"), count(&first, "wrong")), (0, 0), "{first}");
    assert!(count(&first, "true") > 25 && count(&first, "ending_lost") > 0, "{first}");
    for fault in ["lost", "late", "reordered", "duplicated", "slow"] {
        assert!(first["callbacks"][fault].as_u64().unwrap() > 0, "{fault}: {first}");
    }
    let live = gateway.get("/v1/calls?live=true&limit=200").await["data"].as_array().unwrap().len();
    assert_eq!(live as u64, count(&first, "ending_lost"), "what it says is live is live");

    let again = simulate(&shell, &gateway, &[&FAULTS[..], &["--json"]].concat()).expect(0).json();
    assert_eq!((&again["calls"], &again["callbacks"]["fired"]), (&first["calls"], &first["callbacks"]["fired"]));
    assert_eq!(again["callbacks"]["lost"], first["callbacks"]["lost"]);
    let all = async || gateway.get("/v1/calls?limit=200").await["data"].as_array().unwrap().len() as u64;
    let heard = 40 - count(&first, "unheard");
    assert_eq!(all().await, 2 * heard, "calls of their own: the first run's do not stand in for them");
    assert_ne!(again["salt"], "a", "it is drawn");
    simulate(&shell, &gateway, &salted).expect(0);
    assert_eq!(all().await, 2 * heard, "the same seed and salt, the same calls");

    let text = simulate(&shell, &gateway, &FAULTS).expect(0);
    for words in ["because their end was lost", "0 of 40 calls are wrong", "nothing is wrong (--seed 7 --salt '"] {
        assert!(text.stdout.contains(words), "{words:?} is missing in\n{}", text.stdout);
    }
}

async fn what_the_gateway_gets_wrong_is_found(at: TestDatabase) {
    let gateway = gateway(&at.place).await;
    let shell = shell();
    simulate(&shell, &gateway, &["--salt", ""]).expect(0);
    // The gateway is right; so the truth is changed: under another seed or salt the same sids would not come up, so an ending
    // of the provider's is written over one that stands.
    let page = gateway.get("/v1/calls?status=busy&limit=1").await;
    let call = page["data"][0]["provider_id"].as_str().unwrap().to_owned();
    let over = [
        ("CallSid", call.as_str()),
        ("AccountSid", ACCOUNT),
        ("CallStatus", "completed"),
        ("SequenceNumber", "9"),
        ("CallDuration", "3"),
    ];
    assert_eq!(gateway.callback("", &over).await.status(), 204);
    let ran = simulate(&shell, &gateway, &["--json", "--salt", ""]).expect(5).json();
    assert_eq!((&ran["passed"], &ran["calls"]["wrong"]), (&false.into(), &1.into()), "{ran}");
    assert_eq!(ran["findings"][0]["call"], call.as_str());
    let text = simulate(&shell, &gateway, &["--salt", ""]).expect(5);
    assert!(text.stdout.contains("it says completed, 3 s; true is busy, 0 s"), "{}", text.stdout);
}

on_both!(what_was_lost_is_asked_for, what_could_be_asked_for_and_was_not_is_found);

/// A gateway that asks on this port, every moment, by a clock that goes with the machine's.
async fn asking_gateway(place: &Place, port: u16) -> (Gateway, AbortOnDropHandle<()>) {
    let clock = ManualClock::new(SystemClock.now_ms());
    let shown = clock.clone();
    let hands = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            shown.set(SystemClock.now_ms());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }));
    let base = format!("http://127.0.0.1:{port}");
    let settings = [
        ("ONHOOK_TWILIO_API_BASE", base.as_str()),
        ("ONHOOK_SWEEP_INTERVAL", "200ms"),
        ("ONHOOK_SWEEP_CHECK_AFTER_RINGING", "1s"),
        ("ONHOOK_SWEEP_CHECK_AFTER_ANSWERED", "1s"),
    ];
    (Gateway::with_clock(place, &settings, clock).await, hands)
}

async fn what_was_lost_is_asked_for(at: TestDatabase) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (gateway, _hands) = asking_gateway(&at.place, port).await;
    let listen = format!("127.0.0.1:{port}");
    let more = ["--json", "--salt", "a", "--leads", "10", "--listen", &listen, "--outage", "5s", "--wait", "2m"];
    let ran = simulate(&shell(), &gateway, &[&FAULTS[..], &more].concat()).expect(0).json();
    let count = |word: &str| ran["calls"][word].as_u64().unwrap();
    assert_eq!(count("true") + count("unheard"), 40, "{ran}");
    assert!(ran["repaired"].as_u64().unwrap() > 0, "{ran}");
    assert_eq!(ran["leads"], json!({ "right": 10, "wrong": 0 }), "{ran}");
    assert!(ran["asked"]["out_of_order"].as_u64().unwrap() > 0, "it was asked meanwhile: {ran}");
    let live = gateway.get("/v1/calls?live=true").await;
    assert_eq!(live["data"], json!([]));

    // A contact that is not there is found.
    let leads = gateway.get("/v1/leads?status=contacted").await;
    let id = leads["data"][0]["id"].as_str().unwrap();
    let (status, _) = gateway.ask(reqwest::Method::DELETE, &format!("/v1/leads/{id}"), None).await;
    assert_eq!(status, 204);
    let phone = leads["data"][0]["phone"].as_str().unwrap();
    let body = json!({ "id": id, "phone": phone, "status": "lost" });
    assert_eq!(gateway.ask(reqwest::Method::POST, "/v1/leads", Some(body)).await.0, 201);
    let text = simulate(&shell(), &gateway, &[&FAULTS[..], &more[1..]].concat()).expect(5).stdout;
    for words in [
        &format!("lead {id}: it is lost with"),
        "9 of 10 leads have exactly",
        "were repaired",
        "0 of 40 calls are wrong",
    ] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
}

async fn what_could_be_asked_for_and_was_not_is_found(at: TestDatabase) {
    let gateway = gateway(&at.place).await;
    let listen = ["--listen", "127.0.0.1:0", "--wait", "0s"];
    let text = simulate(&shell(), &gateway, &[&FAULTS[..], &listen].concat()).expect(5).stdout;
    for words in
        ["their end was lost, and the gateway has not asked", "Twilio, when asked, could tell it", "0 requests"]
    {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
}

on_both!(what_is_missing_is_said);

async fn what_is_missing_is_said(at: TestDatabase) {
    let gateway = gateway(&at.place).await;
    let shell = shell().with("ONHOOK_API_KEY", "another-key");
    simulate(&shell, &gateway, &[]).expect(2).says(&["does not take the key", "--key-file"]);
    shell.write("key.txt", &format!("{KEY}\n"));
    simulate(&shell, &gateway, &["--key-file", "key.txt", "--token", "another"]).expect(4).says(&["refused"]);
    let keyless = Shell::new().with("TWILIO_AUTH_TOKEN", TOKEN).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    simulate(&keyless, &gateway, &[]).expect(2).says(&["--key-file", "keys create"]);
    simulate(&keyless, &gateway, &["--key-file", "nowhere"]).expect(1).says(&["nowhere"]);
    let accountless = Shell::new().with("ONHOOK_API_KEY", KEY);
    simulate(&accountless, &gateway, &[]).expect(2).says(&["--token"]);
    simulate(&accountless, &gateway, &["--token", TOKEN]).expect(2).says(&["--account"]);
    let asked = json!({ "name": "reader", "scopes": ["read"] });
    let (status, made) = gateway.ask(reqwest::Method::POST, "/v1/keys", Some(asked)).await;
    assert_eq!(status, 201, "{made}");
    let reader = Shell::new().with("TWILIO_AUTH_TOKEN", TOKEN).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    let reader = reader.with("ONHOOK_API_KEY", made["key"].as_str().unwrap());
    simulate(&reader, &gateway, &["--leads", "2"]).expect(2).says(&["may not write leads", "read,write"]);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let run = |args: &[&str]| shell().run(&[&["simulate", "--to", "http://127.0.0.1:1"], args].concat());
    run(&[]).expect(6).says(&["cannot be reached", "healthcheck"]);
    for (args, why) in [
        (["--lose", "105%"], "0% to 100%"),
        (["--lose", "some"], "0% to 100%"),
        (["--calls", "0"], "1..=50000"),
        (["--calls", "50001"], "1..=50000"),
        (["--rate", "0"], "calls per second"),
        (["--speed", "never"], "factor"),
        (["--wait", "soon"], "such as 30s"),
        (["--wait", "25h"], "up to 24h"),
        (["--outage", "5m"], "--listen"),
        (["--leads", "1001"], "0..=1000"),
    ] {
        run(&args).expect(2).says(&[why]);
    }
    run(&["--calls", "50000", "--rate", "1"]).expect(2).says(&["6 days", "raise --rate"]);
}

/// Told to stop, it stops: no verdict, no panic, and it says how to repeat it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_when_it_is_told_to() {
    use std::{
        io::{BufRead, BufReader, Read},
        process::{Command, Stdio},
    };
    let at = TestDatabase::sqlite().await;
    let gateway = gateway(&at.place).await;
    let shell = shell();
    let args = ["simulate", "--to", &gateway.address, "--public-url", PUBLIC_URL, "--rate", "1", "--seed", "7"];
    let (code, said) = tokio::task::block_in_place(|| {
        let listen = ["--listen", "127.0.0.1:0"];
        let mut child = shell.command(&[&args[..], &listen].concat()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let at = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_else(|| panic!("{line}"));
        let calls = format!("{at}/2010-04-01/Accounts/{ACCOUNT}/Calls.json?PageSize=1");
        let asked = gateway.client.get(calls).basic_auth(ACCOUNT, Some(TOKEN)).send();
        let answer = tokio::runtime::Handle::current().block_on(asked).unwrap();
        assert_eq!(answer.status(), 200, "it answers REST meanwhile");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        (child.wait().unwrap().code(), rest)
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the simulation was stopped") && said.contains("--seed 7"), "{said}");
}
