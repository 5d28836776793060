//! Faults of checkpoints in a store, and of its verification.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "checkpoints_not_compared",
        what: "a trail delivers although a store has checkpoints of another one",
        tests: &["-p", "trailseal-core", "--test", "delivery_checkpoints"],
    },
    Fault {
        name: "store_fork_not_refused",
        what: "of two checkpoints of one size, a store says nothing of the second",
        tests: &["-p", "trailseal-postgres", "--test", "checkpoints"],
    },
    Fault {
        name: "store_leaves_believed",
        what: "a store's own leaf hashes are taken for those of its lines",
        tests: &["-p", "trailseal-postgres", "--lib", "verify"],
    },
    Fault {
        name: "store_columns_believed",
        what: "the columns of a store's rows are not made again from their lines",
        tests: &["-p", "trailseal-cli", "--test", "store_verify"],
    },
];
