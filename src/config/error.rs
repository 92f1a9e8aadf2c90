//! What can be wrong with a configuration. All of it is collected, so that it is mended in one go.

use std::fmt;
use std::path::PathBuf;

use super::reader::Origin;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// Everything that is wrong, at least one.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the configuration:")?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// One thing that is wrong. No fault quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A value that is not allowed.
    #[error("{0}")]
    BadValue(Box<BadValue>),
    /// A setting that nothing gives a value.
    #[error("{key} has no value; allowed: {allowed}")]
    NoValue {
        /// The setting's key.
        key: &'static str,
        /// What may be written.
        allowed: String,
    },
    /// Two settings, each allowed, of which the first must not be the longer one.
    #[error("{key} is {value}, longer than {than}, which is {limit}; it must not be longer")]
    LongerThan {
        /// The one that is too long.
        key: &'static str,
        /// Its value.
        value: String,
        /// The one it must not exceed.
        than: &'static str,
        /// Its value.
        limit: String,
    },
    /// Two settings, each allowed, of which the first must be the longer one.
    #[error("{key} is {value}; it must be longer than {than}, which is {limit}")]
    NotLonger {
        /// The one that is too short.
        key: &'static str,
        /// Its value.
        value: String,
        /// The one it must exceed.
        than: &'static str,
        /// Its value.
        limit: String,
    },
    /// Two settings of which neither is good without the other.
    #[error("{set} is set but {missing} is not; set both or neither")]
    Half {
        /// The one that is set.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A setting that means nothing without another one.
    #[error("{set} is set but {missing} is not; set that too, or take {set} away")]
    Needs {
        /// The one that is set.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// Several nodes can only agree on a key that each is given.
    #[error("{name} is not set; it is required on PostgreSQL")]
    NeededOnPostgres {
        /// The setting's name.
        name: &'static str,
    },
    /// `X` and `X_FILE` at once.
    #[error("{name} and {name}_FILE are both set; set only one of them")]
    SetTwice {
        /// The setting's name.
        name: &'static str,
    },
    /// A variable whose bytes are no text.
    #[error("the environment variable {name} is not UTF-8")]
    NotText {
        /// The variable.
        name: String,
    },
    /// A file that cannot be read.
    #[error("{path}, named by {named_by}, cannot be read: {reason}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        named_by: String,
        /// What the system says.
        reason: String,
    },
    /// A configuration file that is no TOML.
    #[error("{path}, line {line}, is not TOML: {reason}", path = path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line of the first mistake.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A list where one value is expected.
    #[error("{key} in {path} is a list; it takes one text, number, true or false", path = path.display())]
    NotOneValue {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// An override on the command line that names no setting.
    #[error("{key:?} is no setting; the nearest known one is {nearest}")]
    UnknownOverride {
        /// What was written.
        key: String,
        /// The setting it resembles most.
        nearest: String,
    },
}

/// A value that is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("{key} from {origin} is {value}: {reason}; allowed: {allowed}")]
pub struct BadValue {
    /// The setting's key.
    pub key: &'static str,
    /// Where the value came from; it names the variable or the file.
    pub origin: Origin,
    /// The value as it may be shown.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    /// What may be written.
    pub allowed: String,
}

/// Something that was written and is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A name in the environment that looks like ours and is not.
    UnknownName {
        /// The variable.
        name: String,
        /// The name it resembles most.
        nearest: String,
    },
    /// A key in the file that is no setting.
    UnknownKey {
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// The key it resembles most.
        nearest: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName { name, nearest } => {
                write!(f, "the environment variable {name} is unknown and ignored; the nearest known name is {nearest}")
            }
            Self::UnknownKey { key, path, nearest } => {
                write!(f, "{key} in {} is unknown and ignored; the nearest known key is {nearest}", path.display())
            }
        }
    }
}
