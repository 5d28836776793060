//! The usual way: one INSERT an event, by the caller, each in its own transaction.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use trailseal_benches_report::names;

use crate::lines::value;
use crate::server::{Server, WITHIN, execute};
use crate::{print, quantile};

/// A table and indexes as applications have them.
const TABLE: &str = "CREATE TABLE audit_logs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), \
    created_at timestamptz NOT NULL DEFAULT now(), tenant_id text, actor_id text NOT NULL, action text NOT NULL, \
    resource_type text, resource_id text, ip text, request_id text, details jsonb); \
    CREATE INDEX ON audit_logs (created_at); CREATE INDEX ON audit_logs (actor_id); \
    CREATE INDEX ON audit_logs (resource_type, resource_id); CREATE INDEX ON audit_logs (action)";

const INSERT: &str = "INSERT INTO audit_logs (tenant_id, actor_id, action, resource_type, resource_id, ip, request_id, details) \
    VALUES ('t0', $1, $2, 'invoice', $3, '203.0.113.17', $4, $5::text::jsonb)";

const DETAILS: &str = r#"{"before":{"status":"pending","amount":129900,"currency":"EUR"},"after":{"status":"approved","amount":129900,"currency":"EUR"},"channel":"web","attempt":1,"correlation_id":"corr-51c0ffee0042","user_agent":"billing-web/4.2","service":"billing"}"#;

/// One caller, and eight at once.
pub fn all(dir: &Path, seconds: i64) {
    let server = Server::start(dir);
    execute(&mut server.connect("postgres"), TABLE);
    let time = Duration::from_secs(seconds.cast_unsigned());
    for callers in [1, 8] {
        let mut times: Vec<f64> = std::thread::scope(|scope| {
            let some: Vec<_> = (0..callers)
                .map(|caller| {
                    scope.spawn({
                        let server = &server;
                        move || insert(server, caller, time)
                    })
                })
                .collect();
            some.into_iter().flat_map(|one| one.join().expect("it ends")).collect()
        });
        let calls = times.len() as f64;
        let name = if callers == 1 { names::rival(names::INSERT) } else { names::INSERT_EIGHT.to_owned() };
        print(
            &name,
            &[
                ("p50_ns", quantile(&mut times, 0.5)),
                ("p99_ns", quantile(&mut times, 0.99)),
                ("p999_ns", quantile(&mut times, 0.999)),
                ("calls", calls),
                ("events_per_second", calls / time.as_secs_f64()),
            ],
        );
    }
}

fn insert(server: &Server, caller: i64, time: Duration) -> Vec<f64> {
    let mut connection = server.connect("postgres");
    let times = connection.run("insert into", WITHIN, async |client| {
        let types = [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT];
        let insert = client.prepare_typed(INSERT, &types).await?;
        let (begun, mut times, mut number) = (Instant::now(), Vec::new(), caller);
        while begun.elapsed() < time {
            let of = |name| value(name, number);
            let (actor, action, resource, request) =
                (of("actor"), of("action"), of("resource"), of("request_id"));
            let at = Instant::now();
            client.execute(&insert, &[&actor, &action, &resource, &request, &DETAILS]).await?;
            times.push(at.elapsed().as_nanos() as f64);
            number += 8;
        }
        Ok(times)
    });
    times.expect("inserted")
}
