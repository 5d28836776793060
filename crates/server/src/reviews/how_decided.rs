//! How a review was decided, as a store keeps it.

use serde::{Deserialize, Serialize};

/// How a review was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HowDecided {
    pub(crate) at: String,
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}
