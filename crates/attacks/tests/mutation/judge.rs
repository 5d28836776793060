//! What may come of a changed trail, and what must not.

use std::collections::BTreeMap;

use trailseal_attacks::{Answer, Checkpoint, Folder, Key, Place, Random};

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
    let still_signed = if unknowable { 0 } else { still_signed(base, &place.trail()) };
    let opened = place.record(&["more"]);
    let mut judge = Judge { base, place, opened: &opened, violations: Vec::new() };
    if !matches!(opened.code, Some(0..=2)) {
        judge.violations.push(format!("record ended in an orderless way: {opened:#?}"));
    }
    let alone = place.verify(&pinned.public(), None);
    judge.edited_lines("the key", &alone, still_signed);
    let both = place.verify(&pinned.public(), Some(&place.path("kept")));
    judge.edited_lines("the key and the checkpoint", &both, base.sealed);
    judge.lost_lines(&both, changes);
    for (path, bytes) in changes.iter().filter_map(|done| done.put_back.as_ref()) {
        judge.put_back(path, bytes, pinned, still_signed);
    }
    let genuine = base.place.trail().read("trail.toml");
    if std::fs::read(place.trail().path("trail.toml")).unwrap_or_default() != genuine.as_bytes() {
        place.trail().write("trail.toml", genuine);
        let verdict = place.verify(&pinned.public(), None);
        judge.edited_lines("the key, trail.toml put back,", &verdict, still_signed);
        let verdict = place.verify(&pinned.public(), Some(&place.path("kept")));
        judge.edited_lines("the key and the checkpoint, trail.toml put back,", &verdict, base.sealed);
    }
    let verdict = alone.problems().pop().unwrap_or_else(|| match alone.code {
        Some(0) => "clean".to_owned(),
        _ => "cannot be looked at".to_owned(),
    });
    let opening = if opened.code == Some(0) { "opened" } else { "refused" };
    Outcome { opening, verdict, violations: judge.violations }
}

/// So many lines a clean verdict must vouch for that is given with the key alone. Where `checkpoint` is a genuine one,
/// those that a genuine checkpoint in the folder signs: above them the folder was set back, which the verdict says that
/// it cannot rule out. Where it is not, all.
fn still_signed(base: &Base, trail: &Folder) -> u64 {
    let genuine = |name: &str| {
        let note = std::fs::read(trail.path(name)).ok()?;
        let note = Checkpoint::parse(std::str::from_utf8(&note).ok()?)?;
        base.notes.iter().any(|genuine| genuine.says_the_same(&note)).then_some(note.size)
    };
    let Some(newest) = genuine("checkpoint") else { return base.sealed };
    let kept = trail.kept().into_iter().filter(|size| genuine(&format!("checkpoints/{size}")) == Some(*size));
    kept.fold(newest, u64::max)
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

    /// A clean verdict means that each of the first `signed` lines is there and as it was.
    fn edited_lines(&mut self, with: &str, verdict: &Answer, signed: u64) {
        if !matches!(verdict.code, Some(0..=2)) {
            self.violations.push(format!("verify ended in an orderless way: {verdict:#?}"));
        }
        if verdict.code != Some(0) {
            return;
        }
        let lines = self.lines();
        let mut genuine = (0..signed).zip(&self.base.lines);
        if let Some((index, _)) = genuine.find(|(index, line)| lines.get(index) != Some(line)) {
            let what = if lines.contains_key(&index) { "edited" } else { "gone" };
            self.violations
                .push(format!("sealed line {index} is {what}, and {with} find all well: {verdict:#?}"));
        }
    }

    /// An attacker puts the lines back that were others while the trail was opened. Whatever was recorded meanwhile is in
    /// its place, or the verdict is not clean.
    fn put_back(&mut self, path: &std::path::Path, bytes: &[u8], pinned: &Key, signed: u64) {
        // It may have been compressed or set aside since.
        let Ok(mut now) = std::fs::read(path) else { return };
        let len = bytes.len().min(now.len());
        now[..len].copy_from_slice(&bytes[..len]);
        now.extend_from_slice(&bytes[len..]);
        std::fs::write(path, now).unwrap();
        let verdict = self.place.verify(&pinned.public(), None);
        self.edited_lines("the key, the lines put back,", &verdict, signed);
        let lines = self.lines();
        let is_there =
            lines.values().any(|line| String::from_utf8_lossy(line).contains("\"action\":\"more\""));
        let misplaced = lines.iter().find(|(index, line)| !has_index(line, **index));
        if verdict.code == Some(0) && self.opened.code == Some(0) && (!is_there || misplaced.is_some()) {
            let opened = self.opened;
            self.violations.push(format!(
                "an answered line is gone or misplaced ({misplaced:?}), and all is well: {opened:#?}, {verdict:#?}"
            ));
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
