//! `onhook accounts`: the provider accounts whose webhooks are taken, and their sealed tokens.

mod access;
mod extension;
mod health;
mod list;
mod pbx;
mod rotate;
pub(super) mod secret;
mod token;

use super::{
    desk::{Desk, Tenant},
    exit::{Exit, Stop},
    keys::require_tenant,
    view::{moment, second},
};
use crate::{
    ami,
    audit::Act,
    config::VerifyMode,
    directory::{
        change::{self, OBSERVE_MS, SPAN_MAX_MS},
        credentials::{self, Checked},
    },
    domain::{id::DEFAULT_TENANT, time::MINUTE},
    store::{
        Db, StoreError,
        accounts::{self, AccountRow},
    },
};
use anyhow::Result;
use clap::{Args, Subcommand};
use rand::RngExt;
use secrecy::SecretString;
use serde_json::json;
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};
use url::Url;

/// Manage provider accounts, directly in the configured database (works beside a running server)
///
/// The account of TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN needs no adding, nor does the PBX of ONHOOK_AMI_URL. Only `accounts add` stores it too, so that
/// `verify`, `rotate` and `token` work on it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  onhook accounts list")]
pub enum Accounts {
    Add(Add),
    List(list::List),
    Verify(Verify),
    Access(access::Access),
    Health(health::Health),
    Rotate(rotate::Rotate),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Extension(extension::Extension),
}

/// Add a Twilio account, or a PBX (--provider asterisk)
///
/// Its auth token is read from --token-file, else from standard input (asked for on a terminal), never from the command
/// line, where others could see it. Twilio is asked whether it is the account's. It is stored sealed. So is the secret of an
/// API key, with which Twilio is asked before the token is tried; webhooks are verified with the token all the same.
///
/// A PBX is logged in to before it is added; its secret is read from --secret-file, else from standard input. Without --url it
/// is not connected to: it pushes its events to /webhooks/ami. `onhook ami manager-conf` prints what it needs.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts add --sid AC00000000000000000000000000000001
  onhook accounts add --sid AC00000000000000000000000000000001 --tenant acme --token-file token.txt
  onhook accounts add --sid AC…2 --parent AC…1
  onhook accounts add --sid AC…1 --api-base https://api.dublin.ie1.twilio.com --api-key SK…1 --api-secret-file secret.txt
  onhook accounts add --provider asterisk --id pbx1 --url amis://pbx --user onhook
  onhook accounts add --provider asterisk --id site-b --region DE")]
pub struct Add {
    #[command(flatten)]
    tenant: Tenant,
    /// Whose account it is
    #[arg(long, value_parser = ["twilio", "asterisk"], default_value = "twilio")]
    provider: String,
    /// The AccountSid
    #[arg(long, value_name = "AC…", value_parser = account_sid, required_unless_present = "id", conflicts_with = "id")]
    sid: Option<String>,
    /// The name of the PBX: 1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    #[command(flatten)]
    reach: pbx::Reach,
    /// The account it is a sub-account of; a sub-account signs with its own auth token all the same
    #[arg(long, value_name = "AC…", value_parser = account_sid)]
    parent: Option<String>,
    /// A file that holds the auth token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where Twilio is asked about it: the host of its edge and region [default: ONHOOK_TWILIO_API_BASE]
    #[arg(long, value_name = "URL")]
    api_base: Option<String>,
    /// An API key of the account, of which the secret is in --api-secret-file
    #[arg(long, value_name = "SK…", value_parser = access::key_sid, requires = "api_secret_file")]
    api_key: Option<String>,
    /// A file that holds the secret of --api-key
    #[arg(long, value_name = "FILE", requires = "api_key")]
    api_secret_file: Option<PathBuf>,
    /// Do not ask Twilio whether the token and the key are the account's, or the PBX whether it takes the login
    #[arg(long)]
    no_check: bool,
}

/// Say what happens to webhooks of an account that do not verify
///
/// `observe` lets them in, marked, and gives way to `enforce` after 7 days or what --for says. Running servers see it within 60 seconds.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts verify AC00000000000000000000000000000001 observe --for 24h
  onhook accounts verify AC00000000000000000000000000000001 enforce")]
pub struct Verify {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// enforce or observe
    mode: VerifyMode,
    /// How long `observe` holds [default: 7d]; from 1m to 30d
    #[arg(long = "for", value_name = "TIME", value_parser = |text: &str| span(text, MINUTE..=SPAN_MAX_MS))]
    span_ms: Option<i64>,
}

impl Accounts {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Add(add) => add.run(&mut desk).await,
            Self::List(list) => list.run(&mut desk).await,
            Self::Verify(verify) => verify.run(&mut desk).await,
            Self::Access(access) => access.run(&mut desk).await,
            Self::Health(health) => health.run(&mut desk).await,
            Self::Rotate(rotate) => rotate.run(&mut desk).await,
            Self::Token(token) => token.run(&mut desk).await,
            Self::Extension(extension) => extension.run(&mut desk).await,
        }
    }
}

impl Add {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let sid = match (self.provider.as_str(), self.sid, self.id) {
            (ami::PROVIDER, None, Some(id)) => {
                if self.token_file.is_some()
                    || self.api_base.is_some()
                    || self.api_key.is_some()
                    || self.parent.is_some()
                {
                    let what = "--token-file, --parent, --api-base and --api-key are of Twilio accounts";
                    return Err(Stop::with(Exit::Usage, what, "a PBX has --url, --user and --secret-file"));
                }
                return pbx::add(desk, self.tenant.id, id, self.reach, self.no_check).await;
            }
            (ami::PROVIDER, ..) => {
                return Err(Stop::with(
                    Exit::Usage,
                    "--sid is of a Twilio account",
                    "name the PBX with --id, such as --id pbx1",
                ));
            }
            (_, Some(sid), _) if !self.reach.is_given() => sid,
            _ => {
                let what = "--id, --url, --secret-file and --region are of a PBX";
                return Err(Stop::with(Exit::Usage, what, "add --provider asterisk, or leave them out"));
            }
        };
        let token = secret::read(&desk.out, self.token_file.as_deref(), &format!("auth token of {sid}: "))?;
        let base = access::read_base(desk, self.api_base.as_deref())?;
        let key = access::key(desk, self.api_key, self.api_secret_file.as_deref())?;
        check(desk, &sid, base.as_ref(), &token, self.no_check).await?;
        if let Some(key) = &key {
            access::check_key(desk, &sid, base.as_ref(), key, self.no_check).await?;
        }
        let now_ms = desk.now_ms();
        let row = AccountRow {
            id: sid,
            tenant: self.tenant.id,
            provider: "twilio".to_owned(),
            verify: None,
            verify_until_ms: None,
            created_ms: now_ms,
            parent: self.parent,
            api_base: base.as_ref().map(access::base_text),
            api_key: key.as_ref().map(|key| key.sid.clone()),
        };
        let configured = desk.config.twilio.account_sid.clone().filter(|_| row.tenant == DEFAULT_TENANT);
        let configured_parent =
            row.parent.is_some() && row.parent == configured && row.id != configured.unwrap_or_default();
        desk.on_db(async |desk, db| {
            require_tenant(db, &row.tenant).await?;
            if let Some(parent) = row.parent.as_deref().filter(|_| !configured_parent)
                && !change::is_main(db, &row.tenant, parent).await?
            {
                let what = format!("main account {parent} of tenant {}", row.tenant);
                return Err(Stop::not_found(what, format!("`onhook accounts add --sid {parent}` first")));
            }
            let sealed = token::seal(desk, &row.tenant, &row.id, &token)?;
            let access = access::seal(desk, &row.tenant, &row.id, row.api_base.clone(), key.as_ref())?;
            let mut tx = db.begin().await?;
            match change::add(&mut tx, &row, &sealed, &access).await {
                Err(StoreError::Exists(_)) => {
                    drop(tx);
                    Err(exists(&row, accounts::find(db, &row.tenant, &row.id).await?.is_some()))
                }
                added => {
                    added.and(tx.commit().await)?;
                    let detail = json!({ "parent": row.parent, "token": sealed.id });
                    desk.audit(db, &row.tenant, Act::AccountAdded, &row.id, detail).await;
                    Ok(())
                }
            }
        })
        .await?;
        let configured = desk.config.twilio.account_sid.as_ref() == Some(&row.id) && row.tenant == DEFAULT_TENANT;
        let shown = list::Shown { row, configured, stored: true };
        let row = &shown.row;
        desk.out.show(&shown.json(), || format!("added account {} to tenant {}", row.id, row.tenant))?;
        Ok(Exit::Ok)
    }
}

impl Verify {
    async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let until_ms = match (self.mode, self.span_ms) {
            (VerifyMode::Observe, given) => Some(desk.now_ms() + given.unwrap_or(OBSERVE_MS)),
            (VerifyMode::Enforce, None) => None,
            (VerifyMode::Enforce, Some(_)) => {
                return Err(Stop::with(Exit::Usage, "--for is for observe", "enforce holds until it is changed"));
            }
        };
        let (tenant, sid, mode) = (&self.tenant.id, &self.sid, self.mode);
        let changed = desk
            .on_existing_db(async |desk, db| {
                let mut tx = db.begin().await?;
                let changed = accounts::set_verify(&mut tx, tenant, sid, Some(mode.as_str()), until_ms).await?;
                tx.commit().await?;
                if changed > 0 {
                    let detail = json!({ "mode": mode, "until": moment(until_ms) });
                    desk.audit(db, tenant, Act::AccountVerifyChanged, sid, detail).await;
                }
                Ok(changed)
            })
            .await?;
        if changed == 0 {
            return Err(unknown(desk, tenant, sid));
        }
        let json = json!({ "id": sid, "verify": mode, "verify_until": moment(until_ms) });
        let until = until_ms.map(|at| format!(" until {}", second(at))).unwrap_or_default();
        desk.out.show(&json, || format!("{sid}: {mode}{until}"))?;
        Ok(Exit::Ok)
    }
}

/// Twilio must take the token, unless somebody knows better. `base` is where the account is asked, if that is its own.
async fn check(desk: &mut Desk, sid: &str, base: Option<&Url>, token: &SecretString, no_check: bool) -> Result<()> {
    if no_check {
        return Ok(());
    }
    let base = base.unwrap_or(&desk.config.twilio.api_base);
    match credentials::check(base, sid, token, desk.rng.random()).await {
        Checked::Good { .. } => Ok(()),
        Checked::Refused(why) => {
            let next = "nothing was changed; copy the primary auth token of this account (a sub-account has its own); \
                        --no-check stores it all the same";
            Err(Stop::with(Exit::Failed, format!("Twilio refuses the token: failed to {why}"), next))
        }
        Checked::Unavailable(why) => {
            let next = "nothing was changed; check the network and ONHOOK_TWILIO_API_BASE; --no-check stores it without asking";
            Err(Stop::with(Exit::Unavailable, format!("Twilio was not asked: failed to {why}"), next))
        }
    }
}

/// The account must be stored, before anything else is asked.
async fn require_account(desk: &Desk, db: &Db, tenant: &str, sid: &str) -> Result<AccountRow> {
    match accounts::find(db, tenant, sid).await? {
        Some(row) => Ok(row),
        None => Err(unknown(desk, tenant, sid)),
    }
}

fn unknown(desk: &Desk, tenant: &str, sid: &str) -> anyhow::Error {
    if tenant == DEFAULT_TENANT && desk.config.ami_url.is_some() && desk.config.ami_name == sid {
        let what = format!("stored account {sid}: it is only configured, by ONHOOK_AMI_URL");
        return Stop::not_found(what, "change ONHOOK_AMI_URL and restart the servers");
    }
    if tenant == DEFAULT_TENANT && desk.config.twilio.account_sid.as_deref() == Some(sid) {
        let what = format!("stored account {sid}: it is only configured, by TWILIO_ACCOUNT_SID");
        let next = format!(
            "change TWILIO_AUTH_TOKEN or ONHOOK_VERIFY and restart the servers; or `onhook accounts add --sid {sid}` \
             first: then this works on it too"
        );
        return Stop::not_found(what, next);
    }
    Stop::not_found(format!("account {sid} of tenant {tenant}"), "`onhook accounts list` shows those there are")
}

/// Why it cannot be added.
fn exists(row: &AccountRow, of_tenant: bool) -> anyhow::Error {
    let AccountRow { id, tenant, .. } = row;
    let (what, next) = match of_tenant {
        true => (
            format!("tenant {tenant} has the account {id} already"),
            match row.provider == ami::PROVIDER {
                true => format!(
                    "`onhook accounts rotate {id}` gives it a new secret, `onhook accounts access {id}` another address"
                ),
                false => format!(
                    "`onhook accounts token add {id}` gives it another token, `onhook accounts rotate {id}` a new one while \
                     the old ones end"
                ),
            },
        ),
        false => (format!("another tenant has the account {id}"), "an account is of one tenant".to_owned()),
    };
    Stop::with(Exit::Failed, what, next)
}

pub(super) fn account_sid(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("AC").unwrap_or_default();
    let fits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(text.to_owned()) } else { Err("AC and 32 hexadecimal digits".to_owned()) }
}

/// A duration of the command line in milliseconds, within bounds.
fn span(text: &str, bounds: RangeInclusive<i64>) -> Result<i64, String> {
    let read = humantime::parse_duration(text).ok().and_then(|span| i64::try_from(span.as_millis()).ok());
    read.filter(|ms| bounds.contains(ms)).ok_or_else(|| {
        let [from, to] = [bounds.start(), bounds.end()]
            .map(|ms| humantime::format_duration(Duration::from_millis(ms.unsigned_abs())).to_string());
        format!("a time from {from} to {to} is allowed, such as 24h")
    })
}
