//! HTTP for operators of the daemon: a page, health, metrics, and an API.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page: map, tonight, pipeline, alerts, rules, dead letters, notifications |
//! | `/health/live` | 200 while the process answers |
//! | `/health/ready` | 200 if all partitions of the process are restored and move; 503 with the reasons otherwise |
//! | `/metrics` | Prometheus' text form |
//! | `/api/v1/…` | the content of the page as JSON; described by `/api/v1/openapi.json` |
//! | `/api/v1/alerts.atom`, `/api/v1/alerts/….cap` | alerts as an Atom feed and as messages of CAP |
//!
//! Only rules can be changed (`POST /api/v1/rules`, `DELETE /api/v1/rules/ID`), and only if a token is set.
//!
//! The server listens on loopback. On another address the API and metrics require a token. On loopback requests must
//! name it as their host, so that no page in a browser can reach it under another name. Requests from pages of other
//! sites are always refused. The server has its own thread, so many or slow requests do not slow the stages down, and
//! health answers even when all other limits are reached.

mod access;
mod addresses;
mod api;
mod atom;
mod bulletin;
mod cap;
mod connection;
mod gate;
mod head;
mod limit;
mod lists;
mod live;
mod metric_list;
mod metrics;
mod outlooks;
mod page;
mod query;
mod routes;
mod score;
mod scores;
mod search;
mod shorten;
mod standing;
mod state;
mod view;
mod while_asked;
mod xml;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::web;
use tokio::net::TcpStream;

use access::Access;
use connection::Connections;
use gate::Gate;
use limit::Limits;
pub use metric_list::{METRICS, Metric, MetricKind};
pub use metrics::Recorder;
use view::Shown;
pub use view::{ChangeRules, RuleChange, View};

use crate::config::SecretText;

/// Shorter tokens can be guessed.
pub const TOKEN_BYTES_MIN: usize = 32;
/// How long a slow client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound address; requests wait until [`Admin::start`].
pub struct Listening {
    listener: TcpListener,
    token: Option<SecretText>,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Listening {
    /// Binds the address.
    ///
    /// # Errors
    /// The address cannot be bound, or is not loopback and there is no token of [`TOKEN_BYTES_MIN`] bytes.
    pub fn at(listen: SocketAddr, token: Option<SecretText>) -> Result<Self, String> {
        check_token(listen, token.as_ref())?;
        let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        Ok(Self { listener, token, address })
    }

    /// Whether it requires a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}

/// Checks that an address that others can reach has a token of at least [`TOKEN_BYTES_MIN`] bytes.
///
/// # Errors
/// It has none, in a sentence.
pub fn check_token(listen: SocketAddr, token: Option<&SecretText>) -> Result<(), String> {
    let is_strong = token.is_some_and(|token| token.len() >= TOKEN_BYTES_MIN);
    if listen.ip().is_loopback() || is_strong {
        return Ok(());
    }
    Err(format!(
        "admin.listen = {listen} is reachable by others: set admin.token to at least {TOKEN_BYTES_MIN} bytes, for example \
         \"${{file:/run/secrets/frostline-token}}\""
    ))
}

/// A running server; it stops when this is dropped.
pub struct Admin {
    handle: ServerHandle,
    shown: Arc<Shown>,
    ticker: tokio::task::JoinHandle<()>,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.ticker.abort();
        self.shown.live.end();
        self.shown.scores.reading.end();
        drop(self.handle.stop(false));
    }
}

impl Admin {
    /// Starts the server on the current actix System.
    ///
    /// # Errors
    /// The server cannot be created.
    pub fn start(Listening { listener, token, address }: Listening, view: View) -> Result<Self, String> {
        let is_loopback = address.ip().is_loopback();
        let (shown, access) =
            (web::Data::new(Shown::new(view)), web::Data::new(Access { is_loopback, token }));
        let connections = Arc::new(Connections::of_patience(connection::STALL));
        let server = serve(listener, shown.clone(), access, Arc::clone(&connections));
        let server = server.map_err(|error| error.to_string())?;
        let (handle, shown) = (server.handle(), shown.into_inner());
        actix::spawn(server);
        let ticker = actix::spawn(api::tick(Arc::clone(&shown), connections));
        Ok(Self { handle, shown, ticker, address })
    }
}

/// The server, not yet running.
fn serve(
    listener: TcpListener,
    shown: web::Data<Shown>,
    access: web::Data<Access>,
    connections: Arc<Connections>,
) -> std::io::Result<Server> {
    let limits = web::Data::new(Limits::default());
    let service = move || {
        let connections = Arc::clone(&connections);
        // In its own task, so that each is read once before the next one may close it.
        let gate = fn_service(move |stream: TcpStream| {
            let connections = Arc::clone(&connections);
            async move { behind_gate(&connections, stream) }
        });
        let app = routes::app(shown.clone(), access.clone(), limits.clone()).into_factory();
        let http = HttpService::build()
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(REQUEST_TIMEOUT)
            .on_connect_ext(|stream: &Gate, data| drop(data.insert(Arc::clone(stream.guard()))))
            .finish(map_config(app.map_err(|error| error.error_response()), |()| AppConfig::default()));
        gate.and_then(http)
    };
    let server = Server::build()
        .workers(1)
        .max_concurrent_connections(connection::CONNECTIONS_MAX + connection::CONNECTIONS_RESERVE)
        .disable_signals()
        .listen("frostline-admin", listener, service)?
        .run();
    Ok(server)
}

/// What the HTTP service takes: a stream, its protocol, and the address of the client.
fn behind_gate(
    connections: &Arc<Connections>,
    stream: TcpStream,
) -> Result<(Gate, Protocol, Option<SocketAddr>), DispatchError> {
    let guard = connections.accept(&stream).map_err(DispatchError::Io)?;
    let client = stream.peer_addr().ok();
    Ok((Gate::new(stream, guard), Protocol::Http1, client))
}

#[cfg(test)]
mod tests;
