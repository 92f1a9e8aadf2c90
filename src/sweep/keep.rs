//! Keeps what sweeps came to: the figures of all, and each one that changed something or was asked for by somebody.

use super::{
    SWEEPER, Shared,
    report::{Chosen, Report, Request},
};
use crate::{
    domain::time::{HOUR, Millis},
    store::{
        StoreError,
        sweeps::{self, SweepFigure, SweepRow},
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) async fn keep(
    shared: &Shared,
    request: &Request,
    started_ms: Millis,
    reports: &BTreeMap<String, Report>,
) -> Result<(), StoreError> {
    let figures: Vec<SweepFigure> = reports
        .iter()
        .filter(|(_, report)| report.looked > 0 && !request.dry_run)
        .map(|(tenant, report)| figure(tenant, started_ms, report))
        .collect();
    let by_hand = request.actor != SWEEPER && !matches!(request.chosen, Chosen::Call(_));
    // Also one that found nothing to look at, if somebody asked for it.
    let nothing = Report { dry_run: request.dry_run, ..Report::default() };
    let mut kept: Vec<(&str, &Report)> = reports
        .iter()
        .filter(|(_, report)| by_hand || !report.changed.is_empty())
        .map(|(tenant, report)| (tenant.as_str(), report))
        .collect();
    if let (true, true, Some(tenant)) = (by_hand, kept.is_empty(), &request.tenant) {
        kept.push((tenant, &nothing));
    }
    if figures.is_empty() && kept.is_empty() {
        return Ok(());
    }
    let mut tx = shared.db.begin().await?;
    sweeps::add(&mut tx, &figures).await?;
    for (tenant, report) in kept {
        sweeps::insert(&mut tx, &row(shared, request, started_ms, tenant, report)).await?;
    }
    tx.commit().await
}

fn figure(tenant: &str, started_ms: Millis, report: &Report) -> SweepFigure {
    SweepFigure {
        tenant: tenant.to_owned(),
        hour_ms: started_ms.div_euclid(HOUR) * HOUR,
        sweeps: 1,
        looked: count(report.looked),
        alive: count(report.alive),
        repaired: count(report.repaired),
        given_up: count(report.given_up),
        skipped: count(report.skipped_count),
    }
}

fn row(shared: &Shared, request: &Request, started_ms: Millis, tenant: &str, report: &Report) -> SweepRow {
    let threshold_ms = match request.chosen {
        Chosen::Silent(threshold_ms) => Some(threshold_ms),
        Chosen::Due | Chosen::Call(_) => None,
    };
    SweepRow {
        tenant: tenant.to_owned(),
        id: shared.new_id("sweep"),
        started_ms,
        ended_ms: shared.clock.now_ms(),
        actor: request.actor.clone(),
        dry_run: request.dry_run,
        threshold_ms,
        looked: count(report.looked),
        alive: count(report.alive),
        repaired: count(report.repaired),
        given_up: count(report.given_up),
        skipped: count(report.skipped_count),
        changed: json(&report.changed),
        reasons: json(&report.skipped),
    }
}

/// The first ones, as JSON.
fn json<T: Serialize>(all: &[T]) -> String {
    let first: Vec<&T> = all.iter().take(KEPT_MAX).collect();
    // Plain structs serialize to memory without fail.
    serde_json::to_string(&first).unwrap_or_else(|_| "[]".into())
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// How many calls of each kind a kept sweep names.
const KEPT_MAX: usize = 200;
