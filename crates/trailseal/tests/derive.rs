//! Structs that say of themselves what event they are.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use trailseal::{AuditEvent, Outcome, ToEvent as _, Trail, Value, assert_audited};

#[derive(Serialize)]
struct UserId(u32);

#[derive(Serialize)]
struct Limits {
    amount: u64,
}

/// Somebody approved an invoice.
#[derive(AuditEvent)]
#[audit(action = "invoice.approve", category = "data_change", severity = "notice")]
#[audit(description = "An invoice was approved")]
struct InvoiceApproved<'a, T: Serialize> {
    #[audit(resource = "invoice")]
    invoice: &'a str,
    #[audit(resource_name)]
    name: Option<&'a str>,
    #[audit(actor)]
    by: UserId,
    #[audit(tenant)]
    tenant: Option<String>,
    #[audit(context = "ip")]
    from: IpAddr,
    #[audit(outcome)]
    outcome: Option<Outcome>,
    #[audit(before)]
    before: Limits,
    #[audit(after)]
    after: Limits,
    #[audit(duration)]
    took: Duration,
    amount: u64,
    #[audit(rename = "why")]
    reason: T,
    #[audit(secret)]
    pin_of_approver: u32,
    #[audit(skip)]
    #[allow(dead_code)]
    _unseen: std::cell::Cell<u8>,
}

#[test]
fn a_struct_is_recorded_by_value_and_by_reference() {
    let trail = Trail::temporary().unwrap();
    let approved = InvoiceApproved {
        invoice: "42",
        name: None,
        by: UserId(7),
        tenant: Some("acme".into()),
        from: "203.0.113.7".parse().unwrap(),
        outcome: Some(Outcome::Success),
        before: Limits { amount: 100 },
        after: Limits { amount: 200 },
        took: Duration::from_millis(12),
        amount: 7,
        reason: ["late", "small"],
        pin_of_approver: 1_904_711_358,
        _unseen: std::cell::Cell::new(1),
    };
    trail.record(&approved).unwrap();
    trail.record_all([&approved]).unwrap();
    trail.record(approved).unwrap();
    let found = assert_audited!(
        trail,
        action = "invoice.approve",
        category = "data_change",
        severity = "notice",
        description = "An invoice was approved",
        resource = "invoice/42",
        actor = "7",
        tenant = "acme",
        context.ip = "203.0.113.7",
        outcome = Outcome::Success,
        before.amount = 100,
        after.amount = 200,
        duration_ms = 12,
        details.amount = 7,
        details.pin_of_approver = "***"
    );
    assert_eq!(found.get("details.why.1").unwrap().as_str(), Some("small"));
    assert!(!String::from_utf8_lossy(&found.line).contains("1904711358"));
    assert_eq!(trail.count(trailseal::Query::new()).unwrap(), 3);
}

/// Somebody paid, or could not.
#[derive(AuditEvent, Default)]
#[audit(action = "order.pay")]
struct Paid {
    #[audit(error)]
    why_not: Option<&'static str>,
    #[audit(outcome)]
    outcome: Option<Outcome>,
    #[audit(before)]
    before: Option<u64>,
    #[audit(after)]
    after: Option<u64>,
    #[audit(secret)]
    pin: Option<NotSerialised>,
    note: Option<&'static str>,
}

/// What a secret often is.
struct NotSerialised;

#[test]
fn an_error_is_a_failure_unless_the_struct_names_another_outcome() {
    let outcome = |why_not, outcome| Paid { why_not, outcome, ..Paid::default() }.to_event().outcome;
    assert_eq!(outcome(Some("no money"), None), Some(Outcome::Failure));
    assert_eq!(outcome(Some("not allowed"), Some(Outcome::Denied)), Some(Outcome::Denied));
    assert_eq!(outcome(None, None), None);

    #[derive(AuditEvent)]
    #[audit(action = "order.pay", outcome = "partial")]
    struct PaidInPart {
        #[audit(error)]
        why: &'static str,
    }
    assert_eq!(PaidInPart { why: "too little money" }.to_event().outcome, Some(Outcome::Partial));
}

#[test]
fn what_is_none_is_not_recorded_as_present() {
    let event = Paid::default().to_event();
    assert_eq!((event.error, event.before, event.after), (None, None, None));
    assert_eq!(event.details.get("pin"), None, "no secret was there");
    assert_eq!(event.details.get("note"), Some(&Value::Null));

    let event = Paid { pin: Some(NotSerialised), before: Some(1), ..Paid::default() }.to_event();
    assert_eq!(event.details.get("pin"), Some(&"***".into()));
    assert_eq!(event.before, Some(1.into()));
}

/// An event that has no more to say.
#[derive(AuditEvent)]
#[audit(action = "report.open", category = "data_access")]
struct ReportOpened;

/// As a crate that gives `trailseal` out again under a name of its own.
mod platform {
    pub(super) use ::trailseal as audit;
}

mod elsewhere {
    /// Shadows the crate, as a dependency that is renamed leaves nothing of this name.
    #[allow(dead_code)]
    mod trailseal {}

    #[derive(super::platform::audit::AuditEvent)]
    #[audit(action = "report.send", outcome = "success", crate = "super::platform::audit")]
    pub(super) struct ReportSent {
        pub(super) pages: u8,
        #[audit(actor)]
        pub(super) by: &'static str,
    }
}

#[test]
fn a_struct_without_fields_and_one_of_a_renamed_crate_are_events() {
    let trail = Trail::temporary().unwrap();
    trail.record(ReportOpened).unwrap();
    trail.record(elsewhere::ReportSent { pages: 3, by: "u1" }).unwrap();
    assert_audited!(trail, action = "report.open", category = "data_access");
    assert_audited!(
        trail,
        action = "report.send",
        actor = "u1",
        details.pages = 3,
        outcome = Outcome::Success
    );
}
