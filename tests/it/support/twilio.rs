//! A Twilio double on a port of its own, with a clock turned by hand. What it answers is held against Twilio's own
//! description of its API.

use super::{
    description::description,
    gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN},
};
use onhook::{
    clock::{Clock, ManualClock},
    double::{Account, Double, Setup, Shared, courier::Courier, server},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use std::net::TcpListener;

/// A running double with the account of the tests. Stopped with the value.
pub struct Twilio {
    pub double: Shared,
    pub clock: ManualClock,
    /// Where its REST API is: what `ONHOOK_TWILIO_API_BASE` would be.
    pub address: String,
    courier: Courier,
    client: Client,
    handle: server::Handle,
}

impl Twilio {
    /// One that nobody is told by.
    pub fn start(setup: Setup, clock: &ManualClock) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let double = Shared::new(Double::new(setup, 7));
        double.with(|double| double.add_account(Account::new(ACCOUNT, TOKEN)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server::serve(listener, double.clone(), clock.shared()).unwrap();
        let handle = server.handle();
        tokio::spawn(server);
        let courier = Courier::new(double.clone(), clock.shared()).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { double, clock: clock.clone(), address, courier, client, handle }
    }

    /// One whose webhooks reach this gateway, by its clock.
    pub fn beside(gateway: &Gateway, setup: Setup) -> Self {
        Self::start(setup, &gateway.clock).telling(gateway)
    }

    /// From here on its webhooks reach this gateway.
    pub fn telling(mut self, gateway: &Gateway) -> Self {
        self.courier = self.courier.clone().via(PUBLIC_URL, &gateway.address);
        self
    }

    /// Uses the double.
    pub fn with<T>(&self, act: impl FnOnce(&mut Double) -> T) -> T {
        self.double.with(act)
    }

    /// What time it is.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A GET with the account's credentials; the path begins below the account: `/Calls.json`.
    pub async fn get(&self, below: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, &self.path(below), (ACCOUNT, TOKEN), &[]).await
    }

    /// A POST with the account's credentials.
    pub async fn post(&self, below: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        self.ask(Method::POST, &self.path(below), (ACCOUNT, TOKEN), form).await
    }

    /// Any path, any credentials. What it answers must be of the shape that the description says.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        (user, password): (&str, &str),
        form: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let request = self.client.request(method.clone(), format!("{}{path}", self.address));
        let request = request.basic_auth(user, Some(password));
        let request = if form.is_empty() { request } else { request.form(form) };
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        if status.is_success() {
            let path = path.split('?').next().unwrap();
            description().check_answer(method.as_str(), path, status.as_u16(), &body);
        } else {
            let more_info = format!("https://www.twilio.com/docs/errors/{}", body["code"]);
            assert_eq!((&body["status"], &body["more_info"]), (&status.as_u16().into(), &more_info.into()), "{body}");
            assert!(body["message"].is_string() && body.as_object().unwrap().len() == 4, "{body}");
        }
        (status, body)
    }

    /// Lets this much time pass, and sends everything at its moment.
    pub async fn pass(&self, by_ms: i64) -> usize {
        self.courier.turn(&self.clock, self.now_ms() + by_ms).await
    }

    /// The same for many calls: in steps, and what is due within one is sent at its end, many requests at once.
    pub async fn pass_by(&self, by_ms: i64, step_ms: i64) {
        self.courier.turn_by(&self.clock, self.now_ms() + by_ms, step_ms).await;
    }

    /// Every request it heard had parameters that exist. Twilio ignores others silently.
    #[track_caller]
    pub fn was_asked_well(&self) {
        self.with(|double| double.heard().for_each(|heard| description().check_request(heard)));
    }

    fn path(&self, below: &str) -> String {
        // The account itself is its path with the suffix only.
        format!("/2010-04-01/Accounts/{ACCOUNT}{below}")
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        // Telling it is enough: the runtime of the test ends with the test.
        drop(self.handle.stop(false));
    }
}
