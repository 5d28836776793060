use super::*;
use trailseal_event::{Event, Value};

fn event(mapping: &str, record: &str) -> Event {
    let mapping = Mapping::parse(&format!("format = 'test'\n{mapping}")).expect("a good mapping");
    mapping.apply(Value::parse(record.as_bytes()).expect("good JSON"))
}

/// `mapping` must be refused, at `line` and with `message` in what is said.
#[track_caller]
fn check_refused(mapping: &str, line: usize, message: &str) {
    let error = Mapping::parse(mapping).expect_err("a bad mapping");
    assert_eq!(error.line, line, "{error}");
    assert!(error.message.contains(message), "{error}");
}

#[test]
fn candidates_in_order() {
    let mapping = "[event]\naction = ['{a}.{b}', 'a', {path = 'c', match = '^x-(.+)$'}, '=none']";
    let check =
        |record: &str, expected: &str| assert_eq!(event(mapping, record).action, expected, "{record}");
    check(r#"{"a":"A","b":"B"}"#, "A.B");
    check(r#"{"a":"A","b":""}"#, "A");
    check(r#"{"b":"B","c":"x-7"}"#, "7");
    check(r#"{"c":"7"}"#, "none");
}

#[test]
fn names_values_and_rules() {
    let mapping = r#"
[let]
code = ["status", "result.code"]
[event]
action = "do"
outcome = "how"
"actor.id" = "who"
[values.outcome]
ok = "success"
"5*" = "failure"
[[outcome]]
when = { "$code" = ["401", "403"] }
is = "denied"
[[category]]
when = { "$action" = "user.*", "$code" = "!403" }
is = "custom:users"
[[severity]]
when = { "$outcome" = ["denied", "failure"], "$actor.id" = "root" }
is = "critical"
"#;
    let denied = event(mapping, r#"{"do":"user.add","result":{"code":403},"who":"root"}"#);
    assert_eq!((denied.outcome, denied.severity), (Some(Outcome::Denied), Severity::Critical));
    assert_eq!(denied.category, Category::default());
    let good = event(mapping, r#"{"do":"user.add","how":"OK","status":200}"#);
    assert_eq!((good.outcome, good.category), (Some(Outcome::Success), Category::Custom("users".into())));
    assert_eq!(event(mapping, r#"{"how":"502"}"#).outcome, Some(Outcome::Failure));
    assert_eq!(event(mapping, r#"{"how":"odd"}"#).outcome, Some(Outcome::Unknown));
    assert_eq!(event(mapping, r#"{"how":"odd","status":401}"#).outcome, Some(Outcome::Denied));
    assert_eq!(event(mapping, "{}").outcome, None, "nobody said");
    let unsaid = "[[severity]]\nwhen = { \"$outcome\" = \"\" }\nis = \"notice\"";
    assert_eq!(event(unsaid, "{}").severity, Severity::Notice, "a rule can tell that nobody said");
}

#[test]
fn a_condition_holds_if_one_of_several_values_fits() {
    let mapping = "[[outcome]]\nwhen = { 'checks.*.granted' = 'false' }\nis = 'denied'";
    let outcome = |record: &str| event(mapping, record).outcome;
    assert_eq!(outcome(r#"{"checks":[{"granted":true},{"granted":false}]}"#), Some(Outcome::Denied));
    assert_eq!(outcome(r#"{"checks":[{"granted":true},{}]}"#), None);
    assert_eq!(outcome("{}"), None);
}

#[test]
fn resources_and_other_fields() {
    let mapping = r#"
source_id = "uid"
[event]
"actor.roles" = ["roles"]
before = "old"
after = "new"
duration_ms = "took"
[[resource]]
when = { kind = "x" }
type = "=never"
id = "id"
[[resource]]
type = "things.0.type"
id = "things.0.id"
[[related]]
each = "things"
type = "type"
id = "id"
[details]
extra = "more"
"#;
    let record = r#"{"things":[{"id":"1","type":"t"},{"id":"2"}],"roles":["a",7,null],"old":{"n":1},
        "new":{"n":2},"took":1.5,"more":[1],"id":"0","uid":"u-1"}"#;
    let event = event(mapping, record);
    let resource = event.resource.expect("a resource");
    assert_eq!((resource.kind.as_deref(), resource.id.as_deref()), (Some("t"), Some("1")));
    assert_eq!(event.related.len(), 1);
    assert_eq!(event.related[0].id.as_deref(), Some("2"));
    assert_eq!(event.actor.expect("an actor").roles, ["a", "7"]);
    assert_eq!(event.duration_ms.map(|number| number.to_string()).as_deref(), Some("1.5"));
    assert_eq!(event.before.expect("a before").to_string(), r#"{"n":1}"#);
    assert_eq!(event.details.get("extra").expect("an extra").to_string(), "[1]");
    let import = event.details.get("_import").expect("the mark").to_string();
    assert_eq!(import, r#"{"format":"test","source_id":"u-1","defaulted":["action","time"]}"#);
    let whole = Value::parse(record.as_bytes()).expect("good JSON");
    assert_eq!(event.details.get("record"), Some(&whole));
}

#[test]
fn bad_mappings_say_where_and_what_to_do() {
    check_refused("", 1, "begin with a line such as format");
    check_refused("format = 'a b'", 1, "cannot be a format's name");
    check_refused("format = 7", 1, "quoted text is needed here, not a TOML integer");
    check_refused("format = 'a'\n\nactions = 'x'", 3, "`actions` is not known: use format");
    check_refused("format = 'a'\n[event]\nactor = 'x'", 3, "use one of action, time");
    check_refused("format = 'a'\n[event]\naction = 'a..b'", 3, "write keys with dots");
    check_refused("format = 'a'\n[event]\naction = '{a'", 3, "does not close it");
    check_refused("format = 'a'\n[event]\naction = [\n'a',\n7]", 5, "not from a TOML integer");
    check_refused("format = 'a'\n[event]\naction = '$verb'", 3, "define it under [let] first");
    check_refused("format = 'a'\n[event]\naction = {match = 'x'}", 3, "the path is missing");
    check_refused("format = 'a'\n[event]\naction = {path = 'x', match = '('}", 3, "not a regular expression");
    check_refused("format = 'a'\n[event]\naction = {path = 'x', mach = '('}", 3, "did you mean `match`?");
    check_refused("format = 'a'\n[event]\naction = {path = 'x', regex = '('}", 3, "use path, match");
    check_refused(
        "format = 'a'\ntime_format = '%Y'",
        2,
        "`time_format` is not known: did you mean `time_formats`?",
    );
    check_refused("format = 'a'\n[event]\n'actor.ids' = 'x'", 3, "did you mean `actor.id`?");
    check_refused("format = 'a'\n[[outcome]]\nwhem = {a = 'b'}\nis = 'denied'", 3, "did you mean `when`?");
    check_refused("format = 'a'\n[[resource]]\nidd = 'x'", 3, "did you mean `id`?");
    check_refused("format = 'a'\n[let]\ncode = 'c'\n[event]\naction = '$coed'", 5, "did you mean `$code`?");
    check_refused(
        "format = 'a'\n[[outcome]]\nwhen = {'$acton' = 'b'}\nis = 'denied'",
        3,
        "did you mean `$action`?",
    );
    check_refused("format = 'a'\n[[outcome]]\nis = 'good'", 3, "use one of success");
    check_refused("format = 'a'\n[[outcome]]\nwhen = {a = 'b'}", 2, "add is =");
    check_refused("format = 'a'\n[[category]]\nis = 'custom:'", 3, "use one of authentication");
    check_refused("format = 'a'\n[outcome]\nis = 'success'", 2, "double brackets");
    check_refused("format = 'a'\n[[outcome]]\nwhen = {a = '9..1'}\nis = 'success'", 3, "lower one first");
    check_refused("format = 'a'\n[[outcome]]\nwhen = {a = 1.5}\nis = 'success'", 3, "a pattern is text");
    check_refused("format = 'a'\n[[resource]]\ntype = 'x'", 2, "needs an id or a name");
    check_refused("format = 'a'\n[[related]]\nid = 'x'", 2, "the list is missing");
    check_refused("format = 'a'\n[details]\nrecord = 'x'", 3, "is taken");
    check_refused("format = 'a'\n[values.x]\na = 'b'", 2, "refers to nothing");
    check_refused("format = 'a'\n[values.outcome]\nok = 'success'", 2, "does not fill this field");
    check_refused("format = 'a'\n[event]\ntime = 't'\n[values.time]\nx = 'y'", 4, "this field is no text");
    check_refused(
        "format = 'a'\n[event]\naction = 'a'\n[values.'resource.type']\nx = 'y'",
        4,
        "does not fill",
    );
    check_refused("format = 'a'\ntime_formats = ['%!']", 2, "not a time format");
    check_refused("format = 'a'\nformat = 'b'", 2, "this is not TOML");
    check_refused(&format!("# {}", "x".repeat(1024 * 1024)), 1, "larger than 1 MiB");
}

#[test]
fn the_built_in_mappings_are_good() {
    for (name, text) in BUILT_IN {
        let mapping = Mapping::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(mapping.format(), name);
        assert!(Mapping::builtin(name).is_some());
    }
    assert!(Mapping::builtin("other").is_none());
}

#[test]
fn the_manuals_example_does_what_it_says() {
    let manual = include_str!("../../../../docs/import.md");
    let text =
        manual.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let mapping = Mapping::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let record = r#"{"at":"10/Oct/2000:13:55:36 -0700","entity":"order","verb":"cancel","order_id":7,
        "status":403,"client":"10.0.0.1:4711","user":{"roles":["clerk","admin"]},"items":[{"sku":"a"},{"sku":"b"}]}"#;
    let event = mapping.apply(Value::parse(record.as_bytes()).expect("good JSON"));
    assert_eq!((event.action.as_str(), event.outcome), ("order.cancel", Some(Outcome::Denied)));
    assert_eq!((event.category, event.severity), (Category::DataChange, Severity::Warning));
    assert_eq!(event.time.map(|time| time.to_string()).as_deref(), Some("2000-10-10T20:55:36.000000Z"));
    assert_eq!(event.actor.and_then(|actor| actor.id).as_deref(), Some("anonymous"));
    assert_eq!(event.context.ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(event.resource.and_then(|resource| resource.id).as_deref(), Some("7"));
    assert_eq!(event.related.len(), 2);
}

#[test]
fn the_manual_names_every_field() {
    let manual = include_str!("../../../../docs/import.md");
    for name in fields::Field::names() {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn one_record_can_be_many_events() {
    let mapping = Mapping::parse(
        "format = 'activity'\neach = 'events'\n[event]\naction = '@.name'\n'actor.id' = 'who'\n\
         'resource.id' = '@.parameters[name=DOC].value'\n[details]\nparameters = {list = '@.parameters', key = 'name', value = 'value'}",
    )
    .expect("a good mapping");
    let input = r#"{"who":"chen","events":[{"name":"view","parameters":[{"name":"DOC","value":"d1"}]},{"name":"edit"}]}"#;
    let found: Vec<Event> =
        crate::read(input.as_bytes(), &mapping).map(|imported| imported.expect("a record").event).collect();
    assert_eq!(found.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), ["view", "edit"]);
    assert!(
        found.iter().all(|event| event.actor.as_ref().and_then(|actor| actor.id.as_deref()) == Some("chen"))
    );
    assert_eq!(found[0].resource.as_ref().and_then(|resource| resource.id.as_deref()), Some("d1"));
    assert_eq!(found[0].details.get("parameters").map(Value::to_string).as_deref(), Some(r#"{"DOC":"d1"}"#));
    assert_eq!(
        found[1].details.get("record").map(Value::to_string).as_deref(),
        Some(r#"{"who":"chen","events":[{"name":"edit"}]}"#)
    );
    assert_ne!(found[0].id, found[1].id);
    let none = crate::read(&br#"{"who":"chen","events":[]}"#[..], &mapping).flatten().count();
    assert_eq!(none, 1, "a record without entries is an event");
    let long = format!("{{\"x\":\"{}\",\"events\":[{}1]}}", "x".repeat(1 << 20), "{},".repeat(40));
    let failed = crate::read(long.as_bytes(), &mapping).find_map(Result::err).expect("a failure");
    assert!(failed.reason.contains("too long"), "{}", failed.reason);
}

#[test]
fn lists_of_changes_times_in_two_fields_and_durations() {
    let mapping = r#"
[event]
time = [{ seconds = "ts.seconds", nanos = "ts.nanos" }, "{date} {clock}"]
changes = { list = "changes", key = "key", from = "old", to = "new" }
duration_ms = [{ path = "took", unit = "s" }, "lasted"]
"#;
    let of = |record: &str| event(mapping, record);
    let one = of(
        r#"{"ts":{"seconds":1705314600,"nanos":5000000},"took":1.5,"changes":[{"key":"role","old":"user","new":"admin"},{"key":"tag","new":[1]},7]}"#,
    );
    assert_eq!(one.time.map(|time| time.to_string()).as_deref(), Some("2024-01-15T10:30:00.005000Z"));
    assert_eq!(
        one.changes.map(|changes| changes.to_string()).as_deref(),
        Some(r#"{"role":{"before":"user","after":"admin"},"tag":{"after":[1]}}"#)
    );
    assert_eq!(one.duration_ms.map(|number| number.to_string()).as_deref(), Some("1500"));
    let other = of(r#"{"date":"2024-01-15","clock":"10:30:00,5","lasted":"250us"}"#);
    assert_eq!(other.time.map(|time| time.to_string()).as_deref(), Some("2024-01-15T10:30:00.500000Z"));
    assert_eq!(other.duration_ms.map(|number| number.to_string()).as_deref(), Some("0.25"));
    let exact = of(r#"{"lasted":123456789.123456789123}"#).duration_ms.map(|number| number.to_string());
    assert_eq!(exact.as_deref(), Some("123456789.123456789123"), "a number keeps its text");
}

#[test]
fn a_time_that_cannot_be_read_is_marked() {
    let found = event("[event]\ntime = ['at', 'seen']", r#"{"at":"soon","seen":""}"#);
    let import = found.details.get("_import").expect("the mark").to_string();
    assert_eq!(import, r#"{"format":"test","defaulted":["action","time"],"unreadable":{"time":"soon"}}"#);
    let found = event("time_zone = 'Europe/Berlin'\n[event]\ntime = 'at'", r#"{"at":"2024-07-15 10:30:00"}"#);
    assert_eq!(found.time.map(|time| time.to_string()).as_deref(), Some("2024-07-15T08:30:00.000000Z"));
}

#[test]
fn what_can_never_match_is_refused() {
    check_refused("format = 'a'\n[event]\naction = 'events[0].name'", 3, "events.0.name");
    check_refused("format = 'a'\n[event]\naction = '/event/name'", 3, "write keys with dots");
    check_refused("format = 'a'\ntime_formats = ['YYYY-MM-DD']", 2, "it has no %");
    check_refused("format = 'a'\ntime_zone = 'Berlin'", 2, "is not a zone");
    check_refused("format = 'a'\n[[outcome]]\nwhen = {a = '=ok'}\nis = 'success'", 3, "write ok");
    check_refused(
        "format = 'a'\n[[outcome]]\nwhen = {a = '>=x'}\nis = 'success'",
        3,
        "compares with no number",
    );
    check_refused(
        "format = 'a'\n[event]\noutcome = 'o'\n[values.outcome]\nok = 'good'",
        5,
        "use one of success",
    );
    check_refused(
        "format = 'a'\n[[severity]]\nwhen = {'$outcome' = 'bad'}\nis = 'error'",
        3,
        "is never that",
    );
    check_refused(
        "format = 'a'\n[[outcome]]\nis = 'success'\n[[outcome]]\nis = 'failure'",
        4,
        "can never hold",
    );
    check_refused("format = 'a'\n[event]\naction = {list = 'x', key = 'y'}", 3, "do not go together");
    check_refused("format = 'a'\n[event]\nduration_ms = {path = 'x', unit = 'days'}", 3, "is no unit");
    check_refused("format = 'a'\nline = '.*'", 2, "no part of the line has a name");
    check_refused("format = 'a'\n[[detect]]\n", 2, "nothing tells the format");
}

#[test]
fn text_and_tables_without_a_header_are_taken_apart_by_the_mapping() {
    let by_line = Mapping::parse(
        "format = 'a'\nline = '^(?P<who>\\w+) (?P<do>\\w+)$'\n[event]\naction = 'do'\n'actor.id' = 'who'",
    );
    let by_line = by_line.expect("a good mapping");
    let found: Vec<_> = crate::read(&b"chen buys\n!\n[ada sells]\nada sells"[..], &by_line).collect();
    assert_eq!(
        found.iter().flatten().map(|imported| imported.event.action.as_str()).collect::<Vec<_>>(),
        ["buys", "sells"]
    );
    assert_eq!(found.iter().filter(|found| found.is_err()).count(), 2);
    let by_columns =
        Mapping::parse("format = 'a'\ncolumns = ['who', 'do']\n[event]\naction = 'do'").expect("good");
    let found: Vec<_> =
        crate::read(&b"chen,\"buys,\nall\"\nada,sells\n"[..], &by_columns).flatten().collect();
    assert_eq!(
        found.iter().map(|imported| imported.event.action.as_str()).collect::<Vec<_>>(),
        ["buys,\nall", "sells"]
    );
}

#[test]
fn a_changed_mapping_gives_the_same_ids() {
    let ids = |mapping: &str| {
        let mapping = Mapping::parse(mapping).expect("a good mapping");
        let input = br#"{"a":"2024-01-15T10:30:00Z","b":"2024-01-16T10:30:00Z"}"#;
        crate::read(&input[..], &mapping)
            .map(|imported| imported.expect("a record").event.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids("format = 'x'\n[event]\ntime = 'a'"),
        ids("format = 'x'\n[event]\ntime = 'b'\naction = 'a'")
    );
    assert_ne!(ids("format = 'x'\n[event]\ntime = 'a'"), ids("format = 'y'\n[event]\ntime = 'a'"));
}
