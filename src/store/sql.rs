//! One SQL text for two databases: statements, row sets, and the list of all statements for the test that prepares them.
//!
//! A *row set* is many rows bound at once and read as a table, so a batch of any size is one statement (through sqlx a
//! statement costs far more than a row): a JSON array on SQLite, an array for each column on PostgreSQL. Its columns are
//! declared once, as `name kind` with the kinds `text`, `int`, `bool` and `bytes` (hex in the JSON).

/// A statement in both dialects. Only the macro `statements!` makes one, so the list of all statements is complete.
#[derive(Debug)]
pub struct Sql {
    /// What it is for, in error messages and in the test that prepares it.
    pub name: &'static str,
    /// The text SQLite gets.
    pub sqlite: &'static str,
    /// The text PostgreSQL gets.
    pub postgres: &'static str,
}

/// Declares the statements of a file and `ALL`, the list of them. A statement is `both(..)` where the dialects agree,
/// else `split(.., ..)`; each takes pieces of text to join. In `both`, `rows(list)` among the pieces stands for the row set.
macro_rules! statements {
    ($($name:ident = $how:ident $args:tt;)+) => {
        $(const $name: $crate::store::sql::Sql = $crate::store::sql::$how!($name $args);)+
        /// Every statement of this file.
        pub const ALL: &[$crate::store::sql::Sql] = &[$($name),+];
    };
}

/// The same text for both.
macro_rules! both {
    ($name:ident ($($piece:expr),+ $(,)?)) => {
        $crate::store::sql::Sql { name: stringify!($name), sqlite: concat!($($piece),+), postgres: concat!($($piece),+) }
    };
}

/// A text each.
macro_rules! split {
    ($name:ident ($sqlite:expr, $postgres:expr $(,)?)) => {
        $crate::store::sql::Sql { name: stringify!($name), sqlite: $sqlite, postgres: $postgres }
    };
}

/// One text around a row set: `over(list: "before", "after")`.
macro_rules! over {
    ($name:ident ($list:ident: $before:expr, $after:expr $(,)?)) => {
        $crate::store::sql::Sql {
            name: stringify!($name),
            sqlite: concat!($before, $list!(sqlite_rows), $after),
            postgres: concat!($before, $list!(postgres_rows), $after),
        }
    };
}

/// The rows of `c` that a row set asks for, whichever they are: `lookup(list in "table" as wanted: "condition", ..)`.
/// Several conditions are several look-ups, and a row may come once for each. The row set comes first in either plan:
/// PostgreSQL keeps a plan that it made while the table was empty, and would go on reading all of the table; `OFFSET 0`
/// is its fence, `CROSS JOIN` is SQLite's.
macro_rules! lookup {
    ($name:ident ($list:ident in $table:literal as $wanted:ident: $first:literal $(, $more:literal)*)) => {
        $crate::store::sql::Sql {
            name: stringify!($name),
            sqlite: concat!(
                "WITH k AS (SELECT * FROM ", $list!(sqlite_rows), ") SELECT ", $wanted!(names_of_c),
                " FROM k CROSS JOIN ", $table, " AS c ON ", $first
                $(, " UNION ALL SELECT ", $wanted!(names_of_c), " FROM k CROSS JOIN ", $table, " AS c ON ", $more)*
            ),
            postgres: concat!(
                "WITH k AS (SELECT * FROM ", $list!(postgres_rows), ") SELECT ", $wanted!(names_of_c),
                " FROM k CROSS JOIN LATERAL (SELECT * FROM ", $table, " AS c WHERE ", $first, " OFFSET 0) AS c"
                $(, " UNION ALL SELECT ", $wanted!(names_of_c),
                " FROM k CROSS JOIN LATERAL (SELECT * FROM ", $table, " AS c WHERE ", $more, " OFFSET 0) AS c")*
            ),
        }
    };
}

/// Inserts a row set: `insert(list into "table": "what follows")`, such as a conflict clause.
macro_rules! insert {
    ($name:ident ($list:ident into $table:literal: $after:expr)) => {
        $crate::store::sql::over!($name ($list: concat!(
            "INSERT INTO ", $table, " (", $list!(names), ") SELECT ", $list!(names), " FROM "),
            // `WHERE true` keeps SQLite from reading ON CONFLICT as a join condition.
            concat!(" WHERE true ", $after)))
    };
}

/// Inserts a row set or replaces the rows with the same key: `upsert(list into "table" by "key")`.
macro_rules! upsert {
    ($name:ident ($list:ident into $table:literal by $key:literal)) => {
        $crate::store::sql::insert!($name ($list into $table: concat!(
            "ON CONFLICT (", $key, ") DO UPDATE SET ", $list!(replaced))))
    };
}

/// Declares the columns of a row set, as a macro that hands them to another one, and as what PostgreSQL is sent of the
/// row type.
macro_rules! columns {
    ($list:ident of $row:ty { $($column:ident $kind:ident),+ $(,)? }) => {
        macro_rules! $list { ($then:ident) => { $crate::store::sql::$then!($($column $kind),+) }; }

        impl $crate::store::sql::SetRow for $row {
            fn arrays(rows: &[Self]) -> Vec<$crate::store::Arg<'_>> {
                vec![$($crate::store::sql::array!(rows $column $kind)),+]
            }
        }
    };
}

macro_rules! names {
    ($first:ident $kind:ident $(, $column:ident $more:ident)*) => {
        concat!("\"", stringify!($first), "\"" $(, ", \"", stringify!($column), "\"")*)
    };
}

/// The names, each of the table `c`: for statements that join a row set.
macro_rules! names_of_c {
    ($first:ident $kind:ident $(, $column:ident $more:ident)*) => {
        concat!("c.\"", stringify!($first), "\"" $(, ", c.\"", stringify!($column), "\"")*)
    };
}

macro_rules! replaced {
    ($first:ident $kind:ident $(, $column:ident $more:ident)*) => {
        concat!(
            "\"", stringify!($first), "\" = excluded.\"", stringify!($first), "\""
            $(, ", \"", stringify!($column), "\" = excluded.\"", stringify!($column), "\"")*
        )
    };
}

macro_rules! sqlite_rows {
    ($first:ident $kind:ident $(, $column:ident $more:ident)*) => {
        concat!(
            "(SELECT ", $crate::store::sql::sqlite_column!($first $kind)
            $(, ", ", $crate::store::sql::sqlite_column!($column $more))*, " FROM json_each($1)) AS k"
        )
    };
}

macro_rules! sqlite_column {
    ($column:ident bytes) => {
        concat!("unhex(value ->> '$.", stringify!($column), "') AS \"", stringify!($column), "\"")
    };
    ($column:ident $kind:ident) => {
        concat!("value ->> '$.", stringify!($column), "' AS \"", stringify!($column), "\"")
    };
}

macro_rules! postgres_rows {
    ($($column:ident $kind:ident),+) => {
        concat!(
            "(SELECT * FROM UNNEST(",
            $crate::store::sql::postgres_arrays!([
                1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40
            ] $($kind)+),
            ") AS j(", $crate::store::sql::names!($($column $kind),+), ")) AS k"
        )
    };
}

/// `$1::text[], $2::bigint[], …`: a placeholder for each column.
macro_rules! postgres_arrays {
    ([$n:literal $($left:literal)*] $kind:ident) => {
        concat!("$", $n, "::", $crate::store::sql::postgres_type!($kind), "[]")
    };
    ([$n:literal $($left:literal)*] $kind:ident $($more:ident)+) => {
        concat!(
            "$", $n, "::", $crate::store::sql::postgres_type!($kind), "[], ",
            $crate::store::sql::postgres_arrays!([$($left)*] $($more)+)
        )
    };
}

macro_rules! postgres_type {
    (text) => {
        "text"
    };
    (int) => {
        "bigint"
    };
    (bool) => {
        "boolean"
    };
    (bytes) => {
        "bytea"
    };
}

/// A column of a row set as an array.
macro_rules! array {
    ($rows:ident $column:ident text) => {
        $crate::store::Arg::Texts($rows.iter().map(|row| $crate::store::sql::AsText::as_text(&row.$column)).collect())
    };
    ($rows:ident $column:ident int) => {
        $crate::store::Arg::Ints($rows.iter().map(|row| row.$column.into()).collect())
    };
    ($rows:ident $column:ident bool) => {
        $crate::store::Arg::Bools($rows.iter().map(|row| row.$column.into()).collect())
    };
    ($rows:ident $column:ident bytes) => {
        $crate::store::Arg::Blobs($rows.iter().map(|row| Some(row.$column.as_slice())).collect())
    };
}

/// A row of a row set: as JSON by serde, as arrays by the columns it was declared with.
pub trait SetRow: serde::Serialize + Sized + std::fmt::Debug + Sync {
    /// One array for each column, in their order.
    fn arrays(rows: &[Self]) -> Vec<super::Arg<'_>>;
}

/// What a `text` column can be made of.
pub(super) trait AsText {
    fn as_text(&self) -> Option<&str>;
}

impl AsText for String {
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl AsText for &'static str {
    fn as_text(&self) -> Option<&str> {
        Some(self)
    }
}

impl AsText for Option<String> {
    fn as_text(&self) -> Option<&str> {
        self.as_deref()
    }
}

pub(super) use {
    array, both, columns, insert, lookup, names, names_of_c, over, postgres_arrays, postgres_rows, postgres_type,
    replaced, split, sqlite_column, sqlite_rows, statements, upsert,
};

/// Serde for a `bytes` column of a row set.
pub(super) mod hex_column {
    pub(in crate::store) fn serialize<S: serde::Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        let mut text = vec![0; bytes.len() * 2];
        hex::encode_to_slice(bytes, &mut text).map_err(serde::ser::Error::custom)?;
        s.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}
