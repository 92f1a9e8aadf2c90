//! Many leads at once, from CSV with a header or from NDJSON. A row that is wrong is reported and left out; the others
//! are written in batches, so what was written stays written if the import breaks off, and importing again is safe.

use super::{LeadText, entry, written};
use crate::{
    domain::{time::Millis, words},
    fields::Wrong,
    store::{
        Db, StoreError,
        leads::{self, LeadWrite, Put},
    },
    transaction::{self, Done},
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::ToSchema;

words! {
    /// How the rows are written.
    pub enum Format {
        /// Columns named in the first line.
        Csv = "csv",
        /// One JSON object per line.
        Ndjson = "ndjson",
    }
}

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

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowError {
    /// The line it begins at, counted from 1.
    #[schema(example = 3)]
    pub line: u64,
    /// The field; null if the row as a whole cannot be read.
    #[schema(example = "phone")]
    pub field: Option<String>,
    /// What is wrong with it and what is allowed.
    pub message: String,
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
    let (format, bytes) = table;
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

/// A line number, and what stands there.
type Row = (u64, Result<LeadText, Refused>);

/// Why a row is left out.
enum Refused {
    Fields(Vec<Wrong>),
    Row(String),
}

impl Imported {
    fn refuse(&mut self, line: u64, refused: Refused) {
        self.failed += 1;
        let errors = match refused {
            Refused::Row(message) => vec![RowError { line, field: None, message }],
            Refused::Fields(wrongs) => wrongs
                .into_iter()
                .map(|Wrong { field, message }| RowError { line, field: Some(field), message })
                .collect(),
        };
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(errors.into_iter().take(room));
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

fn csv_rows(bytes: &[u8]) -> Result<impl Iterator<Item = Row> + '_, Wrong> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|e| Wrong::new("header", e.to_string()))?.clone();
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(Wrong::new(unknown, format!("is no column of a lead; those are: {}", COLUMNS.join(", "))));
    }
    if !header.iter().any(|name| name == "id") {
        return Err(Wrong::new("id", format!("is missing; the columns are: {}", COLUMNS.join(", "))));
    }
    Ok(reader.into_records().map(move |record| match record {
        Ok(record) => {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |name| header.iter().position(|n| n == name).and_then(|at| record.get(at)).map(str::to_owned);
            let text = LeadText {
                id: cell("id"),
                name: cell("name"),
                phone: cell("phone"),
                status: cell("status"),
                last_contacted_at: cell("last_contacted_at"),
            };
            (line, Ok(text))
        }
        Err(error) => (error.position().map_or(0, csv::Position::line), Err(Refused::Row(in_short(&error)))),
    }))
}

/// A CSV error without its own account of where it is.
fn in_short(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells; the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("is not UTF-8: {err}"),
        _ => error.to_string(),
    }
}

fn ndjson_rows(bytes: &[u8]) -> impl Iterator<Item = Row> + '_ {
    let lines = (1..).zip(bytes.split(|b| *b == b'\n'));
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(number, line)| {
        if !line.trim_ascii_start().starts_with(b"{") {
            return (number, Err(Refused::Row("is no JSON object".into())));
        }
        let mut reader = serde_json::Deserializer::from_slice(line);
        let row = serde_path_to_error::deserialize(&mut reader).map_err(|error| match error.path().to_string() {
            path if path == "." => Refused::Row(error.into_inner().to_string()),
            path => Refused::Fields(vec![Wrong::new(path, error.into_inner().to_string())]),
        });
        // A second object on the line would be lost without a word.
        let whole = reader.end().map_err(|error| Refused::Row(format!("is not one JSON object: {error}")));
        (number, row.and_then(|row| whole.map(|()| row)))
    })
}

/// The columns of a table of leads.
const COLUMNS: &[&str] = &["id", "name", "phone", "status", "last_contacted_at"];
/// More rows are refused; split the table.
pub const ROWS_MAX: usize = 1_000_000;
/// How many rows one transaction writes.
const BATCH_ROWS: usize = 500;
/// How many errors are listed.
const ERRORS_MAX: usize = 100;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
