//! How a trail is opened.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use trailseal_event::mask::MaskOptions;
use trailseal_event::policy::Policy;

use super::witness::FindWitnesses;
use crate::clock::{Clock, SystemClock};
use crate::file::{Files, StdFiles};
use crate::handoff::HandoffOptions;
use crate::notice::OnNotice;
use crate::personal::PersonalKeysOptions;
use crate::seal::Anchor;
use crate::segment::SegmentOptions;

/// How a trail is opened. `Options::default()` suits a long-running service; change its fields. A literal does not compile,
/// since later versions may have more of them.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The trail's name, for example `example.com/billing/node-1`. Fixed when the trail is created; `None`:
    /// `trailseal.local/` and 16 hex digits of the public key's SHA-256.
    pub origin: Option<String>,
    /// Whether to create a trail where there is none. With `false` an empty folder is refused: a volume that is mounted
    /// late looks like one.
    pub create: bool,
    /// Where the signing key is, if not in the trail's folder.
    pub key_file: Option<PathBuf>,
    /// What happens to each event, unless the trail's folder keeps a policy that was set while it ran.
    pub policy: Policy,
    /// Whether events from JSON are read strictly: unknown names and wrong JSON types refuse them, a value never does.
    /// Otherwise they only cause warnings. See [`Event::from_json_told`](trailseal_event::Event::from_json_told).
    pub strict: bool,
    /// What is masked before anything is written.
    pub mask: MaskOptions,
    /// Where the keys of people are, if the policy says that anything is personal.
    pub personal: PersonalKeysOptions,
    /// The buffer that `record` puts lines into.
    pub handoff: HandoffOptions,
    /// The files of lines.
    pub segment: SegmentOptions,
    /// How long the writer collects events that nobody waits for, at most 100 ms. A longer time only means that a power
    /// loss can take more of them.
    pub linger: Duration,
    /// How often a checkpoint is signed while there are events.
    pub seal_every: Duration,
    /// Free bytes that are left alone: below that, new events are refused. `None`: 256 MiB, or 5 % of the file system
    /// if that is less.
    pub disk_reserve_bytes: Option<u64>,
    /// Open on a network file system although its locks and syncs are not reliable.
    pub allow_network_file_system: bool,
    /// A short-lived process: the handoff file is removed at a clean close.
    pub one_shot: bool,
    /// Places outside the trail that receive each new checkpoint.
    pub anchors: Vec<Anchor>,
    /// The trail that a new one takes over from, recorded in its first line.
    pub succeeds: Option<Succeeded>,
    /// Finds out what else says how many events the trail had, before it is opened.
    pub witnesses: Option<FindWitnesses>,
    /// The first slot of a folder of slots, whose masking key the others copy.
    pub(in crate::trail) first_slot: Option<PathBuf>,
    /// The file system; tests use a faulty one.
    pub files: Arc<dyn Files>,
    /// The clock; tests stop it and turn it back.
    pub clock: Arc<dyn Clock>,
    /// Called with what an operator should know. The trail's own threads call it: it must return soon.
    pub on_notice: Option<OnNotice>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            origin: None,
            create: true,
            key_file: None,
            policy: Policy::default(),
            strict: false,
            mask: MaskOptions::default(),
            personal: PersonalKeysOptions::default(),
            handoff: HandoffOptions::default(),
            segment: SegmentOptions::default(),
            linger: Duration::from_millis(5),
            seal_every: Duration::from_secs(1),
            disk_reserve_bytes: None,
            allow_network_file_system: false,
            one_shot: false,
            anchors: Vec::new(),
            succeeds: None,
            witnesses: None,
            first_slot: None,
            files: FILES.clone(),
            clock: CLOCK.clone(),
            on_notice: None,
        }
    }
}

/// Those of all who name no others, so that it can be told that they are the same.
static FILES: LazyLock<Arc<dyn Files>> = LazyLock::new(|| Arc::new(StdFiles));
static CLOCK: LazyLock<Arc<dyn Clock>> = LazyLock::new(|| Arc::new(SystemClock));

impl Options {
    /// The first option that is another there; `None` if both open a trail in the same way. What is called or asked
    /// through an [`Arc`] is the same only if it is one.
    pub fn difference(&self, other: &Options) -> Option<&'static str> {
        // Named one by one, so that an option that is not compared does not compile.
        let Options {
            origin,
            create,
            key_file,
            policy,
            strict,
            mask,
            personal,
            handoff,
            segment,
            linger,
            seal_every,
            disk_reserve_bytes,
            allow_network_file_system,
            one_shot,
            anchors,
            succeeds,
            witnesses,
            first_slot,
            files,
            clock,
            on_notice,
        } = self;
        let compared = [
            ("origin", *origin == other.origin),
            ("create", *create == other.create),
            ("key_file", *key_file == other.key_file),
            ("policy", *policy == other.policy),
            ("strict", *strict == other.strict),
            ("mask", *mask == other.mask),
            ("personal", *personal == other.personal),
            ("handoff", *handoff == other.handoff),
            ("segment", *segment == other.segment),
            ("linger", *linger == other.linger),
            ("seal_every", *seal_every == other.seal_every),
            ("disk_reserve_bytes", *disk_reserve_bytes == other.disk_reserve_bytes),
            ("allow_network_file_system", *allow_network_file_system == other.allow_network_file_system),
            ("one_shot", *one_shot == other.one_shot),
            ("anchors", *anchors == other.anchors),
            ("succeeds", *succeeds == other.succeeds),
            ("witnesses", is_one(witnesses.as_ref(), other.witnesses.as_ref())),
            ("first_slot", *first_slot == other.first_slot),
            ("files", Arc::ptr_eq(files, &other.files)),
            ("clock", Arc::ptr_eq(clock, &other.clock)),
            ("on_notice", is_one(on_notice.as_ref(), other.on_notice.as_ref())),
        ];
        compared.into_iter().find(|(_, is_same)| !is_same).map(|(name, _)| name)
    }
}

fn is_one<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// The last good state of a trail that cannot continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succeeded {
    /// Its name.
    pub origin: String,
    /// How many events its newest good checkpoint covers, and the root hash in base64; `None` if none is good.
    pub good: Option<(u64, String)>,
    /// Why it cannot continue.
    pub reason: String,
}

impl Succeeded {
    pub(in crate::trail) fn to_details(&self) -> trailseal_event::Object {
        let mut details = trailseal_event::Object::default();
        details.insert("origin", self.origin.as_str());
        if let Some((size, root)) = &self.good {
            details.insert("tree_size", *size);
            details.insert("root", root.as_str());
        }
        details.insert("reason", self.reason.as_str());
        details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_the_same_until_one_is_changed() {
        let options = Options::default();
        assert_eq!(options.difference(&Options::default()), None);
        let changed = |change: fn(&mut Options)| {
            let mut changed = options.clone();
            change(&mut changed);
            assert_eq!(changed.difference(&changed.clone()), None);
            options.difference(&changed)
        };
        assert_eq!(changed(|options| options.mask.keys.push("iban".into())), Some("mask"));
        assert_eq!(changed(|options| options.handoff.size_bytes += 1), Some("handoff"));
        assert_eq!(changed(|options| options.segment.compress = true), Some("segment"));
        assert_eq!(changed(|options| options.files = Arc::new(StdFiles)), Some("files"));
        assert_eq!(changed(|options| options.on_notice = Some(Arc::new(|_| {}))), Some("on_notice"));
    }
}
