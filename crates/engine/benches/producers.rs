//! Should each stage have producers of its own, or should all stages of a process share one for each core?
//!
//! `cargo bench -p frostline-engine --bench producers -- BROKER [STAGES]` measures both against a real broker, one
//! after the other: that many stages, each committing every 100 ms, first with a producer and a transaction per
//! stage, then with one transaction that holds the offsets of all their groups. It prints how long a commit takes and
//! how much CPU time the process uses, under load and idle. `src/runtime/worker/mod.rs` has the decision that
//! followed.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frostline_engine::kafka::{
    Admin, ClientSettings, GroupOffsets, OffsetCommit, Outgoing, Producer, TransactionSettings,
};
use frostline_engine::{KafkaSettings, TopicPlan};

const TOPIC: &str = "bench-producers";
const INTERVAL: Duration = Duration::from_millis(100);
const RECORDS_OF_A_STAGE: usize = 20;
const TIME: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 3;

struct Cost {
    cpu: Duration,
    at: Instant,
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Cost {
    fn now() -> Self {
        Self { cpu: cpu(), at: Instant::now() }
    }

    /// CPU use since then, in percent of a core.
    fn percent(&self) -> f64 {
        (cpu() - self.cpu).as_secs_f64() / self.at.elapsed().as_secs_f64() * 100.0
    }
}

fn producer(settings: &ClientSettings, name: &str) -> Producer {
    let transaction = TransactionSettings { transactional_id: format!("bench-{name}"), timeout_ms: 10_000 };
    let producer = Producer::new(settings, Some(&transaction)).unwrap();
    while producer.ready().is_err() {}
    producer
}

/// Commits the work of these groups every [`INTERVAL`] for [`TIME`]; returns how long each commit took.
fn commits(producer: &Producer, groups: &[GroupOffsets], is_over: &AtomicBool) -> Vec<Duration> {
    let (mut times, mut offset, mut next) = (Vec::new(), 0, Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        next += INTERVAL;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        for number in 0..groups.len() * RECORDS_OF_A_STAGE {
            let key = format!("USC{number:08}");
            producer.send(&Outgoing::keyed(TOPIC, key.as_bytes(), &[b'x'; 300])).unwrap();
        }
        offset += 1;
        let begun = Instant::now();
        for group in groups {
            producer.send_positions(group, TOPIC, &[OffsetCommit::new(0, offset)]).unwrap();
        }
        producer.commit().unwrap();
        times.push(begun.elapsed());
    }
    times
}

fn measure(what: &str, settings: &ClientSettings, admin: &Admin, shares: &[usize]) {
    let groups = shares.iter().enumerate().map(|(index, stages)| {
        let group = |stage| admin.group(&format!("bench-{what}-{index}-{stage}")).unwrap();
        (0..*stages).map(group).collect::<Vec<_>>()
    });
    // The groups' own clients exist in both cases, so they are not part of the comparison.
    let groups: Vec<_> = groups.collect();
    let before = (status("Threads"), status("VmRSS"));
    let producers: Vec<_> =
        (0..shares.len()).map(|index| producer(settings, &format!("{what}-{index}"))).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let cost = Cost::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let workers: Vec<_> = producers
            .iter()
            .zip(&groups)
            .map(|(producer, groups)| scope.spawn(|| commits(producer, groups, &is_over)))
            .collect();
        std::thread::sleep(TIME);
        is_over.store(true, Ordering::Relaxed);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let busy = cost.percent();
    let (threads, kilobytes) = (status("Threads") - before.0, status("VmRSS").saturating_sub(before.1));
    let cost = Cost::now();
    std::thread::sleep(TIME);
    let idle = cost.percent();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{what:9} {:2} producers: a commit takes {:5.1} ms (p50) {:5.1} ms (p99); {busy:4.1} % of a core at work, \
         {idle:4.2} % at rest; {threads} threads, {} MB",
        shares.len(),
        at(50),
        at(99),
        kilobytes / 1024
    );
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(brokers) = arguments.next() else {
        println!(
            "producers: name a broker: cargo bench -p frostline-engine --bench producers -- 127.0.0.1:9092"
        );
        return;
    };
    let stages: usize = arguments.next().map_or(6, |stages| stages.parse().unwrap());
    let settings = ClientSettings::new(&KafkaSettings { brokers, ..KafkaSettings::default() }).unwrap();
    let admin = Admin::new(&settings).unwrap();
    frostline_engine::block_on(async { admin.create(&TopicPlan::new(TOPIC, 5)).await.unwrap() });
    for _ in 0..ROUNDS {
        // Two cores: each stage has a worker on each, or all stages share two.
        measure("each", &settings, &admin, &vec![1; 2 * stages]);
        measure("together", &settings, &admin, &[stages; 2]);
    }
}
