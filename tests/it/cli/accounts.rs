//! Tenants, keys and accounts that the command line makes are good for a gateway that is running already.

use super::Shell;
use crate::support::{
    canned::{Canned, Reply},
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway},
};
use reqwest::StatusCode;

on_both!(
    twilio_is_asked_before_an_account_is_added,
    a_wrong_token_puts_no_end_on_a_good_one,
    the_configured_account_is_shown_and_what_to_do_with_it,
    a_key_opens_what_it_may,
    an_account_with_two_tokens_is_listened_to,
    what_is_stored_is_not_the_token
);

async fn a_key_opens_what_it_may(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    run(&["tenants", "add", "acme", "--name", "Acme Ltd"]).expect(0);
    run(&["tenants", "add", "acme"]).expect(1).says(&["acme already"]);
    run(&["tenants", "add", "Acme Ltd"]).expect(2);
    run(&["keys", "create", "--name", "late", "--expires", "0s"]).expect(2).says(&["expired already"]);
    let made = run(&["keys", "create", "--tenant", "acme", "--name", "crm", "--scopes", "read,write", "--json"])
        .expect(0)
        .json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let ask = async |key: &str| {
        gateway.client.get(format!("{}/v1/leads", gateway.address)).bearer_auth(key).send().await.unwrap().status()
    };
    assert_eq!(ask(key).await, StatusCode::OK);
    assert_eq!(ask("ohk_wrong").await, StatusCode::UNAUTHORIZED);

    let listed = run(&["keys", "list", "--tenant", "acme"]).expect(0).stdout;
    assert!(listed.contains(id) && listed.contains("read write") && listed.contains("live"), "{listed}");
    assert!(!listed.contains(key), "a key is shown once");
    run(&["keys", "revoke", id]).expect(3);
    run(&["keys", "revoke", id, "--tenant", "acme"]).expect(0);
    run(&["keys", "revoke", id, "--tenant", "acme"]).expect(0);
    gateway.clock.advance(60_000);
    assert_eq!(ask(key).await, StatusCode::UNAUTHORIZED, "within a minute");
    let listed = run(&["keys", "list", "--tenant", "acme", "--json"]).expect(0).json();
    assert_eq!(listed["data"][0]["state"], "revoked");
    for tenant in ["acme", "default"] {
        let operator = ["keys", "create", "--tenant", tenant, "--name", "x", "--scopes", "read,operator"];
        run(&operator).expect(2).says(&["operator", "read, write, ingest, admin"]);
    }
    for name in ["", "a\nb", &"x".repeat(101)] {
        run(&["keys", "create", "--name", name]).expect(2).says(&["--name"]);
    }
    run(&["keys", "create", "--name", &"x".repeat(100), "--scopes", "read,write,ingest,admin"]).expect(0);
}

const SID: &str = "AC000000000000000000000000000000aa";

async fn an_account_with_two_tokens_is_listened_to(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let shell = Shell::on(&at.place);
    let run = |args: &[&str]| tokio::task::block_in_place(|| shell.run(args));
    let feed = |args: &[&str], input: &str| tokio::task::block_in_place(|| shell.feed(args, input));
    feed(&["accounts", "add", "--no-check", "--sid", SID], "first-token\n").expect(0);
    feed(&["accounts", "add", "--no-check", "--sid", SID], "first-token\n").expect(1).says(&[
        "tenant default has",
        SID,
        "accounts token add",
        "accounts rotate",
    ]);
    run(&["tenants", "add", "acme"]).expect(0);
    let theirs = ["accounts", "add", "--no-check", "--tenant", "acme", "--sid", SID];
    feed(&theirs, "x\n").expect(1).says(&["another tenant has"]);
    feed(&["accounts", "add", "--no-check", "--sid", "AC12"], "x").expect(2).says(&["32 hexadecimal digits"]);
    feed(&["accounts", "token", "add", SID, "--no-check"], "\n").expect(2).says(&["the token is empty"]);
    shell.write("token.txt", "second-token\n");
    run(&["accounts", "token", "add", SID, "--no-check", "--token-file", "token.txt"]).expect(0);

    let body = |n: u8| format!("AccountSid={SID}&CallSid=CA{n:032}&CallStatus=ringing");
    gateway.clock.advance(61_000);
    for (n, token) in [(1, "first-token"), (2, "second-token")] {
        let answer = gateway.post_signed(token, "", body(n).as_bytes()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{token}");
    }
    assert_eq!(gateway.post_signed("third-token", "", body(3).as_bytes()).await.status(), StatusCode::FORBIDDEN);

    let tokens = run(&["accounts", "token", "list", SID, "--json"]).expect(0).json();
    let first = tokens["data"][0]["id"].as_str().unwrap();
    assert_eq!(tokens["data"].as_array().unwrap().len(), 2, "{tokens}");
    run(&["accounts", "token", "remove", SID, first]).expect(0);
    run(&["accounts", "token", "remove", SID, first]).expect(3);
    gateway.clock.advance(61_000);
    assert_eq!(gateway.post_signed("first-token", "", body(4).as_bytes()).await.status(), StatusCode::FORBIDDEN);

    run(&["accounts", "verify", SID, "observe"]).expect(0);
    let listed = run(&["accounts", "list", "--json"]).expect(0).json();
    assert_eq!((&listed["data"][1]["id"], &listed["data"][1]["verify"]), (&SID.into(), &"observe".into()), "{listed}");
    assert!(listed["data"][1]["verify_until"].is_string());
}

async fn what_is_stored_is_not_the_token(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let feed = |args: &[&str], input: &str| tokio::task::block_in_place(|| shell.feed(args, input));
    let ran = feed(&["accounts", "add", "--no-check", "--sid", SID], "hush-token\n").expect(0);
    assert!(!format!("{ran:?}").contains("hush"));
    let secrets = onhook::store::accounts::list_secrets(&at.db, "default", SID, 9).await.unwrap();
    assert_eq!(secrets.len(), 1);
    assert!(!secrets[0].sealed.windows(4).any(|bytes| bytes == b"hush"));
}

async fn twilio_is_asked_before_an_account_is_added(at: TestDatabase) {
    let twilio = Canned::serve(|n, _| match n {
        0 => Reply { status: 401, ..Reply::json(serde_json::json!({"code": 20003, "message": "Authenticate"})) },
        _ => Reply::json(serde_json::json!({"sid": SID})),
    });
    let twilio = twilio.await;
    let shell = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    let feed = |args: &[&str]| tokio::task::block_in_place(|| shell.feed(args, "hush-token\n"));
    let refused = feed(&["accounts", "add", "--sid", SID]).expect(1).says(&["Twilio refuses", "--no-check"]);
    assert!(!refused.stderr.contains("hush"), "{refused:?}");
    feed(&["accounts", "add", "--sid", SID]).expect(0);
    assert_eq!(twilio.seen()[1].target, format!("/2010-04-01/Accounts/{SID}.json"));
    let nobody = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", "http://127.0.0.1:9");
    let other = "AC000000000000000000000000000000ab";
    let feed = |args: &[&str]| tokio::task::block_in_place(|| nobody.feed(args, "hush-token\n"));
    feed(&["accounts", "add", "--sid", other]).expect(6).says(&["Twilio was not asked", "--no-check"]);
    feed(&["accounts", "add", "--sid", other, "--no-check"]).expect(0);
}

async fn a_wrong_token_puts_no_end_on_a_good_one(at: TestDatabase) {
    let twilio = Canned::serve(|n, _| match n {
        0 | 1 => Reply { status: 401, ..Reply::json(serde_json::json!({"code": 20003, "message": "Authenticate"})) },
        _ => Reply::json(serde_json::json!({"sid": SID})),
    });
    let twilio = twilio.await;
    let shell = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", &twilio.url);
    let feed =
        |args: &[&str]| tokio::task::block_in_place(|| shell.feed(&[&["accounts"], args].concat(), "hush-token\n"));
    feed(&["rotate", SID]).expect(3);
    feed(&["add", "--no-check", "--sid", SID]).expect(0);
    feed(&["rotate", SID, "--keep-old", "0s"]).expect(1).says(&["Twilio refuses", "nothing was changed", "--no-check"]);
    feed(&["token", "add", SID]).expect(1).says(&["Twilio refuses", "--no-check"]);
    let nobody = Shell::on(&at.place).with("ONHOOK_TWILIO_API_BASE", "http://127.0.0.1:9");
    for args in [["accounts", "rotate", SID].as_slice(), &["accounts", "token", "add", SID]] {
        tokio::task::block_in_place(|| nobody.feed(args, "hush-token\n")).expect(6).says(&["Twilio was not asked"]);
    }
    let secrets = async || onhook::store::accounts::list_secrets(&at.db, "default", SID, 9).await.unwrap();
    assert_eq!(secrets().await.iter().map(|secret| secret.expires_ms).collect::<Vec<_>>(), [None]);
    assert_eq!(twilio.seen().len(), 2, "of an account that is not stored nothing is asked");

    feed(&["token", "add", SID]).expect(0);
    let said = feed(&["rotate", SID, "--keep-old", "1h"]).expect(0).stdout;
    assert!(said.contains("2 older ones are good until"), "{said}");
    let other = "AC000000000000000000000000000000ab";
    feed(&["add", "--no-check", "--sid", other]).expect(0);
    let said = feed(&["rotate", "--no-check", other]).expect(0).stdout;
    assert!(said.contains("1 older one is good until"), "{said}");
    feed(&["rotate", SID, "--keep-old", "banana"]).expect(2).says(&["banana", "--keep-old", "0s to 30days"]);
    feed(&["verify", SID, "observe", "--for", "99d"]).expect(2).says(&["99d", "--for", "1m to 30days"]);
}

async fn the_configured_account_is_shown_and_what_to_do_with_it(at: TestDatabase) {
    let shell = Shell::on(&at.place);
    let feed =
        |args: &[&str]| tokio::task::block_in_place(|| shell.feed(&[&["accounts"], args].concat(), "hush-token\n"));
    for args in [["verify", ACCOUNT, "observe"].as_slice(), &["token", "add", ACCOUNT], &["rotate", ACCOUNT]] {
        let words = ["TWILIO_AUTH_TOKEN", "ONHOOK_VERIFY", "restart", &format!("onhook accounts add --sid {ACCOUNT}")];
        feed(args).expect(3).says(&words);
    }
    let before = "AC00000000000000000000000000000000";
    for sid in [before, SID] {
        feed(&["add", "--no-check", "--sid", sid]).expect(0);
    }
    let all = feed(&["list", "--json"]).expect(0).json();
    let rows = all["data"].as_array().unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row["id"].as_str().unwrap(), row["configured"] == true)).collect();
    assert_eq!(shown, [(before, false), (ACCOUNT, true), (SID, false)]);
    assert_eq!((&rows[1]["created_at"], &rows[1]["verify"]), (&serde_json::Value::Null, &"enforce".into()));
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec!["list", "--json", "--limit", "1"];
        args.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = feed(&args).expect(0).json();
        seen.extend(page["data"].as_array().unwrap().clone());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(&seen, rows, "page by page the same");
    feed(&["list", "--tenant", "acme", "--json"]).expect(0);
    feed(&["add", "--no-check", "--sid", ACCOUNT]).expect(0);
    feed(&["verify", ACCOUNT, "observe"]).expect(0);
    let all = feed(&["list", "--json"]).expect(0).json();
    assert_eq!((all["data"].as_array().unwrap().len(), &all["data"][1]["configured"]), (3, &true.into()), "{all}");
    assert!(all["data"][1]["created_at"].is_string(), "stored now: {all}");
}
