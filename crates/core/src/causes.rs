//! An error as people read it: with what it comes from.

use std::error::Error;

/// The text of an error and of each of its causes, outermost first, as in `cannot open a: permission denied`. A cause whose
/// text is there already is left out: some errors repeat their source.
///
/// ```
/// let error = std::io::Error::other("no route");
/// assert_eq!(trailseal_core::with_causes(&error), "no route");
/// ```
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|link| link as &(dyn Error + 'static))
        }
    }

    #[test]
    fn every_cause_is_told_once() {
        let chain = |texts: [&'static str; 3]| {
            texts.into_iter().rev().fold(None, |inner, text| Some(Box::new(Link(text, inner))))
        };
        let told = |texts| with_causes(&*chain(texts).unwrap());
        assert_eq!(told(["cannot open a", "the disk", "error 5"]), "cannot open a: the disk: error 5");
        assert_eq!(
            told(["cannot open a: the disk", "the disk", "error 5"]),
            "cannot open a: the disk: error 5"
        );
    }
}
