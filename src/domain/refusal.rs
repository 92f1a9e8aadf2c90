//! Why a delivery is refused.

use super::words;

words! {
    /// Why a delivery was refused.
    pub enum Reason {
        /// Nobody has the account that it claims to be of, or it claims none.
        UnknownAccount = "unknown-account",
        /// It has no signature.
        SignatureMissing = "signature-missing",
        /// What it has cannot be a signature.
        SignatureMalformed = "signature-malformed",
        /// Its signature is of another URL, another body or another token.
        SignatureMismatch = "signature-mismatch",
        /// Its body is not the one whose digest was signed.
        BodyHashMismatch = "body-hash-mismatch",
        /// It may be let in, but it cannot be read.
        Unreadable = "unreadable",
        /// One entry of a batch that was let in cannot be read.
        BadEntry = "bad-entry",
    }
}
