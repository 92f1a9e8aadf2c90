//! What can be checked on this machine: the configuration, the database, the stored tokens.

use super::{Check, Clocks, State, skew};
use crate::{
    app,
    cli::{
        desk::Desk,
        tokens::{self, Token},
    },
    config::DatabaseUrl,
    store::{self, Db, now},
};
use std::{fs, path::Path};

/// The settings: what is ignored in them, and what serving would miss.
pub(super) fn configuration(desk: &Desk) -> Vec<Check> {
    let next = "mend it; `onhook config show` says what is in force and where it came from";
    let warned = desk.warnings.iter().map(|warning| Check::finding(CONFIGURATION, warning.to_string(), next));
    let missing = desk.config.check_serving().err();
    let missing = missing.iter().flat_map(|error| error.faults()).map(|fault| {
        Check::finding(CONFIGURATION, fault.to_string(), "give this command the environment of the servers")
    });
    let found: Vec<Check> = warned.chain(missing).collect();
    if found.is_empty() { vec![Check::ok(CONFIGURATION, "every setting is understood")] } else { found }
}

/// The database: whether it opens, is up to date and takes writes, and whose tokens are in it.
pub(super) async fn database(desk: &mut Desk) -> (Vec<Check>, Vec<Token>) {
    let name = desk.config.database_url.to_string();
    if let DatabaseUrl::Sqlite { path } = &desk.config.database_url
        && !path.exists()
    {
        let next = "name it with ONHOOK_DATABASE_URL; `onhook serve` makes a new one";
        return (vec![away(format!("there is no database at {}", path.display()), next)], Vec::new());
    }
    let db = match app::open_store_as_it_is(&desk.config).await {
        Ok(db) => db,
        Err(error) => {
            let next = "check that it runs, and its address, user and password in ONHOOK_DATABASE_URL";
            return (vec![away(format!("failed to {error}"), next)], Vec::new());
        }
    };
    let mut checks = vec![match store::probe(&db).await {
        Ok(()) => Check::ok(DATABASE, format!("{name} opens, is up to date and takes writes")),
        Err(error) => {
            let next = "`onhook migrate` brings it up to date; it has to be writable by this user";
            Check::finding(DATABASE, format!("failed to {error}"), next)
        }
    }];
    if let DatabaseUrl::Sqlite { path } = &desk.config.database_url {
        checks.extend(permissions(path));
    }
    checks.extend(database_clock(desk, &db).await);
    let tokens = match tokens::of_database(desk, &db).await {
        Ok((tokens, unopened)) => {
            let next = "give this command the servers' ONHOOK_SECRET_KEY, or add the token of the account anew: `onhook accounts token add`";
            checks.extend(unopened.into_iter().map(|why| Check::finding(TOKENS, why, next)));
            tokens
        }
        Err(error) => {
            let next = "check ONHOOK_SECRET_KEY, or the key file beside the SQLite file";
            checks.push(Check::finding(TOKENS, format!("failed to {error}"), next));
            Vec::new()
        }
    };
    db.close().await;
    (checks, tokens)
}

fn away(what: String, next: &str) -> Check {
    Check { state: State::Away, ..Check::finding(DATABASE, what, next) }
}

/// Several nodes share the database's clock; on SQLite it is this machine's.
async fn database_clock(desk: &Desk, db: &Db) -> Option<Check> {
    if matches!(desk.config.database_url, DatabaseUrl::Sqlite { .. }) {
        return None;
    }
    Some(match now::load(db).await {
        Ok(theirs_ms) => skew("the database", Clocks { theirs_ms, ours_ms: desk.now_ms() }),
        Err(error) => Check::unknown(super::CLOCK, format!("failed to {error}"), ""),
    })
}

/// Numbers and names of people are in the file.
#[cfg(unix)]
fn permissions(path: &Path) -> Option<Check> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let name = path.display();
    if mode & 0o007 == 0 {
        return Some(Check::ok(PERMISSIONS, format!("{name} is closed to other users ({mode:o})")));
    }
    let what = format!("every user of this machine can open {name} ({mode:o}), where people's numbers are");
    Some(Check::finding(PERMISSIONS, what, format!("chmod 600 {name}")))
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Option<Check> {
    None
}

const CONFIGURATION: &str = "configuration";
const DATABASE: &str = "database";
const PERMISSIONS: &str = "database file";
const TOKENS: &str = "stored tokens";
