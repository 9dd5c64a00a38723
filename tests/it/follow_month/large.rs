//! A file of METARs of a whole world: what a poll costs, and that nothing is produced where nothing changed.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use frostline::hourly::parse_time;
use frostline::sources::{Answer, Fetch, Fresh, Metar, Request, Validators};
use frostline::weather_server::{Request as Asked, Script, World, answer};
use frostline_engine::{PollError, Poller, Position};

/// About as many as the service has, and as many again.
const STATIONS: usize = 5_000;

/// Gives one file again and again, and unpacks it as the client does.
struct OneFile {
    packed: Vec<u8>,
    etag: String,
}

impl Fetch for OneFile {
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError> {
        assert_eq!(request.url, "http://weather.example/data/cache/metars.cache.csv.gz");
        let mut bytes = Vec::new();
        MultiGzDecoder::new(self.packed.as_slice()).read_to_end(&mut bytes).unwrap();
        let validators = Validators { etag: Some(self.etag.clone()), last_modified: None };
        Ok(Answer::New(Fresh { bytes, validators, ..Fresh::default() }))
    }
}

pub fn run() {
    let world = World::new(1, STATIONS);
    let now = parse_time("2026-11-28T12:30:00Z").unwrap();
    let asked = Asked { path: "/data/cache/metars.cache.csv.gz".to_owned(), ..Asked::default() };
    let packed = answer(&world, &Script::none(), now, &asked).body;
    let find = super::metars::find(&world);
    let poller = |etag: &str| {
        let file = OneFile { packed: packed.clone(), etag: etag.to_owned() };
        Metar::new(Arc::new(file), "http://weather.example", Arc::clone(&find))
    };
    let mut position = Position::default();
    let mut poll = |etag: &str| {
        let (mut poller, seconds, kilobytes) = (poller(etag), cpu_seconds(), resident_kilobytes());
        let batch = poller.poll(&position, now * 1_000).unwrap();
        println!(
            "a file of {STATIONS} stations, {} bytes packed: {} records, {} changes, {:.3} s of CPU, {} kB more resident",
            packed.len(),
            batch.records.len(),
            batch.changes.len(),
            cpu_seconds() - seconds,
            resident_kilobytes().saturating_sub(kilobytes)
        );
        assert_eq!((batch.remark.as_deref(), batch.next_in), (None, None));
        for (key, value) in &batch.changes {
            position.apply(key, value.as_deref());
        }
        (batch.records.len(), batch.changes.len())
    };
    let airports = world.stations().iter().filter(|station| !station.is_cooperative()).count();
    let (records, changes) = poll("\"a\"");
    assert!(
        records >= airports && changes == airports + 1,
        "{airports}: {records} records, {changes} changes"
    );
    assert_eq!(poll("\"a\""), (0, 0), "the same file");
    assert_eq!(poll("\"b\""), (0, 1), "the same observations in another version of the file");
}

/// What this thread has used.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

/// What the process has in memory.
fn resident_kilobytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4
}
