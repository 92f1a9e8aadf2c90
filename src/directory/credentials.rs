//! Whether Twilio takes a token: asked before an account is added, so that nobody claims what is not his.

use crate::twilio::client::{Client, ClientError, Credentials, Patience};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;

/// What Twilio says of an account and its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The token is the account's.
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
    match asked {
        Ok(told) => Checked::Good { owner: told.value.owner_account_sid },
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
