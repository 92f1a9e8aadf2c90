//! Leads: what somebody wrote about them is checked, stored and journaled here, for REST and the command line alike.
//!
//! What a lead then *is* (its status, when it was contacted) is read together with its contacts: `store::leads::LeadRead`.

mod forget;
mod import;

pub use crate::table::{Format, RowError};
pub use forget::{Erased, Forget, Forgotten, Kept, forget};
pub use import::{BadTable, Imported, ROWS_MAX, import};

use crate::{
    domain::{time::Millis, words},
    fields::{self, Wrong, Wrongs},
    store::{
        Db, StoreError, Tx, jobs,
        journal::{self, NewEntry},
        leads::{self, LeadRead, LeadRow, LeadWrite, Put},
        runs,
    },
    transaction::{self, Done},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A lead as somebody wrote it: every value is text that was not looked at yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = LeadWrite, description = "What is written about a lead.")]
#[serde(deny_unknown_fields)]
pub struct LeadText {
    /// Your own id of the lead: 1 to 200 bytes without control characters. Needed in a POST; in a PUT it is the
    /// one in the path.
    #[schema(example = "lead-42", min_length = 1, max_length = 200)]
    pub id: Option<String>,
    /// Name for people, up to 500 bytes.
    #[schema(example = "Ann Example", max_length = 500)]
    pub name: Option<String>,
    /// Phone number, with its country code unless a region is configured. Calls are tied to leads by it.
    #[schema(example = "+1 415 555 0101", max_length = 64)]
    pub phone: Option<String>,
    /// Your word for its state, 1 to 64 bytes. `new` leaves it to the contacts: the lead is shown as `contacted` once
    /// somebody spoke with it. Left out: `new` for a new lead, else unchanged.
    #[schema(example = "new", min_length = 1, max_length = 64)]
    pub status: Option<String>,
    /// When you last contacted it otherwise, RFC 3339.
    #[schema(example = "2026-11-20T10:11:08.000Z", format = DateTime)]
    pub last_contacted_at: Option<String>,
}

words! {
    /// What the journal says was done to a lead by hand.
    pub enum Written {
        /// It was created.
        Created = "lead.created",
        /// It was changed.
        Updated = "lead.updated",
        /// It was deleted.
        Deleted = "lead.deleted",
        /// The person was forgotten.
        Forgotten = "lead.forgotten",
    }
}

/// A journal entry about a lead that was written by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadWritten {
    /// What was done.
    pub change: Written,
}

impl LeadText {
    /// Checks every field. `region` reads phone numbers without a country code.
    pub fn read(&self, tenant: &str, region: Option<&str>, now_ms: Millis) -> Result<LeadWrite, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let id = self.id.as_deref().ok_or_else(|| Wrong::new("id", "is missing"));
        let id = wrongs.take(id.and_then(|id| fields::lead_id("id", id)));
        let name = wrongs.take(fields::optional_line("name", self.name.as_deref(), NAME_BYTES_MAX));
        let phone = given(&self.phone).map(|text| {
            let line = fields::line("phone", text.trim(), 1..=PHONE_BYTES_MAX)?;
            let e164 = fields::phone("phone", &line, region)?;
            Ok((line, e164))
        });
        let phone = wrongs.take(phone.transpose()).map(Option::unzip);
        let status = given(&self.status).map(|text| status("status", &text));
        let status = wrongs.take(status.transpose());
        let last = given(&self.last_contacted_at).map(|text| fields::moment("last_contacted_at", &text));
        let last = wrongs.take(last.transpose());
        let made = (|| {
            let (phone, phone_e164) = phone?;
            let (id, name, status, last_contacted_ms) = (id?, name?, status?, last?);
            let tenant = tenant.to_owned();
            Some(LeadWrite { tenant, id, name, phone, phone_e164, status, last_contacted_ms, now_ms })
        })();
        wrongs.settle(made)
    }
}

/// A status in the user's words.
pub fn status(field: &str, text: &str) -> Result<String, Wrong> {
    let text = fields::line(field, text, 1..=STATUS_BYTES_MAX)?;
    if text.trim() != text {
        return Err(Wrong::new(field, "begins or ends with a space"));
    }
    Ok(text)
}

/// Creates a lead in a transaction of the caller, who hands the entries to the journal.
/// [`StoreError::Exists`] if there is one with this id.
pub async fn create(tx: &mut Tx, write: &LeadWrite) -> Result<Done<LeadRead>, StoreError> {
    let write = write.clone();
    let entry = entry(&write.tenant, &write.id, Written::Created, write.now_ms);
    let row = LeadRow {
        tenant: write.tenant,
        id: write.id,
        name: write.name,
        phone: write.phone,
        phone_e164: write.phone_e164,
        status: write.status.unwrap_or_else(|| crate::domain::lead::STATUS_NEW.to_owned()),
        // Creation is no explicit write: contacts that were made before the lead was known count.
        status_written_ms: None,
        last_contacted_ms: write.last_contacted_ms,
        created_ms: write.now_ms,
        updated_ms: write.now_ms,
        forgotten_ms: None,
    };
    leads::insert(tx, &row).await?;
    Ok(Done { value: load(tx, &row.tenant, &row.id).await?, journal: vec![entry] })
}

/// Creates or replaces a lead; answers which, and the lead as it is now.
pub async fn put(db: &Db, write: &LeadWrite) -> Result<(Put, LeadRead), StoreError> {
    transaction::run(db, async |tx| {
        let put = leads::put(tx, write).await?;
        let lead = load(tx, &write.tenant, &write.id).await?;
        Ok(Done { value: (put, lead), journal: vec![entry(&write.tenant, &write.id, written(put), write.now_ms)] })
    })
    .await
}

/// Deletes a lead; `false` if there was none. Its jobs that wait to be dialed are cancelled; its calls keep its id, its
/// contacts and activity stay.
pub async fn delete(db: &Db, tenant: &str, id: &str, now_ms: Millis) -> Result<bool, StoreError> {
    transaction::run(db, async |tx| {
        runs::lock(tx, tenant).await?;
        if leads::find(&mut *tx, tenant, id).await?.is_none() {
            return Ok(Done { value: false, journal: Vec::new() });
        }
        // Before the lead, in the order in which calls lock them.
        jobs::cancel_of_lead(tx, tenant, id, "the lead was deleted", now_ms).await?;
        let deleted = leads::delete(tx, tenant, id).await? > 0;
        let journal = deleted.then(|| entry(tenant, id, Written::Deleted, now_ms)).into_iter().collect();
        Ok(Done { value: deleted, journal })
    })
    .await
}

async fn load(tx: &mut Tx, tenant: &str, id: &str) -> Result<LeadRead, StoreError> {
    let missing =
        || StoreError::Corrupt { what: format!("lead {id:?}"), why: "it was written and is not there".into() };
    leads::find(tx, tenant, id).await?.ok_or_else(missing)
}

const fn written(put: Put) -> Written {
    match put {
        Put::Created => Written::Created,
        Put::Updated => Written::Updated,
    }
}

fn entry(tenant: &str, id: &str, change: Written, at_ms: Millis) -> NewEntry {
    NewEntry {
        tenant: tenant.to_owned(),
        kind: journal::LEAD,
        subject: id.to_owned(),
        at_ms,
        // A plain struct serializes to memory without fail.
        what: serde_json::to_string(&LeadWritten { change }).unwrap_or_default(),
    }
}

const NAME_BYTES_MAX: usize = 500;
const PHONE_BYTES_MAX: usize = 64;
const STATUS_BYTES_MAX: usize = 64;
