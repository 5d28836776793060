//! Faults of the shared store: delivery, reading, checkpoints in it, and its verification.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "store_late_events_ignored",
        what: "a page of the shared store leaves out what was recorded late in another partition",
        tests: &["-p", "trailseal-postgres", "--lib", "read::windows"],
    },
    Fault {
        name: "store_rows_not_judged",
        what: "rows of the shared store count as matches without a look at their lines",
        tests: &["-p", "trailseal-postgres", "--test", "reading"],
    },
    Fault {
        name: "database_read_early",
        what: "a database storage reads the store before it has what the process recorded",
        tests: &["-p", "trailseal", "--features", "postgres", "--test", "postgres", "recorded_before"],
    },
    Fault {
        name: "store_page_gets_nowhere",
        what: "a page of the shared store that has no time may end where it began",
        tests: &["-p", "trailseal-postgres", "--test", "reading", "gets_on"],
    },
    Fault {
        name: "store_cursor_moved_apart",
        what: "the cursor in the shared store is moved after the transaction that adds the rows",
        tests: &["-p", "trailseal-postgres", "--test", "kill"],
    },
    Fault {
        name: "store_cursor_not_compared",
        what: "a batch is added to the shared store wherever its cursor is",
        tests: &["-p", "trailseal-postgres", "--test", "delivery"],
    },
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
