//! Many clients, slow ones, and those that do not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// A server on a port of loopback, on a thread of its own until this is dropped.
struct Running {
    port: u16,
    shown: Arc<Shown>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        Self::of_patience(connection::STALL)
    }

    /// One that closes connections whose clients read nothing for so long.
    fn of_patience(patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((end, ended), (send, receive)) = (tokio::sync::oneshot::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let shown = shown(None);
                let connections = Arc::new(Connections::of_patience(patience));
                let watched = Arc::clone(&connections);
                let server = serve(listener, shown.clone(), access(true, None), connections).unwrap();
                let handle = server.handle();
                let running = actix::spawn(server);
                let ticker = actix::spawn(api::tick(Arc::clone(&shown), watched));
                send.send(shown.into_inner()).unwrap();
                let _ = ended.await;
                ticker.abort();
                handle.stop(false).await;
                let _ = running.await;
            });
        });
        let shown = receive.recv().unwrap();
        Self { port, shown, end: Some(end), thread: Some(thread) }
    }

    /// A connection over which something has been sent.
    fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> TcpStream {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    #[track_caller]
    fn is_live(&self) {
        let asked = Instant::now();
        assert_eq!(status(&mut self.get("/health/live")), 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "health took {:?}", asked.elapsed());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shown.live.end();
        drop(self.end.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// The status of the answer; 0 if the connection was closed instead.
fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    match stream.read_exact(&mut line) {
        Ok(()) => std::str::from_utf8(&line[9..]).unwrap().parse().unwrap(),
        Err(error) => {
            let is_closed =
                !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            assert!(is_closed, "neither an answer nor the end within ten seconds");
            0
        }
    }
}

#[test]
fn health_answers_while_any_number_of_streams_is_open() {
    let running = Running::start();
    let mut streams: Vec<TcpStream> = (0..300).map(|_| running.get("/api/v1/events")).collect();
    running.is_live();
    let answers: Vec<u16> = streams.iter_mut().map(status).collect();
    let count = |wanted| answers.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(503)), (limit::STREAMS_MAX, 300 - limit::STREAMS_MAX));
    // Others get what those who go away had.
    drop(streams);
    let deadline = Instant::now() + Duration::from_secs(10);
    while status(&mut running.get("/api/v1/events")) != 200 {
        assert!(Instant::now() < deadline, "the streams do not end");
        running.shown.live.send("stages", &json!([]));
    }
}

#[test]
fn health_answers_while_hundreds_of_connections_are_silent_or_slow() {
    let running = Running::start();
    let count = connection::CONNECTIONS_MAX + 200;
    let mut open: Vec<TcpStream> = Vec::new();
    for text in
        ["", "GET /health/li", "POST /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"]
    {
        open.extend((0..count).map(|_| running.send(text)));
        running.is_live();
    }
    // The oldest were closed for the others.
    assert_eq!(status(&mut open[0]), 0);
}

/// Requests for the largest file, one after the other on one connection, far more than sockets hold.
fn ask_for_much(running: &Running) -> TcpStream {
    let map = "GET /world.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    running.send(&map.repeat(1_000))
}

/// Whether the client finds its connection closed once it reads after all; what was sent before is read first.
fn is_cut(stream: &mut TcpStream) -> bool {
    let mut rest = vec![0; 1 << 20];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn requests_that_are_sent_at_once_are_all_answered() {
    let running = Running::start();
    let number = 3_000;
    let ask = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(number - 1)
        + "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = running.send("");
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(ask.as_bytes()));
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    sending.join().unwrap().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), number);
}

#[test]
fn a_client_that_never_reads_is_closed_and_one_that_reads_is_not() {
    let patience = Duration::from_millis(200);
    let running = Running::of_patience(patience);
    let (mut silent, mut other) = (ask_for_much(&running), ask_for_much(&running));
    let length = page::FILES.iter().find(|file| file.path == "/world.json").unwrap().text.len();
    // The one reads on for far longer than the patience, in small steps.
    let begun = Instant::now();
    let mut part = vec![0; 100_000];
    let mut read = 0;
    while begun.elapsed() < Duration::from_millis(1_500) {
        read += other.read(&mut part).expect("a client that reads is not closed");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(read > 0 && read < 1_000 * length, "it has not read all of it: {read}");
    assert!(is_cut(&mut silent));
    running.is_live();
}

#[test]
fn the_length_of_an_answer_is_known_without_its_body() {
    let running = Running::start();
    let ask = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        running.send(&request).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
        (head.map(str::to_owned).collect::<Vec<_>>(), body.to_owned())
    };
    for path in ["/", "/health/live", "/api/v1/openapi.json"] {
        let ((head, nothing), (whole, body)) = (ask("HEAD", path), ask("GET", path));
        assert_eq!((head, nothing.as_str()), (whole, ""), "{path}");
        assert!(!body.is_empty());
    }
    assert!(ask("HEAD", "/api/v1/events").0[0].contains("405"));
}

#[test]
fn an_answer_that_is_not_read_is_closed_and_one_that_is_written_is_not() {
    let connections = Arc::new(Connections::of_patience(connection::STALL));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pair = || (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0);
    let (mut answered, there) = pair();
    let first = connections.add(there);
    let answering = first.answering();
    let others: Vec<_> = (0..connection::CONNECTIONS_MAX + 9).map(|_| pair()).collect();
    let (mut clients, guards): (Vec<_>, Vec<_>) =
        others.into_iter().map(|(client, there)| (client, connections.add(there))).unzip();
    let is_closed = |stream: &mut TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    assert!(!is_closed(&mut answered), "it is being answered");
    let closed = clients.iter_mut().map(is_closed).filter(|is_closed| *is_closed).count();
    assert_eq!(closed, 10, "the oldest of the others");
    assert!(clients[..10].iter_mut().all(is_closed));
    connections.close_stalled();
    assert!(!is_closed(&mut answered), "it has moved just now");
    connections.close_stalled_at(connection::STALL.as_millis() as u64 + 60_000);
    assert!(is_closed(&mut answered) && !is_closed(clients.last_mut().unwrap()));
    drop((answering, first, guards));
    assert_eq!(connections.count(), 0);
}
