//! Why a masker could not be made.

/// Why a [`Masker`](super::Masker) could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// A pattern is no regular expression.
    #[error("the masking pattern {pattern:?} cannot be used: correct or remove it")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// A pattern matches where nothing stands.
    #[error(
        "the masking pattern {pattern:?} matches an empty text, and would match everywhere: make it longer"
    )]
    EmptyMatch {
        /// The pattern.
        pattern: String,
    },
    /// A custom key has no letters.
    #[error("the masking key {key:?} has no letters: write it as words, such as `home address`")]
    Key {
        /// The key.
        key: String,
    },
    /// A path that cannot be hashed.
    #[error(
        "{path:?} cannot be hashed: name a field as a path, such as `context.session_id` or `details.*.card`; \
         `tenant`, `action`, `category`, `severity`, `outcome`, times, and what the trail fills in stay as they are"
    )]
    Hash {
        /// The path.
        path: String,
    },
    /// The system gave no randomness for a key.
    #[error("no key for hashes could be made: the system gives no randomness")]
    Randomness(#[source] std::io::Error),
    /// Hashes were asked for, and there is no key.
    #[error("replacing by a keyed hash needs a key: load the trail's own with `load_mask_key`")]
    NoKey,
}
