//! Any line of text is a record of some form or a reason, and any text is a time or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trailseal_import::{Mapping, read};

/// What reads every form of time there is.
const MAPPING: &str = "format = 'fuzz'\ntime_zone = 'Europe/Berlin'\n[event]\naction = ['message', 'name']\n\
    time = ['time', 'message', 'text', 'extension.rt']\n'actor.id' = '*.acct'\n'context.ip' = 'data[a=b].c'";

/// Beginnings that make a line each of the forms.
const BEGINNINGS: [&str; 8] = [
    "",
    "a,b,c\n",
    "time=1 a=",
    "<34>1 ",
    "<34>Oct 11 22:14:15 host app: ",
    "CEF:0|a|b|c|d|e|f|",
    "type=SYSCALL msg=audit(1.2:3): ",
    "{\"records\":[",
];

fuzz_target!(|text: &str| {
    let Ok(mapping) = Mapping::parse(MAPPING) else { return };
    for beginning in BEGINNINGS {
        let input = format!("{beginning}{text}");
        let lines = read(input.as_bytes(), &mapping).count();
        assert!(lines <= input.len() + 1);
    }
});
