//! Many tenants in one trail: each sees its own, and one that pays for it has its events on disk before it goes on.
//!
//!     cargo run -p trailseal --features derive --example multi_tenant_service
#![allow(clippy::print_stdout)]

use std::time::Duration;

use trailseal::{Actor, AuditEvent, Options, Policy, Query, RequestContext, Status, Trail};

/// A document was shared. Who did it, and for which tenant, comes from the request's context.
#[derive(AuditEvent)]
#[audit(action = "document.share", category = "data_access", outcome = "success")]
struct DocumentShared<'a> {
    #[audit(resource = "document")]
    document: &'a str,
    with: &'a str,
    #[audit(secret)]
    link_password: &'a str,
}

struct Service {
    trail: Trail,
}

impl Service {
    /// As a request is handled: in a context that says whose it is.
    fn share(&self, tenant: &str, user: &str, document: &str) -> Result<Status, trailseal::RecordError> {
        let request = RequestContext::new();
        request.change(|facts| {
            facts.tenant = Some(tenant.to_owned());
            facts.actor = Some(Actor::new(user));
        });
        let shared = DocumentShared { document, with: "partner@example.com", link_password: "hunter2" };
        request.enter(|| Ok(self.trail.record(shared)?.status))
    }

    /// What a tenant's own audit page shows. The tenant comes from whoever is logged in, never from what they ask for.
    fn page_of(&self, tenant: &str) -> Result<Vec<String>, trailseal::QueryError> {
        let page = self.trail.query(Query::new().tenant(tenant))?;
        let line = |found: &trailseal::RecordedEvent| {
            let actor = found.get("actor.id").unwrap_or(trailseal::Value::Null);
            format!(
                "{} {actor} {}",
                found.event.action,
                found.get("resource.id").unwrap_or(trailseal::Value::Null)
            )
        };
        Ok(page.events.iter().map(line).collect())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::default();
    options.policy = Policy::from_toml(
        r#"
        mode = "async"
        [[rule]]
        when = { tenant = "acme" }
        mode = "sync"
        on_failure = "deny"
        "#,
    )?;
    let service = Service { trail: Trail::open_with("./trail", options)? };
    std::thread::scope(|threads| {
        for (tenant, user) in [("acme", "anna"), ("globex", "bo"), ("acme", "carl")] {
            let service = &service;
            threads.spawn(move || match service.share(tenant, user, "plan.pdf") {
                Ok(status) => println!("{tenant}: {user} shared a document ({status:?})"),
                Err(error) => println!("{tenant}: not shared, since it could not be recorded: {error}"),
            });
        }
    });
    for tenant in ["acme", "globex", "initech"] {
        println!("{tenant} sees {:?}", service.page_of(tenant)?);
    }
    service.trail.close(Duration::from_secs(10))?;
    Ok(())
}
