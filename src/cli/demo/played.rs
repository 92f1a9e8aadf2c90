//! A call that is played, not told: an agent's browser calls in, the gateway answers with TwiML, and a double of Twilio
//! does what it says and dials the customer.

use super::{ACCOUNT_SID, api::Api};
use crate::{
    cli::out::{Out, Tone, or_dash},
    clock::{Clock, ManualClock, SystemClock},
    domain::time::{SECOND, rfc3339},
    double::{Account, Application, Caller, Double, Fate, Hook, Line, Setup, Shared, Voice, courier::Courier},
    story::Lead,
    twilio::{STATUS_PATH, callback_url::OVERRIDES},
};
use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// What came of it.
pub struct Played {
    legs: Vec<Value>,
    lead: Value,
}

impl Played {
    /// Plays it, in no time: the double's clock is turned by hand, and everything lies in the past.
    pub async fn play(api: &Api, token: &SecretString) -> Result<Self> {
        let lead = Lead { id: "lead-zoe".into(), name: "Zoe Next-Door".into(), phone: CUSTOMER.into() };
        api.put_lead(&lead).await?;
        api.put("/v1/voice", &json!({ "caller_id": NUMBER })).await?;
        let clock = ManualClock::new(SystemClock.now_ms() - LENGTH_MS);
        // Without a configured URL the gateway writes https and the host that it was called by.
        let public = api.base().replacen("http://", "https://", 1);
        let double = Shared::new(twilio(&public, token));
        let courier = Courier::new(double.clone(), clock.shared()).context("set up an HTTP client")?;
        let parameters = vec![("To".to_owned(), CUSTOMER.to_owned())];
        let line = Line::Application { sid: APPLICATION_SID.to_owned(), parameters };
        let agent = Caller { account_sid: ACCOUNT_SID.to_owned(), from: AGENT.to_owned(), line, stays_s: None };
        let Some(sid) = double.with(|double| double.call_in(agent, clock.now_ms())) else { bail!("call a TwiML app") };
        courier.via(&public, api.base()).turn(&clock, clock.now_ms() + LENGTH_MS).await;
        let mut page = api.get(&format!("/v1/calls/{sid}/legs")).await?;
        let legs = page.get_mut("data").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        let lead = api.get(&format!("/v1/leads/{}", lead.id)).await?;
        Ok(Self { legs, lead })
    }

    /// Whether both legs are there, ended as they did, and the lead is contacted by the customer's.
    pub fn passed(&self) -> bool {
        let is = |leg: &Value, from: &str, direction: &str| {
            let text = |key: &str| leg.get(key).and_then(Value::as_str).unwrap_or_default();
            (text("from"), text("direction"), text("status")) == (from, direction, "completed")
        };
        let agents = self.legs.iter().any(|leg| is(leg, AGENT, "inbound"));
        let customers = self.legs.iter().find(|leg| is(leg, NUMBER, "outbound-dial"));
        let talk = customers.and_then(|leg| leg.get("talk_seconds")).and_then(Value::as_u64);
        let contacted = self.lead.get("status").is_some_and(|status| status == "contacted");
        self.legs.len() == 2 && agents && talk == Some(TALK_SECONDS.into()) && contacted
    }

    /// Shows both legs as one conversation.
    pub fn show(&self, out: &Out) -> Result<()> {
        let (mark, tone) = if self.passed() { ("✓", Tone::Good) } else { ("✗", Tone::Bad) };
        let sentence = format!(
            "{AGENT} called in from a browser; the gateway answered with TwiML, and the customer was dialed: one \
             conversation of {} legs",
            self.legs.len()
        );
        out.line("")?;
        out.line(format!("{} {sentence}", out.paint(tone, mark)))?;
        let text = |leg: &Value, key: &str| match leg.get(key) {
            None | Some(Value::Null) => or_dash::<String>(None),
            Some(Value::String(text)) if text.is_empty() => or_dash::<String>(None),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let today = rfc3339(SystemClock.now_ms());
        let time = |leg: &Value, key: &str| super::time(&text(leg, key), &today);
        let row = |leg: &Value| {
            let call = text(leg, "provider_id");
            let call = if leg.get("parent_id").is_some_and(Value::is_string) { format!("└ {call}") } else { call };
            let (from, to, status) = (text(leg, "from"), text(leg, "to"), text(leg, "status"));
            let (answered, ended) = (time(leg, "answered_at"), time(leg, "ended_at"));
            vec![call, from, to, status, answered, ended, text(leg, "talk_seconds"), text(leg, "lead_id")]
        };
        let header = ["leg", "from", "to", "status", "answered", "ended", "talk s", "lead"];
        out.line(out.table(&header, self.legs.iter().map(row)))
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({ "passed": self.passed(), "legs": self.legs, "lead": self.lead })
    }
}

/// A Twilio whose TwiML app is answered by the gateway.
fn twilio(public: &str, token: &SecretString) -> Double {
    let mut double = Double::new(Setup::default(), SEED);
    double.add_account(Account::new(ACCOUNT_SID, token.expose_secret()));
    double.add_application(Application {
        sid: APPLICATION_SID.to_owned(),
        account_sid: ACCOUNT_SID.to_owned(),
        friendly_name: "softphone".to_owned(),
        hooks: Voice {
            voice: Some(Hook::post(format!("{public}/webhooks/twilio/voice?lead_id=lead-zoe&user_id=ann{OVERRIDES}"))),
            fallback: None,
            status_callback: Some(Hook::post(format!("{public}{STATUS_PATH}{OVERRIDES}"))),
        },
    });
    double.expect_fate(CUSTOMER, Fate::Answered { talk_s: TALK_SECONDS });
    double
}

const AGENT: &str = "client:ann";
const NUMBER: &str = "+14155550100";
const CUSTOMER: &str = "+14155550150";
const APPLICATION_SID: &str = "AP00000000000000000000000000000de0";
const TALK_SECONDS: u32 = 42;
/// Longer than the call takes.
const LENGTH_MS: i64 = 90 * SECOND;
/// Any will do; the same one makes the same call every time.
const SEED: u64 = 1;
