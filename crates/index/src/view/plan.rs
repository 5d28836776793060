//! A filter in the index's own terms: codes, hashes and bounds.

use std::ops::Range;

use trailseal_event::filter::{
    Filter, IdFilter, ResourceFilter, glob_matches, is_same_address, parse_address,
};
use trailseal_event::held_id;

use super::order::{ALL, Key};
use crate::dictionary::{Dictionary, actor_parts};
use crate::schema::{
    Coded, DICTIONARIES, Hasher, KEY_CORRELATION, KEY_ID, KEY_REQUEST, KEY_RESOURCE, KEY_SESSION, KEY_TRACE,
    OTHER, outcome_code, severity_code,
};

/// What rows must fulfil: all of it.
pub(super) struct Plan {
    pub(super) conditions: Vec<Condition>,
    /// Times from here on.
    pub(super) since: i64,
    /// Times before this.
    pub(super) until: Option<i64>,
    /// Whether the trail's own events are wanted.
    pub(super) system: bool,
    /// Indexes that can match at all.
    pub(super) bounds: Range<u64>,
    /// Whether the line must also be checked.
    pub(super) line: bool,
}

/// What a row must have: any of it.
#[derive(Default)]
pub(super) struct Condition {
    /// A column with one of the codes.
    pub(super) column: Option<Coded>,
    pub(super) codes: Vec<u32>,
    /// A code of the column with which a row may fulfil it.
    pub(super) other: bool,
    /// Kinds and hashes of keys with which a row fulfils it, or may fulfil it if they are not wide.
    pub(super) keys: Vec<(usize, u64)>,
    /// The event itself.
    pub(super) indexes: Vec<u64>,
}

impl Condition {
    /// Whether nothing at all can fulfil it.
    fn is_never(&self) -> bool {
        self.codes.is_empty() && !self.other && self.keys.is_empty() && self.indexes.is_empty()
    }
}

impl Plan {
    /// `None` if nothing can match.
    pub(super) fn new(
        filter: &Filter,
        dictionaries: &[Dictionary; DICTIONARIES],
        hasher: Hasher,
    ) -> Option<Plan> {
        let planner = Planner { dictionaries, hasher };
        let conditions = [
            planner.exact(Coded::Tenant, &filter.tenant),
            planner.actor(&filter.actor),
            planner.exact(Coded::OnBehalfOf, &filter.on_behalf_of),
            planner.action(&filter.action),
            planner.exact(Coded::Category, filter.category.iter().map(|category| category.name())),
            planner.kind(filter),
            planner.resource(filter),
            listed(Coded::Outcome, filter.outcome.iter().map(|outcome| outcome_code(*outcome))),
            listed(Coded::Severity, filter.severity.iter().map(|severity| severity_code(*severity))),
            planner.ip(&filter.ip),
            planner.keys(KEY_CORRELATION, &filter.correlation_id),
            planner.keys(KEY_REQUEST, &filter.request_id),
            planner.keys(KEY_SESSION, &filter.session_id),
            planner.keys(KEY_TRACE, &filter.trace_id),
            planner.ids(&filter.id),
        ];
        let mut conditions: Vec<Condition> = conditions.into_iter().flatten().collect();
        if conditions.iter().any(Condition::is_never) {
            return None;
        }
        // Keys leave few rows, and many codes take long to look up.
        conditions.sort_by_key(|condition| condition.codes.len());
        Some(Plan {
            conditions,
            since: filter.since.map_or(i64::MIN, |since| since.as_micros()),
            until: filter.until.map(|until| until.as_micros()),
            system: filter.system,
            bounds: filter.index_range(),
            line: !filter.text.is_empty()
                || filter.resource.iter().any(is_untyped)
                || filter.recorded_since.is_some()
                || filter.recorded_until.is_some(),
        })
    }

    /// The same at any time, plus the requested places by time.
    pub(super) fn without_times(self) -> (Plan, Range<Key>) {
        let end = self.until.map_or(ALL.end, |until| (until, 0));
        let places = (self.since, 0)..end;
        (Plan { since: i64::MIN, until: None, ..self }, places)
    }

    pub(super) fn has_time(&self, time: i64) -> bool {
        self.since <= time && self.until.is_none_or(|until| time < until)
    }

    /// Whether a row is visible at all, by its mark.
    pub(super) fn shows(&self, mark: u32) -> bool {
        mark == crate::schema::MARK_NONE || (self.system && mark == crate::schema::MARK_SYSTEM)
    }
}

struct Planner<'a> {
    dictionaries: &'a [Dictionary; DICTIONARIES],
    hasher: Hasher,
}

impl Planner<'_> {
    /// A column with one of these values.
    fn exact(&self, column: Coded, values: impl IntoIterator<Item = impl AsRef<str>>) -> Option<Condition> {
        let values: Vec<_> = values.into_iter().collect();
        if values.is_empty() {
            return None;
        }
        let is_wanted = |entry: &[u8]| values.iter().any(|value| value.as_ref().as_bytes() == entry);
        Some(Condition {
            column: Some(column),
            codes: self.dictionaries[column.at()].codes_where(is_wanted),
            keys: values
                .iter()
                .map(|value| (column.at(), self.hasher.key(column.at(), value.as_ref())))
                .collect(),
            ..Condition::default()
        })
    }

    fn actor(&self, values: &[String]) -> Option<Condition> {
        if values.is_empty() {
            return None;
        }
        let is_one = |part: Option<&[u8]>| {
            part.is_some_and(|part| values.iter().any(|value| value.as_bytes() == part))
        };
        let is_wanted =
            |entry: &[u8]| actor_parts(entry).is_some_and(|actor| is_one(actor.id) || is_one(actor.name));
        let at = Coded::Actor.at();
        Some(Condition {
            column: Some(Coded::Actor),
            codes: self.dictionaries[at].codes_where(is_wanted),
            keys: values.iter().map(|value| (at, self.hasher.key(at, value))).collect(),
            ..Condition::default()
        })
    }

    fn action(&self, globs: &[String]) -> Option<Condition> {
        if globs.iter().any(|glob| !glob.is_empty() && glob.bytes().all(|byte| byte == b'*')) {
            return None;
        }
        let is_glob = |glob: &&String| glob.contains(['*', '?']);
        if !globs.iter().any(|glob| is_glob(&glob)) {
            return self.exact(Coded::Action, globs);
        }
        let is_wanted = |entry: &[u8]| {
            std::str::from_utf8(entry).is_ok_and(|action| globs.iter().any(|glob| glob_matches(glob, action)))
        };
        Some(Condition {
            column: Some(Coded::Action),
            codes: self.dictionaries[Coded::Action.at()].codes_where(is_wanted),
            other: true,
            ..Condition::default()
        })
    }

    /// Addresses, however they are written. Values that no dictionary took are judged by their lines.
    fn ip(&self, values: &[String]) -> Option<Condition> {
        let mut condition = self.exact(Coded::Ip, values)?;
        if values.iter().any(|value| parse_address(value).is_some()) {
            let is_wanted = |entry: &[u8]| {
                std::str::from_utf8(entry)
                    .is_ok_and(|ip| values.iter().any(|value| is_same_address(value, ip)))
            };
            condition.codes = self.dictionaries[Coded::Ip.at()].codes_where(is_wanted);
            condition.other = true;
        }
        Some(condition)
    }

    /// Types alone, if nothing else is asked of the resource.
    fn kind(&self, filter: &Filter) -> Option<Condition> {
        if filter.resource.iter().any(|wanted| wanted.id.is_some()) {
            return None;
        }
        self.exact(Coded::Kind, filter.resource.iter().map(|wanted| &wanted.kind))
    }

    /// Resources by id or name, and perhaps others by type.
    fn resource(&self, filter: &Filter) -> Option<Condition> {
        if filter.resource.iter().all(|wanted| wanted.id.is_none()) {
            return None;
        }
        // Without a type there is no key: the lines are judged.
        if filter.resource.iter().any(is_untyped) {
            return None;
        }
        let readings: Vec<_> = filter.resource.iter().flat_map(ResourceFilter::readings).collect();
        let kinds = readings.iter().filter(|(_, id)| id.is_none()).map(|(kind, _)| kind);
        let mut condition = self.exact(Coded::Kind, kinds).unwrap_or_default();
        for (kind, id) in &readings {
            if let Some(id) = id {
                condition.keys.push((KEY_RESOURCE, self.hasher.resource(kind, id)));
            }
        }
        Some(condition)
    }

    fn keys(&self, kind: usize, values: &[String]) -> Option<Condition> {
        let keys: Vec<_> = values.iter().map(|value| (kind, self.hasher.key(kind, value))).collect();
        (!keys.is_empty()).then(|| Condition { keys, ..Condition::default() })
    }

    fn ids(&self, ids: &[IdFilter]) -> Option<Condition> {
        let mut condition = Condition::default();
        for id in ids {
            match id {
                IdFilter::Index(index) => condition.indexes.push(index.get()),
                IdFilter::Id(id) => condition.keys.push((KEY_ID, self.hasher.key(KEY_ID, &held_id(id)))),
            }
        }
        (!ids.is_empty()).then_some(condition)
    }
}

/// An id or name alone.
fn is_untyped(wanted: &ResourceFilter) -> bool {
    wanted.kind.is_empty() && wanted.id.is_some()
}

fn listed(column: Coded, codes: impl Iterator<Item = u32>) -> Option<Condition> {
    let mut codes: Vec<u32> = codes.filter(|code| *code > OTHER).collect();
    codes.sort_unstable();
    codes.dedup();
    (!codes.is_empty()).then(|| Condition { column: Some(column), codes, ..Condition::default() })
}
