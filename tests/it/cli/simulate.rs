//! `simulate` is a Twilio with a bad network, and says whether the gateway gets every call right.

use super::{Ran, Shell};
use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, KEY, PUBLIC_URL, TOKEN},
};
use onhook::clock::{Clock, ManualClock, SystemClock};
use serde_json::Value;

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
