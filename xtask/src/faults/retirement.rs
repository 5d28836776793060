//! Faults in what retirement promises.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "held_retired",
        what: "events that a legal hold matches are retired",
        tests: &["-p", "trailseal-core", "--test", "retirement_keeps"],
    },
    Fault {
        name: "undelivered_retired",
        what: "events that a sink still has to receive are retired",
        tests: &["-p", "trailseal-core", "--test", "retirement_keeps"],
    },
    Fault {
        name: "clock_ahead_trusted",
        what: "events are retired by a clock that is years ahead",
        tests: &["-p", "trailseal-core", "--test", "retirement"],
    },
    Fault {
        name: "retired_ids_forgotten",
        what: "a repeat of a retired event is recorded anew",
        tests: &["-p", "trailseal-core", "--test", "retirement"],
    },
    Fault {
        name: "retired_unvouched",
        what: "a list alone makes missing lines count as retired",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_unsealed",
        what: "an event that no checkpoint covers vouches for missing lines",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_unsigned",
        what: "an event that nobody has signed vouches for missing lines",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_by_any_key",
        what: "a key that was rotated away announces retirements",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_by_named_key",
        what: "a key that only trail.toml names announces retirements to those who pinned another",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_list_unchecked",
        what: "an event vouches for whatever a list says",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_meanwhile_not_looked_at",
        what: "lines that are retired while they are verified are called missing",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "retired_lines_not_compared",
        what: "lines that were changed are retired, and nobody sees that any more",
        tests: &["-p", "trailseal-core", "--test", "retirement_forged"],
    },
    Fault {
        name: "rewritten_not_synced",
        what: "a segment without its retired lines gets its name before it is on disk",
        tests: &["-p", "trailseal-core", "--test", "retirement_crashes"],
    },
    Fault {
        name: "unannounced_kept",
        what: "an opening keeps lists that no sealed event announces",
        tests: &["-p", "trailseal-core", "--test", "retirement_crashes"],
    },
    Fault {
        name: "unsealed_undone",
        what: "an opening undoes what an event announces that is sealed only afterwards",
        tests: &["-p", "trailseal-core", "--test", "retirement", "announced_and_not_sealed"],
    },
    Fault {
        name: "late_hold_missed",
        what: "a hold that is added before the announcement is not applied",
        tests: &["-p", "trailseal-core", "--test", "retirement_holds"],
    },
    Fault {
        name: "plain_values_not_held",
        what: "a hold on a hashed value does not hold older events that have it in plain",
        tests: &["-p", "trailseal-core", "--test", "retirement_holds"],
    },
    Fault {
        name: "backup_of_newer_segment",
        what: "a backup takes segments of which more was retired than its lists say",
        tests: &["-p", "trailseal-core", "--test", "backup_interrupted", "--test", "retirement_copies"],
    },
    Fault {
        name: "backup_not_staged",
        what: "a backup puts lines into the copy that its checkpoint cannot do with",
        tests: &["-p", "trailseal-core", "--test", "backup_interrupted"],
    },
    Fault {
        name: "half_copied_passed_over",
        what: "a backup leaves a segment in the copy of which it has only a part",
        tests: &["-p", "trailseal-core", "--test", "backup_interrupted", "copied_in_part"],
    },
    Fault {
        name: "last_leaves_not_kept",
        what: "a torn block of the tree takes hashes of retired lines with it",
        tests: &["-p", "trailseal-core", "--test", "retirement_keeps"],
    },
    Fault {
        name: "index_keeps_retired",
        what: "the index still finds and counts what was retired",
        tests: &["-p", "trailseal-index", "--test", "retirement"],
    },
];
