//! Calls that a gateway places at a real Asterisk, one by one: what the phones saw of them is what is written.

use super::{
    line::PATIENCE,
    pbx::Pbx,
    phone::{Phone, Policy, answers_after, never_answers, refuses},
};
use crate::support::{
    database::Place,
    gateway::{KEY, config},
};
use onhook::{
    app::App,
    clock::{Clock, SystemClock},
    domain::{
        id::{Leg, new_id},
        run::{Settings, call_id},
        signal::{Claim, Field, Signal, Witness},
        state::Live,
    },
    ingest::{Ingest, Submission},
    pbx::Pbxs,
    provider::{Dialer, Found, Order, Placed, Reach, TroubleKind},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A gateway in this process, so that its dialer can be asked.
struct Desk {
    pbxs: Pbxs,
    ingest: Ingest,
    address: String,
    client: reqwest::Client,
    _place: Place,
    stop: CancellationToken,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Desk {
    async fn start(pbx: &Pbx, place: Place) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("ami://gateway:of-the-gateway@127.0.0.1:{}", pbx.ami);
        let config = config(&place.url, &[("ONHOOK_AMI_URL", &url), ("ONHOOK_AMI_NAME", "pbx")]);
        let app = App::build(config, Arc::new(SystemClock), StdRng::seed_from_u64(7)).await.unwrap();
        let (pbxs, ingest) = (app.gateway().pbxs.clone(), app.gateway().ingest.clone());
        let (address, stop) = (format!("http://{}", app.address()), CancellationToken::new());
        tokio::spawn(app.run(stop.clone()));
        let desk = Self { pbxs, ingest, address, client: reqwest::Client::new(), _place: place, stop };
        let reached = timeout(PATIENCE, async {
            while desk.pbxs.reach("default", "pbx").await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        reached.await.expect("the gateway reaches the PBX");
        desk
    }

    async fn dialer(&self) -> Arc<dyn Dialer> {
        match self.pbxs.reach("default", "pbx").await.unwrap() {
            Reach::Here(dialer) => dialer,
            Reach::Elsewhere => panic!("it is listened to here"),
        }
    }

    /// Places it, and tells what the dialer of runs tells; its id.
    async fn place(&self, order: &Order) -> String {
        let Placed::Accepted(id) = self.dialer().await.place(order).await else { panic!("{order:?} is taken") };
        assert_eq!(id, call_id(&order.job_id, order.attempt));
        let details = [(Field::JobId, order.job_id.clone()), (Field::Direction, "outbound-api".to_owned())];
        let signal = Signal {
            leg: Leg { provider_id: id.clone(), account: "pbx".into() },
            witness: Witness::Reconciled,
            claim: Claim::Live(Live::Queued),
            at: None,
            sequence: None,
            details: details.into(),
            link: None,
            received_ms: SystemClock.now_ms(),
        };
        let (delivery, signals, ask, decision) = (None, vec![signal], Vec::new(), None);
        let submission =
            Submission { tenant: "default".into(), provider: "asterisk", delivery, signals, ask, decision };
        self.ingest.submit(submission).await.unwrap();
        id
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.address)).bearer_auth(KEY);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Waits until this call looks so.
    async fn until(&self, id: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut call = Value::Null;
        let waited = timeout(PATIENCE, async {
            while !is(&call) {
                sleep(Duration::from_millis(50)).await;
                call = self.get(&format!("/v1/calls/{id}")).await;
            }
        });
        assert!(waited.await.is_ok(), "{id} is still {call}");
        call
    }

    /// Waits until it has ended, which must be told; its status and why.
    async fn told(&self, id: &str) -> (String, String, Value) {
        let call = self.until(id, |call| call["ended_at"].is_string()).await;
        assert_eq!((&call["resolution"], &call["estimated"]), (&"callback".into(), &false.into()), "{call}");
        assert_eq!((&call["provider_id"], &call["parent_id"]), (&id.into(), &Value::Null), "the call is its channel's");
        assert_eq!(call["direction"], "outbound-api", "{call}");
        let text = |name: &str| call[name].as_str().unwrap().to_owned();
        (text("status"), text("hangup_cause"), call)
    }
}

fn order(channel: &str, to: &str) -> Order {
    let settings = Settings {
        from: Some("+14155550100".into()),
        channel: Some(channel.into()),
        context: Some("nobody".into()),
        extension: Some("talk".into()),
        timeout_seconds: Some(10),
        ..Settings::default()
    };
    let job_id = new_id("job", SystemClock.now_ms(), rand::rng().random());
    Order { job_id, attempt: 1, to: to.into(), lead_id: None, user_id: None, settings, placing_ms: 0 }
}

async fn phone(pbx: &Pbx, number: &str, policy: Policy) -> Phone {
    Phone::register(pbx.sip, number, policy).await
}

const PHONE: &str = "PJSIP/{to}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placed_calls_end_as_the_phones_saw_them() {
    let pbx = Pbx::start("dialing").await;
    for place in [Place::sqlite(), Place::postgres().await] {
        let desk = Desk::start(&pbx, place).await;
        tokio::join!(
            answered(&pbx, &desk),
            refused(&pbx, &desk, "2042", "486 Busy Here", ("busy", "busy")),
            refused(&pbx, &desk, "2043", "603 Decline", ("failed", "rejected")),
            unanswered(&pbx, &desk),
            not_there(&desk),
            taken_back(&pbx, &desk),
            cut_off(&pbx, &desk),
            over_a_local_channel(&pbx, &desk),
            not_in_the_dialplan(&desk),
        );
    }
}

/// The phone rings with our number, answers, and the dialplan talks to it; the lead is the channel's, however it is named.
async fn answered(pbx: &Pbx, desk: &Desk) {
    let phone = phone(pbx, "2041", answers_after(3_000)).await;
    let lead = "lead, (odd) = [41]";
    let order = Order { lead_id: Some(lead.into()), ..order(PHONE, "2041") };
    let id = desk.place(&order).await;
    let line = phone.rung().await;
    line.ringing().await;
    desk.until(&id, |call| call["status"] == "ringing").await;
    let Found::Call(found) = desk.dialer().await.find(&order, &|_: &str| false).await.unwrap() else {
        panic!("it is listed while it rings")
    };
    assert_eq!((found.leg.provider_id.as_str(), found.details[&Field::JobId].as_str()), (id.as_str(), &*order.job_id));
    line.over().await;
    let (status, cause, call) = desk.told(&id).await;
    assert_eq!((status.as_str(), cause.as_str(), call["talk_seconds"].as_i64()), ("completed", "normal", Some(1)));
    assert_eq!((&call["lead_id"], &call["to"], &call["from"]), (&lead.into(), &"2041".into(), &"+14155550100".into()));
    let found = desk.dialer().await.find(&order, &|_: &str| false).await.unwrap();
    assert!(matches!(found, Found::Unclear(_)), "it is over: {found:?}");
}

async fn refused(pbx: &Pbx, desk: &Desk, number: &str, answer: &'static str, expected: (&str, &str)) {
    let _phone = phone(pbx, number, refuses(answer)).await;
    let id = desk.place(&order(PHONE, number)).await;
    let (status, cause, _) = desk.told(&id).await;
    assert_eq!((status.as_str(), cause.as_str()), expected, "{answer}");
}

async fn unanswered(pbx: &Pbx, desk: &Desk) {
    let phone = phone(pbx, "2044", never_answers()).await;
    let mut order = order(PHONE, "2044");
    order.settings.timeout_seconds = Some(2);
    let id = desk.place(&order).await;
    let truth = phone.rung().await.over().await;
    let rang_ms = truth.ended_ms.unwrap() - truth.ringing_ms.unwrap();
    assert!((1_500..3_500).contains(&rang_ms), "it rang for {rang_ms} ms");
    assert_eq!(desk.told(&id).await.0, "no-answer");
}

/// Never registered: nothing but the answer to the Originate ever tells.
async fn not_there(desk: &Desk) {
    let id = desk.place(&order(PHONE, "2059")).await;
    assert_eq!(desk.told(&id).await.0, "failed");
    let id = desk.place(&order("Nonsense/{to}", "2059")).await;
    assert_eq!(desk.told(&id).await.0, "failed");
}

async fn taken_back(pbx: &Pbx, desk: &Desk) {
    let phone = phone(pbx, "2045", never_answers()).await;
    let id = desk.place(&order(PHONE, "2045")).await;
    let line = phone.rung().await;
    line.ringing().await;
    let dialer = desk.dialer().await;
    assert_eq!(dialer.hang_up(&id).await, Ok(true));
    line.over().await;
    assert_eq!(desk.told(&id).await.0, "canceled");
    assert_eq!(dialer.hang_up(&id).await, Ok(false), "it had ended before");
}

/// The time limit counts from when it was placed.
async fn cut_off(pbx: &Pbx, desk: &Desk) {
    let phone = phone(pbx, "2046", answers_after(200)).await;
    let mut order = order(PHONE, "2046");
    (order.settings.extension, order.settings.time_limit_seconds) = (Some("wait".into()), Some(3));
    let id = desk.place(&order).await;
    let truth = phone.rung().await.over().await;
    let talked_ms = truth.ended_ms.unwrap() - truth.up_ms.unwrap();
    assert!((2_000..4_000).contains(&talked_ms), "it talked for {talked_ms} ms");
    assert_eq!(desk.told(&id).await.0, "completed");
}

/// The call is that of the first half, under our id; who is dialed through it is a leg.
async fn over_a_local_channel(pbx: &Pbx, desk: &Desk) {
    let phone = phone(pbx, "2047", answers_after(300)).await;
    let order = Order { lead_id: Some("lead-47".into()), ..order("Local/{to}@phones/n", "2047") };
    let id = desk.place(&order).await;
    phone.rung().await.over().await;
    let (status, _, call) = desk.told(&id).await;
    assert_eq!((status.as_str(), &call["lead_id"]), ("completed", &"lead-47".into()), "{call}");
    let legs = desk.get(&format!("/v1/calls/{id}/legs")).await;
    let legs = legs["data"].as_array().unwrap();
    let legs: Vec<&Value> = legs.iter().filter(|leg| leg["provider_id"] != id.as_str()).collect();
    assert_eq!(legs.len(), 1, "{legs:?}");
    let leg = (&legs[0]["parent_id"], &legs[0]["status"], &legs[0]["extension"]);
    assert_eq!(leg, (&id.as_str().into(), &"completed".into(), &"2047".into()), "{legs:?}");
    assert_eq!(legs[0]["lead_id"], Value::Null, "whoever the dialplan dials next is another one");
}

async fn not_in_the_dialplan(desk: &Desk) {
    let mut order = order(PHONE, "2041");
    order.settings.context = Some("no-such-context".into());
    let placed = desk.dialer().await.place(&order).await;
    assert!(matches!(&placed, Placed::NotNow(trouble) if trouble.kind == TroubleKind::Refused), "{placed:?}");
}
