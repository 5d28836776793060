//! Which settings there are. The reference in docs/settings.md is written from here.

/// One setting: its name in the file, what it is by default, what it may be, and what it does.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) allowed: &'static str,
    /// For the reference; a trail's defaults that depend on something are told here.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference shows it"))]
    pub(super) about: &'static str,
}

pub(super) const SETTINGS: [Setting; 48] = [
    Setting {
        name: "origin",
        default: "",
        allowed: "a name such as example.com/billing/node-1",
        about: "The trail's name, fixed when the trail is made. Without one: `trailseal.local/` and the first 16 \
            hex digits of the first public key's SHA-256. Give each writer its own.",
    },
    Setting { name: "dir", default: "trail", allowed: "a folder", about: "The trail's folder." },
    Setting {
        name: "key_file",
        default: "",
        allowed: "a file",
        about: "Where the signing key lies. Without it: `keys/signing.key` in the trail's folder.",
    },
    Setting {
        name: "create",
        default: "true",
        allowed: "true or false",
        about: "Whether a trail is made where there is none. With `false` an empty folder is refused: a volume that is \
            mounted late looks like one.",
    },
    Setting {
        name: "disk_reserve",
        default: "256MiB, or 5 % of the disk",
        allowed: "a size such as 256MiB",
        about: "With less than this free, new events are refused and the index waits; what was accepted still \
            fits. The default is the smaller of the two.",
    },
    Setting {
        name: "workers",
        default: "one",
        allowed: "one or slots",
        about: "`slots`: each process that writes takes the first free folder `DIR/0`, `DIR/1`, …, a trail of its \
            own whose origin ends in `/0`, `/1`, …; readers take all of them as one.",
    },
    Setting {
        name: "mode",
        default: "async",
        allowed: "sync, async, sampled or off",
        about: "When `record` returns, and whether the event is kept, for events that no rule matches. See \
            [modes.md](modes.md).",
    },
    Setting {
        name: "rate",
        default: "",
        allowed: "a number from 0 to 1",
        about: "The share that mode `sampled` keeps; needed there, and an error in every other mode.",
    },
    Setting {
        name: "timeout_ms",
        default: "2000",
        allowed: "milliseconds, at most an hour",
        about: "How long a caller waits at most for the level that the mode asks for.",
    },
    Setting {
        name: "on_failure",
        default: "deny",
        allowed: "deny or allow",
        about: "What a caller hears of an event that was refused or is unconfirmed: an error, or a receipt that \
            says so.",
    },
    Setting {
        name: "acknowledge",
        default: "durable",
        allowed: "durable or store",
        about: "What mode `sync` waits for: the disk, or the store (without a shared one, the embedded index).",
    },
    Setting {
        name: "rule",
        default: "",
        allowed: "tables [[rule]] with `when` and a mode",
        about: "What happens to the events that `when` matches; the first rule that matches wins. Each has `mode`, \
            `rate`, `timeout_ms`, `on_failure` and `acknowledge` of its own, may ask for a `review` of them, and takes the defaults of this table, \
            not the file's values, for what it leaves out.",
    },
    Setting {
        name: "allow_network_file_system",
        default: "false",
        allowed: "true or false",
        about: "Open a trail on NFS, SMB and the like, where locks and syncs cannot be relied on.",
    },
    Setting {
        name: "handoff.path",
        default: "",
        allowed: "a file",
        about: "Where the handoff lies. Without it: `handoff` in the trail's folder. A tmpfs is fine: it guards \
            against a killed process.",
    },
    Setting {
        name: "handoff.size",
        default: "64MiB",
        allowed: "a size such as 64MiB",
        about: "The size of the handoff, at least 1 MiB. Commands that write and end use 4 MiB unless this is given.",
    },
    Setting {
        name: "handoff.full",
        default: "block",
        allowed: "block or refuse",
        about: "A full handoff: wait for room, or refuse at once.",
    },
    Setting {
        name: "handoff.timeout_ms",
        default: "50",
        allowed: "milliseconds",
        about: "How long `block` waits before it refuses. Commands that write and end wait at least 30 s.",
    },
    Setting {
        name: "segment.roll",
        default: "256MiB",
        allowed: "a size such as 256MiB, hour, day or never",
        about: "When a new segment is begun: before it would exceed the size, or with the first line of another \
            hour or day (UTC).",
    },
    Setting {
        name: "segment.compress",
        default: "false",
        allowed: "true or false",
        about: "Whether closed, sealed segments become `.jsonl.zst`, which `zstd -d` reads.",
    },
    Setting {
        name: "commit.linger_ms",
        default: "5",
        allowed: "milliseconds, 0 to 100",
        about: "How long events that nobody waits for may wait for company before they are written and synced. It \
            widens only what power loss may take of them.",
    },
    Setting {
        name: "seal.every_ms",
        default: "1000",
        allowed: "milliseconds",
        about: "How often a checkpoint is signed while there are new events.",
    },
    Setting {
        name: "index.enabled",
        default: "true",
        allowed: "true or false",
        about: "Whether commands that write keep the embedded index. Without one, searching scans the segments and \
            gives the same answers.",
    },
    Setting {
        name: "mask.enabled",
        default: "true",
        allowed: "true or false",
        about: "Whether secrets are masked before anything is written. See [masking.md](masking.md).",
    },
    Setting {
        name: "mask.keys",
        default: "",
        allowed: "a list of keys, such as [\"iban\", \"home address\"]",
        about: "Further keys whose values are masked, beside the default ones.",
    },
    Setting {
        name: "mask.allow",
        default: "",
        allowed: "a list of paths, such as [\"details.*.token\"]",
        about: "Paths that are left as they are; `*` is any one key.",
    },
    Setting {
        name: "mask.patterns",
        default: "",
        allowed: "a list of regular expressions",
        about: "What they find in a text is masked: group 1 where there is one, else all of it. They are searched \
            in every text of every event, and cost time in `record`.",
    },
    Setting {
        name: "mask.hash",
        default: "",
        allowed: "a list of paths, such as [\"context.session_id\"]",
        about: "Fields that always become their keyed hash, so that equal values stay equal and filters still find \
            them; `*` is any one key. An event that has one costs a few microseconds more in `record`.",
    },
    Setting {
        name: "mask.preset",
        default: "",
        allowed: "000, 001-export or 003",
        about: "The list and the marks of one of three documents, on top of the default list.",
    },
    Setting {
        name: "mask.replace_with",
        default: "fixed",
        allowed: "fixed, remove, last4 or hmac",
        about: "What stands in the place of a secret: `***`, nothing, `***` and its last four characters, or a \
            keyed hash.",
    },
    Setting {
        name: "review.second_person",
        default: "",
        allowed: "a list of \"policy\"",
        about: "What one person asks for and another one has to approve in the review queue of the server: `policy`, \
            to weaken the policy. See [server.md](server.md#a-second-person), and for what it does not stop \
            [security.md](security.md#a-second-person).",
    },
    Setting {
        name: "server.listen",
        default: "127.0.0.1:8410",
        allowed: "an address and a port, such as 127.0.0.1:8410",
        about: "Where `serve` listens. Port 0 takes a free one.",
    },
    Setting {
        name: "server.tls_cert",
        default: "",
        allowed: "a file",
        about: "The certificate chain, in PEM. It is read again when the file changes.",
    },
    Setting {
        name: "server.tls_key",
        default: "",
        allowed: "a file",
        about: "The certificate's private key, in PEM.",
    },
    Setting {
        name: "server.allow_plain_http",
        default: "false",
        allowed: "true or false",
        about: "Listen on an address that others can reach without TLS: behind a proxy that does it.",
    },
    Setting {
        name: "server.trusted_proxies",
        default: "",
        allowed: "a list of networks, such as [\"10.0.0.0/8\"]",
        about: "Proxies that are believed when they say whose request it is, in `server.proxy_header`.",
    },
    Setting {
        name: "server.proxy_header",
        default: "X-Forwarded-For",
        allowed: "X-Forwarded-For or Forwarded",
        about: "The header that `server.trusted_proxies` write. They pass the other one on as the client sent it, so it is \
            not read.",
    },
    Setting {
        name: "server.hosts",
        default: "",
        allowed: "a list of names",
        about: "Names under which a server that needs no token (`--open`) may be asked, beside loopback's.",
    },
    Setting {
        name: "server.frame_ancestors",
        default: "",
        allowed: "a list of sites, such as [\"https://app.example.com\"]",
        about: "Sites that may show the viewer in a frame.",
    },
    Setting {
        name: "server.public_tiles",
        default: "false",
        allowed: "true or false",
        about: "Whether checkpoints and hash tiles need no token.",
    },
    Setting {
        name: "server.body_bytes_max",
        default: "16MiB",
        allowed: "a size such as 16MiB",
        about: "The most bytes of a request's body, also after unpacking.",
    },
    Setting {
        name: "server.bodies_bytes_max",
        default: "256MiB",
        allowed: "a size such as 256MiB",
        about: "The most bytes of the bodies of all requests at a time, packed and unpacked, not counting the first \
            64 KiB of each; who comes then is refused, and nothing of the request recorded. At least twice \
            `server.body_bytes_max`. One client has at most a quarter of it, or twice `server.body_bytes_max` where \
            that is more.",
    },
    Setting {
        name: "server.batch_events_max",
        default: "10000",
        allowed: "a number",
        about: "The most events in one request.",
    },
    Setting {
        name: "server.connections_max",
        default: "1024",
        allowed: "a number",
        about: "The most connections at a time. `serve` raises its limit of open files as far as it may and keeps a \
            quarter of it, at most 1,024, for the trail; where the rest is less than this, so are the connections, and \
            the log says so. When all are taken, the next one gets the place of the one that has sent no whole head for \
            longest.",
    },
    Setting {
        name: "server.connections_per_address_max",
        default: "256",
        allowed: "a number",
        about: "The most connections at a time from one client address, in IPv6 from one /64; more are closed. Those \
            of `server.trusted_proxies` are not counted.",
    },
    Setting {
        name: "server.requests_per_second",
        default: "0",
        allowed: "a number",
        about: "Requests a second that one client address may make, in IPv6 one /64; 0 for any number. Behind \
            `server.trusted_proxies` the address is the one that they name.",
    },
    Setting {
        name: "server.request_timeout_ms",
        default: "30000",
        allowed: "milliseconds",
        about: "How long a client may take for the head of a request, and for its body.",
    },
    Setting {
        name: "server.stop_timeout_ms",
        default: "10000",
        allowed: "milliseconds",
        about: "How long a stop waits for requests that are under way.",
    },
    Setting {
        name: "anchor",
        default: "",
        allowed: "tables [[anchor]] with either file or command",
        about: "A place outside the trail that keeps its checkpoints: each new one is appended to `file`, or given \
            to the shell command `command` on standard input.",
    },
];

/// Environment variables of ours: `TRAILSEAL_HANDOFF__SIZE` is `handoff.size`.
pub(super) const PREFIX: &str = "TRAILSEAL_";

/// Variables with names of their own.
pub(super) const ALSO_READ: [(&str, &str); 3] =
    [("AUDIT_LOG_PATH", "dir"), ("AUDIT_MODE", "mode"), ("AUDIT_SAMPLE_RATE", "rate")];

/// Variables of ours that are read as flags.
pub(super) const NOT_SETTINGS: [&str; 1] = ["TRAILSEAL_TOKEN"];

/// Settings that only a file can have.
pub(super) const ONLY_IN_A_FILE: [&str; 2] = ["anchor", "rule"];

/// Settings that are lists of texts; in the environment they are separated by commas.
pub(super) const LISTS: [&str; 8] = [
    "mask.keys",
    "mask.allow",
    "mask.patterns",
    "mask.hash",
    "review.second_person",
    "server.trusted_proxies",
    "server.hosts",
    "server.frame_ancestors",
];

/// What Kubernetes sets in every container beside a service named trailseal.
pub(super) const KUBERNETES: [&str; 2] = ["service_", "port"];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const BEGIN: &str =
        "<!-- from crates/cli/src/settings/table.rs: written by a test, with UPDATE_DOCS=1 -->\n";
    const END: &str = "<!-- until here -->\n";

    fn variables(name: &str) -> String {
        if ONLY_IN_A_FILE.contains(&name) {
            return "none: only in a file".into();
        }
        let also = ALSO_READ.iter().filter(|(_, of)| *of == name).map(|(variable, _)| (*variable).to_owned());
        let ours = format!("{PREFIX}{}", name.to_uppercase().replace('.', "__"));
        let all: Vec<String> = std::iter::once(ours).chain(also).map(|name| format!("`{name}`")).collect();
        all.join(", ")
    }

    fn reference() -> String {
        let mut text = String::new();
        for Setting { name, default, allowed, about } in SETTINGS {
            let default = match default {
                "" => "none".to_owned(),
                plain if plain.contains(' ') => plain.to_owned(),
                value => format!("`{value}`"),
            };
            writeln!(
                text,
                "### `{name}`\n\n{about}\n\n- Default: {default}\n- May be: {allowed}\n- Environment: {}\n",
                variables(name)
            )
            .unwrap();
        }
        text
    }

    #[test]
    fn the_reference_says_what_the_table_says() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let wanted = format!("{before}{BEGIN}\n{}{END}{after}", reference());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        } else {
            assert!(page == wanted, "docs/settings.md is behind the table: run the tests with UPDATE_DOCS=1");
        }
    }
}
