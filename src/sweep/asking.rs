//! How asking an account goes: whether it may be asked now, what was learned, and who is told when it cannot be asked.

use super::Shared;
use crate::{
    domain::time::{HOUR, MINUTE, Millis, rfc3339},
    provider::{Trouble, TroubleKind},
    store::{
        StoreError,
        audit::{self, AuditRow},
        notices::{self, NoticeRow},
        watch::{self, WatchRow},
    },
};

/// Forgets what was learned at another place.
pub(super) fn meet(watch: &mut WatchRow, base: &str) {
    if watch.base != base {
        let WatchRow { tenant, account, lease_until_ms, listed_ms, .. } = std::mem::take(watch);
        *watch = WatchRow { tenant, account, lease_until_ms, listed_ms, base: base.to_owned(), ..WatchRow::default() };
    }
}

/// Why the account is not to be asked now, if it is not: the same credentials were refused a moment ago.
pub(super) fn forbids(watch: &WatchRow, fingerprint: &str, now_ms: Millis) -> Option<Trouble> {
    let same = watch.refused.as_deref() == Some(fingerprint);
    // A pause that lies further ahead than any can was written while a clock was wrong.
    let waits = watch.ask_again_ms.is_some_and(|at| now_ms < at && at <= now_ms.saturating_add(REFUSED_AGAIN_MS));
    let detail = watch.detail.clone().unwrap_or_default();
    (same && waits).then_some(Trouble { kind: TroubleKind::Refused, detail })
}

/// Whether the account has shown lately that it knows our calls.
pub(super) fn knows_us(watch: &WatchRow, now_ms: Millis, within_ms: Millis) -> bool {
    watch.seen_ms.is_some_and(|at| (at..=at.saturating_add(within_ms)).contains(&now_ms))
}

/// Writes down how it went, lets the account go, and tells people what they have to know.
pub(super) async fn release(
    shared: &Shared,
    watch: &mut WatchRow,
    trouble: Option<&Trouble>,
    fingerprint: Option<String>,
    now_ms: Millis,
) -> Result<(), StoreError> {
    let told = match trouble {
        Some(trouble) => fail(watch, trouble, fingerprint, now_ms),
        None => recover(watch, now_ms),
    };
    let mut tx = shared.db.begin().await?;
    watch::release(&mut tx, watch).await?;
    if let Some((action, text)) = told {
        tell(shared, &mut tx, watch, action, text, now_ms).await?;
    }
    tx.commit().await
}

/// Lets the account go; how it goes with it is not known better than before.
pub(super) async fn let_go(shared: &Shared, watch: &WatchRow) -> Result<(), StoreError> {
    let mut tx = shared.db.begin().await?;
    watch::release(&mut tx, watch).await?;
    tx.commit().await
}

fn fail(
    watch: &mut WatchRow,
    trouble: &Trouble,
    fingerprint: Option<String>,
    now_ms: Millis,
) -> Option<(&'static str, String)> {
    // Not since a moment that a wrong clock named.
    let since_ms = watch.failing_since_ms.filter(|since| *since <= now_ms).unwrap_or(now_ms);
    watch.failing_since_ms = Some(since_ms);
    let before = watch.trouble.as_deref().and_then(|word| word.parse().ok());
    // One that answers 503 now and 429 then is away all the time: that is said once.
    if before.map(alarm) != Some(alarm(trouble.kind)) {
        watch.alarmed_ms = None;
    }
    // What was not asked because it was refused a moment ago does not wait longer for that.
    let waits = fingerprint.as_deref().is_some_and(|fingerprint| forbids(watch, fingerprint, now_ms).is_some());
    watch.trouble = Some(trouble.kind.as_str().to_owned());
    watch.detail = Some(trouble.detail.clone());
    watch.failures = watch.failures.saturating_add(1);
    if watch.failures == 1 {
        let WatchRow { tenant, account, base, .. } = &*watch;
        let kind = trouble.kind.as_str();
        tracing::warn!(
            tenant,
            account,
            base,
            kind,
            "failed to {trouble}; its calls are asked about again with each sweep"
        );
    }
    let refused = trouble.kind == TroubleKind::Refused;
    watch.refused = fingerprint.filter(|_| refused);
    let again_ms = watch.ask_again_ms.filter(|_| waits).unwrap_or(now_ms.saturating_add(REFUSED_AGAIN_MS));
    watch.ask_again_ms = refused.then_some(again_ms);

    let is_long = now_ms.saturating_sub(since_ms) >= ALARM_AFTER_MS || trouble.kind.is_ours_to_mend();
    let is_news = watch.alarmed_ms.is_none_or(|at| !(at..at.saturating_add(ALARM_AGAIN_MS)).contains(&now_ms));
    if !is_long || !is_news {
        return None;
    }
    watch.alarmed_ms = Some(now_ms);
    Some((alarm(trouble.kind), sentence(watch, trouble, since_ms)))
}

fn recover(watch: &mut WatchRow, now_ms: Millis) -> Option<(&'static str, String)> {
    let was_alarmed = watch.alarmed_ms.take().is_some();
    let since = watch.failing_since_ms.take();
    (watch.trouble, watch.detail, watch.refused, watch.ask_again_ms, watch.failures) = (None, None, None, None, 0);
    let since = rfc3339(since.unwrap_or(now_ms));
    let text = format!("The account {} can be asked about its calls again; it could not since {since}.", watch.account);
    was_alarmed.then_some(("account-answers-again", text))
}

const fn alarm(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Refused => "account-credentials-refused",
        TroubleKind::Blind => "account-cannot-see-its-calls",
        TroubleKind::TooMany | TroubleKind::Unreachable | TroubleKind::Malformed => "provider-unreachable",
    }
}

fn sentence(watch: &WatchRow, trouble: &Trouble, since_ms: Millis) -> String {
    let WatchRow { account, base, .. } = watch;
    let (since, detail) = (rfc3339(since_ms), &trouble.detail);
    match trouble.kind {
        TroubleKind::Refused => format!(
            "The credentials of the account {account} are refused at {base} since {since}: failed to {detail}. Its calls are \
             not asked about and stay as they are until that is mended: give it a good token (`onhook accounts rotate`)."
        ),
        TroubleKind::Blind => format!(
            "{base} knows none of the calls of the account {account} that onhook asked about since {since}. That says nothing \
             of the calls, so they stay as they are. Most likely they are in another region or belong to another account: \
             compare ONHOOK_TWILIO_API_BASE with the region of the account (`onhook doctor`)."
        ),
        TroubleKind::TooMany | TroubleKind::Unreachable | TroubleKind::Malformed => format!(
            "The account {account} cannot be asked about its calls at {base} since {since}: failed to {detail}. Nothing is given \
             up before its limit; what is lost meanwhile is repaired once it answers."
        ),
    }
}

async fn tell(
    shared: &Shared,
    tx: &mut crate::store::Tx,
    watch: &WatchRow,
    action: &'static str,
    text: String,
    now_ms: Millis,
) -> Result<(), StoreError> {
    let WatchRow { tenant, account, .. } = watch;
    tracing::warn!(tenant, account, what = action, "{text}");
    let notice = NoticeRow {
        tenant: tenant.clone(),
        id: shared.new_id("note"),
        user_id: None,
        kind: action.to_owned(),
        subject: account.clone(),
        text: text.clone(),
        created_ms: now_ms,
        read_ms: None,
    };
    let audited = AuditRow {
        tenant: tenant.clone(),
        id: shared.new_id("audit"),
        at_ms: now_ms,
        actor: super::SWEEPER.to_owned(),
        action: action.to_owned(),
        subject: account.clone(),
        detail: serde_json::json!({ "evidence": text }).to_string(),
    };
    notices::insert(tx, &[notice]).await?;
    audit::insert(tx, &[audited]).await
}

/// How long refused credentials are not tried again.
const REFUSED_AGAIN_MS: Millis = 10 * MINUTE;
/// How long a provider may be away before somebody is told, and how often it is said again.
const ALARM_AFTER_MS: Millis = 10 * MINUTE;
const ALARM_AGAIN_MS: Millis = 24 * HOUR;
