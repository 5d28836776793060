//! Whether somebody replaced the kept policy while nothing ran: compared with what the trail's own lines say was in force.

use std::sync::Arc;
use std::time::Duration;

use trailseal_core::file::StdFiles;
use trailseal_core::{Reader, policy_hash};
use trailseal_event::filter::Filter;
use trailseal_event::{Object, Value};
use trailseal_index::{Order, Search};

/// How long one look for such lines may take: without an index it may not reach the beginning.
const BUDGET: Duration = Duration::from_secs(5);
const LINES_AT_ONCE: usize = 256;

const MEND: &str = "compare `trailseal policy show` with `trailseal query --system --action 'trail.policy_changed'`, set the \
                    right policy again, and find out who changed the file";

/// A line of the trail's own that names the policy in force from there on.
struct Named {
    index: u64,
    is_opening: bool,
    details: Object,
}

/// What is wrong, and how to mend it.
pub(super) fn replaced(reader: &Reader) -> Option<(String, &'static str)> {
    let named = named_policies(reader);
    let path = reader.folder().kept_policy_file();
    let kept = match reader.folder().kept_policy() {
        Ok(kept) => kept,
        Err(error) => return Some((format!("{}: {error}", path.display()), MEND)),
    };
    let last = named.first()?;
    let what = match kept {
        Some(policy) if last.policy() != Some(policy_hash(&policy).as_str()) => "is another policy than",
        None if last.is_kept() => "is gone, and with it the policy that",
        _ => return changed_in_silence(&named),
    };
    Some((format!("{} {what} event {} says is in force", path.display(), last.index), MEND))
}

/// An opening with another policy than the line before it names, which does not say so.
fn changed_in_silence(newest_first: &[Named]) -> Option<(String, &'static str)> {
    let is_silent = |pair: &&[Named]| match pair {
        [opening, before] => {
            opening.is_opening && opening.policy() != before.policy() && !opening.says_policy_differs()
        }
        _ => false,
    };
    let pair = newest_first.windows(2).find(is_silent)?;
    let [opening, before] = pair else { return None };
    let what = format!(
        "event {} opened the trail with another policy than event {} says was in force: somebody had replaced it",
        opening.index, before.index
    );
    Some((what, MEND))
}

/// The newest first, as far as they are found in time.
fn named_policies(reader: &Reader) -> Vec<Named> {
    let action = ["trail.opened", "trail.policy_changed"].map(str::to_owned).to_vec();
    let filter = Filter { action, system: true, ..Filter::default() };
    let mut named = Vec::new();
    let Ok(mut search) = Search::open(reader.folder().root(), Arc::new(StdFiles)) else { return named };
    let mut from = None;
    while let Ok(page) =
        search.page(&filter, Order::NEWEST_RECORDED, from.as_ref(), LINES_AT_ONCE, Some(BUDGET))
    {
        for hit in &page.hits {
            // What is damaged is `verify`'s to name.
            let Ok(recorded) = hit.read(None) else { return named };
            let is_opening = recorded.event.action == "trail.opened";
            named.push(Named { index: hit.index.get(), is_opening, details: recorded.event.details.clone() });
        }
        from = page.next;
        if from.is_none() || page.scanned.is_some() && page.hits.is_empty() {
            break;
        }
    }
    named
}

impl Named {
    fn policy(&self) -> Option<&str> {
        self.details.get("policy").and_then(Value::as_str)
    }

    /// Whether the folder kept that policy, as far as the line says.
    fn is_kept(&self) -> bool {
        let by = self.details.get("by").and_then(Value::as_str);
        self.details.get("policy_kept").is_some() || matches!(by, Some("set" | "review"))
    }

    fn says_policy_differs(&self) -> bool {
        let listed = match self.details.get("differs") {
            Some(Value::Array(listed)) => listed.as_slice(),
            _ => &[],
        };
        listed.iter().any(|what| what.as_str() == Some("policy"))
            || self.details.get("last_opening").is_some()
    }
}
