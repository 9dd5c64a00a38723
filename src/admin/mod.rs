//! HTTP for whoever operates the daemon: a page, health, metrics, and an API.
//!
//! | path | what |
//! |---|---|
//! | `/` | the page: map, pipeline, alerts, rules, dead letters, notifications |
//! | `/health/live` | 200 while the process answers |
//! | `/health/ready` | 200 when all partitions that it has are restored and move; 503 with the reasons otherwise |
//! | `/metrics` | Prometheus' text form |
//! | `/api/v1/…` | what the page shows, as JSON; described by `/api/v1/openapi.json` |
//!
//! Rules can be changed (`POST /api/v1/rules`, `DELETE /api/v1/rules/ID`) where there is a token, and nothing else can.
//!
//! It listens on loopback. On another address the API and metrics ask for a token, and on loopback requests must name it
//! as their host, so that no page in a browser reaches it under a name of its own. It has a thread of its own: neither
//! many requests nor slow ones are felt by the stages.

mod access;
mod api;
mod live;
mod metrics;
mod page;
mod state;
mod view;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, web};

use access::Access;
pub use metrics::Recorder;
use view::Shown;
pub use view::{ChangeRules, RuleChange, View};

/// Shorter tokens can be guessed.
pub const TOKEN_BYTES_MIN: usize = 32;
/// How long a slow client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// More connections wait until others have ended: files are for the stream first.
const CONNECTIONS_MAX: usize = 256;
/// Nothing but rules takes a body.
const BODY_BYTES_MAX: usize = 4_096;
const RULES_BYTES_MAX: usize = 4 << 20;

const OPENAPI: &str = include_str!("openapi.json");

/// The address, taken; requests wait until [`Admin::start`].
pub struct Listening {
    listener: TcpListener,
    token: Option<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Listening {
    /// Takes the address.
    ///
    /// # Errors
    /// Where the address cannot be listened on, or is not loopback and there is no token of [`TOKEN_BYTES_MIN`] bytes.
    pub fn at(listen: SocketAddr, token: Option<String>) -> Result<Self, String> {
        let is_strong = token.as_ref().is_some_and(|token| token.len() >= TOKEN_BYTES_MIN);
        if !listen.ip().is_loopback() && !is_strong {
            return Err(format!(
                "admin.listen = {listen} is open to others: set admin.token to at least {TOKEN_BYTES_MIN} bytes, as in \
                 \"${{file:/run/secrets/frostline-token}}\""
            ));
        }
        let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        Ok(Self { listener, token, address })
    }

    /// Whether it asks for a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}

/// A running server; it ends when this is dropped.
pub struct Admin {
    handle: ServerHandle,
    shown: Arc<Shown>,
    ticker: tokio::task::JoinHandle<()>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.ticker.abort();
        self.shown.live.end();
        drop(self.handle.stop(false));
    }
}

impl Admin {
    /// Starts the server on the current actix System.
    ///
    /// # Errors
    /// Where the server cannot be made.
    pub fn start(Listening { listener, token, address }: Listening, view: View) -> Result<Self, String> {
        let is_loopback = address.ip().is_loopback();
        let (shown, access) =
            (web::Data::new(Shown::new(view)), web::Data::new(Access { is_loopback, token }));
        let data = shown.clone();
        let server: Server = HttpServer::new(move || {
            let headers = DefaultHeaders::new()
                .add(("Content-Security-Policy", page::CONTENT_SECURITY_POLICY))
                .add(("X-Content-Type-Options", "nosniff"))
                .add(("Referrer-Policy", "no-referrer"))
                .add(("Cache-Control", "no-store"));
            App::new()
                .app_data(data.clone())
                .app_data(access.clone())
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .app_data(web::QueryConfig::default().error_handler(|error, _| api::bad_request(error)))
                .app_data(web::PathConfig::default().error_handler(|error, _| api::bad_request(error)))
                .wrap(from_fn(access::check))
                .wrap(headers)
                .configure(routes)
        })
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(REQUEST_TIMEOUT)
        .client_disconnect_timeout(REQUEST_TIMEOUT)
        .disable_signals()
        .listen(listener)
        .map_err(|error| error.to_string())?
        .run();
        let (handle, shown) = (server.handle(), shown.into_inner());
        actix::spawn(server);
        let ticker = actix::spawn(api::tick(Arc::clone(&shown)));
        Ok(Self { handle, shown, ticker, address })
    }
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/health/live", web::get().to(api::live))
        .route("/health/ready", web::get().to(api::ready))
        .route("/metrics", web::get().to(api::metrics))
        .service(
            web::scope("/api/v1")
                .route("/status", web::get().to(api::status))
                .route("/stages", web::get().to(api::stages))
                .route("/partitions", web::get().to(api::partitions))
                .route("/stations", web::get().to(api::stations))
                .route("/stations/{id}", web::get().to(api::station))
                .route("/stations/{id}/observations", web::get().to(api::observations))
                .route("/alerts", web::get().to(api::alerts))
                .service(
                    web::resource("/rules")
                        .app_data(web::PayloadConfig::new(RULES_BYTES_MAX))
                        .route(web::get().to(api::rules))
                        .route(web::post().to(api::apply_rules)),
                )
                .route("/rules/{id}", web::delete().to(api::remove_rule))
                .route("/dead-letters", web::get().to(api::dead_letters))
                .route("/deliveries", web::get().to(api::deliveries))
                .route("/processes", web::get().to(state::processes))
                .route("/state/{stage}/{key:.+}", web::get().to(state::state))
                .route("/events", web::get().to(api::events))
                .route("/openapi.json", web::get().to(openapi))
                .default_service(web::to(|| async {
                    api::not_found("there is no such request: see /api/v1/openapi.json")
                })),
        )
        .default_service(web::get().to(page::file));
}

async fn openapi() -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}
