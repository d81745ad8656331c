//! Downloads that succeed, break, lie or never end.

use std::collections::BTreeMap;
use std::time::Duration;

use nopal_fetch::{FetchConfig, FetchError, Fetcher, Request};
use nopal_format::{Hash, HashAlgorithm};
use nopal_report::Reporter;

use crate::server::{Server, ok, status, with_headers};

fn config() -> FetchConfig {
    FetchConfig {
        retry_pause: Duration::from_millis(1),
        stall_timeout: Duration::from_millis(400),
        retries: 3,
        ..FetchConfig::default()
    }
}

fn fetcher() -> Fetcher {
    Fetcher::new(config(), Reporter::silent()).unwrap()
}

fn body() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn sha256(bytes: &[u8]) -> Hash {
    Hash::of(HashAlgorithm::Sha256, bytes)
}

#[test]
fn a_file_arrives_whole_and_hashed() {
    let server = Server::start(|_, _| ok(&body()));
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("file");
    let request = Request::new(server.url("/x")).with_hash(sha256(&body())).with_size(body().len() as u64);
    let fetched = fetcher().to_file(&request, &dest).unwrap();
    assert_eq!(fetched.hash, sha256(&body()));
    assert_eq!(fetched.size_bytes, body().len() as u64);
    assert_eq!(std::fs::read(&dest).unwrap(), body());
    assert!(server.asked()[0].header("user-agent").unwrap().starts_with("nopal/"));
}

#[test]
fn a_wrong_hash_leaves_nothing() {
    let server = Server::start(|_, _| ok(b"tampered"));
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("file");
    let request = Request::new(server.url("/x")).with_hash(sha256(b"genuine"));
    let err = fetcher().to_file(&request, &dest).unwrap_err();
    assert_eq!(
        err,
        FetchError::HashMismatch {
            url: server.url("/x"),
            expected: Box::new(sha256(b"genuine")),
            got: Box::new(sha256(b"tampered"))
        }
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "not even a temporary file");
}

#[test]
fn a_broken_transfer_is_taken_up_where_it_broke() {
    let server = Server::start(|asked, number| {
        let body = body();
        let start = asked.range_start().unwrap_or(0);
        let headers = format!(
            "Content-Length: {}\r\nETag: \"one\"\r\nContent-Range: bytes {start}-{}/{}\r\n",
            body.len() - start,
            body.len() - 1,
            body.len()
        );
        let end = if number < 2 { start + 400_000 } else { body.len() };
        with_headers(if start > 0 { "206 Partial Content" } else { "200 OK" }, &headers, &body[start..end])
    });
    let (bytes, fetched) = fetcher().to_memory(&Request::new(server.url("/x")).with_hash(sha256(&body()))).unwrap();
    assert_eq!(bytes, body());
    assert_eq!(fetched.size_bytes, body().len() as u64);
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].range_start().unwrap() > 0);
    assert_eq!(asked[1].header("if-range"), Some("\"one\""));
    assert!(asked[2].range_start() > asked[1].range_start());
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let server = Server::start(|_, number| {
        let body = body();
        let headers = format!("Content-Length: {}\r\nETag: \"one\"\r\n", body.len());
        with_headers("200 OK", &headers, &body[..if number == 0 { 500_000 } else { body.len() }])
    });
    let (bytes, _) = fetcher().to_memory(&Request::new(server.url("/x"))).unwrap();
    assert_eq!(bytes, body());
}

#[test]
fn what_changed_in_between_is_not_mixed() {
    let server = Server::start(|_, number| {
        let body = if number == 0 { vec![b'a'; 500_000] } else { vec![b'b'; 600_000] };
        let headers = format!("Content-Length: {}\r\nETag: \"{number}\"\r\n", body.len());
        with_headers("200 OK", &headers, &body[..if number == 0 { 400_000 } else { body.len() }])
    });
    let (bytes, fetched) = fetcher().to_memory(&Request::new(server.url("/x"))).unwrap();
    assert_eq!(bytes, vec![b'b'; 600_000]);
    assert_eq!(fetched.hash, sha256(&bytes));
}

#[test]
fn a_promise_never_kept_ends_as_truncated() {
    let server = Server::start(|_, _| with_headers("200 OK", "Content-Length: 1000\r\n", b"short"));
    let err = fetcher().to_memory(&Request::new(server.url("/x"))).unwrap_err();
    assert!(matches!(err, FetchError::Truncated { expected: Some(1000), .. }), "{err}");
    assert_eq!(server.asked().len(), 4, "three retries");
}

#[test]
fn statuses_become_typed_errors() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/gone" => status("410 Gone"),
        "/forbidden" => status("403 Forbidden"),
        "/busy" => status("503 Service Unavailable"),
        _ => with_headers("404 Not Found", "Content-Length: 13\r\n", b"nothing here\n"),
    });
    let get = |path: &str| fetcher().to_memory(&Request::new(server.url(path))).unwrap_err();
    for (path, status, body, is_not_found) in [
        ("/gone", 410, "", true),
        ("/missing", 404, "nothing here\n", true),
        ("/forbidden", 403, "", false),
        ("/busy", 503, "", false),
    ] {
        let before = server.asked().len();
        let err = get(path);
        assert_eq!(err, FetchError::Status { url: server.url(path), status, body: body.to_owned() });
        assert_eq!(err.is_not_found(), is_not_found);
        assert_eq!(
            server.asked().len() - before,
            if status == 503 { 4 } else { 1 },
            "only a busy server is asked again"
        );
    }
    let words =
        format!("unable to download '{}': HTTP error 404\n\nresponse body:\n\nnothing here", server.url("/missing"));
    assert_eq!(get("/missing").to_string(), words);
}

#[test]
fn redirects_are_followed_but_not_forever() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/from" => with_headers("302 Found", "Location: /to\r\nContent-Length: 0\r\n", b""),
        "/to" => ok(b"here"),
        _ => with_headers("302 Found", "Location: /round\r\nContent-Length: 0\r\n", b""),
    });
    let (bytes, fetched) = fetcher().to_memory(&Request::new(server.url("/from"))).unwrap();
    assert_eq!(bytes, b"here");
    assert_eq!(fetched.url, server.url("/to"));
    let err = fetcher().to_memory(&Request::new(server.url("/round"))).unwrap_err();
    assert!(matches!(err, FetchError::TooManyRedirects { limit: 10, .. }), "{err}");
}

#[test]
fn sizes_are_limited_and_checked() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        // no length announced: the end of the connection ends the body
        "/endless" => with_headers("200 OK", "", &vec![0; 1_000_000]),
        _ => ok(&[0; 100]),
    });
    let err = fetcher().to_memory(&Request::new(server.url("/endless")).with_limit(1000)).unwrap_err();
    assert_eq!(err, FetchError::TooLarge { url: server.url("/endless"), limit: 1000 });
    let err = fetcher().to_memory(&Request::new(server.url("/x")).with_limit(99)).unwrap_err();
    assert_eq!(err, FetchError::TooLarge { url: server.url("/x"), limit: 99 });
    let err = fetcher().to_memory(&Request::new(server.url("/x")).with_size(101)).unwrap_err();
    assert_eq!(err, FetchError::SizeMismatch { url: server.url("/x"), expected: 101, got: 100 });
}

#[test]
fn a_silent_server_times_out() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(900));
        Vec::new()
    });
    let fetcher = Fetcher::new(FetchConfig { retries: 0, ..config() }, Reporter::silent()).unwrap();
    let err = fetcher.to_memory(&Request::new(server.url("/x"))).unwrap_err();
    assert!(matches!(err, FetchError::TimedOut { .. }), "{err}");
}

#[test]
fn mirrors_are_tried_in_order() {
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/second/pool/a" => ok(b"a"),
        _ => status("404 Not Found"),
    });
    let bases = vec![server.url("/first/"), server.url("/second")];
    let mirrors = BTreeMap::from([("debian".to_owned(), bases)]);
    let fetcher = Fetcher::new(FetchConfig { mirrors, ..config() }, Reporter::silent()).unwrap();
    let (bytes, fetched) = fetcher.to_memory(&Request::new("mirror://debian/pool/a")).unwrap();
    assert_eq!((bytes.as_slice(), fetched.url), (b"a".as_slice(), server.url("/second/pool/a")));
    let err = fetcher.to_memory(&Request::new("mirror://debian/pool/b")).unwrap_err();
    assert!(err.is_not_found() && err.to_string().contains("/first/pool/b"), "{err}");
    let err = fetcher.to_memory(&Request::new("mirror://other/pool/b")).unwrap_err();
    assert_eq!(err, FetchError::UnknownMirror { url: "mirror://other/pool/b".into(), name: "other".into() });
}

#[test]
fn files_are_fetched_like_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a b"), "text").unwrap();
    let url = |name: &str| format!("file://{}/{name}", dir.path().display());
    let offline = Fetcher::new(FetchConfig { offline: true, ..config() }, Reporter::silent()).unwrap();
    assert_eq!(offline.to_memory(&Request::new(url("a%20b"))).unwrap().0, b"text");
    assert!(offline.to_memory(&Request::new(url("missing"))).unwrap_err().is_not_found());
    let err = offline.to_memory(&Request::new(url("a%20b")).with_hash(sha256(b"other"))).unwrap_err();
    assert!(matches!(err, FetchError::HashMismatch { .. }), "{err}");
}

#[test]
fn offline_asks_no_network() {
    let server = Server::start(|_, _| ok(b"x"));
    let offline = Fetcher::new(FetchConfig { offline: true, ..config() }, Reporter::silent()).unwrap();
    let err = offline.to_memory(&Request::new(server.url("/x"))).unwrap_err();
    assert_eq!(err, FetchError::Offline { url: server.url("/x") });
    assert!(server.asked().is_empty());
}

#[test]
fn names_connections_and_schemes_that_fail_are_told_apart() {
    let fetcher = Fetcher::new(FetchConfig { retries: 0, ..config() }, Reporter::silent()).unwrap();
    let get = |url: &str| fetcher.to_memory(&Request::new(url)).unwrap_err();
    assert!(matches!(get("http://host.invalid/x"), FetchError::Dns { .. }), "{}", get("http://host.invalid/x"));
    // port 1 of this machine: nobody listens
    assert!(matches!(get("http://127.0.0.1:1/x"), FetchError::Connect { .. }), "{}", get("http://127.0.0.1:1/x"));
    assert!(matches!(get("gopher://127.0.0.1/x"), FetchError::UnknownScheme { .. }));
    // a server that speaks no TLS
    let plain = Server::start(|_, _| ok(b"x"));
    let url = plain.base.replace("http://", "https://");
    assert!(matches!(get(&url), FetchError::Tls { .. }), "{}", get(&url));
}

#[test]
fn credentials_are_not_shown() {
    let server = Server::start(|_, _| status("404 Not Found"));
    let url = server.url("/x").replace("http://", "http://user:secret@");
    let err = fetcher().to_memory(&Request::new(url)).unwrap_err();
    assert!(!err.to_string().contains("secret"), "{err}");
}

#[test]
fn a_proxy_is_asked_instead_except_for_direct_hosts() {
    let proxy = Server::start(|asked, _| ok(asked.path.as_bytes()));
    let proxies =
        nopal_fetch::Proxies { http: Some(proxy.base.clone()), direct: Some("direct.invalid".to_owned()), https: None };
    let fetcher = Fetcher::new(FetchConfig { proxies, retries: 0, ..config() }, Reporter::silent()).unwrap();
    let (bytes, _) = fetcher.to_memory(&Request::new("http://far.invalid/x")).unwrap();
    assert_eq!(bytes, b"http://far.invalid/x");
    let err = fetcher.to_memory(&Request::new("http://direct.invalid/x")).unwrap_err();
    assert!(matches!(err, FetchError::Dns { .. }), "{err}");
}

#[test]
fn concurrent_requests_for_one_file_are_one_download() {
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_millis(150));
        ok(b"once")
    });
    let dir = tempfile::tempdir().unwrap();
    let dest = dir.path().join("file");
    let fetcher = fetcher();
    let request = Request::new(server.url("/x"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fetcher.to_file(&request, &dest).unwrap());
        }
    });
    assert_eq!(server.asked().len(), 1);
}
