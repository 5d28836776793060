//! Presets: the lists of three documents that describe masking, as given there.
//!
//! A preset adds to the default list and sets the replacement for a secret; it removes nothing. Lists are also walked,
//! which the documents' own code did not do.

use crate::mask::names::secret_names::Keys;

/// The replacement for a secret, unless a preset says otherwise.
pub(super) const FIXED: &str = "***";

/// The list of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Document `000`: whole keys, in any case; `REDACTED`.
    Doc000,
    /// Document `001`, its export: parts of keys are removed, keys that end in `_hash` stay, and an e-mail
    /// address becomes 16 hexadecimal digits of its hash.
    Doc001Export,
    /// Document `003`: parts of keys, and the whole keys of its guide; `***REDACTED***`.
    Doc003,
}

const EXACT_000: &[&str] = &[
    "password",
    "secret",
    "key",
    "token",
    "api_key",
    "auth",
    "credentials",
    "credit_card",
    "ssn",
    "social_security",
    "cvv",
    "card_number",
    "pin",
    "cvv2",
];
const PARTS_001: &[&str] =
    &["raw_payload", "payload", "password", "secret", "token", "api_key", "email_body", "document_content"];
const EMAILS_001: &[&str] = &["email"];
const PARTS_003: &[&str] = &["password", "secret", "token", "api_key", "private_key", "credential", "auth"];
const EXACT_003: &[&str] = &["password", "secret", "token", "key", "api_key", "credit_card", "ssn", "pin"];

impl Preset {
    /// The preset of this name: `000`, `001-export` or `003`.
    pub fn from_name(name: &str) -> Option<Preset> {
        match name {
            "000" => Some(Preset::Doc000),
            "001-export" => Some(Preset::Doc001Export),
            "003" => Some(Preset::Doc003),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Doc000 => "000",
            Preset::Doc001Export => "001-export",
            Preset::Doc003 => "003",
        }
    }

    /// Whether document `001` removes the value under this key.
    pub(super) fn removes_001(key: &str) -> bool {
        let lower = key.to_lowercase();
        PARTS_001.iter().any(|part| lower.contains(part))
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Preset::Doc000 => "REDACTED",
            Preset::Doc001Export => FIXED,
            Preset::Doc003 => "***REDACTED***",
        }
    }

    pub(super) fn add_to(self, keys: &mut Keys) {
        match self {
            Preset::Doc000 => keys.add_preset(EXACT_000, &[], &[]),
            Preset::Doc001Export => keys.add_preset(EMAILS_001, PARTS_001, &["_hash"]),
            Preset::Doc003 => keys.add_preset(EXACT_003, PARTS_003, &[]),
        }
    }
}
