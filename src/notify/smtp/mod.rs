//! A small SMTP client, strictly bounded.
//!
//! # Why frostline has its own
//!
//! The code that decides whether an alert counts as sent must be certain, and it is little code. The client of
//! lettre, which builds the mails, lacks two necessary properties:
//!
//! * *Every* exchange has a time limit: the name lookup, connecting, the greeting, each command, each part of a mail.
//!   The whole attempt has one too, so a server that answers a byte a second blocks nothing. The reason names the
//!   step.
//! * Nothing received unencrypted is trusted inside TLS. An attacker in between can append answers to the one to
//!   STARTTLS. A client that keeps them in its buffer takes them for answers of the server, including the 250 for a
//!   mail that never arrived. Here a [`wire::Wire`] in TLS begins with an empty buffer, and data received before a
//!   command was sent is an error at every step.
//!
//! # Connections
//!
//! A connection that has delivered a mail is kept for [`IDLE_MAX`], so a burst of mails logs in once per connection
//! and not once per mail. A connection that has failed in any way is never used again. The server may have closed a
//! kept one: if it fails before the mail is under way, a new one takes its place.

mod session;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use self::session::Session;
pub(super) use self::wire::{Answer, Failure, Step};
use self::wire::{Patience, Wire};
use crate::config::SecretText;

/// Limit of a whole attempt, as a multiple of one exchange, and an absolute limit.
const EXCHANGES_MAX: u32 = 4;
const ATTEMPT_MAX: Duration = Duration::from_secs(120);
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Mails per connection: servers limit them; 100 is Postfix' own limit as a client.
const MAILS_MAX: u32 = 100;

/// How a connection is secured.
pub(super) enum Secure {
    /// Not at all: to this machine only.
    Not,
    Starttls(TlsConnector, ServerName<'static>),
    Tls(TlsConnector, ServerName<'static>),
}

/// Credentials for the server.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: SecretText,
}

/// Sender and recipient.
pub(super) struct Envelope<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

/// A mail server.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secure: Secure,
    pub(super) login: Option<Login>,
    /// The name in EHLO.
    pub(super) hello: String,
    /// Time limit of one exchange.
    pub(super) timeout: Duration,
    pub(super) idle: Idle,
}

/// Idle connections, and since when they are idle.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Vec<(Session, Instant)>>>);

impl Idle {
    fn take(&self) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().map(|(session, _)| session)
    }

    /// Keeps a connection, and makes sure that it is closed eventually.
    fn keep(&self, session: Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
        let idle = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(IDLE_MAX).await;
            for session in idle.take_old() {
                session.quit().await;
            }
        });
    }

    fn take_old(&self) -> Vec<Session> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = kept.extract_if(.., |(_, since)| since.elapsed() >= IDLE_MAX);
        old.map(|(session, _)| session).collect()
    }
}

impl Server {
    /// Sends one mail.
    pub(super) async fn send(&self, envelope: &Envelope<'_>, mail: &[u8]) -> Result<Answer, Failure> {
        let attempt = (self.timeout * EXCHANGES_MAX).min(ATTEMPT_MAX);
        let patience = Patience { exchange: self.timeout, until: Instant::now() + attempt };
        if let Some(mut session) = self.idle.take()
            && session.is_alive().await
        {
            session.wire().patience = patience;
            match self.send_over(session, envelope, mail).await {
                // It was closed while idle, and no mail was under way.
                Err(Failure::Broken { step: Step::Sender, .. }) => {}
                Err(Failure::Answered { step: Step::Sender, answer, .. }) if answer.code == 421 => {}
                outcome => return outcome,
            }
        }
        let stream = self.connect(patience).await?;
        let wire = Wire::new(stream, patience);
        let session = Session::begin(wire, &self.secure, &self.hello, self.login.as_ref()).await?;
        self.send_over(session, envelope, mail).await
    }

    async fn send_over(
        &self,
        mut session: Session,
        envelope: &Envelope<'_>,
        mail: &[u8],
    ) -> Result<Answer, Failure> {
        let outcome = session.send(envelope, mail).await;
        match &outcome {
            Ok(_) if session.mails < MAILS_MAX => self.idle.keep(session),
            Ok(_) | Err(Failure::Answered { .. } | Failure::Unsendable(_)) => session.quit().await,
            // It is dropped: nothing more is read from it.
            Err(Failure::Silent { .. } | Failure::Broken { .. }) => {}
        }
        outcome
    }

    /// Connects to the first address that answers. All of them have a share of the time, and the mail has one too.
    async fn connect(&self, patience: Patience) -> Result<TcpStream, Failure> {
        let broken = |step, reason: String| Failure::Broken { step, reason };
        let lookup = async {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
            let found = found.map_err(|error| broken(Step::Lookup, error.to_string()))?;
            Ok(found.collect::<Vec<SocketAddr>>())
        };
        let mut addresses = patience.bound(Step::Lookup, lookup).await?;
        if matches!(self.secure, Secure::Not) {
            // The configuration has checked the name, but it may have another address today.
            addresses.retain(|address| address.ip().is_loopback());
        }
        let mut last = broken(Step::Lookup, "the host name has no address".into());
        let mut shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        for address in addresses {
            let share = patience.until.saturating_duration_since(Instant::now()) / shares.saturating_add(1);
            let patience = Patience { exchange: patience.exchange.min(share), ..patience };
            shares -= 1;
            let connecting = async {
                let stream = TcpStream::connect(address).await;
                stream.map_err(|error| broken(Step::Connect, error.to_string()))
            };
            match patience.bound(Step::Connect, connecting).await {
                Ok(stream) => {
                    // Commands are short, and wait for their answers.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;
