//! Measures how long a topic stands still, for instance while a process or a broker is dead.
//!
//! ```sh
//! cargo run --release -p frostline-engine --example silences -- BROKERS SECONDS INPUT [OUTPUT...]
//! ```
//!
//! Sends 200 numbered observations a second into INPUT with a plain idempotent producer, and reads all topics with a
//! plain consumer. For each topic it prints the longest time, in seconds, in which one of its partitions got no
//! record. The line of INPUT shows the client's own delay; the line of OUTPUT adds the stage's.

#![allow(clippy::print_stdout)] // a program whose output is its result

use std::error::Error;
use std::time::{Duration, Instant};

use frostline_engine::KafkaSettings;
use frostline_engine::kafka::{Admin, ClientSettings, Outgoing, Polled, Producer, Reader, StartAt};

const RATE: u32 = 200;
const STATIONS: u32 = 97;
/// Pause between the last record and the end, so that the last output has time to arrive.
const REST: Duration = Duration::from_secs(2);

/// A topic, and when each of its partitions last got a record.
struct Watched {
    topic: String,
    reader: Reader,
    seen: Vec<Option<Instant>>,
    longest: Duration,
}

impl Watched {
    fn new(settings: &ClientSettings, topic: &str) -> Result<Self, Box<dyn Error>> {
        let partitions = Admin::new(settings)?.partitions(topic)?.ok_or(format!("{topic} does not exist"))?;
        let starts: Vec<(i32, StartAt)> =
            (0..partitions).map(|partition| (partition, StartAt::End)).collect();
        let reader = Reader::new(settings, topic, &starts)?;
        Ok(Self { topic: topic.into(), reader, seen: vec![None; starts.len()], longest: Duration::ZERO })
    }

    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        let (seen, longest) = (&mut self.seen, &mut self.longest);
        self.reader.read(Duration::from_millis(1), 1_000, &mut |polled| {
            let Polled::Record(record) = polled else { return };
            let Some(last) = usize::try_from(record.partition).ok().and_then(|index| seen.get_mut(index))
            else {
                return;
            };
            let before = last.replace(Instant::now());
            *longest = before.map_or(*longest, |before| before.elapsed().max(*longest));
        })?;
        Ok(())
    }

    /// The longest silence, including the one at the end. An error if a partition never got a record.
    fn silence(&self, end: Instant) -> Result<f64, String> {
        let mut longest = self.longest;
        for (partition, seen) in self.seen.iter().enumerate() {
            let seen = seen.ok_or(format!("partition {partition} of {} got no record", self.topic))?;
            longest = longest.max(end.saturating_duration_since(seen));
        }
        Ok(longest.as_secs_f64())
    }
}

fn send(producer: &Producer, topic: &str, number: u32) -> Result<(), Box<dyn Error>> {
    let station = format!("USC{:08}", number % STATIONS);
    let value = format!(
        "{{\"station\":{{\"id\":\"{station}\",\"country_code\":\"US\",\"state_code\":\"AZ\"}},\
         \"date\":\"2016-02-24T00:00:00\",\"SNOW\":{number}}}"
    );
    Ok(producer.send(&Outgoing::keyed(topic, station.as_bytes(), value.as_bytes()))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, seconds, topics @ ..] = &arguments[..] else {
        return Err("expected BROKERS SECONDS INPUT [OUTPUT...]".into());
    };
    let input = topics.first().ok_or("expected a topic to write to")?;
    let seconds: u64 = seconds.parse()?;
    let settings =
        ClientSettings::new(&KafkaSettings { brokers: brokers.clone(), ..KafkaSettings::default() })?;
    let mut watched =
        topics.iter().map(|topic| Watched::new(&settings, topic)).collect::<Result<Vec<_>, _>>()?;
    let producer = Producer::new(&settings, None)?;
    let start = Instant::now();
    let (end, mut sent) = (start + Duration::from_secs(seconds), 0);
    while Instant::now() < end {
        while start.elapsed() * RATE > Duration::from_secs(1) * sent {
            send(&producer, input, sent)?;
            sent += 1;
        }
        watched.iter_mut().try_for_each(Watched::look)?;
    }
    let rest = Instant::now() + REST;
    while Instant::now() < rest {
        watched.iter_mut().try_for_each(Watched::look)?;
    }
    for topic in watched {
        println!("{} {:.1}", topic.topic, topic.silence(end)?);
    }
    Ok(())
}
