//! Leads as the user wrote them, read together with their contacts.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::lead::{Contacts, Written};
use serde::Serialize;
use sqlx::FromRow;

/// A lead as stored: what the user wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the fields are the contract's lead")]
pub struct LeadRow {
    pub tenant: String,
    pub id: String,
    pub name: Option<String>,
    /// As the user wrote it.
    pub phone: Option<String>,
    /// The same in E.164, where it can be read as such.
    pub phone_e164: Option<String>,
    pub status: String,
    /// When the status was last written explicitly; not by creation or import.
    pub status_written_ms: Option<i64>,
    pub last_contacted_ms: Option<i64>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// A lead with its active contacts.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LeadRead {
    /// What the user wrote.
    #[sqlx(flatten)]
    pub row: LeadRow,
    /// How many conversations are an active contact.
    pub contact_count: i64,
    /// When the latest was.
    pub contact_last_ms: Option<i64>,
}

impl LeadRead {
    /// The lead's status (see `domain::lead`).
    pub fn status(&self) -> String {
        self.written().status(&self.contacts()).to_owned()
    }

    /// The later of the user's date and the active contacts.
    pub fn last_contacted_ms(&self) -> Option<i64> {
        self.written().last_contacted_ms(&self.contacts())
    }

    fn contacts(&self) -> Contacts {
        Contacts { count: self.contact_count, last_ms: self.contact_last_ms }
    }

    fn written(&self) -> Written {
        let row = &self.row;
        Written {
            status: row.status.clone(),
            status_written_ms: row.status_written_ms,
            last_contacted_ms: row.last_contacted_ms,
        }
    }
}

/// Whose number a call's far end is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NumberKey {
    /// Within which tenant.
    pub tenant: String,
    /// The number in E.164.
    pub phone_e164: String,
}

/// The lead each number belongs to. Where leads share a number, the oldest has it.
pub async fn list_by_number(tx: &mut Tx, numbers: &[NumberKey]) -> Result<Vec<(String, String, String)>, StoreError> {
    LIST_BY_NUMBER.over(numbers).fetch_all(tx).await
}

/// A lead.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<LeadRead>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

columns!(lead_columns {
    tenant text, id text, name text, phone text, phone_e164 text, status text, status_written_ms int,
    last_contacted_ms int, created_ms int, updated_ms int
});
columns!(number_columns { tenant text, phone_e164 text });

/// What every read of a lead adds: its active contacts.
macro_rules! read {
    () => {
        concat!("SELECT ", lead_columns!(names), ",
            (SELECT count(*) FROM contact c WHERE c.tenant = lead.tenant AND c.lead_id = lead.id AND c.active) AS contact_count,
            (SELECT max(contacted_ms) FROM contact c WHERE c.tenant = lead.tenant AND c.lead_id = lead.id AND c.active)
                AS contact_last_ms FROM lead")
    };
}

statements! {
    INSERT = insert(lead_columns into "lead": "");
    LIST_BY_NUMBER = over(number_columns:
        "SELECT l.tenant, l.phone_e164, l.id FROM ",
        " JOIN lead l ON l.tenant = k.tenant AND l.phone_e164 = k.phone_e164 ORDER BY l.created_ms, l.id");
    FIND = both(read!(), " WHERE tenant = $1 AND id = $2");
}

/// Creates a lead; [`StoreError::Exists`] if there is one with this id.
pub async fn insert(tx: &mut Tx, row: &LeadRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}
