//! Globs: `*` is any text, `?` any one character, everything else itself.

/// Whether `text` matches `glob`, in time bounded by the product of their lengths.
///
/// ```
/// use trailseal_core::filter::glob_matches;
/// assert!(glob_matches("user.*", "user.login"));
/// assert!(!glob_matches("user.?", "user.login"));
/// ```
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    // Where to go on after the last star took one character more.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        match (glob.next(), text.clone().next()) {
            (Some('*'), _) => retry = Some((glob.clone(), text.clone())),
            (Some('?'), Some(_)) => drop(text.next()),
            (Some(wanted), Some(found)) if wanted == found => drop(text.next()),
            (None, None) => return true,
            _ => {
                let Some((after_star, mut from)) = retry.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                (glob, text) = (after_star.clone(), from.clone());
                retry = Some((after_star, from));
            }
        }
    }
}

/// The longest part of a glob that stands in every match, perhaps empty.
pub(super) fn literal(glob: &str) -> &str {
    glob.split(['*', '?']).max_by_key(|part| part.len()).unwrap_or_default()
}
