//! TLS to a real server: who is believed, as the URL says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod server;

use std::path::Path;
use std::process::Command;

use server::Server;
use trailseal_core::deliver::MustEnd;
use trailseal_postgres::StoreUrl;

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// An authority, and a certificate of it for localhost alone.
fn certificates(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=ours"));
    openssl(folder, &format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 30 -extfile names",
    );
}

/// Whether the connection that the URL leads to is secure, or why there is none.
fn connected(text: &str) -> Result<bool, String> {
    let mut connection = StoreUrl::parse(text).unwrap().connect(&MustEnd::default()).map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    })?;
    let rows = server::rows(&mut connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    Ok(rows[0][0] == "t")
}

#[test]
fn the_server_is_believed_as_far_as_the_url_says() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    server::give(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (pem, key) =
        (format!("ssl_cert_file={}", file("server.pem")), format!("ssl_key_file={}", file("server.key")));
    let server = Server::start_own(&["ssl=on", &pem, &key]);
    let url =
        |host: &str, options: &str| format!("postgres://test@{host}:{}/postgres?{options}", server.port());
    let root = format!("sslrootcert={}", file("ca.pem"));
    assert_eq!(connected(&url("localhost", &root)), Ok(true));
    assert_eq!(connected(&url("localhost", &format!("sslmode=verify-full&{root}"))), Ok(true));
    assert_eq!(connected(&url("127.0.0.1", &format!("sslmode=verify-ca&{root}"))), Ok(true));
    assert_eq!(connected(&url("127.0.0.1", "sslmode=require")), Ok(true));
    assert_eq!(connected(&url("127.0.0.1", "sslmode=prefer")), Ok(true));
    assert_eq!(connected(&url("127.0.0.1", "sslmode=disable")), Ok(false));
    for (host, options) in [
        ("127.0.0.1", format!("sslmode=verify-full&{root}")),
        ("localhost", "sslmode=verify-full".to_owned()),
        ("localhost", "sslmode=verify-ca".to_owned()),
    ] {
        let refused = connected(&url(host, &options));
        assert!(
            refused.as_ref().is_err_and(|error| error.contains("certificate")),
            "{host} {options}: {refused:?}"
        );
    }
    let missing = connected(&url("localhost", "sslrootcert=/nowhere/ca.pem"));
    assert!(missing.as_ref().is_err_and(|error| error.contains("sslrootcert")), "{missing:?}");
}

#[test]
fn a_server_without_tls_gets_no_plain_connection_where_tls_is_wanted() {
    let server = Server::start_own(&[]);
    let refused = connected(&format!("postgres://test@127.0.0.1:{}/postgres?sslmode=require", server.port()));
    assert!(refused.as_ref().is_err_and(|error| error.contains("TLS")), "{refused:?}");
}
