//! HTTP for whoever operates the daemon: health, metrics, and what each stage and partition is doing.
//!
//! | path | what |
//! |---|---|
//! | `/health/live` | 200 while the process answers |
//! | `/health/ready` | 200 when all partitions that it has are restored and move; 503 with the reasons otherwise |
//! | `/metrics` | Prometheus' text form |
//! | `/api/v1/stages` | what each stage has done |
//! | `/api/v1/partitions` | where each partition stands: phase, worker, offsets, lag |
//!
//! It listens on loopback. On another address everything but health asks for a token, and on loopback requests must name
//! it as their host, so that no page in a browser reaches it under a name of its own.

mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::json;

pub use metrics::Recorder;

use crate::runtime::{Board, Phase, Totals};
use crate::stages::StageName;

/// Shorter tokens can be guessed.
pub const TOKEN_BYTES_MIN: usize = 32;
/// How long a slow client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What is shown.
pub struct View {
    /// The stages of this process.
    pub stages: Vec<StageName>,
    /// What they have done.
    pub totals: Arc<Totals>,
    /// Where each task stands.
    pub board: Arc<Board>,
    /// After how long without a turn a task counts as hanging.
    pub stall_timeout: Duration,
    /// Where metrics are gathered.
    pub recorder: Recorder,
}

/// A running server; it ends when this is dropped.
pub struct Admin {
    handle: ServerHandle,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Who may ask.
struct Access {
    is_loopback: bool,
    token: Option<String>,
}

impl Admin {
    /// Starts the server on the current actix System.
    ///
    /// # Errors
    /// Where the address cannot be listened on, or is not loopback and there is no token of [`TOKEN_BYTES_MIN`] bytes.
    pub fn start(listen: SocketAddr, token: Option<String>, view: View) -> Result<Self, String> {
        let is_loopback = listen.ip().is_loopback();
        let is_strong = token.as_ref().is_some_and(|token| token.len() >= TOKEN_BYTES_MIN);
        if !is_loopback && !is_strong {
            return Err(format!(
                "admin.listen = {listen} is open to others: set admin.token to at least {TOKEN_BYTES_MIN} bytes, as in \
                 \"${{file:/run/secrets/frostline-token}}\""
            ));
        }
        let listener = TcpListener::bind(listen).map_err(|error| format!("{listen}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (view, access) = (web::Data::new(view), web::Data::new(Access { is_loopback, token }));
        let server: Server = HttpServer::new(move || {
            App::new()
                .app_data(view.clone())
                .app_data(access.clone())
                .route("/health/live", web::get().to(live))
                .route("/health/ready", web::get().to(ready))
                .route("/metrics", web::get().to(metrics_text))
                .route("/api/v1/stages", web::get().to(stages))
                .route("/api/v1/partitions", web::get().to(partitions))
        })
        .workers(1)
        .client_request_timeout(REQUEST_TIMEOUT)
        .disable_signals()
        .listen(listener)
        .map_err(|error| error.to_string())?
        .run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self { handle, address })
    }
}

impl Access {
    /// Why a request is refused, if it is.
    fn refusal(&self, headers: &HeaderMap, asks_token: bool) -> Option<HttpResponse> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.is_loopback && !text(HOST).is_some_and(is_loopback_name) {
            return Some(HttpResponse::Forbidden().body("ask by 127.0.0.1, [::1] or localhost\n"));
        }
        let token = self.token.as_ref().filter(|_| asks_token)?;
        let given = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let is_right = given.is_some_and(|given| is_same(given.as_bytes(), token.as_bytes()));
        (!is_right)
            .then(|| HttpResponse::Unauthorized().body("expected Authorization: Bearer and the token\n"))
    }
}

/// Whether a Host header names this machine itself.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]" | "localhost")
}

/// Compares in a time that does not depend on where they differ.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r)) == 0
}

async fn live(request: HttpRequest, access: web::Data<Access>) -> HttpResponse {
    let refused = access.refusal(request.headers(), false);
    refused.unwrap_or_else(|| HttpResponse::Ok().json(json!({ "status": "live" })))
}

async fn ready(request: HttpRequest, access: web::Data<Access>, view: web::Data<View>) -> HttpResponse {
    if let Some(refused) = access.refusal(request.headers(), false) {
        return refused;
    }
    let tasks = view.board.snapshot();
    let mut reasons = Vec::new();
    let restoring = tasks.iter().filter(|task| task.phase == Phase::Restoring).count();
    if restoring > 0 {
        reasons.push(format!("{restoring} partitions are being restored"));
    }
    for task in tasks.iter().filter(|task| task.silent_for > view.stall_timeout) {
        reasons.push(format!("stage {} has not moved in partition {}", task.stage, task.partition));
    }
    let status = if reasons.is_empty() { "ready" } else { "not ready" };
    let body = json!({ "status": status, "partitions": tasks.len(), "reasons": reasons });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

async fn metrics_text(
    request: HttpRequest,
    access: web::Data<Access>,
    view: web::Data<View>,
) -> HttpResponse {
    if let Some(refused) = access.refusal(request.headers(), true) {
        return refused;
    }
    let text = view.recorder.render(&view.board.snapshot());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

async fn stages(request: HttpRequest, access: web::Data<Access>, view: web::Data<View>) -> HttpResponse {
    if let Some(refused) = access.refusal(request.headers(), true) {
        return refused;
    }
    let of = |stage: &StageName| json!({ "stage": stage, "counts": view.totals.of(*stage) });
    HttpResponse::Ok().json(view.stages.iter().map(of).collect::<Vec<_>>())
}

async fn partitions(request: HttpRequest, access: web::Data<Access>, view: web::Data<View>) -> HttpResponse {
    if let Some(refused) = access.refusal(request.headers(), true) {
        return refused;
    }
    HttpResponse::Ok().json(view.board.snapshot())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_named() {
        for good in ["127.0.0.1:8080", "localhost", "localhost:1", "[::1]:8080", "[::1]"] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in ["", "evil.example", "127.0.0.1.evil.example:8080", "localhost.evil:80", "::1"] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"abc", b"ab") && !is_same(b"", b"a"));
    }
}
