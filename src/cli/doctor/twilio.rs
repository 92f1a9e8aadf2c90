//! The credentials: whether Twilio takes every live token, and what time it is there.

use super::{Check, Clocks};
use crate::{
    cli::{desk::Desk, tokens::Token},
    domain::time::rfc3339,
    twilio::client::{Client, ClientError, Credentials, Patience},
};
use rand::RngExt;
use std::time::Duration;

/// What was asked of Twilio.
pub(super) struct Asked {
    pub checks: Vec<Check>,
    pub clock: Option<Clocks>,
}

/// Asks for each account with each of its tokens.
pub(super) async fn credentials(desk: &mut Desk, known: &[Token]) -> Asked {
    let mut asked = Asked { checks: Vec::new(), clock: None };
    if known.is_empty() && desk.config.ami_url.is_none() {
        let next = "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or `onhook accounts add`";
        asked.checks.push(Check::finding(CREDENTIALS, "there is no Twilio account, so every webhook is refused", next));
    }
    for token in known.iter().take(ASKED_MAX) {
        let check = one(desk, token, &mut asked.clock).await;
        asked.checks.push(check);
    }
    if known.len() > ASKED_MAX {
        let what = format!("only the first {ASKED_MAX} of {} tokens were asked about", known.len());
        asked.checks.push(Check::unknown(CREDENTIALS, what, ""));
    }
    asked
}

async fn one(desk: &mut Desk, token: &Token, clock: &mut Option<Clocks>) -> Check {
    let credentials = Credentials { sid: token.account.clone(), secret: token.secret.clone() };
    let seed = desk.rng.random();
    let base = token.api_base.as_ref().unwrap_or(&desk.config.twilio.api_base);
    let account = match Client::new(base, credentials, PATIENCE, seed) {
        Ok(client) => client.load_account(&token.account).await,
        Err(error) => Err(error),
    };
    let name = &token.name;
    match account {
        Ok(told) => {
            let theirs = told.at_ms.map(|theirs_ms| Clocks { theirs_ms, ours_ms: desk.now_ms() });
            *clock = clock.or(theirs);
            match told.value.status.as_deref() {
                None | Some("active") => Check::ok(CREDENTIALS, format!("Twilio takes {name}")),
                Some(status) => {
                    let what = format!("Twilio takes {name}, but the account is {status}");
                    Check::finding(CREDENTIALS, what, "look at the account in Twilio's console")
                }
            }
        }
        // It was rotated away: that Twilio takes it no more is as it should be.
        Err(ClientError::Unauthorized { .. }) if let Some(ends_ms) = token.expires_ms => {
            let what =
                format!("Twilio no longer takes {name}, which is on its way out: it ends at {}", rfc3339(ends_ms));
            Check::ok(CREDENTIALS, what)
        }
        Err(error @ (ClientError::Unauthorized { .. } | ClientError::NotFound { .. })) => {
            let what = format!("Twilio refuses {name}: failed to {error}");
            let next = format!(
                "copy the account's primary auth token anew: `onhook accounts token add {0}`, and remove the old one; or \
                 it is asked in another region: ONHOOK_TWILIO_API_BASE, or `onhook accounts access {0}` for this one",
                token.account
            );
            Check::finding(CREDENTIALS, what, next)
        }
        Err(error) => {
            let next = "check the network and ONHOOK_TWILIO_API_BASE, and try again";
            Check::unknown(CREDENTIALS, format!("{name}: failed to {error}"), next)
        }
    }
}

const CREDENTIALS: &str = "credentials";
const ASKED_MAX: usize = 50;
/// A person waits for it.
const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    retries: 1,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(2),
};
