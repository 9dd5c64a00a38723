//! A mail server for tests that plays what it is given, one script a connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("test-keys/server.pem");
const KEY: &[u8] = include_bytes!("test-keys/server.key");

/// What the server does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Says a line.
    Say(&'static str),
    /// Says bytes, and waits so many milliseconds after each.
    Drip(&'static str, u64),
    /// Says this without an end.
    Repeat(&'static str),
    /// Reads a line, which begins so.
    Hear(&'static str),
    /// Hears a line and answers it.
    On(&'static str, &'static str),
    /// Reads up to the dot.
    HearMail,
    /// Reads a request of HTTP with its body.
    HearRequest,
    /// Speaks TLS from now on.
    Tls,
    /// Speaks TLS with another certificate.
    TlsWith(&'static [u8]),
    Wait(u64),
    /// Does nothing more, and keeps the connection.
    Hang,
}

/// The server. It is gone with its runtime.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

impl Scripted {
    /// After the last script connections are refused.
    pub(crate) async fn start(scripts: Vec<Vec<Act>>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), heard: Arc::default() };
        let heard = Arc::clone(&server.heard);
        tokio::spawn(async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let heard = Arc::clone(&heard);
                // A client that hangs up ends the script.
                tokio::spawn(async move { play(Box::new(stream), &script, &heard).await.ok() });
            }
        });
        server
    }

    /// All lines, mails and bodies that were heard.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(beginning)).count()
    }
}

async fn play(stream: Box<dyn Both>, script: &[Act], heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    for act in script {
        match act {
            Act::Say(text) => stream.write_all(format!("{text}\r\n").as_bytes()).await?,
            Act::Drip(text, ms) => {
                for byte in text.bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(*ms)).await;
                }
            }
            Act::Repeat(text) => loop {
                stream.write_all(text.as_bytes()).await?;
                tokio::task::yield_now().await;
            },
            Act::Hear(beginning) => hear(&mut stream, beginning, heard).await?,
            Act::On(beginning, answer) => {
                hear(&mut stream, beginning, heard).await?;
                stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
            }
            Act::HearMail => {
                let mut mail = String::new();
                loop {
                    match read_line(&mut stream).await?.as_str() {
                        "." => break,
                        line => mail.extend([line, "\n"]),
                    }
                }
                heard.lock().unwrap().push(mail);
            }
            Act::HearRequest => {
                let mut length = 0;
                loop {
                    let line = read_line(&mut stream).await?.to_ascii_lowercase();
                    match line.split_once(": ") {
                        Some(("content-length", value)) => length = value.parse().unwrap(),
                        _ if line.is_empty() => break,
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await?;
                heard.lock().unwrap().push(String::from_utf8(body).unwrap());
            }
            Act::Tls => stream = in_tls(stream, CERTIFICATE).await?,
            Act::TlsWith(certificate) => stream = in_tls(stream, certificate).await?,
            Act::Wait(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Act::Hang => std::future::pending().await,
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn in_tls(
    stream: BufReader<Box<dyn Both>>,
    certificate: &[u8],
) -> std::io::Result<BufReader<Box<dyn Both>>> {
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    // By a resolver, since certificates that are not acceptable are refused otherwise.
    let key = CertifiedKey::new(chain, rustls::crypto::ring::sign::any_supported_type(&key).unwrap());
    let resolver = Arc::new(SingleCertAndKey::from(key));
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
    let tls = TlsAcceptor::from(Arc::new(config)).accept(stream.into_inner()).await?;
    Ok(BufReader::new(Box::new(tls)))
}

async fn read_line(stream: &mut BufReader<Box<dyn Both>>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn hear(
    stream: &mut BufReader<Box<dyn Both>>,
    beginning: &str,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let line = read_line(stream).await?;
    heard.lock().unwrap().push(line.clone());
    assert!(line.starts_with(beginning), "expected {beginning}, heard {line}");
    Ok(())
}
