//! `onhook accounts`: the provider accounts whose webhooks are taken, and their sealed tokens.

mod health;
mod secret;
mod token;

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    out::or_dash,
    page::Page,
    view::{moment, second},
};
use crate::{
    config::VerifyMode,
    domain::time::{DAY, rfc3339},
    store::{
        StoreError,
        accounts::{self, AccountRow},
    },
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

/// Manage provider accounts, directly in the configured database (works beside a running server)
///
/// The account of TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN needs no adding: it is never stored.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook accounts list")]
pub enum Accounts {
    Add(Add),
    List(List),
    Verify(Verify),
    Health(health::Health),
    #[command(subcommand)]
    Token(token::Token),
}

/// Add a Twilio account
///
/// Its auth token is read from --token-file, else from standard input (asked for on a terminal), never from the command
/// line, where others could see it. It is stored sealed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts add --sid AC00000000000000000000000000000001
  onhook accounts add --sid AC00000000000000000000000000000001 --tenant acme --token-file token.txt")]
pub struct Add {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    #[arg(long, value_name = "AC…", value_parser = account_sid)]
    sid: String,
    /// A file that holds the auth token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// List the accounts
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts list")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    page: Page,
}

/// Say what happens to webhooks of an account that do not verify
///
/// `observe` lets them in, marked, and gives way to `enforce` after 7 days. Running servers see it within 60 seconds.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts verify AC00000000000000000000000000000001 observe")]
pub struct Verify {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// enforce or observe
    mode: VerifyMode,
}

impl Accounts {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Add(add) => add.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Verify(verify) => verify.run(&mut desk).await,
            Self::Health(health) => health.run(&mut desk).await,
            Self::Token(token) => token.run(&mut desk).await,
        }
    }
}

impl Add {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let token = secret::read(&desk.out, self.token_file.as_deref(), &format!("auth token of {}: ", self.sid))?;
        let now_ms = desk.now_ms();
        let row = AccountRow {
            id: self.sid,
            tenant: self.tenant.id,
            provider: "twilio".to_owned(),
            verify: None,
            verify_until_ms: None,
            created_ms: now_ms,
        };
        desk.on_db(async |desk, db| {
            require_tenant(db, &row.tenant).await?;
            let sealed = token::seal(desk, &row.tenant, &row.id, &token)?;
            let mut tx = db.begin().await?;
            match accounts::insert(&mut tx, &row).await {
                Err(StoreError::Exists(_)) => {
                    let what = format!("account {} belongs to a tenant already", row.id);
                    let next = format!("`onhook accounts token add {}` gives it another token", row.id);
                    Err(Stop::with(Exit::Failed, what, next))
                }
                inserted => {
                    inserted?;
                    accounts::insert_secret(&mut tx, &sealed).await?;
                    Ok(tx.commit().await?)
                }
            }
        })
        .await?;
        desk.out.show(&json(&row), || format!("added account {} to tenant {}", row.id, row.tenant))?;
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch = async |after: Option<&str>, limit| {
                    accounts::list(db, tenant, after.unwrap_or_default(), limit).await
                };
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let line = |row: &AccountRow| {
            let until = or_dash(row.verify_until_ms.map(second));
            vec![row.id.clone(), row.provider.clone(), or_dash(row.verify.as_ref()), until, second(row.created_ms)]
        };
        listed.show(&desk.out, json, &["id", "provider", "verify", "until", "created"], line)?;
        Ok(Exit::Ok)
    }
}

impl Verify {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let until_ms = match self.mode {
            VerifyMode::Observe => Some(desk.now_ms() + OBSERVE_MS),
            VerifyMode::Enforce => None,
        };
        let (tenant, sid, mode) = (&self.tenant.id, &self.sid, self.mode);
        let changed = desk
            .on_existing_db(async |_, db| {
                let mut tx = db.begin().await?;
                let changed = accounts::set_verify(&mut tx, tenant, sid, Some(mode.as_str()), until_ms).await?;
                tx.commit().await?;
                Ok(changed)
            })
            .await?;
        if changed == 0 {
            return Err(unknown(tenant, sid));
        }
        let json = json!({ "id": sid, "verify": mode, "verify_until": moment(until_ms) });
        let until = until_ms.map(|at| format!(" until {}", second(at))).unwrap_or_default();
        desk.out.show(&json, || format!("{sid}: {mode}{until}"))?;
        Ok(Exit::Ok)
    }
}

fn json(row: &AccountRow) -> serde_json::Value {
    json!({
        "id": row.id, "tenant": row.tenant, "provider": row.provider, "verify": row.verify,
        "verify_until": moment(row.verify_until_ms), "created_at": rfc3339(row.created_ms),
    })
}

fn unknown(tenant: &str, sid: &str) -> anyhow::Error {
    Stop::not_found(
        format!("account {sid} of tenant {tenant}"),
        "`onhook accounts list` shows the stored ones; that of TWILIO_ACCOUNT_SID is never stored",
    )
}

pub(super) fn account_sid(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("AC").unwrap_or_default();
    let fits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(text.to_owned()) } else { Err("AC and 32 hexadecimal digits".to_owned()) }
}

/// How long `observe` holds.
const OBSERVE_MS: i64 = 7 * DAY;
