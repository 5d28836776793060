//! The events that are measured: four tenants of very different size, 5,000 actors, 20,000 resources, 40 actions, five events
//! a correlation id.

use trailseal_event::{Event, Outcome, Timestamp, Value};

/// 2018-01-01.
pub const BEGIN: i64 = 1_514_764_800_000_000;
pub const MONTH: i64 = 2_630_000_000_000;

/// What a pseudo-random number would be of: well mixed, and the same in each run.
pub fn mixed(number: i64, salt: u64) -> u64 {
    let mut mixed = (number.cast_unsigned() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt.rotate_left(17));
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ mixed >> 32
}

pub const LARGE_TENANT: &str = "t0";
/// One event in 500.
pub const SMALL_TENANT: &str = "t3";

fn tenant(number: i64) -> &'static str {
    match number % 10 {
        _ if number % 500 == 3 => SMALL_TENANT,
        0..7 => LARGE_TENANT,
        7 | 8 => "t1",
        _ => "t2",
    }
}

/// A value of event `number`, by the name of a filter.
pub fn value(name: &str, number: i64) -> String {
    match name {
        "actor" => format!("u{}", mixed(number, 2) % 5_000),
        "resource" => format!("invoice/r{}", mixed(number, 3) % 20_000),
        "action" => format!("thing.act{}", mixed(number, 4) % 40),
        "id" => format!("id-{:016x}", mixed(number, 6)),
        "request_id" => format!("req-{:016x}", mixed(number, 7)),
        "correlation_id" => format!("cor-{:016x}", mixed(number / 5, 8)),
        _ => unreachable!("no such filter"),
    }
}

/// An event as an application records it: a line of about 740 bytes.
pub fn event(number: i64) -> Event {
    let state = |status: &str| {
        let text = format!(r#"{{"status":"{status}","amount":129900,"currency":"EUR"}}"#);
        Value::parse(text.as_bytes()).expect("JSON")
    };
    let (_, resource) =
        value("resource", number).split_once('/').map(|(_, id)| ((), id.to_owned())).expect("two");
    let mut event = Event::new(value("action", number))
        .tenant(tenant(number))
        .actor(value("actor", number))
        .resource("invoice", resource)
        .outcome(Outcome::Success)
        .before(state("pending"))
        .after(state("approved"))
        .detail("channel", "web")
        .detail("attempt", 1)
        .ip("203.0.113.17")
        .user_agent("billing-web/4.2")
        .request_id(value("request_id", number))
        .correlation_id(value("correlation_id", number));
    event.context.service = Some("billing".into());
    event
}

/// When event `number` of so many was recorded, spread over these months.
pub fn recorded(number: i64, rows: i64, months: i64) -> i64 {
    BEGIN + MONTH * months / rows * number
}

/// The line of event `number`, as a trail has it at `index`: one in a hundred late by up to an hour.
pub fn line(number: i64, index: i64, rows: i64, months: i64) -> Vec<u8> {
    let recorded = recorded(number, rows, months);
    let late = if number % 100 == 7 { (mixed(number, 1) % 3_600_000_000).cast_signed() } else { 1_500 };
    let text = |micros: i64| Timestamp::from_micros(micros).to_string();
    let of = |name| value(name, number);
    let (_, resource) =
        value("resource", number).split_once('/').map(|(_, id)| ((), id.to_owned())).expect("two");
    format!(
        r#"{{"v":1,"index":{index},"recorded":"{}","id":"{}","time":"{}","tenant":"{}","category":"data_access","action":"{}","severity":"info","outcome":"success","actor":{{"id":"{}"}},"resource":{{"type":"invoice","id":"{resource}"}},"context":{{"ip":"192.0.2.{}","request_id":"{}","correlation_id":"{}"}},"details":{{"attempt":1,"channel":"web"}}}}"#,
        text(recorded),
        of("id"),
        text(recorded - late),
        tenant(number),
        of("action"),
        of("actor"),
        number % 250,
        of("request_id"),
        of("correlation_id"),
    )
    .into_bytes()
}
