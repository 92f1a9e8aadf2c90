//! Numbers that no run dials.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;
use std::collections::BTreeMap;

/// A number that no run dials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct DoNotCallRow {
    /// For which tenant.
    pub tenant: String,
    /// The number.
    pub phone_e164: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub created_ms: i64,
}

/// Adds numbers; those that are there get the reason that is given now. Answers how many are new.
pub async fn put(tx: &mut Tx, rows: &[DoNotCallRow]) -> Result<u64, StoreError> {
    // Each number once, the last reason given, and in one order, so that two lists that are put at once do not lock each other.
    let rows: BTreeMap<_, _> = rows.iter().map(|row| ((&row.tenant, &row.phone_e164), row)).collect();
    let rows: Vec<DoNotCallRow> = rows.into_values().cloned().collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let new = INSERT.over(&rows).execute(tx).await?;
    GIVE_REASON.over(&rows).execute(tx).await?;
    Ok(new)
}

/// Takes a number off; answers how many rows that were (0 or 1).
pub async fn delete(tx: &mut Tx, tenant: &str, phone_e164: &str) -> Result<u64, StoreError> {
    DELETE.query().bind(tenant).bind(phone_e164).execute(tx).await
}

/// A number, if it is on the list.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, phone_e164: &str) -> Result<Option<DoNotCallRow>, StoreError> {
    FIND.query().bind(tenant).bind(phone_e164).fetch_optional(on).await
}

/// Which of these numbers are on the list.
pub async fn list_of(on: impl Into<On<'_>>, tenant: &str, numbers: &[String]) -> Result<Vec<String>, StoreError> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let key = |number: &String| NumberKey { tenant: tenant.to_owned(), phone_e164: number.clone() };
    let rows: Vec<(String,)> = LIST_OF.over(&numbers.iter().map(key).collect::<Vec<_>>()).fetch_all(on).await?;
    Ok(rows.into_iter().map(|(number,)| number).collect())
}

/// A page of the list, by number, after `after`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<DoNotCallRow>, StoreError> {
    LIST.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// A number, to be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct NumberKey {
    tenant: String,
    phone_e164: String,
}

columns!(do_not_call_columns of DoNotCallRow { tenant text, phone_e164 text, reason text, created_ms int });
columns!(wanted_columns of NumberKey { tenant text, phone_e164 text });
macro_rules! number {
    ($then:ident) => {
        $crate::store::sql::$then!(phone_e164 text)
    };
}

statements! {
    INSERT = insert(do_not_call_columns into "do_not_call": "ON CONFLICT (tenant, phone_e164) DO NOTHING");
    GIVE_REASON = over(do_not_call_columns: "UPDATE do_not_call SET reason = k.reason FROM ",
        " WHERE do_not_call.tenant = k.tenant AND do_not_call.phone_e164 = k.phone_e164");
    DELETE = both("DELETE FROM do_not_call WHERE tenant = $1 AND phone_e164 = $2");
    FIND = both("SELECT ", do_not_call_columns!(names), " FROM do_not_call WHERE tenant = $1 AND phone_e164 = $2");
    LIST_OF = lookup(wanted_columns in "do_not_call" as number: "c.tenant = k.tenant AND c.phone_e164 = k.phone_e164");
    LIST = both("SELECT ", do_not_call_columns!(names), " FROM do_not_call
        WHERE tenant = $1 AND phone_e164 > $2 ORDER BY phone_e164 LIMIT $3");
}
