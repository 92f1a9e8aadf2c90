//! Sweeps: each that mattered, and what all of them came to.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::sweeps::{self, SweepFigure, SweepRow};

on_both! { sweeps_are_listed_newest_first, figures_add_up }

async fn sweeps_are_listed_newest_first(at: TestDatabase) {
    let row = |tenant: &str, id: &str| SweepRow {
        tenant: tenant.into(),
        id: id.into(),
        started_ms: 1,
        ended_ms: 2,
        actor: "cli".into(),
        dry_run: true,
        threshold_ms: Some(60_000),
        looked: 3,
        changed: "[]".into(),
        reasons: "[]".into(),
        ..SweepRow::default()
    };
    for (tenant, id) in [("acme", "sweep_1"), ("acme", "sweep_2"), ("other", "sweep_3")] {
        commit!(at, |tx| sweeps::insert(tx, &row(tenant, id)));
    }
    let all = sweeps::list(&at.db, "acme", None, 9).await.unwrap();
    assert_eq!(all, [row("acme", "sweep_2"), row("acme", "sweep_1")]);
    assert_eq!(sweeps::list(&at.db, "acme", Some("sweep_2"), 9).await.unwrap(), [row("acme", "sweep_1")]);
    assert_eq!(sweeps::list(&at.db, "acme", None, 1).await.unwrap().len(), 1);
}

async fn figures_add_up(at: TestDatabase) {
    let figure = |tenant: &str, hour_ms: i64, n: i64| SweepFigure {
        tenant: tenant.into(),
        hour_ms,
        sweeps: n,
        looked: 10 * n,
        alive: 4 * n,
        repaired: 3 * n,
        given_up: 2 * n,
        skipped: n,
    };
    commit!(at, |tx| sweeps::add(tx, &[figure("acme", 100, 1), figure("acme", 200, 1), figure("other", 100, 50)]));
    commit!(at, |tx| sweeps::add(tx, &[figure("acme", 200, 2), figure("acme", 300, 50)]));
    commit!(at, |tx| sweeps::add(tx, &[]));
    assert_eq!(sweeps::sum(&at.db, "acme", (100, 300)).await.unwrap(), figure("acme", 100, 4));
    assert_eq!(sweeps::sum(&at.db, "acme", (200, 300)).await.unwrap(), figure("acme", 200, 3));
    assert_eq!(sweeps::sum(&at.db, "nobody", (7, 300)).await.unwrap(), figure("nobody", 7, 0));
}
