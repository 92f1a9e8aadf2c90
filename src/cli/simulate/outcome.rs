//! How a simulation came out: shown to people and to programs.

use super::{
    Drawn,
    leads::LeadFinding,
    verdict::{Finding, Judged},
};
use crate::{
    cli::out::{Out, Tone},
    double::{Asked, Tally},
};
use anyhow::Result;
use serde_json::{Map, Value, json};

/// All there is to say.
pub struct Outcome {
    /// Every call.
    pub calls: Vec<Judged>,
    /// Every lead.
    pub leads: Vec<LeadFinding>,
    /// What was sent.
    pub tally: Tally,
    /// How often Twilio was asked; nothing if it could not be.
    pub asked: Option<Asked>,
}

impl Outcome {
    /// Whether nothing is the gateway's fault.
    pub fn passed(&self) -> bool {
        self.blamed().next().is_none() && self.wrong_leads().next().is_none()
    }

    fn blamed(&self) -> impl Iterator<Item = &Judged> {
        self.calls.iter().filter(|(_, finding)| finding.blames_the_gateway())
    }

    fn wrong_leads(&self) -> impl Iterator<Item = (&str, &str)> {
        self.leads.iter().filter_map(|lead| Some((lead.id.as_str(), lead.wrong.as_deref()?)))
    }

    fn count(&self, word: &str) -> usize {
        self.calls.iter().filter(|(_, finding)| finding.word() == word).count()
    }

    fn repaired(&self) -> usize {
        self.calls.iter().filter(|(_, finding)| *finding == Finding::True { repaired: true }).count()
    }

    /// Prints it.
    pub fn show(&self, out: &Out, drawn: &Drawn) -> Result<()> {
        if out.is_json() { out.json(&self.json(drawn)) } else { self.tell(out, drawn) }
    }

    fn json(&self, drawn: &Drawn) -> Value {
        let calls: Map<String, Value> =
            WORDS.iter().map(|(word, _)| (word.replace('-', "_"), self.count(word).into())).collect();
        let wrong = self.wrong_leads().count();
        let findings =
            self.blamed().map(|(known, f)| json!({ "call": known.sid, "finding": f.word(), "why": f.why() }));
        let leads = self.wrong_leads().map(|(id, why)| json!({ "lead": id, "finding": "wrong", "why": why }));
        json!({
            "seed": drawn.seed, "salt": drawn.salt, "passed": self.passed(), "callbacks": self.tally, "calls": calls,
            "repaired": self.repaired(), "asked": self.asked,
            "leads": { "right": self.leads.len() - wrong, "wrong": wrong },
            "findings": findings.take(SHOWN_MAX).chain(leads.take(SHOWN_MAX)).collect::<Vec<_>>(),
        })
    }

    fn tell(&self, out: &Out, drawn: &Drawn) -> Result<()> {
        let Tally { sent, retried, lost, late, reordered, duplicated, slow, failed, .. } = self.tally;
        out.line(format!(
            "{sent} callbacks sent ({retried} of them again): {lost} lost, {late} late, {reordered} overtaken, \
             {duplicated} doubled, {slow} slow; {failed} not taken by the gateway"
        ))?;
        if let Some(Asked { requests, out_of_order }) = self.asked {
            let refused =
                if out_of_order > 0 { format!(", of which {out_of_order} were answered 503") } else { String::new() };
            out.line(format!("{requests} requests to Twilio's REST API{refused}"))?;
        }
        for (known, finding) in self.blamed().take(SHOWN_MAX) {
            out.line(out.paint(Tone::Bad, &format!("{}: {}", known.sid, finding.why())))?;
        }
        for (id, why) in self.wrong_leads().take(SHOWN_MAX) {
            out.line(out.paint(Tone::Bad, &format!("lead {id}: {why}")))?;
        }
        let all = self.calls.len();
        for (word, sentence) in WORDS {
            let count = self.count(word);
            if count > 0 || *word == "wrong" {
                out.line(format!("{count} of {all} calls {sentence}"))?;
            }
            let repaired = self.repaired();
            if *word == "true" && repaired > 0 {
                out.line(format!(
                    "{repaired} of these were repaired: nobody told how they ended, so the gateway asked Twilio"
                ))?;
            }
        }
        if !self.leads.is_empty() {
            let right = self.leads.len() - self.wrong_leads().count();
            out.line(format!("{right} of {} leads have exactly the contacts they should have", self.leads.len()))?;
        }
        let (tone, sentence) = match self.passed() {
            true => (Tone::Good, format!("nothing is wrong ({drawn})")),
            false => (Tone::Bad, format!("the gateway is wrong; {drawn} repeats the same calls and faults")),
        };
        out.line(out.paint(tone, &sentence))
    }
}

/// What is counted, and how it is said.
const WORDS: &[(&str, &str)] = &[
    ("true", "are true in the gateway"),
    (
        "ending-lost",
        "are still live there, because their end was lost: only Twilio, when asked, can tell how they ended (--listen)",
    ),
    ("not-repaired", "are still live there: their end was lost, and the gateway has not asked for it in time (--wait)"),
    ("unheard", "are unknown there: no callback of them arrived, or Twilio sends none for such a call"),
    ("live", "are still live there, although their end was sent"),
    ("wrong", "are wrong"),
];
/// How many wrong calls are shown, and how many wrong leads.
const SHOWN_MAX: usize = 20;
