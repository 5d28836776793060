//! Verdicts on a store as text.

use std::fmt;

use trailseal_core::verify::{KeptMissing, Unproven, Verdict};

/// A verdict on one origin of a store, as text: the first line is `ok …` or `TAMPERED …`, the last what cannot be ruled
/// out.
pub struct StoreText<'a>(pub &'a Verdict);

impl fmt::Display for StoreText<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.0;
        let message = &verdict.message;
        match (verdict.ok, verdict.first_bad, verdict.range) {
            (true, ..) => writeln!(formatter, "ok {message}")?,
            (false, Some(index), _) => writeln!(formatter, "TAMPERED at index {index}: {message}")?,
            (false, None, Some((from, to))) => writeln!(formatter, "TAMPERED in {from}..{to}: {message}")?,
            (false, None, None) => writeln!(formatter, "TAMPERED: {message}")?,
        }
        let Verdict { sealed, unsealed, .. } = verdict;
        writeln!(
            formatter,
            "sealed:   {sealed} events, {unsealed} that no checkpoint in the store covers yet"
        )?;
        if verdict.retired > 0 {
            let by: Vec<String> = verdict.retired_by.iter().map(|index| format!("event {index}")).collect();
            writeln!(formatter, "retired:  {} events, by {}", verdict.retired, by.join(", "))?;
        }
        match &verdict.public_key {
            Some(key) => writeln!(formatter, "key:      {key} (given)")?,
            None if verdict.key_pinned => {
                writeln!(formatter, "key:      none of those given signs a checkpoint")?
            }
            None => writeln!(formatter, "key:      none was given, so no signature was checked")?,
        }
        writeln!(formatter, "silence:  {:.3} s at the longest", verdict.longest_silence_seconds)?;
        let KeptMissing { owed, missing } = &verdict.kept;
        if let Some(first) = missing.first() {
            let count = missing.len();
            writeln!(
                formatter,
                "kept:     {count} of {owed} checkpoints that the store must have are missing, from size {first} on: a \
                 change of lines and leaf hashes together is found, but placed less exactly"
            )?;
        }
        if !verdict.cannot_rule_out.is_empty() {
            let list: Vec<&str> =
                verdict.cannot_rule_out.iter().map(|unproven| sentence(*unproven)).collect();
            return write!(formatter, "cannot rule out: {}", list.join("; "));
        }
        match verdict.ok {
            true => write!(formatter, "ruled out: removed ends and replaced keys, by what you provided"),
            false => write!(formatter, "cannot rule out: further problems besides the one found first"),
        }
    }
}

fn sentence(unproven: Unproven) -> &'static str {
    match unproven {
        Unproven::Rollback => {
            "that the newest events were removed together with their checkpoints (give a checkpoint kept elsewhere: \
             --checkpoint)"
        }
        Unproven::KeyReplaced => {
            "that everything was replaced, checkpoints included (give the public key: --public-key)"
        }
        Unproven::Unsealed => "changes to the events that no checkpoint covers yet",
        _ => "more than this program can say",
    }
}
