//! Checkpoints of SQLite's write-ahead log, aside from the writer, with a bound on the log.

use sqlx::{Connection, Row, SqlitePool, sqlite::SqliteConnection};
use std::time::Duration;

/// Starts the checkpointer. It ends when the pool is closed.
pub(super) fn start(own: SqliteConnection, write: SqlitePool) {
    tokio::spawn(run(own, write));
}

async fn run(mut own: SqliteConnection, write: SqlitePool) {
    let closed = write.close_event();
    tokio::pin!(closed);
    let mut full = false;
    loop {
        tokio::select! {
            () = &mut closed => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        // PASSIVE never makes the writer wait. RESTART does, shortly, so that the log starts over.
        let mode = if full { "PRAGMA wal_checkpoint(RESTART)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
        match sqlx::query(mode).fetch_one(&mut own).await {
            Ok(row) => full = row.try_get::<i64, _>(1).unwrap_or_default() > WAL_PAGES_MAX,
            Err(error) => tracing::warn!(%error, "failed to checkpoint the write-ahead log; it will be tried again"),
        }
    }
    let _ = own.close().await;
}

const INTERVAL: Duration = Duration::from_millis(500);
/// 64 MiB of 4 KiB pages.
const WAL_PAGES_MAX: i64 = 16 * 1024;
