//! The command line as data: every flag with its help, every command with an example.

mod erasure;
mod filters;
mod proving;
mod reading;
mod retention;
mod store;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use erasure::Erase;
pub(crate) use filters::Filters;
pub(crate) use proving::{Consistency, Prove, Verify};
pub(crate) use reading::{Export, ExportFormat, Format, History, Order, OrderBy, Query, Summary, Tail};
pub(crate) use retention::{Hold, Retain, Sink, days};
#[cfg(feature = "redis")]
pub(crate) use store::Worker;
pub(crate) use store::{HiddenUrl, StoreFlag};
#[cfg(feature = "postgres")]
pub(crate) use store::{Outbox, OutboxFlag, Store};

/// An audit log that never slows the request, never loses what it accepted, and detects every rewrite.
#[derive(Parser)]
#[command(name = "trailseal", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Above the flags that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Flags of all commands.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// The trail's folder [default: ./trail, or TRAILSEAL_DIR]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The settings file [default: trailseal.toml, if it exists]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Send the command to this server: record, import, policy set, key rotate, token, retain, hold, erase and sink
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token for --server
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        value_name = "TOKEN",
        env = "TRAILSEAL_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// See everything at once on real records: record, query, seal, verify, detect tampering
    #[command(
        after_help = "Example:\n  trailseal demo\n  trailseal query --dir trailseal-demo --outcome denied"
    )]
    Demo,
    /// Append events: one JSON object per line, or one array, which is recorded whole or not at all
    #[command(
        after_help = "Example:\n  echo '{\"action\":\"user.login\",\"actor\":{\"id\":\"u1\"}}' | trailseal record\n  trailseal record --ack durable --json events.jsonl\n  trailseal record array.json"
    )]
    Record(Record),
    /// Append foreign records: CloudTrail, Okta, Kubernetes and others, or your own with a mapping file
    #[command(
        after_help = "Example:\n  trailseal import --from cloudtrail cloudtrail.json.gz\n  trailseal import --from auto --dry-run audit.log\n  trailseal import --map my-app.toml app.log\n  trailseal import --from audit_trail postgres://me@db.example/app"
    )]
    Import(Import),
    /// Find events
    #[command(
        after_help = "Example:\n  trailseal query --actor u1 --since 24h\n  trailseal query --action 'invoice.*' --outcome denied --count"
    )]
    Query(Query),
    /// Show the newest events, and follow new ones
    #[command(after_help = "Example:\n  trailseal tail -n 20 -f --action '*.delete'")]
    Tail(Tail),
    /// Show the history of one resource, with what changed each time
    #[command(after_help = "Example:\n  trailseal history invoice/2026-0042")]
    History(History),
    /// Check that nothing was edited, deleted, inserted or reordered
    #[command(
        after_help = "Example:\n  trailseal verify\n  trailseal verify --checkpoint kept-elsewhere --public-key example.com/log+1a2b3c4d+AR…\n  trailseal verify --proof event.tlog-proof --public-key example.com/log+1a2b3c4d+AR…\n  trailseal verify --store postgres://auditor@db.example/audit --public-key example.com/log+1a2b3c4d+AR…"
    )]
    Verify(Verify),
    /// Print the newest signed checkpoint
    #[command(after_help = "Example:\n  trailseal checkpoint > kept-elsewhere")]
    Checkpoint,
    /// Prove that one event is in the trail
    #[command(
        after_help = "Example:\n  trailseal prove 42 --out event.tlog-proof\n  trailseal verify --proof event.tlog-proof --public-key \"$(trailseal key show)\""
    )]
    Prove(Prove),
    /// Prove that the trail still begins with the trail of an older checkpoint
    #[command(
        after_help = "Example:\n  trailseal consistency kept-elsewhere --out trail.consistency\n  trailseal verify --consistency trail.consistency --public-key \"$(trailseal key show)\""
    )]
    Consistency(Consistency),
    /// Export events for other tools or as evidence
    #[command(
        after_help = "Example:\n  trailseal export --since 2026-01-01 --format csv --out events.csv\n  trailseal export --format parquet --out events.parquet\n  trailseal export --actor u1 --format bundle --out evidence.zip"
    )]
    Export(Export),
    /// Count events by action, actor, category, outcome and severity, and over time
    #[command(
        after_help = "Example:\n  trailseal summary --since 7d --bucket 1d\n  trailseal summary --tenant acme --json"
    )]
    Summary(Summary),
    /// Print statistics about the trail
    #[command(after_help = "Example:\n  trailseal stats --json")]
    Stats,
    /// Rebuild the embedded index from the segments
    #[command(after_help = "Example:\n  trailseal reindex\n  trailseal reindex --tree")]
    Reindex(Reindex),
    /// Write the tree as C2SP tlog-tiles, for a static host or any transparency-log tool
    #[command(after_help = "Example:\n  trailseal tiles public/log")]
    Tiles(Tiles),
    /// Show, check or change what happens to each event
    #[command(
        after_help = "Example:\n  trailseal policy show\n  trailseal policy check new-policy.toml\n  trailseal policy set sync"
    )]
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Copy the trail beside its writer; continues an existing backup
    #[command(
        after_help = "Example:\n  trailseal backup /mnt/backup/trail\n  trailseal backup --with-keys /mnt/vault/trail"
    )]
    Backup(Backup),
    /// Start a new trail that takes over from one that cannot continue
    #[command(
        after_help = "Example:\n  trailseal succeed trail --dir trail-2 --origin example.com/billing/node-1/2"
    )]
    Succeed(Succeed),
    /// Serve the trail over HTTP, with a web viewer
    #[command(
        after_help = "Example, to try it without a token:\n  trailseal serve --open &\n  curl -s --retry 9 --retry-connrefused http://127.0.0.1:8410/v1/events -d '{\"action\":\"user.login\"}'\n\nExample:\n  trailseal serve --listen 127.0.0.1:0"
    )]
    Serve(Serve),
    /// Make, list or revoke tokens for the server
    #[command(
        after_help = "Example:\n  trailseal token create billing --scope write --tenant acme\n  trailseal token create auditor --scope read --expires 90d"
    )]
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// Report what is wrong with this set-up, and how to fix it
    #[command(after_help = "Example:\n  trailseal doctor")]
    Doctor,
    /// Show what would be masked, or the keyed hash of a secret
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Example:\n  trailseal mask events.jsonl\n  trailseal query --text \"$(trailseal mask hash 'the old password')\""
    )]
    Mask(Mask),
    /// Show or replace the signing key
    #[command(after_help = "Example:\n  trailseal key show\n  trailseal key rotate")]
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// Retire old events: remove them for good; every proof stays valid
    #[command(
        after_help = "Example:\n  trailseal retain --older-than 90d --dry-run\n  trailseal retain --older-than 90d --category data_access --archive /mnt/archive"
    )]
    Retain(Retain),
    /// Add, remove or list legal holds: events that match one are not retired
    #[command(
        after_help = "Example:\n  trailseal hold add case-7 --reason 'Acme v. Example' --tenant acme\n  trailseal hold list"
    )]
    Hold {
        #[command(subcommand)]
        command: Hold,
    },
    /// Make one person's values unreadable everywhere, for ever; every proof stays valid
    #[command(
        after_help = "Example:\n  trailseal erase --subject u-10432 --dry-run\n  trailseal erase --subject - < subject.txt"
    )]
    Erase(Erase),
    /// Make the tables of a shared store, or print the SQL for separate roles
    #[cfg(feature = "postgres")]
    #[command(
        after_help = "Example:\n  trailseal store migrate --store postgres://audit@db.example/audit\n  trailseal store roles | psql --set ON_ERROR_STOP=1 \"$URL\"\n  trailseal store views audit_trail --schema reports | psql --set ON_ERROR_STOP=1 \"$URL\""
    )]
    Store {
        #[command(subcommand)]
        command: Store,
    },
    /// Take events over from the outbox of an application, or make, show or release it
    #[cfg(feature = "postgres")]
    #[command(
        after_help = "Example:\n  trailseal outbox migrate --outbox postgres://app@db.example/shop\n  trailseal outbox relay --outbox postgres://app@db.example/shop"
    )]
    Outbox {
        #[command(subcommand)]
        command: Outbox,
    },
    /// Try again what could not be recorded, after what is wrong was put right
    #[cfg(feature = "postgres")]
    #[command(after_help = "Example:\n  trailseal redeliver --outbox postgres://app@db.example/shop")]
    Redeliver {
        #[command(flatten)]
        outbox: OutboxFlag,
    },
    /// Move events from Redis Streams to the shared store
    #[cfg(feature = "redis")]
    #[command(
        after_help = "Example:\n  trailseal worker --from redis://cache.example --to postgres://audit@db.example/audit\n  trailseal worker --until-empty"
    )]
    Worker(Worker),
    /// List the sinks that hold back retirement, or forget one that is gone
    #[command(after_help = "Example:\n  trailseal sink list\n  trailseal sink forget old-database")]
    Sink {
        #[command(subcommand)]
        command: Sink,
    },
    /// Print a manual page, or write all of them to a folder
    #[command(
        after_help = "Example:\n  trailseal man | man -l -\n  trailseal man policy set | man -l -\n  trailseal man --out /usr/local/share/man/man1"
    )]
    Man(Man),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  trailseal completions bash > /etc/bash_completion.d/trailseal")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct Man {
    /// The command [default: trailseal itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub(crate) command: Vec<String>,
    /// The folder for the pages of all commands
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on; port 0 picks a free port [default: 127.0.0.1:8410]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Require no token; only on loopback
    #[arg(long)]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
}

#[derive(Args)]
pub(crate) struct Reindex {
    /// Rebuild the Merkle tree instead, if the lines give the signed root hash
    #[arg(long)]
    pub(crate) tree: bool,
}

#[derive(Args)]
pub(crate) struct Backup {
    /// The folder of the backup
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    /// Also copy the keys: whoever has them can sign in the trail's name
    #[arg(long)]
    pub(crate) with_keys: bool,
    /// Also copy the keys of personal values: whoever has them can read these, also after an erasure
    #[arg(long)]
    pub(crate) personal_keys: bool,
}

#[derive(Args)]
pub(crate) struct Succeed {
    /// The folder of the trail that cannot continue; it is only read
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The new trail's name
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: String,
    /// The reason, for the new trail's first event [default: what `verify` says about the old one]
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The old trail's public key, kept elsewhere: only what it signed counts as good
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Tiles {
    /// The folder to write to; continues what an earlier run wrote there
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a token; it is printed only this once
    #[command(after_help = "Example:\n  trailseal token create billing --scope write --tenant acme")]
    Create {
        /// The token's name, which appears in the events it records
        #[arg(value_name = "NAME")]
        name: String,
        /// What the token allows: write, read, review, admin, personal (to see personal values in plain)
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
        scope: Vec<String>,
        /// Restrict the token to this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// When the token expires: 90d, or a time such as 2027-01-01
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Show all tokens, without their secrets
    #[command(after_help = "Example:\n  trailseal token list --json")]
    List {
        #[command(flatten)]
        store: StoreFlag,
    },
    /// Revoke a token
    #[command(after_help = "Example:\n  trailseal token revoke billing")]
    Revoke {
        /// The token's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        store: StoreFlag,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// In the handoff: survives a killed process
    Accepted,
    /// On disk: survives power loss
    Durable,
    /// In the store as well
    Store,
}

#[derive(Args)]
pub(crate) struct Record {
    /// The file; - or nothing reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The level at which an event counts as recorded [default: the policy's level]
    #[arg(long, value_enum)]
    pub(crate) ack: Option<Ack>,
    /// Refuse unknown field names and wrong JSON types; a value never refuses an event
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) store: StoreFlag,
}

#[derive(Args)]
pub(crate) struct Import {
    /// The format of the records, such as cloudtrail; auto detects it
    #[arg(long, value_name = "FORMAT", conflicts_with = "map")]
    pub(crate) from: Option<String>,
    /// Your own mapping file
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// Record nothing: show the first events as they would be, and what was not found
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on even if the first records look like another format or lack action, actor or time
    #[arg(long)]
    pub(crate) anyway: bool,
    /// The files, also .gz; - reads standard input; postgres://… a table; also a dump, or a file of SQLite
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Print the policy in force, as TOML
    #[command(after_help = "Example:\n  trailseal policy show")]
    Show,
    /// Check a policy file, or the policy in a settings file
    #[command(after_help = "Example:\n  trailseal policy check new-policy.toml")]
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Set the mode for all events that match no rule; kept across restarts
    #[command(
        after_help = "Example:\n  trailseal policy set sync\n  trailseal policy set sampled --rate 0.1\n  trailseal policy set settings"
    )]
    Set {
        /// sync, async, sampled (with --rate) or off; or `settings` to return to the settings
        #[arg(value_name = "MODE")]
        mode: String,
        /// The share to keep, from 0 to 1
        #[arg(long, value_name = "RATE")]
        rate: Option<f64>,
        #[command(flatten)]
        store: StoreFlag,
    },
}

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Print the public key, followed by earlier ones
    #[command(after_help = "Example:\n  trailseal key show > trail.key")]
    Show,
    /// Make a new signing key, vouched for by the old one
    #[command(after_help = "Example:\n  trailseal key rotate")]
    Rotate,
}

#[derive(Args)]
pub(crate) struct Mask {
    /// A file of events, one JSON object per line; - reads standard input. Records nothing and shows no secret
    #[arg(value_name = "FILE", required = true)]
    pub(crate) file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<MaskCommand>,
}

#[derive(Subcommand)]
pub(crate) enum MaskCommand {
    /// Print the keyed hash that replaces a secret in the trail
    #[command(after_help = "Example:\n  trailseal mask hash - < secret.txt")]
    Hash {
        /// The secret; - reads standard input, so that no process list shows it
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory as _;

    use super::*;

    fn check(command: &clap::Command, name: &str) {
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            example.contains("Example") && example.contains(&format!("trailseal {name}")),
            "{name}: {example}"
        );
        for inner in command.get_subcommands() {
            check(inner, &format!("{name} {}", inner.get_name()));
        }
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        let all = Arguments::command();
        assert!(all.get_subcommands().count() > 20);
        all.get_subcommands().for_each(|command| check(command, command.get_name()));
    }
}
