//! `onhook keys`: who may use the REST API.

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    out::or_dash,
    page::Page,
    view::{moment, second},
};
use crate::{
    audit::Act,
    directory::{NewKey, Scope, issue_key},
    domain::time::rfc3339,
    fields,
    store::{keys, tenants},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;

/// Manage API keys, directly in the configured database (works beside a running server)
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook keys create --name crm --scopes read,write")]
pub enum Keys {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a key and print it; it is shown only this once
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook keys create --name crm --scopes read,write
  onhook keys create --name report --scopes read --expires 30d")]
pub struct Create {
    #[command(flatten)]
    tenant: Tenant,
    /// What people call it, 1 to 100 bytes
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// What it may do: read, write, ingest, admin
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', default_value = "read", value_parser = grantable)]
    scopes: Vec<Scope>,
    /// How long it is valid, such as 30d [default: until revoked]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires: Option<std::time::Duration>,
}

/// List the keys, revoked and expired ones too
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook keys list")]
pub struct List {
    #[command(flatten)]
    tenant: Tenant,
    #[command(flatten)]
    page: Page,
}

/// Revoke a key for good; running servers refuse it within 60 seconds
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook keys revoke key_01KA3…")]
pub struct Revoke {
    #[command(flatten)]
    tenant: Tenant,
    /// The key's id, not its text
    id: String,
}

impl Keys {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Create(create) => create.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Revoke(revoke) => revoke.run(&mut desk).await,
        }
    }
}

/// A key that has expired when it is made opens nothing.
fn lifetime(text: &str) -> Result<std::time::Duration, String> {
    match humantime::parse_duration(text) {
        Ok(lasts) if lasts.as_millis() > 0 => Ok(lasts),
        Ok(_) => Err("the key would have expired already".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl Create {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let now_ms = desk.now_ms();
        let lasts = self.expires.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let new = NewKey {
            tenant: self.tenant.id.clone(),
            name: self.name,
            scopes: self.scopes.into_iter().collect(),
            expires_ms: lasts.map(|ms| now_ms.saturating_add(ms)),
        };
        let issued = issue_key(new, now_ms, &mut desk.rng);
        desk.on_db(async |desk, db| {
            require_tenant(db, &self.tenant.id).await?;
            let mut tx = db.begin().await?;
            keys::insert(&mut tx, &issued.row).await?;
            tx.commit().await?;
            let row = &issued.row;
            let detail = json!({ "name": row.name, "scopes": row.scopes, "expires_at": moment(row.expires_ms) });
            desk.audit(db, &row.tenant, Act::KeyCreated, &row.id, detail).await;
            Ok(())
        })
        .await?;
        let row = &issued.row;
        let text = issued.text.expose_secret();
        let json = json!({
            "id": row.id, "tenant": row.tenant, "name": row.name, "scopes": words(&row.scopes), "key": text,
            "created_at": rfc3339(row.created_ms), "expires_at": moment(row.expires_ms),
        });
        desk.out.show(&json, || text.to_owned())?;
        if !desk.out.is_json() {
            desk.out.note(format!("{} is shown only now; `onhook keys revoke {}` takes it back", row.name, row.id));
        }
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let tenant = &self.tenant.id;
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch =
                    async |after: Option<&str>, limit| keys::list(db, tenant, after.unwrap_or_default(), limit).await;
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let now_ms = desk.now_ms();
        let state = |row: &keys::KeyRow| match (row.revoked_ms, row.expires_ms) {
            (Some(_), _) => "revoked",
            (None, Some(at)) if at <= now_ms => "expired",
            (None, _) => "live",
        };
        let json = |row: &keys::KeyRow| {
            json!({
                "id": row.id, "tenant": row.tenant, "name": row.name, "scopes": words(&row.scopes), "state": state(row),
                "created_at": rfc3339(row.created_ms), "expires_at": moment(row.expires_ms),
                "revoked_at": moment(row.revoked_ms),
            })
        };
        let line = |row: &keys::KeyRow| {
            let (created, expires) = (second(row.created_ms), or_dash(row.expires_ms.map(second)));
            vec![row.id.clone(), row.name.clone(), row.scopes.clone(), state(row).into(), created, expires]
        };
        listed.show(&desk.out, json, &["id", "name", "scopes", "state", "created", "expires"], line)?;
        Ok(Exit::Ok)
    }
}

impl Revoke {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, id) = (&self.tenant.id, &self.id);
        let now_ms = desk.now_ms();
        let found = desk
            .on_existing_db(async |desk, db| {
                let mut tx = db.begin().await?;
                let revoked = keys::revoke(&mut tx, tenant, id, now_ms).await?;
                tx.commit().await?;
                if revoked > 0 {
                    desk.audit(db, tenant, Act::KeyRevoked, id, json!({})).await;
                }
                // Revoking twice is no mistake.
                Ok(revoked > 0 || keys::find(db, tenant, id).await?.is_some())
            })
            .await?;
        if !found {
            return Err(Stop::not_found(
                format!("key {id} of tenant {tenant}"),
                "`onhook keys list` shows the keys there are",
            ));
        }
        desk.out.show(&json!({ "id": id, "revoked": true }), || format!("{id} is revoked"))?;
        Ok(Exit::Ok)
    }
}

/// A tenant that somebody mistyped must not be found out only by the database's foreign key.
pub async fn require_tenant(db: &crate::store::Db, id: &str) -> Result<()> {
    match tenants::find(db, id).await? {
        Some(_) => Ok(()),
        None => Err(Stop::not_found(format!("tenant {id}"), format!("`onhook tenants add {id}` makes it"))),
    }
}

fn name(text: &str) -> Result<String, String> {
    fields::line("--name", text, 1..=NAME_BYTES_MAX).map_err(|wrong| wrong.message)
}

/// The scope operator is only for ONHOOK_API_KEY and the first key.
fn grantable(text: &str) -> Result<Scope, String> {
    let found = Scope::GRANTABLE.iter().find(|scope| scope.as_str() == text);
    found.copied().ok_or_else(|| {
        let allowed: Vec<&str> = Scope::GRANTABLE.iter().map(|scope| scope.as_str()).collect();
        format!("allowed are: {}", allowed.join(", "))
    })
}

fn words(scopes: &str) -> Vec<&str> {
    scopes.split(' ').filter(|word| !word.is_empty()).collect()
}

/// The same as in the REST API.
const NAME_BYTES_MAX: usize = 100;
