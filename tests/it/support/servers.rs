//! Servers that notifications go to: a real SMTP server, a real Alertmanager, and an HTTP server that keeps what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Waits until `look` finds something.
#[track_caller]
pub fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with us.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `scripts/mail-server`: aiosmtpd with STARTTLS and authentication.
pub struct MailServer {
    process: Option<Owned>,
    pub port: u16,
    dir: TempDir,
}

/// A mail as it arrived.
pub struct Mail {
    pub to: String,
    pub text: String,
}

impl Mail {
    /// A header, unfolded.
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let prefix = format!("{}: ", name.to_ascii_lowercase());
        let found = head.split("\r\n").find(|line| line.to_ascii_lowercase().starts_with(&prefix));
        found.map(|line| line[prefix.len()..].to_owned()).unwrap_or_default()
    }
}

impl MailServer {
    pub fn missing() -> Option<String> {
        // The first start installs it.
        let started = std::panic::catch_unwind(Self::start);
        started.err().map(|_| "scripts/mail-server does not start (python3 with venv, openssl)".into())
    }

    pub fn start() -> Self {
        let mut server = Self { process: None, port: 0, dir: tempfile::tempdir().unwrap() };
        server.up();
        server
    }

    /// Starts it, at the port that it had before.
    pub fn up(&mut self) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/mail-server");
        let mut child = Command::new(script)
            .arg(self.dir.path())
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.process = Some(Owned(child));
        self.port = line.trim().parse().unwrap_or_else(|_| panic!("the mail server said {line:?}"));
    }

    /// Ends it.
    pub fn down(&mut self) {
        self.process = None;
    }

    /// What it does to the next mails; see the script.
    pub fn mode(&self, mode: &str) {
        std::fs::write(self.dir.path().join("mode"), mode).unwrap();
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// All mails, in the order in which they came.
    pub fn mails(&self) -> Vec<Mail> {
        let read = |number: u32, what: &str| {
            std::fs::read_to_string(self.dir.path().join(format!("{number}.{what}"))).ok()
        };
        (1..).map_while(|number| Some(Mail { text: read(number, "eml")?, to: read(number, "to")? })).collect()
    }

    #[track_caller]
    pub fn wait_for_mails(&self, count: usize) -> Vec<Mail> {
        wait_for(&format!("{count} mails"), Duration::from_secs(60), || {
            Some(self.mails()).filter(|mails| mails.len() >= count)
        })
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    /// A header, by its name in small letters.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }
}

/// What the server does to the next requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    /// Answers with this status.
    Answer(u16),
    /// Keeps the request, and hangs up without an answer.
    Drop,
    /// Never answers.
    Hang,
}

/// An HTTP server that keeps what it gets.
pub struct HttpServer {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    doing: Arc<Mutex<Doing>>,
    stop: Arc<AtomicBool>,
}

impl HttpServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self {
            port,
            requests: Arc::default(),
            doing: Arc::new(Mutex::new(Doing::Answer(200))),
            stop: Arc::default(),
        };
        let (requests, doing) = (Arc::clone(&server.requests), Arc::clone(&server.doing));
        let stop = Arc::clone(&server.stop);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let (requests, doing) = (Arc::clone(&requests), Arc::clone(&doing));
                std::thread::spawn(move || serve(stream, &requests, &doing));
            }
        });
        server
    }

    pub fn doing(&self, doing: Doing) {
        *self.doing.lock().unwrap() = doing;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Serves one connection, for as long as the client keeps it.
fn serve(mut stream: TcpStream, requests: &Mutex<Vec<Request>>, doing: &Mutex<Doing>) -> Option<()> {
    // Answers are written in parts.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let path = line.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut request = Request { path, headers, body: String::new() };
        let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        request.body = String::from_utf8(body).ok()?;
        requests.lock().unwrap().push(request);
        let doing = *doing.lock().unwrap();
        match doing {
            Doing::Answer(status) => {
                write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: 4\r\n\r\nkept").ok()?;
            }
            Doing::Drop => return None,
            Doing::Hang => std::thread::sleep(Duration::from_secs(120)),
        }
    }
}

/// Debian's Alertmanager.
pub struct Alertmanager {
    _process: Owned,
    pub port: u16,
    _dir: TempDir,
}

impl Alertmanager {
    pub fn missing() -> Option<String> {
        let found = Command::new("prometheus-alertmanager").arg("--version").output().is_ok();
        (!found).then(|| "no prometheus-alertmanager (Debian's package of that name)".into())
    }

    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = "route:\n  receiver: none\nreceivers:\n  - name: none\n";
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", dir.path().join("config.yml").display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { _process: Owned(child), port, _dir: dir };
        wait_for("Alertmanager", Duration::from_secs(30), || started.get("/-/ready"));
        started
    }

    /// The alerts that it shows.
    pub fn alerts(&self) -> Vec<serde_json::Value> {
        let body = self.get("/api/v2/alerts").unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Option<String> {
        http_get(self.port, path, &[]).filter(|(status, _)| *status == 200).map(|(_, body)| body)
    }
}

/// Chromium, driven by its own driver.
pub struct Browser {
    _driver: Owned,
    port: u16,
    pub client: fantoccini::Client,
}

impl Browser {
    pub fn missing() -> Option<String> {
        let found = |name| Command::new(name).arg("--version").output().is_ok();
        let is_there = found("chromedriver") && found("chromium");
        (!is_there).then(|| "no chromium with chromedriver (Debian's chromium and chromium-driver)".into())
    }

    pub async fn start() -> Self {
        let port = free_port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let driver = Owned(child);
        wait_for("chromedriver", Duration::from_secs(30), || http_get(port, "/status", &[]));
        let capabilities = serde_json::json!({
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,1100", "--hide-scrollbars",
                // Its readers use degrees Celsius, whatever the machine's language is.
                "--accept-lang=en-GB",
            ] },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!() };
        let client =
            fantoccini::ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                .capabilities(capabilities)
                .connect(&format!("http://127.0.0.1:{port}"))
                .await
                .unwrap();
        Self { _driver: driver, port, client }
    }

    /// What the browser has logged since the last call: `browser` for the console, `performance` for the network.
    pub async fn log(&self, kind: &str) -> Vec<serde_json::Value> {
        let session = self.client.session_id().await.unwrap().unwrap();
        let body = serde_json::json!({ "type": kind }).to_string();
        let (_, text) = http(self.port, "POST", &format!("/session/{session}/se/log"), &[], &body).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        answer["value"].as_array().cloned().unwrap_or_default()
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks a server on this machine; status and body.
pub fn http_get(port: u16, path: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
    http(port, "GET", path, headers, "")
}

/// The same with another method, and a body.
pub fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: 127.0.0.1:{port}\r\n"));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).ok()?;
    let (mut reader, mut status, mut length, mut is_chunked) =
        (BufReader::new(stream), String::new(), None, false);
    reader.read_line(&mut status).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        }
        is_chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked");
    }
    let mut bytes = Vec::new();
    while is_chunked {
        let (mut size, mut end) = (String::new(), [0; 2]);
        reader.read_line(&mut size).ok()?;
        match u64::from_str_radix(size.trim(), 16).ok()? {
            0 => length = Some(0),
            size => drop((&mut reader).take(size).read_to_end(&mut bytes).ok()?),
        }
        reader.read_exact(&mut end).ok()?;
        is_chunked = length.is_none();
    }
    // Some servers do not hang up.
    reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut bytes).ok()?;
    Some((status.split(' ').nth(1)?.parse().ok()?, String::from_utf8_lossy(&bytes).into_owned()))
}
