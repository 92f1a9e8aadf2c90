//! Twilio's own SDK for Python as a client: it understands every answer of the double, and pages, filters and errors mean
//! to it what they mean at Twilio.

use crate::support::{
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::double::{Application, Fate, Hook, Order, PhoneNumber, Setup, Voice};
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_sdk_is_at_home() {
    let at = crate::support::database::TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[]).await;
    let twilio = Twilio::beside(&gateway, Setup { fate: Some(Fate::Busy), calls_per_second: 10, ..Setup::default() });
    let status = format!("{PUBLIC_URL}/webhooks/twilio/status");
    let placed: Vec<String> = twilio.with(|double| {
        let voice = Some(Hook::post("https://calls.example.com/webhooks/twilio/voice"));
        let hooks = Voice { voice, ..Voice::default() };
        double.add_number(PhoneNumber {
            sid: "PN00000000000000000000000000000001".to_owned(),
            account_sid: ACCOUNT.to_owned(),
            phone_number: "+14155550100".to_owned(),
            friendly_name: "main".to_owned(),
            hooks: hooks.clone(),
            voice_application_sid: None,
        });
        double.add_application(Application {
            sid: "AP00000000000000000000000000000001".to_owned(),
            account_sid: ACCOUNT.to_owned(),
            friendly_name: "softphone".to_owned(),
            hooks,
        });
        let order = |n: u32| Order::new(ACCOUNT, "+14155550100", &format!("+1415555010{}", 2 + n % 2));
        (0..7).map(|n| double.place(order(n).telling(&*status), START_MS)).collect()
    });
    twilio.pass(20 * 60_000).await;

    let python = std::env::var("ONHOOK_TEST_PYTHON").expect("there is no Python: run scripts/test, which makes one");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/twilio_client.py");
    let mut command = Command::new(python);
    command.args([script, &twilio.address, ACCOUNT, TOKEN]).env("NO_PROXY", "*");
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!((&said["created"][1], &said["created"][2]), (&"queued".into(), &Value::Null));
    let mut newest_first = vec![said["created"][0].as_str().unwrap().to_owned()];
    newest_first.extend(placed.into_iter().rev());
    assert_eq!(said["listed"], json!(newest_first), "all pages, newest first");
    assert_eq!(said["busy"], json!(vec![["busy", "0"]; 7]));
    for (question, answer) in [
        ("limited", json!(4)),
        ("since_midnight", json!(7)),
        ("before_midnight", json!(0)),
        ("to", json!(4)),
        ("fetched", json!("+14155550101")),
        ("canceled", json!("canceled")),
        ("over", json!([400, 21220])),
        ("nobody", json!([404, 20404])),
        ("no_to", json!([400, 21201])),
        ("stranger", json!([401, 20003])),
        ("account", json!(["active", TOKEN])),
        ("numbers", json!(["https://calls.example.com/webhooks/twilio/voice"])),
        ("applications", json!(["softphone"])),
    ] {
        assert_eq!(said[question], answer, "{question}");
    }
    let events = said["events"].as_array().unwrap();
    assert!(events.len() >= 14 && events.contains(&json!(["busy", 204])), "{events:?}");
    twilio.was_asked_well();
}
