//! What somebody owns at the double: accounts with their tokens, phone numbers, TwiML apps.

use crate::{domain::time::Millis, twilio::door::Method};
use secrecy::SecretString;

/// An account or a sub-account.
#[derive(Clone, Debug)]
pub struct Account {
    /// `AC` and 32 hex digits.
    pub sid: String,
    /// Signs its webhooks, opens its REST API.
    pub auth_token: SecretString,
    /// What people call it.
    pub friendly_name: String,
    /// The parent of a sub-account, whose credentials open this one too.
    pub owner_sid: Option<String>,
    /// When it was opened.
    pub created_ms: Millis,
}

impl Account {
    /// An account that stands for itself.
    pub fn new(sid: &str, auth_token: &str) -> Self {
        Self {
            sid: sid.to_owned(),
            auth_token: SecretString::from(auth_token),
            friendly_name: "My first Twilio account".to_owned(),
            owner_sid: None,
            created_ms: 0,
        }
    }

    /// A sub-account of another one.
    pub fn sub_account(sid: &str, auth_token: &str, owner_sid: &str) -> Self {
        Self { owner_sid: Some(owner_sid.to_owned()), ..Self::new(sid, auth_token) }
    }
}

/// A URL as it is configured at Twilio: with its method, and perhaps with connection overrides in the fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Absolute.
    pub url: String,
    /// POST unless configured otherwise.
    pub method: Method,
}

impl Hook {
    /// A URL that is called with POST.
    pub fn post(url: impl Into<String>) -> Self {
        Self { url: url.into(), method: Method::Post }
    }

    /// A URL that is called with GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self { url: url.into(), method: Method::Get }
    }
}

/// What happens when somebody calls: of a number, and of a TwiML app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voice {
    /// Asked for TwiML.
    pub voice: Option<Hook>,
    /// Asked where `voice` fails.
    pub fallback: Option<Hook>,
    /// Told of the end of inbound calls. There is no way to subscribe to more.
    pub status_callback: Option<Hook>,
}

/// An incoming phone number.
#[derive(Clone, Debug)]
pub struct PhoneNumber {
    /// `PN` and 32 hex digits.
    pub sid: String,
    /// Whose it is.
    pub account_sid: String,
    /// E.164.
    pub phone_number: String,
    /// What people call it.
    pub friendly_name: String,
    /// Its own URLs. With an application they are ignored
    /// (<https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource>).
    pub hooks: Voice,
    /// The TwiML app that answers instead.
    pub voice_application_sid: Option<String>,
}

/// A TwiML app.
#[derive(Clone, Debug)]
pub struct Application {
    /// `AP` and 32 hex digits.
    pub sid: String,
    /// Whose it is.
    pub account_sid: String,
    /// What people call it.
    pub friendly_name: String,
    /// Its URLs.
    pub hooks: Voice,
}
