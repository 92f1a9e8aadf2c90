//! `onhook accounts access`: how Twilio is asked about an account: where, and with which API key.

use super::{list, pbx, require_account, secret, token, unknown};
use crate::{
    ami,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        out::or_dash,
        tokens,
    },
    directory::{
        ApiKey, change,
        credentials::{self, Checked},
    },
    domain::id::DEFAULT_TENANT,
    seal::Owner,
    store::{
        Db,
        accounts::{self, AccountRow},
    },
};
use anyhow::Result;
use clap::Args;
use rand::RngExt;
use std::path::{Path, PathBuf};
use url::Url;

/// Say where Twilio is asked about an account, and with which API key; or how a PBX is reached
///
/// Twilio is asked with the key before the account's token is tried; webhooks are verified with the token all the same. The
/// key's secret is read from --api-secret-file, else from standard input (asked for on a terminal), and stored sealed. Both
/// are given anew together: what is left out is taken away. Twilio is asked whether it takes the key, or without one the
/// token, there. Running servers see it within 60 seconds.
///
/// Of a PBX: address, user, secret, certificates and country are given anew together, and it is logged in to before that
/// holds. With --pushes it is no longer connected to: it pushes its events.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts access AC…1 --api-key SK…1 --api-secret-file secret.txt
  onhook accounts access AC…1 --api-base https://api.dublin.ie1.twilio.com
  onhook accounts access AC00000000000000000000000000000001 --default
  onhook accounts access pbx1 --url amis://pbx --user onhook --secret-file s.txt")]
pub struct Access {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid, or the name of the PBX
    sid: String,
    /// The host of its edge and region
    #[arg(long, value_name = "URL", required_unless_present_any = ["api_key", "default", "url", "pushes"])]
    api_base: Option<String>,
    /// An API key of the account
    #[arg(long, value_name = "SK…", value_parser = key_sid)]
    api_key: Option<String>,
    /// A file that holds the secret of --api-key
    #[arg(long, value_name = "FILE", requires = "api_key")]
    api_secret_file: Option<PathBuf>,
    /// Where ONHOOK_TWILIO_API_BASE says, with the token only
    #[arg(long, conflicts_with_all = ["api_base", "api_key"])]
    default: bool,
    #[command(flatten)]
    reach: pbx::Reach,
    /// Of a PBX: it is not connected to, it pushes
    #[arg(long, conflicts_with_all = ["url", "secret_file"])]
    pushes: bool,
    /// Do not ask Twilio whether it takes the key or the token there, or the PBX whether it takes the login
    #[arg(long)]
    no_check: bool,
}

impl Access {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        if self.pushes || self.reach.is_given() {
            return self.run_for_pbx(desk).await;
        }
        let base = read_base(desk, self.api_base.as_deref())?;
        let key = key(desk, self.api_key.clone(), self.api_secret_file.as_deref())?;
        let row = desk
            .on_existing_db(async |desk, db| {
                if require_account(desk, db, tenant, sid).await?.provider == ami::PROVIDER {
                    let next = "say --url, --user and --secret-file, or --pushes";
                    return Err(Stop::with(Exit::Usage, format!("{sid} is a PBX"), next));
                }
                match (&key, &base) {
                    (Some(key), _) => check_key(desk, sid, base.as_ref(), key, self.no_check).await?,
                    (None, Some(base)) if !self.no_check => check_base(desk, db, sid, base).await?,
                    (None, _) => {}
                }
                let access = seal(desk, tenant, sid, base.as_ref().map(base_text), key.as_ref())?;
                let mut tx = db.begin().await?;
                accounts::set_access(&mut tx, tenant, sid, &access).await?;
                let row = accounts::find(&mut tx, tenant, sid).await?;
                tx.commit().await?;
                row.ok_or_else(|| unknown(desk, tenant, sid))
            })
            .await?;
        let configured = desk.config.twilio.account_sid.as_ref() == Some(&row.id) && row.tenant == DEFAULT_TENANT;
        let shown = list::Shown { row, configured, stored: true };
        let (base, key) = (or_dash(shown.row.api_base.as_ref()), or_dash(shown.row.api_key.as_ref()));
        desk.out.show(&shown.json(), || format!("{sid}: asked at {base}, with the key {key}"))?;
        Ok(Exit::Ok)
    }
}

impl Access {
    async fn run_for_pbx(self, desk: &mut Desk) -> Result<Exit> {
        let Self { tenant, sid, reach, no_check, .. } = self;
        if self.api_base.is_some() || self.api_key.is_some() || self.default {
            let what = "--api-base, --api-key and --default are of Twilio accounts";
            return Err(Stop::with(Exit::Usage, what, "a PBX has --url, --user and --secret-file"));
        }
        let row = desk
            .on_existing_db(async |desk, db| {
                let row = require_account(desk, db, &tenant.id, &sid).await?;
                if row.provider != ami::PROVIDER {
                    let next = "say --api-base or --api-key";
                    return Err(Stop::with(Exit::Usage, format!("{sid} is a Twilio account"), next));
                }
                pbx::set_access(desk, db, &row, reach, no_check).await
            })
            .await?;
        let shown = list::Shown { row, configured: false, stored: true };
        desk.out.show(&shown.json(), || match &shown.row.api_base {
            Some(url) => format!("{sid}: reached at {url}"),
            None => format!("{sid}: it pushes"),
        })?;
        Ok(Exit::Ok)
    }
}

/// Where the account is asked, if that is its own.
pub(super) fn read_base(desk: &Desk, text: Option<&str>) -> Result<Option<Url>> {
    let Some(text) = text else { return Ok(None) };
    let read = credentials::read_api_base(text, &desk.config.twilio.api_base);
    read.map(Some).map_err(|why| {
        let next = "copy the host of the account's region from Twilio's console";
        Stop::with(Exit::Usage, format!("--api-base is {text:?}, which {why}"), next)
    })
}

/// As it is stored.
pub(super) fn base_text(base: &Url) -> String {
    base.as_str().trim_end_matches('/').to_owned()
}

/// Where a stored account is asked, if that is its own.
pub(super) fn own_base(row: &AccountRow) -> Option<Url> {
    row.api_base.as_deref().and_then(|base| base.parse().ok())
}

/// The key with its secret.
pub(super) fn key(desk: &Desk, sid: Option<String>, secret_file: Option<&Path>) -> Result<Option<ApiKey>> {
    let Some(sid) = sid else { return Ok(None) };
    let secret = secret::read(&desk.out, secret_file, &format!("secret of {sid}: "))?;
    Ok(Some(ApiKey { sid, secret }))
}

pub(super) fn seal(
    desk: &mut Desk,
    tenant: &str,
    account: &str,
    api_base: Option<String>,
    key: Option<&ApiKey>,
) -> Result<accounts::Access> {
    let sealer = token::sealer(desk)?;
    Ok(change::seal_access(&sealer, &mut desk.rng, Owner { tenant, account }, api_base, key)?)
}

/// Twilio must let the key ask for the account's calls, unless somebody knows better.
pub(super) async fn check_key(
    desk: &mut Desk,
    sid: &str,
    base: Option<&Url>,
    key: &ApiKey,
    no_check: bool,
) -> Result<()> {
    if no_check {
        return Ok(());
    }
    let base = base.unwrap_or(&desk.config.twilio.api_base);
    let checked = credentials::check_key(base, sid, key, desk.rng.random()).await;
    settle(checked, &format!("the key {}", key.sid), "copy the secret of a key of this account that may read its calls")
}

/// Twilio must take one of the account's tokens there. An account without any may be of its parent.
async fn check_base(desk: &mut Desk, db: &Db, sid: &str, base: &Url) -> Result<()> {
    let now_ms = desk.now_ms();
    let (mut known, _) = tokens::of_database(desk, db).await?;
    known.retain(|token| token.account == sid && !token.has_ended(now_ms));
    let mut refusal = Ok(());
    for token in known {
        match credentials::check(base, sid, &token.secret, desk.rng.random()).await {
            Checked::Good { .. } => return Ok(()),
            checked => {
                refusal = settle(
                    checked,
                    &format!("{} there", token.name),
                    "an auth token is of one region: add that of this one",
                );
            }
        }
    }
    refusal
}

fn settle(checked: Checked, what: &str, mend: &str) -> Result<()> {
    match checked {
        Checked::Good { .. } => Ok(()),
        Checked::Refused(why) => {
            let next = format!(
                "nothing was changed; {mend}; or --api-base is another region's; --no-check stores it all the same"
            );
            Err(Stop::with(Exit::Failed, format!("Twilio refuses {what}: failed to {why}"), next))
        }
        Checked::Unavailable(why) => {
            let next =
                "nothing was changed; check the network and where Twilio is asked; --no-check stores it without asking";
            Err(Stop::with(Exit::Unavailable, format!("Twilio was not asked: failed to {why}"), next))
        }
    }
}

pub(super) fn key_sid(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("SK").unwrap_or_default();
    let fits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(text.to_owned()) } else { Err("SK and 32 hexadecimal digits".to_owned()) }
}
