//! Starting and stopping: what was acknowledged survives, what is under way is answered.

use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, TOKEN, config},
};
use onhook::{
    app::App,
    clock::ManualClock,
    housekeeping::Housekeeping,
    store::deliveries,
    twilio::{form::Form, signature},
};
use rand::{SeedableRng, rngs::StdRng};
use secrecy::ExposeSecret;

on_both!(stopping_answers_what_is_under_way_and_loses_nothing);

async fn stopping_answers_what_is_under_way_and_loses_nothing(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let senders: Vec<_> = (0..64)
        .map(|n| {
            let (client, address) = (gateway.client.clone(), gateway.address.clone());
            tokio::spawn(async move {
                let call = format!("CA{n:032x}");
                let body = format!("CallSid={call}&AccountSid={ACCOUNT}&CallStatus=ringing");
                let url = format!("{}/webhooks/twilio/status", crate::support::gateway::PUBLIC_URL);
                let signature = signature::sign(TOKEN, &url, Form::parse(body.as_bytes()).ok().as_ref());
                let sent = client
                    .post(format!("{address}/webhooks/twilio/status"))
                    .header("content-type", "application/x-www-form-urlencoded")
                    .header("x-twilio-signature", signature)
                    .body(body)
                    .send()
                    .await;
                // Whoever came after the door was closed was refused by the system; nobody is left without an answer.
                sent.is_ok_and(|answer| answer.status() == 204).then_some(call)
            })
        })
        .collect();
    tokio::task::yield_now().await;
    gateway.stop().await;
    let mut acknowledged = 0;
    for sender in senders {
        let Some(call) = sender.await.unwrap() else { continue };
        acknowledged += 1;
        let stored = deliveries::list_of_call(&at.db, "default", ACCOUNT, &call, (0, ""), 10).await.unwrap();
        assert_eq!(stored.len(), 1, "{call} was acknowledged");
    }
    // The gateway took its database with it; a new one starts where it ended.
    let again = Gateway::on(&at, &[]).await;
    let listed = again.get("/v1/calls?limit=200").await;
    assert!(listed["data"].as_array().unwrap().len() >= acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_on_sqlite_makes_one_key() {
    let place = Place::sqlite();
    let without_key = || {
        let mut config = config(&place.url, &[]);
        (config.api_key, config.secret_key) = (None, None);
        config
    };
    let clock = ManualClock::new(1_000);
    let build = |config| App::build(config, clock.shared(), StdRng::seed_from_u64(1));
    let first = build(without_key()).await.unwrap();
    let key = first.first_key().unwrap().clone();
    let known = first.gateway().directory.key(key.expose_secret()).await.unwrap();
    assert_eq!(known.scopes.len(), 5, "every scope, operator too");
    drop(first);
    assert!(build(without_key()).await.unwrap().first_key().is_none(), "shown once");
    let file = place.file();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(file.with_extension("db.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "the sealing key is nobody else's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_needs_its_keys_named() {
    let mut config = config("postgres://nobody@localhost/nowhere", &[]);
    (config.api_key, config.secret_key) = (None, None);
    let error =
        App::build(config, ManualClock::new(0).shared(), StdRng::seed_from_u64(1)).await.unwrap_err().to_string();
    assert!(error.contains("ONHOOK_API_KEY") && error.contains("ONHOOK_SECRET_KEY"), "{error}");
}

on_both!(housekeeping_takes_away_what_expired);

async fn housekeeping_takes_away_what_expired(at: TestDatabase) {
    let clock = ManualClock::new(crate::support::gateway::START_MS);
    let gateway = Gateway::with_clock(&at.place, &[], clock.clone()).await;
    let announcement = serde_json::json!({"account": ACCOUNT, "to": "+14155550199"});
    let posted = gateway
        .client
        .post(format!("{}/v1/calls", gateway.address))
        .bearer_auth(crate::support::gateway::KEY)
        .header("idempotency-key", "once")
        .json(&announcement)
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 201);
    let housekeeping = Housekeeping {
        db: at.db.clone(),
        clock: clock.shared(),
        metrics: onhook::telemetry::Metrics::new(),
        keep_refused_ms: 7 * 86_400_000,
        keep: onhook::housekeeping::Keep { deliveries_ms: 1, journal_ms: 1, audit_ms: 1 },
    };
    assert_eq!(housekeeping.tick().await.unwrap(), 0, "nothing has expired");
    clock.advance(11 * 60_000);
    assert_eq!(housekeeping.tick().await.unwrap(), 1, "the announcement");
    clock.advance(24 * 3_600_000);
    assert_eq!(housekeeping.tick().await.unwrap(), 1, "the remembered answer");
}
