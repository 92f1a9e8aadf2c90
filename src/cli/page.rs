//! Long lists: a limit, and a cursor to go on from.

use super::{
    exit::{Exit, Stop},
    out::Out,
};
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

/// How much of a list is shown.
#[derive(Args, Clone, Debug)]
pub struct Page {
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=ROWS_MAX))]
    limit: i64,
    /// Go on from here: the cursor that the list before ended with
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Listed<T> {
    /// What is shown.
    pub rows: Vec<T>,
    /// Where to go on, if there is more.
    next: Option<String>,
}

impl Page {
    /// Refuses a cursor that is not a number, for lists that are numbered: it must not begin anew.
    pub fn require_number(&self) -> Result<()> {
        match self.cursor.as_deref().map(str::parse::<i64>) {
            None | Some(Ok(0..)) => Ok(()),
            Some(_) => {
                let next = "give the cursor that the list before ended with";
                Err(Stop::with(Exit::Usage, "--cursor is not one of this list", next))
            }
        }
    }

    /// Refuses a cursor that is none of this list: it must not begin anew.
    pub fn require(&self, is_one: impl Fn(&str) -> bool) -> Result<()> {
        match self.cursor.as_deref().is_none_or(is_one) {
            true => Ok(()),
            false => {
                let next = "give the cursor that the list before ended with";
                Err(Stop::with(Exit::Usage, "--cursor is not one of this list", next))
            }
        }
    }

    /// Fetches page by page; `fetch` answers what comes after a cursor, `cursor` names a row's place.
    pub async fn collect<T, E: Into<anyhow::Error>>(
        &self,
        cursor: impl Fn(&T) -> String,
        mut fetch: impl AsyncFnMut(Option<&str>, i64) -> Result<Vec<T>, E>,
    ) -> Result<Listed<T>> {
        let mut rows: Vec<T> = Vec::new();
        let mut at = self.cursor.clone();
        // One more than is shown tells whether there is more.
        let mut left = self.limit + 1;
        while left > 0 {
            let asked = left.min(FETCH_MAX);
            let fetched = fetch(at.as_deref(), asked).await.map_err(Into::into)?;
            let count = i64::try_from(fetched.len()).unwrap_or(asked);
            rows.extend(fetched);
            at = rows.last().map(&cursor);
            left -= count;
            if count < asked {
                break;
            }
        }
        let shown = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > shown;
        rows.truncate(shown);
        let next = rows.last().map(&cursor).filter(|_| more);
        Ok(Listed { rows, next })
    }
}

impl<T> Listed<T> {
    /// Prints the list in the form of the REST API, or as a table.
    pub fn show(
        &self,
        out: &Out,
        json: impl Fn(&T) -> Value,
        header: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<()> {
        if out.is_json() {
            let data: Vec<Value> = self.rows.iter().map(json).collect();
            return out.json(&json!({ "data": data, "next_cursor": self.next }));
        }
        if self.rows.is_empty() {
            out.note("nothing to show");
            return Ok(());
        }
        out.line(out.table(header, self.rows.iter().map(row)))?;
        if let Some(next) = &self.next {
            out.note(format!("there is more: --cursor {next}, or a larger --limit"));
        }
        Ok(())
    }
}

/// The largest `--limit`.
const ROWS_MAX: i64 = 10_000;
/// How many rows are fetched at once.
const FETCH_MAX: i64 = 200;
