//! Who a command is when it plays Twilio: the account, its token, the URL it was told.

use super::{
    desk::{self, Settings},
    exit::{Exit, Stop},
};
use anyhow::Result;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Whose webhooks are sent, and how they are signed.
#[derive(Args, Clone, Debug)]
pub struct Identity {
    /// The auth token to sign with [default: the configured one]; better kept there, where others cannot see it
    #[arg(long, value_name = "TOKEN", env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    /// The account the calls are of [default: the configured one]; a single body names its own
    #[arg(long, value_name = "AC…", env = "TWILIO_ACCOUNT_SID")]
    account: Option<String>,
    /// The URL to sign for, if the gateway is called by another one from outside [default: the configured one]
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
}

/// What is in force of it.
#[derive(Debug)]
pub struct Settled {
    /// The account, if one is known.
    pub account: Option<String>,
    /// Its token.
    pub token: SecretString,
    /// What the gateway is called from outside, if that is known.
    pub public_url: Option<Url>,
    /// The configured key of the gateway's API.
    pub api_key: Option<SecretString>,
}

impl Identity {
    /// Fills in what the configuration says and the command line does not.
    pub fn settle(self, settings: Settings) -> Result<Settled> {
        let account = self.account.filter(|text| !text.is_empty());
        let token = self.token.filter(|token| !token.expose_secret().is_empty());
        // The configuration takes a token only with its account; that of single bodies need not be known.
        let its_token = token.as_ref().filter(|_| account.is_some()).map(|token| token.expose_secret().to_owned());
        let flags = vec![("twilio.account_sid", account), ("twilio.auth_token", its_token)];
        let config = desk::load(settings, flags)?.config;
        let token = token.or(config.twilio.auth_token).ok_or_else(|| {
            let next = "give --token, or set TWILIO_AUTH_TOKEN or TWILIO_AUTH_TOKEN_FILE";
            Stop::with(Exit::Usage, "webhooks need an auth token to be signed with", next)
        })?;
        let public_url = self.public_url.or(config.public_url);
        Ok(Settled { account: config.twilio.account_sid, token, public_url, api_key: config.api_key })
    }
}
