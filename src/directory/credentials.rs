//! Whether Twilio takes a token or an API key: asked before an account is added or changed, so that nobody claims what is
//! not his.

use super::ApiKey;
use crate::twilio::{
    client::{CallFilter, Client, ClientError, Credentials, Patience},
    region,
};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// What Twilio says of an account and its token, or its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// They are the account's.
    Good {
        /// The account it is a sub-account of; its own sid for a main account.
        owner: Option<String>,
    },
    /// It is not; in Twilio's words.
    Refused(String),
    /// Twilio could not be asked.
    Unavailable(String),
}

/// Asks Twilio for the account with the token. `seed` makes the pauses irregular.
pub async fn check(api_base: &Url, sid: &str, token: &SecretString, seed: u64) -> Checked {
    let credentials = Credentials { sid: sid.to_owned(), secret: token.clone() };
    let asked = match Client::new(api_base, credentials, PATIENCE, seed) {
        Ok(client) => client.load_account(sid).await,
        Err(error) => Err(error),
    };
    checked(asked.map(|told| told.value.owner_account_sid))
}

/// Asks Twilio for the calls of the account with the API key: a standard key may do that, but not read the account.
pub async fn check_key(api_base: &Url, account: &str, key: &ApiKey, seed: u64) -> Checked {
    let credentials = Credentials { sid: key.sid.clone(), secret: key.secret.clone() };
    let asked = match Client::new(api_base, credentials, PATIENCE, seed) {
        Ok(client) => client.list_calls(account, &CallFilter::default(), 1).await,
        Err(error) => Err(error),
    };
    checked(asked.map(|_| None))
}

/// Reads where an account is to be asked: at Twilio's own hosts, or where the configuration says. The error completes
/// "`field` …".
pub fn read_api_base(text: &str, configured: &Url) -> Result<Url, String> {
    let base = Url::parse(text).ok().filter(|base| base == configured || region::is_twilios(base));
    base.ok_or_else(|| format!("is not a host of Twilio's API: {}", region::ALLOWED))
}

fn checked(asked: Result<Option<String>, ClientError>) -> Checked {
    match asked {
        Ok(owner) => Checked::Good { owner },
        Err(error @ (ClientError::Unauthorized { .. } | ClientError::NotFound { .. })) => {
            Checked::Refused(error.to_string())
        }
        Err(error) => Checked::Unavailable(error.to_string()),
    }
}

/// Somebody waits for the answer.
const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(5),
    retries: 1,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(2),
};
