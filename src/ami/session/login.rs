//! What is said to log in: an MD5 challenge, so that the secret does not travel.
//!
//! The secret itself is sent only where the challenge is refused *and* the connection is TLS. Every Asterisk that we take
//! (AMI 2 and newer) knows the challenge, so without TLS a refusal is a mistake, or somebody who wants the secret.

use super::{Failure, Role};
use crate::ami::{Action, Message, client::DownKind};
use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};

/// The classes of messages that are asked for: what tells calls. The user's `read` takes away from these.
/// `dialplan` brings `VarSet`, which can name the lead; users who may not read it save Asterisk the work.
pub const EVENT_MASK: &str = "system,call,agent,user,dialplan";

/// Who we are.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The user of `manager.conf`.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
    /// Whether nobody can listen.
    pub tls: bool,
}

/// What is sent first.
pub fn challenge() -> Action {
    Action::new("Challenge").with("AuthType", "MD5")
}

/// What is sent when the challenge was answered.
pub fn login(identity: &Identity, role: Role, answer: &Message) -> Result<Action, Failure> {
    let action = Action::new("Login");
    let action = match answer.value("Challenge") {
        Some(challenge) if succeeded(answer) => action
            .with("AuthType", "MD5")
            .with("Username", identity.user.clone())
            .with("Key", key(challenge, identity.secret.expose_secret())),
        _ if identity.tls => {
            action.with("Username", identity.user.clone()).with("Secret", identity.secret.expose_secret())
        }
        _ => {
            let said = answer.get("Message").unwrap_or("nothing");
            return Err(Failure::new(
                DownKind::Refused,
                format!(
                    "log in as {:?}: it takes no MD5 challenge (it says {said:?}), and without TLS the secret is not sent; \
                     use amis://",
                    identity.user
                ),
            ));
        }
    };
    Ok(action.with(
        "Events",
        match role {
            Role::Listening => EVENT_MASK,
            Role::Asking => "off",
        },
    ))
}

/// Whether the login was accepted; if not, what to mend.
pub fn accepted(identity: &Identity, answer: &Message) -> Result<(), Failure> {
    if succeeded(answer) {
        return Ok(());
    }
    let said = answer.get("Message").unwrap_or("nothing");
    let mend = if said.eq_ignore_ascii_case("Login Already In Use") {
        "an earlier connection of this user is not closed yet, or another program uses it; set allowmultiplelogin = yes"
    } else {
        "check the user, its secret and its permit lines in manager.conf; it does not say which of them is wrong"
    };
    Err(Failure::new(DownKind::Refused, format!("log in as {:?}: it says {said:?}; {mend}", identity.user)))
}

/// Whether an answer is a good one.
pub fn succeeded(answer: &Message) -> bool {
    answer.response().is_some_and(|word| word.eq_ignore_ascii_case("Success"))
}

/// `md5(challenge + secret)` in lower-case hex.
fn key(challenge: &str, secret: &str) -> String {
    let mut md5 = Md5::new();
    md5.update(challenge.as_bytes());
    md5.update(secret.as_bytes());
    hex::encode(md5.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_one_asterisk_took() {
        // fixtures/ami/login_md5.
        assert_eq!(key("622055135", "labsecret"), "117ea73ceb12d9710e877a4c3cf2f313");
    }
}
