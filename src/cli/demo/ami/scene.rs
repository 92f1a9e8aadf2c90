//! The calls of the demonstration.

use crate::{
    domain::time::Millis,
    pbx_double::{Fate, Order, Side},
};

/// What happens, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Calls of every kind, all heard.
    Calls,
    /// A call during which the link is cut.
    Cut,
    /// A call during which the PBX dies.
    Restart,
}

/// A call with a word for it.
pub struct Scene {
    /// What is shown.
    pub title: &'static str,
    /// The call.
    pub order: Order,
}

impl Act {
    /// In their order.
    pub const ALL: &'static [Self] = &[Self::Calls, Self::Cut, Self::Restart];

    /// What is said before it.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Calls => "calls between the phones of a PBX, heard over its manager interface",
            Self::Cut => "a link that is cut in the middle of a call: its end is told to nobody",
            Self::Restart => "a PBX that dies in the middle of a call: it will never tell how that ended",
        }
    }

    /// Its calls.
    pub fn scenes(self) -> Vec<Scene> {
        match self {
            Self::Calls => calls(),
            Self::Cut => vec![talk("link cut", "2001", "2002", TALK_MS / 2, "lead-ada")],
            Self::Restart => vec![talk("PBX restarted", "2003", "2004", 60_000, "lead-cem")],
        }
    }
}

fn calls() -> Vec<Scene> {
    let call = |title, from: &str, to: &str, fate| Scene { title, order: Order::new(from, to, fate) };
    let phones = |phones: &[&str]| phones.iter().map(|phone| (*phone).to_owned()).collect::<Vec<_>>();
    let group = Fate::Group { phones: phones(&["2003", "2004"]), answers: Some("2004".into()), talk_ms: TALK_MS };
    let queue = Fate::Queue { agents: phones(&["2005", "2006"]), answers: Some("2005".into()), talk_ms: TALK_MS };
    let busy = call("busy", "2002", "2003", Fate::Busy);
    vec![
        talk("answered", "2001", "2002", TALK_MS, "lead-bea"),
        Scene { order: busy.order.about("lead-dan"), ..busy },
        call("no answer", "2003", "2004", Fate::NoAnswer),
        call("canceled", "2004", "2005", Fate::Canceled),
        call("not registered", "2005", "2099", Fate::Unregistered),
        call("ring group", "2001", "600", group),
        call("queue", "2002", "610", queue),
        call("announcement only", "2003", "2006", Fate::AnnouncedNoAnswer { speaks_ms: 500 }),
        call("blind transfer", "2007", "2008", Fate::BlindTransfer { to: "2009".into(), talk_ms: TALK_MS }),
        call("attended transfer", "2008", "2009", Fate::AttendedTransfer { to: "2010".into(), talk_ms: TALK_MS }),
    ]
}

fn talk(title: &'static str, from: &str, to: &str, talk_ms: Millis, lead: &str) -> Scene {
    Scene { title, order: Order::new(from, to, Fate::Answered { talk_ms, by: Side::Caller }).about(lead) }
}

/// Who a lead is.
pub fn lead_name(id: &str) -> &'static str {
    match id {
        "lead-ada" => "Ada Cut-Off",
        "lead-bea" => "Bea Answers",
        "lead-cem" => "Cem Restarted",
        _ => "Dan Busy",
    }
}

/// A number of each.
pub fn lead_phone(id: &str) -> &'static str {
    match id {
        "lead-ada" => "+14155550161",
        "lead-bea" => "+14155550162",
        "lead-cem" => "+14155550163",
        _ => "+14155550164",
    }
}

const TALK_MS: Millis = 3_000;
