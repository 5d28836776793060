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
        name: "store_page_gets_nowhere",
        what: "a page of the shared store that has no time may end where it began",
        tests: &["-p", "trailseal-postgres", "--test", "reading", "gets_on"],
    },
    Fault {
        name: "store_search_not_cancelled",
        what: "a search in the shared store that nobody waits for goes on in the database",
        tests: &["-p", "trailseal-cli", "--test", "serve_store", "ends_in_the_database"],
    },
    Fault {
        name: "store_tail_passes_unread",
        what: "whoever follows a shared store passes events that did not fit into a look",
        tests: &["-p", "trailseal-postgres", "--test", "reading", "following"],
    },
    Fault {
        name: "store_extents_believed",
        what: "events of a shared store that its extents do not know are not looked for",
        tests: &["-p", "trailseal-postgres", "--lib", "read::extent"],
    },
    Fault {
        name: "store_untold_values_left_out",
        what: "values that only lines tell are left out of the counts of a shared store",
        tests: &["-p", "trailseal-postgres", "--test", "reading", "counting"],
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
    Fault {
        name: "outbox_not_masked",
        what: "an event lies in the outbox as it was given, secrets and all",
        tests: &["-p", "trailseal-postgres", "--test", "outbox", "no_secret"],
    },
    Fault {
        name: "outbox_takes_claimed",
        what: "a relay takes events over that another trail has claimed",
        tests: &["-p", "trailseal-postgres", "--test", "outbox", "no_other_one"],
    },
    Fault {
        name: "outbox_looks_again",
        what: "a relay looks for new commits in the middle of what it found",
        tests: &["-p", "trailseal-postgres", "--test", "outbox", "commits_later"],
    },
];
