//! `onhook accounts rotate`: a new token, and an end for the old ones.

use super::{access, check, pbx, require_account, secret, span, token, unknown};
use crate::{
    ami,
    audit::Act,
    cli::{
        desk::{Desk, Tenant},
        exit::{Exit, Stop},
        view::{moment, second},
    },
    directory::change::{self, KEEP_OLD_MS, Rotated, SPAN_MAX_MS, TOKENS_MAX},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Give an account a new token and let the old ones end; or a PBX a new secret
///
/// Twilio is asked whether the new one is the account's: a wrong one never puts an end on those that are good. The new
/// one verifies at once on this database's servers (within 60 seconds where they know others), the old ones until their
/// end. Add the token that Twilio shows as secondary before you promote it.
///
/// A PBX is logged in to with the new secret before it holds; there is no old one that stays good. Change it in manager.conf
/// first, then here: the connection that is there goes on meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts rotate AC00000000000000000000000000000001 --token-file new.txt
  onhook accounts rotate AC00000000000000000000000000000001 --token-file new.txt --keep-old 0s
  onhook accounts rotate pbx1 --token-file new-secret.txt")]
pub struct Rotate {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid, or the name of the PBX
    sid: String,
    /// A file that holds the new auth token, or the new secret of the PBX [default: standard input]
    #[arg(long, visible_alias = "secret-file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long the old tokens stay good [default: 24h]; from 0s to 30d
    #[arg(long = "keep-old", value_name = "TIME", value_parser = |text: &str| span(text, 0..=SPAN_MAX_MS))]
    keep_old_ms: Option<i64>,
    /// Do not ask Twilio whether the token is the account's, or the PBX whether it takes the secret
    #[arg(long)]
    no_check: bool,
}

impl Rotate {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        if self.is_of_pbx(desk).await? {
            return self.run_for_pbx(desk).await;
        }
        let token = secret::read(&desk.out, self.token_file.as_deref(), &format!("new auth token of {sid}: "))?;
        let until_ms = desk.now_ms() + self.keep_old_ms.unwrap_or(KEEP_OLD_MS);
        let (id, ending) = desk
            .on_existing_db(async |desk, db| {
                let base = access::own_base(&require_account(desk, db, tenant, sid).await?);
                check(desk, sid, base.as_ref(), &token, self.no_check).await?;
                let row = token::seal(desk, tenant, sid, &token)?;
                let mut tx = db.begin().await?;
                match change::rotate(&mut tx, tenant, &row, Some(until_ms)).await? {
                    Rotated::Done { ending } => {
                        tx.commit().await?;
                        let detail = json!({ "token": row.id, "old_until": moment(Some(until_ms)) });
                        desk.audit(db, tenant, Act::AccountRotated, sid, detail).await;
                        Ok((row.id, ending))
                    }
                    Rotated::NoAccount => Err(unknown(desk, tenant, sid)),
                    Rotated::Full => {
                        let what = format!("{sid} has {TOKENS_MAX} tokens already");
                        let next = format!("`onhook accounts token remove {sid} …` takes one away");
                        Err(Stop::with(Exit::Failed, what, next))
                    }
                }
            })
            .await?;
        let value = json!({ "account": sid, "id": id, "ending": ending, "old_until": moment(Some(until_ms)) });
        let older = match ending {
            0 => "there is no older one that lasts longer than".to_owned(),
            1 => "1 older one is good until".to_owned(),
            n => format!("{n} older ones are good until"),
        };
        desk.out.show(&value, || format!("added token {id} to {sid}; {older} {}", second(until_ms)))?;
        if desk.config.twilio.account_sid.as_ref() == Some(sid) {
            desk.out.note("TWILIO_AUTH_TOKEN of the configuration stays good too, until you change it there");
        }
        Ok(Exit::Ok)
    }
}

impl Rotate {
    /// Known before anything is read: what is asked for has another name.
    async fn is_of_pbx(&self, desk: &mut Desk) -> Result<bool> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        let row = desk.on_existing_db(async |desk, db| require_account(desk, db, tenant, sid).await).await?;
        Ok(row.provider == ami::PROVIDER)
    }

    async fn run_for_pbx(self, desk: &mut Desk) -> Result<Exit> {
        let Self { tenant, sid, token_file, keep_old_ms, no_check } = self;
        if keep_old_ms.is_some() {
            let next = "change it in manager.conf, then here";
            return Err(Stop::with(Exit::Usage, "--keep-old is of Twilio accounts: a PBX takes one secret", next));
        }
        desk.on_existing_db(async |desk, db| {
            let row = require_account(desk, db, &tenant.id, &sid).await?;
            pbx::rotate(desk, db, &row, token_file, no_check).await
        })
        .await?;
        desk.out.show(&json!({ "account": sid, "rotated": true }), || format!("{sid} has a new secret"))?;
        Ok(Exit::Ok)
    }
}
