//! Raw bytes in, raw bytes out: what the server says to well-formed and to malformed requests.

mod harness;

use std::rc::Rc;
use std::time::Duration;

use harness::*;
use httpd::Config;
use httpd::metrics::Wait;
use httpd::response::Status;
use proptest::prelude::*;

const PAGE: &[u8] = b"<!doctype html><title>x</title>\n";

fn site() -> Vec<u8> {
    image(&[
        ("index.html", PAGE),
        ("style.css", b"a{}"),
        ("empty.txt", b""),
        ("digits.txt", b"0123456789"),
        ("docs/index.html", b"docs"),
        ("docs/a b.txt", b"spaced"),
        ("bare/file.bin", b"\x00\x01"),
    ])
}

fn small_server() -> Rc<TestServer> {
    server(site(), Config::default()).0
}

fn quick_server(config: Config) -> (Rc<TestServer>, FakeClock) {
    server(site(), config)
}

// The server's end

#[test]
fn a_server_that_ends_closes_idle_connections() {
    let server = small_server();
    let (mut fresh, mut idle) = (Client::connect(&server), Client::connect(&server));
    idle.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(idle.take_text().ends_with("a{}"));
    idle.wire.borrow_mut().is_unacknowledged = true;
    server.close();
    for client in [&mut fresh, &mut idle] {
        assert!(!client.is_finished());
        client.wire.borrow_mut().shutdown = true;
        client.run();
        assert!(client.is_finished() && !client.is_aborted());
    }
    // What was sent is not there yet.
    assert!(fresh.is_over() && !idle.is_over());
    assert_eq!(server.connections(), 1);
    idle.wire.borrow_mut().is_unacknowledged = false;
    idle.run();
    assert!(idle.is_over());
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_server_that_ends_answers_what_it_was_asked() {
    let server = small_server();
    let (mut late, mut slow) = (Client::connect(&server), Client::connect(&server));
    slow.wire.borrow_mut().room = 10;
    slow.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
    server.close();
    for client in [&mut late, &mut slow] {
        client.wire.borrow_mut().shutdown = true;
    }
    late.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
    let text = late.take_text();
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("a{}"), "{text}");
    assert!(late.is_finished() && !late.is_over());
    late.close();
    assert!(late.is_over());
    slow.run();
    assert!(!slow.is_over());
    slow.wire.borrow_mut().room = usize::MAX;
    slow.run();
    assert!(slow.take_text().ends_with("a{}"));
    assert!(slow.is_finished() && slow.is_over());
}

// Whole answers

#[test]
fn a_file_is_sent_with_all_its_fields_in_one_write() {
    let server = small_server();
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let text = client.take_text();
    let etag = get(&server, "/", "").field("etag").unwrap().to_owned();
    let expected = format!(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: Nabla\r\n\
         Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: 32\r\nAccept-Ranges: bytes\r\n\
         Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT\r\nETag: {etag}\r\n\
         Cache-Control: no-cache\r\n\r\n<!doctype html><title>x</title>\n"
    );
    assert_eq!(text, expected);
    assert_eq!(client.wire.borrow().writes.len(), 1);
    assert!(!client.is_finished() && !client.is_over());
}

#[test]
fn head_sends_the_head_of_get() {
    let server = small_server();
    let get = exchange(&server, "GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = exchange(&server, "HEAD /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(get.strip_suffix(b"0123456789"), Some(head.as_slice()));
    let head = request(&server, "HEAD /digits.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    let head = request(&server, "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head.status, 404);
}

#[test]
fn files_directories_and_what_is_not_there() {
    let server = small_server();
    for (target, status, body) in [
        ("/style.css", 200, "a{}"),
        ("/style.css?v=2", 200, "a{}"),
        ("/./x/../style.css", 200, "a{}"),
        ("//style.css", 200, "a{}"),
        ("http://test/style.css", 200, "a{}"),
        ("/empty.txt", 200, ""),
        ("/docs/", 200, "docs"),
        ("/docs/.", 200, "docs"),
        ("/docs/a%20b.txt", 200, "spaced"),
        ("/%64ocs/index.html", 200, "docs"),
    ] {
        let response = get(&server, target, "");
        assert_eq!((response.status, response.text()), (status, body), "{target}");
    }
    for (target, status) in [
        ("/nothing", 404),
        ("/style.css/", 404),
        ("/bare/", 404),
        ("/../../etc/passwd", 404),
        ("/Style.css", 404),
        ("/%00", 400),
        ("/%", 400),
        ("/%ff", 400),
        ("/docs%2findex.html", 400),
        ("/#top", 400),
        ("*", 400),
        ("style.css", 400),
    ] {
        let response = get(&server, target, "");
        assert_eq!(response.status, status, "{target}");
        assert!(response.text().starts_with("<!doctype html>"));
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn a_directory_without_its_slash_is_redirected() {
    let server = small_server();
    for (target, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=b&c=%20", "/docs/?a=b&c=%20"),
        ("//docs", "/docs/"),
        ("/bare", "/bare/"),
        ("http://evil.example/docs", "/docs/"),
    ] {
        let response = get(&server, target, "");
        assert_eq!((response.status, response.field("location")), (301, Some(location)));
    }
}

#[test]
fn an_empty_site_says_what_is_missing() {
    let (server, _) = server(vec![0; 1024], Config::default());
    let response = get(&server, "/", "");
    assert_eq!(response.status, 404);
    assert!(response.text().contains("no index.html"));
}

// Ranges and preconditions

#[test]
fn single_ranges_are_served_and_others_ignored() {
    let server = small_server();
    let range = |range: &str| get(&server, "/digits.txt", &format!("Range: {range}\r\n"));
    for (value, body, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=-20", "0123456789", "bytes 0-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let response = range(value);
        assert_eq!((response.status, response.text()), (206, body), "{value}");
        assert_eq!(response.field("content-range"), Some(content_range));
    }
    for value in ["bytes=0-1,3-4", "bytes=4-2", "lines=1-2", "bytes=x"] {
        assert_eq!(range(value).status, 200, "{value}");
    }
    for value in ["bytes=10-", "bytes=-0"] {
        let response = range(value);
        assert_eq!(response.status, 416, "{value}");
        assert_eq!(response.field("content-range"), Some("bytes */10"));
    }
}

#[test]
fn an_if_range_that_does_not_match_gets_the_whole_file() {
    let server = small_server();
    let etag = get(&server, "/digits.txt", "").field("etag").unwrap().to_owned();
    let range = |value: &str| {
        get(&server, "/digits.txt", &format!("Range: bytes=0-1\r\nIf-Range: {value}\r\n")).status
    };
    assert_eq!(range(&etag), 206);
    assert_eq!(range("\"other\""), 200);
    assert_eq!(range("Sun, 06 Nov 1994 08:32:57 GMT"), 206);
    assert_eq!(range("Sun, 06 Nov 1994 08:32:58 GMT"), 200);
}

#[test]
fn a_client_that_has_the_file_is_told_so() {
    let server = small_server();
    let whole = get(&server, "/digits.txt", "");
    let etag = whole.field("etag").unwrap();
    let fields = format!("If-None-Match: \"x\", W/{etag}\r\nRange: bytes=0-1\r\n");
    let response = get(&server, "/digits.txt", &fields);
    assert_eq!((response.status, response.field("etag")), (304, Some(etag)));
    assert_eq!(response.field("cache-control"), Some("no-cache"));
    assert_eq!(response.field("content-length"), None);
    let since = "If-Modified-Since: Sun, 06 Nov 1994 08:32:57 GMT\r\n";
    assert_eq!(get(&server, "/digits.txt", since).status, 304);
    assert_eq!(get(&server, "/digits.txt", "If-Match: \"x\"\r\n").status, 412);
    assert_eq!(get(&server, "/nothing", "If-None-Match: *\r\n").status, 404);
}

#[test]
fn different_files_have_different_tags() {
    let server = small_server();
    let tag = |target: &str| get(&server, target, "").field("etag").unwrap().to_owned();
    assert_ne!(tag("/docs/index.html"), tag("/style.css"));
    assert_eq!(tag("/docs/index.html"), tag("/docs/"));
}

// The life of a connection

#[test]
fn requests_follow_each_other_on_one_connection() {
    let server = small_server();
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        client.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.take_text().ends_with("\r\n\r\na{}"));
    }
    client.send("\r\n\r\nGET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let last = client.take_text();
    assert!(last.contains("\r\nConnection: close\r\n") && last.ends_with("a{}"));
    assert!(client.is_finished() && !client.is_over());
    client.close();
    assert!(client.is_over());
    assert_eq!(server.metrics().requests(Status::Ok), 4);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_together() {
    let server = small_server();
    let mut client = Client::connect(&server);
    client.send(
        "GET /style.css HTTP/1.1\r\nHost: x\r\n\r\nHEAD /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(client.wire.borrow().writes.len(), 1);
    let bytes = client.take();
    let mut rest = bytes.as_slice();
    assert_eq!(parse_response(&mut rest, false).unwrap().text(), "a{}");
    assert_eq!(parse_response(&mut rest, true).unwrap().field("content-length"), Some("10"));
    assert_eq!(parse_response(&mut rest, false).unwrap().status, 404);
    assert_eq!(parse_response(&mut rest, false).unwrap().text(), "0123456789");
    assert!(rest.is_empty());
}

#[test]
fn nothing_after_a_close_is_answered() {
    let server = small_server();
    let bytes = exchange(
        &server,
        "GET /style.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
         GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let mut rest = bytes.as_slice();
    assert_eq!(parse_response(&mut rest, false).unwrap().text(), "a{}");
    assert!(rest.is_empty());
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let server = small_server();
    let mut client = Client::connect(&server);
    client.send("GET /style.css HTTP/1.0\r\n\r\n");
    assert!(client.take_text().contains("\r\nConnection: close\r\n"));
    assert!(client.is_finished());
    let mut client = Client::connect(&server);
    client.send("GET /style.css HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.take_text().contains("\r\nConnection: keep-alive\r\n"));
    assert!(!client.is_finished());
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let server = small_server();
    let mut client = Client::connect(&server);
    client.wire.borrow_mut().client_closed = true;
    client.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\nGET /sty");
    assert!(client.take_text().ends_with("a{}"));
    assert!(client.is_over() && client.is_finished());
}

#[test]
fn other_methods_are_not_allowed_or_not_known_but_keep_the_connection() {
    let server = small_server();
    for (method, status, allow) in [
        ("POST", 405, Some("GET, HEAD")),
        ("DELETE", 405, Some("GET, HEAD")),
        ("OPTIONS", 405, Some("GET, HEAD")),
        ("BREW", 501, None),
        ("get", 501, None),
    ] {
        let mut client = Client::connect(&server);
        client.send(format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"));
        let response = parse_response(&mut client.take().as_slice(), false).unwrap();
        assert_eq!((response.status, response.field("allow")), (status, allow), "{method}");
        client.send("dyGET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.take_text().ends_with("a{}"), "{method}");
    }
}

#[test]
fn bodies_are_thrown_away_within_a_bound() {
    let (server, _) = quick_server(Config { body_bytes_max: 1000, ..Config::default() });
    let mut client = Client::connect(&server);
    client.send("GET /style.css HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    assert!(client.take_text().ends_with("a{}"));
    client.send(vec![b'x'; 1000]);
    client.send("GET /digits.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.take_text().ends_with("0123456789"));
    client.send("GET /style.css HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    assert!(client.take_text().contains("Connection: close"));
    assert!(client.is_finished());
}

#[test]
fn chunked_bodies_and_expectations() {
    let server = small_server();
    let response = get(&server, "/", "Transfer-Encoding: chunked\r\n");
    assert_eq!((response.status, response.field("connection")), (411, Some("close")));
    assert_eq!(get(&server, "/", "Expect: tea\r\n").status, 417);
    let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    let response = get(&server, "/style.css", fields);
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert_eq!(get(&server, "/style.css", "Expect: 100-continue\r\n").field("connection"), None);
}

// Malformed requests

#[test]
fn what_is_malformed_is_refused_and_ends_the_connection() {
    let server = small_server();
    let smuggled = "GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n";
    for (bytes, status) in [
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: x\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\x16\x03\x01\x02", 400),
        ("\rGET", 400),
    ] {
        let mut client = Client::connect(&server);
        client.send(format!("{bytes}{smuggled}"));
        assert!(client.is_finished(), "{bytes:?}");
        client.close();
        let received = client.take();
        let mut rest = received.as_slice();
        let response = parse_response(&mut rest, false).unwrap();
        assert_eq!(response.status, status, "{bytes:?}");
        assert_eq!(response.field("connection"), Some("close"));
        assert!(rest.is_empty(), "{bytes:?} let something through");
    }
}

#[test]
fn heads_beyond_the_limits_are_refused_before_they_end() {
    let server = small_server();
    let answer = |bytes: String| {
        let mut client = Client::connect(&server);
        client.send(bytes);
        assert!(client.is_finished());
        parse_response(&mut client.take().as_slice(), false).unwrap().status
    };
    assert_eq!(answer(format!("GET /{}", "x".repeat(8200))), 414);
    assert_eq!(answer("x".repeat(1 << 20)), 414);
    assert_eq!(answer(format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(17_000))), 431);
    assert_eq!(answer(format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(101))), 431);
    let most = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(99));
    assert_eq!(request(&server, &most).status, 200);
    let longest = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(8192 - 16));
    assert_eq!(request(&server, &longest).status, 404);
}

#[test]
fn a_megabyte_of_garbage_is_cut_off() {
    let server = small_server();
    let mut client = Client::connect(&server);
    let mut state = 1u32;
    let garbage: Vec<u8> = (0..1 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    client.send(garbage);
    assert!(client.is_over() && client.is_finished());
    assert_eq!(parse_response(&mut client.take().as_slice(), false).unwrap().status, 400);
    assert!(!client.wire.borrow().to_server.is_empty(), "the rest is not even read");
}

// Time

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let (server, clock) = quick_server(Config::default());
    let mut fresh = Client::connect(&server);
    let mut used = Client::connect(&server);
    used.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
    used.take();
    clock.advance(10 * SECOND);
    fresh.run();
    used.run();
    assert!(fresh.is_over() && fresh.is_finished() && !used.is_over());
    clock.advance(50 * SECOND);
    used.run();
    assert!(used.is_over() && used.is_finished());
    assert!(fresh.take().is_empty() && used.take().is_empty());
    assert_eq!(server.metrics().timeouts(Wait::Idle), 2);
}

#[test]
fn each_request_renews_the_idle_time() {
    let (server, clock) = quick_server(Config::default());
    let mut client = Client::connect(&server);
    for _ in 0..5 {
        client.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.take_text().ends_with("a{}"));
        clock.advance(59 * SECOND);
        client.run();
        assert!(!client.is_over());
    }
}

#[test]
fn a_head_that_drips_is_answered_with_408() {
    let (server, clock) = quick_server(Config::default());
    for drip in ["x", "\r\n"] {
        let mut client = Client::connect(&server);
        for _ in 0..9 {
            client.send(drip);
            clock.advance(SECOND);
            client.run();
            assert!(!client.is_finished());
        }
        clock.advance(SECOND);
        client.run();
        assert!(client.is_finished());
        let response = parse_response(&mut client.take().as_slice(), false).unwrap();
        assert_eq!((response.status, response.field("connection")), (408, Some("close")));
        // The client does not close; the server does not wait for it forever.
        clock.advance(2 * SECOND);
        client.run();
        assert!(client.is_over());
    }
    assert_eq!(server.metrics().timeouts(Wait::Head), 2);
}

#[test]
fn a_crowd_makes_idle_connections_leave_until_there_is_room() {
    let (server, clock) = quick_server(Config { connections_max: 4, ..Config::default() });
    let connect = || {
        let mut client = Client::connect(&server);
        client.send("GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.take_text().ends_with("a{}"));
        client
    };
    let mut early = [connect(), connect(), connect()];
    for _ in 0..4 {
        clock.advance(5 * SECOND);
        early.iter_mut().for_each(Client::run);
        assert!(early.iter().all(|client| !client.is_over()), "three of four are no crowd");
    }
    let mut late = connect();
    assert!(server.try_admit().is_none());
    clock.advance(5 * SECOND);
    early[0].run();
    assert!(early[0].is_over() && early[0].is_finished() && early[0].take().is_empty());
    early.iter_mut().for_each(Client::run);
    late.run();
    assert!(!early[1].is_over() && !early[2].is_over() && !late.is_over(), "one was enough");
    assert!(server.try_admit().is_some());
}

#[test]
fn a_body_that_does_not_come_ends_the_connection() {
    let (server, clock) = quick_server(Config::default());
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123");
    let answer = parse_response(&mut client.take().as_slice(), false).unwrap();
    assert_eq!(answer.status, 405, "the answer does not wait for the body");
    clock.advance(10 * SECOND);
    client.run();
    assert!(client.is_over() && client.is_aborted() && client.take().is_empty());
    assert_eq!(server.metrics().timeouts(Wait::Body), 1);
}

#[test]
fn a_client_that_closes_within_a_body_is_not_reset() {
    let server = small_server();
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123");
    client.close();
    assert!(client.is_over() && client.is_finished() && !client.is_aborted());
}

#[test]
fn a_client_that_takes_nothing_or_next_to_nothing_is_given_up() {
    let image = image(&[("big", &vec![b'x'; 200_000])]);
    let (server, clock) = server(image, Config::default());
    for taken_at_once in [0, 1] {
        let mut client = Client::connect(&server);
        client.wire.borrow_mut().room = 1000;
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        for _ in 0..2 {
            clock.advance(29 * SECOND);
            client.wire.borrow_mut().room += taken_at_once;
            client.run();
            assert!(!client.is_over());
        }
        clock.advance(29 * SECOND);
        client.wire.borrow_mut().room += taken_at_once;
        client.run();
        assert!(client.is_over() && client.is_aborted(), "its buffers must not linger");
    }
    assert_eq!(server.metrics().timeouts(Wait::Send), 2);
    assert_eq!(server.metrics().aborted.get(), 2);
}

#[test]
fn a_slow_client_gets_the_whole_file() {
    let image = image(&[("big", &vec![b'x'; 200_000])]);
    let (server, clock) = server(image, Config::default());
    let mut client = Client::connect(&server);
    client.wire.borrow_mut().room = 0;
    client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..200 {
        clock.advance(SECOND);
        client.wire.borrow_mut().room = 1024;
        client.run();
    }
    let response = parse_response(&mut client.take().as_slice(), false).unwrap();
    assert_eq!(response.body.len(), 200_000);
    assert!(!client.is_over());
}

#[test]
fn a_reset_ends_a_connection_at_any_point() {
    let server = small_server();
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut client = Client::connect(&server);
        client.send(sent);
        client.wire.borrow_mut().is_reset = true;
        client.run();
        assert!(client.is_over());
    }
    assert_eq!(server.metrics().connections_current.get(), 0);
}

// Room

#[test]
fn connections_beyond_the_limit_are_refused() {
    let (server, clock) = quick_server(Config { connections_max: 2, ..Config::default() });
    let first = Client::connect(&server);
    let _second = Client::connect(&server);
    assert!(server.try_admit().is_none());
    let mut third = Client::refused(&server);
    third.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = parse_response(&mut third.take().as_slice(), false).unwrap();
    assert_eq!((response.status, response.field("retry-after")), (503, Some("1")));
    assert!(third.is_finished() && !third.is_over());
    clock.advance(2 * SECOND);
    third.run();
    assert!(third.is_over());
    drop(first);
    assert!(server.try_admit().is_some());
    assert_eq!(server.metrics().refused.get(), 1);
}

#[test]
fn refusals_are_bounded_too() {
    let server = small_server();
    let mut under_way: Vec<_> = (0..64).map(|_| Client::refused(&server)).collect();
    let mut dropped = Client::refused(&server);
    assert!(dropped.is_over() && dropped.is_aborted() && dropped.take().is_empty());
    under_way[0].close();
    assert!(!Client::refused(&server).take().is_empty());
}

#[test]
fn a_heap_that_cannot_hold_a_response_means_503() {
    let mut bytes = vec![0; 512];
    write_huge_header(&mut bytes);
    let mut disk = Disk::new(bytes, 512);
    disk.capacity = (1 << 61) - 512;
    let config = Config { buffer_bytes: 1 << 61, ..Config::default() };
    let (server, _) = serve_disk(disk, config);
    let mut client = Client::connect(&server);
    client.send("GET /huge HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = parse_response(&mut client.take().as_slice(), false).unwrap();
    assert_eq!(response.status, 503);
    assert!(client.is_finished());
    assert_eq!(server.metrics().requests(Status::Unavailable), 1);
}

#[test]
fn an_idle_connection_is_small() {
    let server = small_server();
    let permit = server.try_admit().unwrap();
    let wire = Rc::clone(&Client::refused(&server).wire);
    let future = server.serve(permit, ServerEnd(wire));
    let bytes = size_of_val(&future);
    assert!(bytes <= 256, "{bytes} bytes");
}

// Large files

fn write_huge_header(block: &mut [u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_path("huge").unwrap();
    // The size does not fit into octal digits.
    header.set_size((1 << 61) - 1024);
    header.set_mode(0o644);
    header.set_cksum();
    block[..512].copy_from_slice(header.as_bytes());
}

#[test]
fn a_large_file_passes_through_a_small_buffer_whole() {
    let data: Vec<u8> = (0..300_001u64).map(Disk::filler).collect();
    for block_size in [512, 4096] {
        let image = image(&[("pad", b"p"), ("big", &data)]);
        let config = Config { buffer_bytes: 16 * 1024, ..Config::default() };
        let (server, _) = serve_disk(Disk::new(image, block_size), config.clone());
        let mut client = Client::connect(&server);
        // The client takes an odd number of bytes at a time.
        client.wire.borrow_mut().room = 777;
        client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        for _ in 0..500 {
            client.wire.borrow_mut().room = 777;
            client.run();
        }
        let response = parse_response(&mut client.take().as_slice(), false).unwrap();
        assert!(response.body == data, "block size {block_size}");
        let largest = client.wire.borrow().writes.iter().copied().max();
        assert!(largest <= Some(config.buffer_bytes.max(8 * block_size)));
        client.wire.borrow_mut().room = usize::MAX;
        client.send("GET /pad HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.take_text().ends_with("\r\n\r\np"));
    }
}

#[test]
fn ranges_at_any_offset_of_a_file_are_exact() {
    let data: Vec<u8> = (0..50_000u64).map(Disk::filler).collect();
    for block_size in [512, 4096, 65_536] {
        let image = image(&[("pad", b"p"), ("big", &data)]);
        let (server, _) = serve_disk(Disk::new(image, block_size), Config::default());
        for (first, last) in [
            (0, 0),
            (511, 512),
            (512, 1023),
            (1, 49_999),
            (3072, 3072),
            (40_000, 49_999),
            (2560, 39_000),
        ] {
            let response = get(&server, "/big", &format!("Range: bytes={first}-{last}\r\n"));
            assert!(response.body == data[first..=last], "{first}-{last} in {block_size}");
        }
    }
}

#[test]
fn a_file_far_beyond_the_memory_is_served_by_ranges() {
    let mut bytes = vec![0; 512];
    write_huge_header(&mut bytes);
    let mut disk = Disk::new(bytes, 512);
    disk.capacity = (1 << 61) - 512;
    let (server, _) = serve_disk(disk, Config::default());
    let at = (1u64 << 40) + 12_345;
    let response = get(&server, "/huge", &format!("Range: bytes={at}-{}\r\n", at + 99_999));
    let expected: Vec<u8> = (at..at + 100_000).map(|at| Disk::filler(at + 512)).collect();
    assert!(response.body == expected);
    assert_eq!(
        response.field("content-range"),
        Some("bytes 1099511640121-1099511740120/2305843009213692928")
    );
}

#[test]
fn a_disk_that_fails_is_a_500_or_a_cut() {
    let disk = Disk::new(image(&[("big", &vec![b'x'; 200_000])]), 512);
    let broken_from = Rc::clone(&disk.broken_from);
    let (server, _) = serve_disk(disk, Config::default());
    broken_from.set(0);
    let response = get(&server, "/big", "");
    assert_eq!((response.status, response.field("etag")), (500, None));
    broken_from.set(100_000);
    let mut client = Client::connect(&server);
    client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.is_over() && client.is_aborted());
    let received = client.take().len();
    assert!((60_000..200_000).contains(&received), "{received}");
    assert_eq!(server.metrics().aborted.get(), 1);
}

// Monitoring

#[test]
fn health_is_told() {
    let server = small_server();
    let response = get(&server, "/healthz", "");
    assert_eq!((response.status, response.text()), (200, "ok\n"));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    assert_eq!(get(&server, "/healthz?probe=1", "").status, 200);
    assert_eq!(get(&server, "/healthz/", "").status, 404);
}

#[test]
fn metrics_are_well_formed_and_carry_the_extra_ones() {
    let clock = FakeClock::default();
    let disk = Disk::new(site(), 512);
    let site = httpd::Site::open(disk, &httpd::ScanLimits::default()).unwrap();
    let server = httpd::Server::new(Config::default(), site, clock.clone())
        .with_extra_metrics(|out| writeln!(out, "heap_used_bytes 42"));
    let server = Rc::new(server);
    clock.advance(Duration::from_millis(61_500));
    get(&server, "/", "");
    get(&server, "/nothing", "");
    exchange(&server, "junk\r\n\r\n");
    let response = get(&server, "/metrics", "");
    assert_eq!(response.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = response.text();
    for line in [
        "httpd_requests_total{code=\"200\"} 1",
        "httpd_requests_total{code=\"404\"} 1",
        "httpd_requests_total{code=\"400\"} 1",
        "httpd_connections 1",
        "httpd_connections_total 4",
        "httpd_uptime_seconds 61.500",
        "httpd_site_entries 7",
        "httpd_kept_bytes 0",
        "heap_used_bytes 42",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
    }
    let sent: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("httpd_sent_bytes_total "))
        .and_then(|value| value.parse().ok())
        .unwrap();
    assert!(sent > 500);
}

// Whatever comes in

fn request_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"GET /style.css HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        2 => Just(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n1234567".to_vec()),
        1 => Just(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        2 => "GET /[a-z%./?]{0,12} HTTP/1\\.[01]\r\nHost: [a-z]{1,3}\r\n(Range: bytes=[0-9]{0,2}-[0-9]{0,2}\r\n)?\r\n"
            .prop_map(String::into_bytes),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"GET / HTTP/1.1\r\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..30),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn assert_well_formed(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let response = parse_response(&mut rest, false).map_err(TestCaseError::fail)?;
        let is_last = response.field("connection") == Some("close");
        prop_assert!(!is_last || rest.is_empty(), "something follows a close");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_get_whole_responses_or_a_close(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        assert_well_formed(&exchange(&small_server(), bytes))?;
    }

    #[test]
    fn anything_like_requests_gets_whole_responses(bytes in request_like()) {
        let server = small_server();
        assert_well_formed(&exchange(&server, bytes))?;
        prop_assert_eq!(server.metrics().connections_current.get(), 0);
    }

    #[test]
    fn fragmentation_changes_nothing(bytes in request_like(), step in 1usize..40, read_max in 1usize..60) {
        let whole = exchange(&small_server(), &bytes);
        let server = small_server();
        let mut client = Client::connect(&server);
        client.wire.borrow_mut().read_max = read_max;
        for piece in bytes.chunks(step) {
            client.send(piece);
        }
        client.close();
        prop_assert!(client.is_over());
        prop_assert_eq!(client.take(), whole);
    }
}
