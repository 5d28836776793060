//! What a token allows.

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Record events.
    Write,
    /// Read events.
    Read,
    /// Decide reviews.
    Review,
    /// Change the server's policy, tokens and keys.
    Admin,
    /// See personal values in plain, in what one may read.
    Personal,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Scope; 5] = [Scope::Write, Scope::Read, Scope::Review, Scope::Admin, Scope::Personal];
    /// What somebody has who did not ask for scopes: the first token, and everybody on a server that needs none. Personal
    /// values are shown only to those who asked for that.
    pub(crate) const USUAL: [Scope; 4] = [Scope::Write, Scope::Read, Scope::Review, Scope::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Write => "write",
            Scope::Read => "read",
            Scope::Review => "review",
            Scope::Admin => "admin",
            Scope::Personal => "personal",
        }
    }

    /// The scope with this name.
    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}
