//! Leads as the user wrote them, read together with their contacts.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::lead::{Contacts, Written};
use serde::Serialize;
use sqlx::FromRow;
use std::collections::HashSet;

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
    /// When the person was forgotten; a name or number that is written later is a new one.
    pub forgotten_ms: Option<i64>,
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

/// What a PUT or an import says about a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are the contract's lead")]
pub struct LeadWrite {
    pub tenant: String,
    pub id: String,
    pub name: Option<String>,
    /// As the user wrote it.
    pub phone: Option<String>,
    /// The same in E.164, where it can be read as such.
    pub phone_e164: Option<String>,
    /// `None` leaves it as it is; a lead that is created is `new`.
    pub status: Option<String>,
    pub last_contacted_ms: Option<i64>,
    pub now_ms: i64,
}

/// What writing a lead came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none with this id.
    Created,
    /// It was there and has been updated.
    Updated,
}

/// Which leads to list. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeadFilter {
    /// The status as it is read, contacts included.
    pub status: Option<String>,
    /// The number in E.164.
    pub phone_e164: Option<String>,
}

/// Whose number a call's far end is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NumberKey {
    /// Within which tenant.
    pub tenant: String,
    /// The number in E.164.
    pub phone_e164: String,
}

/// Creates a lead; [`StoreError::Exists`] if there is one with this id.
pub async fn insert(tx: &mut Tx, row: &LeadRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Creates or replaces a lead. On an existing one a status counts as written explicitly, now.
pub async fn put(tx: &mut Tx, write: &LeadWrite) -> Result<Put, StoreError> {
    let rows = std::slice::from_ref(write);
    if INSERT_ABSENT.over(rows).execute(tx).await? > 0 {
        return Ok(Put::Created);
    }
    match REPLACE.over(rows).execute(tx).await? {
        0 => Err(deleted_meanwhile()),
        _ => Ok(Put::Updated),
    }
}

/// Creates or updates leads (no id twice in `writes`); answers what became of each, in the same order.
/// What a row leaves out stays as it is, and a status does not count as written explicitly.
pub async fn import(tx: &mut Tx, writes: &[LeadWrite]) -> Result<Vec<Put>, StoreError> {
    let created: Vec<(String, String)> = INSERT_ABSENT.over(writes).fetch_all(&mut *tx).await?;
    let created: HashSet<(&str, &str)> = created.iter().map(|(tenant, id)| (tenant.as_str(), id.as_str())).collect();
    let is_created = |write: &LeadWrite| created.contains(&(write.tenant.as_str(), write.id.as_str()));
    let known: Vec<LeadWrite> = writes.iter().filter(|write| !is_created(write)).cloned().collect();
    if !known.is_empty() && UPDATE.over(&known).execute(tx).await? < known.len() as u64 {
        return Err(deleted_meanwhile());
    }
    Ok(writes.iter().map(|write| if is_created(write) { Put::Created } else { Put::Updated }).collect())
}

/// Deletes a lead; answers how many that were (0 or 1). Its contacts and activity stay, as its calls keep its id.
pub async fn delete(tx: &mut Tx, tenant: &str, id: &str) -> Result<u64, StoreError> {
    DELETE.query().bind(tenant).bind(id).execute(tx).await
}

/// A lead.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<LeadRead>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

/// A page of leads by id, after `after`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: &LeadFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<LeadRead>, StoreError> {
    // With a number the search starts from the index of numbers; SQLite cannot choose that by itself behind an OR.
    let sql = if filter.phone_e164.is_some() { &LIST_OF_NUMBER } else { &LIST };
    let query = sql.query().bind(tenant).bind(after).bind(limit).bind(filter.status.as_deref());
    query.bind(filter.phone_e164.as_deref()).fetch_all(on).await
}

/// The lead each number belongs to: tenant, number and lead id. Where leads share a number, the oldest has it.
pub async fn list_by_number(tx: &mut Tx, numbers: &[NumberKey]) -> Result<Vec<(String, String, String)>, StoreError> {
    let owners: Vec<(String, String, Option<String>)> = LIST_BY_NUMBER.over(numbers).fetch_all(tx).await?;
    Ok(owners.into_iter().filter_map(|(tenant, number, id)| Some((tenant, number, id?))).collect())
}

/// On PostgreSQL a lead can go between two statements of a transaction.
fn deleted_meanwhile() -> StoreError {
    StoreError::Again(sqlx::Error::RowNotFound)
}

columns!(lead_columns of LeadRow {
    tenant text, id text, name text, phone text, phone_e164 text, status text, status_written_ms int,
    last_contacted_ms int, created_ms int, updated_ms int, forgotten_ms int
});
columns!(write_columns of LeadWrite {
    tenant text, id text, name text, phone text, phone_e164 text, status text, last_contacted_ms int, now_ms int
});
columns!(number_columns of NumberKey { tenant text, phone_e164 text });

/// What every read of a lead adds: its active contacts.
macro_rules! read {
    () => {
        concat!("SELECT ", lead_columns!(names), ",
            (SELECT count(*) FROM contact c WHERE c.tenant = lead.tenant AND c.lead_id = lead.id AND c.active) AS contact_count,
            (SELECT max(contacted_ms) FROM contact c WHERE c.tenant = lead.tenant AND c.lead_id = lead.id AND c.active)
                AS contact_last_ms FROM lead")
    };
}

/// The status as `Written::status` reads it.
macro_rules! status {
    () => {
        "CASE WHEN status = 'new' AND contact_last_ms > coalesce(status_written_ms, contact_last_ms - 1)
              THEN 'contacted' ELSE status END"
    };
}

statements! {
    INSERT = insert(lead_columns into "lead": "");
    INSERT_ABSENT = over(write_columns:
        "INSERT INTO lead (tenant, id, name, phone, phone_e164, status, last_contacted_ms, created_ms, updated_ms)
         SELECT tenant, id, name, phone, phone_e164, coalesce(status, 'new'), last_contacted_ms, now_ms, now_ms FROM ",
        " WHERE true ON CONFLICT (tenant, id) DO NOTHING RETURNING tenant, id");
    REPLACE = over(write_columns:
        "UPDATE lead SET name = k.name, phone = k.phone, phone_e164 = k.phone_e164, status = coalesce(k.status, lead.status),
            status_written_ms = CASE WHEN k.status IS NULL THEN lead.status_written_ms ELSE k.now_ms END,
            last_contacted_ms = k.last_contacted_ms, updated_ms = k.now_ms,
            forgotten_ms = CASE WHEN k.name IS NULL AND k.phone IS NULL THEN lead.forgotten_ms END FROM ",
        " WHERE lead.tenant = k.tenant AND lead.id = k.id");
    UPDATE = over(write_columns:
        "UPDATE lead SET name = coalesce(k.name, lead.name), phone = coalesce(k.phone, lead.phone),
            phone_e164 = CASE WHEN k.phone IS NULL THEN lead.phone_e164 ELSE k.phone_e164 END,
            status = coalesce(k.status, lead.status), updated_ms = k.now_ms,
            last_contacted_ms = coalesce(k.last_contacted_ms, lead.last_contacted_ms),
            forgotten_ms = CASE WHEN k.name IS NULL AND k.phone IS NULL THEN lead.forgotten_ms END FROM ",
        " WHERE lead.tenant = k.tenant AND lead.id = k.id");
    DELETE = both("DELETE FROM lead WHERE tenant = $1 AND id = $2");
    FIND = both(read!(), " WHERE tenant = $1 AND id = $2");
    LIST = both("SELECT * FROM (", read!(), " WHERE tenant = $1 AND id > $2) AS l
        WHERE (CAST($4 AS TEXT) IS NULL OR ", status!(), " = $4) AND CAST($5 AS TEXT) IS NULL ORDER BY id LIMIT $3");
    LIST_OF_NUMBER = both("SELECT * FROM (", read!(), " WHERE tenant = $1 AND phone_e164 = $5 AND id > $2) AS l
        WHERE (CAST($4 AS TEXT) IS NULL OR ", status!(), " = $4) ORDER BY id LIMIT $3");
    LIST_BY_NUMBER = over(number_columns:
        "SELECT k.tenant, k.phone_e164, (SELECT l.id FROM lead l
             WHERE l.tenant = k.tenant AND l.phone_e164 = k.phone_e164 ORDER BY l.created_ms, l.id LIMIT 1) AS id FROM ",
        "");
}
