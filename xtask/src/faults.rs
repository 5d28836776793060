//! Do the tests bite? Each deliberate fault is a small wrong in the product's code, switched by the test-only
//! cfg `trailseal_fault`. One build each; at least one of the named tests must turn red.

mod personal;
mod retirement;
mod store;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime};

/// A deliberate fault and the test that must find it.
struct Fault {
    /// Value of the cfg `trailseal_fault`.
    name: &'static str,
    /// What is wrong with it.
    what: &'static str,
    /// Arguments to `cargo test` that run the tests which must find it.
    tests: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
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
        name: "ring_left_undrained",
        what: "a handoff that was taken away is left before its lines are durable",
        tests: &["-p", "trailseal-core", "--lib", "handoff"],
    },
    Fault {
        name: "signed_over_lost_tree",
        what: "a checkpoint is signed over a tree that is not on disk",
        tests: &["-p", "trailseal-cli", "--test", "lock_outside"],
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
        name: "handoff_of_any_folder",
        what: "a copy of a trail's folder takes the original's handoff",
        tests: &["-p", "trailseal-cli", "--test", "handoff_outside"],
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
        name: "failures_sampled_out",
        what: "sampling leaves out failures and security events",
        tests: &["-p", "trailseal-event", "--lib", "policy"],
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
        name: "slots_hash_apart",
        what: "one secret has another hash in each slot",
        tests: &["-p", "trailseal-core", "--test", "identity"],
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
        name: "runs_walked_again",
        what: "a run of a text is walked again for each place in it that could begin a secret",
        tests: &["-p", "trailseal-event", "--lib", "mask::tests::effort"],
    },
    Fault {
        name: "values_not_masked",
        what: "a secret that is known by its looks is written as it came",
        tests: &["-p", "trailseal-cli", "--test", "masking"],
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
        name: "slot_forgotten",
        what: "a slot that is missing between others is not told",
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
        name: "query_noted_whole",
        what: "a query of any length is recorded whole",
        tests: &["-p", "trailseal-server", "--lib", "query"],
    },
    Fault {
        name: "part_noted",
        what: "the part of a name that somebody types is recorded",
        tests: &["-p", "trailseal-server", "--lib", "query"],
    },
];

/// Runs all faults, or the one named.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    let mut rows = Vec::new();
    let mut unbitten = Vec::new();
    for fault in FAULTS
        .iter()
        .chain(retirement::FAULTS)
        .chain(personal::FAULTS)
        .chain(store::FAULTS)
        .filter(|fault| only.is_none_or(|only| only == fault.name))
    {
        let begun = Instant::now();
        let red = red_tests(fault)?;
        println!(
            "{}: {} ({} s)",
            fault.name,
            if red.is_empty() { "NOT FOUND" } else { &red[0] },
            begun.elapsed().as_secs()
        );
        if red.is_empty() {
            unbitten.push(fault.name);
        }
        rows.push((fault, red));
    }
    println!("\n| fault | what is wrong | found by |\n| --- | --- | --- |");
    for (fault, red) in &rows {
        println!(
            "| `{}` | {} | {} |",
            fault.name,
            fault.what,
            if red.is_empty() { "**nothing**".into() } else { red.join(", ") }
        );
    }
    if unbitten.is_empty() { Ok(()) } else { Err(format!("no test found: {}", unbitten.join(", "))) }
}

/// Set while this program stands in for rustc on the project's own crates: the fault to switch on.
const WRAPPER: &str = "XTASK_FAULT";

/// Runs rustc with the fault's cfg, if this process was started in its place.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    let fault = std::env::var(WRAPPER).ok()?;
    let mut arguments = std::env::args_os().skip(1);
    let compiler = arguments.next().filter(|name| Path::new(name).ends_with("rustc"))?;
    let status = Command::new(compiler)
        .args(arguments)
        .arg("--cfg")
        .arg(format!("trailseal_fault=\"{fault}\""))
        .status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Has the name of the fault that was built last.
const LAST_BUILT: &str = "target/faults/last-built";

/// Makes the crates that this fault is in look newer, and those that the last one is in: cargo does not see that the wrapper's
/// flag has changed, and whatever else was built stays as it is.
fn touch_crates_with(name: &str) -> Result<(), String> {
    let failed =
        |path: &Path, error| format!("{}: {error}; run this at the root of the repository", path.display());
    let last = std::fs::read_to_string(LAST_BUILT).unwrap_or_default();
    let names = [name, last.trim()];
    let crates = Path::new("crates");
    for entry in std::fs::read_dir(crates).map_err(|error| failed(crates, error))?.flatten() {
        let library = entry.path().join("src/lib.rs");
        if library.exists()
            && names.iter().any(|name| !name.is_empty() && has_fault(&entry.path().join("src"), name))
        {
            let file = std::fs::File::options().append(true).open(&library);
            file.and_then(|file| file.set_modified(SystemTime::now()))
                .map_err(|error| failed(&library, error))?;
        }
    }
    // Before it is built: a build that is interrupted may have some of it.
    std::fs::create_dir_all("target/faults")
        .and_then(|()| std::fs::write(LAST_BUILT, name))
        .map_err(|error| failed(Path::new(LAST_BUILT), error))
}

fn has_fault(folder: &Path, name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).any(|path| match path
        .is_dir()
    {
        true => has_fault(&path, name),
        false => std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&quoted)),
    })
}

fn red_tests(fault: &Fault) -> Result<Vec<String>, String> {
    touch_crates_with(fault.name)?;
    let own = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let output = Command::new("cargo")
        .args(["test", "--no-fail-fast"])
        .args(fault.tests)
        .env("RUSTC_WORKSPACE_WRAPPER", own)
        .env(WRAPPER, fault.name)
        .env("CARGO_TARGET_DIR", "target/faults")
        .output()
        .map_err(|error| format!("cargo test: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("test result:") && !output.status.success() {
        return Err(format!("{} does not build:\n{}", fault.name, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(str::to_owned)
        .collect())
}
