//! A gateway and a Twilio double that know each other, with one clock: callbacks go one way, questions the other.

use super::{
    database::{Place, TestDatabase},
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS},
    twilio::Twilio,
};
use onhook::{
    clock::ManualClock,
    double::{Fate, Order, Setup},
    sweep::{Report, Sweeper},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Who calls whom.
pub const OURS: &str = "+14155550100";
pub const CUSTOMER: &str = "+14155550101";
/// How often the tests sweep.
pub const INTERVAL_MS: i64 = 30_000;

/// A gateway beside its Twilio.
pub struct Stage {
    pub gateway: Gateway,
    pub twilio: Twilio,
}

/// Makes of each async function that takes a [`Stage`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both_stages {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                super::$name($crate::support::stage::Stage::on(&at, &[]).await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                super::$name($crate::support::stage::Stage::on(&at, &[]).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_stages;

impl Stage {
    /// On this database; `settings` beside the usual ones. Callbacks arrive, in order and once, until faults are set.
    pub async fn on(at: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        Self::at(&at.place, settings).await
    }

    pub async fn at(place: &Place, settings: &[(&str, &str)]) -> Self {
        Self::by(place, settings, ManualClock::new(START_MS)).await
    }

    /// By a clock that shows another time.
    pub async fn by(place: &Place, settings: &[(&str, &str)], clock: ManualClock) -> Self {
        let setup = Setup { calls_per_second: 1_000, ..Setup::default() };
        let twilio = Twilio::start(setup, &clock);
        let gateway = Self::gateway(place, settings, &twilio).await;
        let twilio = twilio.telling(&gateway);
        Self { gateway, twilio }
    }

    /// Another gateway on the database, by the same clock and with the same Twilio: another node, or the same one after
    /// it was started again.
    pub async fn gateway(place: &Place, settings: &[(&str, &str)], twilio: &Twilio) -> Gateway {
        let base = ("ONHOOK_TWILIO_API_BASE", twilio.address.as_str());
        let settings: Vec<_> = [base].into_iter().chain(settings.iter().copied()).collect();
        Gateway::with_clock(place, &settings, twilio.clock.clone()).await
    }

    /// Places a call of this fate that tells the gateway everything; answers its sid.
    pub fn place(&self, fate: Fate) -> String {
        self.place_with(fate, "")
    }

    /// The same, with this query on its callback URL.
    pub fn place_with(&self, fate: Fate, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{PUBLIC_URL}/webhooks/twilio/status{mark}{query}");
        let order = Order::new(ACCOUNT, OURS, CUSTOMER).telling(url).going(fate);
        let now_ms = self.twilio.now_ms();
        self.twilio.with(|double| double.place(order, now_ms))
    }

    /// From here on this share of the callbacks is lost.
    pub fn lose(&self, share: f64) {
        self.twilio.with(|double| double.setup_mut().faults.lost = share);
    }

    /// Lets this much time pass; callbacks come at their moment, nobody sweeps.
    pub async fn pass(&self, by_ms: i64) {
        self.twilio.pass(by_ms).await;
    }

    /// What the sweeper of the gateway does by itself, once.
    pub async fn sweep(&self) -> Report {
        self.sweeper().tick().await.unwrap()
    }

    pub fn sweeper(&self) -> &Sweeper {
        &self.gateway.sweeper
    }

    /// Lets so many intervals pass, with a sweep at the end of each.
    pub async fn sweep_for(&self, intervals: usize) {
        for _ in 0..intervals {
            self.pass(INTERVAL_MS).await;
            self.sweep().await;
        }
    }

    /// The call as the API shows it.
    pub async fn call(&self, sid: &str) -> Value {
        self.gateway.get(&format!("/v1/calls/{sid}")).await
    }

    /// Only its status.
    pub async fn status(&self, sid: &str) -> String {
        self.call(sid).await["status"].as_str().unwrap().to_owned()
    }

    /// Adds a lead.
    pub async fn lead(&self, id: &str) {
        let body = json!({ "id": id, "name": "Ada", "phone": CUSTOMER });
        let (status, answer) = self.gateway.ask(Method::POST, "/v1/leads", Some(body)).await;
        assert_eq!(status, 201, "{answer}");
    }

    /// How many requests Twilio heard whose path ends so, or that are lists of calls (`Calls.json`).
    pub fn heard(&self, end: &str) -> usize {
        self.twilio.with(|double| double.heard().filter(|heard| heard.path.ends_with(end)).count())
    }
}

/// Nobody listens to any PBX.
#[derive(Debug)]
pub struct NoPbx;

impl onhook::provider::Switchboard for NoPbx {
    fn standing<'a>(&'a self, _: &'a str, _: &'a str) -> onhook::provider::Asked<'a, onhook::provider::Standing> {
        Box::pin(std::future::ready(Ok(onhook::provider::Standing::Nowhere)))
    }
}
