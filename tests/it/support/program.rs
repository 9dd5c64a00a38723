//! The real program, run as a user would.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// No command of a test may take longer, unless it says so.
const PATIENCE: Duration = Duration::from_secs(180);

/// A command line that is being put together. It runs in a folder of its own.
pub struct Frostline {
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    removed: Vec<String>,
    dir: Option<PathBuf>,
    patience: Duration,
    fresh: TempDir,
}

impl Frostline {
    pub fn new() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            removed: Vec::new(),
            dir: None,
            patience: PATIENCE,
            fresh: tempfile::tempdir().unwrap(),
        }
    }

    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(OsString::from));
        self
    }

    pub fn path(mut self, path: &Path) -> Self {
        self.arguments.push(path.into());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Leaves a variable out that tests set otherwise.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Runs in this folder instead of a fresh one.
    pub fn in_dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// How long it may take.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let dir = self.dir.clone().unwrap_or_else(|| self.fresh.path().to_owned());
        let mut command = Command::new(env!("CARGO_BIN_EXE_frostline"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FROSTLINE_")) {
            command.env_remove(name);
        }
        command.env("FROSTLINE_LOG_FORMAT", "text");
        for name in &self.removed {
            command.env_remove(name);
        }
        let child = command
            .args(&self.arguments)
            // Tests run side by side.
            .env("FROSTLINE_ADMIN_LISTEN", "")
            .envs(self.environment)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running::watch(child, self.patience, self.fresh)
    }

    /// Runs it to its end.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// What a program has written so far, and the thread that gathers it.
struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gathered {
    fn from(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&bytes);
        let gather = move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                gathered.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        };
        Self { bytes, thread: Some(std::thread::spawn(gather)) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn whole(&mut self) -> String {
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
        self.so_far()
    }
}

/// A running program, whose output is gathered.
pub struct Running {
    child: Child,
    out: Gathered,
    err: Gathered,
    patience: Duration,
    _fresh: TempDir,
}

impl Running {
    fn watch(mut child: Child, patience: Duration, fresh: TempDir) -> Self {
        let out = Gathered::from(child.stdout.take().unwrap());
        let err = Gathered::from(child.stderr.take().unwrap());
        Self { child, out, err, patience, _fresh: fresh }
    }

    /// Sends it a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has written this to stderr.
    pub fn until_said(&mut self, text: &str) {
        let deadline = Instant::now() + self.patience;
        while !self.err.so_far().contains(text) {
            let is_over = !self.is_running() || Instant::now() > deadline;
            assert!(!is_over, "it did not say {text:?}: {}", self.err.so_far());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its resident memory, in megabytes.
    pub fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        let kb: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kb / 1024.0
    }

    /// How many times each of its threads with such a name has gone to sleep by itself.
    pub fn sleeps(&self, name: &str) -> BTreeMap<PathBuf, u64> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let named = threads.map(|thread| thread.unwrap().path()).filter(|thread| {
            std::fs::read_to_string(thread.join("comm")).is_ok_and(|known| known.starts_with(name))
        });
        let counted = named.filter_map(|thread| {
            let status = std::fs::read_to_string(thread.join("status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
            Some((thread, line.split_whitespace().nth(1)?.parse().ok()?))
        });
        counted.collect()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Outcome {
        let deadline = Instant::now() + self.patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let outcome = self.outcome(None);
                panic!("did not end in {:?}\n{outcome}", self.patience);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        use std::os::unix::process::ExitStatusExt;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        self.outcome(code)
    }

    fn outcome(&mut self, code: Option<i32>) -> Outcome {
        Outcome { code, out: self.out.whole(), err: self.err.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended, and what it said.
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Outcome {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n{self}");
        self
    }

    /// Each line of its output as JSON.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }

    /// The summary: the last line.
    #[track_caller]
    pub fn summary(&self) -> serde_json::Value {
        self.json_lines().pop().unwrap_or_else(|| panic!("no summary\n{self}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.out, self.err)
    }
}
