//! Faults of a trail on disk: events, masking, the way of a line, opening, sealing, reading, verification, the index.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "no_sync_before_answer",
        what: "a durable event is answered without fdatasync",
        tests: &["-p", "trailseal-core", "--test", "power_loss"],
    },
    Fault {
        name: "answer_before_sync",
        what: "sync callers wake before the segment is written",
        tests: &["-p", "trailseal-core", "--test", "power_loss"],
    },
    Fault {
        name: "checkpoint_before_tree",
        what: "the checkpoint is put in place before the tree that it covers",
        tests: &["-p", "trailseal-core", "--test", "power_loss"],
    },
    Fault {
        name: "buffer_freed_early",
        what: "the handoff's bytes are free before they are durable",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "sync_tried_again",
        what: "after a failed write the same segment is written on",
        tests: &["-p", "trailseal-core", "--test", "disk_faults"],
    },
    Fault {
        name: "replay_past_break",
        what: "replay goes on behind a damaged frame",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "rewound_unreleased",
        what: "the ring goes back to its start over lines that are not durable",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "header_not_rewound",
        what: "the ring goes back to its start, and the header does not say so",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "parts_not_bounded",
        what: "a part of an event that the caller wrote as text may end its field and begin another",
        tests: &["-p", "trailseal-event", "--lib", "rewrite"],
    },
    Fault {
        name: "no_room_is_refusal",
        what: "an event that found no room for a moment is refused, and counted",
        tests: &["-p", "trailseal-core", "--test", "text"],
    },
    Fault {
        name: "no_room_for_all_is_refusal",
        what: "events that found no room together for a moment are refused, and counted",
        tests: &["-p", "trailseal-core", "--test", "text"],
    },
    Fault {
        name: "recorded_goes_back",
        what: "`recorded` follows the clock backwards",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "index_for_refused",
        what: "a refused event uses up an index",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "lock_inherited",
        what: "a forked child inherits the lock",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "guard_inherited",
        what: "a forked child keeps a killed parent's second lock",
        tests: &["-p", "trailseal-core", "--test", "guard"],
    },
    Fault {
        name: "fork_inside_sqlite",
        what: "a forked child waits forever for a mutex of SQLite that a thread of its parent held",
        tests: &["-p", "trailseal-index", "--test", "fork"],
    },
    Fault {
        name: "ring_left_undrained",
        what: "a handoff that was taken away is left before its lines are durable",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "fork_not_noticed",
        what: "a forked child records into its parent's handoff",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "torn_lines_kept",
        what: "recovery takes torn lines for whole ones",
        tests: &["-p", "trailseal-core", "--test", "power_loss", "--test", "promises"],
    },
    Fault {
        name: "signed_lines_not_compared",
        what: "an opening does not look whether signed lines changed",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "root_not_compared",
        what: "an opening does not compare the tree's edge with the signed root",
        tests: &["-p", "trailseal-core", "--test", "torn_tree"],
    },
    Fault {
        name: "witnesses_not_asked",
        what: "an opening takes fewer lines than were durable",
        tests: &["-p", "trailseal-core", "--test", "openings"],
    },
    Fault {
        name: "gap_accepted",
        what: "an opening goes on over lines that are missing before the next segment",
        tests: &["-p", "trailseal-core", "--test", "openings"],
    },
    Fault {
        name: "lines_after_close_taken",
        what: "lines that nobody can have recorded are sealed",
        tests: &["-p", "trailseal-core", "--test", "openings"],
    },
    Fault {
        name: "handoff_lines_unchecked",
        what: "an opening takes lines from the handoff that no writer can have put there",
        tests: &["-p", "trailseal-attacks", "--test", "got_through", "handoff"],
    },
    Fault {
        name: "rotation_before_checkpoint",
        what: "the next key signs before a checkpoint of the old one says so",
        tests: &["-p", "trailseal-core", "--test", "power_loss"],
    },
    Fault {
        name: "compressed_not_read_back",
        what: "a plain segment is removed without reading the compressed one back",
        tests: &["-p", "trailseal-core", "--test", "regressions_at_rest", "compressed"],
    },
    Fault {
        name: "compressed_not_synced",
        what: "a compressed segment replaces the plain one before it is on disk",
        tests: &["-p", "trailseal-core", "--test", "regressions_at_rest", "compressed"],
    },
    Fault {
        name: "void_lines_read",
        what: "lines beyond the next segment's name are read",
        tests: &["-p", "trailseal-core", "--test", "disk_faults"],
    },
    Fault {
        name: "tenants_share_ids",
        what: "one tenant's id hides another tenant's event",
        tests: &["-p", "trailseal-core", "--test", "promises"],
    },
    Fault {
        name: "ids_forgotten_early",
        what: "ids are forgotten that the index does not have yet",
        tests: &["-p", "trailseal-index", "--test", "known_ids"],
    },
    Fault {
        name: "prefilter_ignores_escapes",
        what: "the look at a line's bytes says no to a match",
        tests: &["-p", "trailseal-event", "--lib", "filter"],
    },
    Fault {
        name: "outcome_invented",
        what: "an event that names no outcome is sealed as a success",
        tests: &["-p", "trailseal-event", "--lib", "event::read"],
    },
    Fault {
        name: "prefilter_wants_an_outcome",
        what: "the look at a line's bytes misses events that name no outcome",
        tests: &["-p", "trailseal-event", "--lib", "filter"],
    },
    Fault {
        name: "strict_refuses_values",
        what: "a strict reader refuses an event for a value that a client sent",
        tests: &["-p", "trailseal-event", "--lib", "event::warning"],
    },
    Fault {
        name: "idle_sink_fails_for_ever",
        what: "a sink that works again is called failing until there is an event to deliver",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "segments_not_listed_again",
        what: "a delivery reads on in a segment beyond its end",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "policy_of_note_believed",
        what: "an opening compares its policy with the line that the unsigned note points to",
        tests: &["-p", "trailseal-core", "--test", "policy_put_back"],
    },
    Fault {
        name: "delivered_lines_counted",
        what: "a delivery numbers lines by counting them",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "gathering_not_ended",
        what: "whoever waits for the store waits until enough events have gathered for it",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "store_not_waited_for",
        what: "the level store is answered when the event is on disk",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "repeat_confirmed_early",
        what: "a repeat is confirmed before the first event has reached what the policy asks for",
        tests: &["-p", "trailseal-core", "--test", "delivery"],
    },
    Fault {
        name: "failures_sampled_out",
        what: "sampling leaves out failures and security events",
        tests: &["-p", "trailseal-event", "--lib", "policy"],
    },
    Fault {
        name: "end_sampled_out",
        what: "sampling keeps the beginning of an operation and leaves out its end, so that it seems to have died",
        tests: &["-p", "trailseal", "--test", "trail"],
    },
    Fault {
        name: "sampling_without_secret",
        what: "a client can find out which correlation ids are kept",
        tests: &["-p", "trailseal-event", "--lib", "policy"],
    },
    Fault {
        name: "identities_merge",
        what: "two ids that are secrets become one",
        tests: &["-p", "trailseal-core", "--test", "identity"],
    },
    Fault {
        name: "identity_cut",
        what: "two tenants that begin alike become one when they are too long",
        tests: &["-p", "trailseal-event", "--lib", "limits"],
    },
    Fault {
        name: "tenant_not_checked",
        what: "a token is made for a tenant that no event keeps as it is",
        tests: &["-p", "trailseal-core", "--test", "identity"],
    },
    Fault {
        name: "named_fields_not_hashed",
        what: "an event with a field that is to be hashed always is taken for clean",
        tests: &["-p", "trailseal-core", "--test", "identity"],
    },
    Fault {
        name: "trail_over_slots",
        what: "a trail is made in a folder of slots, and hides their events",
        tests: &["-p", "trailseal-core", "--test", "openings"],
    },
    Fault {
        name: "slots_hash_apart",
        what: "one secret has another hash in each slot",
        tests: &["-p", "trailseal-core", "--test", "identity"],
    },
    Fault {
        name: "filters_not_hashed",
        what: "a filter does not find what masking hashed",
        tests: &["-p", "trailseal-core", "--test", "identity"],
    },
    Fault {
        name: "value_cut_short",
        what: "a value in a text ends at a mark that may belong to it",
        tests: &["-p", "trailseal-event", "--lib", "mask::tests::whole"],
    },
    Fault {
        name: "derived_changes_not_named",
        what: "changes that were derived keep what another member named as a secret",
        tests: &["-p", "trailseal-event", "--lib", "mask::tests::whole"],
    },
    Fault {
        name: "runs_walked_again",
        what: "a run of a text is walked again for each place in it that could begin a secret",
        tests: &["-p", "trailseal-event", "--lib", "mask::tests::effort"],
    },
    Fault {
        name: "tail_not_searched",
        what: "a search leaves out what the index has not got yet",
        tests: &["-p", "trailseal-index", "--test", "search"],
    },
    Fault {
        name: "index_cursor_apart",
        what: "the index's cursor is put outside the transaction of its rows",
        tests: &["-p", "trailseal-index", "--test", "kill"],
    },
    Fault {
        name: "index_range_written_late",
        what: "a closed range of the index is written after the rows it replaces are gone",
        tests: &["-p", "trailseal-index", "--test", "kill"],
    },
    Fault {
        name: "index_values_lost",
        what: "a value that no dictionary of the index takes gets no key",
        tests: &["-p", "trailseal-index", "--test", "brute_force"],
    },
    Fault {
        name: "index_believes_times",
        what: "the index takes an event's time though it is later than the trail's clock",
        tests: &["-p", "trailseal-index", "--test", "brute_force"],
    },
    Fault {
        name: "index_unchecked",
        what: "pieces of the index are believed whatever their checksum",
        tests: &["-p", "trailseal-index", "--test", "flipped_bits"],
    },
    Fault {
        name: "tree_held_open",
        what: "the sealer holds all files of the tree while files are short",
        tests: &["-p", "trailseal-core", "--test", "short_of_files"],
    },
    Fault {
        name: "roll_refuses",
        what: "events are refused while files are short and a new segment is due",
        tests: &["-p", "trailseal-core", "--test", "short_of_files"],
    },
    Fault {
        name: "temporary_followed",
        what: "a temporary file is written over though it is somebody else's file as well",
        tests: &["-p", "trailseal-core", "--lib", "file"],
    },
];
