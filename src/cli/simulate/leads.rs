//! Leads of a simulation: made known to the gateway, called by turns, and in the end compared with what the contact rule
//! makes of the calls that took place.

use super::{
    Drawn,
    gateway::{Gateway, all},
    verdict::{Finding, Judged},
};
use crate::{domain::state::Status, double::call::Seen};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::HashMap;

/// A lead.
#[derive(Clone, Debug)]
pub struct Lead {
    /// Its id in the gateway.
    pub id: String,
    /// A number for documentation.
    pub phone: String,
    /// Whether the gateway finds it by its number: nobody else had it before.
    found_by_number: bool,
}

/// All of them, and whom each call is to.
#[derive(Debug, Default)]
pub struct Leads {
    leads: Vec<Lead>,
    /// The lead of a call, by its sid.
    called: HashMap<String, usize>,
}

/// What there is to say about one lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadFinding {
    /// The lead.
    pub id: String,
    /// What is wrong with it, in one line; nothing if it is right.
    pub wrong: Option<String>,
}

impl Leads {
    /// So many, which are those of this run alone.
    pub async fn create(count: u32, drawn: &Drawn, gateway: &Gateway) -> Result<Self> {
        let leads: Vec<Lead> = (0..count).map(|n| Lead::new(n, drawn)).collect();
        let make = |lead: Lead| {
            let gateway = gateway.clone();
            async move {
                gateway.create_lead(&json!({ "id": lead.id, "name": "Simulated", "phone": lead.phone })).await?;
                let owners = gateway.leads_with(&lead.phone).await?;
                Ok(Lead { found_by_number: owners == [lead.id.as_str()], ..lead })
            }
        };
        Ok(Self { leads: all(leads, make).await?, called: HashMap::new() })
    }

    /// Whom the call number `n` is to, and what its callback URL says of that: every other call of a lead names it, the
    /// others are tied to it by the number that is called.
    pub fn turn(&self, n: u32) -> Option<(usize, &Lead, Option<String>)> {
        let n = usize::try_from(n).ok()?;
        let (at, round) = (n.checked_rem(self.leads.len())?, n.checked_div(self.leads.len())?);
        let lead = self.leads.get(at)?;
        let named = round % 2 == 0 || !lead.found_by_number;
        Some((at, lead, named.then(|| format!("lead_id={}", lead.id))))
    }

    /// Remembers whom a call was to.
    pub fn called(&mut self, sid: String, lead: usize) {
        self.called.insert(sid, lead);
    }

    /// Compares every lead with what the calls to it were.
    pub async fn judge(&self, calls: &[Judged], gateway: &Gateway) -> Result<Vec<LeadFinding>> {
        let mut contacts = vec![0_i64; self.leads.len()];
        // What the gateway has never heard of cannot be a contact there.
        let heard = calls.iter().filter(|(_, finding)| *finding != Finding::Unheard);
        for (known, _) in heard.filter(|(known, _)| is_contact(&known.truth)) {
            let count = self.called.get(&known.sid).and_then(|lead| contacts.get_mut(*lead));
            count.into_iter().for_each(|count| *count += 1);
        }
        let ask = |(lead, contacts): (Lead, i64)| {
            let gateway = gateway.clone();
            async move {
                let answer = gateway.find_lead(&lead.id).await?;
                Ok(LeadFinding { wrong: wrong(answer.as_ref(), contacts), id: lead.id })
            }
        };
        all(self.leads.iter().cloned().zip(contacts).collect(), ask).await
    }
}

impl Lead {
    fn new(n: u32, drawn: &Drawn) -> Self {
        let Drawn { seed, .. } = drawn;
        // Other runs have other leads, and mostly other numbers.
        let digest = drawn.digest();
        let id = format!("sim-{seed}-{:08x}-{n}", digest & 0xffff_ffff);
        let areas = AREAS.len() as u128;
        let area = (digest.wrapping_add(u128::from(n / NUMBERS_PER_AREA))) % areas;
        let area = usize::try_from(area).ok().and_then(|at| AREAS.get(at)).copied().unwrap_or(415);
        let phone = format!("+1{area}55501{:02}", n % NUMBERS_PER_AREA);
        Self { id, phone, found_by_number: false }
    }
}

/// The contact rule as it is without settings: somebody answered, no machine did, and it was completed.
fn is_contact(truth: &Seen) -> bool {
    truth.status == Status::Completed && truth.answered_by == Some("human")
}

fn wrong(answer: Option<&Value>, contacts: i64) -> Option<String> {
    let Some(lead) = answer else { return Some("the gateway does not know it any more".to_owned()) };
    let count = lead.get("contact_count").and_then(Value::as_i64).unwrap_or_default();
    let status = lead.get("status").and_then(Value::as_str).unwrap_or_default();
    let expected = if contacts > 0 { "contacted" } else { "new" };
    let is_right = count == contacts && status == expected;
    (!is_right).then(|| format!("it is {status} with {count} contacts; true is {expected} with {contacts}"))
}

/// Area codes; in each the numbers 555-0100 to 555-0199 are for documentation.
const AREAS: [u32; 20] =
    [201, 202, 206, 212, 213, 303, 305, 312, 404, 415, 503, 512, 602, 617, 619, 702, 713, 808, 907, 919];
const NUMBERS_PER_AREA: u32 = 100;
/// As many as there are numbers for documentation in half of these areas: another run can have the other half.
pub const LEADS_MAX: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(salt: &str) -> Drawn {
        Drawn { seed: 7, salt: salt.to_owned() }
    }

    #[test]
    fn another_salt_makes_other_leads_and_each_has_a_number_of_its_own() {
        let leads: Vec<Lead> = (0..1_000).map(|n| Lead::new(n, &drawn("a"))).collect();
        let numbers: std::collections::BTreeSet<_> = leads.iter().map(|lead| lead.phone.as_str()).collect();
        assert_eq!(numbers.len(), 1_000);
        assert!(numbers.iter().all(|number| number.len() == 12 && number.contains("55501")), "{numbers:?}");
        assert_eq!(Lead::new(3, &drawn("a")).id, leads[3].id);
        assert_ne!(Lead::new(3, &drawn("b")).id, leads[3].id);
    }

    #[test]
    fn every_other_call_of_a_lead_names_it_and_every_one_whose_number_is_somebody_elses() {
        let lead = |n, found_by_number| Lead { found_by_number, ..Lead::new(n, &drawn("")) };
        let leads = Leads { leads: vec![lead(0, true), lead(1, false)], called: HashMap::new() };
        let turns: Vec<_> = (0..6).filter_map(|n| leads.turn(n)).map(|(at, _, query)| (at, query.is_some())).collect();
        assert_eq!(turns, [(0, true), (1, true), (0, false), (1, true), (0, true), (1, true)]);
        assert!(Leads::default().turn(0).is_none());
    }

    #[test]
    fn a_lead_is_right_with_exactly_its_contacts() {
        let lead = |status: &str, count: i64| json!({ "status": status, "contact_count": count });
        assert_eq!(wrong(Some(&lead("contacted", 2)), 2), None);
        assert_eq!(wrong(Some(&lead("new", 0)), 0), None);
        for (status, count, contacts) in [("contacted", 1, 2), ("contacted", 3, 2), ("new", 2, 2), ("contacted", 1, 0)]
        {
            assert!(wrong(Some(&lead(status, count)), contacts).is_some(), "{status} {count} {contacts}");
        }
        assert!(wrong(None, 0).is_some());
    }
}
