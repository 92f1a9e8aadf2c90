//! The store: one text of SQL for two databases, so everything is tried on both.

mod accounts;
mod audit;
mod calls;
mod contacts;
mod deliveries;
mod do_not_call;
mod due;
mod erasure;
mod errors;
mod expected;
mod extensions;
mod follow_ups;
mod hangups;
mod health;
mod idempotency;
mod jobs;
mod journal;
mod keys;
mod leads;
mod migrations;
mod notices;
mod now;
mod outbox;
mod pbx;
mod quarantine;
mod retention;
mod rivals;
mod runs;
mod runs_kept;
mod schema;
mod signals;
mod slots;
mod statements;
mod stats;
mod stuck;
mod sweeps;
mod tenants;
mod tidy;
mod voice;
mod watch;

/// Runs one write in a transaction of its own, which must succeed.
macro_rules! commit {
    ($at:ident, |$tx:ident| $write:expr) => {{
        let mut transaction = $at.db.begin().await.unwrap();
        let $tx = &mut transaction;
        let answer = $write.await.unwrap();
        transaction.commit().await.unwrap();
        answer
    }};
}
use commit;
