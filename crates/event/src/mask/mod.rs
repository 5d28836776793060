//! Masking: secrets are replaced before anything is written, hashed or shown.
//!
//! Two checks are cheap enough for the hot path. `Masker::masks_member` checks each member by its key;
//! [`Masker::text_has`] checks an event's serialised text for anything that looks like one. If both say no, which is
//! nearly always the case, the text is written unchanged. Otherwise [`Masker::mask`] walks the event as a value, and it
//! is serialised again.
//!
//! What must hold: whatever `mask` would change makes one of the two say yes; masking again changes nothing; the result
//! is an event.

mod error;
mod hash_key;
mod hashed_fields;
mod names;
mod preset;
mod refused_tenant;
mod shown_query;
mod texts;
mod walk;

use regex::Regex;
use sha2::{Digest as _, Sha256};

pub use error::MaskError;
pub use hash_key::MaskKey;
pub use preset::Preset;
pub use refused_tenant::TenantError;

use crate::counted_steps;
use crate::event::{OWN_KEYS, Parsed, Value};
use hashed_fields::HashedPaths;
pub(crate) use names::named_values::NAMERS;
pub(crate) use names::paths::without_count;
use names::secret_names::Keys;
use preset::FIXED;
use texts::anchors::Finder;
use texts::scan::{Found, Scan};
use texts::simd::Hit;

/// How often a text is searched again after something in it was replaced.
const ROUNDS_MAX: usize = 6;
/// How deep JSON inside JSON strings is followed.
const NESTING_MAX: usize = 6;
/// What may precede JSON in a string; the last is a byte order mark.
const BLANKS: [char; 5] = [' ', '\t', '\n', '\r', '\u{feff}'];
/// The maximum memory for one of a user's patterns, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// How many matches of one of a user's patterns are distinguished in one text.
const MATCHES_MAX: usize = 256;

/// How to replace a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplaceWith {
    /// `***`, or the word of the preset.
    #[default]
    Fixed,
    /// Nothing: the member, or that part of the text, is removed.
    Remove,
    /// `***` and the last four characters, of secrets of at least 12.
    Last4,
    /// `hmac:KEYID:HEX`: equal secrets stay equal, and [`Masker::hash`] finds them again.
    Hmac,
}

/// What is masked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskOptions {
    /// Whether anything is masked.
    pub enabled: bool,
    /// Additional keys that name a secret, as words: `iban`, `home address`.
    pub keys: Vec<String>,
    /// Paths that stay unchanged, such as `details.token` or `details.*.pin`; `*` is any one key.
    pub allow: Vec<String>,
    /// Regular expressions for secrets in texts; masks group 1 if there is one, otherwise the whole match. They are
    /// searched for in every text of every event, so each costs time in `record`.
    pub patterns: Vec<String>,
    /// Paths of fields that are always replaced by their keyed hash, such as `context.session_id`; `*` is any one key.
    pub hash: Vec<String>,
    /// The list of one of the documents, on top of all others.
    pub preset: Option<Preset>,
    /// How to replace a secret.
    pub replace_with: ReplaceWith,
    /// The key of hashes. Without one, a masker hashes with a key of its own, which nobody else has; a trail
    /// gives it the one in its folder.
    pub key: Option<MaskKey>,
}

impl Default for MaskOptions {
    fn default() -> Self {
        MaskOptions {
            enabled: true,
            keys: Vec::new(),
            allow: Vec::new(),
            patterns: Vec::new(),
            hash: Vec::new(),
            preset: None,
            replace_with: ReplaceWith::Fixed,
            key: None,
        }
    }
}

/// Finds and replaces secrets. Created once, and then never changed.
///
/// ```
/// use trailseal_event::Event;
/// use trailseal_event::mask::{MaskOptions, Masker};
///
/// let masker = Masker::new(&MaskOptions::default())?;
/// let json = br#"{"action":"login","details":{"password":"hunter2","url":"redis://:hunter2@cache/0"}}"#;
/// let mut event = Event::from_json(json)?;
/// assert!(masker.key_matches("password") && masker.text_has(json));
/// assert_eq!(masker.mask(&mut event), ["details.password", "details.url"]);
/// assert_eq!(event.details.to_string(), r#"{"password":"***","url":"redis://:***@cache/0"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Masker {
    enabled: bool,
    finder: &'static Finder,
    keys: Keys,
    /// Only the default list, for keys in texts.
    default_keys: Keys,
    patterns: Vec<Regex>,
    allow: Vec<Vec<String>>,
    preset: Option<Preset>,
    replace_with: ReplaceWith,
    fixed: &'static str,
    key: MaskKey,
    /// Whether the key was given, so that others have it too.
    has_given_key: bool,
    hashed: HashedPaths,
    /// An own field of the event, such as `actor.email`, matches a key: then the text cannot show that nothing needs
    /// masking.
    is_field_masked: bool,
}

impl Masker {
    /// A masker with these options.
    ///
    /// # Errors
    /// [`MaskError`] names the pattern or key that cannot be used.
    pub fn new(options: &MaskOptions) -> Result<Masker, MaskError> {
        if let Some(key) = options.keys.iter().find(|key| !key.chars().any(char::is_alphabetic)) {
            return Err(MaskError::Key { key: key.clone() });
        }
        if options.replace_with == ReplaceWith::Hmac && options.key.is_none() {
            return Err(MaskError::NoKey);
        }
        let mut keys = Keys::new(&options.keys);
        if let Some(preset) = options.preset {
            preset.add_to(&mut keys);
        }
        let key = match &options.key {
            Some(key) => key.clone(),
            None => MaskKey::random().map_err(MaskError::Randomness)?,
        };
        let is_field_masked = options.enabled && own_fields().any(|name| keys.find(name).is_some());
        Ok(Masker {
            enabled: options.enabled,
            finder: Finder::get(),
            keys,
            default_keys: Keys::new(&[]),
            patterns: options.patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>()?,
            allow: options.allow.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect(),
            preset: options.preset,
            replace_with: options.replace_with,
            fixed: options.preset.map_or(FIXED, Preset::word),
            key,
            has_given_key: options.key.is_some(),
            hashed: HashedPaths::new(&options.hash)?,
            is_field_masked,
        })
    }

    /// Whether anything is masked at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a decoded key names a secret. About 10 ns for one that does not.
    #[inline]
    pub fn key_matches(&self, key: &str) -> bool {
        self.is_worth_a_look(key) && self.keys.find(key).is_some()
    }

    #[inline(always)]
    fn is_worth_a_look(&self, key: &str) -> bool {
        self.keys.is_worth_a_look(key.as_bytes()) && self.enabled
    }

    /// Whether anything in an event's text could be a secret by its form. `text` is JSON as this crate writes it: the
    /// rest of a line, or an object of it. The event's own keys are not checked here.
    pub fn text_has(&self, text: &[u8]) -> bool {
        if !self.enabled || cfg!(trailseal_fault = "values_not_masked") {
            return false;
        }
        let mut searched_to = [0; 2];
        self.is_field_masked
            || self.hashed.may_be_in(text)
            || texts::simd::scan(text, &self.finder.tables, |hit| self.is_secret(text, hit, &mut searched_to))
            || (!self.patterns.is_empty() && self.has_pattern(text))
    }

    /// The replacement for this secret where it is hashed: `hmac:KEYID:HEX`.
    pub fn hash(&self, value: &str) -> String {
        self.key.hash(value)
    }

    /// Appends the same.
    pub(crate) fn write_hash(&self, value: &str, out: &mut Vec<u8>) {
        self.key.write_hash(value, out);
    }

    /// The key of its hashes, if it was given one: others can have it, too.
    pub fn given_key(&self) -> Option<&MaskKey> {
        self.has_given_key.then_some(&self.key)
    }

    /// The secrets in one text: the kind of each and where it is, in bytes. For showing what would be masked.
    pub fn find_in_text(&self, text: &str) -> Vec<(std::ops::Range<usize>, &'static str)> {
        self.found(text, true).into_iter().map(|found| (found.range, found.kind)).collect()
    }

    /// The replacement for an address in document `001`; keyed, if there is a key, since addresses can be guessed.
    fn mail_hash(&self, address: &str) -> String {
        let keyed = || self.key.hex(address).iter().map(|digit| char::from(*digit)).collect();
        let mut hex: String = if self.has_given_key { keyed() } else { sha256_hex(address) };
        hex.truncate(16);
        hex
    }

    /// Whether an identity field's text certainly is a secret, and does not only look like one.
    fn is_certain(&self, text: &str) -> bool {
        !self.key.is_hash(text) && self.masked_text(text, false, 0).is_some()
    }

    fn find_cards(&self, number: &str) -> Vec<Found> {
        let digits = number.trim_start_matches('-');
        texts::card_numbers::find(digits.as_bytes(), 0)
            .map(|range| Found { range, kind: "card" })
            .into_iter()
            .collect()
    }

    fn scan(&self, looks: bool) -> Scan<'_> {
        Scan { finder: self.finder, keys: &self.default_keys, key: Some(&self.key), looks }
    }

    /// Judges one hit of the pass over the text. A string is searched once for each kind of hit, since only hits of one
    /// kind come in order.
    #[cold]
    #[inline(never)]
    fn is_secret(&self, text: &[u8], hit: Hit, searched_to: &mut [usize; 2]) -> bool {
        let (Hit::Anchor(at) | Hit::Digits(at)) = hit;
        let searched_to = &mut searched_to[usize::from(matches!(hit, Hit::Digits(_)))];
        if at < *searched_to {
            return false;
        }
        let range = match hit {
            Hit::Digits(_) if !texts::anchors::card_in(text, at) => return false,
            Hit::Digits(_) => texts::anchors::string_around(text, at),
            Hit::Anchor(_) if texts::anchors::begins_json(text, at) => {
                at + 1..texts::anchors::string_end(text, at + 1)
            }
            Hit::Anchor(_) if !self.finder.is_worth_a_look(text, at, &self.default_keys) => return false,
            Hit::Anchor(_) => texts::anchors::string_around(text, at),
        };
        *searched_to = range.end;
        let part = &text[range.clone()];
        if memchr::memchr(b'\\', part).is_none() {
            return std::str::from_utf8(part).is_ok_and(|part| self.masked_text(part, true, 0).is_some());
        }
        let quoted =
            text.get(range.start.saturating_sub(1)..(range.end + 1).min(text.len())).unwrap_or_default();
        match Value::parse(quoted) {
            Ok(Value::String(part)) => self.masked_text(&part, true, 0).is_some(),
            _ => true,
        }
    }

    #[cold]
    fn has_pattern(&self, text: &[u8]) -> bool {
        let mut at = 0;
        while let Some(quote) = memchr::memchr(b'"', &text[at..]) {
            let start = at + quote;
            let end = texts::anchors::string_end(text, start + 1);
            let string = text.get(start..(end + 1).min(text.len())).unwrap_or_default();
            if let Ok(Value::String(part)) = Value::parse(string)
                && self.masked_text(&part, true, 0).is_some()
            {
                return true;
            }
            at = (end + 1).min(text.len());
        }
        false
    }

    /// The text with its secrets replaced, if it has any.
    fn masked_text(&self, text: &str, cards: bool, nesting: usize) -> Option<String> {
        let json = text.trim_start_matches(BLANKS);
        if json.starts_with(['{', '[']) && nesting < NESTING_MAX {
            match self.masked_json(json, cards, nesting) {
                Json::Masked(masked) => return Some(format!("{}{masked}", &text[..text.len() - json.len()])),
                Json::Clean => return None,
                Json::None => {}
            }
        }
        let mut masked = self.replaced(text, cards)?;
        for _ in 0..ROUNDS_MAX {
            match self.replaced(&masked, cards) {
                Some(again) => masked = again,
                None => return Some(self.uncovered(masked, cards, nesting)),
            }
        }
        Some(self.fixed.to_owned())
    }

    /// If a secret before JSON is removed, the rest is JSON, and is masked as such.
    fn uncovered(&self, masked: String, cards: bool, nesting: usize) -> String {
        let is_json = masked.trim_start_matches(BLANKS).starts_with(['{', '[']) && nesting < NESTING_MAX;
        let again = is_json.then(|| self.masked_text(&masked, cards, nesting + 1)).flatten();
        again.unwrap_or(masked)
    }

    /// Masks JSON inside a string, so that it stays JSON.
    fn masked_json(&self, text: &str, cards: bool, nesting: usize) -> Json {
        let Ok(parsed) = Parsed::parse(text.as_bytes()) else { return Json::None };
        let (mut value, is_exact) = (parsed.value, parsed.notes.is_empty());
        let is_changed = self.mask_value(&mut value, cards, nesting + 1);
        // What the parser could not keep in its place, such as a repeated key, is not in the value.
        let is_hidden = !is_exact && self.replaced(text, cards).is_some();
        if !is_changed && !is_hidden {
            return Json::Clean;
        }
        let masked = String::from_utf8_lossy(&value.to_json()).into_owned();
        if masked == text { Json::Clean } else { Json::Masked(masked) }
    }

    fn found(&self, text: &str, cards: bool) -> Vec<Found> {
        let mut found = self.scan(cards).all(text.as_bytes());
        for pattern in &self.patterns {
            let (more, rest) = self.matches(pattern, text, &found);
            if let Some(rest) = rest {
                found.retain(|other| other.range.start < rest);
                let from = found.last().map_or(rest, |last| last.range.end.max(rest));
                found.push(Found { range: from..text.len(), kind: "pattern" });
            }
            if !more.is_empty() {
                found.extend(more);
                found.sort_by_key(|found| found.range.start);
            }
        }
        found
    }

    /// What a user's pattern finds in addition. Each match may have cost a search through all of the rest, so after the
    /// first [`MATCHES_MAX`] the next match extends to the end of the text.
    fn matches(&self, pattern: &Regex, text: &str, found: &[Found]) -> (Vec<Found>, Option<usize>) {
        let mut more = Vec::new();
        let mut others = found.iter().peekable();
        for (number, groups) in pattern.captures_iter(text).enumerate() {
            counted_steps::count(1);
            let Some(part) = groups.get(1).or_else(|| groups.get(0)) else { continue };
            while others.next_if(|other| other.range.end <= part.start()).is_some() {}
            let is_free = others.peek().is_none_or(|other| part.end() <= other.range.start);
            if number == MATCHES_MAX {
                return (more, Some(part.start()));
            }
            if !is_free || part.is_empty() || self.is_replacement(part.as_str()) {
                continue;
            }
            more.push(Found { range: part.range(), kind: "pattern" });
        }
        (more, None)
    }

    fn replaced(&self, text: &str, cards: bool) -> Option<String> {
        let found = self.found(text, cards);
        if found.is_empty() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for Found { range, .. } in &found {
            // Every form begins and ends between two characters; a range that does not is widened.
            let start = text.floor_char_boundary(range.start).max(at);
            let end = text.ceil_char_boundary(range.end).max(start);
            masked.push_str(&text[at..start]);
            masked.push_str(&self.replacement(&text[start..end]));
            at = end;
        }
        masked.push_str(&text[at..]);
        (masked != text).then_some(masked)
    }

    /// The replacement for a secret.
    fn replacement(&self, secret: &str) -> String {
        match self.replace_with {
            ReplaceWith::Fixed => self.fixed.to_owned(),
            ReplaceWith::Remove => String::new(),
            ReplaceWith::Last4 if secret.chars().count() >= 12 => {
                let last = secret.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
                format!("{FIXED}{}", &secret[last..])
            }
            ReplaceWith::Last4 => FIXED.to_owned(),
            ReplaceWith::Hmac => self.hash(secret),
        }
    }

    /// Whether a whole value was replaced: what stands there says nothing but that.
    pub(crate) fn is_replaced(&self, text: &[u8]) -> bool {
        text == self.fixed.as_bytes()
            || text == FIXED.as_bytes()
            || text.starts_with(b"hmac:")
                && std::str::from_utf8(text).is_ok_and(|text| self.key.is_hash(text))
    }

    /// Whether a value is a masking replacement.
    fn is_replacement(&self, value: &str) -> bool {
        let is_last4 = || value.strip_prefix(FIXED).is_some_and(|rest| rest.chars().count() == 4);
        match self.replace_with {
            _ if value == self.fixed || value == FIXED || value.is_empty() => true,
            ReplaceWith::Last4 => is_last4(),
            ReplaceWith::Hmac => self.key.is_hash(value),
            ReplaceWith::Fixed | ReplaceWith::Remove => false,
        }
    }

    fn is_allowed(&self, path: &str) -> bool {
        self.allow.iter().any(|allowed| {
            let mut parts = path.split('.');
            let matches =
                allowed.iter().all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part));
            matches && parts.next().is_none()
        })
    }
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Masker({} patterns, {:?})", self.patterns.len(), self.replace_with)
    }
}

/// What became of a string that looks like JSON.
enum Json {
    None,
    Clean,
    Masked(String),
}

/// The names of an event's own fields that a user's own keys may name.
fn own_fields() -> impl Iterator<Item = &'static str> {
    const NEVER_MASKED: [&str; 6] = ["time", "tenant", "category", "action", "severity", "outcome"];
    OWN_KEYS.iter().flat_map(|names| names.iter().copied()).filter(|name| !NEVER_MASKED.contains(name))
}

fn compile(pattern: &str) -> Result<Regex, MaskError> {
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|source| MaskError::Pattern { pattern: pattern.to_owned(), source: Box::new(source) })?;
    if regex.is_match("") {
        return Err(MaskError::EmptyMatch { pattern: pattern.to_owned() });
    }
    Ok(regex)
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
