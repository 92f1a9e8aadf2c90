//! The PBXs: whether each lets us log in, with the rights that are needed and no more.

use super::{Check, State};
use crate::{
    ami::doctor::{Judged, Weight},
    cli::{ami, desk::Desk},
    domain::id::DEFAULT_TENANT,
};
use std::time::Duration;

/// What was found of each.
pub(super) async fn all(desk: &mut Desk) -> Vec<Check> {
    // A database that is away is a check of its own already.
    let reports = ami::examine_all(desk, DEFAULT_TENANT, LISTEN).await.unwrap_or_default();
    let mut checks = Vec::new();
    for report in reports {
        let account = report.account;
        checks.extend(report.checks.into_iter().map(|judged| check(&account, judged)));
    }
    checks
}

fn check(account: &str, judged: Judged) -> Check {
    let state = match judged.weight {
        Weight::Good => State::Ok,
        Weight::Finding => State::Finding,
        Weight::Unknown => State::Unknown,
    };
    Check { name: PBX, state, what: format!("{account}, {}: {}", judged.name, judged.what), next: judged.next }
}

const PBX: &str = "pbx";
const LISTEN: Duration = Duration::from_secs(1);
