//! The server over HTTP on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::*;
use crate::hourly::parse_time;

/// Sends a request and reads until the server closes; head and body.
fn exchange(address: SocketAddr, head: &str, body: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: me@example.org\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A connection that is cut may be reset.
    let _ = stream.read_to_end(&mut bytes);
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8(bytes[..at].to_vec()).unwrap().to_lowercase(), bytes[at + 4..].to_vec())
}

fn story(address: SocketAddr) {
    let version = "GET /pub/data/ghcn/daily/ghcnd-version.txt";
    let (head, body) = exchange(address, version, "");
    assert!(head.starts_with("http/1.1 200 ") && body.starts_with(b"3.34-upd-2026"), "{head}");
    assert!(head.contains("\r\ndate: sat, 28 nov 2026 12:30:00 gmt"), "{head}");
    assert_eq!(head.matches("date: ").count(), 1, "{head}");

    let (head, body) = exchange(address, "GET /points/33.61,-111.9", "");
    assert!(head.contains("application/geo+json"), "{head}");
    let json: Value = serde_json::from_slice(&body).unwrap();
    let grid = json["properties"]["forecastGridData"].as_str().unwrap();
    let path = grid.strip_prefix(&format!("http://{address}")).expect("links lead here");
    assert!(exchange(address, &format!("GET {path}"), "").0.starts_with("http/1.1 200 "));

    let cut = r#"{"faults":[{"from":"2026-11-28T00:00:00Z","to":"2026-11-29T00:00:00Z","fault":"cut-body","value":7}]}"#;
    assert!(exchange(address, "POST /control", cut).0.starts_with("http/1.1 200 "));
    let (head, body) = exchange(address, version, "");
    assert!(head.contains("\r\ncontent-length: 62"), "{head}");
    assert_eq!(body.len(), 7);

    let (head, _) = exchange(address, "POST /control", r#"{"faults":"rain"}"#);
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    let (_, body) = exchange(address, "POST /control", r#"{"faults":"none","advance_seconds":60}"#);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["time"], "2026-11-28T12:31:00Z");
    let (head, body) = exchange(address, "HEAD /pub/data/ghcn/daily/ghcnd-version.txt", "");
    assert!(head.contains("content-length: 62") && body.is_empty(), "{head}");
    assert!(exchange(address, "DELETE /points/1,1", "").0.starts_with("http/1.1 405 "));

    let (_, body) = exchange(address, "GET /control", "");
    let json: Value = serde_json::from_slice(&body).unwrap();
    let counts = &json["requests"]["/pub/data/ghcn/daily/ghcnd-version.txt"];
    assert_eq!((&counts["by_minute"]["2026-11-28T12:30:00Z"], &counts["total"]), (&2.into(), &3.into()));
    assert_eq!(json["services"]["nws"]["total"], 2);
}

#[test]
fn it_answers_on_loopback() {
    actix::System::new().block_on(async {
        let clock = Clock::new(parse_time("2026-11-28T12:30:00Z").unwrap(), 0.0);
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = WeatherServer::start(listen, World::new(1, 5), Script::none(), clock).unwrap();
        let address = server.address;
        tokio::task::spawn_blocking(move || story(address)).await.unwrap();
        let open =
            WeatherServer::start("0.0.0.0:0".parse().unwrap(), World::new(1, 1), Script::none(), clock);
        assert!(open.is_err());
    });
}
