//! Twilio as the demonstration's gateway asks it: it knows how the calls ended of which nobody told the end.

use super::ACCOUNT_SID;
use crate::{
    cli::serve,
    clock::SystemClock,
    double::{
        Account, Double, Setup, Shared,
        server::{self, Handle},
    },
    story::{Play, Story},
};
use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use std::{net::TcpListener, sync::Arc};

/// A Twilio that answers on a port of its own. Stopped with the value.
pub struct Twilio {
    double: Shared,
    base: String,
    handle: Handle,
}

impl Twilio {
    /// One without calls, whose account has this token.
    pub fn start(token: &SecretString) -> Result<Self> {
        let double = Shared::new(Double::new(Setup::default(), SEED));
        double.with(|double| double.add_account(Account::new(ACCOUNT_SID, token.expose_secret())));
        let listener = TcpListener::bind("127.0.0.1:0").context("listen for questions to Twilio")?;
        let base = serve::base_url(listener.local_addr()?);
        let server = server::serve(listener, double.clone(), Arc::new(SystemClock))?;
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { double, base, handle })
    }

    /// Where it is asked.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A story begins: its calls live, whatever it tells of them meanwhile.
    pub fn begin(&self, story: &Story, play: Play<'_>) {
        self.double.with(|double| {
            story.beginning(play).into_iter().for_each(|call| double.add_call_as(&call.sid, call.order, call.changes));
        });
    }

    /// A story is over: its calls are what they are.
    pub fn end(&self, story: &Story, play: Play<'_>) {
        self.double.with(|double| {
            for truth in story.truth(play) {
                double.call_mut(&truth.sid).into_iter().for_each(|call| call.changes.clone_from(&truth.changes));
            }
        });
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        // Telling it is enough: nobody asks it any more.
        drop(self.handle.stop(false));
    }
}

/// Nothing is drawn from it.
const SEED: u64 = 1;
