//! A real gateway on a port of its own, with a clock turned by hand, and a Twilio that signs its posts.

use super::{
    canned::{Canned, Reply, Seen},
    database::{Place, TestDatabase},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use onhook::{
    app::App,
    clock::ManualClock,
    config::{Config, Sources},
    twilio::{form::Form, signature},
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{Client, Method, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The account, its token, the key and the address the tests' Twilio was told.
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const TOKEN: &str = "a-token-of-the-tests";
pub const KEY: &str = "the-key-of-the-tests";
pub const PUBLIC_URL: &str = "https://calls.example.com/hook";
/// 2026-01-02T03:04:05Z, when every test begins.
pub const START_MS: i64 = 1_767_323_045_000;

/// A running gateway. Stopped with the value.
pub struct Gateway {
    pub clock: ManualClock,
    pub client: Client,
    pub address: String,
    pub db: onhook::store::Db,
    pub metrics: onhook::telemetry::Metrics,
    pub sweeper: Held<onhook::sweep::Sweeper>,
    pub pbxs: Held<onhook::pbx::Pbxs>,
    pub ingest: Held<onhook::ingest::Ingest>,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), onhook::app::AppError>>>,
    /// Where it asks about accounts; see [`twilio_says`].
    _twilio: Canned,
}

/// A part of the gateway, until it stops: it holds the one door open, and the writer runs until every door is closed.
pub struct Held<T>(Option<T>);

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().unwrap()
    }
}

/// Makes of each async function that takes a [`Gateway`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both_gateways {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                super::$name($crate::support::gateway::Gateway::on(&at, &[]).await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                super::$name($crate::support::gateway::Gateway::on(&at, &[]).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_gateways;

impl Gateway {
    /// A gateway on this database; `settings` are environment names and values beside the usual ones.
    pub async fn on(at: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        Self::at(&at.place, settings).await
    }

    pub async fn at(place: &Place, settings: &[(&str, &str)]) -> Self {
        Self::with_clock(place, settings, ManualClock::new(START_MS)).await
    }

    pub async fn with_clock(place: &Place, settings: &[(&str, &str)], clock: ManualClock) -> Self {
        Self::with_seed(place, settings, clock, 7).await
    }

    /// With another seed it is another process among those that share the database; with the same it is the same one again.
    pub async fn with_seed(place: &Place, settings: &[(&str, &str)], clock: ManualClock, seed: u64) -> Self {
        let twilio = Canned::serve(|_, seen| twilio_says(seen)).await;
        let base = ("ONHOOK_TWILIO_API_BASE", twilio.url.as_str());
        let settings: Vec<_> = [base].into_iter().chain(settings.iter().copied()).collect();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = config(&place.url, &settings);
        let app = App::build(config, clock.shared(), StdRng::seed_from_u64(seed)).await.unwrap();
        let address = format!("http://{}", app.address());
        let (db, metrics) = (app.gateway().db.clone(), app.gateway().metrics.clone());
        let sweeper = Held(Some(app.gateway().sweeper.clone()));
        let (pbxs, ingest) = (Held(Some(app.gateway().pbxs.clone())), Held(Some(app.gateway().ingest.clone())));
        let stop = CancellationToken::new();
        let running = Some(tokio::spawn(app.run(stop.clone())));
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { clock, client, address, db, metrics, sweeper, pbxs, ingest, stop, running, _twilio: twilio }
    }

    /// Stops softly and waits for the end.
    pub async fn stop(mut self) {
        (self.sweeper.0, self.pbxs.0, self.ingest.0) = (None, None, None);
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    /// A status callback, signed as Twilio would: parameters in the body, `query` on the URL.
    pub async fn callback(&self, query: &str, parameters: &[(&str, &str)]) -> Response {
        let body = serde_urlencoded::to_string(parameters).unwrap();
        self.post_signed(TOKEN, query, body.as_bytes()).await
    }

    /// Any body, signed with any token.
    pub async fn post_signed(&self, token: &str, query: &str, body: &[u8]) -> Response {
        let form = Form::parse(body).ok();
        let signature = signature::sign(token, &signed_url(query), form.as_ref());
        self.post_raw(query, body, Some(&signature)).await
    }

    /// Any body with any signature.
    pub async fn post_raw(&self, query: &str, body: &[u8], signature: Option<&str>) -> Response {
        let mut request = self
            .client
            .post(format!("{}/webhooks/twilio/status{}", self.address, with_mark(query)))
            .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
            .body(body.to_owned());
        if let Some(signature) = signature {
            request = request.header("x-twilio-signature", signature);
        }
        request.send().await.unwrap()
    }

    /// A request with the key; the status and the JSON of the answer (`null` if it has none).
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.address)).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// What a GET answers; it must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "GET {path}: {body}");
        body
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A Twilio that takes every token but `refused`; that is away for `away`; and to whom whoever says `owned` is a
/// sub-account of AC…77.
fn twilio_says(seen: &Seen) -> Reply {
    let basic = seen.headers.get("authorization").and_then(|header| header.strip_prefix("Basic "));
    let basic = String::from_utf8(STANDARD.decode(basic.unwrap_or_default()).unwrap()).unwrap();
    let (sid, secret) = basic.split_once(':').unwrap();
    match secret {
        "refused" => {
            let body = json!({"code": 20003, "message": "Authenticate", "status": 401});
            Reply { status: 401, ..Reply::json(body) }
        }
        "away" => Reply::status(503),
        // A key, which may list calls, but not read the account.
        _ if seen.target.contains("/Calls.json?") => Reply::json(json!({"calls": [], "next_page_uri": null})),
        _ if sid.starts_with("SK") => Reply::status(401),
        "owned" => Reply::json(json!({"sid": sid, "owner_account_sid": "AC00000000000000000000000000000077"})),
        _ => Reply::json(json!({"sid": sid, "status": "active"})),
    }
}

/// The configuration of a test's gateway.
pub fn config(database_url: &str, settings: &[(&str, &str)]) -> Config {
    let secret = "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM=";
    let usual = [
        ("ONHOOK_DATABASE_URL", database_url),
        ("ONHOOK_LISTEN", "127.0.0.1:0"),
        ("ONHOOK_PUBLIC_URL", PUBLIC_URL),
        ("ONHOOK_API_KEY", KEY),
        ("ONHOOK_SECRET_KEY", secret),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        // Tests sweep when they want to.
        ("ONHOOK_SWEEP_INTERVAL", "0"),
        ("ONHOOK_RUN_DIAL", "false"),
    ];
    let env: BTreeMap<String, String> =
        usual.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let loaded = Config::load(Sources { env, ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.api_key.as_ref().map(|k| k.expose_secret().len() > 3), Some(true));
    loaded.config
}

fn signed_url(query: &str) -> String {
    format!("{PUBLIC_URL}/webhooks/twilio/status{}", with_mark(query))
}

fn with_mark(query: &str) -> String {
    if query.is_empty() { String::new() } else { format!("?{query}") }
}
