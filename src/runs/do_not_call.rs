//! Numbers that no run dials: what somebody wrote is checked and stored here, for REST and the command line alike.
//!
//! A number counts from the next job that is handed out; a call that is under way is not hung up.

use crate::{
    clock::Clock,
    domain::time::Millis,
    fields::{self, Wrong, Wrongs},
    leads::{Format, RowError},
    store::{
        Db, StoreError, Tx,
        do_not_call::{self, DoNotCallRow},
        now,
    },
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
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.iter().filter(|b| **b == b'\n').count() > ROWS_MAX {
        return Ok(Err(BadTable::TooManyRows));
    }
    let rows = match format {
        Format::Csv => match csv_rows(bytes) {
            Ok(rows) => Box::new(rows) as Box<dyn Iterator<Item = Row>>,
            Err(wrong) => return Ok(Err(BadTable::Header(wrong))),
        },
        Format::Ndjson => Box::new(ndjson_rows(bytes)),
    };
    let mut imported = Imported::default();
    // A set statement meets each number once; of two rows with one number the later one has the last word.
    let mut batch = BTreeMap::new();
    for (line, row) in rows {
        match row.and_then(|text| text.read(region)) {
            Ok(number) => drop(batch.insert(number.e164.clone(), number)),
            Err(wrongs) => imported.refuse(line, wrongs),
        }
        if batch.len() >= BATCH_ROWS {
            imported.write(db, clock, tenant, std::mem::take(&mut batch)).await?;
        }
    }
    imported.write(db, clock, tenant, batch).await?;
    Ok(Ok(imported))
}

impl Imported {
    fn refuse(&mut self, line: u64, wrongs: Vec<Wrong>) {
        self.failed += 1;
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        let field = |field: String| Some(field).filter(|field| !field.is_empty());
        let errors =
            wrongs.into_iter().map(|Wrong { field: name, message }| RowError { line, field: field(name), message });
        self.errors.extend(errors.take(room));
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

/// A line number, and what stands there. A fault of the whole row has no field.
type Row = (u64, Result<DoNotCallText, Vec<Wrong>>);

fn csv_rows(bytes: &[u8]) -> Result<impl Iterator<Item = Row> + '_, Wrong> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|e| Wrong::new("header", e.to_string()))?.clone();
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(name)) {
        let named = if unknown.is_empty() { "header" } else { unknown };
        return Err(Wrong::new(named, format!("is no column of this list; those are: {}", COLUMNS.join(", "))));
    }
    if !header.iter().any(|name| name == "number") {
        return Err(Wrong::new("number", format!("is missing; the columns are: {}", COLUMNS.join(", "))));
    }
    Ok(reader.into_records().map(move |record| match record {
        Ok(record) => {
            let cell = |name| header.iter().position(|n| n == name).and_then(|at| record.get(at)).map(str::to_owned);
            let line = record.position().map_or(0, csv::Position::line);
            (line, Ok(DoNotCallText { number: cell("number"), reason: cell("reason") }))
        }
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            (line, Err(vec![Wrong::new("", error.to_string())]))
        }
    }))
}

fn ndjson_rows(bytes: &[u8]) -> impl Iterator<Item = Row> + '_ {
    let lines = (1..).zip(bytes.split(|b| *b == b'\n'));
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| {
        if !line.trim_ascii_start().starts_with(b"{") {
            return (number, Err(vec![Wrong::new("", "is no JSON object")]));
        }
        let mut reader = serde_json::Deserializer::from_slice(line);
        let row = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            vec![Wrong::new(if path == "." { "" } else { &path }, error.into_inner().to_string())]
        });
        // A second object on the line would be lost without a word.
        let whole = reader.end().map_err(|error| vec![Wrong::new("", format!("is not one JSON object: {error}"))]);
        (number, row.and_then(|row| whole.map(|()| row)))
    })
}

const COLUMNS: &[&str] = &["number", "reason"];
const REASON_BYTES_MAX: usize = 500;
/// More rows are refused; split the table.
pub const ROWS_MAX: usize = 1_000_000;
/// How many rows one transaction writes.
const BATCH_ROWS: usize = 500;
/// How many errors are listed.
const ERRORS_MAX: usize = 100;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
