//! Sources of the engine on a real broker: who polls, what a hand-over does, and what a fenced owner may still write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use frostline_engine::kafka::{Admin, ClientSettings, Producer, Reader, StartAt, TransactionSettings};
use frostline_engine::runtime::SourcePhase;
use frostline_engine::{
    Batch, Engine, EngineSettings, PollError, Poller, Position, RunOptions, Source, SourceId, TopicPlan,
    Topology, block_on,
};

use crate::support::{Needs, Test, Topics, test, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE: SourceId = SourceId::new("numbers");

pub fn tests() -> Vec<Test> {
    vec![test("a_source_hands_over_exactly_once", &[Needs::Broker], hands_over)]
}

/// Counts on from its position, five numbers with each poll; every third poll fails.
struct Numbers(Arc<AtomicU64>);

impl Poller for Numbers {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        if self.0.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            let retry_in = Some(Duration::from_millis(1));
            return Err(PollError { reason: "the service is away".into(), retry_in });
        }
        let next = position.get(b"next").map_or(0, |text| str::from_utf8(text).unwrap().parse().unwrap());
        let mut batch = Batch { newest_ms: Some(now_ms), ..Batch::default() };
        (next..next + 5_u64).for_each(|number| batch.emit("out", "key", number.to_string(), now_ms));
        batch.set("next", (next + 5).to_string());
        Ok(batch)
    }
}

/// A process that may poll the source.
struct Process {
    polls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    _state: tempfile::TempDir,
}

fn topology(topics: &Topics, polls: &Arc<AtomicU64>) -> Topology {
    let namespace = topics.config().kafka.namespace;
    let polls = Arc::clone(polls);
    let source = Source {
        id: SOURCE,
        partition: 1,
        sinks: vec![("out", TopicPlan::new(format!("{namespace}numbers"), 1))],
        // Whoever reads the topic to its end needs pauses in which there is one.
        interval: Duration::from_millis(300),
        late_after: Duration::from_secs(60),
        needs: &[],
        poller: Arc::new(move || Box::new(Numbers(Arc::clone(&polls)))),
    };
    Topology::builder("test", namespace.as_str(), TopicPlan::new(format!("{namespace}dead"), 1))
        .positions(TopicPlan::compacted(format!("{namespace}positions"), 2))
        .source(source)
        .build()
        .unwrap()
}

impl Process {
    fn start(topics: &Topics) -> Self {
        let (polls, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (topology, seen, state) =
            (topology(topics, &polls), Arc::clone(&stop), tempfile::tempdir().unwrap());
        let settings = EngineSettings {
            kafka: topics.config().kafka,
            state_dir: state.path().join("state"),
            ..EngineSettings::default()
        };
        let work = async move {
            let options = RunOptions::all(&topology);
            let engine = Engine::start(&settings, topology, &options).await.unwrap();
            let board = engine.sources();
            while !seen.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            engine.stop().await.1.unwrap();
            let (_, last) = board.snapshot().pop().unwrap();
            assert_eq!((last.phase, last.is_late), (SourcePhase::Standby, false));
        };
        let thread = std::thread::spawn(move || block_on(work));
        Self { polls, stop, thread, _state: state }
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn hands_over() {
    let topics = Topics::unmade();
    let clients = ClientSettings::new(&topics.config().kafka).unwrap();
    let plans = topology(&topics, &Arc::default()).topics();
    let admin = Admin::new(&clients).unwrap();
    block_on(async {
        for plan in &plans {
            admin.create(plan).await.unwrap();
        }
    });
    let numbers = format!("{}numbers", topics.config().kafka.namespace);
    let read = || {
        let mut found = Vec::<u64>::new();
        Reader::read_to_end(&clients, &numbers, 1, StartAt::Beginning, &mut |record| {
            found.push(str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
        })
        .unwrap();
        found
    };
    let grown =
        |from: usize| wait_for("more numbers", PATIENCE, || Some(read().len()).filter(|len| *len > from));

    let first = Process::start(&topics);
    let second = Process::start(&topics);
    let at = grown(0);
    grown(at + 20);
    // Another producer of its transactional id, as of an owner that was thought dead: whoever polls begins again.
    let transaction = TransactionSettings {
        transactional_id: format!("{}test-source-numbers", topics.config().kafka.namespace),
        timeout_ms: 10_000,
    };
    let zombie = Producer::new(&clients, Some(&transaction)).unwrap();
    wait_for("the transactional id", PATIENCE, || zombie.ready().ok());
    let at = grown(0);
    grown(at + 20);
    // The group gives the source to one of them. Whoever has it goes; the other takes over.
    let (owner, other) = if first.polls() > second.polls() { (first, second) } else { (second, first) };
    let before = other.polls();
    owner.stop();
    wait_for("the other to poll", PATIENCE, || (other.polls() > before + 10).then_some(()));
    other.stop();
    let found = read();
    assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "each once, in order");
}
