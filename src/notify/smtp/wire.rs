//! Commands and answers over a stream. Each exchange is bounded in time, and each answer in lines and bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::outbound::explained;

/// Longest line of an answer. RFC 5321 allows 512 bytes; some servers send more.
const LINE_BYTES_MAX: usize = 4_096;
/// Longest answer with all its lines: an EHLO answer has about 500 bytes.
const ANSWER_BYTES_MAX: usize = 32_768;
/// A mail is written in parts, each with its own time limit: on a slow line the whole may take long.
const PART_BYTES: usize = 16_384;
/// How long QUIT may take. Nothing depends on it.
const QUIT_TIMEOUT: Duration = Duration::from_millis(500);

/// The steps of an attempt, as named in reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Lookup,
    Connect,
    /// The greeting of a connection without TLS.
    Greeting,
    GreetingInTls,
    Hello,
    Starttls,
    Handshake,
    Login,
    Sender,
    Recipient,
    Data,
    Mail,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lookup => "the lookup of its name",
            Self::Connect => "the TCP connection",
            Self::Greeting | Self::GreetingInTls => "the greeting",
            Self::Hello => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::Login => "AUTH",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
            Self::Mail => "the mail itself",
        })
    }
}

/// Why a mail was not accepted.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server did nothing within the time limit.
    Silent { step: Step, waited: Duration },
    /// The connection broke, or the data is not SMTP.
    Broken { step: Step, reason: String },
    /// The server answered with an error.
    Answered { step: Step, answer: Answer, is_extended: bool },
    /// This mail cannot be sent in a form that this server accepts.
    Unsendable(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { step, waited } => {
                let seconds = waited.as_millis().div_ceil(100) as f64 / 10.0;
                write!(f, "the mail server fell silent at {step}: no complete answer within {seconds} s")?;
                match step {
                    Step::Greeting => f.write_str(
                        "; a server that expects TLS from the start needs notify.email.tls = \"tls\"",
                    ),
                    Step::Handshake => f.write_str("; check that this port is for TLS"),
                    _ => Ok(()),
                }
            }
            Self::Broken { step, reason } => write!(f, "{step}: {reason}"),
            Self::Answered { step, answer, .. } => write!(f, "{answer} (the answer to {step})"),
            Self::Unsendable(reason) => f.write_str(reason),
        }
    }
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) lines: Vec<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" "))
    }
}

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Limit of one exchange.
    pub(crate) exchange: Duration,
    /// When the whole attempt ends.
    pub(crate) until: Instant,
}

impl Patience {
    /// Runs a step within the time limit of one exchange.
    pub(crate) async fn bound<T>(
        self,
        step: Step,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let end = (Instant::now() + self.exchange).min(self.until);
        Self::bound_until(end, step, work).await
    }

    async fn bound_until<T>(
        end: Instant,
        step: Step,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let waited = end.saturating_duration_since(Instant::now());
        timeout_at(end, work).await.unwrap_or(Err(Failure::Silent { step, waited }))
    }
}

/// TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection; see the module's description.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    /// Received but not read yet. Nothing is sent while this is not empty: an answer that arrives before its command
    /// is a fault of the server, or the work of an attacker.
    buffer: Vec<u8>,
    pub(crate) patience: Patience,
}

impl Wire {
    pub(crate) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        patience: Patience,
    ) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), patience }
    }

    /// Sends a line and reads the answer.
    pub(crate) async fn exchange(&mut self, step: Step, command: &str) -> Result<Answer, Failure> {
        self.check_empty(step)?;
        let patience = self.patience;
        let work = async {
            self.write(step, format!("{command}\r\n").as_bytes()).await?;
            self.read_answer(step).await
        };
        patience.bound(step, work).await
    }

    /// Reads the greeting, which answers no command.
    pub(crate) async fn listen(&mut self, step: Step) -> Result<Answer, Failure> {
        self.patience.bound(step, self.read_answer(step)).await
    }

    /// Sends a whole mail and reads the answer. The answer may take the rest of the attempt's time: many servers
    /// check for viruses first, and a mail that is given up too early arrives twice.
    pub(crate) async fn send_mail(&mut self, mail: &[u8]) -> Result<Answer, Failure> {
        let step = Step::Mail;
        self.check_empty(step)?;
        let patience = self.patience;
        for part in escaped(mail).chunks(PART_BYTES) {
            patience.bound(step, self.write(step, part)).await?;
        }
        Patience::bound_until(patience.until, step, self.read_answer(step)).await
    }

    /// Switches to TLS. Data received unencrypted is dropped.
    pub(crate) async fn secured(
        self,
        tls: &TlsConnector,
        name: &ServerName<'static>,
    ) -> Result<Self, Failure> {
        let step = Step::Handshake;
        self.check_empty(step)?;
        let (patience, stream) = (self.patience, self.stream);
        let handshake = async {
            tls.connect(name.clone(), stream).await.map_err(|error| {
                let reason = explained(&error).unwrap_or_else(|| error.to_string());
                Failure::Broken { step, reason }
            })
        };
        Ok(Self::new(patience.bound(step, handshake).await?, patience))
    }

    /// Whether the server has neither sent unexpected data nor closed the connection, as it may after an idle time.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let stream = &mut self.stream;
        let is_pending = std::future::poll_fn(|context| {
            let mut byte = ReadBuf::new(&mut byte);
            Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut byte).is_pending())
        });
        self.buffer.is_empty() && is_pending.await
    }

    /// Sends QUIT if that is quickly done.
    pub(crate) async fn quit(mut self) {
        let _ = tokio::time::timeout(QUIT_TIMEOUT, self.write(Step::Mail, b"QUIT\r\n")).await;
    }

    fn check_empty(&self, step: Step) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let reason =
            "the server sent data before it was asked, which an attacker in between may have inserted";
        Err(Failure::Broken { step, reason: reason.into() })
    }

    async fn write(&mut self, step: Step, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(bytes).await.map_err(|error| broken(step, &error))?;
        self.stream.flush().await.map_err(|error| broken(step, &error))
    }

    async fn read_answer(&mut self, step: Step) -> Result<Answer, Failure> {
        let (mut bytes, mut answer) = (0, None::<Answer>);
        loop {
            let line = self.read_line(step).await?;
            bytes += line.len();
            let wrong = |what: &str| Failure::Broken { step, reason: format!("the server's answer {what}") };
            if bytes > ANSWER_BYTES_MAX {
                return Err(wrong(&format!("is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            let (code, is_last, text) = parsed(&line).ok_or_else(|| wrong("is not SMTP"))?;
            let answer = answer.get_or_insert_with(|| Answer { code, lines: Vec::new() });
            if answer.code != code {
                return Err(wrong("has two codes"));
            }
            answer.lines.push(text);
            if is_last {
                return Ok(answer.clone());
            }
        }
    }

    /// The next line, without its end.
    async fn read_line(&mut self, step: Step) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                let reason = format!("the server's answer has a line of more than {LINE_BYTES_MAX} bytes");
                return Err(Failure::Broken { step, reason });
            }
            let mut part = [0; 1_024];
            match self.stream.read(&mut part).await.map_err(|error| broken(step, &error))? {
                0 => return Err(Failure::Broken { step, reason: "the server closed the connection".into() }),
                count => self.buffer.extend_from_slice(&part[..count]),
            }
        }
    }
}

fn broken(step: Step, error: &io::Error) -> Failure {
    let reason = explained(error).unwrap_or_else(|| error.to_string());
    Failure::Broken { step, reason }
}

/// Code, whether it is the last line, and text.
fn parsed(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(code).ok()?.parse().ok().filter(|code| (200..600).contains(code))?;
    let is_last = match rest.first() {
        Some(b'-') => false,
        Some(b' ') | None => true,
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
    Some((code, is_last, text.trim().to_owned()))
}

/// A mail in SMTP's form: each line ends with CR LF, a dot at the start of a line is doubled, and a line with only a
/// dot ends the mail. A lone CR or LF becomes a line end, so servers that read them differently cannot take one mail
/// for two.
fn escaped(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 32 + 5);
    let (mut is_line_start, mut bytes) = (true, mail.iter().copied().peekable());
    while let Some(byte) = bytes.next() {
        if matches!(byte, b'\r' | b'\n') {
            if byte == b'\r' {
                bytes.next_if_eq(&b'\n');
            }
            out.extend_from_slice(b"\r\n");
            is_line_start = true;
            continue;
        }
        if is_line_start && byte == b'.' {
            out.push(b'.');
        }
        is_line_start = false;
        out.push(byte);
    }
    if !is_line_start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_cannot_end_early() {
        let on_the_wire = |mail: &str| String::from_utf8(escaped(mail.as_bytes())).unwrap();
        assert_eq!(on_the_wire("a\r\n.\r\nb"), "a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(on_the_wire("a\n.\n.b\r\n"), "a\r\n..\r\n..b\r\n.\r\n");
        assert_eq!(on_the_wire("a\r.\rb"), "a\r\n..\r\nb\r\n.\r\n");
        assert_eq!(on_the_wire(".a"), "..a\r\n.\r\n");
    }

    #[test]
    fn only_answers_are_taken_for_answers() {
        assert_eq!(parsed(b"250-SIZE 10"), Some((250, false, "SIZE 10".into())));
        assert_eq!(parsed(b"354"), Some((354, true, String::new())));
        for line in ["25", "abc def", "099 x", "600 x", "250_x", "+25 x"] {
            assert_eq!(parsed(line.as_bytes()), None, "{line}");
        }
    }
}
