//! Where settings are written, as plain data: a test needs no process environment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ConfigError, Fault};

/// Everything that settings are read from, but for the embedded defaults.
#[derive(Clone, Default)]
pub struct Sources {
    /// The environment. An empty value counts as not set.
    pub env: BTreeMap<String, String>,
    /// The configuration file, if there is one.
    pub file: Option<FileText>,
    /// Overrides of the command line, (key, value); the last one of a key counts.
    pub flags: Vec<(String, String)>,
}

/// A configuration file.
#[derive(Clone)]
pub struct FileText {
    /// Where it was, for messages.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Sources {
    /// Reads the real environment, and the file: `config_path` if given, else `ONHOOK_CONFIG`, else `./onhook.toml` if it
    /// exists. A file that was named must exist.
    pub fn from_process(config_path: Option<PathBuf>, flags: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let (env, mut faults) = process_environment();
        let named = match (config_path, env.get(CONFIG_NAME).filter(|path| !path.is_empty())) {
            (Some(path), _) => Some((path, "--config")),
            (None, Some(path)) => Some((PathBuf::from(path), CONFIG_NAME)),
            (None, None) => None,
        };
        let file = match named {
            Some((path, by)) => read_file(&path, by).map(Some),
            None => read_file_if_there(Path::new(CONFIG_PATH)),
        };
        match file {
            Ok(file) if faults.is_empty() => Ok(Self { env, file, flags }),
            Ok(_) => Err(ConfigError::new(faults)),
            Err(fault) => {
                faults.push(fault);
                Err(ConfigError::new(faults))
            }
        }
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets, and it is not known here which ones.
        f.debug_struct("Sources")
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("file", &self.file.as_ref().map(|file| &file.path))
            .field("flags", &self.flags.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish()
    }
}

/// Reads the text of a small file; a longer one is an error, so that a wrong path does no harm.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The variables that may be ours. The others are none of our business and are not even copied.
fn process_environment() -> (BTreeMap<String, String>, Vec<Fault>) {
    let (mut env, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| may_be_ours(name)) else { continue };
        match value.into_string() {
            Ok(value) => drop(env.insert(name.to_owned(), value)),
            Err(_) => faults.push(Fault::NotText { name: name.to_owned() }),
        }
    }
    (env, faults)
}

fn may_be_ours(name: &str) -> bool {
    let stem = name.strip_suffix("_FILE").unwrap_or(name);
    name.starts_with(PREFIX) || super::settings().iter().any(|setting| setting.names.contains(&stem))
}

fn read_file(path: &Path, named_by: &str) -> Result<FileText, Fault> {
    match read_text(path) {
        Ok(text) => Ok(FileText { path: path.to_owned(), text }),
        Err(error) => Err(unreadable(path, named_by, &error)),
    }
}

fn read_file_if_there(path: &Path) -> Result<Option<FileText>, Fault> {
    match read_text(path) {
        Ok(text) => Ok(Some(FileText { path: path.to_owned(), text })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, "default", &error)),
    }
}

pub(super) fn unreadable(path: &Path, named_by: &str, error: &io::Error) -> Fault {
    Fault::Unreadable { path: path.to_owned(), named_by: named_by.to_owned(), reason: error.to_string() }
}

/// Names that begin so are ours.
pub(super) const PREFIX: &str = "ONHOOK_";
/// Names the configuration file.
pub(super) const CONFIG_NAME: &str = "ONHOOK_CONFIG";
/// The configuration file if none is named.
const CONFIG_PATH: &str = "onhook.toml";
/// A configuration file, or a file with one value, is no longer than this.
const FILE_BYTES_MAX: u64 = 256 * 1024;
