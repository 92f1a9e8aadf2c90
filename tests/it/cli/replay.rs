//! `replay` signs, sends, disorders and reports.

use super::{Ran, Shell};
use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN, on_both_gateways},
};
use onhook::story;
use serde_json::Value;

/// Runs `replay` against a gateway; it is called by its address and knows itself by its public URL.
fn replay(gateway: &Gateway, token: &str, args: &[&str]) -> Ran {
    let shell = Shell::new().with("TWILIO_AUTH_TOKEN", token).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    let usual = ["replay", "--to", &gateway.address, "--public-url", PUBLIC_URL];
    tokio::task::block_in_place(|| shell.run(&[&usual, args].concat()))
}

on_both_gateways!(
    a_story_is_sent_and_does_what_it_says,
    a_wrong_token_ends_with_4,
    any_disorder_ends_the_same_way,
    a_lost_completion_leaves_the_call_live,
    what_the_configuration_says_need_not_be_repeated,
    a_proxy_of_the_environment_is_not_asked,
);

async fn a_story_is_sent_and_does_what_it_says(gateway: Gateway) {
    let sent = replay(&gateway, TOKEN, &["answered", "get-callback", "--salt", "", "--json"]).expect(0).json();
    assert_eq!((&sent["accepted"], &sent["refused"]), (&8.into(), &0.into()), "{sent}");
    assert_eq!(sent["deliveries"][3]["call_status"], "completed");
    let answered = story::embedded().unwrap().remove(0);
    let call = gateway.get(&format!("/v1/calls/{}", answered.sid("customer", ""))).await;
    assert_eq!((&call["status"], &call["lead_id"]), (&"completed".into(), &"lead-ada".into()));
    assert_eq!((&call["deliveries"], &call["verified"]), (&4.into(), &true.into()));
}

async fn a_wrong_token_ends_with_4(gateway: Gateway) {
    let ran = replay(&gateway, "another-token", &["answered"]).expect(4).says(&["4 signatures were refused", "next:"]);
    // The port may have these digits, too.
    let refused = ran.stdout.lines().filter(|line| line.starts_with("403")).count();
    assert_eq!(refused, 4, "{}", ran.stdout);
    // The URL is signed too: this one is not what the gateway is called from outside.
    let shell = Shell::new();
    let args = ["replay", "answered", "--to", &gateway.address, "--token", TOKEN, "--account", ACCOUNT];
    tokio::task::block_in_place(|| shell.run(&args)).expect(4);
    assert_eq!(gateway.get("/v1/calls").await["data"], Value::Array(Vec::new()));
}

async fn any_disorder_ends_the_same_way(gateway: Gateway) {
    for seed in ["1", "2", "3"] {
        let args = ["answered", "--seed", seed, "--salt", seed, "--shuffle", "--duplicate"];
        replay(&gateway, TOKEN, &args).expect(0);
        let answered = story::embedded().unwrap().remove(0);
        let call = gateway.get(&format!("/v1/calls/{}", answered.sid("customer", seed))).await;
        assert_eq!(
            (&call["status"], &call["talk_seconds"], &call["deliveries"]),
            (&"completed".into(), &17.into(), &4.into())
        );
    }
}

async fn a_lost_completion_leaves_the_call_live(gateway: Gateway) {
    replay(&gateway, TOKEN, &["answered", "--drop", "completed", "--drop", "ringing"]).expect(0);
    let calls = gateway.get("/v1/calls?live=true").await;
    assert_eq!(calls["data"][0]["status"], "in-progress", "{calls}");
    assert_eq!(calls["data"][0]["deliveries"], 2);
}

async fn what_the_configuration_says_need_not_be_repeated(gateway: Gateway) {
    let run = |shell: &Shell, args: &[&str]| {
        let usual = ["replay", "answered", "--to", &gateway.address];
        tokio::task::block_in_place(|| shell.run(&[&usual, args].concat()))
    };
    let shell = Shell::new()
        .with("TWILIO_ACCOUNT_SID", ACCOUNT)
        .with("TWILIO_AUTH_TOKEN_FILE", "token.txt")
        .with("ONHOOK_PUBLIC_URL", PUBLIC_URL);
    shell.write("token.txt", &format!("{TOKEN}\n"));
    run(&shell, &[]).expect(0);
    run(&shell, &["--token", "another-token"]).expect(4);
    run(&shell, &["--public-url", "https://elsewhere.example.com"]).expect(4);

    let shell = Shell::new();
    let twilio = format!("[twilio]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n");
    shell.write("onhook.toml", &format!("public_url = \"{PUBLIC_URL}\"\n{twilio}"));
    run(&shell, &[]).expect(0);
}

async fn a_proxy_of_the_environment_is_not_asked(gateway: Gateway) {
    // Nobody listens at port 1.
    let dead = "http://127.0.0.1:1";
    let shell = Shell::new().with("HTTP_PROXY", dead).with("http_proxy", dead).with("ALL_PROXY", dead);
    let shell = shell.with("TWILIO_AUTH_TOKEN", TOKEN).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    let replay = ["replay", "answered", "--to", &gateway.address, "--public-url", PUBLIC_URL];
    for args in [&replay[..], &["healthcheck", "--url", &gateway.address]] {
        tokio::task::block_in_place(|| shell.run(args)).expect(0);
    }
}

on_both!(bodies_and_folders_are_sent_too);

async fn bodies_and_folders_are_sent_too(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let shell = Shell::new();
    let sid = "CA00000000000000000000000000000007";
    shell.write(
        "body.txt",
        &format!("CallSid={sid}&AccountSid={ACCOUNT}&CallStatus=busy&To=%2B14155550101&From=%2B14155550100\n"),
    );
    let webhook = format!("{}/webhooks/twilio/status", gateway.address);
    let run = |args: &[&str]| {
        tokio::task::block_in_place(|| {
            shell.run(&[&["replay", "--token", TOKEN, "--public-url", PUBLIC_URL], args].concat())
        })
    };
    run(&["body.txt", "--to", &webhook]).expect(0);
    assert_eq!(gateway.get(&format!("/v1/calls/{sid}")).await["status"], "busy");

    let stories = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stories");
    run(&[stories, "--to", &gateway.address]).expect(2).says(&["--account"]);
    run(&[stories, "--to", &gateway.address, "--account", ACCOUNT]).expect(0);
    run(&[
        &format!("{stories}/busy"),
        &format!("{stories}/failed/story.toml"),
        "--to",
        &gateway.address,
        "--account",
        ACCOUNT,
    ])
    .expect(0);
    run(&["nowhere", "--to", &gateway.address]).expect(3).says(&["out-of-order"]);
    let checked = tokio::task::block_in_place(|| Shell::on(&at.place).json(&["check"]));
    assert_eq!((&checked["findings"], &checked["calls"]), (&serde_json::json!([]), &41.into()), "{checked}");
}

#[test]
fn a_gateway_that_is_not_there_ends_with_6() {
    let shell = Shell::new().with("TWILIO_AUTH_TOKEN", TOKEN).with("TWILIO_ACCOUNT_SID", ACCOUNT);
    let ran = shell.run(&["replay", "answered", "--to", "http://127.0.0.1:1"]).expect(6);
    ran.says(&["http://127.0.0.1:1 cannot be reached", "refused", "next:"]);
    let shell = Shell::new();
    shell.run(&["replay", "answered", "--to", "http://127.0.0.1:1"]).expect(2).says(&["--token"]);
}
