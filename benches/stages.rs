//! Micro-benchmarks of what is done with a record, without a broker: `cargo bench --bench stages`.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use frostline::noaa::{Compat, KnownStations, ObservationView, Reading, Station};
use frostline::rules::{Condition, Conditions, Definition, Evaluator, RuleSet, Scope};
use frostline::stages;
use frostline::stages::{Alert, Assemble, AssembleSettings, Enrich, Filter, Limits, StationIndex, Validate};
use frostline_engine::record::{NO_HEADERS, ReadHeaders, Record};
use frostline_engine::store::{Change, Checkpoint, Identity, StateDirectory, Store};
use frostline_engine::{Collector, Context, Counts, Processor};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const STATION: &str = "USC00020080";
const DOCUMENT: &str = r#"{"station":{"id":"USC00020080","country_code":"US","country":"United States","location":{"lat":32.3697,"lon":-112.8597},"elevation":533.7,"state_code":"AZ","state":"ARIZONA","name":"SYNTHETIC STATION 80","hcn_crn_flag":"HCN","wmo_id":"00080"},"date":"2016-02-24T00:00:00","PRCP":0.0,"SNOW":0,"SNWD":0,"TMAX":23.3,"TMIN":8.9,"TOBS":8.9,"TRANGE":{"gte":8.9,"lte":23.3}}"#;
const ELSEWHERE: &str = r#"{"station":{"id":"MXC00000001","country_code":"MX","country":"Mexico","location":{"lat":32.3697,"lon":-112.8597},"elevation":533.7,"name":"SYNTHETIC STATION 80","hcn_crn_flag":"HCN","wmo_id":"00080"},"date":"2016-02-24T00:00:00","PRCP":0.0,"SNOW":0,"SNWD":0,"TMAX":23.3,"TMIN":8.9,"TOBS":8.9,"TRANGE":{"gte":8.9,"lte":23.3}}"#;
const RAW: &str = r#"{"station_id":"USC00020080","date":"2016-02-24","PRCP":0.0,"TMAX":23.3,"TMIN":8.9}"#;
const FILTER: &str = "station.country_code == 'US' && station.state_code == 'AZ'";

/// [`DOCUMENT`] as other producers write it.
fn spellings() -> [(&'static str, String); 4] {
    let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
    let blanks = DOCUMENT.replace(',', ", ").replace(':', ": ").replace("00: 00: 00", "00:00:00");
    // The last fields first, in the station as well.
    let mut backwards = document.clone();
    let turn = |object: &mut serde_json::Value| {
        let fields = object.as_object_mut().unwrap();
        *fields = std::mem::take(fields).into_iter().rev().collect();
    };
    turn(&mut backwards);
    turn(&mut backwards["station"]);
    [
        ("blanks", blanks.clone()),
        ("another order", backwards.to_string()),
        ("an escape in the name", blanks.replace("SYNTHETIC STATION", "SYNTHETIC STATI\\u00d3N")),
        (
            "fields not known here",
            blanks.replace("\"PRCP\"", "\"source\": \"noaa\", \"n\": [21, 21.0], \"PRCP\""),
        ),
    ]
}

/// One partition of a stage, its outputs thrown away.
struct Bench {
    processor: Box<dyn Processor>,
    store: Store,
    collector: Collector,
    counts: Counts,
    offset: i64,
}

impl Bench {
    fn new(processor: impl Processor + 'static) -> Self {
        let store = Store::in_memory();
        let (collector, counts) = (Collector::default(), Counts::default());
        Self { processor: Box::new(processor), store, collector, counts, offset: 0 }
    }

    fn process(&mut self, key: &str, value: &[u8]) {
        self.offset += 1;
        let record = Record {
            topic: "noaa-json",
            partition: 0,
            offset: self.offset,
            timestamp_ms: 1_456_272_000_000,
            key: Some(key.as_bytes()),
            value: Some(value),
            headers: &NoHeaders,
        };
        let Self { store, collector, counts, .. } = self;
        let mut context = Context::new(stages::FILTER, 1_767_225_600_000, store, collector, counts);
        self.processor.process(&record, &mut context).unwrap();
        if self.offset % 1024 == 0 {
            self.collector.clear();
            self.store.abort();
        }
    }
}

struct NoHeaders;

impl ReadHeaders for NoHeaders {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        NO_HEADERS.visit(visit);
    }
}

/// The station of [`DOCUMENT`].
fn stations() -> Arc<StationIndex> {
    let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
    let station: Station = serde_json::from_value(document["station"].clone()).unwrap();
    let index = StationIndex::new(Compat::None);
    index.insert(&station);
    Arc::new(index)
}

fn rules(count: usize, when: &str) -> Arc<RuleSet> {
    let rule = |n| format!("[[rule]]\nid = \"r{n}\"\nstation = \"{STATION}\"\nwhen = \"{when}\"\n");
    Arc::new(RuleSet::parse(&(0..count).map(rule).collect::<String>()).unwrap())
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    let line = "USC00020080,20160224,TMIN,89,,,7,0700";
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("line", |b| b.iter(|| Reading::parse(black_box(line.as_bytes())).unwrap()));
    group.throughput(Throughput::Bytes(DOCUMENT.len() as u64));
    group.bench_function("observation", |b| {
        b.iter(|| black_box(ObservationView::parse(black_box(DOCUMENT.as_bytes())).unwrap()).date);
    });
    let mut known = KnownStations::default();
    group.bench_function("observation of a known station", |b| {
        b.iter(|| black_box(known.parse(black_box(DOCUMENT.as_bytes())).unwrap()).date);
    });
    for (name, document) in spellings() {
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(format!("observation of a known station, {name}"), |b| {
            b.iter(|| black_box(known.parse(black_box(document.as_bytes())).unwrap()).date);
        });
    }
    group.throughput(Throughput::Bytes(DOCUMENT.len() as u64));
    group.bench_function("observation, JSON syntax alone, by serde_json", |b| {
        b.iter(|| {
            serde_json::from_slice::<&serde_json::value::RawValue>(black_box(DOCUMENT.as_bytes())).unwrap()
        });
    });
    group.bench_function("observation, into a serde_json::Value", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(DOCUMENT.as_bytes())).unwrap());
    });
    group.finish();
}

fn conditions(c: &mut Criterion) {
    let mut group = c.benchmark_group("rule");
    let view = ObservationView::parse(DOCUMENT.as_bytes()).unwrap();
    let evaluator = Evaluator::new();
    for (name, text) in [
        ("one comparison", "TMIN <= 10.0"),
        (
            "with fields of the station",
            "TMIN <= 10.0 && station.country_code == 'US' && station.state_code == 'AZ'",
        ),
        ("left to the interpreter", "TMIN <= 10.0 && station.name.startsWith('S')"),
    ] {
        let condition = Condition::compile(text, Scope::Observation).unwrap();
        group
            .bench_function(name, |b| b.iter(|| evaluator.evaluate(black_box(&condition), black_box(&view))));
    }
    group.finish();
}

fn stages(c: &mut Criterion) {
    let mut group = c.benchmark_group("stage");
    group.throughput(Throughput::Elements(1));
    let needed = Limits { validate: Validate::Needed, ..Limits::default() };
    let filter = Arc::new(Condition::compile(FILTER, Scope::Filter).unwrap());

    let mut bench = Bench::new(Filter::new(Arc::clone(&filter), Limits::default()));
    group.bench_function("filter, dropped", |b| {
        b.iter(|| bench.process("MXC00000001", black_box(ELSEWHERE.as_bytes())))
    });
    group.bench_function("filter, kept", |b| {
        b.iter(|| bench.process(STATION, black_box(DOCUMENT.as_bytes())))
    });
    let mut bench = Bench::new(Filter::new(filter, needed));
    group.bench_function("filter, dropped unread", |b| {
        b.iter(|| bench.process("MXC00000001", black_box(ELSEWHERE.as_bytes())));
    });

    let mut bench = Bench::new(Alert::new(rules(1, "TMIN <= 10.0"), Limits::default()));
    group.bench_function("alert, station without rules", |b| {
        b.iter(|| bench.process("MXC00000001", black_box(ELSEWHERE.as_bytes())));
    });
    group.bench_function("alert, known already", |b| {
        b.iter(|| bench.process(STATION, black_box(DOCUMENT.as_bytes())))
    });
    for (name, document) in spellings() {
        group.bench_function(format!("alert, known already, {name}"), |b| {
            b.iter(|| bench.process(STATION, black_box(document.as_bytes())));
        });
    }
    let mut bench = Bench::new(Alert::new(rules(1, "TMIN <= 10.0"), needed));
    group.bench_function("alert, station without rules, unread", |b| {
        b.iter(|| bench.process("MXC00000001", black_box(ELSEWHERE.as_bytes())));
    });
    let mut bench =
        Bench::new(Alert::new(rules(1_000, "TMIN <= -10.0 && TMAX - TMIN > 5.0"), Limits::default()));
    group.bench_function("alert, 1,000 conditions", |b| {
        b.iter(|| bench.process(STATION, black_box(DOCUMENT.as_bytes())))
    });

    let mut bench = Bench::new(Alert::new(episode_rules(), Limits::default()));
    group.bench_function("alert, a day of an episode, known already", |b| {
        b.iter(|| bench.process(STATION, black_box(DOCUMENT.as_bytes())))
    });

    let mut bench = Bench::new(Enrich::new(stations(), Limits::default()));
    group.bench_function("enrich", |b| b.iter(|| bench.process(STATION, black_box(RAW.as_bytes()))));

    // Five lines are one observation; each iteration is one line.
    let settings = AssembleSettings {
        settle_records: 1_000,
        settle_ms: 1_000,
        compat: Compat::None,
        keep_failed_quality: false,
    };
    let mut bench = Bench::new(Assemble::new(settings, stations(), Limits::default()));
    let lines: Vec<String> = (0..336 * 5)
        .map(|n| {
            let (month, day) = (n / 5 / 28 + 1, n / 5 % 28 + 1);
            let element = ["TMAX", "TMIN", "PRCP", "SNOW", "SNWD"][n % 5];
            format!("{STATION},2016{month:02}{day:02},{element},89,,,7,0700")
        })
        .collect();
    let mut lines = lines.iter().cycle();
    group.bench_function("assemble, a line of five", |b| {
        b.iter(|| bench.process(STATION, black_box(lines.next().unwrap().as_bytes())));
    });
    group.finish();
}

fn episode_rules() -> Arc<RuleSet> {
    let rule = format!(
        "[[rule]]\nid = \"r\"\nstation = \"{STATION}\"\nwhen = \"TMIN <= 10.0\"\nclear = \"TMIN > 12.0\"\n"
    );
    Arc::new(RuleSet::parse(&rule).unwrap())
}

/// Records of 10,000 stations in turn, each with one rule: as the only rules, and among a million.
fn many_rules(c: &mut Criterion) {
    const STATIONS: usize = 10_000;
    let documents: Vec<(String, String)> = (0..STATIONS)
        .map(|n| {
            let id = format!("USC{n:08}");
            let document = DOCUMENT.replace(STATION, &id);
            (id, document)
        })
        .collect();
    let mut group = c.benchmark_group("rules in force");
    group.throughput(Throughput::Elements(1));
    for count in [STATIONS, 1_000_000] {
        let (rules, mut conditions) = (RuleSet::default(), Conditions::default());
        for n in 0..count {
            let definition = Definition {
                id: format!("r{n}"),
                station: Some(format!("USC{n:08}")),
                when: format!("TMIN <= {}.0", -20 - (n as i64) % 50),
                ..Definition::default()
            };
            rules.put(definition.compile(1, None, &mut conditions).unwrap());
        }
        let mut bench = Bench::new(Alert::new(Arc::new(rules), Limits::default()));
        let mut documents = documents.iter().cycle();
        group.bench_function(format!("{count}"), |b| {
            b.iter(|| {
                let (key, document) = documents.next().unwrap();
                bench.process(key, black_box(document.as_bytes()));
            });
        });
    }
    group.finish();
}

/// 1,000 new entries of the size that assemble keeps.
fn entries(from: u64) -> Vec<([u8; 16], [u8; 48])> {
    (from..from + 1_000)
        .map(|n| {
            let mut key = [b'o'; 16];
            key[8..].copy_from_slice(&n.to_be_bytes());
            (key, [7; 48])
        })
        .collect()
}

fn store(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDirectory::open(&directory.path().join("state")).unwrap();
    let open = |partition| {
        let (stage, topic, cluster) = ("assemble".into(), "noaa-csv-raw".into(), "bench".into());
        let topic_ids = String::new();
        state.store(&Identity { stage, topic, partition, cluster, topic_ids }, 400).unwrap()
    };
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1_000));

    let (mut store, mut next) = (open(0), 0);
    group.bench_function("commit of 1,000 entries", |b| {
        b.iter_batched(
            || {
                next += 1_000;
                entries(next)
            },
            |entries| {
                entries.iter().for_each(|(key, value)| store.put(key, 1, value));
                store.seal();
                store.commit(Checkpoint { input_offset: 1, changelog_offset: 1, at_ms: 0 }).unwrap();
            },
            BatchSize::SmallInput,
        );
    });

    // The same on disk without frostline: no day, no checksum, no checkpoint, no map in front.
    let alone =
        sled::Config::new().path(directory.path().join("alone")).cache_capacity(8 << 20).open().unwrap();
    let mut next = 0;
    group.bench_function("sled alone, a batch of 1,000 entries", |b| {
        b.iter_batched(
            || {
                next += 1_000;
                entries(next)
            },
            |entries| {
                let mut batch = sled::Batch::default();
                entries.iter().for_each(|(key, value)| batch.insert(&key[..], &value[..]));
                alone.apply_batch(batch).unwrap();
            },
            BatchSize::SmallInput,
        );
    });

    let mut restored = open(1);
    let mut next = 0;
    group.bench_function("restore of 1,000 entries, into memory and on to the disk", |b| {
        b.iter_batched(
            || {
                next += 1_000;
                entries(next)
            },
            |entries| {
                let changes: Vec<Change<'_>> =
                    entries.iter().map(|(key, value)| Change { key, value: Some(value) }).collect();
                restored
                    .restore(&changes, Checkpoint { input_offset: 1, changelog_offset: 1, at_ms: 0 })
                    .unwrap();
                while restored.fill().unwrap() {}
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, reading, conditions, stages, store, many_rules);
criterion_main!(benches);
