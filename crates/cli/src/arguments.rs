//! The command line as data: every flag with its text, every command with an example.

mod filters;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use filters::Filters;

/// An audit log that never slows the request, never loses what it accepted, and shows every rewrite.
#[derive(Parser)]
#[command(name = "trailseal", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// The trail's folder [default: ./trail, or TRAILSEAL_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The settings file [default: trailseal.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Let this server do it: for record, import, policy set, key rotate and token
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token for --server
    #[arg(long, global = true, value_name = "TOKEN", env = "TRAILSEAL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// See everything at once, on real records: record, query, seal, verify, catch a tampering
    #[command(
        after_help = "Example:\n  trailseal demo\n  trailseal query --dir trailseal-demo --outcome denied"
    )]
    Demo,
    /// Append events, one JSON object a line
    #[command(
        after_help = "Example:\n  echo '{\"action\":\"user.login\",\"actor\":{\"id\":\"u1\"}}' | trailseal record\n  trailseal record --ack durable --json events.jsonl"
    )]
    Record(Record),
    /// Append foreign records: CloudTrail, Kubernetes, GitHub, or your own by a mapping file
    #[command(
        after_help = "Example:\n  trailseal import --from cloudtrail cloudtrail.json.gz\n  trailseal import --map my-app.toml app.log"
    )]
    Import(Import),
    /// Find events
    #[command(
        after_help = "Example:\n  trailseal query --actor u1 --since 24h\n  trailseal query --action 'invoice.*' --outcome denied --count"
    )]
    Query(Query),
    /// Show the newest events, and those that come
    #[command(after_help = "Example:\n  trailseal tail -n 20 -f --action '*.delete'")]
    Tail(Tail),
    /// Show one resource's life, with what changed each time
    #[command(after_help = "Example:\n  trailseal history invoice/2026-0042")]
    History(History),
    /// Check that nothing was edited, deleted, inserted or reordered
    #[command(
        after_help = "Example:\n  trailseal verify\n  trailseal verify --checkpoint kept-elsewhere --public-key example.com/log+1a2b3c4d+AR…\n  trailseal verify --proof event.tlog-proof --public-key example.com/log+1a2b3c4d+AR…"
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
    /// Prove that the trail still begins with the one of an older checkpoint
    #[command(
        after_help = "Example:\n  trailseal consistency kept-elsewhere --out trail.consistency\n  trailseal verify --consistency trail.consistency --public-key \"$(trailseal key show)\""
    )]
    Consistency(Consistency),
    /// Write events out, for other tools or as evidence
    #[command(
        after_help = "Example:\n  trailseal export --since 2026-01-01 --format csv --out events.csv\n  trailseal export --format parquet --out events.parquet\n  trailseal export --actor u1 --format bundle --out evidence.zip"
    )]
    Export(Export),
    /// Count events by action, actor, category, outcome and severity, and over time
    #[command(
        after_help = "Example:\n  trailseal summary --since 7d --bucket 1d\n  trailseal summary --tenant acme --json"
    )]
    Summary(Summary),
    /// Print numbers about the trail
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
    /// Copy the trail beside its writer, so that the copy opens; a backup that is there is gone on with
    #[command(
        after_help = "Example:\n  trailseal backup /mnt/backup/trail\n  trailseal backup --with-keys /mnt/vault/trail"
    )]
    Backup(Backup),
    /// Begin a new trail that takes over from one that cannot go on
    #[command(
        after_help = "Example:\n  trailseal succeed trail --dir trail-2 --origin example.com/billing/node-1/2"
    )]
    Succeed(Succeed),
    /// Answer over HTTP, with a page to look at events
    #[command(
        after_help = "Example:\n  trailseal serve\n  trailseal serve --listen 127.0.0.1:0 --open\n  curl -H \"Authorization: Bearer $TOKEN\" -d '{\"action\":\"user.login\"}' http://127.0.0.1:8410/v1/events"
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
    /// Say what is wrong with this set-up, and how to mend it
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
    /// Print completions for a shell
    #[command(after_help = "Example:\n  trailseal completions bash > /etc/bash_completion.d/trailseal")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8410]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Need no token; only on loopback
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Args)]
pub(crate) struct Reindex {
    /// Rebuild the Merkle tree instead, if the lines give the root hash that was signed
    #[arg(long)]
    pub(crate) tree: bool,
}

#[derive(Args)]
pub(crate) struct Backup {
    /// The folder of the backup
    #[arg(value_name = "TO")]
    pub(crate) to: PathBuf,
    /// The keys, too: whoever has them can sign in the trail's name
    #[arg(long)]
    pub(crate) with_keys: bool,
}

#[derive(Args)]
pub(crate) struct Succeed {
    /// The folder of the trail that cannot go on; it is read, and never written
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The new trail's name
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: String,
    /// Why, for the new trail's first event [default: what `verify` says of the old one]
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The old trail's public key, kept elsewhere: only what it signed is good
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Tiles {
    /// The folder to write to; what an earlier run wrote there is gone on with
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a token; it is printed once, and cannot be told again
    Create {
        /// Its name, which stands in the events that it hands in
        #[arg(value_name = "NAME")]
        name: String,
        /// What it lets its holder do: write, read, review, admin
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true)]
        scope: Vec<String>,
        /// The only tenant that it is for
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// How long it lives, such as 90d, or until when
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Show all tokens, without their secrets
    List,
    /// End a token
    Revoke {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// In the handoff: a killed process does not lose it
    Accepted,
    /// On disk: power loss does not lose it
    Durable,
    /// In the store, too
    Store,
}

#[derive(Args)]
pub(crate) struct Record {
    /// The file; - or nothing for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The level at which an event counts as recorded [default: what the policy gives]
    #[arg(long, value_enum)]
    pub(crate) ack: Option<Ack>,
    /// Refuse names that no event has and wrong JSON types; a value never refuses an event
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Args)]
pub(crate) struct Import {
    /// The records' format: cloudtrail, kubernetes or github
    #[arg(long, value_name = "FORMAT", required_unless_present = "map", conflicts_with = "map")]
    pub(crate) from: Option<String>,
    /// A mapping file of your own
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
    /// The files; .gz is read too; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One event a line, as it is stored
    Jsonl,
    /// For spreadsheets
    Csv,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Oldest first
    Asc,
    /// Newest first
    Desc,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderBy {
    /// When it happened: the event's time, but never later than when it was recorded
    Time,
    /// When it was recorded
    Recorded,
}

#[derive(Args)]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// How many at most [default: 50 as a table, all otherwise]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// The order
    #[arg(long, value_enum, default_value = "desc")]
    pub(crate) order: Order,
    /// By what they are ordered
    #[arg(long, value_enum, default_value = "time", value_name = "WHAT")]
    pub(crate) order_by: OrderBy,
    /// Print only how many there are
    #[arg(long)]
    pub(crate) count: bool,
    /// How to print [default: table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

#[derive(Args)]
pub(crate) struct Tail {
    /// How many to begin with
    #[arg(short = 'n', default_value = "10", value_name = "N")]
    pub(crate) lines: u64,
    /// Show events as they come, until interrupted
    #[arg(short = 'f', long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// How to print [default: table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

#[derive(Args)]
pub(crate) struct History {
    /// The resource
    #[arg(value_name = "TYPE/ID")]
    pub(crate) resource: String,
    /// How to print [default: table]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
}

#[derive(Args)]
pub(crate) struct Summary {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// How many values of each field at most
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) top: usize,
    /// The span of one bar over time: 15m, 1h, 1d, … [default: what gives up to 48 bars]
    #[arg(long, value_name = "SPAN")]
    pub(crate) bucket: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Print the policy in force, as TOML
    Show,
    /// Check a policy file, or the policy in a settings file
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a mode in force for all events that no rule is about; kept across restarts
    Set {
        /// sync, async, sampled (with --rate) or off; or `settings` to return to the settings
        #[arg(value_name = "MODE")]
        mode: String,
        /// The share that is kept, from 0 to 1
        #[arg(long, value_name = "RATE")]
        rate: Option<f64>,
    },
}

#[derive(Args)]
pub(crate) struct Verify {
    /// A checkpoint that was kept elsewhere: the trail must contain it
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,
    /// A public key that was kept elsewhere, or its file: only it, and keys that it vouches for, may sign
    #[arg(long, value_name = "KEY")]
    pub(crate) public_key: Vec<String>,
    /// Check an inclusion proof, without the trail
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint", group = "what")]
    pub(crate) proof: Option<PathBuf>,
    /// Check a consistency proof, without the trail
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint", group = "what")]
    pub(crate) consistency: Option<PathBuf>,
    /// Check a bundle, without the trail
    #[arg(long, value_name = "FILE", conflicts_with = "checkpoint", group = "what")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Prove {
    /// The event's id (id:42 if it is all digits), or its index, perhaps as ORIGIN#INDEX
    #[arg(value_name = "ID|[ORIGIN#]INDEX")]
    pub(crate) event: String,
    /// Where to write the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Consistency {
    /// The older checkpoint
    #[arg(value_name = "FROM-CHECKPOINT-FILE")]
    pub(crate) from: PathBuf,
    /// Where to write the proof [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One event a line, as it is stored
    Jsonl,
    /// For spreadsheets
    Csv,
    /// For SQL of one's own: DuckDB, pandas, Spark
    Parquet,
    /// For SQL of one's own: a database of one table, `events`
    Sqlite,
    /// A zip with lines, proofs, checkpoint and key: evidence that stands alone
    Bundle,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// How to write them
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Print the public key, and earlier ones below it
    #[command(after_help = "Example:\n  trailseal key show > trail.key")]
    Show,
    /// Make a new signing key, vouched for by the old one
    #[command(after_help = "Example:\n  trailseal key rotate")]
    Rotate,
}

#[derive(Args)]
pub(crate) struct Mask {
    /// Events, one JSON object a line; - for standard input. Nothing is recorded, and no secret is shown
    #[arg(value_name = "FILE", required = true)]
    pub(crate) file: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<MaskCommand>,
}

#[derive(Subcommand)]
pub(crate) enum MaskCommand {
    /// Print what stands for a secret in a trail that masks by keyed hash
    #[command(after_help = "Example:\n  trailseal mask hash - < secret.txt")]
    Hash {
        /// The secret; - for standard input, so that it is in no list of processes
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
}
