use super::*;
use crate::complete::complete;
use crate::timestamp::Timestamp;

fn stored(event: &Event) -> super::super::Recorded {
    let now = Timestamp::from_micros(0);
    let mut line = Vec::new();
    crate::line::write_front(0, &now.to_text(), &mut line);
    crate::line::write_rest(event, &complete(event, now), &mut line).unwrap();
    Event::from_line(&line).unwrap()
}

/// One field of this length: is it cut to `max`, and marked under `path`?
fn check(path: &str, max: usize, make: impl Fn(String) -> Event, read: impl Fn(&Event) -> Option<&str>) {
    let whole = "é".repeat(max / 2);
    let at_limit = stored(&make(whole.clone()));
    assert_eq!((read(&at_limit.event), at_limit.truncated.len()), (Some(whole.as_str()), 0), "{path}");
    let over = format!("x{whole}");
    let cut = stored(&make(over.clone()));
    let kept = read(&cut.event).unwrap();
    let begin = kept.split('…').next().unwrap();
    assert!(kept.len() <= max && kept.len() >= max - 1 && over.starts_with(begin), "{path}");
    assert_eq!(kept == begin, !is_identity(path), "{path}");
    assert_eq!(cut.truncated, [Truncation::of(path, over.as_bytes())], "{path}");
}

#[test]
fn each_field_has_its_limit() {
    let new = || Event::new("a");
    check("action", 1_024, Event::new, |event| Some(&event.action));
    check("tenant", 1_024, |text| new().tenant(text), |event| event.tenant.as_deref());
    check("description", 8_192, |text| new().description(text), |event| event.description.as_deref());
    check("actor.id", 1_024, |text| new().actor(text), |event| event.actor.as_ref()?.id.as_deref());
    check(
        "resource.name",
        8_192,
        |text| new().resource_name(text),
        |event| event.resource.as_ref()?.name.as_deref(),
    );
    check("context.ip", 128, |text| new().ip(text), |event| event.context.ip.as_deref());
    check(
        "context.user_agent",
        1_024,
        |text| new().user_agent(text),
        |event| event.context.user_agent.as_deref(),
    );
    check(
        "actor.roles.0",
        1_024,
        |text| new().actor_role(text),
        |event| Some(&event.actor.as_ref()?.roles[0]),
    );
    check("related.0.id", 1_024, |text| new().related("t", text), |event| event.related[0].id.as_deref());
}

/// Every identity field as long as this, and ending so.
fn identified(len: usize, end: &str) -> Event {
    let text = || "\u{1}".repeat(len) + end;
    let event = Event::new("a").tenant(text()).actor(text()).resource("t", text()).related("t", text());
    let mut event = event.on_behalf_of(text(), "asked");
    let context = &mut event.context;
    for id in [
        &mut context.request_id,
        &mut context.correlation_id,
        &mut context.session_id,
        &mut context.trace_id,
        &mut context.span_id,
    ] {
        *id = Some(text());
    }
    event
}

fn identities(event: &Event) -> [Option<&String>; 10] {
    let context = &event.context;
    [
        event.tenant.as_ref(),
        event.actor.as_ref().and_then(|actor| actor.id.as_ref()),
        event.on_behalf_of.as_ref().and_then(|other| other.id.as_ref()),
        event.resource.as_ref().and_then(|resource| resource.id.as_ref()),
        event.related.first().and_then(|resource| resource.id.as_ref()),
        context.request_id.as_ref(),
        context.correlation_id.as_ref(),
        context.session_id.as_ref(),
        context.trace_id.as_ref(),
        context.span_id.as_ref(),
    ]
}

#[test]
fn two_that_begin_alike_stay_two_when_they_are_too_long() {
    // At 1,023 control characters, all of these together are too long for a line, too.
    for len in [1_023, 1_024, 2_000, 20_000] {
        let filled = |end: &str| identified(len, end).detail("k", "x".repeat(60_000));
        let (one, other) = (stored(&filled("1")).event, stored(&filled("2")).event);
        for (place, (one, other)) in identities(&one).into_iter().zip(identities(&other)).enumerate() {
            assert!(one.is_some() && one != other, "{len}: {place}");
        }
        let tenant = "\u{1}".repeat(len) + "1";
        assert_eq!(one.tenant.as_deref(), Some(&*held_identifier(&tenant)), "{len}");
    }
}

#[test]
fn a_cut_is_marked_with_the_hash_of_what_was_there() {
    let cut = Truncation::of("a", b"abc");
    assert_eq!(cut.length, 3);
    assert_eq!(cut.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_list_of_paths_is_shortened() {
    let mut paths: Vec<String> = (0..10_000).map(|n| format!("details.{n}")).collect();
    shorten_paths(&mut paths);
    assert!(paths.len() > 100 && paths.len() < 500);
    assert_eq!(paths.last().map(String::as_str), Some(AND_MORE));
}

#[test]
fn too_many_changes_are_marked() {
    let many = |value: i64| (0..2_000).map(|n| (n.to_string(), value)).collect::<Object>();
    let read = stored(&Event::new("a").before(many(1)).after(many(2)));
    assert!(read.truncated.iter().any(|cut| cut.path == "changes"));
}

/// Each round measures the whole event, so their number is what cutting takes for each byte.
#[test]
fn an_event_of_any_shape_is_cut_in_few_rounds() {
    let words = |count: usize| Value::from((0..count).map(|n| format!("w{n}")).collect::<Vec<String>>());
    let texts = |count: usize, len: usize| {
        (0..count).map(|n| (format!("k{n}"), Value::from("x".repeat(len)))).collect::<Object>()
    };
    let nested = (0..60).fold(words(20_000), |inner, _| Value::from(Object::from_iter([("k", inner)])));
    for details in [
        texts(50_000, 1),
        texts(2_000, 255),
        texts(500, 300),
        texts(3, 500_000),
        Object::from_iter([("list", words(50_000))]),
        Object::from_iter([("deep", nested)]),
        Object::from_iter([("x".repeat(200_000), Value::from(1_i64))]),
    ] {
        let mut event = Event::new("a");
        event.details = details;
        let rounds = std::cell::Cell::new(0);
        let measure = |event: &Event, truncated: &[Truncation]| {
            rounds.set(rounds.get() + 1);
            event.details.to_string().len() + 300 * truncated.len()
        };
        fit(&event, 60_000, measure);
        assert!(rounds.get() <= 12, "{} rounds", rounds.get());
    }
}
