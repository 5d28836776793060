//! What may come of a changed trail, and what must not.

use std::collections::BTreeMap;

use trailseal_attacks::{Answer, Place, Random};

use crate::base::Base;
use crate::change::Done;

/// What an opening and the verdicts said, and what is wrong with that.
pub(crate) struct Outcome {
    /// For the counts: how the opening ended, and what the verdict with the key alone was.
    pub(crate) opening: &'static str,
    pub(crate) verdict: String,
    pub(crate) violations: Vec<String>,
}

/// A trail that nobody changed is written on and verified.
pub(crate) fn untouched_is_clean(base: &Base) {
    let place = base.place.copy();
    place.record(&["more"]).ok();
    for key in &base.keys {
        place.verify(&key.public(), None).ok();
    }
    place.verify(&base.keys[0].public(), Some(&place.path("kept"))).ok();
    assert!(place.trail().lines().starts_with(&base.lines), "{}: its lines are the same", base.name);
}

/// Opens and records, verifies, puts `trail.toml` back, and verifies again.
pub(crate) fn judge(base: &Base, place: &Place, changes: &[Done], random: &mut Random) -> Outcome {
    let pinned = random.of(&base.keys);
    let is_first = pinned.public() == base.keys[0].public();
    let unknowable = is_first && changes.iter().any(|done| done.is_history_of_retired_key);
    let opened = place.record(&["more"]);
    let mut judge = Judge { base, place, opened: &opened, violations: Vec::new() };
    if !matches!(opened.code, Some(0..=2)) {
        judge.violations.push(format!("record ended in an orderless way: {opened:#?}"));
    }
    let alone = place.verify(&pinned.public(), None);
    if !unknowable {
        judge.edited_lines("the key", &alone);
    }
    let both = place.verify(&pinned.public(), Some(&place.path("kept")));
    judge.edited_lines("the key and the checkpoint", &both);
    judge.lost_lines(&both, changes);
    let genuine = base.place.trail().read("trail.toml");
    if std::fs::read(place.trail().path("trail.toml")).unwrap_or_default() != genuine.as_bytes() {
        place.trail().write("trail.toml", genuine);
        if !unknowable {
            judge.edited_lines("the key, trail.toml put back", &place.verify(&pinned.public(), None));
        }
        let both = place.verify(&pinned.public(), Some(&place.path("kept")));
        judge.edited_lines("the key and the checkpoint, trail.toml put back", &both);
    }
    let verdict = alone.problems().pop().unwrap_or_else(|| match alone.code {
        Some(0) => "clean".to_owned(),
        _ => "cannot be looked at".to_owned(),
    });
    let opening = if opened.code == Some(0) { "opened" } else { "refused" };
    Outcome { opening, verdict, violations: judge.violations }
}

struct Judge<'a> {
    base: &'a Base,
    place: &'a Place,
    opened: &'a Answer,
    violations: Vec<String>,
}

impl Judge<'_> {
    fn lines(&self) -> BTreeMap<u64, Vec<u8>> {
        self.place.trail().lines_by_place()
    }

    /// A clean verdict means that every sealed line is there and as it was; where only the key is known, an opening
    /// that was refused may leave a trail that was set back as a whole.
    fn edited_lines(&mut self, with: &str, verdict: &Answer) {
        if !matches!(verdict.code, Some(0..=2)) {
            self.violations.push(format!("verify ended in an orderless way: {verdict:#?}"));
        }
        if verdict.code != Some(0) {
            return;
        }
        let lines = self.lines();
        let may_be_set_back = self.opened.code != Some(0) && !with.contains("checkpoint");
        for (index, genuine) in (0..self.base.sealed).zip(&self.base.lines) {
            match lines.get(&index) {
                None if may_be_set_back => return,
                None => {
                    self.violations
                        .push(format!("sealed line {index} is gone, and {with} find all well: {verdict:#?}"));
                    return;
                }
                Some(line) if line != genuine => {
                    self.violations.push(format!(
                        "sealed line {index} is edited, and {with} find all well: {verdict:#?}"
                    ));
                    return;
                }
                Some(_) => {}
            }
        }
    }

    /// Where bytes were only damaged or taken, once, an opening that ends well has kept as many lines as were
    /// answered, and at most the damaged one reads otherwise. Lines that nothing signs are not protected against
    /// somebody who puts others there.
    fn lost_lines(&mut self, verdict: &Answer, changes: &[Done]) {
        let is_damage = matches!(changes, [done] if done.is_damage);
        if !is_damage || self.opened.code != Some(0) || verdict.code != Some(0) {
            return;
        }
        let lines = self.lines();
        let differs = |(index, genuine): &(u64, &Vec<u8>)| lines.get(index) != Some(genuine);
        let changed: Vec<u64> = (0..).zip(&self.base.lines).filter(differs).map(|(index, _)| index).collect();
        let gone = changed.iter().find(|index| lines.get(index).is_none_or(|line| !has_index(line, **index)));
        if changed.len() > 1 || gone.is_some() {
            let opened = self.opened;
            self.violations
                .push(format!("answered lines {changed:?} are gone, and all is well: {opened:#?}"));
        }
    }
}

fn has_index(line: &[u8], index: u64) -> bool {
    line.starts_with(format!("{{\"v\":1,\"index\":{index},").as_bytes())
}
