//! `onhook calls explain`: the story of one call.

use super::Which;
use crate::{
    cli::{
        desk::Desk,
        exit::Exit,
        out::{Tone, printable},
        stuck::terms,
        view,
    },
    explain::story::{Story, Teller},
};
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Tell the story of a call: what was heard and done, what decided its ending, what comes next
///
/// It is read from the configured database, beside a running server; nobody is asked.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  onhook calls explain CA00000000000000000000000000000001")]
pub struct Explain {
    #[command(flatten)]
    which: Which,
}

impl Explain {
    pub(super) async fn run(self, desk: &mut Desk) -> Result<Exit> {
        let (terms, contact) = (terms(desk), desk.config.contact.policy());
        let (row, story) = desk
            .on_existing_db(async |_, db| {
                let row = self.which.find(db).await?;
                let story = Teller { db, terms, contact }.tell(&row).await?;
                Ok((row, story))
            })
            .await?;
        let mut value = json!(story);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("call".to_owned(), view::call(&row, &terms.limits, terms.now_ms));
        }
        desk.out.show(&value, || {
            let head = format!("{} ({}) is {}", row.id, row.provider_id, row.status);
            let mut lines = vec![desk.out.paint(Tone::Strong, &printable(&head)), String::new()];
            lines.extend(told(desk, &story));
            lines.join("\n")
        })?;
        Ok(Exit::Ok)
    }
}

fn told(desk: &Desk, story: &Story) -> Vec<String> {
    let happened = story.story.iter().map(|one| vec![one.at.clone(), one.kind.to_string(), one.what.clone()]);
    let mut lines = vec![desk.out.table(&["at", "kind", "what"], happened)];
    if !story.complete {
        lines.push("(there is more: `onhook calls timeline` shows all)".to_owned());
    }
    lines.push(String::new());
    let mut sheet: Vec<(&str, String)> = Vec::new();
    if let Some(ending) = &story.ending {
        sheet.push(("ending", ending.why.clone()));
        for other in &ending.others {
            sheet.push(("not", format!("{} ({}): {} {}", other.at, other.witness, other.what, other.why_not)));
        }
    }
    sheet.extend(story.lost_callbacks.iter().map(|lost| ("lost", lost.why.clone())));
    sheet.push(("lead", story.lead.why.clone()));
    sheet.extend(story.owed.iter().map(|owed| ("owed", format!("{}: {}", owed.kind, owed.what))));
    sheet.extend(story.next.iter().map(|next| ("next", next.why.clone())));
    sheet.extend(story.follow_ups.iter().map(|follow_up| ("to learn", follow_up.why.clone())));
    lines.push(desk.out.sheet(&sheet));
    lines
}
