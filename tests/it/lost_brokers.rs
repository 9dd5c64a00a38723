//! A client that was told of no brokers comes back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use frostline::config::Config;
use frostline_engine::kafka::{ClientSettings, Reader, StartAt};

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test("a_client_that_was_told_of_no_brokers_comes_back", &[], comes_back)]
}

const METADATA: i16 = 3;
const LEADER_NOT_AVAILABLE: i16 = 5;

/// A stand-in for a broker that has just started, which real ones are for a moment only: its second answer
/// names the topic, and no broker. The client's own way back is switched off, since it works by chance only.
fn comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let served = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, seen) = (stream.unwrap(), Arc::clone(&served));
            std::thread::spawn(move || serve(stream, port, &seen));
        }
    });
    let mut config = Config::default();
    config.kafka.brokers = format!("127.0.0.1:{port}");
    let old_and_impatient = [
        ("api.version.request", "false"),
        ("broker.version.fallback", "0.9.0"),
        ("topic.metadata.refresh.interval.ms", "200"),
        ("metadata.recovery.strategy", "none"),
    ];
    for (key, value) in old_and_impatient {
        config.kafka.client.insert(key.into(), value.into());
    }
    let settings = ClientSettings::new(&config.kafka).unwrap();
    let mut reader = Reader::new(&settings, "t", &[(0, StartAt::Offset(0))]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !seen.has_come_back.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "told of no brokers, the client never asked again");
        reader.read(Duration::from_millis(10), 1, &mut |_| {}).unwrap();
    }
}

#[derive(Default)]
struct Seen {
    requests: AtomicU32,
    /// A connection that was made after the answer without brokers has asked.
    has_come_back: AtomicBool,
}

/// Answers requests for metadata, and nothing else, until the client hangs up.
fn serve(mut stream: TcpStream, port: u16, seen: &Seen) {
    let is_later = seen.requests.load(Ordering::Relaxed) >= 2;
    let mut size = [0; 4];
    while stream.read_exact(&mut size).is_ok() {
        let mut request = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut request).unwrap();
        if i16::from_be_bytes([request[0], request[1]]) != METADATA {
            continue;
        }
        let correlation_id = &request[4..8];
        let has_brokers = seen.requests.fetch_add(1, Ordering::Relaxed) != 1;
        seen.has_come_back.fetch_or(is_later, Ordering::Relaxed);
        let body = [correlation_id, &metadata(port, has_brokers)].concat();
        let size = u32::try_from(body.len()).unwrap().to_be_bytes();
        let _ = stream.write_all(&[&size[..], &body].concat());
    }
}

/// A metadata response, version 0: one broker that leads the one partition of topic `t`, or neither.
fn metadata(port: u16, has_brokers: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(i32::from(has_brokers).to_be_bytes());
    if has_brokers {
        body.extend(1_i32.to_be_bytes());
        body.extend(string("127.0.0.1"));
        body.extend(i32::from(port).to_be_bytes());
    }
    body.extend(1_i32.to_be_bytes());
    body.extend(if has_brokers { 0 } else { LEADER_NOT_AVAILABLE }.to_be_bytes());
    body.extend(string("t"));
    body.extend(i32::from(has_brokers).to_be_bytes());
    if has_brokers {
        // Error, partition, leader, one replica, one in sync.
        body.extend(0_i16.to_be_bytes());
        for number in [0_i32, 1, 1, 1, 1, 1] {
            body.extend(number.to_be_bytes());
        }
    }
    // The client reckons its memory by the size of the answer, too little for very small ones.
    body.resize(1_000, 0);
    body
}

fn string(text: &str) -> Vec<u8> {
    [&i16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}
