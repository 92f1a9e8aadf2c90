//! Pages of a list: relative `next_page_uri`, to be followed word for word.

use super::{Answer, Known, Refusal};
use crate::twilio::form::Form;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Which page is wanted.
pub struct Paging<'a> {
    path: &'a str,
    query: &'a Form,
    size: usize,
    page: usize,
    /// The sid of the last row of the page before.
    after: Option<String>,
}

impl<'a> Paging<'a> {
    /// Reads `PageSize`, `Page` and `PageToken`. More than 1,000 rows are not given at once.
    pub fn of(asked: &'a Known<'_>) -> Result<Self, Refusal> {
        let number = |name: &str, usual: usize| match asked.query.first(name) {
            None => Ok(usual),
            Some(text) => text.parse().map_err(|_| Refusal::bad(name)),
        };
        let (size, page) = (number("PageSize", PAGE_SIZE)?.clamp(1, PAGE_SIZE_MAX), number("Page", 0)?);
        let token = asked.query.first("PageToken");
        let after =
            token.map(|token| token.strip_prefix("PA").map(str::to_owned).ok_or_else(|| Refusal::bad("PageToken")));
        Ok(Self { path: asked.path, query: &asked.query, size, page, after: after.transpose()? })
    }

    /// The page of these rows, each with its sid. A page begins after the row that the one before ended with, so new
    /// rows at the top repeat none and hide none.
    /// Only the rows that are given are made.
    pub fn answer<T>(&self, key: &str, rows: &[(String, T)], row: impl Fn(&T) -> Value) -> Result<Answer, Refusal> {
        let found = self.after.as_ref().map(|after| rows.iter().position(|(sid, _)| sid == after));
        let first = match found {
            None => self.page.saturating_mul(self.size),
            Some(at) => at.ok_or_else(|| Refusal::bad("PageToken"))? + 1,
        };
        let shown: Vec<&(String, T)> = rows.iter().skip(first).take(self.size).collect();
        let more = rows.len() > first + shown.len();
        let next = shown.last().filter(|_| more).map(|(sid, _)| self.uri(self.page + 1, Some(sid)));
        let start = self.page.saturating_mul(self.size);
        let previous = self.page.checked_sub(1).map(|page| self.uri(page, None));
        let uri = self.uri(self.page, self.after.as_deref());
        let mut body = json!({
            "page": self.page, "page_size": self.size, "start": start, "end": start + shown.len().saturating_sub(1),
            "uri": uri, "first_page_uri": self.uri(0, None), "next_page_uri": next, "previous_page_uri": previous,
        });
        if let Some(body) = body.as_object_mut() {
            body.insert(key.to_owned(), shown.into_iter().map(|(_, shown)| row(shown)).collect());
        }
        Ok(Answer::ok(body))
    }

    /// The same list, another page. Filters nobody knows are repeated too, as Twilio does.
    fn uri(&self, page: usize, after: Option<&str>) -> String {
        let encode = |bytes: &[u8]| utf8_percent_encode(&String::from_utf8_lossy(bytes), NON_ALPHANUMERIC).to_string();
        let filters = self.query.pairs().filter(|(name, _)| ![&b"PageSize"[..], b"Page", b"PageToken"].contains(name));
        let mut query: Vec<String> =
            filters.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        query.push(format!("PageSize={}", self.size));
        query.push(format!("Page={page}"));
        query.extend(after.map(|sid| format!("PageToken=PA{sid}")));
        format!("{}?{}", self.path, query.join("&"))
    }
}

/// What is given if nothing was said.
const PAGE_SIZE: usize = 50;
const PAGE_SIZE_MAX: usize = 1_000;
