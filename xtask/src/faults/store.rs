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
        name: "store_gathered_in_part",
        what: "a page of the shared store sorts a part of the rows with a value, and gives them as the first",
        tests: &["-p", "trailseal-postgres", "--test", "kept", "few_and_many"],
    },
    Fault {
        name: "store_kept_by_name_alone",
        what: "a search in the shared store executes what somebody else has prepared under its statement's name",
        tests: &["-p", "trailseal-postgres", "--test", "kept", "what_others"],
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
        name: "stream_sent_is_stored",
        what: "an event that is in a Redis Stream counts as stored",
        tests: &["-p", "trailseal-cli", "--test", "worker", "stored"],
    },
    Fault {
        name: "stream_gap_passed_over",
        what: "a worker stores what comes after a gap in a stream",
        tests: &["-p", "trailseal-cli", "--test", "worker", "gap"],
    },
    Fault {
        name: "stream_of_two_trails_stored",
        what: "a worker stores what another trail of the same origin has put into a stream",
        tests: &["-p", "trailseal-cli", "--test", "worker", "whatever"],
    },
    Fault {
        name: "stream_value_of_any_size_read",
        what: "a trail or a worker reads whatever another program has put into Redis, however large",
        tests: &["-p", "trailseal-cli", "--test", "worker", "large"],
    },
    Fault {
        name: "lease_without_end_held",
        what: "a lease that nobody holds any more holds the events of a trail up for ever",
        tests: &["-p", "trailseal-cli", "--test", "worker", "lease"],
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
        name: "interrupted_decision_forgotten",
        what: "a decision in the shared store that a kill interrupted is noted as recorded without its event",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "told_once"],
    },
    Fault {
        name: "decision_recorded_twice",
        what: "a decision in the shared store is recorded without a look whether its event is in the trail",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "told_once"],
    },
    Fault {
        name: "tokens_known_for_ever",
        what: "what was once known of shared tokens counts however long the store cannot be reached",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "known_tokens_work"],
    },
    Fault {
        name: "retires_by_old_holds",
        what: "a server retires without reading the shared legal holds",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "holds"],
    },
    Fault {
        name: "review_decided_twice",
        what: "of two who decide a shared review, both are told that they did",
        tests: &["-p", "trailseal-postgres", "--test", "shared"],
    },
    Fault {
        name: "policy_replaces_any",
        what: "a policy is set in the shared store whatever it was to replace",
        tests: &["-p", "trailseal-postgres", "--test", "shared"],
    },
    Fault {
        name: "flag_without_event",
        what: "a flag in a row becomes a review although its event is not there",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "a_writer_gets_only_flags"],
    },
    Fault {
        name: "flag_of_any_request",
        what: "a writer gets a change of the policy into the review queue by adding a row",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "a_writer_gets_only_flags"],
    },
    Fault {
        name: "early_flags_hold_up_others",
        what: "flags whose events never come keep those of other trails out of the queue",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "flags_whose_events_never_come"],
    },
    Fault {
        name: "viewer_keys_known_for_ever",
        what: "the viewer keys of other servers count for ever if they cannot be read any more",
        tests: &["-p", "trailseal-cli", "--test", "store_deciding", "keys_that_could_not_be_read"],
    },
    Fault {
        name: "viewer_token_without_end",
        what: "a viewer token that a stolen key signs lasts as long as it says",
        tests: &["-p", "trailseal-server", "--lib", "access::tokens_tests"],
    },
    Fault {
        name: "viewer_token_of_open_server",
        what: "a viewer token that anybody could make at an open server works at the others",
        tests: &["-p", "trailseal-server", "--lib", "access::tokens_tests"],
    },
    Fault {
        name: "store_keeps_retired",
        what: "the shared store keeps what a trail has retired",
        tests: &["-p", "trailseal-cli", "--test", "store_retirement", "comes_back"],
    },
    Fault {
        name: "store_keeps_unannounced",
        what: "the shared store takes a list of retired ranges that no event names",
        tests: &["-p", "trailseal-postgres", "--test", "roles", "writers_keep"],
    },
    Fault {
        name: "store_retires_unsigned",
        what: "`store retire` drops what an event announces that no given key has signed",
        tests: &["-p", "trailseal-postgres", "--test", "roles", "writers_keep"],
    },
    Fault {
        name: "store_retired_unsealed",
        what: "an event that no checkpoint covers explains missing rows of the shared store",
        tests: &["-p", "trailseal-postgres", "--lib", "verify::retired_tests"],
    },
    Fault {
        name: "store_retired_unsigned",
        what: "an event that no trusted key has signed explains missing rows of the shared store",
        tests: &["-p", "trailseal-postgres", "--lib", "verify::retired_tests"],
    },
    Fault {
        name: "store_lists_read_twice",
        what: "the lists that explain missing rows of the shared store need not be those that are compared with events",
        tests: &["-p", "trailseal-cli", "--test", "store_retirement", "tampers"],
    },
    Fault {
        name: "store_retired_list_unchecked",
        what: "a list in the shared store explains missing rows although it is not the one that was announced",
        tests: &["-p", "trailseal-postgres", "--lib", "verify::retired_tests"],
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
    Fault {
        name: "outbox_hands_in_again",
        what: "each row of the outbox that cannot be recorded makes its relay hand in the others again",
        tests: &["-p", "trailseal-postgres", "--lib", "outbox::hand_over"],
    },
    Fault {
        name: "two_relays_at_once",
        what: "two relays of one trail take over from one outbox at once",
        tests: &["-p", "trailseal-postgres", "--test", "outbox", "two_relays"],
    },
    Fault {
        name: "store_index_not_gone",
        what: "a retired event of a shared store, asked for by its index, is not known",
        tests: &["-p", "trailseal-cli", "--test", "store_retirement", "asked"],
    },
    Fault {
        name: "store_ids_not_missed",
        what: "nobody misses ids of retired events that were removed from the shared store",
        tests: &["-p", "trailseal-cli", "--test", "store_retirement", "tampers"],
    },
];
