//! `deploy/asterisk/push-events.py`: from a scripted manager port into a real gateway, also over an outage of it.

use crate::{
    http::key_of,
    support::{
        asterisk::{Asterisk, LEAST, Setup},
        gateway::{Gateway, on_both_gateways},
    },
};
use onhook::directory::Scope;
use reqwest::Method;
use serde_json::json;
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

on_both_gateways!(what_asterisk_says_at_a_site_arrives_here);

/// Killed with the value.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &TempDir, pbx: &Asterisk, url: &str) -> Script {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/asterisk/push-events.py");
    let mut command = Command::new(python());
    command.arg(script).current_dir(folder.path()).args(["--url", url, "--key-file", "key.txt"]);
    command.args(["--ami-port", &pbx.port.to_string(), "--ami-secret-file", "secret.txt"]).stdout(Stdio::null());
    Script(command.spawn().unwrap())
}

fn python() -> String {
    std::env::var("ONHOOK_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// How many events of the third call wait.
fn kept(folder: &TempDir) -> String {
    let count = "import sqlite3; print(sqlite3.connect('onhook-push.db').execute('SELECT count(*) FROM event WHERE body LIKE \"%1767323045.3%\"').fetchone()[0])";
    let told = Command::new(python()).args(["-c", count]).current_dir(folder.path()).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// Asks until it is so; a process of its own works meanwhile.
async fn until(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..300 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen within 15 s");
}

fn event(name: &str, call: u32, more: &str) -> String {
    let id = format!("1767323045.{call}");
    format!(
        "Event: {name}\r\nPrivilege: call,all\r\nChannel: PJSIP/2001-{call:08x}\r\nUniqueid: {id}\r\nLinkedid: {id}\r\n{more}"
    )
}

async fn what_asterisk_says_at_a_site_arrives_here(gateway: Gateway) {
    let body = json!({"provider": "asterisk", "id": "site-a"});
    assert_eq!(gateway.ask(Method::POST, "/v1/accounts", Some(body)).await.0, 201);
    let (_, key) = key_of(&gateway, "default", &[Scope::Ingest], None).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), &key).unwrap();
    std::fs::write(folder.path().join("secret.txt"), "hush-hush\n").unwrap();
    let pbx = Asterisk::with(Setup {
        secret: "hush-hush",
        commands: LEAST,
        event: "Event: Reload\r\nPrivilege: system,all\r\n",
    })
    .await;
    let url = format!("{}/webhooks/ami?pbx=site-a", gateway.address);
    let calls = async |n: usize| {
        let page = gateway.get("/v1/calls?account=site-a").await;
        page["data"].as_array().unwrap().len() == n
    };
    let new = |call| {
        event(
            "Newchannel",
            call,
            "ChannelState: 4\r\nCallerIDNum: 2001\r\nExten: 2002\r\nChanVariable: a=1\r\nChanVariable: b=2\r\n",
        )
    };
    {
        let _script = start(&folder, &pbx, &url);
        until("the login", async || {
            pbx.tell(&event("VarSet", 9, "Variable: X\r\n")) > 0 && pbx.asked().contains(&"Login".to_owned())
        })
        .await;
        pbx.tell(&new(1));
        until("the first call", async || calls(1).await).await;
    }
    // While the gateway is away what is heard is kept, over a restart too.
    {
        let _script = start(&folder, &pbx, "http://127.0.0.1:1/webhooks/ami?pbx=site-a");
        until("the second login", async || pbx.asked().iter().filter(|action| *action == "Login").count() >= 2).await;
        pbx.tell(&new(2));
        pbx.tell(&new(3));
        until("the third call in the spool", async || kept(&folder) == "1").await;
    }
    assert!(calls(1).await);
    let _script = start(&folder, &pbx, &url);
    until("all three calls", async || calls(3).await).await;
}
