//! The settings file: TOML in which every key and value remembers its line and column.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use trailseal_core::{Anchor, RetentionRule};
use trailseal_event::policy::Policy;

use super::given::{Given, Settings, bad, unknown};
use super::retention::RuleBeingRead;
use super::table::{LISTS, ONLY_IN_A_FILE, REDIS_PASSWORD, SETTINGS, Setting};
use crate::failure::{Failure, Outcome};
use crate::stream::Stream;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that is being parsed into settings.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

/// Reads the file at `path` into `settings`.
pub(super) fn read(path: &Path, settings: &mut Settings) -> Outcome {
    let mut text = String::new();
    trailseal_core::file::open_named(path)
        .and_then(|file| {
            std::io::Read::read_to_string(&mut std::io::Read::take(file, FILE_BYTES_MAX), &mut text)
        })
        .map_err(Failure::io("read", path))?;
    let file = File { path, text: &text };
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Failure::could_not(format!("{}: {}", file.place(at), error.message().replace('\n', ", ")))
    })?;
    file.take(table.get_ref(), "", settings)
}

fn a_number(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The embedded index and the shared store are sinks, too.
fn is_taken(name: &str) -> bool {
    ["", "index", "store"].contains(&name)
}

impl File<'_> {
    fn take(&self, table: &DeTable<'_>, prefix: &str, settings: &mut Settings) -> Outcome {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let inside = format!("{name}.");
            if let DeValue::Table(inner) = value.get_ref()
                && SETTINGS.iter().any(|setting| setting.name.starts_with(&inside))
            {
                self.take(inner, &inside, settings)?;
                continue;
            }
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                return Err(unknown(&self.place(key.span().start), &name));
            };
            let source = self.place(value.span().start);
            let text = match value.get_ref() {
                DeValue::Array(tables) if name == "anchor" => {
                    self.take_anchors(tables, settings)?;
                    continue;
                }
                DeValue::Array(tables) if name == "sink" => {
                    for table in tables.iter() {
                        self.take_stream(table, settings)?;
                    }
                    continue;
                }
                DeValue::Array(tables) if name == "retention.rule" => {
                    for table in tables.iter() {
                        settings.retention_rules.push(self.retention_rule(table)?);
                    }
                    settings.give(setting.name, format!("{} rules", tables.len()), source);
                    continue;
                }
                DeValue::Array(_) if name == "rule" => {
                    self.take_rules(source, settings)?;
                    continue;
                }
                DeValue::Array(_) if name == "personal" => {
                    self.take_personal(source, settings)?;
                    continue;
                }
                DeValue::Array(texts) if LISTS.contains(&setting.name) => {
                    let texts = self.texts(texts, setting)?;
                    let shown: Vec<&str> = texts.iter().map(|text| &*text.value).collect();
                    settings.give(setting.name, shown.join(", "), source);
                    settings.lists.insert(setting.name, texts);
                    continue;
                }
                DeValue::String(_) if LISTS.contains(&setting.name) => {
                    return Err(bad(&source, setting, "a single string"));
                }
                DeValue::String(text) if !ONLY_IN_A_FILE.contains(&&*name) => text.to_string(),
                number @ DeValue::Float(_) if name == "rate" => a_number(number).unwrap_or_default(),
                DeValue::Integer(number) if !setting.is_name() => number.to_string(),
                DeValue::Boolean(value) if !setting.is_name() => value.to_string(),
                other => return Err(bad(&source, setting, other.type_str())),
            };
            settings.give(setting.name, text, source);
        }
        Ok(())
    }

    fn take_rules(&self, source: String, settings: &mut Settings) -> Outcome {
        let policy = Policy::from_rules(self.text)
            .map_err(|error| Failure::could_not(format!("{}:{error}", self.path.display())))?;
        settings.rules = policy;
        settings.rules_source = source;
        Ok(())
    }

    fn take_personal(&self, source: String, settings: &mut Settings) -> Outcome {
        settings.personal = Policy::personal_rules(self.text)
            .map_err(|error| Failure::could_not(format!("{}:{error}", self.path.display())))?;
        settings.personal_source = source;
        Ok(())
    }

    /// The strings of a list, each with its place.
    fn texts(&self, texts: &DeArray<'_>, setting: &Setting) -> Outcome<Vec<Given>> {
        let text = |text: &Spanned<DeValue<'_>>| {
            let source = self.place(text.span().start);
            match text.get_ref() {
                DeValue::String(text) => Ok(Given { value: text.to_string(), source }),
                other => Err(bad(&source, setting, other.type_str())),
            }
        };
        texts.iter().map(text).collect()
    }

    fn take_anchors(&self, anchors: &DeArray<'_>, settings: &mut Settings) -> Outcome {
        for anchor in anchors.iter() {
            settings.anchors.push(self.anchor(anchor)?);
        }
        Ok(())
    }

    fn anchor(&self, anchor: &Spanned<DeValue<'_>>) -> Outcome<Anchor> {
        let wrong = |at: usize, what: &str| {
            Err(Failure::could_not(format!(
                "{}: {what}: an [[anchor]] has either `file` or `command`",
                self.place(at)
            )))
        };
        let anchor_at = anchor.span().start;
        let DeValue::Table(table) = anchor.get_ref() else { return wrong(anchor_at, "not a table") };
        let mut found = None;
        for (key, value) in table {
            let at = key.span().start;
            let DeValue::String(text) = value.get_ref() else {
                return wrong(value.span().start, &format!("`anchor.{}` is not a string", key.get_ref()));
            };
            let anchor = match &**key.get_ref() {
                "file" => Anchor::File(text.as_ref().into()),
                "command" => Anchor::Command(text.to_string()),
                name => return wrong(at, &format!("there is no setting `anchor.{name}`")),
            };
            if found.replace(anchor).is_some() {
                return wrong(anchor_at, "two places in one entry");
            }
        }
        found.map_or_else(|| wrong(anchor_at, "the entry is empty"), Ok)
    }

    fn take_stream(&self, sink: &Spanned<DeValue<'_>>, settings: &mut Settings) -> Outcome {
        let sink_at = sink.span().start;
        let wrong = |at: usize, what: &str| Failure::could_not(format!("{}: {what}", self.place(at)));
        let DeValue::Table(table) = sink.get_ref() else {
            return Err(wrong(sink_at, "a [[sink]] is a table"));
        };
        let (mut kind, mut url, mut password, mut name) = (None, None, None, None);
        for (key, value) in table {
            let (known, at) = (&**key.get_ref(), value.span().start);
            let DeValue::String(text) = value.get_ref() else {
                return Err(wrong(at, &format!("`sink.{known}` is not a string")));
            };
            match known {
                "type" if *text != "redis" => {
                    return Err(wrong(
                        at,
                        "`sink.type` can only be \"redis\"; a PostgreSQL is named by store.url",
                    ));
                }
                "type" => kind = Some(()),
                "url" => url = Some((at, text)),
                "password" => password = Some(text),
                "name" => name = Some((at, text)),
                other => {
                    let what = format!(
                        "there is no setting `sink.{other}`: a [[sink]] has type, url, password and name"
                    );
                    return Err(wrong(key.span().start, &what));
                }
            }
        }
        kind.ok_or_else(|| wrong(sink_at, "the [[sink]] has no `type`: add type = \"redis\""))?;
        let (url_at, url) = url.ok_or_else(|| wrong(sink_at, "the [[sink]] has no `url`"))?;
        let (name_at, name) = name.map_or((sink_at, "redis"), |(at, name)| (at, name));
        if is_taken(name) || settings.streams.iter().any(|stream| stream.name == *name) {
            let what = format!("another sink is called {name:?}: give each [[sink]] a `name` of its own");
            return Err(wrong(name_at, &what));
        }
        let of_environment = std::env::var(REDIS_PASSWORD).ok();
        let password = password.map(|text| &**text).or(of_environment.as_deref());
        let stream = Stream::parse(name, url, password);
        settings.streams.push(stream.map_err(|what| wrong(url_at, &format!("`sink.url`: {what}")))?);
        Ok(())
    }

    fn retention_rule(&self, rule: &Spanned<DeValue<'_>>) -> Outcome<RetentionRule> {
        let wrong = |at: usize, what: &str| Failure::could_not(format!("{}: {what}", self.place(at)));
        let rule_at = rule.span().start;
        let DeValue::Table(table) = rule.get_ref() else {
            return Err(wrong(rule_at, "a [[retention.rule]] is a table"));
        };
        let mut read = RuleBeingRead::default();
        for (key, value) in table {
            let (name, at) = (&**key.get_ref(), value.span().start);
            let bad = |what: &str| wrong(at, &format!("`retention.rule.{name}`: {what}"));
            match value.get_ref() {
                DeValue::String(text) => read.take(name, text).map_err(|what| bad(&what))?,
                DeValue::Array(texts) if name == "category" => {
                    for text in texts.iter() {
                        let DeValue::String(text) = text.get_ref() else {
                            return Err(bad("not a list of strings"));
                        };
                        read.take(name, text).map_err(|what| bad(&what))?;
                    }
                }
                _ => return Err(bad("not a string")),
            }
        }
        read.end().map_err(|what| wrong(rule_at, &format!("`retention.rule`: {what}")))
    }

    /// File, line and column of a byte offset, counted from 1.
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }
}
