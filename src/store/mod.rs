//! SQL lives here and nowhere else: one file per family of tables, each statement written once for both databases.

pub mod accounts;
pub mod audit;
pub mod calls;
mod checkpoint;
pub mod contacts;
mod db;
pub mod deliveries;
pub mod do_not_call;
pub mod due;
pub mod erasure;
mod error;
pub mod expected;
pub mod extensions;
pub mod follow_ups;
pub mod hangups;
pub mod health;
pub mod idempotency;
pub mod jobs;
pub mod journal;
pub mod keys;
pub mod leads;
pub mod notices;
pub mod now;
mod open;
pub mod outbox;
pub mod pbx;
pub mod quarantine;
pub mod retention;
pub mod rivals;
pub mod runs;
pub mod signals;
pub mod slots;
pub mod sql;
pub mod stats;
pub mod stuck;
pub mod sweeps;
pub mod tenants;
pub mod voice;
pub mod watch;

pub use db::{Arg, Db, Fetch, On, Query, Tx};
pub use error::StoreError;
pub use open::{OpenError, migrate, open, open_postgres, open_sqlite, probe, unmigrated};

/// Every statement there is, with the file it is from: the test that prepares them walks this list.
pub const STATEMENTS: &[(&str, &[sql::Sql])] = &[
    ("accounts", accounts::ALL),
    ("audit", audit::ALL),
    ("calls", calls::ALL),
    ("contacts", contacts::ALL),
    ("deliveries", deliveries::ALL),
    ("do_not_call", do_not_call::ALL),
    ("due", due::ALL),
    ("erasure", erasure::ALL),
    ("expected", expected::ALL),
    ("extensions", extensions::ALL),
    ("follow_ups", follow_ups::ALL),
    ("hangups", hangups::ALL),
    ("health", health::ALL),
    ("idempotency", idempotency::ALL),
    ("jobs", jobs::ALL),
    ("journal", journal::ALL),
    ("keys", keys::ALL),
    ("leads", leads::ALL),
    ("notices", notices::ALL),
    ("now", now::ALL),
    ("open", open::ALL),
    ("outbox", outbox::ALL),
    ("pbx", pbx::ALL),
    ("quarantine", quarantine::ALL),
    ("retention", retention::ALL),
    ("rivals", rivals::ALL),
    ("runs", runs::ALL),
    ("signals", signals::ALL),
    ("slots", slots::ALL),
    ("stats", stats::ALL),
    ("stuck", stuck::ALL),
    ("sweeps", sweeps::ALL),
    ("tenants", tenants::ALL),
    ("voice", voice::ALL),
    ("watch", watch::ALL),
];
