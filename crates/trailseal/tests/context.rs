//! The context of a request: what is recorded in it, and where it must not get.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use trailseal::{Actor, Event, Order, Outcome, Query, RequestContext, Trail};

const SOON: Duration = Duration::from_secs(60);

/// Fails, rather than hangs, when the work does not end.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (sender, done) = channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = sender.send(());
    });
    assert_ne!(done.recv_timeout(SOON), Err(RecvTimeoutError::Timeout), "it hangs");
    worker.join().unwrap();
}

fn request(id: &str) -> RequestContext {
    let request = RequestContext::new();
    request.change(|facts| facts.context.request_id = Some(id.into()));
    request
}

#[test]
fn what_changes_a_context_may_record_in_it_and_change_it_again() {
    in_time(|| {
        let trail = Trail::temporary().unwrap();
        let request = request("r1");
        request.enter(|| {
            request.change(|facts| {
                facts.actor = Some(Actor::new("u1"));
                trail.record(Event::new("user.check")).unwrap();
                request.change(|facts| facts.tenant = Some("acme".into()));
            });
            trail.record(Event::new("invoice.approve")).unwrap();
        });
        let found = trail.query(Query::new().order(Order::OldestRecorded)).unwrap().events;
        let told: Vec<_> = found
            .iter()
            .map(|found| (found.event.context.request_id.as_deref(), found.event.tenant.as_deref()))
            .collect();
        assert_eq!(told, [(Some("r1"), None), (Some("r1"), Some("acme"))]);
        // It holds from when the change was made.
        assert_eq!(found[0].event.actor, None);
        assert_eq!(found[1].event.actor.as_ref().unwrap().id.as_deref(), Some("u1"));
    });
}

#[test]
fn changes_at_once_keep_what_the_others_said() {
    in_time(|| {
        let trail = Trail::temporary().unwrap();
        let request = request("r1");
        request.change(|facts| drop(facts.context.extra.insert("old", 1)));
        let (other, (sender, changed)) = (request.clone(), channel());
        request.change(|facts| {
            facts.context.session_id = Some("s1".into());
            facts.context.extra.remove("old");
            facts.context.extra.insert("mine", 1);
            std::thread::spawn(move || {
                other.change(|facts| {
                    facts.tenant = Some("acme".into());
                    facts.context.request_id = None;
                    facts.context.extra.insert("theirs", 2);
                });
                sender.send(()).unwrap();
            });
            // Another thread's change is made while this one is under way.
            changed.recv().unwrap();
        });
        request.enter(|| trail.record(Event::new("a"))).unwrap();
        let event = trail.query(Query::new()).unwrap().events.remove(0).event;
        assert_eq!(event.tenant.as_deref(), Some("acme"));
        assert_eq!(event.context.session_id.as_deref(), Some("s1"));
        assert_eq!(event.context.request_id, None);
        assert_eq!(event.context.extra.to_string(), r#"{"theirs":2,"mine":1}"#);
    });
}

#[test]
fn what_began_ends_in_its_own_context() {
    let trail = Trail::temporary().unwrap();
    let (first, second) = (request("r1"), RequestContext::new());
    second.change(|facts| {
        facts.context.ip = Some("203.0.113.2".into());
        facts.context.request_id = Some("r2".into());
        facts.tenant = Some("theirs".into());
    });
    let begin = |name: &str| {
        [first.enter(|| trail.begin(Event::new(name)).unwrap()), trail.begin(Event::new(name)).unwrap()]
    };
    for begun in begin("succeed") {
        second.enter(|| begun.succeed()).unwrap();
    }
    for begun in begin("end_async") {
        drop(second.enter(|| begun.end_async(Outcome::Success)));
    }
    // What its own request learns in between counts.
    let dropped = begin("drop");
    first.change(|facts| facts.tenant = Some("own".into()));
    second.enter(|| drop(dropped));
    for name in ["succeed", "end_async", "drop"] {
        let query = Query::new().action(name).order(Order::OldestRecorded);
        let found = trail.query(query).unwrap().events;
        let told: Vec<_> = found
            .iter()
            .filter(|found| found.get("details.phase").unwrap().as_str() == Some("ended"))
            .map(|found| {
                let context = &found.event.context;
                (context.request_id.as_deref(), context.ip.as_deref(), found.event.tenant.as_deref())
            })
            .collect();
        let tenant = (name == "drop").then_some("own");
        assert_eq!(told, [(Some("r1"), None, tenant), (None, None, None)], "{name}");
    }
}
