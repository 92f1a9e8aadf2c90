//! `onhook tenants`: whose everything is.

use super::{
    desk::Desk,
    exit::{Exit, Stop},
    page::Page,
    view::second,
};
use crate::{
    domain::time::rfc3339,
    store::{
        StoreError,
        tenants::{self, TenantRow},
    },
};
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

/// Manage tenants, directly in the configured database (works beside a running server)
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook tenants list")]
pub enum Tenants {
    Add(Add),
    List(List),
}

/// Add a tenant
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook tenants add acme --name 'Acme Ltd'")]
pub struct Add {
    /// Its id: lower-case letters, digits, - and _
    #[arg(value_parser = tenant_id)]
    id: String,
    /// What people call it [default: its id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// List the tenants
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook tenants list")]
pub struct List {
    #[command(flatten)]
    page: Page,
}

impl Tenants {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Add(add) => add.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
        }
    }
}

impl Add {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let name = self.name.unwrap_or_else(|| self.id.clone());
        let row = TenantRow { id: self.id, name, created_ms: desk.now_ms() };
        desk.on_db(async |_, db| {
            let mut tx = db.begin().await?;
            match tenants::insert(&mut tx, &row).await {
                Err(StoreError::Exists(_)) => {
                    let what = format!("there is a tenant {} already", row.id);
                    Err(Stop::with(Exit::Failed, what, "`onhook tenants list` shows the tenants there are"))
                }
                inserted => Ok(inserted.and(tx.commit().await)?),
            }
        })
        .await?;
        desk.out.show(&json(&row), || format!("added tenant {}", row.id))?;
        Ok(Exit::Ok)
    }
}

impl List {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let listed = desk
            .on_existing_db(async |_, db| {
                let fetch =
                    async |after: Option<&str>, limit| tenants::list(db, after.unwrap_or_default(), limit).await;
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let line = |row: &TenantRow| vec![row.id.clone(), row.name.clone(), second(row.created_ms)];
        listed.show(&desk.out, json, &["id", "name", "created"], line)?;
        Ok(Exit::Ok)
    }
}

fn json(row: &TenantRow) -> serde_json::Value {
    json!({ "id": row.id, "name": row.name, "created_at": rfc3339(row.created_ms) })
}

fn tenant_id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let fits = (1..=TENANT_ID_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed);
    if fits { Ok(text.to_owned()) } else { Err(format!("1 to {TENANT_ID_CHARS_MAX} of: a-z 0-9 - _")) }
}

/// It is part of every key of the tenant's rows.
const TENANT_ID_CHARS_MAX: usize = 64;
