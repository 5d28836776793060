//! Faults in what the sealing of personal values, and the erasure of people, promise.

use super::Fault;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "personal_identity_unsearchable",
        what: "a field by which events are told apart may be sealed without a hash beside it",
        tests: &["-p", "trailseal-event", "--lib", "personal::rule"],
    },
    Fault {
        name: "own_events_unsealed",
        what: "the trail's own events hold personal values in plain text",
        tests: &["-p", "trailseal-core", "--test", "personal", "own_events"],
    },
    Fault {
        name: "personal_cut_plain",
        what: "a text that stands for a part that was cut is not sealed",
        tests: &["-p", "trailseal-event", "--lib", "personal::tests"],
    },
    Fault {
        name: "personal_elsewhere_plain",
        what: "a personal value is sealed only where the event's own text of that name stands",
        tests: &["-p", "trailseal-event", "--lib", "personal::tests"],
    },
    Fault {
        name: "personal_rejected_plain",
        what: "a personal value that was sent in a wrong form is not sealed",
        tests: &["-p", "trailseal-event", "--lib", "personal::tests"],
    },
    Fault {
        name: "personal_plain_without_key",
        what: "a value whose key cannot be kept stands in the line as it is",
        tests: &["-p", "trailseal-event", "--lib", "personal::tests"],
    },
    Fault {
        name: "personal_key_unsynced",
        what: "lines become durable before the keys that they name",
        tests: &["-p", "trailseal-core", "--test", "personal_crashes"],
    },
    Fault {
        name: "personal_sync_tried_again",
        what: "after a failed sync of keys the next one is believed without another write",
        tests: &["-p", "trailseal-core", "--test", "personal_crashes"],
    },
    Fault {
        name: "personal_slots_used_again",
        what: "after an older key file was put back, or a power loss, a slot that lines name gets another key",
        tests: &["-p", "trailseal-core", "--test", "personal"],
    },
    Fault {
        name: "personal_keys_come_back",
        what: "an older key file brings back the keys of people who were erased",
        tests: &["-p", "trailseal-core", "--test", "personal"],
    },
    Fault {
        name: "personal_key_kept",
        what: "the key of an erased person is not overwritten",
        tests: &["-p", "trailseal-core", "--test", "personal"],
    },
    Fault {
        name: "held_erased",
        what: "a person whose events a legal hold holds is erased",
        tests: &["-p", "trailseal-core", "--test", "personal"],
    },
    Fault {
        name: "erased_unsealed",
        what: "a key is destroyed, or an erasure undone, while nobody knows whether its event is sealed",
        tests: &["-p", "trailseal-core", "--test", "personal_crashes"],
    },
    Fault {
        name: "unannounced_erasure_kept",
        what: "the list keeps keys that no event announces",
        tests: &["-p", "trailseal-core", "--test", "personal_crashes"],
    },
    Fault {
        name: "personal_key_in_older_copy",
        what: "an older copy that is written over the open key file shows the values of who was erased",
        tests: &["-p", "trailseal-core", "--test", "personal_in_use"],
    },
    Fault {
        name: "personal_keys_read_from_removed",
        what: "a reader goes on with a key file that is not in its place any more",
        tests: &["-p", "trailseal-core", "--test", "personal_in_use"],
    },
    Fault {
        name: "personal_keys_left_replaced",
        what: "another file in the place of the open key file stays there, and new keys go nowhere",
        tests: &["-p", "trailseal-core", "--test", "personal_in_use"],
    },
    Fault {
        name: "personal_keys_relied_on_away",
        what: "lines become durable whose keys are in a file without a name",
        tests: &["-p", "trailseal-core", "--test", "personal_in_use"],
    },
    Fault {
        name: "erased_twice_unknown",
        what: "who was erased is unknown to whoever asks for it again with a second person",
        tests: &["-p", "trailseal-cli", "--test", "serve_erasure"],
    },
    Fault {
        name: "personal_passed_over",
        what: "a part of the text is passed over though a field names something in it",
        tests: &["-p", "trailseal-event", "--lib", "personal::tests"],
    },
    Fault {
        name: "personal_key_cached_late",
        what: "a key that was found just before its person was erased comes into the cache afterwards",
        tests: &["-p", "trailseal-core", "--lib", "personal::key_store"],
    },
    Fault {
        name: "personal_key_cached_on",
        what: "the key of an erased person stays in the cache",
        tests: &["-p", "trailseal-core", "--lib", "personal::key_store"],
    },
    Fault {
        name: "personal_key_not_wiped",
        what: "a key that is not needed any more stays in the memory that it had",
        tests: &["-p", "trailseal-event", "--lib", "personal::wiped"],
    },
    Fault {
        name: "personal_nonces_begin_alike",
        what: "each opening seals with the same nonces",
        tests: &["-p", "trailseal-core", "--test", "personal_nonces"],
    },
];
