//! The channel list as the session asks for it: one at a time, again if it is void, not at all if it may not.

use super::{
    Failure, Output, Session,
    asked::Purpose,
    list::{Grown, List, Which},
};
use crate::{
    ami::{Message, client::DownKind},
    domain::time::Millis,
};

/// A list that is void is asked for once more; then the connection is of no use.
const VOID_LISTS_MAX: u32 = 2;

impl Session {
    /// Asks for a channel list, if none is under way. False: it is not connected far enough.
    pub fn list(&mut self, now_ms: Millis) -> Result<bool, Failure> {
        self.steady.turn(now_ms);
        if self.list.is_none() && self.is_ready() {
            self.list = Some(List::new(now_ms));
            for (which, action) in List::actions() {
                self.send(Purpose::List(which), action)?;
            }
        }
        Ok(self.is_ready())
    }

    /// An answer that belongs to the list.
    pub(super) fn listed(
        &mut self,
        open: (u64, Millis),
        which: Which,
        message: &Message,
        now_ms: Millis,
    ) -> Result<(), Failure> {
        let Some(list) = &mut self.list else { return Ok(()) };
        match list.take(which, message, &self.link) {
            Grown::Open => {
                self.asked.put_back(open.0, Purpose::List(which), open.1);
                Ok(())
            }
            Grown::Part => Ok(()),
            Grown::Whole => {
                self.voids = 0;
                self.out.extend(self.list.take().map(|list| Output::Listed(list.snapshot(now_ms))));
                Ok(())
            }
            Grown::Void(why) => self.void(&why, now_ms),
            Grown::Denied(said) => {
                let (user, action) = (&self.terms.identity.user, which.as_str());
                let detail = format!(
                    "ask for the channels with {action}: it says {said:?}; the user {user:?} needs write = call,reporting in \
                     manager.conf (then: manager reload)"
                );
                Err(Failure::new(DownKind::Refused, detail))
            }
        }
    }

    /// Nothing can be concluded from this list: it is asked for again.
    pub(super) fn void(&mut self, why: &str, now_ms: Millis) -> Result<(), Failure> {
        self.list = None;
        self.asked.close_lists();
        self.voids = self.voids.saturating_add(1);
        if self.voids >= VOID_LISTS_MAX {
            return Err(Failure::new(DownKind::Silent, format!("learn which channels there are: {why}")));
        }
        self.list(now_ms).map(|_| ())
    }
}
