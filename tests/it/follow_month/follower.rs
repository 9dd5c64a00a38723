//! A process that polls, as the engine does it, and dies now and then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use frostline::sources::{Client, ClientSettings, Fetch};
use frostline_engine::{Batch, PollError, Poller, Position};

use super::service::Service;

const MINUTE: Duration = Duration::from_secs(60);
/// Makes the poller of a new process.
pub type Make = Box<dyn Fn(Arc<dyn Fetch>) -> Box<dyn Poller>>;

/// Polls, commits, and is killed between answer and commit by chance.
pub struct Follower<'a> {
    service: &'a Service,
    make: Make,
    poller: Box<dyn Poller>,
    pub position: Position,
    random: fastrand::Rng,
    kill_share: f64,
    began: Instant,
    /// What happened, by name.
    pub counts: BTreeMap<String, u64>,
    /// Why polls failed, and remarks, without places and numbers.
    pub complaints: BTreeMap<String, u64>,
}

/// What became of a poll.
pub enum Polled {
    /// The batch was committed.
    Committed(Batch),
    /// There was none.
    Failed(PollError),
    /// The process died before the commit, whatever it had.
    Killed,
}

impl<'a> Follower<'a> {
    pub fn new(service: &'a Service, kill_share: f64, make: Make) -> Self {
        let poller = make(client(service));
        Self {
            service,
            make,
            poller,
            position: Position::default(),
            random: fastrand::Rng::with_seed(service.world.seed()),
            kill_share,
            began: Instant::now(),
            counts: BTreeMap::new(),
            complaints: BTreeMap::new(),
        }
    }

    /// Polls once. The paths say which faults are counted as met.
    pub fn poll(&mut self, paths: &[&str]) -> Polled {
        let outcome = self.poller.poll(&self.position, self.service.time.unix_ms());
        self.count("polls", 1);
        let now = self.service.now();
        let met = paths.iter().flat_map(|path| self.service.faults(now, path));
        let met: Vec<&str> = met.map(|window| window.fault.name()).collect();
        met.into_iter().for_each(|name| self.count(&format!("fault {name}"), 1));
        if self.random.f64() < self.kill_share {
            self.count("kills", 1);
            self.poller = (self.make)(client(self.service));
            return Polled::Killed;
        }
        match outcome {
            Ok(batch) => {
                for (key, value) in &batch.changes {
                    self.position.apply(key, value.as_deref());
                }
                self.count("records", batch.records.len() as u64);
                if let Some(remark) = &batch.remark {
                    self.complain(remark);
                }
                Polled::Committed(batch)
            }
            Err(error) => {
                self.count("failures", 1);
                self.complain(&error.reason);
                Polled::Failed(error)
            }
        }
    }

    /// Waits as the engine does until the next poll. Whoever was killed is missed for a minute.
    pub fn wait(&self, polled: &Polled, interval: Duration) {
        let wait = match polled {
            Polled::Committed(batch) => batch.next_in.unwrap_or(interval),
            Polled::Failed(error) => error.retry_in.unwrap_or(MINUTE),
            Polled::Killed => MINUTE,
        };
        frostline::sources::Time::sleep(&*self.service.time, wait);
    }

    pub fn count(&mut self, name: &str, more: u64) {
        *self.counts.entry(name.to_owned()).or_default() += more;
    }

    fn complain(&mut self, sentence: &str) {
        let is_plain = |c: &char| !c.is_ascii_digit();
        let words: String = sentence.chars().filter(is_plain).take(160).collect();
        *self.complaints.entry(words).or_default() += 1;
    }

    /// Prints what happened, as a line, after a look at the server's counts.
    pub fn report(&mut self, name: &str) {
        let requests = self.service.polite_requests();
        self.count("requests", requests);
        let (faults, rest): (Vec<_>, Vec<_>) =
            self.counts.iter().partition(|(name, _)| name.starts_with("fault "));
        let list = |counts: Vec<(&String, &u64)>| {
            let words = counts
                .into_iter()
                .map(|(name, count)| format!("{count} {}", name.trim_start_matches("fault ")));
            words.collect::<Vec<_>>().join(", ")
        };
        let (seed, seconds) = (self.service.world.seed(), self.began.elapsed().as_secs_f64());
        println!("{name}, seed {seed}: {}; {seconds:.1} s; faults met: {}", list(rest), list(faults));
        if std::env::var_os("FROSTLINE_FOLLOW_DAYS").is_some() {
            println!("{name}, seed {seed}: complaints {:#?}", self.complaints);
        }
    }
}

/// A client with the usual distances in simulated time, and little patience with slow answers in real time.
fn client(service: &Service) -> Arc<dyn Fetch> {
    let settings = ClientSettings {
        allow_private: true,
        host_interval: MINUTE,
        path_interval: MINUTE,
        window: Duration::from_millis(200),
        ..ClientSettings::new("follower@example.org")
    };
    Arc::new(Client::with_time(settings, service.time.clone()).unwrap())
}
