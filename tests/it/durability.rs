//! Nothing acknowledged is ever lost: the process is killed under load, again and again, and everything that was
//! answered 2xx is found afterwards, exactly once.

use crate::support::{
    database::Place,
    gateway::{ACCOUNT, KEY, PUBLIC_URL, TOKEN},
};
use onhook::{
    store::{self, Db, deliveries},
    twilio::{form::Form, signature},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Client;
use std::{
    collections::BTreeSet,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_on_sqlite() {
    kill_again_and_again(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_on_postgres() {
    kill_again_and_again(Place::postgres().await).await;
}

const ROUNDS: usize = 20;
const SENDERS: usize = 16;
const STATUSES: [&str; 4] = ["initiated", "ringing", "in-progress", "completed"];

async fn kill_again_and_again(place: Place) {
    let mut rng = StdRng::seed_from_u64(20);
    let port = free_port();
    let load = Arc::new(Load::new(port));
    for round in 0..ROUNDS {
        let mut process = start(&place, port);
        load.until_ready(&mut process).await;
        // A moment that comes while requests are under way, and at another point of the stream in each round.
        load.send_until(round, rng.random_range(1..400), || process.kill().unwrap()).await;
        process.wait().unwrap();
    }
    let mut process = start(&place, port);
    load.until_ready(&mut process).await;
    process.kill().unwrap();
    process.wait().unwrap();

    let acknowledged = load.acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() > ROUNDS * 20, "only {} were acknowledged", acknowledged.len());
    let db = store::open(&place.url).await.unwrap();
    assert_found_once(&db, &acknowledged).await;
    let check = command(&place, port).arg("check").output().unwrap();
    assert!(check.status.success(), "check found something: {}", String::from_utf8_lossy(&check.stdout));
}

async fn assert_found_once(db: &Db, acknowledged: &BTreeSet<(String, usize)>) {
    let calls: BTreeSet<&String> = acknowledged.iter().map(|(call, _)| call).collect();
    for call in calls {
        let stored = deliveries::list_of_call(db, "default", ACCOUNT, call, (0, ""), 100).await.unwrap();
        for (turn, status) in STATUSES.iter().enumerate() {
            let word = format!("CallStatus={status}&");
            let copies = stored.iter().filter(|d| String::from_utf8_lossy(&d.body).contains(&word)).count();
            let wanted = usize::from(acknowledged.contains(&(call.clone(), turn)));
            assert!(copies <= 1 && copies >= wanted, "{call} {status}: {copies} stored, acknowledged {wanted}");
        }
    }
}

/// Callers that each send the callbacks of their own calls, one after the other, and note what was answered 2xx.
struct Load {
    client: Client,
    base: String,
    acknowledged: Mutex<BTreeSet<(String, usize)>>,
}

impl Load {
    fn new(port: u16) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Self { client, base: format!("http://127.0.0.1:{port}"), acknowledged: Mutex::default() }
    }

    async fn until_ready(&self, process: &mut Child) {
        for _ in 0..2_000 {
            if let Ok(answer) = self.client.get(format!("{}/readyz", self.base)).send().await
                && answer.status() == 200
            {
                return;
            }
            assert!(process.try_wait().unwrap().is_none(), "the gateway ended while starting");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the gateway did not become ready");
    }

    /// Sends from all senders, kills once `count` were acknowledged, and returns when every sender saw the end.
    async fn send_until(self: &Arc<Self>, round: usize, count: usize, kill: impl FnOnce()) {
        let answered = Arc::new(AtomicUsize::new(0));
        let enough = Arc::new(Notify::new());
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (load, answered, enough) = (self.clone(), answered.clone(), enough.clone());
                tokio::spawn(async move {
                    for turn in 0.. {
                        let call = format!("CA{:032x}", (round << 40) | (sender << 20) | turn);
                        for sequence in 0..STATUSES.len() {
                            if load.send(&call, sequence).await.is_err() {
                                return;
                            }
                            if answered.fetch_add(1, Ordering::SeqCst) + 1 >= count {
                                enough.notify_one();
                            }
                        }
                    }
                })
            })
            .collect();
        enough.notified().await;
        kill();
        for sender in senders {
            sender.await.unwrap();
        }
    }

    async fn send(&self, call: &str, sequence: usize) -> Result<(), reqwest::Error> {
        let status = STATUSES[sequence];
        let body = format!(
            "CallStatus={status}&CallSid={call}&AccountSid={ACCOUNT}&SequenceNumber={sequence}&Direction=outbound-api\
             &From=%2B14155550100&To=%2B14155550101&CallDuration=5"
        );
        let url = format!("{PUBLIC_URL}/webhooks/twilio/status?lead_id=lead-{call}");
        let signature = signature::sign(TOKEN, &url, Form::parse(body.as_bytes()).ok().as_ref());
        let response = self
            .client
            .post(url.replace(PUBLIC_URL, &self.base))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", signature)
            .body(body)
            .send()
            .await?;
        assert_eq!(response.status(), 204);
        self.acknowledged.lock().unwrap().insert((call.to_owned(), sequence));
        Ok(())
    }
}

fn start(place: &Place, port: u16) -> Child {
    command(place, port).arg("serve").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn command(place: &Place, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onhook"));
    command.env_clear().envs([
        ("ONHOOK_DATABASE_URL", place.url.as_str()),
        ("ONHOOK_LISTEN", &format!("127.0.0.1:{port}")),
        ("ONHOOK_PUBLIC_URL", PUBLIC_URL),
        ("ONHOOK_API_KEY", KEY),
        ("ONHOOK_SECRET_KEY", "c2l4dGVlbiBieXRlcyBvciB0aGlydHkgdHdvIG9uZXM="),
        ("ONHOOK_LOG", "error"),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", TOKEN),
    ]);
    command
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
