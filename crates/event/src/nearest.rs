//! What somebody meant who wrote a name that does not exist.

/// In a name of at least this many letters two may differ, in a shorter one only one: `actor` is not `action`.
const LONG: usize = 8;
/// Longer names are none that somebody mistyped.
const NAME_CHARS_MAX: usize = 64;

/// The known name that is written almost like this one: one letter, or in long names two, are missing, added,
/// other ones or exchanged.
///
/// ```
/// use trailseal_event::nearest;
///
/// assert_eq!(nearest("acton", &["tenant", "action"]), Some("action"));
/// assert_eq!(nearest("colour", &["tenant", "action"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(NAME_CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    let distances = known.iter().map(|known| (distance(&name, known), *known));
    let (differ, known) = distances.min_by_key(|(differ, _)| *differ)?;
    let differ_max = if name.len() < LONG { 1 } else { 2 };
    (name.len() <= NAME_CHARS_MAX && differ <= differ_max && differ < name.len()).then_some(known)
}

/// How many letters are missing, added or other ones; two neighbours that changed places count as one.
fn distance(name: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().take(NAME_CHARS_MAX + 1).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (place, letter) in name.iter().enumerate() {
        let mut next = vec![place + 1];
        for (at, other) in known.iter().enumerate() {
            let is_exchanged = place > 0 && at > 0 && known[at - 1] == *letter && name[place - 1] == *other;
            let exchanged = if is_exchanged { before[at - 1] + 1 } else { usize::MAX };
            let same = row[at] + usize::from(letter != other);
            next.push(same.min(row[at + 1] + 1).min(next[at] + 1).min(exchanged));
        }
        (before, row) = (row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let of = |name: &str, known: &str| distance(&name.chars().collect::<Vec<_>>(), known);
        for (name, known, expected) in [
            ("mode", "mode", 0),
            ("moode", "mode", 1),
            ("mde", "mode", 1),
            ("mdoe", "mode", 1),
            ("node", "mode", 1),
            ("", "mode", 4),
            ("mode", "", 4),
            ("wehn", "when", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(of(name, known), expected, "{name} {known}");
        }
    }

    #[test]
    fn only_a_name_that_is_almost_the_same_is_meant() {
        let known = ["when", "is", "acknowledge"];
        assert_eq!(nearest("wen", &known), Some("when"));
        assert_eq!(nearest("When", &known), Some("when"));
        assert_eq!(nearest("aknowlege", &known), Some("acknowledge"));
        assert_eq!(nearest("if", &known), Some("is"));
        for other in ["", "x", "xy", "where", "acknow", "then we", &"acknowledge".repeat(99)] {
            assert_eq!(nearest(other, &known), None, "{other}");
        }
        assert_eq!(nearest("when", &[]), None);
    }
}
