//! Lists come in pages: `limit` rows and an opaque cursor for what follows.

use super::{Problem, ProblemKind};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::form_urlencoded;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    data: Vec<T>,
    /// Send it as `cursor`, with the same filters, for the next page; null on the last one.
    next_cursor: Option<String>,
}

/// How many rows a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(usize);

impl Limit {
    /// How many rows to fetch: one more than are shown says whether there are more.
    pub(super) fn fetch(self) -> i64 {
        i64::try_from(self.0).unwrap_or(0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a whole number from 1 to {LIMIT_MAX}")))
    }
}

/// One list: a kind with its filters. A cursor of another list is refused, since it would skip or repeat rows.
#[derive(Debug)]
pub(super) struct List(String);

impl List {
    /// The list of a kind that belongs to one thing.
    pub(super) fn of(kind: &str, id: &str) -> Self {
        Self(format!("{kind} {id}"))
    }

    /// The list of a kind that the filters of a query string narrow.
    pub(super) fn filtered(kind: &str, query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut filters: Vec<_> = pairs.filter(|(name, _)| name != "limit" && name != "cursor").collect();
        filters.sort();
        Self(format!("{kind} {filters:?}"))
    }

    /// Where a cursor of this list points. `None`: to the beginning.
    pub(super) fn position<P: DeserializeOwned>(&self, cursor: Option<&str>) -> Result<Option<P>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        self.decode(cursor).map(Some).ok_or_else(|| {
            let detail = "the cursor is none that this list gave with these filters; leave it out to begin anew";
            Problem::new(ProblemKind::BadCursor, detail)
        })
    }

    fn decode<P: DeserializeOwned>(&self, cursor: &str) -> Option<P> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (check, position) = bytes.split_at_checked(CHECK_BYTES)?;
        if *check != self.check(position) {
            return None;
        }
        // The check is no secret: whoever makes one up must not reach the database with what it cannot store.
        let value: Value = serde_json::from_slice(position).ok()?;
        is_plain(&value).then(|| serde_json::from_value(value).ok()).flatten()
    }

    /// The page of the rows that were fetched with [`Limit::fetch`]. `position` is where a row stands in the list.
    pub(super) fn page<R, P: Serialize, T>(
        &self,
        limit: Limit,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> P,
        show: impl FnMut(R) -> Result<T, Problem>,
    ) -> Result<Page<T>, Problem> {
        let more = rows.len() > limit.0;
        rows.truncate(limit.0);
        let next_cursor = rows.last().filter(|_| more).map(|last| self.cursor(&position(last)));
        Ok(Page { data: rows.into_iter().map(show).collect::<Result<_, _>>()?, next_cursor })
    }

    /// The cursor of a position in this list.
    pub(super) fn cursor(&self, position: &impl Serialize) -> String {
        let position = serde_json::to_vec(position).unwrap_or_default();
        let mut bytes = self.check(&position);
        bytes.extend(position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Ties a position to its list.
    fn check(&self, position: &[u8]) -> Vec<u8> {
        let digest = Sha256::new().chain_update(&self.0).chain_update([0]).chain_update(position).finalize();
        digest.iter().take(CHECK_BYTES).copied().collect()
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.chars().any(char::is_control),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
const CHECK_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: &str) -> List {
        List::filtered(kind, "limit=7&status=new")
    }

    #[test]
    fn a_cursor_leads_back_into_its_own_list_only() {
        let cursor = list("calls").cursor(&(17, "call_1"));
        assert_eq!(list("calls").position::<(i64, String)>(Some(&cursor)).unwrap(), Some((17, "call_1".into())));
        assert_eq!(list("calls").position::<(i64, String)>(None).unwrap(), None);
        let other_page = List::filtered("calls", &format!("status=new&limit=9&cursor={cursor}"));
        assert!(other_page.position::<(i64, String)>(Some(&cursor)).is_ok());
        for other in [list("leads"), List::filtered("calls", "status=won"), List::of("calls", "status=new")] {
            assert_eq!(other.position::<(i64, String)>(Some(&cursor)).unwrap_err().kind(), ProblemKind::BadCursor);
        }
    }

    #[test]
    fn a_cursor_with_one_character_changed_is_refused() {
        let cursor = list("calls").cursor(&"call_1");
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(list("calls").position::<String>(Some(&changed)).is_err(), "{at}");
        }
        for bad in ["", "AAAA", "not base64!", &cursor[1..], &format!("{cursor}A")] {
            assert!(list("calls").position::<String>(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_made_up_cursor_cannot_smuggle_control_characters() {
        for smuggled in ["\0", "a\nb"] {
            let cursor = list("calls").cursor(&smuggled);
            assert!(list("calls").position::<String>(Some(&cursor)).is_err());
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = |rows: Vec<i32>| list("calls").page(Limit(2), rows, |r| *r, Ok).unwrap();
        let (full, last) = (page(vec![1, 2, 3]), page(vec![1, 2]));
        assert_eq!(full.data, [1, 2]);
        assert_eq!(list("calls").position::<i32>(full.next_cursor.as_deref()).unwrap(), Some(2));
        assert_eq!((last.data, last.next_cursor), (vec![1, 2], None));
    }
}
