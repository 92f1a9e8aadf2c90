//! The auth tokens that a command may use: of files, of the configuration, of the database. None of them is ever shown.

use super::{
    desk::Desk,
    exit::{Exit, Stop},
};
use crate::{
    app,
    config::{Config, DatabaseUrl},
    domain::time::Millis,
    seal::Owner,
    store::{Db, accounts},
};
use anyhow::Result;
use secrecy::SecretString;
use std::{fs, io, path::Path};
use url::Url;

/// A token, whose it is, and a name for it that may be shown.
#[derive(Debug)]
pub struct Token {
    /// The AccountSid.
    pub account: String,
    /// The account that this one is a sub-account of, if that is stored.
    pub parent: Option<String>,
    /// Where Twilio is asked about the account, if that is its own.
    pub api_base: Option<Url>,
    /// What people call it.
    pub name: String,
    /// When it ends, if it is on its way out.
    pub expires_ms: Option<Millis>,
    /// The token.
    pub secret: SecretString,
}

impl Token {
    /// Whether it verifies nothing any more.
    pub fn has_ended(&self, now_ms: Millis) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }
}

/// The token of the configured account, if there is one.
pub fn of_configuration(config: &Config) -> Option<Token> {
    let (sid, token) = config.twilio.account()?;
    let name = format!("TWILIO_AUTH_TOKEN of {sid}");
    Some(Token { account: sid.to_owned(), parent: None, api_base: None, name, expires_ms: None, secret: token.clone() })
}

/// The first line of a file.
pub fn of_file(path: &Path, account: &str) -> Result<Token> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.is_empty() {
        return Err(Stop::with(Exit::Usage, format!("the token in {name} is empty"), "write the auth token into it"));
    }
    Ok(Token {
        account: account.to_owned(),
        parent: None,
        api_base: None,
        name,
        expires_ms: None,
        secret: token.into(),
    })
}

/// A file that a command was told to read, and could not: why, and what to do.
pub fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    let next = match error.kind() {
        io::ErrorKind::NotFound => "check the path: it is relative to the folder in which the command runs",
        io::ErrorKind::PermissionDenied => "let this user read it",
        _ => "check that it is a readable text file",
    };
    Stop::with(Exit::Failed, format!("failed to read {}: {error}", path.display()), next)
}

/// The configured token first, then all that are stored. A database that is not there is an error only if nothing is
/// configured either; then what is missing is the database.
pub async fn known(desk: &mut Desk) -> Result<Vec<Token>> {
    let mut tokens: Vec<Token> = of_configuration(&desk.config).into_iter().collect();
    let is_missing = matches!(&desk.config.database_url, DatabaseUrl::Sqlite { path } if !path.exists());
    if is_missing && !tokens.is_empty() {
        return Ok(tokens);
    }
    match desk.on_existing_db(async |desk, db| of_database(desk, db).await).await {
        Ok((stored, unopened)) => {
            tokens.extend(stored);
            unopened.iter().for_each(|why| desk.out.note(format!("warning: {why}")));
        }
        Err(error) if tokens.is_empty() => return Err(error),
        Err(error) => desk.out.note(format!("warning: stored tokens are left out: failed to {error}")),
    }
    Ok(tokens)
}

/// Every stored token that opens with the key of the configuration, and of each that does not the reason.
pub async fn of_database(desk: &mut Desk, db: &Db) -> Result<(Vec<Token>, Vec<String>)> {
    let (mut tokens, mut unopened, mut sealer) = (Vec::new(), Vec::new(), None);
    let mut after = (String::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = accounts::list_all(db, (&after.0, &after.1), PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = (last.account.id.clone(), last.secret_id.clone());
        for row in page.into_iter().filter(|row| row.account.provider == "twilio") {
            let (account, tenant, parent) = (row.account.id, row.account.tenant, row.account.parent);
            let api_base = row.account.api_base.and_then(|base| base.parse().ok());
            let (Some(sealed), Some(seal_key)) = (row.sealed, row.seal_key) else {
                // The configured account may be stored for its other settings only.
                if desk.config.twilio.account().is_none_or(|(sid, _)| sid != account) {
                    unopened.push(format!("account {account} has no token"));
                }
                continue;
            };
            let sealer = match &sealer {
                Some(sealer) => sealer,
                None => sealer.insert(app::sealer(&desk.config, &mut desk.rng)?),
            };
            let name = format!("{} of {account}", row.secret_id);
            match sealer.open(Owner { tenant: &tenant, account: &account }, &sealed, &seal_key) {
                Ok(secret) => {
                    tokens.push(Token { account, parent, api_base, name, expires_ms: row.expires_ms, secret })
                }
                Err(error) => unopened.push(format!("the token {name} is left out: failed to {error}")),
            }
        }
    }
    Ok((tokens, unopened))
}

const PAGE_ROWS: i64 = 1_000;
/// Ten thousand tokens; who has more names the account's token in a file.
const PAGES_MAX: usize = 10;
