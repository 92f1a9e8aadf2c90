//! `onhook accounts rotate`: a new token, and an end for the old ones.

use super::{secret, span, token, unknown};
use crate::{
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
use std::{path::PathBuf, time::Duration};

/// Give an account a new token and let the old ones end
///
/// The new one verifies at once on this database's servers (within 60 seconds where they know others), the old ones
/// until their end. Add the token that Twilio shows as secondary before you promote it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook accounts rotate AC00000000000000000000000000000001 --token-file new.txt
  onhook accounts rotate AC00000000000000000000000000000001 --token-file new.txt --keep-old 0s")]
pub struct Rotate {
    #[command(flatten)]
    tenant: Tenant,
    /// The AccountSid
    sid: String,
    /// A file that holds the new auth token [default: standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long the old tokens stay good [default: 24h]; at most 30d
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    keep_old: Option<Duration>,
}

impl Rotate {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (tenant, sid) = (&self.tenant.id, &self.sid);
        let keep_ms = span("--keep-old", self.keep_old, KEEP_OLD_MS, 0..=SPAN_MAX_MS)?;
        let token = secret::read(&desk.out, self.token_file.as_deref(), &format!("new auth token of {sid}: "))?;
        let until_ms = desk.now_ms() + keep_ms;
        let (id, ending) = desk
            .on_existing_db(async |desk, db| {
                let row = token::seal(desk, tenant, sid, &token)?;
                let mut tx = db.begin().await?;
                match change::rotate(&mut tx, tenant, &row, Some(until_ms)).await? {
                    Rotated::Done { ending } => {
                        tx.commit().await?;
                        Ok((row.id, ending))
                    }
                    Rotated::NoAccount => Err(unknown(tenant, sid)),
                    Rotated::Full => {
                        let what = format!("{sid} has {TOKENS_MAX} tokens already");
                        let next = format!("`onhook accounts token remove {sid} …` takes one away");
                        Err(Stop::with(Exit::Failed, what, next))
                    }
                }
            })
            .await?;
        let value = json!({ "account": sid, "id": id, "ending": ending, "old_until": moment(Some(until_ms)) });
        desk.out.show(&value, || {
            format!("added token {id} to {sid}; {ending} older ones are good until {}", second(until_ms))
        })?;
        if desk.config.twilio.account_sid.as_ref() == Some(sid) {
            desk.out.note("TWILIO_AUTH_TOKEN of the configuration stays good too, until you change it there");
        }
        Ok(Exit::Ok)
    }
}
