//! `trailseal history`: the history of one resource, with what changed each time.

use trailseal_event::filter::{Filter, ResourceFilter};
use trailseal_event::{Hit, Order, Value};

use super::query::keep_going;
use super::reading::{keys_if, source};
use crate::arguments::{Format, History};
use crate::failure::{Failure, Outcome};
use crate::output::{Writer, stdout_for, tell};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, history: &History, json: bool) -> Outcome {
    let resource = ResourceFilter::parse(&history.resource);
    if resource.id.is_none() {
        return Err(Failure::could_not(format!(
            "{:?} is not a resource: give TYPE/ID, such as invoice/42",
            history.resource
        )));
    }
    let filter = Filter { resource: vec![resource], system: history.system, ..Filter::default() };
    let mut source = source(settings, &history.store)?;
    let format = history.shown.format(json);
    let keys = keys_if(settings, history.shown.personal)?;
    let mut writer = Writer::new(stdout_for(format), format, source.trails()?, keys.clone());
    let mut found = 0u64;
    let mut show = |hit: &Hit| {
        found += 1;
        writer.event(hit)?;
        if format == Format::Table
            && let Ok(recorded) = hit.read(keys.as_deref())
            && let Some(Value::Object(changes)) = &recorded.event.changes
        {
            for (path, change) in changes.iter() {
                writer.note(&change_text(path, change))?;
            }
        }
        Ok(())
    };
    let mut failed: Option<std::io::Error> = None;
    source.some(&filter, Order::OLDEST, None, usize::MAX, &mut |hit| keep_going(show(hit), &mut failed))?;
    failed.map_or(Ok(()), |error| Err(Failure::from(error)))?;
    writer.finish()?;
    if found == 0 && format == Format::Table {
        tell(&format!("no event is about {}", history.resource));
    }
    Ok(())
}

fn change_text(path: &str, change: &Value) -> String {
    let side = |name: &str| change.get(name).map_or_else(|| "(none)".to_owned(), Value::to_string);
    format!("{path}: {} → {}", side("before"), side("after"))
}
