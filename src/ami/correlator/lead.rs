//! Whose call it is: the lead and the user that the dialplan names, by variables or by a `UserEvent`.

use super::{
    book::Book,
    leg::{DEST, OWN, Sight},
    tell::{Facts, Moment, fact},
};
use crate::{
    ami::Message,
    domain::signal::{Claim, Field},
};

/// What a channel's variable may name.
#[derive(Clone, Copy)]
enum Named {
    Lead,
    User,
}

impl Named {
    /// Variables that are inherited carry one or two underscores before their name.
    fn by_variable(variable: &str) -> Option<Self> {
        match variable.trim_start_matches('_') {
            "ONHOOK_LEAD" => Some(Self::Lead),
            "ONHOOK_USER" => Some(Self::User),
            _ => None,
        }
    }
}

impl Book {
    pub(super) fn read_variable(&mut self, message: &Message, now: Moment) {
        let Some(named) = message.value("Variable").and_then(Named::by_variable) else { return };
        let (Some(sight), Some(value)) = (Sight::read(message, &OWN), message.value("Value")) else { return };
        if self.see(sight, now) {
            self.name(sight.uniqueid, named, value, now);
        }
    }

    /// `channelvars` in manager.conf puts variables on every message.
    pub(super) fn read_channel_variables(&mut self, message: &Message, now: Moment) {
        for (key, pair) in message.headers() {
            let is = |name: &str| key.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let headers = match (is("ChanVariable"), is("DestChanVariable")) {
                (true, _) => &OWN,
                (_, true) => &DEST,
                (false, false) => continue,
            };
            let Some((variable, value)) = pair.split_once('=') else { continue };
            let named = Named::by_variable(variable.trim()).filter(|_| !value.is_empty());
            if let (Some(named), Some(sight)) = (named, Sight::read(message, headers)) {
                self.name(sight.uniqueid, named, value, now);
            }
        }
    }

    /// `UserEvent(OnhookLead,Lead: 4711)`; the channel is the one that ran it.
    pub(super) fn read_user_event(&mut self, message: &Message, now: Moment) {
        let own = Sight::read(message, &OWN);
        if let Some(sight) = own.filter(|sight| sight.state.is_some() || self.channels.contains_key(sight.uniqueid)) {
            self.see(sight, now);
        }
        let (named, header) = match message.value("UserEvent") {
            Some(word) if word.eq_ignore_ascii_case("OnhookLead") => (Named::Lead, "Lead"),
            Some(word) if word.eq_ignore_ascii_case("OnhookUser") => (Named::User, "User"),
            Some(_) | None => return,
        };
        let Some(value) = message.value(header) else { return };
        let by_name = || {
            let name = message.value("Channel")?;
            self.channels.iter().find(|(_, channel)| channel.name == name).map(|(uniqueid, _)| uniqueid.clone())
        };
        let known = own.map(|sight| sight.uniqueid.to_owned()).filter(|id| self.channels.contains_key(id));
        if let Some(uniqueid) = known.or_else(by_name) {
            self.name(&uniqueid, named, value, now);
        }
    }

    /// The lead of a channel that a list names.
    pub(super) fn name_lead(&mut self, uniqueid: &str, lead_id: &str, now: Moment) {
        self.name(uniqueid, Named::Lead, lead_id, now);
    }

    /// Ties the row of a channel to a lead or a user; that of a Local channel is its call's.
    fn name(&mut self, uniqueid: &str, named: Named, value: &str, now: Moment) {
        let Some(value) = fact(value) else { return };
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        let known = match named {
            Named::Lead => &mut channel.lead,
            Named::User => &mut channel.user,
        };
        if known.as_deref() == Some(value) {
            return;
        }
        *known = Some(value.to_owned());
        let row = if channel.is_leg(uniqueid) { uniqueid.to_owned() } else { channel.linkedid.clone() };
        match named {
            Named::Lead => self.teller.link(&row, value, now),
            Named::User => {
                let facts = Facts::from([(Field::UserId, value.to_owned())]);
                self.teller.say(&row, Claim::Link, facts, now);
            }
        }
    }
}
