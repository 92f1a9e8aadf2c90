//! What the directory knows: every account with its opened tokens, and every key, as of one moment.

use super::{Account, ApiKey, Token, change::api_key_owner, key::KnownKey};
use crate::{
    seal::{Owner, SealError, Sealer},
    store::{Db, StoreError, accounts, keys},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// All there is to know, and when it was asked for.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub accounts: HashMap<String, Arc<Account>>,
    pub keys: HashMap<String, KnownKey>,
    /// `None`: the database has never been asked.
    pub asked_ms: Option<i64>,
    /// The tokens and secrets that did not open, so that each is complained about once.
    unopened: BTreeSet<(String, String)>,
}

impl Snapshot {
    /// What is known without a database: the accounts of the configuration.
    pub fn of_configuration(configured: &[Account]) -> Self {
        let accounts = configured.iter().map(|a| (a.id.clone(), Arc::new(a.clone()))).collect();
        Self { accounts, ..Self::default() }
    }

    /// Asks the database. `before` is what was known so far.
    pub async fn load(
        db: &Db,
        sealer: &Sealer,
        configured: &[Account],
        before: &Self,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let mut new = Self { asked_ms: Some(now_ms), ..Self::default() };
        let mut accounts = new.load_accounts(db, sealer, before).await?;
        for overlay in configured {
            let merged = overlay.over(accounts.remove(&overlay.id));
            accounts.insert(merged.id.clone(), merged);
        }
        new.accounts = accounts.into_iter().map(|(id, account)| (id, Arc::new(account))).collect();
        new.load_keys(db, now_ms).await?;
        Ok(new)
    }

    async fn load_accounts(
        &mut self,
        db: &Db,
        sealer: &Sealer,
        before: &Self,
    ) -> Result<HashMap<String, Account>, StoreError> {
        let mut known: HashMap<String, Account> = HashMap::new();
        let mut after = (String::new(), String::new());
        for _ in 0..PAGES_MAX {
            let page = accounts::list_all(db, (&after.0, &after.1), PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(known) };
            after = (last.account.id.clone(), last.secret_id.clone());
            for mut row in page {
                let sealed = row.sealed.take().zip(row.seal_key.take());
                let place = (row.account.id.clone(), row.secret_id);
                let key = row.account.api_key.clone().zip(row.api_secret.zip(row.api_seal_key));
                let is_first = !known.contains_key(&place.0);
                let account = known.entry(place.0.clone()).or_insert_with(|| Account::of_row(row.account));
                if let Some((sid, (sealed, seal_key))) = key.filter(|_| is_first) {
                    let owner = api_key_owner(&account.id, &sid);
                    match sealer.open(Owner { tenant: &account.tenant, account: &owner }, &sealed, &seal_key) {
                        Ok(secret) => account.api_keys.push(ApiKey { sid, secret }),
                        Err(error) => self.complain(before, (place.0.clone(), sid), &error),
                    }
                }
                let Some((sealed, seal_key)) = sealed else { continue };
                account.has_secrets = true;
                match sealer.open(Owner { tenant: &account.tenant, account: &account.id }, &sealed, &seal_key) {
                    Ok(text) => account.tokens.push(Token { text, expires_ms: row.expires_ms }),
                    Err(error) => self.complain(before, place, &error),
                }
            }
        }
        tracing::warn!(
            rows = PAGE_ROWS * PAGES_MAX,
            "there are more accounts than are kept in memory; the rest is refused"
        );
        Ok(known)
    }

    /// Once for each secret that does not open.
    fn complain(&mut self, before: &Self, place: (String, String), error: &SealError) {
        if !before.unopened.contains(&place) {
            tracing::warn!(account = place.0, secret = place.1, "failed to {error}");
        }
        self.unopened.insert(place);
    }

    async fn load_keys(&mut self, db: &Db, now_ms: i64) -> Result<(), StoreError> {
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let page = keys::list_live(db, now_ms.saturating_sub(DEAD_KEYS_KEPT_MS), &after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.id);
            self.keys.extend(page.into_iter().filter_map(KnownKey::of_row).map(|key| (key.id().to_owned(), key)));
        }
        tracing::warn!(
            rows = PAGE_ROWS * PAGES_MAX,
            "there are more keys than are kept in memory; the rest is refused"
        );
        Ok(())
    }
}

const PAGE_ROWS: i64 = 1_000;
/// A hundred thousand rows of each: tens of megabytes. Beyond that this design is the wrong one.
const PAGES_MAX: i64 = 100;
/// How long the owner of a revoked or expired key is told so, instead of that it is unknown.
const DEAD_KEYS_KEPT_MS: i64 = 30 * crate::domain::time::DAY;
