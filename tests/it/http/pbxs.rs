//! PBXs among the accounts, and their extensions.

use super::{Asked, column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::{
    asterisk::Asterisk,
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways},
};
use onhook::{
    directory::Scope,
    domain::time::rfc3339,
    store::{
        accounts,
        extensions::{self, PbxExtension},
        pbx::{self, Claim},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_pbx_that_pushes_is_added_without_being_asked,
    what_is_wrong_with_a_pbx_is_named,
    a_name_belongs_to_one_tenant,
    how_it_goes_with_a_pbx_is_shown,
    extensions_have_owners_and_phones,
    a_pbx_is_logged_in_to_before_it_is_stored,
    a_secret_is_changed_if_the_pbx_takes_it,
);

on_both!(the_configured_pbx_is_an_account);

async fn put(gateway: &Gateway, path: &str, body: Value) -> Asked {
    send(request(gateway, Method::PUT, path).json(&body)).await
}

async fn add(gateway: &Gateway, body: Value) -> Asked {
    send(request(gateway, Method::POST, "/v1/accounts").json(&body)).await
}

async fn a_pbx_that_pushes_is_added_without_being_asked(gateway: Gateway) {
    let body = json!({"provider": "asterisk", "id": "site-a", "region": "DE"});
    let once =
        async || send(request(&gateway, Method::POST, "/v1/accounts").header("idempotency-key", "k").json(&body)).await;
    let (asked, again) = (once().await, once().await);
    assert_eq!((asked.status.as_u16(), again.status.as_u16()), (201, 201), "{asked:?}");
    assert_eq!(asked.body, again.body, "done once");
    assert_eq!(
        asked.body,
        json!({"id": "site-a", "provider": "asterisk", "parent": null, "api_base": null, "api_key": null,
            "verify": "enforce", "verify_until": null, "configured": false, "created_at": rfc3339(START_MS),
            "tokens": [], "pbx": {"region": "DE", "ca_certificates": 0}})
    );
    assert_eq!(gateway.get("/v1/accounts/site-a").await, asked.body);
    assert_eq!(column(&gateway.get("/v1/accounts").await, "id"), [ACCOUNT, "site-a"]);
    let audit = gateway.get("/v1/audit?subject=site-a").await;
    assert_eq!(audit["data"][0]["action"], "account.added", "{audit}");
    // What is for Twilio accounts is refused, by the name of the field.
    let path = "/v1/accounts/site-a";
    assert_eq!(wrong_fields(&put(&gateway, &format!("{path}/verify"), json!({"mode": "observe"})).await), ["mode"]);
    let twilios = json!({"api_base": "https://api.twilio.com", "api_key": "SK1", "api_secret": "s"});
    assert_eq!(
        wrong_fields(&put(&gateway, &format!("{path}/access"), twilios).await),
        ["api_base", "api_key", "api_secret"]
    );
    let rotate = async |body: Value| send(request(&gateway, Method::POST, &format!("{path}/rotate")).json(&body)).await;
    assert_eq!(wrong_fields(&rotate(json!({"token": "t"})).await), ["token"]);
    assert_eq!(wrong_fields(&rotate(json!({"secret": "s"})).await), ["secret"], "there is nobody to log in to");
    let changed = put(&gateway, &format!("{path}/access"), json!({"region": "US"})).await;
    assert_eq!((changed.status.as_u16(), &changed.body["pbx"]["region"]), (200, &json!("US")), "{changed:?}");
    let of_twilio = put(&gateway, &format!("/v1/accounts/{ACCOUNT}/access"), json!({"url": "ami://x"})).await;
    expect_problem(&of_twilio, 404, "not-found");
}

async fn what_is_wrong_with_a_pbx_is_named(gateway: Gateway) {
    let (sid, long) = (format!("AC{:032}", 2), "x".repeat(65));
    for (body, fields) in [
        (json!({"provider": "asterisk"}), vec!["id"]),
        (json!({"provider": "asterisk", "id": "a b"}), vec!["id"]),
        (json!({"provider": "asterisk", "id": ""}), vec!["id"]),
        (json!({"provider": "asterisk", "id": long}), vec!["id"]),
        (json!({"provider": "asterisk", "id": sid}), vec!["id"]),
        (json!({"provider": "asterisk", "id": "p", "token": "t"}), vec!["token"]),
        (json!({"provider": "asterisk", "id": "p", "user": "u", "secret": "s"}), vec!["user", "secret"]),
        (json!({"provider": "asterisk", "id": "p", "url": "ami://pbx"}), vec!["user", "secret"]),
        (json!({"provider": "asterisk", "id": "p", "url": "http://pbx", "user": "u", "secret": "hush"}), vec!["url"]),
        (
            json!({"provider": "asterisk", "id": "p", "url": "ami://u:hush@pbx", "user": "u", "secret": "s"}),
            vec!["url"],
        ),
        (
            json!({"provider": "asterisk", "id": "p", "url": "ami://pbx", "user": "u", "secret": "hu\r\nsh"}),
            vec!["secret"],
        ),
        (
            json!({"provider": "asterisk", "id": "p", "url": "amis://pbx", "user": "u", "secret": "s", "ca_pem": "x"}),
            vec!["ca_pem"],
        ),
        (json!({"provider": "asterisk", "id": "p", "region": "Mars"}), vec!["region"]),
        (json!({"provider": "sip", "id": "p"}), vec!["provider"]),
        (json!({"provider": "twilio", "id": "p"}), vec!["id"]),
    ] {
        let asked = add(&gateway, body.clone()).await;
        assert_eq!(wrong_fields(&asked), fields, "{body}");
        assert!(!asked.body.to_string().contains("hush"), "no secret in a message: {asked:?}");
    }
    assert_eq!(gateway.get("/v1/accounts").await["data"].as_array().unwrap().len(), 1, "nothing was added");
}

async fn a_name_belongs_to_one_tenant(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", &[Scope::Admin], None).await;
    let body = json!({"provider": "asterisk", "id": "pbx1"});
    assert_eq!(send(keyed(&gateway, &acme, Method::POST, "/v1/accounts").json(&body)).await.status, 201);
    expect_problem(&add(&gateway, body).await, 409, "already-exists");
    for (method, path) in [
        (Method::GET, "/v1/accounts/pbx1"),
        (Method::PUT, "/v1/accounts/pbx1/access"),
        (Method::GET, "/v1/accounts/pbx1/extensions"),
        (Method::PUT, "/v1/accounts/pbx1/extensions/7"),
        (Method::DELETE, "/v1/accounts/pbx1/extensions/7"),
    ] {
        let body = if path.ends_with('7') { json!({"user_id": "ann"}) } else { json!({}) };
        expect_problem(&send(request(&gateway, method, path).json(&body)).await, 404, "not-found");
    }
}

async fn the_configured_pbx_is_an_account(at: TestDatabase) {
    let url = ("ONHOOK_AMI_URL", "ami://onhook:hush@127.0.0.1:1");
    let gateway = Gateway::on(&at, &[url, ("ONHOOK_AMI_NAME", "main")]).await;
    let account = gateway.get("/v1/accounts/main").await;
    for (field, value) in [
        ("provider", json!("asterisk")),
        ("api_base", json!("ami://127.0.0.1:1")),
        ("api_key", json!("onhook")),
        ("configured", json!(true)),
        ("created_at", Value::Null),
    ] {
        assert_eq!(account[field], value, "{field}: {account}");
    }
    assert!(!account.to_string().contains("hush"));
    assert_eq!(column(&gateway.get("/v1/accounts").await, "id"), [ACCOUNT, "main"]);
    let one = gateway.get("/v1/accounts?limit=1").await;
    let rest = gateway.get(&format!("/v1/accounts?limit=1&cursor={}", one["next_cursor"].as_str().unwrap())).await;
    assert_eq!((column(&one, "id"), column(&rest, "id")), (vec![ACCOUNT], vec!["main"]));
    expect_problem(&add(&gateway, json!({"provider": "asterisk", "id": "main"})).await, 409, "already-exists");
    let access = put(&gateway, "/v1/accounts/main/access", json!({})).await;
    expect_problem(&access, 404, "not-found");
    assert!(access.body["detail"].as_str().unwrap().contains("ONHOOK_AMI_URL"), "{access:?}");
    let owned = put(&gateway, "/v1/accounts/main/extensions/7", json!({"user_id": "ann"})).await;
    assert_eq!(owned.status, 200, "{owned:?}");
}

async fn how_it_goes_with_a_pbx_is_shown(gateway: Gateway) {
    assert_eq!(add(&gateway, json!({"provider": "asterisk", "id": "site-a"})).await.status, 201);
    assert_eq!(gateway.get("/v1/accounts/site-a").await.get("connection"), None, "nobody has had it");
    let claim = Claim {
        tenant: "default",
        account: "site-a",
        holder: "node-1",
        lease_ms: 600_000,
        state: "connected",
        now_ms: START_MS,
    };
    let mut tx = gateway.db.begin().await.unwrap();
    let mut row = pbx::claim(&mut tx, claim).await.unwrap().unwrap();
    row.version = Some("20.9.1".into());
    row.boot_ms = Some(START_MS - 90_500);
    row.heard_ms = Some(START_MS);
    (row.events, row.resyncs, row.channels, row.lag_ms) = (7, 1, Some(3), Some(12));
    assert!(pbx::renew(&mut tx, &row, 600_000).await.unwrap());
    tx.commit().await.unwrap();
    let connection = gateway.get("/v1/accounts/site-a").await["connection"].clone();
    for (field, value) in [
        ("state", json!("connected")),
        ("held", json!(true)),
        ("since", json!(rfc3339(START_MS))),
        ("asterisk_version", json!("20.9.1")),
        ("uptime_seconds", json!(90)),
        ("last_byte_at", json!(rfc3339(START_MS))),
        ("synced_at", Value::Null),
        ("events", json!(7)),
        ("resyncs", json!(1)),
        ("channels", json!(3)),
        ("lag_ms", json!(12)),
    ] {
        assert_eq!(connection[field], value, "{field}: {connection}");
    }
    assert!(connection.get("holder").is_none(), "whose process it is, is nobody's business");
    let mut tx = gateway.db.begin().await.unwrap();
    assert!(pbx::release(&mut tx, &row).await.unwrap());
    tx.commit().await.unwrap();
    let connection = gateway.get("/v1/accounts/site-a").await["connection"].clone();
    assert_eq!((&connection["held"], &connection["uptime_seconds"]), (&json!(false), &Value::Null));
}

async fn extensions_have_owners_and_phones(gateway: Gateway) {
    assert_eq!(add(&gateway, json!({"provider": "asterisk", "id": "pbx1"})).await.status, 201);
    let path = "/v1/accounts/pbx1/extensions";
    let owned = put(&gateway, &format!("{path}/204"), json!({"user_id": "ann"})).await;
    assert_eq!(
        (owned.status.as_u16(), &owned.body),
        (200, &json!({"account": "pbx1", "extension": "204", "user_id": "ann"}))
    );
    let phone = PbxExtension {
        tenant: "default".into(),
        account: "pbx1".into(),
        extension: "205".into(),
        device: Some("ringing".into()),
        device_ms: Some(START_MS),
        ..PbxExtension::default()
    };
    let mut tx = gateway.db.begin().await.unwrap();
    extensions::put_devices(&mut tx, &[phone]).await.unwrap();
    tx.commit().await.unwrap();
    let listed = gateway.get(path).await;
    let expected = json!([
        {"account": "pbx1", "extension": "204", "user_id": "ann", "device": null, "device_at": null},
        {"account": "pbx1", "extension": "205", "user_id": null, "device": "ringing", "device_at": rfc3339(START_MS)},
    ]);
    assert_eq!(listed["data"], expected);
    let board = gateway.get("/v1/extensions").await;
    let free = |n: usize, device: Value, user: Value| {
        json!({"extension": expected[n]["extension"], "state": "free", "call": null, "calls": 0, "user_id": user,
            "device": device, "pbxs": [expected[n]]})
    };
    assert_eq!(board["data"], json!([free(0, Value::Null, json!("ann")), free(1, json!("ringing"), Value::Null)]));
    for (name, body, fields) in [
        ("204", json!({}), vec!["user_id"]),
        ("204", json!({"user_id": ""}), vec!["user_id"]),
        ("204", json!({"user_id": "x".repeat(201)}), vec!["user_id"]),
        ("204", json!({"user_id": "a", "device": "b"}), vec!["device"]),
        ("20%0a4", json!({"user_id": "a"}), vec!["extension"]),
    ] {
        assert_eq!(wrong_fields(&put(&gateway, &format!("{path}/{name}"), body).await), fields);
    }
    let twilio = put(&gateway, &format!("/v1/accounts/{ACCOUNT}/extensions/7"), json!({"user_id": "a"})).await;
    expect_problem(&twilio, 404, "not-found");
    let delete = async |name: &str| send(request(&gateway, Method::DELETE, &format!("{path}/{name}"))).await;
    assert_eq!(delete("204").await.status, 204);
    for gone in ["204", "205", "%00"] {
        expect_problem(&delete(gone).await, 404, "not-found");
    }
    assert_eq!(column(&gateway.get(path).await, "extension"), ["205"]);
    assert!(accounts::find(&gateway.db, "default", "pbx1").await.unwrap().is_some());
}

async fn a_pbx_is_logged_in_to_before_it_is_stored(gateway: Gateway) {
    let pbx = Asterisk::start("hush-hush").await;
    let body = |url: &str, secret: &str| json!({"provider": "asterisk", "id": "pbx1", "url": url, "user": "onhook", "secret": secret});
    let refused = add(&gateway, body(&pbx.url(), "wrong")).await;
    assert_eq!(wrong_fields(&refused), ["secret"]);
    let twilio = gateway.address.replace("http://", "ami://");
    let garbage = add(&gateway, body(&twilio, "hush-hush")).await;
    assert!(garbage.status == 422 && wrong_fields(&garbage) == ["url"] || garbage.status == 503, "{garbage:?}");
    let away = add(&gateway, body("ami://127.0.0.1:1", "hush-hush")).await;
    expect_problem(&away, 503, "unavailable");
    assert!(!away.body.to_string().contains("refused"), "no more than that it does not answer: {away:?}");
    let tls = add(&gateway, body(&pbx.url().replace("ami://", "amis://"), "hush-hush")).await;
    assert!(tls.status == 422 || tls.status == 503, "{tls:?}");
    assert_eq!(gateway.get("/v1/accounts").await["data"].as_array().unwrap().len(), 1, "nothing was added");
    let added = add(&gateway, body(&pbx.url(), "hush-hush")).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!((&added.body["api_base"], &added.body["api_key"]), (&json!(pbx.url()), &json!("onhook")));
    assert!(!added.body.to_string().contains("hush"));
    assert!(pbx.asked().contains(&"Login".to_owned()));
}

async fn a_secret_is_changed_if_the_pbx_takes_it(gateway: Gateway) {
    let (pbx, other) = (Asterisk::start("hush-hush").await, Asterisk::start("hush-hush").await);
    let body = json!({"provider": "asterisk", "id": "pbx1", "url": pbx.url(), "user": "onhook", "secret": "hush-hush", "region": "DE"});
    assert_eq!(add(&gateway, body).await.status, 201);
    let rotate =
        async |body: Value| send(request(&gateway, Method::POST, "/v1/accounts/pbx1/rotate").json(&body)).await;
    assert_eq!(wrong_fields(&rotate(json!({"secret": "wrong"})).await), ["secret"]);
    assert_eq!(wrong_fields(&rotate(json!({})).await), ["secret"]);
    assert_eq!(wrong_fields(&rotate(json!({"secret": "a\nb"})).await), ["secret"]);
    assert_eq!(wrong_fields(&rotate(json!({"token": "t", "secret": "s"})).await), ["token"]);
    let rotated = rotate(json!({"secret": "hush-hush"})).await;
    assert_eq!((rotated.status.as_u16(), &rotated.body["pbx"]["region"]), (200, &json!("DE")), "{rotated:?}");
    // The stored secret goes nowhere else.
    let access = "/v1/accounts/pbx1/access";
    let elsewhere = json!({"url": other.url(), "user": "onhook"});
    assert_eq!(wrong_fields(&put(&gateway, access, elsewhere).await), ["secret"]);
    assert_eq!(other.asked(), Vec::<String>::new());
    let same = put(&gateway, access, json!({"url": pbx.url(), "user": "onhook", "region": "US"})).await;
    assert_eq!((same.status.as_u16(), &same.body["pbx"]["region"]), (200, &json!("US")), "{same:?}");
    let moved = put(&gateway, access, json!({"url": other.url(), "user": "onhook", "secret": "hush-hush"})).await;
    assert_eq!((moved.status.as_u16(), &moved.body["api_base"]), (200, &json!(other.url())), "{moved:?}");
    let pushes = put(&gateway, access, json!({})).await;
    assert_eq!((pushes.status.as_u16(), &pushes.body["api_base"]), (200, &Value::Null));
}
