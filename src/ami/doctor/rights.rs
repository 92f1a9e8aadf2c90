//! What the user may do, read from `ListCommands`: it lists the actions that the user may ask for, each with the classes
//! of which one is needed.

use super::{Found, Judged, finding, good, unknown};
use crate::ami::Message;
use std::collections::BTreeSet;

/// What a user of `manager.conf` may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The actions it may ask for.
    actions: BTreeSet<String>,
    /// The classes of its `write=` that are certain: an action that needs just this one is listed.
    classes: BTreeSet<String>,
}

impl Rights {
    /// Reads the answer to `ListCommands`. `None`: it lists nothing that could be read.
    pub fn of(commands: &Message) -> Option<Self> {
        let mut rights = Self::default();
        for (action, text) in commands.headers() {
            let Some((_, classes)) = text.rsplit_once("(Priv: ") else { continue };
            rights.actions.insert(action.to_ascii_lowercase());
            let classes = classes.trim_end_matches(')').split(',').filter(|class| !matches!(*class, "all" | "<none>"));
            if let [only] = classes.collect::<Vec<_>>().as_slice() {
                rights.classes.insert((*only).to_owned());
            }
        }
        (!rights.actions.is_empty()).then_some(rights)
    }

    /// Whether it may ask for this.
    pub fn may(&self, action: &str) -> bool {
        self.actions.contains(&action.to_ascii_lowercase())
    }
}

pub(super) fn judge(found: &Found) -> Vec<Judged> {
    let Some(rights) = found.commands.as_ref().and_then(Rights::of) else {
        let next = "see that write= of the user is call,reporting,originate";
        return vec![unknown("rights", "ListCommands was not answered, so the rights are not known", next)];
    };
    let missing: Vec<&(&str, &str, &str)> = NEEDED.iter().filter(|(action, ..)| !rights.may(action)).collect();
    let mut judged = Vec::new();
    if missing.is_empty() {
        judged.push(good("rights", "the user may do all that is needed"));
    } else {
        let lost: Vec<String> = missing.iter().map(|(action, _, what)| format!("{action} ({what})")).collect();
        let classes: BTreeSet<&str> = missing.iter().map(|(_, class, _)| *class).collect();
        let classes = classes.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("the user may not ask for {}", lost.join(", "));
        judged.push(finding("rights", what, format!("add {classes} to write= of the user in manager.conf; {RELOAD}")));
    }
    let over: Vec<&(&str, &str)> = DANGEROUS.iter().filter(|(class, _)| rights.classes.contains(*class)).collect();
    if over.is_empty() {
        return judged;
    }
    let why: Vec<String> = over.iter().map(|(class, why)| format!("{class} ({why})")).collect();
    let classes = over.iter().map(|(class, _)| *class).collect::<Vec<_>>().join(", ");
    let what = format!("the user may do more than is needed: {}", why.join("; "));
    judged.push(finding("rights", what, format!("take {classes} out of write= of the user in manager.conf; {RELOAD}")));
    judged
}

/// Actions we ask for: the class that gives the least, and what does not work without it.
const NEEDED: &[(&str, &str, &str)] = &[
    ("CoreShowChannels", "reporting", "repairing calls after a cut"),
    ("Status", "reporting", "true times of answers that were missed"),
    ("CoreSettings", "reporting", "its version"),
    ("DeviceStateList", "reporting", "what extensions do"),
    ("ExtensionStateList", "reporting", "what extensions do"),
    ("Hangup", "call", "ending calls"),
    ("Originate", "originate", "placing calls"),
];

/// Classes that nobody should give away for this.
const DANGEROUS: &[(&str, &str)] = &[
    ("system", "it shows every secret of manager.conf through GetConfig, and stops Asterisk"),
    ("config", "it shows and changes every configuration file, secrets too"),
    ("command", "it runs any command of the console, from there any program"),
];

const RELOAD: &str = "then `asterisk -rx \"manager reload\"`; it holds from the next login";
