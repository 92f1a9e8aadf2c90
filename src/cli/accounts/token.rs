//! The tokens of an account: several are live while one is being rotated.

use super::{access, check, require_account, secret, unknown};
use crate::{
    ami, app,
    audit::Act,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        out::or_dash,
        view::{moment, second},
    },
    config::DatabaseUrl,
    directory::change::{self, Rotated, TOKENS_MAX},
    domain::time::rfc3339,
    seal::{Owner, Sealer},
    store::accounts::{self, SecretRow},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;
use std::path::PathBuf;

/// Manage the live tokens of an account
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook accounts token list AC00000000000000000000000000000001")]
pub enum Token {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Add a token: from now on either it or the others verify
///
/// Twilio is asked whether it is the account's.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts token add AC00000000000000000000000000000001 --token-file new.txt")]
pub struct Add {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// A file that holds the auth token [default: standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Do not ask Twilio whether the token is the account's
    #[arg(long)]
    no_check: bool,
}

/// List the tokens; their texts are never shown
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts token list AC00000000000000000000000000000001")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
}

/// Remove a token; running servers stop using it within 60 seconds
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook accounts token remove AC00000000000000000000000000000001 tok_01KA3…")]
pub struct Remove {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// The token's id
    id: String,
}

impl Token {
    /// Does it.
    pub async fn run(self, desk: &mut Desk) -> Result<Exit> {
        match self {
            Self::Add(add) => add.run(desk).await,
            Self::List(list) => list.run(desk).await,
            Self::Remove(remove) => remove.run(desk).await,
        }
    }
}

impl Add {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        let token = secret::read(&desk.out, self.token_file.as_deref(), &format!("auth token of {sid}: "))?;
        let row = desk
            .on_existing_db(async |desk, db| {
                let account = require_account(desk, db, tenant, sid).await?;
                if account.provider == ami::PROVIDER {
                    let next = format!("`onhook accounts rotate {sid}` gives it a new secret");
                    return Err(Stop::with(Exit::Usage, format!("{sid} is a PBX: it has no tokens"), next));
                }
                let base = access::own_base(&account);
                check(desk, sid, base.as_ref(), &token, self.no_check).await?;
                let row = seal(desk, tenant, sid, &token)?;
                let mut tx = db.begin().await?;
                match change::rotate(&mut tx, tenant, &row, None).await? {
                    Rotated::Done { .. } => {
                        tx.commit().await?;
                        desk.audit(db, tenant, Act::AccountRotated, sid, json!({ "token": row.id })).await;
                        Ok(row)
                    }
                    Rotated::NoAccount => Err(unknown(desk, tenant, sid)),
                    Rotated::Full => {
                        let what = format!("{sid} has {TOKENS_MAX} tokens already");
                        Err(Stop::with(
                            Exit::Failed,
                            what,
                            format!("`onhook accounts token remove {sid} …` takes one away"),
                        ))
                    }
                }
            })
            .await?;
        desk.out.show(&json(&row), || format!("added token {} to {sid}", row.id))?;
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        let rows = desk
            .on_existing_db(async |desk, db| {
                require_account(desk, db, tenant, sid).await?;
                Ok(accounts::list_secrets(db, tenant, sid, TOKENS_LISTED).await?)
            })
            .await?;
        let lines = rows.iter().map(|row| {
            vec![row.id.clone(), row.seal_key.clone(), second(row.created_ms), or_dash(row.expires_ms.map(second))]
        });
        let data: Vec<_> = rows.iter().map(json).collect();
        let table = || desk.out.table(&["id", "sealed with", "created", "good until"], lines);
        desk.out.show(&json!({ "data": data, "next_cursor": null }), table)?;
        Ok(Exit::Ok)
    }
}

impl Remove {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid, id) = (&self.tenant.id, &self.sid, &self.id);
        let removed = desk
            .on_existing_db(async |desk, db| {
                require_account(desk, db, tenant, sid).await?;
                let mut tx = db.begin().await?;
                let removed = accounts::delete_secret(&mut tx, tenant, sid, id).await?;
                tx.commit().await?;
                if removed > 0 {
                    desk.audit(db, tenant, Act::TokenDeleted, sid, json!({ "token": id })).await;
                }
                Ok(removed)
            })
            .await?;
        if removed == 0 {
            let next = format!("`onhook accounts token list {sid}` shows the tokens there are");
            return Err(Stop::not_found(format!("token {id} of {sid}"), next));
        }
        desk.out
            .show(&json!({ "account": sid, "id": id, "removed": true }), || format!("removed token {id} of {sid}"))?;
        Ok(Exit::Ok)
    }
}

/// The sealed row of a token.
pub(super) fn seal(desk: &mut Desk, tenant: &str, account: &str, token: &SecretString) -> Result<SecretRow> {
    let sealer = sealer(desk)?;
    let now_ms = desk.now_ms();
    Ok(change::seal_token(&sealer, &mut desk.rng, Owner { tenant, account }, token, now_ms)?)
}

/// What seals: the same key as that of the servers.
pub(super) fn sealer(desk: &mut Desk) -> Result<Sealer> {
    if desk.config.secret_key.is_none() && matches!(desk.config.database_url, DatabaseUrl::Postgres { .. }) {
        let what = "ONHOOK_SECRET_KEY is not set; on PostgreSQL it seals tokens";
        return Err(Stop::with(Exit::Usage, what, "give this command the same one as the servers"));
    }
    Ok(app::sealer(&desk.config, &mut desk.rng)?)
}

fn json(row: &SecretRow) -> serde_json::Value {
    json!({
        "account": row.account, "id": row.id, "sealed_with": row.seal_key, "created_at": rfc3339(row.created_ms),
        "expires_at": moment(row.expires_ms),
    })
}

/// More than an account may have.
const TOKENS_LISTED: i64 = 1_000;
