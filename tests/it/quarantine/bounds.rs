//! The table stays under its bounds, and a flood neither slows the answers nor pushes out what matters.

use crate::support::database::{TestDatabase, on_both};
use onhook::{
    quarantine::{Keeper, Kept, Parts, Quarantine, Reason, Refused, UNKNOWN_WAITING_MAX},
    store::quarantine::{self as store, Bounds, QuarantineFilter, Size, Whose},
    telemetry::Metrics,
    twilio::door::Door,
};
use std::time::Duration;

on_both!(
    a_flood_stays_within_bounds_and_pushes_out_nobody_else,
    what_does_not_fit_is_only_counted,
    what_is_too_long_is_only_counted
);

fn refused(tenant: Option<&str>, account: &str, n: i64) -> Refused {
    Refused {
        tenant: tenant.map(Into::into),
        account: Some(account.into()),
        door: Door::Status,
        method: "POST".into(),
        path_and_query: format!("/webhooks/twilio/status?n={n}"),
        host: Some("calls.example.com".into()),
        content_type: Some("application/x-www-form-urlencoded".into()),
        signature: Some("c2ln".into()),
        body: b"CallSid=CA1".to_vec(),
        entry: false,
        client: Some("192.0.2.1".into()),
        verified: false,
        reason: if tenant.is_some() { Reason::SignatureMismatch } else { Reason::UnknownAccount },
        detail: "of another token".into(),
        received_ms: n,
    }
}

fn quarantine(at: &TestDatabase, bounds: Bounds) -> (Quarantine, Keeper, Metrics) {
    let metrics = Metrics::new();
    let parts = Parts { db: at.db.clone(), metrics: metrics.clone(), bounds, pause: Duration::ZERO };
    let (quarantine, keeper) = Quarantine::new(parts);
    (quarantine, keeper, metrics)
}

fn figure(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.render();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is missing"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn a_flood_stays_within_bounds_and_pushes_out_nobody_else(at: TestDatabase) {
    let bounds = Bounds { rows: 1_000, bytes: 1_000_000 };
    let (quarantine, keeper, metrics) = quarantine(&at, bounds);
    let keeping = tokio::spawn(keeper.run());
    // What matters came first, so it is the oldest.
    let quiet = quarantine.keep_all((0..30).map(|n| refused(Some("default"), "AC_quiet", n)).collect()).await;
    assert_eq!(quiet.len(), 30);
    assert!(quiet.iter().all(|kept| matches!(kept, Kept::Durable(id) if id.starts_with("qua_"))), "{quiet:?}");
    for turn in 0..200 {
        let strangers = (0..50).map(|n| refused(None, &format!("AC{n}"), 1_000 + turn * 50 + n));
        let forged = (0..50).map(|n| refused(Some("default"), "AC_loud", 100_000 + turn * 50 + n));
        quarantine.keep_all(strangers.chain(forged).collect()).await;
        let Size { known_rows, known_bytes, unknown_rows, unknown_bytes } = store::size(&at.db).await.unwrap();
        assert!(known_rows + unknown_rows <= bounds.rows && unknown_rows <= 100, "{known_rows} {unknown_rows}");
        assert!(known_bytes + unknown_bytes <= bounds.bytes && unknown_bytes <= 100_000);
    }
    drop(quarantine);
    keeping.await.unwrap();
    let quiet = QuarantineFilter { account: Some("AC_quiet".into()), ..QuarantineFilter::default() };
    let left = store::list(&at.db, Whose::Tenant("default"), &quiet, (i64::MAX, "~"), 99).await.unwrap();
    assert_eq!(left.len(), 30, "nobody pushed them out");
    let all = QuarantineFilter::default();
    let newest = store::list(&at.db, Whose::Operator("default"), &all, (i64::MAX, "~"), 1).await.unwrap();
    assert_eq!(newest[0].received_ms, 109_999, "the newest of the flood are there");
    let size = store::size(&at.db).await.unwrap();
    assert!(size.known_rows > 800 && size.unknown_rows > 80, "the room is used: {size:?}");
    let rows = |account| figure(&metrics, &format!("onhook_quarantine_rows{{account=\"{account}\"}}"));
    assert!((rows("known") - size.known_rows as f64).abs() < 0.1, "the gauge says the same");
    let came = [Reason::SignatureMismatch, Reason::UnknownAccount]
        .map(|reason| figure(&metrics, &format!("onhook_quarantine_refused_total{{reason=\"{reason}\"}}")));
    assert!((came[0] - 10_030.0).abs() < 0.1 && (came[1] - 10_000.0).abs() < 0.1, "{came:?}");
    let gone =
        figure(&metrics, "onhook_quarantine_dropped_total") + figure(&metrics, "onhook_quarantine_not_kept_total");
    assert!(
        (gone + (size.known_rows + size.unknown_rows) as f64 - 20_030.0).abs() < 0.1,
        "each is accounted for: {gone}"
    );
}

async fn what_does_not_fit_is_only_counted(at: TestDatabase) {
    let (quarantine, keeper, metrics) = quarantine(&at, Bounds { rows: 1_000, bytes: 1_000_000 });
    let max = i64::try_from(UNKNOWN_WAITING_MAX).unwrap();
    // Nobody writes yet: the refusal is answered all the same, and what does not fit is not waited for.
    quarantine.keep_all((0..max + 7).map(|n| refused(None, "AC1", n)).collect()).await;
    assert!((figure(&metrics, "onhook_quarantine_not_kept_total") - 7.0).abs() < 0.1);
    assert_eq!(store::size(&at.db).await.unwrap(), Size::default());
    // Nor does what would take too much memory.
    let large = |n| Refused { body: vec![b'x'; 1_000_000], ..refused(Some("default"), "AC1", n) };
    quarantine.keep_all((0..20).map(large).collect()).await;
    assert!((figure(&metrics, "onhook_quarantine_not_kept_total") - 11.0).abs() < 0.1, "16 of them fit");
    drop(quarantine);
    keeper.run().await;
    let size = store::size(&at.db).await.unwrap();
    assert_eq!((size.unknown_rows, size.known_rows), (max, 0), "what waited is kept before it ends, within the bounds");
}

async fn what_is_too_long_is_only_counted(at: TestDatabase) {
    let (quarantine, keeper, metrics) = quarantine(&at, Bounds { rows: 1_000, bytes: 1_000_000 });
    let long = Refused { path_and_query: "/".repeat(17_000), ..refused(Some("default"), "AC1", 1) };
    let odd = Refused { account: Some(format!("A\0\n{}", "x".repeat(99))), ..refused(None, "", 2) };
    let (long, odd, twice) = tokio::join!(quarantine.keep(long), quarantine.keep(odd), async {
        let twice = refused(Some("default"), "AC1", 3);
        quarantine.keep_all(vec![twice.clone(), twice]).await
    });
    assert_eq!((long, odd, twice), (Kept::Lost, Kept::Waits, vec![Kept::Waits; 2]), "nobody writes yet");
    drop(quarantine);
    keeper.run().await;
    assert!((figure(&metrics, "onhook_quarantine_not_kept_total") - 1.0).abs() < 0.1);
    let all = QuarantineFilter::default();
    let rows = store::list(&at.db, Whose::Operator("default"), &all, (i64::MAX, "~"), 9).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.times).collect::<Vec<_>>(), [2, 1], "twice in one transaction");
    assert_eq!(rows[1].account.as_deref(), Some(&*format!("A{}", "x".repeat(59))), "what cannot be stored is left out");
}
