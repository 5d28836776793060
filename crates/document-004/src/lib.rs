//! Takes the blocks of Rust out of a document, and applies patches to them. The tests of this crate run the result.

/// One block of Rust in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number in the document, from 1.
    pub number: usize,
    /// Its text, with the crate's name changed.
    pub text: String,
}

/// What a patch does to a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patched {
    /// The block as it is run.
    pub text: String,
    /// The lines that were added.
    pub added: Vec<String>,
    /// The lines that were taken away.
    pub removed: Vec<String>,
}

/// All blocks of Rust, in their order. The crate's name is changed; nothing else.
pub fn blocks(document: &str) -> Vec<Block> {
    let fences = document.split("\n```");
    let texts = fences.filter_map(|part| part.strip_prefix("rust\n"));
    let renamed = texts.map(|text| text.replace("llm_orchestrator_audit", "trailseal"));
    renamed.zip(1..).map(|(text, number)| Block { number, text: format!("{text}\n") }).collect()
}

/// Applies a unified diff.
///
/// # Errors
/// What of it does not fit the block.
pub fn patch(block: &str, diff: &str) -> Result<Patched, String> {
    let old: Vec<&str> = block.lines().collect();
    let (mut patched, mut at) = (Patched::default(), 0);
    let keep = |patched: &mut Patched, line: &str| {
        patched.text.push_str(line);
        patched.text.push('\n');
    };
    let hunks = diff.lines().filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "));
    for line in hunks {
        if let Some(header) = line.strip_prefix("@@ -") {
            let begin: usize = header
                .split([',', ' '])
                .next()
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| format!("no place in {line:?}"))?;
            // A hunk of no old lines names the line before it.
            let is_empty = header.split(' ').next().is_some_and(|range| range.ends_with(",0"));
            let begin = if is_empty { begin } else { begin.saturating_sub(1) };
            let between = old.get(at..begin).ok_or_else(|| format!("{line:?} is not in order"))?;
            between.iter().for_each(|line| keep(&mut patched, line));
            at = begin;
        } else if let Some(added) = line.strip_prefix('+') {
            keep(&mut patched, added);
            patched.added.push(added.to_owned());
        } else {
            let (is_kept, wanted) = match line.strip_prefix('-') {
                Some(removed) => (false, removed),
                None => (true, line.strip_prefix(' ').unwrap_or(line)),
            };
            if old.get(at) != Some(&wanted) {
                return Err(format!("line {} is {:?}, and the patch wants {wanted:?}", at + 1, old.get(at)));
            }
            at += 1;
            match is_kept {
                true => keep(&mut patched, wanted),
                false => patched.removed.push(wanted.to_owned()),
            }
        }
    }
    old.get(at..).unwrap_or_default().iter().for_each(|line| keep(&mut patched, line));
    Ok(patched)
}
