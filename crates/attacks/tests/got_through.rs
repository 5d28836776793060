//! Attacks that got through once, each on one trail and on a folder of slots.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::PathBuf;

use trailseal_attacks::{Folder, Key, Kind, ManifestKey, Place, handoff, manifest, rotation_line, snapshot};

/// Each attack as a test of its name, in both kinds.
macro_rules! both {
    ($($attack:ident)*) => {
        mod one { $(#[test] fn $attack() { super::$attack(super::Kind::One); })* }
        mod slots { $(#[test] fn $attack() { super::$attack(super::Kind::Slots); })* }
    };
}

both! {
    a_own_key_in_the_list_gets_no_forgery_signed
    b_retired_key_signs_nothing_in_the_folder
    b_retired_key_signs_no_history_without_the_rotation
    b_retired_key_signs_no_proof
    c_lines_and_checkpoint_gone_are_no_empty_trail
    c_lines_and_manifest_gone_are_no_place_for_a_new_trail
    c_gap_above_the_signed_size_is_not_written_on
    d_damaged_line_that_was_durable_is_not_set_aside
    d_lines_that_the_index_has_seen_are_missed
    e_checkpoint_set_back_does_not_hide_what_a_kept_one_signs
    e_trail_cut_back_to_a_kept_checkpoint_is_not_written_on
    e_anchor_that_knows_more_is_believed
    f_sixty_four_rotations_can_be_read_and_no_more_are_made
    g_line_after_the_close_is_not_believed
    g_handoff_after_the_close_is_not_believed
    g_time_far_ahead_is_told
    g_policy_that_appeared_is_told
    g_other_folder_is_told
    way_on_leaves_the_old_folder_as_it_is
}

/// A trail that was closed, with the key and the checkpoint that an auditor keeps.
struct Stopped {
    place: Place,
    key: Key,
    pinned: String,
    kept: PathBuf,
    size: u64,
}

fn stopped(kind: Kind) -> Stopped {
    let place = Place::new(kind).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    for name in ["first", "second", "third"] {
        place.session(name, 10);
    }
    keeping(place)
}

fn keeping(place: Place) -> Stopped {
    let (key, kept) = (place.trail().key(), place.path("kept"));
    std::fs::copy(place.trail().path("checkpoint"), &kept).unwrap();
    let size = place.trail().checkpoint().unwrap().size;
    let stopped = Stopped { pinned: key.public(), place, key, kept, size };
    stopped.place.verify(&stopped.pinned, Some(&stopped.kept)).ok();
    stopped
}

impl Stopped {
    fn trail(&self) -> Folder {
        self.place.trail()
    }

    fn copy(&self) -> Stopped {
        let place = self.place.copy();
        let (key, pinned, kept) = (self.key.clone(), self.pinned.clone(), place.path("kept"));
        Stopped { place, key, pinned, kept, size: self.size }
    }

    /// An opening is refused, says all of `wanted`, and changes nothing.
    #[track_caller]
    fn refuses(&self, wanted: &[&str]) {
        let before = snapshot(&self.trail().0);
        self.place.record(&["more"]).refused(wanted);
        let after = snapshot(&self.trail().0);
        assert!(before == after, "changed by a refused opening: {:?}", differing(&before, &after));
    }

    /// Neither pinning says that all is well.
    #[track_caller]
    fn is_found(&self) {
        self.place.verify(&self.pinned, None).not_clean();
        self.place.verify(&self.pinned, Some(&self.kept)).not_clean();
    }
}

type Files = std::collections::BTreeMap<PathBuf, Vec<u8>>;

fn differing<'a>(before: &'a Files, after: &'a Files) -> Vec<&'a PathBuf> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).collect()
}

/// Another action in a line; and no index that knows the old one.
fn edit(trail: &Folder, index: u64) {
    trail.remove("index");
    trail.edit_line(index, |line| {
        let text = String::from_utf8(line.clone()).unwrap();
        assert!(text.contains("\"action\":\""), "{text}");
        *line = text.replacen("\"action\":\"", "\"action\":\"x", 1).into_bytes();
    });
}

fn created(trail: &Folder) -> String {
    let text = trail.read("trail.toml");
    let start = text.find("created = \"").unwrap() + "created = \"".len();
    text[start..].split('"').next().unwrap().to_owned()
}

fn listed(key: &Key) -> ManifestKey {
    ManifestKey { public: key.public(), from: 0, to: None, vouched: None }
}

fn a_own_key_in_the_list_gets_no_forgery_signed(kind: Kind) {
    let base = stopped(kind);
    let own = Key::of_seed(&base.place.origin(), 7);
    let until = |key: &Key, to| ManifestKey { to: Some(to), ..listed(key) };
    let vouched = |key: &Key, from, by: &Key| ManifestKey {
        from,
        vouched: Some(rotation_line(&own, key, from, by)),
        ..listed(key)
    };
    let lists = [
        vec![listed(&own), listed(&base.key)],
        vec![until(&own, base.size), vouched(&base.key, base.size, &own)],
        vec![listed(&base.key), listed(&own)],
        vec![listed(&own)],
    ];
    for (number, list) in lists.iter().enumerate() {
        for with_kept in [true, false] {
            let attacked = base.copy();
            let trail = attacked.trail();
            let genuine = trail.read("trail.toml");
            edit(&trail, 5);
            if with_kept {
                trail.forge(base.size, &own, &[]);
            } else {
                trail.write_tree(base.size);
                trail.write("checkpoint", trail.note_of_lines(base.size, &[&own], &[]));
            }
            trail.write("trail.toml", manifest(&base.place.origin(), &created(&trail), list));
            attacked.place.record(&["more"]).refused(&[]);
            attacked.is_found();
            trail.write("trail.toml", &genuine);
            attacked.is_found();
            println!("list {number} with kept ones {with_kept}: nothing was signed");
        }
    }
}

/// A trail with one rotation and events before and after, and its retired key.
fn rotated(kind: Kind) -> (Stopped, Key) {
    let place = Place::new(kind).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    place.session("before", 10);
    std::fs::copy(place.trail().path("checkpoint"), place.path("kept-before")).unwrap();
    let old = place.trail().key();
    place.run_on_trail(&["key", "rotate"]).ok();
    place.session("after", 10);
    (keeping(place), old)
}

fn b_retired_key_signs_nothing_in_the_folder(kind: Kind) {
    let (base, old) = rotated(kind);
    let rotation = base.trail().checkpoint().unwrap().rotation_lines();
    assert_eq!(rotation.len(), 1, "a checkpoint after a rotation carries its line");
    for lines in [&rotation[..], &[]] {
        for is_edited in [true, false] {
            let attacked = base.copy();
            if is_edited {
                edit(&attacked.trail(), 5);
            }
            attacked.trail().forge(base.size, &old, lines);
            attacked.refuses(&[]);
            attacked.is_found();
            attacked.place.verify(&old.public(), None).not_clean();
            attacked.place.verify(&old.public(), Some(&attacked.kept)).not_clean();
        }
    }
}

fn b_retired_key_signs_no_history_without_the_rotation(kind: Kind) {
    let (base, old) = rotated(kind);
    let trail = base.trail();
    edit(&trail, 5);
    trail.forge(base.size, &old, &[]);
    trail.write("trail.toml", manifest(&base.place.origin(), &created(&trail), &[listed(&old)]));
    base.place.verify(&base.pinned, None).not_clean();
    // Whoever keeps a checkpoint from after the rotation knows that the old key was retired.
    base.place.verify(&old.public(), Some(&base.kept)).not_clean();
    base.place.record(&["more"]).refused(&[]);
}

fn b_retired_key_signs_no_proof(kind: Kind) {
    let (base, old) = rotated(kind);
    let newest = base.trail().checkpoint().unwrap();
    let forged = base.trail().note_of_lines(base.size, &[&old], &newest.rotation_lines());
    let genuine = base.trail().read("checkpoint");

    base.place.run_on_trail(&["prove", "5", "--out", "proof"]).ok();
    let proof = std::fs::read_to_string(base.place.path("proof")).unwrap();
    let check =
        |file: &str, option: &str| base.place.run(&["verify", option, file, "--public-key", &old.public()]);
    check("proof", "--proof").ok();
    assert!(proof.contains(&genuine), "a proof ends with the checkpoint: {proof}");
    std::fs::write(base.place.path("proof"), proof.replace(&genuine, &forged)).unwrap();
    check("proof", "--proof").not_clean();

    base.place.run_on_trail(&["consistency", "kept-before", "--out", "consistency"]).ok();
    let consistency = std::fs::read_to_string(base.place.path("consistency")).unwrap();
    check("consistency", "--consistency").ok();
    assert!(consistency.contains(&genuine), "it ends with the newer checkpoint: {consistency}");
    std::fs::write(base.place.path("consistency"), consistency.replace(&genuine, &forged)).unwrap();
    check("consistency", "--consistency").not_clean();
}

fn c_lines_and_checkpoint_gone_are_no_empty_trail(kind: Kind) {
    let base = stopped(kind);
    for also in
        [&["checkpoint"][..], &["checkpoint", "checkpoints"], &["checkpoint", "checkpoints", "index"], &[]]
    {
        let attacked = base.copy();
        remove_segments(&attacked.trail());
        also.iter().for_each(|name| attacked.trail().remove(name));
        attacked.refuses(&["trailseal succeed"]);
        attacked.is_found();
    }
}

fn c_lines_and_manifest_gone_are_no_place_for_a_new_trail(kind: Kind) {
    let base = stopped(kind);
    for also in [&[][..], &["checkpoint"], &["index"], &["tree"], &["keys"]] {
        let attacked = base.copy();
        remove_segments(&attacked.trail());
        attacked.trail().remove("trail.toml");
        also.iter().for_each(|name| attacked.trail().remove(name));
        attacked.refuses(&[]);
        assert!(!attacked.trail().path("trail.toml").exists());
    }
}

fn remove_segments(trail: &Folder) {
    for entry in std::fs::read_dir(trail.path("segments")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

/// A trail with 20 durable lines that nothing signs, since its writer was killed.
fn killed(kind: Kind) -> Stopped {
    let mut base = stopped(kind);
    base.place.killed_session("unsealed", 20);
    assert!(base.trail().lines().len() as u64 >= base.size + 20);
    base
}

fn c_gap_above_the_signed_size_is_not_written_on(kind: Kind) {
    let base = killed(kind);
    for without_handoff in [false, true] {
        let attacked = base.copy();
        let trail = attacked.trail();
        let lines = trail.lines();
        trail.cut_lines(base.size);
        let begin = base.size + 3;
        let rest: Vec<u8> =
            lines[begin as usize..].iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        trail.write(&format!("segments/{begin:020}.jsonl"), rest);
        if without_handoff {
            trail.remove("handoff");
        }
        attacked.refuses(&["trailseal succeed"]);
    }
}

fn d_damaged_line_that_was_durable_is_not_set_aside(kind: Kind) {
    let base = killed(kind);
    base.trail().remove("index");
    base.copy().place.record(&["more"]).ok();
    let last = base.trail().lines().len() as u64 - 1;
    // The version, the index, `recorded`, and the whole line.
    let damages: [fn(&mut Vec<u8>); 4] =
        [|line| line[2] ^= 1, |line| line[14] ^= 0x10, |line| line[45] ^= 0x40, |line| line.fill(0)];
    for index in [base.size, base.size + 7, last] {
        for damage in damages {
            let attacked = base.copy();
            attacked.trail().edit_line(index, damage);
            // Before the last segment, the name of the next one says as much as the handoff does.
            let witness = if index == last { "handoff" } else { "says that there were" };
            attacked.refuses(&[&format!("{index}.."), witness, "trailseal succeed"]);
        }
    }
    let attacked = base.copy();
    attacked.trail().cut_lines(base.size + 7);
    attacked.refuses(&[&(base.size + 7).to_string(), "handoff", "trailseal succeed"]);
}

fn d_lines_that_the_index_has_seen_are_missed(kind: Kind) {
    let base = killed(kind);
    base.trail().remove("handoff");
    assert_eq!(base.trail().index_cursor(), Some(base.trail().lines().len() as u64));
    base.copy().place.record(&["more"]).ok();
    base.trail().cut_lines(base.size + 7);
    base.refuses(&[&(base.size + 7).to_string(), "index", "trailseal succeed"]);
}

fn e_checkpoint_set_back_does_not_hide_what_a_kept_one_signs(kind: Kind) {
    let base = stopped(kind);
    let kept = base.trail().kept();
    let (&first, &largest) = (kept.first().unwrap(), kept.last().unwrap());
    edit(&base.trail(), (first + largest) / 2);
    let trail = base.trail();
    trail.write("checkpoint", trail.read(&format!("checkpoints/{first}")));
    trail.write_tree(base.size);
    base.refuses(&[]);
    base.is_found();
}

fn set_back(trail: &Folder, size: u64) {
    trail.write("checkpoint", trail.read(&format!("checkpoints/{size}")));
    for larger in trail.kept().into_iter().filter(|kept| *kept > size) {
        trail.remove(&format!("checkpoints/{larger}"));
    }
}

fn e_trail_cut_back_to_a_kept_checkpoint_is_not_written_on(kind: Kind) {
    let base = stopped(kind);
    let size = base.trail().kept()[2];
    set_back(&base.trail(), size);
    base.trail().cut_lines(size);
    base.trail().write_tree(size);
    base.refuses(&["index", "trailseal succeed"]);
    base.place.verify(&base.pinned, Some(&base.kept)).finds(&["rollback", "durable_missing"]);
}

fn e_anchor_that_knows_more_is_believed(kind: Kind) {
    let place = Place::new(kind).with("TRAILSEAL_SEGMENT__ROLL", "1KiB");
    std::fs::write(place.path("trailseal.toml"), "[[anchor]]\nfile = \"anchored\"\n").unwrap();
    for name in ["first", "second", "third"] {
        place.session(name, 10);
    }
    let base = keeping(place);
    let anchored = std::fs::read_to_string(base.place.path("anchored")).unwrap();
    assert!(anchored.contains(&base.trail().read("checkpoint")), "the anchor has the newest: {anchored}");
    base.copy().place.record(&["more"]).ok();
    let size = base.trail().kept()[2];
    for is_cut in [false, true] {
        let attacked = base.copy();
        let trail = attacked.trail();
        set_back(&trail, size);
        if is_cut {
            trail.cut_lines(size);
        } else {
            edit(&trail, size + 2);
        }
        trail.remove("index");
        trail.write_tree(size);
        attacked.refuses(&["anchored"]);
        attacked.place.verify(&attacked.pinned, Some(&attacked.kept)).not_clean();
    }
}

fn f_sixty_four_rotations_can_be_read_and_no_more_are_made(kind: Kind) {
    let base = stopped(kind);
    for number in 1..=64 {
        let answer = base.place.run_on_trail(&["key", "rotate"]);
        assert_eq!(answer.code, Some(0), "rotation {number}: {answer:#?}");
    }
    base.place.run_on_trail(&["key", "rotate"]).refused(&["64"]);
    base.place.session("afterwards", 2);
    base.place.verify(&base.pinned, Some(&base.kept)).ok();
    let newest = base.trail().checkpoint().unwrap();
    assert_eq!(newest.rotation_lines().len(), 64);
    assert!(newest.signatures.len() <= 100, "other tools' note readers stop at 100 lines");
}

fn g_line_after_the_close_is_not_believed(kind: Kind) {
    let base = stopped(kind);
    let segment = base.trail().segments().pop().unwrap();
    let mut lines = segment.lines();
    let last = String::from_utf8(lines.last().unwrap().clone()).unwrap();
    assert!(last.contains("trail.closed"), "{last}");
    let front = last.split("\"system\"").next().unwrap();
    let front = front.replace(&format!("\"index\":{},", base.size - 1), &format!("\"index\":{},", base.size));
    lines.push(format!("{front}\"id\":\"forged\",\"action\":\"user.login\"}}").into_bytes());
    segment.set_lines(&lines);
    base.refuses(&[&base.size.to_string()]);
}

/// A handoff with one frame behind the last line, as its writer would have left it but for the line.
fn with_handoff(base: &Stopped, line: &str) -> Stopped {
    let attacked = base.copy();
    let origin = attacked.key.public().split('+').next().unwrap().to_owned();
    let bytes = handoff(&origin, base.size, &[line.as_bytes().to_vec()]);
    attacked.trail().write("handoff", bytes);
    attacked
}

fn g_handoff_after_the_close_is_not_believed(kind: Kind) {
    let base = stopped(kind);
    let lines = base.trail().lines();
    let last = String::from_utf8(lines.last().unwrap().clone()).unwrap();
    let front = last.split("\"system\"").next().unwrap();
    let front = front.replace(&format!("\"index\":{},", base.size - 1), &format!("\"index\":{},", base.size));
    for rest in ["\"id\":\"forged\",\"action\":\"user.login\"}", "this is no JSON"] {
        with_handoff(&base, &format!("{front}{rest}"))
            .refuses(&[&base.size.to_string(), "trailseal succeed"]);
    }
    // Behind lines that a killed writer left, where anything may follow: it must still be a line.
    let killed = killed(kind);
    let size = killed.trail().lines().len() as u64;
    let killed = Stopped { size, ..killed };
    let line = String::from_utf8(killed.trail().lines().pop().unwrap()).unwrap();
    let next = line.replacen(&format!("\"index\":{},", size - 1), &format!("\"index\":{size},"), 1);
    with_handoff(&killed, &next).place.record(&["more"]).ok();
    with_handoff(&killed, &next[..next.len() - 1]).refuses(&[&size.to_string()]);
}

fn details_of_opening(trail: &Folder) -> String {
    let at = trail.position_of("trail.opened").unwrap();
    let line = String::from_utf8(trail.lines()[at as usize].clone()).unwrap();
    line[line.find("\"details\"").unwrap()..].to_owned()
}

fn g_time_far_ahead_is_told(kind: Kind) {
    let base = killed(kind);
    let last = base.trail().lines().len() as u64 - 1;
    base.trail().edit_line(last, |line| {
        let at = line.windows(12).position(|window| window == b"\"recorded\":\"").unwrap() + 12;
        line[at..at + 4].copy_from_slice(b"9999");
    });
    let answer = base.place.record(&["more"]).ok();
    assert!(answer.err.contains("in the future"), "{answer:#?}");
    let details = details_of_opening(&base.trail());
    assert!(details.contains("ahead"), "{details}");
}

fn g_policy_that_appeared_is_told(kind: Kind) {
    let base = stopped(kind);
    let other = base.copy();
    other.place.run(&["policy", "set", "off"]).ok();
    let (mine, theirs) = (snapshot(&base.trail().0), snapshot(&other.trail().0));
    let added: Vec<&PathBuf> = theirs.keys().filter(|name| !mine.contains_key(*name)).collect();
    let policy: Vec<_> = added.into_iter().filter(|name| name.to_string_lossy().contains("policy")).collect();
    assert_eq!(policy.len(), 1, "one file holds the policy that was set: {policy:?}");
    base.trail().write(policy[0].to_str().unwrap(), &theirs[policy[0]]);
    let answer = base.place.record(&["more"]);
    assert!(answer.err.contains("policy"), "{answer:#?}");
    let details = details_of_opening(&base.trail());
    assert!(details.contains("\"differs\":[\"policy\"]"), "{details}");
}

fn g_other_folder_is_told(kind: Kind) {
    let base = stopped(kind);
    let quiet = base.place.record(&["more"]).ok();
    assert_eq!(quiet.err, "", "nothing is to be told of the same folder");
    let at_home = details_of_opening(&base.trail());
    let moved = base.copy();
    let answer = moved.place.record(&["more"]).ok();
    assert!(answer.err.contains("folder"), "{answer:#?}");
    let names = |details: &str| -> Vec<String> {
        let fields = details.split('"').skip(1).step_by(2);
        fields.map(str::to_owned).collect()
    };
    let elsewhere = details_of_opening(&moved.trail());
    assert_ne!(names(&at_home), names(&elsewhere), "trail.opened says it: {elsewhere}");
    // Once told, it is at home there.
    assert_eq!(moved.place.record(&["more"]).ok().err, "");
}

fn way_on_leaves_the_old_folder_as_it_is(kind: Kind) {
    let base = killed(kind);
    let trail = base.trail();
    trail.edit_line(base.size + 3, |line| line[2] ^= 1);
    base.refuses(&["trailseal succeed", "--dir", "--origin"]);
    let before = snapshot(&trail.0);
    let old = trail.0.to_str().unwrap();
    base.place.run(&["succeed", old, "--dir", "next", "--origin", "example.com/next"]).ok();
    assert!(before == snapshot(&trail.0), "the old folder is never written");
    let next = Folder(base.place.path("next"));
    let first = next.lines().iter().map(|line| String::from_utf8(line.clone()).unwrap()).next().unwrap();
    assert!(first.contains(&format!("\"{}\"", base.place.origin())), "it names the old trail: {first}");
    let signed = trail.checkpoint().unwrap();
    assert!(first.contains(&signed.root) && first.contains(&signed.size.to_string()), "{first}");
    let mut on = base.copy();
    on.place.set("TRAILSEAL_WORKERS", "one");
    on.place.set("TRAILSEAL_ORIGIN", "example.com/next");
    on.place.set("TRAILSEAL_DIR", "next");
    on.place.session("next", 3);
    on.place.verify(&next.key().public(), None).ok();
}
