//! What people with keys, or at the command line, do to more than their own leads is kept in the audit, beside what the
//! sweeper decides.
//!
//! It is kept right after it was done, in a transaction of its own: where the database goes away in between, only the log
//! has it. Nothing secret is in it, and phone numbers are masked.

use crate::{
    domain::{id::new_id, time::Millis, words},
    store::{
        Db, StoreError,
        audit::{self, AuditRow},
    },
    transaction::{self, Done},
};
use serde_json::Value;

words! {
    /// What was done.
    pub enum Act {
        /// An API key was issued.
        KeyCreated = "key.created",
        /// An API key was revoked.
        KeyRevoked = "key.revoked",
        /// A provider account was added.
        AccountAdded = "account.added",
        /// An account got a new token.
        AccountRotated = "account.rotated",
        /// What happens to webhooks of an account that do not verify was changed.
        AccountVerifyChanged = "account.verify_changed",
        /// How a PBX is reached was changed.
        AccountAccessChanged = "account.access_changed",
        /// Whose an extension of a PBX is was changed.
        ExtensionChanged = "extension.changed",
        /// A token of an account was deleted.
        TokenDeleted = "account.token_deleted",
        /// How calls are answered was changed.
        VoiceChanged = "voice.changed",
        /// How calls to a number are answered is as the tenant has it again.
        VoiceForgotten = "voice.forgotten",
        /// Refused deliveries were judged again and applied.
        QuarantineRedriven = "quarantine.redriven",
        /// Refused deliveries were dropped for good.
        QuarantineDropped = "quarantine.dropped",
        /// A lead was deleted.
        LeadDeleted = "lead.deleted",
        /// An outbound run was made.
        RunCreated = "run.created",
        /// It was started.
        RunStarted = "run.started",
        /// It was paused.
        RunPaused = "run.paused",
        /// It was resumed.
        RunResumed = "run.resumed",
        /// Its end was asked for.
        RunCancelled = "run.cancelled",
        /// It was cancelled by force.
        RunForceCancelled = "run.force_cancelled",
        /// It has failed: nobody placed what could be placed.
        RunFailed = "run.failed",
        /// A number came on the list of those that no run dials.
        DoNotCallAdded = "do_not_call.added",
        /// Many of them did.
        DoNotCallImported = "do_not_call.imported",
        /// A number was taken off it.
        DoNotCallRemoved = "do_not_call.removed",
    }
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// To what belongs to this tenant.
    pub tenant: String,
    /// Who: `key:<id>`, `cli`.
    pub actor: String,
    /// What.
    pub act: Act,
    /// The key, account, lead or number.
    pub subject: String,
    /// More about it, as a JSON object.
    pub detail: Value,
}

impl Deed {
    /// Keeps it. Who did it is not told that this failed: it is done. The log says so.
    pub async fn keep(self, db: &Db, now_ms: Millis, randomness: u128) {
        let Self { tenant, actor, act, subject, detail } = self;
        let id = new_id("audit", now_ms, randomness);
        let (action, detail) = (act.as_str().to_owned(), detail.to_string());
        let row = AuditRow { tenant, id, at_ms: now_ms, actor, action, subject, detail };
        if let Err(error) = insert(db, &row).await {
            let AuditRow { tenant, actor, action, subject, .. } = row;
            tracing::error!(%error, tenant, actor, action, subject, "what was done is missing in the audit");
        }
    }
}

async fn insert(db: &Db, row: &AuditRow) -> Result<(), StoreError> {
    transaction::run(db, async |tx| {
        audit::insert(tx, std::slice::from_ref(row)).await?;
        Ok(Done { value: (), journal: Vec::new() })
    })
    .await
}
