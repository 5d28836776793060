//! All settings. The reference in docs/settings.md is generated from here.

/// One setting: its name in the file, its default, its allowed values, and what it does.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) allowed: &'static str,
    /// Text for the reference. It also explains defaults that depend on something.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the reference shows it"))]
    pub(super) about: &'static str,
}

impl Setting {
    /// Whether its value is a name or a place: a number there is a mistake.
    pub(super) fn is_name(&self) -> bool {
        ["a name", "a folder", "a file", "a shell command"].iter().any(|kind| self.allowed.starts_with(kind))
    }
}

pub(super) const SETTINGS: [Setting; 63] = [
    Setting {
        name: "origin",
        default: "",
        allowed: "a name such as example.com/billing/node-1",
        about: "The trail's name. It is fixed when the trail is made. If unset: `trailseal.local/` and the first 16 \
            hex digits of the first public key's SHA-256. Give each writer its own.",
    },
    Setting { name: "dir", default: "trail", allowed: "a folder", about: "The trail's folder." },
    Setting {
        name: "key_file",
        default: "",
        allowed: "a file",
        about: "The file that holds the signing key. If unset: `keys/signing.key` in the trail's folder.",
    },
    Setting {
        name: "create",
        default: "true",
        allowed: "true or false",
        about: "Whether to make a trail where there is none. With `false` an empty folder is refused: a volume that is \
            mounted late looks like one.",
    },
    Setting {
        name: "disk_reserve",
        default: "256MiB, or 5 % of the disk",
        allowed: "a size such as 256MiB",
        about: "With less free space than this, new events are refused and the index waits; what was accepted still \
            fits. The default is the smaller of the two.",
    },
    Setting {
        name: "workers",
        default: "one",
        allowed: "one or slots",
        about: "`slots`: each process that writes takes the first free folder `DIR/0`, `DIR/1`, …, a trail of its own \
            whose origin ends in `/0`, `/1`, …; readers treat all of them as one trail.",
    },
    Setting {
        name: "mode",
        default: "async",
        allowed: "sync, async, sampled or off",
        about: "When `record` returns, and whether the event is kept. Applies to events that match no rule. See \
            [modes.md](modes.md).",
    },
    Setting {
        name: "rate",
        default: "",
        allowed: "a number from 0 to 1",
        about: "The share of events that mode `sampled` keeps. Required in that mode, and an error in any other.",
    },
    Setting {
        name: "timeout_ms",
        default: "2000",
        allowed: "milliseconds, at most an hour",
        about: "How long a caller waits for the level that the mode asks for, at most.",
    },
    Setting {
        name: "on_failure",
        default: "deny",
        allowed: "deny or allow",
        about: "What a caller gets for an event that was refused or is unconfirmed: an error, or a receipt that says \
            so.",
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
        about: "What happens to the events that `when` matches; the first matching rule wins. Each rule has its own \
            `mode`, `rate`, `timeout_ms`, `on_failure` and `acknowledge`, and may ask for a `review`. What it \
            leaves out takes the defaults in this table, not the file's values.",
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
        about: "The file of the handoff. If unset: `handoff` in the trail's folder. A tmpfs is fine: the handoff \
            guards against a killed process.",
    },
    Setting {
        name: "handoff.size",
        default: "64MiB",
        allowed: "a size such as 64MiB, at least 1MiB",
        about: "The size of the handoff, at least 1 MiB. Commands that write and then end use 4 MiB unless this is \
            set.",
    },
    Setting {
        name: "handoff.full",
        default: "block",
        allowed: "block or refuse",
        about: "What to do when the handoff is full: wait for space, or refuse at once.",
    },
    Setting {
        name: "handoff.timeout_ms",
        default: "50",
        allowed: "milliseconds",
        about: "How long `block` waits before it refuses. Commands that write and then end wait at least 30 s.",
    },
    Setting {
        name: "segment.roll",
        default: "256MiB",
        allowed: "a size such as 256MiB, hour, day or never",
        about: "When a new segment starts: before the current one would exceed the size, or with the first line of \
            another hour or day (UTC).",
    },
    Setting {
        name: "segment.compress",
        default: "false",
        allowed: "true or false",
        about: "Whether closed, sealed segments are compressed to `.jsonl.zst`, which `zstd -d` reads.",
    },
    Setting {
        name: "commit.linger_ms",
        default: "5",
        allowed: "milliseconds, 0 to 100",
        about: "How long the writer collects events that nobody waits for before it writes and syncs them. A longer \
            time only means that a power loss can take more of them.",
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
        about: "Whether commands that write maintain the embedded index. Without one, searches scan the segments and \
            give the same answers.",
    },
    Setting {
        name: "store.url",
        default: "",
        allowed: "a URL such as postgres://USER@HOST/DATABASE",
        about: "The shared store on PostgreSQL: `serve`, `record` and `import` deliver every event to it, exactly once, and \
            level `store` waits for it rather than for the index. `serve` answers searches from it. With `--store` another one \
            can be named. See [store.md](store.md).",
    },
    Setting {
        name: "store.password",
        default: "",
        allowed: "a text",
        about: "The password for the shared store, if its URL has none. It is shown nowhere. In the environment it can come \
            from a place of its own, such as a secret of Kubernetes.",
    },
    Setting {
        name: "sink",
        default: "",
        allowed: "tables [[sink]] with type, url, and perhaps password and name",
        about: "A Redis server (`type = \"redis\"`, `url = \"redis://USER@HOST:PORT/DATABASE\"`, or `rediss://` for TLS) through \
            whose streams `serve`, `record` and `import` deliver every event; `trailseal worker` moves them from there to a shared \
            store. Without `store.url`, level `store` waits until that has them. Python's `config=` delivers through it, too. \
            The password may also come from `TRAILSEAL_REDIS_PASSWORD`. `name` is what messages and metrics call it, \
            `redis` by default. See [store.md](store.md#through-redis-streams).",
    },
    Setting {
        name: "outbox.url",
        default: "",
        allowed: "a URL such as postgres://USER@HOST/DATABASE",
        about: "The application's database, if it writes events into an outbox there: `serve` and `outbox relay` take them over, \
            each once. See [outbox.md](outbox.md).",
    },
    Setting {
        name: "outbox.password",
        default: "",
        allowed: "a text",
        about: "The password for that database, if the URL has none. It is shown nowhere.",
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
        about: "Further keys whose values are masked, in addition to the default ones.",
    },
    Setting {
        name: "mask.allow",
        default: "",
        allowed: "a list of paths, such as [\"details.*.token\"]",
        about: "Paths that are not masked; `*` is any one key.",
    },
    Setting {
        name: "mask.patterns",
        default: "",
        allowed: "a list of regular expressions",
        about: "Each match in a text is masked: group 1 if there is one, else the whole match. Patterns are searched \
            for in every text of every event, which costs time in `record`.",
    },
    Setting {
        name: "mask.hash",
        default: "",
        allowed: "a list of paths, such as [\"context.session_id\"]",
        about: "Fields that are always replaced by their keyed hash, so that equal values stay equal and filters still \
            find them; `*` is any one key. An event with such a field costs a few microseconds more in `record`.",
    },
    Setting {
        name: "mask.preset",
        default: "",
        allowed: "000, 001-export or 003",
        about: "The list and the replacements of one of three documents, on top of the default list.",
    },
    Setting {
        name: "mask.replace_with",
        default: "fixed",
        allowed: "fixed, remove, last4 or hmac",
        about: "What replaces a secret: `***`, nothing, `***` and its last four characters, or a keyed hash.",
    },
    Setting {
        name: "personal",
        default: "",
        allowed: "tables [[personal]] with field or preset, and subject",
        about: "Which values belong to a person and can be erased: those in `field` (a path, or a list of them in \
            `fields`; `*` is any one key), of the person whom the field `subject` names. They are encrypted before \
            anything is written. `searchable = true` also keeps their keyed hash, so that filters find them; \
            `preset = \"usual\"` names the usual fields. See [erasure.md](erasure.md).",
    },
    Setting {
        name: "personal_keys.file",
        default: "",
        allowed: "a file",
        about: "The file that holds the keys of personal values. If unset: `keys/personal` in the trail's folder. Keep it \
            outside of what your backups copy: a copy of it is what an erasure cannot reach.",
    },
    Setting {
        name: "personal_keys.master_key",
        default: "",
        allowed: "a file",
        about: "A file with the key that wraps those keys: at least 16 bytes that nobody can guess, such as the output of \
            `openssl rand -hex 32`. Without a master key, whoever can read the key file can read personal values.",
    },
    Setting {
        name: "personal_keys.master_command",
        default: "",
        allowed: "a shell command",
        about: "A command that prints the master key instead, such as one that asks a key management service.",
    },
    Setting {
        name: "retention.at",
        default: "",
        allowed: "a time of day in UTC, such as 03:00",
        about: "When a server applies the rules of `[[retention.rule]]`, each day. Without it, events are retired only on \
            request. A server that does not run at that time applies them the next day. See \
            [operations.md](operations.md#retention).",
    },
    Setting {
        name: "retention.archive",
        default: "",
        allowed: "a folder, or a URL such as s3://bucket/prefix",
        about: "Where events go, as a bundle, before they are retired: at `retention.at`, on request over HTTP, and with \
            `trailseal retain` unless `--archive` names another place. A URL needs a build with the feature \
            `object-store`; credentials come from the environment, such as `AWS_ACCESS_KEY_ID`.",
    },
    Setting {
        name: "retention.rule",
        default: "",
        allowed: "tables [[retention.rule]] with older_than = \"90d\" and, optionally, tenant and category",
        about: "What is retired at `retention.at`: events that were recorded at least `older_than` ago, of `tenant` and \
            `category` if these are given; `category` can be a list. Each rule is applied by itself, so to keep one \
            category longer, name the categories in each rule. Without `retention.at` a server retires nothing by them, and says so.",
    },
    Setting {
        name: "review.second_person",
        default: "",
        allowed: "a list of \"policy\", \"retention\" and \"erasure\"",
        about: "What needs a second person, who approves it in the server's review queue: `policy`, for weakening the \
            policy, `retention`, for retiring events on request, and `erasure`, for erasing a person. See [server.md](server.md#a-second-person), and for what it does not stop \
            [security.md](security.md#a-second-person).",
    },
    Setting {
        name: "server.listen",
        default: "127.0.0.1:8410",
        allowed: "an address and a port, such as 127.0.0.1:8410",
        about: "The address that `serve` listens on. Port 0 picks a free port.",
    },
    Setting {
        name: "server.tls_cert",
        default: "",
        allowed: "a file",
        about: "The certificate chain, in PEM. It is reloaded when the file changes.",
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
        about: "Listen without TLS on an address that others can reach. Use it behind a proxy that terminates TLS.",
    },
    Setting {
        name: "server.trusted_proxies",
        default: "",
        allowed: "a list of networks, such as [\"10.0.0.0/8\"]",
        about: "Proxies that are trusted to name the client's address, in `server.proxy_header`.",
    },
    Setting {
        name: "server.proxy_header",
        default: "X-Forwarded-For",
        allowed: "X-Forwarded-For or Forwarded",
        about: "The header that `server.trusted_proxies` write. Proxies pass the other one on as the client sent it, \
            so it is ignored.",
    },
    Setting {
        name: "server.hosts",
        default: "",
        allowed: "a list of names",
        about: "Host names, besides those of loopback, that a server without tokens (`--open`) answers to.",
    },
    Setting {
        name: "server.frame_ancestors",
        default: "",
        allowed: "a list of sites, such as [\"https://app.example.com\"]",
        about: "Sites that may embed the viewer in a frame.",
    },
    Setting {
        name: "server.public_tiles",
        default: "false",
        allowed: "true or false",
        about: "Whether checkpoints and hash tiles can be read without a token.",
    },
    Setting {
        name: "server.body_bytes_max",
        default: "16MiB",
        allowed: "a size such as 16MiB",
        about: "The maximum size of a request's body, also after decompression.",
    },
    Setting {
        name: "server.bodies_bytes_max",
        default: "256MiB",
        allowed: "a size such as 256MiB",
        about: "The maximum size of all request bodies together at any time, compressed and decompressed, not counting \
            the first 64 KiB of each. Beyond it, requests are refused and nothing of them is recorded. At least \
            twice `server.body_bytes_max`. One client may use a quarter of it, or twice `server.body_bytes_max` if \
            that is more.",
    },
    Setting {
        name: "server.batch_events_max",
        default: "10000",
        allowed: "a number",
        about: "The maximum number of events in one request.",
    },
    Setting {
        name: "server.connections_max",
        default: "1024",
        allowed: "a number",
        about: "The maximum number of connections. `serve` raises its limit on open files as far as it can and \
            reserves a quarter of it, at most 1,024, for the trail. If fewer than this are left, there are only \
            that many connections, and the log says so. When all are taken, a new one replaces the one that has \
            gone longest without sending a complete head.",
    },
    Setting {
        name: "server.connections_per_address_max",
        default: "256",
        allowed: "a number",
        about: "The maximum number of connections from one client address (in IPv6, from one /64); further ones are \
            closed. Those of `server.trusted_proxies` are not counted.",
    },
    Setting {
        name: "server.requests_per_second",
        default: "0",
        allowed: "a number",
        about: "Requests per second that one client address (in IPv6, one /64) may make; 0 means unlimited. Behind \
            `server.trusted_proxies` it is the address that they name.",
    },
    Setting {
        name: "server.searches_max",
        default: "the number of cores, at least 2",
        allowed: "a number",
        about: "How many searches, counts, exports, proofs and reviews run at once, and how many large bodies are \
            processed; others wait, and clients take turns. One client may use half of each.",
    },
    Setting {
        name: "server.search_timeout_ms",
        default: "10000",
        allowed: "milliseconds",
        about: "The maximum time for one count, summary or proof; if it needs more, the response is 422. A page ends \
            after 2 s and says how far it got. An export has no time limit.",
    },
    Setting {
        name: "server.streams_max",
        default: "256",
        allowed: "a number",
        about: "The maximum number of event streams. One client may have a quarter of them.",
    },
    Setting {
        name: "server.request_timeout_ms",
        default: "30000",
        allowed: "milliseconds",
        about: "How long a client may take to send the head of a request, and to send its body.",
    },
    Setting {
        name: "server.stop_timeout_ms",
        default: "10000",
        allowed: "milliseconds",
        about: "How long a stop waits for requests in progress.",
    },
    Setting {
        name: "anchor",
        default: "",
        allowed: "tables [[anchor]] with either file or command",
        about: "A place outside the trail that keeps its checkpoints: each new one is appended to `file`, or passed to \
            the shell command `command` on standard input.",
    },
];

/// Environment variables of ours: `TRAILSEAL_HANDOFF__SIZE` is `handoff.size`.
pub(super) const PREFIX: &str = "TRAILSEAL_";

/// Variables with names of their own.
pub(super) const ALSO_READ: [(&str, &str); 3] =
    [("AUDIT_LOG_PATH", "dir"), ("AUDIT_MODE", "mode"), ("AUDIT_SAMPLE_RATE", "rate")];

/// Whether events also go to a database, and which: `store.url`, if the first says `database`.
pub(super) const STORAGE: &str = "AUDIT_STORAGE";
pub(super) const DATABASE: &str = "AUDIT_DATABASE_URL";

/// Variables of ours that are read as flags.
pub(super) const NOT_SETTINGS: [&str; 2] = ["TRAILSEAL_TOKEN", REDIS_PASSWORD];

/// The password for a Redis server, if neither its URL nor its settings have one.
pub(crate) const REDIS_PASSWORD: &str = "TRAILSEAL_REDIS_PASSWORD";

/// Settings that only a file can set.
pub(super) const ONLY_IN_A_FILE: [&str; 5] = ["anchor", "personal", "retention.rule", "rule", "sink"];

/// Settings that are lists of strings; in the environment they are separated by commas.
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

/// What Kubernetes sets in every container if there is a service named trailseal.
pub(super) const KUBERNETES: [&str; 2] = ["service_", "port"];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const BEGIN: &str =
        "<!-- generated from crates/cli/src/settings/table.rs by a test, with UPDATE_DOCS=1 -->\n";
    const END: &str = "<!-- until here -->\n";

    fn variables(name: &str) -> String {
        if ONLY_IN_A_FILE.contains(&name) {
            return "none (only in a file)".into();
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
                "### `{name}`\n\n{about}\n\n- Default: {default}\n- Allowed: {allowed}\n- Environment: {}\n",
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
            assert!(
                page == wanted,
                "docs/settings.md does not match the table: run the tests with UPDATE_DOCS=1"
            );
        }
    }
}
