//! `onhook serve` as a process of its own, so that it can be killed, on either database.

use super::{
    line::{PATIENCE, now_ms},
    network::Network,
    pbx::{Pbx, free_port},
};
use crate::support::{database::Place, gateway::KEY};
use onhook::store::slots;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Seek},
    process::{Child, Command},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// A gateway that listens to a PBX. Killed with the value.
pub struct Gateway {
    pub place: Place,
    /// Its way to the PBX.
    pub network: Network,
    port: u16,
    process: Child,
    output: File,
    client: Client,
}

impl Gateway {
    /// One on SQLite and one on PostgreSQL, both listening to the PBX, and in step with it.
    pub async fn both(pbx: &Pbx) -> [Self; 2] {
        let places = [Place::sqlite(), Place::postgres().await];
        let [sqlite, postgres] = places.map(|place| Self::start(place, pbx));
        let both = [sqlite.await, postgres.await];
        for gateway in &both {
            gateway.until_in_step().await;
        }
        both
    }

    /// One on this database.
    pub async fn start(place: Place, pbx: &Pbx) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let (network, port, output) = (Network::to(pbx.ami).await, free_port(), tempfile::tempfile().unwrap());
        let process = serve(&place, port, &network, &output);
        Self { place, network, port, process, output, client }
    }

    /// As the power goes.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// After [`Self::kill`], with the same database; returns when it is in step with the PBX, and when it reached it. That
    /// takes until the lease of the killed one is over.
    pub async fn start_again(&mut self) -> i64 {
        let started_ms = now_ms();
        self.process = serve(&self.place, self.port, &self.network, &self.output);
        let reached_ms = self.network.until_passed_after(started_ms).await;
        self.until_in_step().await;
        reached_ms
    }

    /// Waits until it says that it is connected and has the channel list.
    pub async fn until_in_step(&self) {
        self.until_state("be connected", |state| state == "connected").await;
    }

    /// Waits until it has noticed that it hears nothing.
    pub async fn until_lost(&self) {
        self.until_state("lose its connection", |state| state.is_string() && state != "connected").await;
    }

    async fn until_state(&self, what: &str, reached: impl Fn(&Value) -> bool) {
        let mut connection = Value::Null;
        let waited = timeout(PATIENCE, async {
            while !reached(&connection["state"]) {
                sleep(Duration::from_millis(20)).await;
                connection = self.connection().await;
            }
        });
        let waited = waited.await.is_ok();
        assert!(waited, "the gateway did not {what}: {connection}\n{}", self.log());
    }

    /// What it says of its connection; null while it does not answer.
    async fn connection(&self) -> Value {
        let answer = self.try_ask(Method::GET, "/v1/accounts/pbx", None).await;
        answer.map_or(Value::Null, |(_, mut account)| account["connection"].take())
    }

    /// What a GET answers; it must succeed.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_ask(Method::GET, path, None).await.expect("the gateway answers");
        assert_eq!(status, StatusCode::OK, "GET {path}: {body}\n{}", self.log());
        body
    }

    /// What a PUT answers; it must succeed.
    pub async fn put(&self, path: &str, body: Value) {
        let (status, said) = self.try_ask(Method::PUT, path, Some(body)).await.expect("the gateway answers");
        assert!(status.is_success(), "PUT {path}: {status} {said}");
    }

    /// Every call it knows.
    pub async fn calls(&self) -> Vec<Value> {
        let mut page = self.get("/v1/calls?limit=200").await;
        assert!(page["next_cursor"].is_null(), "more calls than a page holds");
        serde_json::from_value(page["data"].take()).unwrap()
    }

    /// `onhook check`: every call refolded and compared.
    pub fn assert_checked(&self) {
        let check = command(&self.place, self.port, &self.network).arg("check").output().unwrap();
        assert!(check.status.success(), "check found something: {}", String::from_utf8_lossy(&check.stdout));
    }

    /// The end of what it wrote to its log.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let mut output = &self.output;
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Slots of runs that are held.
    pub async fn slots_held(&self) -> i64 {
        slots::count_all_held(&self.place.open().await.unwrap(), 1_000).await.unwrap()
    }

    pub async fn try_ask(&self, method: Method, path: &str, body: Option<Value>) -> Option<(StatusCode, Value)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = self.client.request(method, url).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        Some((status, serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default()))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(place: &Place, port: u16, network: &Network, output: &File) -> Child {
    let (out, error) = (output.try_clone().unwrap(), output.try_clone().unwrap());
    command(place, port, network).arg("serve").stdout(out).stderr(error).spawn().unwrap()
}

fn command(place: &Place, port: u16, network: &Network) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onhook"));
    command.env_clear().envs([
        ("ONHOOK_DATABASE_URL", place.url.as_str()),
        ("ONHOOK_LISTEN", &format!("127.0.0.1:{port}")),
        ("ONHOOK_API_KEY", KEY),
        ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM="),
        ("ONHOOK_AMI_URL", &format!("ami://gateway:of-the-gateway@127.0.0.1:{}", network.port)),
        ("ONHOOK_LOG", "info"),
        // A test waits no longer than it must for what nobody can say.
        ("ONHOOK_RUN_LOOK_FOR_AFTER", "20s"),
        ("ONHOOK_RUN_STALE_AFTER", "6s"),
    ]);
    command
}
