//! Faults of what stands around a trail: the facade, the server, the command.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "guard_not_taken",
        what: "whoever removes `lock` lets a second writer in",
        tests: &["-p", "trailseal-cli", "--test", "lock_outside"],
    },
    Fault {
        name: "foreign_handoff_taken",
        what: "any file in a handoff's place is taken for this trail's",
        tests: &["-p", "trailseal-cli", "--test", "handoff_outside"],
    },
    Fault {
        name: "handoff_not_named",
        what: "the lock file does not name the handoff",
        tests: &["-p", "trailseal-cli", "--test", "handoff_outside"],
    },
    Fault {
        name: "signed_over_lost_tree",
        what: "a checkpoint is signed over a tree that is not on disk",
        tests: &["-p", "trailseal-cli", "--test", "lock_outside"],
    },
    Fault {
        name: "folder_not_synced",
        what: "a new or renamed file's folder is not synced",
        tests: &["-p", "trailseal-cli", "--test", "system_calls"],
    },
    Fault {
        name: "generation_not_synced",
        what: "a new handoff gets its name before its generation is on disk",
        tests: &["-p", "trailseal-cli", "--test", "system_calls"],
    },
    Fault {
        name: "handoff_of_any_folder",
        what: "a copy of a trail's folder takes the original's handoff",
        tests: &["-p", "trailseal-cli", "--test", "handoff_outside"],
    },
    Fault {
        name: "context_left_behind",
        what: "a request's context stays on the thread after a poll",
        tests: &["-p", "trailseal", "--features", "axum", "--test", "tower"],
    },
    Fault {
        name: "kept_context_not_entered",
        what: "the end of what a request began gets the context of the request that is being handled by then",
        tests: &["-p", "trailseal", "--features", "tracing", "--test", "context", "--test", "tracing"],
    },
    Fault {
        name: "panic_not_seen",
        what: "a handler that panics is taken for one that was given up",
        tests: &["-p", "trailseal", "--features", "axum", "--test", "tower"],
    },
    Fault {
        name: "copy_tail_not_read",
        what: "what the plain copy has got behind its cursor is written again",
        tests: &["-p", "trailseal", "--lib", "copy"],
    },
    Fault {
        name: "query_not_flushed",
        what: "a query does not see what was recorded just before it",
        tests: &["-p", "trailseal", "--test", "trail"],
    },
    Fault {
        name: "storage_names_not_compared",
        what: "two storages of one name share a cursor, and each misses events",
        tests: &["-p", "trailseal", "--test", "audit_logger"],
    },
    Fault {
        name: "storage_waited_for_without_end",
        what: "a close leaves a delivery behind that keeps the folder locked",
        tests: &["-p", "trailseal", "--test", "audit_logger"],
    },
    Fault {
        name: "values_not_masked",
        what: "a secret that is known by its looks is written as it came",
        tests: &["-p", "trailseal-cli", "--test", "masking"],
    },
    Fault {
        name: "slot_forgotten",
        what: "a slot that is missing between others is not told",
        tests: &["-p", "trailseal-cli", "--test", "slots_verify"],
    },
    Fault {
        name: "slot_made_again",
        what: "a new trail takes the place of a slot that is gone, and hides that",
        tests: &["-p", "trailseal-cli", "--test", "slots_verify"],
    },
    Fault {
        name: "backup_not_compared",
        what: "a backup appends to a copy without a look at whether it is a beginning of the trail",
        tests: &["-p", "trailseal-cli", "--test", "backup"],
    },
    Fault {
        name: "backup_plain_form_left",
        what: "a backup leaves the part of a plain segment beside the compressed one that was copied",
        tests: &["-p", "trailseal-cli", "--test", "backup"],
    },
    Fault {
        name: "zip_believed",
        what: "what stands before and behind a bundle's members is not compared with its directory",
        tests: &["-p", "trailseal-cli", "--test", "bundle"],
    },
    Fault {
        name: "bytes_behind_lines",
        what: "bytes behind the compressed lines of a bundle are passed over",
        tests: &["-p", "trailseal-cli", "--test", "bundle"],
    },
    Fault {
        name: "retires_alone",
        what: "whoever asks for a retirement approves it",
        tests: &["-p", "trailseal-cli", "--test", "serve_retention"],
    },
    Fault {
        name: "personal_shown_to_all",
        what: "personal values are shown to readers without the scope",
        tests: &["-p", "trailseal-server", "--lib", "isolation_tests"],
    },
    Fault {
        name: "personal_called_unchanged",
        what: "a browser's copy of a personal value is called unchanged after the erasure",
        tests: &["-p", "trailseal-server", "--lib", "isolation_tests"],
    },
    Fault {
        name: "personal_lines_not_compared",
        what: "the lines of a bundle with personal values in plain may be any lines",
        tests: &["-p", "trailseal-cli", "--lib", "bundle"],
    },
    Fault {
        name: "retired_index_of_others",
        what: "a tenant is told of another tenant's event that is gone",
        tests: &["-p", "trailseal-cli", "--test", "serve_retention"],
    },
    Fault {
        name: "held_copy_removed",
        what: "a rotated copy goes with a line that is held",
        tests: &["-p", "trailseal", "--lib", "audit::retention"],
    },
    Fault {
        name: "cleanup_goes_on",
        what: "a cleanup in the background goes on when its handle is dropped",
        tests: &["-p", "trailseal", "--lib", "audit::retention"],
    },
    Fault {
        name: "fifo_waited_for",
        what: "a file is opened for reading as a fifo would be, and waits for whoever writes to it",
        tests: &["-p", "trailseal-cli", "--test", "odd_files"],
    },
    Fault {
        name: "unsealed_end_is_good",
        what: "a stop that could not seal ends with exit 0",
        tests: &["-p", "trailseal-cli", "--test", "serve_files", "a_stop"],
    },
    Fault {
        name: "silent_ones_stay",
        what: "whoever says nothing keeps its connection while others wait for one",
        tests: &["-p", "trailseal-cli", "--test", "serve_files", "who_has_no_place"],
    },
    Fault {
        name: "half_close_cuts",
        what: "a client that ends its sending is taken for one that has gone",
        tests: &["-p", "trailseal-cli", "--test", "serve_connections"],
    },
    Fault {
        name: "hosts_not_counted",
        what: "a request without a host, or with two, is answered",
        tests: &["-p", "trailseal-cli", "--test", "serve_connections"],
    },
    Fault {
        name: "cross_site_taken",
        what: "an open server reads and records for another site's page",
        tests: &["-p", "trailseal-cli", "--test", "serve_hostile", "open"],
    },
    Fault {
        name: "share_not_counted",
        what: "what a client takes of places, streams, exports and room for bodies is not held against its share",
        tests: &["-p", "trailseal-server", "--lib", "shares"],
    },
    Fault {
        name: "asides_at_full_priority",
        what: "long work beside requests has the priority of those who answer them",
        tests: &["-p", "trailseal-server", "--lib", "fairness"],
    },
    Fault {
        name: "turns_not_shared",
        what: "one client may have all turns at once",
        tests: &["-p", "trailseal-server", "--lib", "turns"],
    },
    Fault {
        name: "foreign_cursor_taken",
        what: "a cursor of other trails is answered with an empty page that looks like the last",
        tests: &["-p", "trailseal-cli", "--test", "order", "cursor"],
    },
    Fault {
        name: "query_noted_whole",
        what: "a query of any length is recorded whole",
        tests: &["-p", "trailseal-server", "--lib", "query"],
    },
    Fault {
        name: "part_noted",
        what: "the part of a name that somebody types is recorded",
        tests: &["-p", "trailseal-server", "--lib", "query"],
    },
    Fault {
        name: "error_of_success",
        what: "what a source says of a success is imported as its error",
        tests: &["-p", "trailseal-import", "--test", "products"],
    },
    Fault {
        name: "unread_not_doubted",
        what: "an import of a file without any record goes on after the sample",
        tests: &["-p", "trailseal-import", "--test", "shapes"],
    },
];
