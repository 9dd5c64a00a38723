//! The imitated services in simulated time, with a script that has every fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline::sources::Time;
use frostline::weather_server::{Clock, Fault, Script, WeatherServer, Window, World};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// A fault that a script lacks is added, for no less than this: whoever asks once an hour meets it.
const MET: i64 = 80 * 60;

/// The grid moves once, and stays so.
const FOR_GOOD: i64 = 1_000 * DAY;

/// A running server, and its clock.
pub struct Service {
    pub base: String,
    pub world: World,
    pub script: Script,
    /// When the simulation begins, and when the faults end, in seconds since 1970.
    pub start: i64,
    pub faults_end: i64,
    /// After the faults there is so much time without, in which all must be made up for, in seconds.
    pub quiet: i64,
    pub time: Arc<SimulatedTime>,
    system: actix::System,
    thread: Option<JoinHandle<()>>,
}

/// The time of both the server and its clients. It stands still until somebody waits.
pub struct SimulatedTime {
    server: WeatherServer,
    origin: Instant,
    start: i64,
    passed: Mutex<Duration>,
}

impl Time for SimulatedTime {
    fn now(&self) -> Instant {
        self.origin + *self.passed.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        let mut passed = self.passed.lock().unwrap();
        *passed += time;
        self.server.set_time(self.start + passed.as_secs().cast_signed());
    }
}

impl SimulatedTime {
    /// In milliseconds since 1970.
    pub fn unix_ms(&self) -> i64 {
        self.start * 1_000 + self.passed.lock().unwrap().as_millis() as i64
    }
}

impl Service {
    /// Starts a server whose script has every fault of the way on these beginnings of paths, and these of what documents say.
    pub fn start(
        world: World,
        (start, usual_days): (i64, i64),
        prefixes: &[&str],
        of_content: &[Fault],
    ) -> Self {
        let faults_end = start + super::days(usual_days) * DAY;
        let script = every_fault(world.seed(), (start, faults_end), prefixes, of_content);
        let (sender, receiver) = mpsc::channel();
        let (world_there, script_there) = (world.clone(), script.clone());
        let thread = std::thread::spawn(move || {
            let system = actix::System::new();
            let listen = "127.0.0.1:0".parse().unwrap();
            let server = system.block_on(async {
                WeatherServer::start(listen, world_there, script_there, Clock::new(start, 0.0)).unwrap()
            });
            sender.send((server, actix::System::current())).unwrap();
            system.run().unwrap();
        });
        let (server, system) = receiver.recv().unwrap();
        let base = format!("http://{}", server.address);
        let passed = Mutex::default();
        let time = Arc::new(SimulatedTime { server, origin: Instant::now(), start, passed });
        Self { base, world, script, start, faults_end, quiet: 2 * DAY, time, system, thread: Some(thread) }
    }

    /// In seconds since 1970.
    pub fn now(&self) -> i64 {
        self.time.unix_ms().div_euclid(1_000)
    }

    pub fn is_over(&self) -> bool {
        self.now() >= self.faults_end + self.quiet
    }

    /// The windows of faults that a request meets.
    pub fn faults(&self, now: i64, path: &str) -> impl Iterator<Item = &Window> {
        let path = path.to_owned();
        let is_met =
            move |window: &&Window| (window.from..window.to).contains(&now) && path.starts_with(&window.path);
        self.script.windows().iter().filter(is_met)
    }

    /// Whether nothing is wrong on the way of a request. Faults of what documents say are part of the truth.
    pub fn is_clean(&self, now: i64, path: &str) -> bool {
        self.faults(now, path).all(|window| window.path.is_empty())
    }

    /// The times whose documents a request at a time may get: now, and earlier ones by stale edges and sources that stop.
    pub fn views(&self, now: i64, path: &str) -> Vec<i64> {
        let view = |window: &Window| match window.fault {
            Fault::StaleEdge => Some(now - 2 * HOUR),
            Fault::Stops => Some(window.from),
            _ => None,
        };
        std::iter::once(now).chain(self.faults(now, path).filter_map(view)).collect()
    }

    /// How many requests came, after the check that no minute has more than one. All services are one host here.
    pub fn polite_requests(&self) -> u64 {
        let control = self.time.server.control();
        let mut minutes: BTreeMap<String, u64> = BTreeMap::new();
        for (_, count) in control["services"].as_object().unwrap() {
            for (minute, requests) in count["by_minute"].as_object().unwrap() {
                *minutes.entry(minute.clone()).or_default() += requests.as_u64().unwrap();
            }
        }
        let hurried: Vec<_> = minutes.iter().filter(|(_, requests)| **requests > 1).collect();
        assert!(hurried.is_empty(), "more than a request a minute: {hurried:?}");
        minutes.values().sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.system.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// The drawn faults of these paths and kinds until an end, and one more window for each fault that is not met otherwise.
fn every_fault(seed: u64, (start, end): (i64, i64), prefixes: &[&str], of_content: &[Fault]) -> Script {
    let on_the_way = Fault::all().take_while(|fault| *fault != Fault::OldForm);
    let faults: Vec<Fault> = on_the_way.chain(of_content.iter().copied()).collect();
    let mut windows = Vec::new();
    for (slot, fault) in faults.iter().enumerate() {
        let drawn = Script::drawn(fault.name(), seed, start).unwrap();
        let is_of_content = of_content.contains(fault);
        // Of content, only what cells say has a path.
        let concerns = |window: &&Window| {
            let is_there = !is_of_content || window.path == "/gridpoints/";
            window.path.is_empty() || (is_there && prefixes.contains(&window.path.as_str()))
        };
        let mut own: Vec<Window> = drawn.windows().iter().filter(concerns).cloned().collect();
        if *fault == Fault::Drip {
            // Each answer that drips takes real time.
            own.truncate(1);
        }
        let from = start + (end - start) * slot as i64 / faults.len() as i64;
        let path = if is_of_content { "" } else { prefixes[slot % prefixes.len()] };
        let usual = Window { from, to: from + DAY, path: path.to_owned(), fault: *fault, value: None };
        let first = own.first().cloned().unwrap_or(usual);
        let lasts = (first.to - first.from).max(MET);
        let is_met = |window: &Window| window.from < end - DAY && window.to - window.from >= MET;
        if lasts > 2 * DAY {
            own = vec![Window { from, to: end + FOR_GOOD, ..first }];
        } else if !own.iter().any(is_met) {
            own.push(Window { from, to: from + lasts, ..first });
        }
        windows.extend(own);
    }
    let bounded = |window: Window| {
        let is_for_good = window.to == end + FOR_GOOD;
        if is_for_good { window } else { Window { to: window.to.min(end), ..window } }
    };
    Script::new(windows.into_iter().filter(|window| window.from < end).map(bounded).collect())
}
