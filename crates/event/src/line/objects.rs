//! Where parts of a rest stand.

/// Where the objects of the actor and of the context begin in the rest of an event that was written whole, if it has these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    pub(crate) actor: usize,
    pub(crate) context: usize,
}
