//! Many leads at once, from CSV with a header or from NDJSON. A row that is wrong is reported and left out; the others
//! are written in batches, so what was written stays written if the import breaks off, and importing again is safe.

use super::{LeadText, entry, written};
use crate::{
    domain::time::Millis,
    fields::Wrong,
    store::{
        Db, StoreError,
        leads::{self, LeadWrite, Put},
    },
    table::{self, Columns, ERRORS_MAX, Format, Refused, RowError},
    transaction::{self, Done},
};
use serde::Serialize;
use std::collections::HashSet;
use utoipa::ToSchema;

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportedLeads)]
pub struct Imported {
    /// How many leads were created.
    pub created: u64,
    /// How many leads were there and have been updated.
    pub updated: u64,
    /// How many rows were left out because something was wrong with them.
    pub failed: u64,
    /// What was wrong; the first 100.
    pub errors: Vec<RowError>,
}

/// Why nothing of a table could be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// Something in the header.
    #[error("read the header: {0}")]
    Header(Wrong),
    /// More rows than are taken at once.
    #[error("import more than {ROWS_MAX} rows at once")]
    TooManyRows,
}

/// Imports leads into a tenant. A status that is imported never counts as written explicitly.
pub async fn import(
    db: &Db,
    tenant: &str,
    region: Option<&str>,
    now_ms: Millis,
    table: (Format, &[u8]),
) -> Result<Result<Imported, BadTable>, StoreError> {
    if table::rows_at_most(table.1) > ROWS_MAX {
        return Ok(Err(BadTable::TooManyRows));
    }
    let rows = match table::rows(&COLUMNS, table) {
        Ok(rows) => rows,
        Err(wrong) => return Ok(Err(BadTable::Header(wrong))),
    };
    let mut batch = Batch { db, imported: Imported::default(), writes: Vec::new(), ids: HashSet::new() };
    for (line, row) in rows {
        let read = row.and_then(|text| text.read(tenant, region, now_ms).map_err(Refused::Fields));
        match read {
            Ok(write) => batch.add(line, write).await?,
            Err(refused) => batch.imported.refuse(line, refused),
        }
    }
    batch.write().await?;
    Ok(Ok(batch.imported))
}

impl Imported {
    fn refuse(&mut self, line: u64, refused: Refused) {
        self.failed += 1;
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(refused.errors(line).into_iter().take(room));
    }
}

/// What is written in one transaction.
struct Batch<'a> {
    db: &'a Db,
    imported: Imported,
    writes: Vec<(u64, LeadWrite)>,
    ids: HashSet<String>,
}

impl Batch<'_> {
    async fn add(&mut self, line: u64, write: LeadWrite) -> Result<(), StoreError> {
        // A set statement meets each lead once; of two rows with one id the later one has the last word.
        if self.ids.contains(&write.id) || self.writes.len() >= BATCH_ROWS {
            self.write().await?;
        }
        self.ids.insert(write.id.clone());
        self.writes.push((line, write));
        Ok(())
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        self.ids.clear();
        let rows = std::mem::take(&mut self.writes);
        match self.commit(&rows).await {
            // The database refuses one of them (a trigger of the user's): one by one, so that it fails alone.
            Err(StoreError::Refused { .. }) => {
                for row in &rows {
                    match self.commit(std::slice::from_ref(row)).await {
                        Err(StoreError::Refused { source, .. }) => {
                            self.imported.refuse(row.0, Refused::Row(format!("the database refused it: {source}")));
                        }
                        result => result?,
                    }
                }
                Ok(())
            }
            result => result,
        }
    }

    async fn commit(&mut self, rows: &[(u64, LeadWrite)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let writes: Vec<LeadWrite> = rows.iter().map(|(_, write)| write.clone()).collect();
        let puts = transaction::run(self.db, async |tx| {
            let puts = leads::import(tx, &writes).await?;
            let pairs = writes.iter().zip(&puts);
            let journal = pairs.map(|(w, put)| entry(&w.tenant, &w.id, written(*put), w.now_ms)).collect();
            Ok(Done { value: puts, journal })
        })
        .await?;
        for put in puts {
            match put {
                Put::Created => self.imported.created += 1,
                Put::Updated => self.imported.updated += 1,
            }
        }
        Ok(())
    }
}

/// The columns of a table of leads.
const COLUMNS: Columns<LeadText> = Columns {
    of: "lead",
    names: &["id", "name", "phone", "status", "last_contacted_at"],
    needed: &["id"],
    make: |cell| LeadText {
        id: cell("id"),
        name: cell("name"),
        phone: cell("phone"),
        status: cell("status"),
        last_contacted_at: cell("last_contacted_at"),
    },
};
/// More rows are refused; split the table.
pub const ROWS_MAX: usize = 1_000_000;
/// How many rows one transaction writes.
const BATCH_ROWS: usize = 500;
