//! Sealing what must be stored but not read: the credentials of providers. XChaCha20-Poly1305 with one key per
//! installation, bound to the tenant and account they belong to, so that a sealed token moved to another row stays shut.

use base64::{Engine as _, alphabet, engine};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The configured key is no key.
    #[error(
        "read the secret key: it must be {KEY_BYTES} bytes in base64 (`openssl rand -base64 {KEY_BYTES}` makes one)"
    )]
    NoKey,
    /// The file beside the database holds no key.
    #[error("read the secret key in {}: it must hold {KEY_BYTES} bytes in base64; what was sealed with it needs the original", path.display())]
    NoKeyInFile {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file beside the database.
    #[error("trust the secret key in {}: others may read it (`chmod 600` it)", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file beside the database can be neither read nor made.
    #[error("read or make the secret key in {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was sealed with another key than ours.
    #[error("open what the key {sealed_with} sealed: the key here is {ours}")]
    OtherKey {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// The id of the key we have.
        ours: String,
    },
    /// It was altered, or belongs to another tenant or account.
    #[error("open a sealed secret: it was altered, or belongs to another account")]
    Altered,
    /// The secret is too long to be a credential.
    #[error("seal a secret of more than {SECRET_BYTES_MAX} bytes")]
    TooLong,
}

/// Whose secret it is. It opens for nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The provider account.
    pub account: &'a str,
}

/// A sealed secret, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// A version, the nonce, the ciphertext.
    pub bytes: Vec<u8>,
    /// Which key sealed it.
    pub key_id: String,
}

/// The key, and what it is called.
pub struct Sealer {
    key: SecretBox<[u8; KEY_BYTES]>,
    key_id: String,
}

impl Sealer {
    /// Takes the key of the configuration.
    pub fn from_base64(key: &SecretString) -> Result<Self, SealError> {
        Self::read(key.expose_secret()).ok_or(SealError::NoKey)
    }

    /// Takes the key in the file beside an SQLite database (`onhook.db.key`), and makes it if there is none, for its
    /// owner only. Of several processes that make it at once, one wins and all use its key.
    pub fn beside(database: &Path, rng: &mut (impl CryptoRng + ?Sized)) -> Result<Self, SealError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".key");
        let path = PathBuf::from(path);
        let failed = |source| SealError::File { path: path.clone(), source };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_key_file(&path, rng).map_err(failed)?;
                File::open(&path).map_err(failed)?
            }
            opened => opened.map_err(failed)?,
        };
        if is_exposed(&file).map_err(failed)? {
            return Err(SealError::Exposed { path });
        }
        let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES_MAX));
        let read = file.take(KEY_FILE_BYTES_MAX as u64).read_to_string(&mut text);
        match read {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(failed(error)),
            _ => Self::read(&text).ok_or(SealError::NoKeyInFile { path }),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).ok()?);
        let key = SecretBox::try_init_with(|| <[u8; KEY_BYTES]>::try_from(bytes.as_slice())).ok()?;
        let digest = Sha256::new_with_prefix("onhook key id").chain_update(key.expose_secret()).finalize();
        let key_id = hex::encode(digest).chars().take(KEY_ID_CHARS).collect();
        Some(Self { key, key_id })
    }

    /// Names the key without telling it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals a secret. The nonce is drawn from `rng`; 192 random bits do not repeat.
    pub fn seal(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        owner: Owner<'_>,
        secret: &SecretString,
    ) -> Result<Sealed, SealError> {
        let secret = secret.expose_secret().as_bytes();
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let payload = Payload { msg: secret, aad: &bound_to(owner) };
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::TooLong)?;
        Ok(Sealed { bytes: [&[VERSION], nonce.as_slice(), &text].concat(), key_id: self.key_id.clone() })
    }

    /// Opens what [`Sealer::seal`] sealed for the same owner.
    pub fn open(&self, owner: Owner<'_>, sealed: &[u8], key_id: &str) -> Result<SecretString, SealError> {
        if key_id != self.key_id {
            return Err(SealError::OtherKey { sealed_with: key_id.to_owned(), ours: self.key_id.clone() });
        }
        let (nonce, text) = sealed
            .strip_prefix(&[VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>())
            .ok_or(SealError::Altered)?;
        let payload = Payload { msg: text, aad: &bound_to(owner) };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Altered)?;
        let opened = Zeroizing::new(opened);
        Ok(std::str::from_utf8(&opened).map_err(|_| SealError::Altered)?.into())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.expose_secret().into())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The associated data. The length of the tenant keeps `ab` + `c` apart from `a` + `bc`.
fn bound_to(owner: Owner<'_>) -> Vec<u8> {
    format!("onhook seal {VERSION} {} {} {}", owner.tenant.len(), owner.tenant, owner.account).into_bytes()
}

/// Writes a new key aside and then gives it its name, so that nobody ever reads half a key. A name that somebody else
/// gave in the meantime is left alone.
fn make_key_file(path: &Path, rng: &mut (impl CryptoRng + ?Sized)) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(key.as_mut_slice());
    let text = Zeroizing::new(BASE64.encode(key.as_slice()) + "\n");
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{:016x}", rng.next_u64()));
    let aside = PathBuf::from(aside);
    let written = write_aside(&aside, text.as_bytes()).and_then(|()| match std::fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = std::fs::remove_file(&aside);
    written.and(removed)?;
    sync_folder(path)
}

fn write_aside(aside: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(aside)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A key that is lost in a power cut takes with it everything that was sealed.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::mode(&file.metadata()?) & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

const KEY_BYTES: usize = 32;
const KEY_ID_CHARS: usize = 16;
const NONCE_BYTES: usize = 24;
/// The first byte of what is sealed.
const VERSION: u8 = 1;
/// Far above any token or password of a provider.
const SECRET_BYTES_MAX: usize = 4096;
/// Enough for a key in base64 with some white space.
const KEY_FILE_BYTES_MAX: usize = 256;
/// Base64 with or without padding: people copy keys without it.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    const ANN: Owner<'_> = Owner { tenant: "default", account: "AC1" };

    fn sealer(byte: u8) -> Sealer {
        Sealer::from_base64(&BASE64.encode([byte; KEY_BYTES]).into()).unwrap()
    }

    fn seal(sealer: &Sealer) -> Sealed {
        sealer.seal(&mut StdRng::seed_from_u64(1), ANN, &"a token".into()).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_only() {
        let ours = sealer(1);
        let sealed = seal(&ours);
        assert!(!sealed.bytes.windows(5).any(|w| w == b"token"));
        assert_eq!(ours.open(ANN, &sealed.bytes, &sealed.key_id).unwrap().expose_secret(), "a token");
        for (tenant, account) in [("default", "AC2"), ("other", "AC1"), ("defaul", "tAC1"), ("default AC1", "")] {
            let opened = ours.open(Owner { tenant, account }, &sealed.bytes, &sealed.key_id);
            assert!(matches!(opened, Err(SealError::Altered)), "{tenant} {account}");
        }
    }

    #[test]
    fn another_key_is_named_and_opens_nothing() {
        let (ours, theirs) = (sealer(1), sealer(2));
        let sealed = seal(&ours);
        let error = theirs.open(ANN, &sealed.bytes, &sealed.key_id).unwrap_err().to_string();
        assert!(error.contains(ours.key_id()) && error.contains(theirs.key_id()), "{error}");
        assert!(matches!(theirs.open(ANN, &sealed.bytes, theirs.key_id()), Err(SealError::Altered)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let ours = sealer(1);
        let sealed = seal(&ours);
        for bit in 0..sealed.bytes.len() * 8 {
            let mut bytes = sealed.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(ours.open(ANN, &bytes, ours.key_id()), Err(SealError::Altered)), "bit {bit}");
        }
        for kept in 0..sealed.bytes.len() {
            assert!(ours.open(ANN, &sealed.bytes[..kept], ours.key_id()).is_err(), "{kept} bytes");
        }
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        let (ours, mut rng) = (sealer(1), StdRng::seed_from_u64(1));
        let mut once = || ours.seal(&mut rng, ANN, &"a token".into()).unwrap().bytes;
        assert_ne!(once(), once());
        assert!(matches!(ours.seal(&mut rng, ANN, &"x".repeat(SECRET_BYTES_MAX + 1).into()), Err(SealError::TooLong)));
    }

    #[test]
    fn only_32_bytes_of_base64_are_a_key() {
        let good = BASE64.encode([7; KEY_BYTES]);
        for good in [good.clone(), good.trim_end_matches('=').to_owned(), format!(" {good}\n")] {
            assert!(Sealer::from_base64(&good.into()).is_ok());
        }
        for bad in ["", "secret", &BASE64.encode([7; 31]), &BASE64.encode([7; 33]), &hex::encode([7; 32])] {
            let error = Sealer::from_base64(&bad.into()).unwrap_err();
            assert!(matches!(error, SealError::NoKey), "{bad}: {error}");
        }
        let shown = format!("{:?}", sealer(7));
        assert!(shown.contains(sealer(7).key_id()) && !shown.contains("BwcH"), "{shown}");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_beside_a_file_is_made_once_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("onhook.db");
        let made: Vec<Sealer> = std::thread::scope(|scope| {
            let make = |seed| Sealer::beside(&database, &mut StdRng::seed_from_u64(seed)).unwrap();
            let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || make(seed))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(made.iter().all(|sealer| sealer.key_id() == made[0].key_id()), "{made:?}");
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(names, ["onhook.db.key"]);

        let path = folder.path().join("onhook.db.key");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = |seed| Sealer::beside(&database, &mut StdRng::seed_from_u64(seed));
        assert_eq!(again(99).unwrap().key_id(), made[0].key_id());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(again(99), Err(SealError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "garbage").unwrap();
        assert!(matches!(again(99), Err(SealError::NoKeyInFile { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"garbage", "a key file is never written over");
    }
}
