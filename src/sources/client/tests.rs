//! The client against a server that plays what it is given.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use super::*;

/// A server on a thread: one answer a connection, in order.
struct Server {
    base: String,
    heard: Arc<Mutex<Vec<String>>>,
}

enum Play {
    Say(Vec<u8>),
    /// The answer, then a byte now and then without an end.
    Drip(Vec<u8>),
}

impl Server {
    fn start(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let heard_there = Arc::clone(&heard);
        std::thread::spawn(move || {
            for play in plays {
                let Ok((stream, _)) = listener.accept() else { return };
                answer(stream, &play, &heard_there);
            }
        });
        Self { base, heard }
    }

    fn say(answers: &[&str]) -> Self {
        Self::start(answers.iter().map(|answer| Play::Say(answer.as_bytes().to_vec())).collect())
    }

    fn get(&self, client: &Client, path: &str) -> Result<Answer, String> {
        let url = format!("{}{path}", self.base);
        client.get(&Request::text(&url, 10_000, 20_000)).map_err(|error| error.with_time())
    }

    fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }
}

fn answer(mut stream: TcpStream, play: &Play, heard: &Mutex<Vec<String>>) {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
    }
    lock(heard).push(request.to_ascii_lowercase());
    match play {
        Play::Say(bytes) => stream.write_all(bytes).unwrap(),
        Play::Drip(bytes) => {
            stream.set_nodelay(true).unwrap();
            stream.write_all(bytes).unwrap();
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn settings() -> ClientSettings {
    ClientSettings {
        allow_private: true,
        host_interval: Duration::ZERO,
        path_interval: Duration::ZERO,
        window: Duration::from_millis(500),
        ..ClientSettings::new("me@example.org")
    }
}

fn client() -> Client {
    Client::new(settings()).unwrap()
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

fn fresh(answer: Result<Answer, String>) -> Fresh {
    match answer {
        Ok(Answer::New(fresh)) => fresh,
        other => panic!("{other:?}"),
    }
}

/// The result of one answer.
fn answered(answer: &str) -> Result<Answer, String> {
    Server::say(&[answer]).get(&client(), "/data")
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn with_body(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn nobody_asks_without_a_contact() {
    for contact in ["", " ", "me\r\nX: y", "(me)", "mé"] {
        assert!(Client::new(ClientSettings::new(contact)).is_err(), "{contact:?}");
    }
    let server = Server::say(&[&ok("", "text")]);
    fresh(server.get(&client(), "/data?x=1"));
    let heard = &server.heard()[0];
    let agent = format!("user-agent: frostline/{} (me@example.org)\r\n", env!("CARGO_PKG_VERSION"));
    assert!(heard.starts_with("get /data?x=1 ") && heard.contains(&agent), "{heard}");
    assert!(heard.contains("accept-encoding: gzip\r\n"), "{heard}");
}

#[test]
fn a_file_is_asked_for_by_its_version() {
    let version = "ETag: W/\"5f-61\"\r\nLast-Modified: Sat, 28 Nov 2026 17:53:00 GMT\r\n";
    let unchanged = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n";
    let server = Server::say(&[&ok(version, "text"), unchanged]);
    let client = client();
    let first = fresh(server.get(&client, "/data"));
    assert_eq!(
        (first.bytes.as_slice(), first.validators.etag.as_deref()),
        (&b"text"[..], Some("W/\"5f-61\""))
    );
    let url = format!("{}/data", server.base);
    let request = Request { validators: first.validators, ..Request::text(&url, 100, 100) };
    assert_eq!(client.get(&request), Ok(Answer::Unchanged { fresh_for: None }));
    let heard = &server.heard()[1];
    assert!(heard.contains("if-none-match: w/\"5f-61\"\r\n"), "{heard}");
    assert!(heard.contains("if-modified-since: sat, 28 nov 2026 17:53:00 gmt\r\n"), "{heard}");
}

#[test]
fn nothing_new_and_not_there_are_answers() {
    let empty = |status| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(answered("HTTP/1.1 204 No Content\r\n\r\n"), Ok(Answer::Unchanged { fresh_for: None }));
    assert_eq!(answered(&empty("404 Not Found")), Ok(Answer::NotFound));
    assert!(answered(&empty("410 Gone")).unwrap_err().contains("410 Gone"));
    assert!(answered(&empty("206 Partial Content")).unwrap_err().contains("whole"));
}

#[test]
fn packed_answers_are_unpacked_and_cut_ones_are_errors() {
    let text = b"KSFO 310456Z\n".repeat(200);
    let whole = packed(&text);
    let mut plays = Vec::new();
    let encoded = "Content-Encoding: gzip\r\n";
    plays.push(Play::Say(with_body(encoded, &whole)));
    plays.push(Play::Say(with_body("Content-Type: application/gzip\r\n", &whole)));
    plays.push(Play::Say(with_body(encoded, &whole[..whole.len() - 3])));
    let mut short = with_body(encoded, &whole);
    short.truncate(short.len() - 5);
    plays.push(Play::Say(short));
    plays.push(Play::Say(with_body(encoded, &packed(&[b'x'; 30_000]))));
    plays.push(Play::Say(with_body("", &[b'x'; 10_001])));
    plays.push(Play::Say(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".iter().copied().chain([b'x'; 10_001]).collect(),
    ));
    plays.push(Play::Say(with_body("Content-Encoding: br\r\n", b"...")));
    let server = Server::start(plays);
    let client = Client::new(settings()).unwrap();
    assert_eq!(fresh(server.get(&client, "/1")).bytes, text);
    assert_eq!(fresh(server.get(&client, "/2")).bytes, text);
    for (path, expected) in [
        ("/3", "damaged or truncated"),
        ("/4", "was cut off after"),
        ("/5", "more than 20000 bytes after decompression"),
        ("/6", "10001 bytes; at most 10000"),
        ("/7", "more than 10000 bytes"),
        ("/8", "\"br\""),
    ] {
        let error = server.get(&client, path).unwrap_err();
        assert!(error.contains(expected) && error.contains(path), "{path}: {error}");
        assert!(error.contains("127.0.0.1") && error.contains("next attempt in 1"), "{error}");
    }
}

#[test]
fn files_that_stay_packed_come_in_parts() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nETag: \"a\"\r\nContent-Range: bytes 4-6/9\r\n\
                Connection: close\r\n\r\n";
    let server = Server::say(&[&format!("{part}efg"), &format!("{part}efg"), &format!("{part}efg")]);
    let client = client();
    let url = format!("{}/2026.csv.gz", server.base);
    let etag = Validators { etag: Some("\"a\"".to_owned()), last_modified: None };
    let request = Request { validators: etag, ..Request::packed(&url, 100) };
    let at = |from| Request { part: Some(Part { from, bytes: 3 }), ..request.clone() };
    let found = fresh(client.get(&at(4)).map_err(|error| error.reason));
    assert_eq!((found.bytes.as_slice(), found.part_of), (&b"efg"[..], Some(9)));
    let heard = &server.heard()[0];
    assert!(heard.contains("range: bytes=4-6\r\n") && heard.contains("if-range: \"a\"\r\n"), "{heard}");
    assert!(heard.contains("accept-encoding: identity\r\n"), "{heard}");
    // A weak tag promises nothing about bytes.
    let weak = Validators { etag: Some("W/\"a\"".to_owned()), last_modified: Some("then".to_owned()) };
    let _ = client.get(&Request { validators: weak, ..at(5) });
    assert!(server.heard()[1].contains("if-range: then\r\n"), "{}", server.heard()[1]);
    assert!(client.get(&at(7)).unwrap_err().reason.contains("another part"));
}

#[test]
fn the_service_decides_when_to_come_again() {
    let dates = "Date: Sat, 28 Nov 2026 17:00:00 GMT\r\nExpires: Sat, 28 Nov 2026 17:30:00 GMT\r\n";
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::say(&[&ok(dates, "text"), busy]);
    let client = client();
    assert_eq!(fresh(server.get(&client, "/data")).fresh_for, Some(Duration::from_secs(1_800)));
    let Ok(Answer::NotDue(wait)) = server.get(&client, "/data") else { panic!("asked again") };
    assert!(wait > Duration::from_secs(1_700), "{wait:?}");
    let url = format!("{}/other", server.base);
    let error = client.get(&Request::text(&url, 100, 100)).unwrap_err();
    assert!(error.retry_in.is_some_and(|wait| wait >= Duration::from_secs(600)), "{error:?}");
    assert!(error.reason.contains("429") && error.with_time().contains("next attempt in 1"), "{error}");
    assert!(server.get(&client, "/third").unwrap_err().contains("asked for a pause"), "all of the host");
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn nothing_stays_fresh_for_years() {
    let dates = "Date: Sat, 28 Nov 2026 17:00:00 GMT\r\nExpires: Thu, 31 Dec 2037 23:55:55 GMT\r\n";
    let server = Server::say(&[&ok(dates, "text")]);
    assert_eq!(fresh(server.get(&client(), "/data")).fresh_for, Some(Duration::from_secs(86_400)));
}

#[test]
fn failures_make_pauses() {
    let ill = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::say(&[ill, &ok("", "text")]);
    let client =
        Client::new(ClientSettings { path_interval: Duration::from_secs(60), ..settings() }).unwrap();
    assert!(server.get(&client, "/data").unwrap_err().contains("503 Service Unavailable"));
    assert!(server.get(&client, "/data").unwrap_err().contains("asked for a pause"));
    assert_eq!(server.heard().len(), 1);
    fresh(server.get(&client, "/other"));
    let gone = client.get(&Request::text("http://127.0.0.1:1/data", 100, 100)).unwrap_err();
    assert!(gone.reason.contains("127.0.0.1:1 /data: the request failed"), "{gone}");
    assert!(gone.retry_in.is_some());
}

#[test]
fn pages_for_people_are_not_data() {
    let page = "<!DOCTYPE html><html><title>Down</title></html>";
    assert!(answered(&ok("", page)).unwrap_err().contains("a web page instead of data"));
    assert!(answered(&ok("Content-Type: text/html\r\n", "x")).unwrap_err().contains("web page"));
    let server = Server::say(&[&ok("", page)]);
    let url = format!("{}/list/", server.base);
    let request = Request { is_html: true, ..Request::text(&url, 100, 100) };
    fresh(client().get(&request).map_err(|error| error.reason));
    let refused = |headers, body: &str| {
        let length = body.len();
        answered(&format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {length}\r\n{headers}\r\n{body}"))
            .unwrap_err()
    };
    assert!(refused("", page).contains("User-Agent"));
    assert!(refused("Content-Type: text/html\r\n", "no").contains("User-Agent"));
    let plain = refused("", "no");
    assert!(!plain.contains("User-Agent") && plain.contains("403"), "{plain}");
}

#[test]
fn a_deprecated_address_still_counts() {
    let answer = ok("", "text").replace("200 OK", "203 Non-Authoritative Information");
    let server = Server::say(&[&answer, &answer]);
    let client = client();
    assert_eq!(fresh(server.get(&client, "/data")).bytes, b"text");
    fresh(server.get(&client, "/data"));
    assert_eq!(lock(&client.deprecated).len(), 1);
}

#[test]
fn redirects_stay_on_the_host() {
    let moved = |to: &str| {
        format!(
            "HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    let server = Server::say(&[&moved("/new"), &ok("", "text"), &moved("http://127.0.0.1:1/new")]);
    let client = client();
    assert_eq!(fresh(server.get(&client, "/old")).bytes, b"text");
    assert!(server.heard()[1].starts_with("get /new "));
    let error = server.get(&client, "/data").unwrap_err();
    assert!(error.contains("moved to \"http://127.0.0.1:1/new\""), "{error}");
    let around: Vec<String> = (0..10).map(|_| moved("/around")).collect();
    let server = Server::say(&around.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(server.get(&client, "/around").unwrap_err().contains("/around"));
    assert!(server.heard().len() <= 1 + REDIRECTS_MAX);
}

#[test]
fn private_addresses_need_a_permission() {
    let server = Server::say(&[&ok("", "text")]);
    let public = Client::new(ClientSettings { allow_private: false, ..settings() }).unwrap();
    assert!(server.get(&public, "/data").unwrap_err().contains("allow_private"));
    let literal = public.get(&Request::text("https://10.0.0.1/data", 100, 100)).unwrap_err();
    assert!(literal.reason.contains("allow_private"), "{literal}");
    assert_eq!(server.heard().len(), 0);
    let elsewhere = client().get(&Request::text("http://93.184.216.34/data", 100, 100)).unwrap_err();
    assert!(elsewhere.reason.contains("expected https://"), "{elsewhere}");
}

#[test]
fn slow_answers_end() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n".to_vec();
    let server = Server::start(vec![Play::Drip(head), Play::Drip(Vec::new())]);
    let client = client();
    let error = server.get(&client, "/data").unwrap_err();
    assert!(error.contains("too slow"), "{error}");
    let hurried = Client::new(ClientSettings { timeout: Duration::from_millis(300), ..settings() }).unwrap();
    let error = server.get(&hurried, "/data").unwrap_err();
    assert!(error.contains("the request failed") || error.contains("no answer in time"), "{error}");
}

/// A clock that moves when somebody waits.
struct Patient {
    origin: std::time::Instant,
    passed: Mutex<Duration>,
}

impl Time for Patient {
    fn now(&self) -> std::time::Instant {
        self.origin + *lock(&self.passed)
    }

    fn sleep(&self, time: Duration) {
        *lock(&self.passed) += time;
    }
}

#[test]
fn distances_and_pauses_are_those_of_the_given_clock() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7000\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::say(&[busy, &ok("", "text"), &ok("", "text")]);
    let time = Arc::new(Patient { origin: std::time::Instant::now(), passed: Mutex::default() });
    let minute = Duration::from_secs(60);
    let settings = ClientSettings { host_interval: minute, ..settings() };
    let client = Client::with_time(settings, time.clone()).unwrap();
    assert!(server.get(&client, "/data").unwrap_err().contains("503"));
    assert!(server.get(&client, "/other").unwrap_err().contains("asked for a pause"), "all of the host");
    time.sleep(Duration::from_secs(6_900));
    assert!(server.get(&client, "/data").unwrap_err().contains("asked for a pause"));
    time.sleep(Duration::from_secs(900));
    assert_eq!(fresh(server.get(&client, "/data")).bytes, b"text");
    assert!(matches!(server.get(&client, "/other"), Ok(Answer::NotDue(wait)) if wait >= minute));
    time.sleep(minute);
    // What is left is waited for by the same clock.
    assert_eq!(fresh(server.get(&client, "/other")).bytes, b"text");
    assert_eq!(server.heard().len(), 3);
}
