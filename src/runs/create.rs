//! Runs are made here: what was written is checked, and the same run is made once.

use super::{
    By, Desk, Imported, Jobs, RunError, RunText, Shown,
    import::Rows,
    read::{self, RunRead},
    tell::{Change, tell},
    turn::repeated,
};
use crate::{
    directory::{Account, Unavailable},
    domain::run::RunState,
    fields::Wrong,
    store::runs::{self, RunRow},
};
use std::sync::Arc;

/// A run that was made, or that was there.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The run.
    pub run: Shown,
    /// `false`: there was one with this key.
    pub is_new: bool,
    /// What came of the jobs.
    pub imported: Imported,
}

impl Desk {
    /// Makes a run and gives it jobs. With a key that is taken it adds the jobs that are missing; what is said of the run must
    /// then be the same.
    pub async fn create(&self, by: &By<'_>, text: &RunText, jobs: Jobs<'_>) -> Result<Created, RunError> {
        let region = self.0.rules.region.as_deref();
        let account = self.account(by.tenant, text.account.as_deref()).await?;
        let provider = account.as_ref().map(|account| account.provider.as_str()).map_err(Clone::clone);
        let read = read::run(text, provider, region).map_err(RunError::Fields)?;
        let account = account.map_err(|wrong| RunError::Fields(vec![wrong]))?;
        // A table that cannot be read leaves no empty run behind.
        let rows = Rows::open(jobs)?;
        let (row, is_new) = repeated!(self.create_once(by, &read, &account))?;
        let imported = self.import(&row, rows).await?;
        Ok(Created { run: self.show(by.tenant, &row.id).await?, is_new, imported })
    }

    /// The account that is dialed from, or what is wrong with it.
    async fn account(&self, tenant: &str, id: Option<&str>) -> Result<Result<Arc<Account>, Wrong>, RunError> {
        let directory = &self.0.directory;
        let id = id.filter(|id| !id.is_empty());
        if let Some(id) = id {
            let found = directory.account(id).await.map_err(|Unavailable| RunError::Away)?;
            if let Some(account) = found.filter(|account| account.tenant == tenant) {
                return Ok(Ok(account));
            }
        }
        let all = directory.accounts_of(tenant).await;
        if let ([only], None) = (all.as_slice(), id) {
            return Ok(Ok(only.clone()));
        }
        let names: Vec<&str> = all.iter().take(ACCOUNTS_NAMED_MAX).map(|account| account.id.as_str()).collect();
        let yours = match names.as_slice() {
            [] => "you have none yet; add one with `onhook accounts add`".to_owned(),
            names => format!("yours are: {}", names.join(", ")),
        };
        let what = if id.is_some() { "is no account of yours" } else { "is missing" };
        Ok(Err(Wrong::new("account", format!("{what}; {yours}"))))
    }

    async fn create_once(&self, by: &By<'_>, read: &RunRead, account: &Account) -> Result<(RunRow, bool), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let id = turn.id("run");
        let row = new_row(by, read, account, id, turn.now_ms);
        if let Some(key) = &row.key
            && let Some(before) = runs::find_by_key(&mut turn.tx, by.tenant, key).await?
        {
            return same(&before, &row).map(|()| (before, false));
        }
        runs::insert(&mut turn.tx, &row).await?;
        tell(&mut turn, &row, Change::Created, by.actor).await?;
        turn.commit().await?;
        Ok((row, true))
    }
}

fn new_row(by: &By<'_>, read: &RunRead, account: &Account, id: String, now_ms: i64) -> RunRow {
    RunRow {
        tenant: by.tenant.to_owned(),
        id,
        key: read.key.clone(),
        name: read.name.clone(),
        state: RunState::Pending.as_str().to_owned(),
        worker: read.worker.as_str().to_owned(),
        account: account.id.clone(),
        provider: account.provider.clone(),
        // A plain struct serializes to memory without fail.
        settings: serde_json::to_string(&read.settings).unwrap_or_default(),
        place_every_us: read.place_every_us,
        calls_max: read.calls_max,
        created_ms: now_ms,
        ..RunRow::default()
    }
}

/// A run is not changed by making it again, and nobody is left to believe that it was.
fn same(before: &RunRow, now: &RunRow) -> Result<(), RunError> {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let differs = [
        ("name", before.name != now.name),
        ("worker", before.worker != now.worker),
        ("account", before.account != now.account),
        ("calls_per_second", before.place_every_us != now.place_every_us),
        ("calls_at_once", before.calls_max != now.calls_max),
        ("how it is dialed", read(&before.settings) != read(&now.settings)),
    ];
    let differs: Vec<&str> = differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect();
    if differs.is_empty() {
        return Ok(());
    }
    let (id, key) = (&before.id, before.key.as_deref().unwrap_or_default());
    let differs = differs.join(", ");
    Err(RunError::State(format!(
        "make the run {key:?} again: {id} has this key and another {differs}; use another key"
    )))
}

/// How many accounts are named where none fits.
const ACCOUNTS_NAMED_MAX: usize = 10;
