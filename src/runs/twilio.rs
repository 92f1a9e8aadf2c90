//! Twilio as somebody who places the calls of one account.

use crate::{
    clock::SharedClock,
    domain::{
        run::Settings,
        time::{Millis, SECOND},
    },
    provider::{Answer, Asked, Dialer, Found, Order, Placed, Trouble, TroubleKind},
    twilio::{
        asked,
        callback_url::{CallbackUrls, Correlation},
        client::{CallFilter, Client, ClientError, CreateCall, Detection, HangUp, HungUp, Instructions},
        door::Door,
        rest::Call,
        sid,
    },
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// What a [`TwilioDialer`] is made of.
#[derive(Clone, Debug)]
pub struct TwilioParts {
    /// The account that is dialed from.
    pub account: String,
    /// Asks Twilio, and takes no longer for one request than `timeout`.
    pub client: Arc<Client>,
    /// Says when something was asked.
    pub clock: SharedClock,
    /// Where Twilio finds us.
    pub public_url: Option<Url>,
    /// See [`Dialer::timeout`].
    pub timeout: Duration,
}

/// Twilio, told to place the calls of one account.
#[derive(Clone, Debug)]
pub struct TwilioDialer(TwilioParts);

impl TwilioDialer {
    /// With the credentials that `client` has.
    pub const fn new(parts: TwilioParts) -> Self {
        Self(parts)
    }

    /// How an order reads to Twilio. An error is about all calls of its run.
    fn request(&self, order: &Order) -> Result<CreateCall, Trouble> {
        let Settings { from, timeout_seconds, time_limit_seconds, .. } = &order.settings;
        let public_url = self.0.public_url.as_ref().ok_or_else(|| {
            mend("place calls: nobody could tell how they go on, because `public_url` is not set (ONHOOK_PUBLIC_URL)")
        })?;
        let from = from.clone().filter(|from| !from.is_empty());
        let from = from.ok_or_else(|| mend("place calls: the run has no `from`, the number that is shown"))?;
        let urls = CallbackUrls::below(public_url, &Correlation::of_order(order));
        Ok(CreateCall {
            to: order.to.clone(),
            from,
            instructions: instructions(&order.settings, &urls)?,
            status_callback: urls.to(Door::Status.path()),
            timeout_seconds: *timeout_seconds,
            time_limit_seconds: *time_limit_seconds,
            detection: detection(&order.settings, &urls),
        })
    }

    async fn look_for(&self, order: &Order, claimed: &(dyn Fn(&str) -> bool + Send + Sync)) -> Result<Found, Trouble> {
        let TwilioParts { account, client, clock, timeout, .. } = &self.0;
        // Not by the time at which calls started: those that wait in Twilio's queue have none.
        let (to, from) = (Some(order.to.clone()), order.settings.from.clone());
        let filter = CallFilter { to, from, ..CallFilter::default() };
        let asked_ms = clock.now_ms();
        let listed = client.list_calls(account, &filter, LISTED_MAX).await.map_err(|error| error.trouble(account))?;
        if listed.is_cut {
            return Ok(Found::Unclear(format!("more than {LISTED_MAX} calls of this number are at Twilio")));
        }
        let window = Window::of(order.placing_ms, *timeout);
        let fits = |call: &&Call| window.holds(call) && !claimed(&call.sid);
        let mut candidates = listed.entries.iter().filter(|call| self.is_placed(call)).filter(fits);
        match (candidates.next(), candidates.count()) {
            (None, _) => Ok(Found::Unclear("no call to this number was created then".to_owned())),
            (Some(call), 0) => Ok(Found::Call(Box::new(asked::read(call, account, asked_ms)))),
            (Some(_), more) => {
                Ok(Found::Unclear(format!("{} calls to this number were created then: any could be it", more + 1)))
            }
        }
    }

    /// Whether it is a call that somebody placed over REST from this account.
    fn is_placed(&self, call: &Call) -> bool {
        let is_ours = call.account_sid.is_empty() || call.account_sid == self.0.account;
        is_ours && sid::CALL.fits(&call.sid) && call.direction.as_deref() == Some("outbound-api")
    }
}

impl Dialer for TwilioDialer {
    fn timeout(&self) -> Duration {
        self.0.timeout
    }

    fn place<'a>(&'a self, order: &'a Order) -> Answer<'a, Placed> {
        Box::pin(async move {
            match self.request(order) {
                Ok(request) => self.0.client.create_call(&self.0.account, &request).await,
                Err(trouble) => Placed::NotNow(trouble),
            }
        })
    }

    fn find<'a>(&'a self, order: &'a Order, claimed: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Asked<'a, Found> {
        Box::pin(self.look_for(order, claimed))
    }

    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool> {
        Box::pin(async move {
            let TwilioParts { account, client, .. } = &self.0;
            match client.hang_up(account, provider_id, HangUp::Any).await {
                Ok(HungUp::Done) => Ok(true),
                Ok(HungUp::EndedAlready | HungUp::Answered) => Ok(false),
                Err(ClientError::NotFound { what }) => Err(Trouble {
                    kind: TroubleKind::Blind,
                    detail: format!("find {what} at Twilio: another account or region is asked"),
                }),
                Err(error) => Err(error.trouble(account)),
            }
        })
    }
}

/// Whom an answered call is put through to is said by the query of our own voice URL, which Twilio signs; what the user has
/// set comes as it is.
fn instructions(settings: &Settings, urls: &CallbackUrls) -> Result<Instructions, Trouble> {
    let Settings { twiml, url, connect, .. } = settings;
    match (url, twiml) {
        _ if !connect.is_empty() => {
            let connect = connect.iter().map(String::as_str);
            Ok(Instructions::Url(urls.to_with_each(Door::Voice.path(), "connect", connect)))
        }
        (Some(url), _) => Ok(Instructions::Url(url.clone())),
        (None, Some(twiml)) => Ok(Instructions::Twiml(twiml.clone())),
        (None, None) => {
            Err(mend("place calls: the run says with none of `connect`, `url` and `twiml` what is done with them"))
        }
    }
}

/// Somebody who is put through to another person must not hear silence for the four seconds and more that the detection
/// takes: it runs beside the conversation, and its door is told. Whoever answers with TwiML of their own may want to speak
/// to a machine another way, or after its beep: they are asked when it is known, as is Twilio's default, and the status
/// callbacks tell us (`voice/answering-machine-detection`).
fn detection(settings: &Settings, urls: &CallbackUrls) -> Option<Detection> {
    let mode = settings.machine_detection.clone()?;
    let meanwhile = (!settings.connect.is_empty()).then(|| urls.to(Door::Amd.path()));
    Some(Detection { mode, meanwhile })
}

/// When a call that was placed then can have been created.
#[derive(Clone, Copy, Debug)]
struct Window {
    from_ms: Millis,
    until_ms: Millis,
}

impl Window {
    fn of(placing_ms: Millis, timeout: Duration) -> Self {
        let timeout_ms = Millis::try_from(timeout.as_millis()).unwrap_or(Millis::MAX);
        let until_ms = placing_ms.saturating_add(timeout_ms).saturating_add(LATER_MS);
        Self { from_ms: placing_ms.saturating_sub(EARLIER_MS), until_ms }
    }

    /// One without a date is so fresh that it has none yet, and could be it.
    fn holds(self, call: &Call) -> bool {
        call.created_ms.is_none_or(|at| (self.from_ms..=self.until_ms).contains(&at))
    }
}

fn mend(detail: &str) -> Trouble {
    Trouble { kind: TroubleKind::Refused, detail: detail.to_owned() }
}

/// Twilio rounds to seconds, and its clock is not the database's.
const EARLIER_MS: Millis = 10 * SECOND;
/// How long after the answer was given up Twilio may still take what it was sent.
const LATER_MS: Millis = 60 * SECOND;
/// A number has as many calls in all the time that Twilio keeps, or somebody else calls it all day.
const LISTED_MAX: usize = 1_000;
