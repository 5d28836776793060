//! Prose that fits the columns that there are.

use unicode_width::UnicodeWidthStr as _;

use super::table::cut;

/// Text in lines of at most `width` columns, broken between words; the second and later ones begin with `indent`. A word
/// that does not fit into a line of its own is cut if `may_cut`, as what is only looked at may be.
pub(crate) fn folded(text: &str, width: usize, indent: &str, may_cut: bool) -> String {
    let mut lines = Vec::new();
    let (mut line, mut is_begun) = (String::new(), false);
    for word in text.split(' ') {
        let more = usize::from(is_begun) + word.width();
        if !line.trim().is_empty() && line.width() + more > width {
            let full = std::mem::replace(&mut line, indent.to_owned());
            lines.push(full.trim_end().to_owned());
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        let room = width.saturating_sub(line.width());
        line.push_str(&if may_cut { cut(word, room) } else { word.to_owned() });
        is_begun = true;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn lines_are_broken_between_words_and_long_words_cut_if_they_may_be() {
        let fold = |text: &str, may_cut| folded(text, 12, "  ", may_cut);
        assert_eq!(fold("one two three four", true), "one two\n  three four");
        assert_eq!(fold("key:   abc", true), "key:   abc");
        assert_eq!(fold("a 0123456789012 b", true), "a\n  012345678…\n  b");
        assert_eq!(fold("a 0123456789012 b", false), "a\n  0123456789012\n  b");
        assert_eq!(fold("", true), "");
        assert_eq!(folded("   ok this is it", 10, "     ", true), "   ok this\n     is it");
    }
}
