//! Tables of the user's own: CSV with a header or NDJSON, from a file or standard input.

use super::{
    exit::{Exit, Stop},
    out::{Out, or_dash},
};
use crate::leads::{Format, RowError};
use anyhow::{Context, Result};
use clap::Args;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Where a table is.
#[derive(Args, Clone, Debug)]
pub struct Table {
    /// A file with CSV (columns named in the first line) or NDJSON (one object per line); `-`: standard input
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// How it is written [default: NDJSON if it begins with {, else CSV]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

impl Table {
    /// Reads all of it, if it is not longer than `bytes_max`.
    pub fn read(&self, bytes_max: usize) -> Result<(Format, Vec<u8>)> {
        let what = || format!("read {}", self.path.display());
        let bytes = if self.path == Path::new("-") {
            read_some(io::stdin().lock(), bytes_max).context("read standard input")?
        } else {
            File::open(&self.path).and_then(|file| read_some(file, bytes_max)).with_context(what)?
        };
        if bytes.len() > bytes_max {
            let what = format!("{} is larger than {bytes_max} bytes", self.path.display());
            return Err(Stop::with(Exit::Failed, what, "split it, or raise limits.import_bytes_max"));
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
        let guess = if text.starts_with(b"{") { Format::Ndjson } else { Format::Csv };
        Ok((self.format.unwrap_or(guess), bytes))
    }
}

fn read_some(from: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says on standard error which rows were left out, and answers how the command ends.
pub fn left_out(out: &Out, failed: u64, errors: &[RowError]) -> Exit {
    if failed == 0 {
        return Exit::Ok;
    }
    if !out.is_json() {
        let row = |e: &RowError| vec![e.line.to_string(), or_dash(e.field.as_ref()), e.message.clone()];
        out.note(out.table(&["line", "field", "what is wrong"], errors.iter().map(row)));
        out.note("the other rows were imported; mend these and import them again");
    }
    Exit::Failed
}
