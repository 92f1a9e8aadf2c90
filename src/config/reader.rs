//! Finds what was written for a setting, reads it, and keeps account: values for `config show`, faults, warnings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::sources::{CONFIG_NAME, PREFIX, read_text, unreadable};
use super::{BadValue, DEFAULTS, Fault, FileText, Setting, Sources, Warning};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded defaults.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(&'static str),
    /// A file that an environment variable names.
    EnvFile(&'static str, PathBuf),
    /// An override on the command line.
    Flag,
    /// Nothing was written: the setting has no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::EnvFile(name, path) => write!(f, "the file {} named by {name}_FILE", path.display()),
            Self::Flag => f.write_str("the command line"),
            Self::Unset => f.write_str("nowhere"),
        }
    }
}

/// A setting as it is in force.
#[derive(Clone, Debug)]
pub struct Row {
    /// The setting's name in the environment.
    pub name: &'static str,
    /// The setting's key in the file.
    pub key: &'static str,
    /// Its value, redacted if it is secret; `None` if it has none.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

pub(super) struct Reader<'a> {
    sources: &'a Sources,
    file: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    rows: Vec<Row>,
    warnings: Vec<Warning>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources, settings: &[Setting]) -> Self {
        let mut faults = Vec::new();
        let defaults = read_toml(&embedded(), &mut faults);
        let file = sources.file.as_ref().map(|file| read_toml(file, &mut faults)).unwrap_or_default();
        let mut warnings = unknown_names(sources, settings);
        if let Some(FileText { path, .. }) = &sources.file {
            let unknown = unknown_keys(file.keys(), settings);
            warnings.extend(unknown.map(|(key, nearest)| Warning::UnknownKey { key, path: path.clone(), nearest }));
        }
        let unknown = unknown_keys(sources.flags.iter().map(|(key, _)| key), settings);
        faults.extend(unknown.map(|(key, nearest)| Fault::UnknownOverride { key, nearest }));
        Self { sources, file, defaults, rows: Vec::new(), warnings, faults }
    }

    /// Reads one setting; `None` if it was wrong, which is then reported.
    pub(super) fn read<K: Kind>(&mut self, setting: Setting, kind: &K) -> Option<K::Value> {
        let Setting { key, .. } = setting;
        let written = match self.find_written(&setting) {
            Ok(written) => written,
            Err(fault) => {
                self.faults.push(fault);
                return None;
            }
        };
        let Some((text, origin)) = written else {
            self.rows.push(Row { name: setting.name(), key, value: None, origin: Origin::Unset });
            if kind.unset().is_none() {
                self.faults.push(Fault::NoValue { key, allowed: kind.allowed() });
            }
            return kind.unset();
        };
        let text = text.trim();
        match kind.read(text) {
            Ok(value) => {
                self.rows.push(Row { name: setting.name(), key, value: Some(kind.show(&value, text)), origin });
                Some(value)
            }
            Err(reason) => {
                let bad = BadValue { key, origin, value: kind.quote(text), reason, allowed: kind.allowed() };
                self.faults.push(Fault::BadValue(Box::new(bad)));
                None
            }
        }
    }

    pub(super) fn finish(self) -> (Vec<Row>, Vec<Warning>, Vec<Fault>) {
        (self.rows, self.warnings, self.faults)
    }

    /// The text in force: flag over environment over file over defaults.
    fn find_written(&self, setting: &Setting) -> Result<Option<(String, Origin)>, Fault> {
        if let Some((_, text)) = self.sources.flags.iter().rev().find(|(key, _)| key == setting.key) {
            return Ok(Some((text.clone(), Origin::Flag)));
        }
        for name in setting.names {
            if let Some(written) = self.find_in_env(name)? {
                return Ok(Some(written));
            }
        }
        if let (Some(text), Some(file)) = (self.file.get(setting.key), &self.sources.file) {
            return Ok(Some((text.clone(), Origin::File(file.path.clone()))));
        }
        Ok(self.defaults.get(setting.key).map(|text| (text.clone(), Origin::Default)))
    }

    fn find_in_env(&self, name: &'static str) -> Result<Option<(String, Origin)>, Fault> {
        // Compose files and CI write `NAME=` for a variable that is not set.
        let find = |name: &str| self.sources.env.get(name).filter(|value| !value.trim().is_empty());
        let file_name = format!("{name}_FILE");
        match (find(name), find(&file_name)) {
            (Some(_), Some(_)) => Err(Fault::SetTwice { name }),
            (Some(text), None) => Ok(Some((text.clone(), Origin::Env(name)))),
            (None, Some(path)) => {
                let path = Path::new(path);
                let text = read_text(path).map_err(|error| unreadable(path, &file_name, &error))?;
                Ok(Some((text, Origin::EnvFile(name, path.into()))))
            }
            (None, None) => Ok(None),
        }
    }
}

impl Setting {
    /// Its default as it is documented; `None` if it has none.
    pub fn default_text(&self) -> Option<String> {
        read_toml(&embedded(), &mut Vec::new()).remove(self.key)
    }
}

fn embedded() -> FileText {
    FileText { path: "defaults.toml".into(), text: DEFAULTS.to_owned() }
}

fn read_toml(file: &FileText, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    match file.text.parse::<toml::Table>() {
        Ok(table) => flatten(&table, "", file, &mut flat, faults),
        // The error's own text quotes the line, which may hold a secret.
        Err(error) => faults.push(Fault::NotToml {
            path: file.path.clone(),
            line: error.span().map_or(1, |span| line_of(&file.text, span.start)),
            reason: error.message().to_owned(),
        }),
    }
    flat
}

fn flatten(
    table: &toml::Table,
    prefix: &str,
    file: &FileText,
    flat: &mut BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(inner, &format!("{key}."), file, flat, faults),
            toml::Value::String(text) => drop(flat.insert(key, text.clone())),
            toml::Value::Array(_) => faults.push(Fault::NotOneValue { key, path: file.path.clone() }),
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) => {
                drop(flat.insert(key, value.to_string()));
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn unknown_names(sources: &Sources, settings: &[Setting]) -> Vec<Warning> {
    let known: Vec<&str> =
        settings.iter().flat_map(|setting| setting.names.iter().copied()).chain([CONFIG_NAME]).collect();
    let ours = sources.env.iter().filter(|(name, value)| name.starts_with(PREFIX) && !is_somebody_elses(name, value));
    ours.filter_map(|(name, _)| {
        let (stem, suffix) = name.strip_suffix("_FILE").map_or((name.as_str(), ""), |stem| (stem, "_FILE"));
        // The configuration file is named directly, never through another file.
        if known.contains(&stem) && (stem != CONFIG_NAME || suffix.is_empty()) {
            return None;
        }
        let nearest = nearest(stem, known.iter().copied().filter(|known| known.starts_with(PREFIX)));
        let suffix = if nearest == CONFIG_NAME { "" } else { suffix };
        Some(Warning::UnknownName { name: name.clone(), nearest: nearest + suffix })
    })
    .collect()
}

/// Names that begin like ours: those of the tests, and those that Kubernetes sets for a service called `onhook`.
fn is_somebody_elses(name: &str, value: &str) -> bool {
    let prefixes = ["ONHOOK_TEST_", "ONHOOK_SERVICE_HOST", "ONHOOK_SERVICE_PORT", "ONHOOK_PORT_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == "ONHOOK_PORT" && value.contains("://")
}

fn unknown_keys<'a>(
    keys: impl Iterator<Item = &'a String>,
    settings: &[Setting],
) -> impl Iterator<Item = (String, String)> {
    keys.filter(|key| !settings.iter().any(|setting| setting.key == key.as_str()))
        .map(|key| (key.clone(), nearest(key, settings.iter().map(|setting| setting.key))))
}

fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> String {
    let written: String = written.chars().take(COMPARED_CHARS_MAX).collect();
    known.min_by_key(|known| strsim::damerau_levenshtein(&written, known)).unwrap_or_default().to_owned()
}

/// A name is compared by its first characters; comparing costs their square.
const COMPARED_CHARS_MAX: usize = 100;
