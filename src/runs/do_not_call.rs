//! Numbers that no run dials: what somebody wrote is checked and stored here, for REST and the command line alike.
//!
//! A number counts from the next job that is handed out; a call that is under way is not hung up.

use crate::{
    clock::Clock,
    domain::time::Millis,
    fields::{self, Wrong, Wrongs},
    store::{
        Db, StoreError, Tx,
        do_not_call::{self, DoNotCallRow},
        now,
    },
    table::{self, Columns, ERRORS_MAX, Format, Refused, RowError},
    transaction::{self, Done},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A number as somebody wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[schema(as = DoNotCallWrite)]
#[serde(deny_unknown_fields)]
pub struct DoNotCallText {
    /// The number, with its country code unless a region is configured. Needed in an import; in a PUT it is the one in the
    /// path.
    #[schema(example = "+1 415 555 0101", max_length = 64)]
    pub number: Option<String>,
    /// Why, up to 500 bytes.
    #[schema(example = "asked not to be called", max_length = 500)]
    pub reason: Option<String>,
}

/// What an import came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportedDoNotCall)]
pub struct Imported {
    /// How many numbers are new on the list.
    #[schema(example = 17)]
    pub created: u64,
    /// How many were on it; they got the reason that was given now.
    pub existing: u64,
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

/// What is checked of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number.
    pub e164: String,
    /// Why.
    pub reason: Option<String>,
}

impl DoNotCallText {
    /// Checks every field. `region` reads numbers without a country code.
    pub fn read(&self, region: Option<&str>) -> Result<Number, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let given = self.number.as_deref().filter(|text| !text.trim().is_empty());
        let e164 = given.ok_or_else(|| Wrong::new("number", "is missing"));
        let e164 = wrongs.take(e164.and_then(|text| fields::phone("number", text, region)));
        let reason = wrongs.take(fields::optional_line("reason", self.reason.as_deref(), REASON_BYTES_MAX));
        wrongs.settle(e164.zip(reason).map(|(e164, reason)| Number { e164, reason }))
    }
}

/// Puts a number on the list of a tenant; answers whether it is new there, and how it stands there now.
pub async fn put(
    db: &Db,
    clock: &dyn Clock,
    tenant: &str,
    number: &Number,
) -> Result<(bool, DoNotCallRow), StoreError> {
    transaction::run(db, async |tx| {
        let now_ms = now::for_leases(&mut *tx, clock).await?;
        let new = do_not_call::put(tx, &[row(tenant, number, now_ms)]).await?;
        let written = do_not_call::find(&mut *tx, tenant, &number.e164).await?;
        let missing = || StoreError::Corrupt { what: "a number".into(), why: "it was written and is not there".into() };
        Ok(Done { value: (new > 0, written.ok_or_else(missing)?), journal: Vec::new() })
    })
    .await
}

/// Takes a number off the list; `false`: it was not on it.
pub async fn remove(db: &Db, tenant: &str, e164: &str) -> Result<bool, StoreError> {
    transaction::run(db, async |tx: &mut Tx| {
        let value = do_not_call::delete(tx, tenant, e164).await? > 0;
        Ok(Done { value, journal: Vec::new() })
    })
    .await
}

/// Puts many numbers on the list, from CSV with a header or NDJSON. A row that is wrong is left out and told. What was
/// written stays written if the import breaks off, and importing again is safe.
pub async fn import(
    db: &Db,
    clock: &dyn Clock,
    to: (&str, Option<&str>),
    table: (Format, &[u8]),
) -> Result<Result<Imported, BadTable>, StoreError> {
    let ((tenant, region), (format, bytes)) = (to, table);
    if table::rows_at_most(bytes) > ROWS_MAX {
        return Ok(Err(BadTable::TooManyRows));
    }
    let rows = match table::rows(&COLUMNS, (format, bytes)) {
        Ok(rows) => rows,
        Err(wrong) => return Ok(Err(BadTable::Header(wrong))),
    };
    let mut imported = Imported::default();
    // A set statement meets each number once; of two rows with one number the later one has the last word.
    let mut batch = BTreeMap::new();
    for (line, row) in rows {
        match row.and_then(|text| text.read(region).map_err(Refused::Fields)) {
            Ok(number) => drop(batch.insert(number.e164.clone(), number)),
            Err(refused) => imported.refuse(line, refused),
        }
        if batch.len() >= BATCH_ROWS {
            imported.write(db, clock, tenant, std::mem::take(&mut batch)).await?;
        }
    }
    imported.write(db, clock, tenant, batch).await?;
    Ok(Ok(imported))
}

impl Imported {
    fn refuse(&mut self, line: u64, refused: Refused) {
        self.failed += 1;
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(refused.errors(line).into_iter().take(room));
    }

    async fn write(
        &mut self,
        db: &Db,
        clock: &dyn Clock,
        tenant: &str,
        batch: BTreeMap<String, Number>,
    ) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let new = transaction::run(db, async |tx| {
            let now_ms = now::for_leases(&mut *tx, clock).await?;
            let rows: Vec<DoNotCallRow> = batch.values().map(|number| row(tenant, number, now_ms)).collect();
            Ok(Done { value: do_not_call::put(tx, &rows).await?, journal: Vec::new() })
        })
        .await?;
        self.created += new;
        self.existing += (batch.len() as u64).saturating_sub(new);
        Ok(())
    }
}

fn row(tenant: &str, number: &Number, now_ms: Millis) -> DoNotCallRow {
    let Number { e164, reason } = number.clone();
    DoNotCallRow { tenant: tenant.to_owned(), phone_e164: e164, reason, created_ms: now_ms }
}

const COLUMNS: Columns<DoNotCallText> = Columns {
    of: "number not to call",
    names: &["number", "reason"],
    needed: &["number"],
    make: |cell| DoNotCallText { number: cell("number"), reason: cell("reason") },
};
const REASON_BYTES_MAX: usize = 500;
/// More rows are refused; split the table.
pub const ROWS_MAX: usize = 1_000_000;
/// How many rows one transaction writes.
const BATCH_ROWS: usize = 500;
