//! The flags that select events.

use clap::Args;

/// Which events. A repeated flag matches any of its values.
#[derive(Args, Clone, Default)]
pub(crate) struct Filters {
    /// The tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// The actor's id or name
    #[arg(long, value_name = "ACTOR")]
    actor: Vec<String>,
    /// The id of the person acted for
    #[arg(long, value_name = "ID")]
    on_behalf_of: Vec<String>,
    /// The action; * is any text
    #[arg(long, value_name = "GLOB")]
    action: Vec<String>,
    /// The category
    #[arg(long, value_name = "CATEGORY")]
    category: Vec<String>,
    /// The resource
    #[arg(long, value_name = "TYPE[/ID]")]
    resource: Vec<String>,
    /// success, failure, denied, partial, unknown, or none for events without an outcome
    #[arg(long, value_name = "OUTCOME")]
    outcome: Vec<String>,
    /// debug, info, notice, warning, error or critical
    #[arg(long, value_name = "SEVERITY")]
    severity: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    ip: Vec<String>,
    /// The correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Vec<String>,
    /// The request id
    #[arg(long, value_name = "ID")]
    request_id: Vec<String>,
    /// The session id
    #[arg(long, value_name = "ID")]
    session_id: Vec<String>,
    /// The trace id
    #[arg(long, value_name = "ID")]
    trace_id: Vec<String>,
    /// The trail's origin
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// Events at or after this time: 2026-11-21T04:00, 2026-11-21, 2026-11 (in UTC), yesterday, "last week", or an age
    /// such as 24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Events before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Events recorded at or after this time, whatever time they claim
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    recorded_since: Option<String>,
    /// Events recorded before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    recorded_until: Option<String>,
    /// Text anywhere in the event
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// An id (id:42 if it is all digits) or an index
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Include the trail's own events
    #[arg(long)]
    pub(crate) system: bool,
}

impl Filters {
    /// Replaces each value by what `shown` returns for it.
    pub(crate) fn shown(mut self, shown: impl Fn(&str, &str) -> String) -> Filters {
        let hashable = [
            ("tenant", &mut self.tenant),
            ("actor", &mut self.actor),
            ("on_behalf_of", &mut self.on_behalf_of),
            ("resource", &mut self.resource),
            ("ip", &mut self.ip),
            ("correlation_id", &mut self.correlation_id),
            ("request_id", &mut self.request_id),
            ("session_id", &mut self.session_id),
            ("trace_id", &mut self.trace_id),
            ("id", &mut self.id),
        ];
        for (name, values) in hashable {
            values.iter_mut().for_each(|value| *value = shown(name, value));
        }
        self
    }

    /// The filters as names and values, in the form that the core parses.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, &str)> {
        let lists: [(&'static str, &[String]); 16] = [
            ("tenant", &self.tenant),
            ("actor", &self.actor),
            ("on_behalf_of", &self.on_behalf_of),
            ("action", &self.action),
            ("category", &self.category),
            ("resource", &self.resource),
            ("outcome", &self.outcome),
            ("severity", &self.severity),
            ("ip", &self.ip),
            ("correlation_id", &self.correlation_id),
            ("request_id", &self.request_id),
            ("session_id", &self.session_id),
            ("trace_id", &self.trace_id),
            ("origin", &self.origin),
            ("text", &self.text),
            ("id", &self.id),
        ];
        let mut pairs = Vec::new();
        for (name, values) in lists {
            pairs.extend(values.iter().map(|value| (name, value.as_str())));
        }
        for (name, value) in [
            ("since", &self.since),
            ("until", &self.until),
            ("recorded_since", &self.recorded_since),
            ("recorded_until", &self.recorded_until),
        ] {
            pairs.extend(value.as_deref().map(|value| (name, value)));
        }
        pairs
    }
}
