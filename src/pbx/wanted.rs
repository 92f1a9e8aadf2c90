//! Which PBXs there are, how each is to be listened to, and who does that now.

use super::{Shared, heard::Key};
use crate::{
    ami::{PROVIDER, address::Address, client::Target},
    directory,
    store::{
        Db, StoreError,
        pbx::{self, LeasedPbx, PbxSettingRow},
    },
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};

/// What has to be known to listen to a PBX.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) target: Target,
    pub(super) region: Option<String>,
}

/// The PBXs that can be connected to, each with a digest of how.
pub(super) async fn wanted(shared: &Shared) -> Result<BTreeMap<Key, ([u8; 32], Account)>, StoreError> {
    let settings = list_settings(&shared.db).await?;
    let mut wanted = BTreeMap::new();
    for account in shared.directory.accounts_with(PROVIDER).await {
        let key = Key { tenant: account.tenant.clone(), account: account.id.clone() };
        let set = settings.get(&key);
        let Some(mut target) = target(&account, set) else { continue };
        let configured = shared.rules.configured_ca.as_ref().filter(|(name, _)| *name == key.account);
        target.ca_pem = configured.map(|(_, pem)| pem.clone()).or(target.ca_pem);
        let region = set.and_then(|set| set.region.clone()).or_else(|| shared.rules.region.clone());
        wanted.insert(key, (fingerprint(&target, region.as_deref()), Account { target, region }));
    }
    Ok(wanted)
}

/// Where a PBX is and who we are there. None: it has no address, or no user and secret: it only pushes.
pub(super) fn target(account: &directory::Account, set: Option<&PbxSettingRow>) -> Option<Target> {
    let Address { tls, host, port } = Address::of_url(account.api_base.as_ref()?).ok()?;
    let key = account.api_keys.first()?;
    let (user, secret) = (key.sid.clone(), key.secret.clone());
    Some(Target { host, port, tls, user, secret, ca_pem: set.and_then(|set| set.ca_pem.clone()) })
}

/// Another one means that somebody has changed how the PBX is to be held.
fn fingerprint(target: &Target, region: Option<&str>) -> [u8; 32] {
    let Target { host, port, tls, user, secret, ca_pem } = target;
    let (port, tls) = (port.to_string(), tls.to_string());
    let ca = ca_pem.as_deref().unwrap_or_default();
    let parts = [host.as_str(), &port, &tls, user, secret.expose_secret(), ca, region.unwrap_or_default()];
    let digest = parts
        .iter()
        .fold(Sha256::new(), |digest, part| digest.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    digest.finalize().into()
}

/// Who listens to which PBX.
pub(super) async fn list_leases(db: &Db) -> Result<HashMap<Key, LeasedPbx>, StoreError> {
    let mut leases = HashMap::new();
    let mut after = (String::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = pbx::list_all(db, (&after.0, &after.1), PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = (last.row.tenant.clone(), last.row.account.clone());
        let keyed =
            page.into_iter().map(|pbx| (Key { tenant: pbx.row.tenant.clone(), account: pbx.row.account.clone() }, pbx));
        leases.extend(keyed);
    }
    Ok(leases)
}

async fn list_settings(db: &Db) -> Result<HashMap<Key, PbxSettingRow>, StoreError> {
    let mut settings = HashMap::new();
    let mut after = (String::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = pbx::list_settings(db, (&after.0, &after.1), PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = (last.tenant.clone(), last.account.clone());
        let keyed = page.into_iter().map(|set| (Key { tenant: set.tenant.clone(), account: set.account.clone() }, set));
        settings.extend(keyed);
    }
    Ok(settings)
}

const PAGE_ROWS: i64 = 500;
/// 10,000 PBXs.
const PAGES_MAX: usize = 20;
