//! `onhook notifications`: what people should know.

use super::{
    desk::{Desk, Tenant},
    exit::Exit,
    keys::require_tenant,
    out::or_dash,
    page::Page,
    view::{moment, second},
};
use crate::{
    domain::time::rfc3339,
    store::notices::{self, Addressee, NoticeFilter, NoticeRow},
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

/// List notices, newest first: calls that were given up, accounts that cannot be asked
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook notifications --unread
  onhook notifications --user ann")]
pub struct Notifications {
    #[command(flatten)]
    tenant: Tenant,
    /// Only those that nobody has read
    #[arg(long)]
    unread: bool,
    /// Only those for this user; empty: those for everybody [default: all of the tenant's]
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    #[command(flatten)]
    page: Page,
}

impl Notifications {
    /// Lists them.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        self.page.require(|cursor| cursor.starts_with("note_"))?;
        let tenant = &self.tenant.id;
        let to = match self.user.as_deref() {
            None => Addressee::Anybody,
            Some("") => Addressee::Everybody,
            Some(user) => Addressee::User(user),
        };
        let filter = NoticeFilter { to, unread: self.unread.then_some(true) };
        let listed = desk
            .on_existing_db(async |_, db| {
                require_tenant(db, tenant).await?;
                let fetch = async |before: Option<&str>, limit| notices::list(db, tenant, filter, before, limit).await;
                self.page.collect(|row| row.id.clone(), fetch).await
            })
            .await?;
        let line = |row: &NoticeRow| {
            let read = if row.read_ms.is_some() { "read" } else { "new" };
            vec![second(row.created_ms), read.into(), or_dash(row.user_id.as_ref()), row.kind.clone(), row.text.clone()]
        };
        listed.show(&desk.out, view, &["made", "state", "user", "kind", "text"], line)?;
        Ok(Exit::Ok)
    }
}

fn view(row: &NoticeRow) -> Value {
    json!({
        "id": row.id, "user_id": row.user_id, "kind": row.kind, "subject": row.subject, "text": row.text,
        "created_at": rfc3339(row.created_ms), "read_at": moment(row.read_ms),
    })
}
