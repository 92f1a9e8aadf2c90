//! Tables that people send: CSV with a header, or NDJSON. Each row is read by itself, so that a wrong one is reported with
//! its line and the others are taken.

use crate::{domain::words, fields::Wrong};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
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

/// Why a row is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Something in its fields.
    Fields(Vec<Wrong>),
    /// It cannot be read as a whole.
    Row(String),
}

impl Refused {
    /// What is reported of it.
    pub fn errors(self, line: u64) -> Vec<RowError> {
        match self {
            Self::Row(message) => vec![RowError { line, field: None, message }],
            Self::Fields(wrongs) => {
                let error = |Wrong { field, message }| RowError { line, field: Some(field), message };
                wrongs.into_iter().map(error).collect()
            }
        }
    }
}

/// A line number, and what stands there.
pub type Row<T> = (u64, Result<T, Refused>);

/// What the rows of a table are.
#[derive(Clone, Copy, Debug)]
pub struct Columns<T> {
    /// What a row is, for messages: `lead`.
    pub of: &'static str,
    /// The columns of a CSV.
    pub names: &'static [&'static str],
    /// Those that it must have.
    pub needed: &'static [&'static str],
    /// A row made of its cells, asked for by name.
    pub make: fn(Cells<'_>) -> T,
}

/// The cells of a row, asked for by the name of their column.
pub type Cells<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How many rows a table can have at most, which is known before any of them is read.
pub fn rows_at_most(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

/// The rows of a table, as they are asked for. [`Wrong`]: its header cannot be used.
pub fn rows<'a, T: DeserializeOwned + 'a>(
    columns: &Columns<T>,
    (format, bytes): (Format, &'a [u8]),
) -> Result<Box<dyn Iterator<Item = Row<T>> + Send + 'a>, Wrong> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match format {
        Format::Csv => Ok(Box::new(csv_rows(columns, bytes)?)),
        Format::Ndjson => Ok(Box::new(ndjson_rows(bytes))),
    }
}

fn csv_rows<'a, T: 'a>(
    columns: &Columns<T>,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Row<T>> + Send + use<'a, T>, Wrong> {
    let Columns { of, names, needed, make } = *columns;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|e| Wrong::new("header", e.to_string()))?.clone();
    if let Some(unknown) = header.iter().find(|name| !names.contains(name)) {
        return Err(Wrong::new(unknown, format!("is no column of a {of}; those are: {}", names.join(", "))));
    }
    if let Some(missing) = needed.iter().find(|name| !header.iter().any(|column| column == **name)) {
        return Err(Wrong::new(*missing, format!("is missing; the columns are: {}", names.join(", "))));
    }
    Ok(reader.into_records().map(move |record| match record {
        Ok(record) => {
            let line = line_of(bytes, record.position());
            let cell =
                |name: &str| header.iter().position(|n| n == name).and_then(|at| record.get(at)).map(str::to_owned);
            (line, Ok(make(&cell)))
        }
        Err(error) => (line_of(bytes, error.position()), Err(Refused::Row(in_short(&error)))),
    }))
}

/// The line a record begins at. The reader places it before what is left of the line break of the one before: the second half
/// of CR LF, and empty lines.
fn line_of(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let from = usize::try_from(position.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let breaks = from.iter().take_while(|b| b.is_ascii_whitespace()).filter(|b| **b == b'\n').count();
    position.line() + breaks as u64
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

fn ndjson_rows<'a, T: DeserializeOwned + 'a>(bytes: &'a [u8]) -> impl Iterator<Item = Row<T>> + Send + use<'a, T> {
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

/// How many errors of one table are listed.
pub const ERRORS_MAX: usize = 100;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
