//! The answers over HTTP, on loopback.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::stream;

use super::answer::{Answer, Delivery, Request, answer};
use super::control::{Clock, Control};
use super::script::Script;
use super::times::http_date;
use super::world::World;

/// The path for setting the time and reading the counts of requests.
const CONTROL: &str = "/control";
/// Time between two bytes of a body that drips.
const DRIP: Duration = Duration::from_secs(1);
/// Time from the last byte of a truncated body to the end of its connection.
const BEFORE_CUT: Duration = Duration::from_millis(100);
/// Longest body of a request, in bytes.
const BODY_MAX: usize = 1 << 20;

struct State {
    world: World,
    control: Mutex<Control>,
}

impl State {
    fn control(&self) -> MutexGuard<'_, Control> {
        // Changes are complete or not made, so a panic elsewhere leaves nothing half done.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server; it stops when this is dropped.
pub struct WeatherServer {
    handle: ServerHandle,
    state: Arc<State>,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Drop for WeatherServer {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl WeatherServer {
    /// Starts a server on the current actix System.
    ///
    /// # Errors
    /// The address is not loopback, or cannot be bound.
    pub fn start(listen: SocketAddr, world: World, script: Script, clock: Clock) -> std::io::Result<Self> {
        if !listen.ip().is_loopback() {
            let reason = format!("{listen} is not a loopback address: use 127.0.0.1 or [::1]");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, reason));
        }
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let control = Mutex::new(Control::new(world.seed(), clock, script));
        let shared = Arc::new(State { world, control });
        let state = web::Data::from(Arc::clone(&shared));
        let app = move || {
            App::new()
                .app_data(state.clone())
                .app_data(web::PayloadConfig::new(BODY_MAX))
                .route(CONTROL, web::get().to(show))
                .route(CONTROL, web::post().to(change))
                .default_service(web::to(serve))
        };
        let server =
            HttpServer::new(app).workers(1).shutdown_timeout(1).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        actix::spawn(server);
        Ok(Self { handle, state: shared, address })
    }

    /// Sets the clock, in seconds since 1970, and stops it there.
    pub fn set_time(&self, time: i64) {
        self.state.control().clock = Clock::new(time, 0.0);
    }

    /// Sets the faults.
    pub fn set_script(&self, script: Script) {
        self.state.control().script = script;
    }

    /// The answer of `GET /control`.
    pub fn control(&self) -> serde_json::Value {
        self.state.control().to_json()
    }
}

async fn show(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.control().to_json())
}

async fn change(state: web::Data<State>, body: web::Bytes) -> HttpResponse {
    let mut control = state.control();
    match control.change(&body) {
        Ok(()) => HttpResponse::Ok().json(control.to_json()),
        Err(reason) => HttpResponse::BadRequest().json(serde_json::json!({"error": reason})),
    }
}

async fn serve(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return HttpResponse::MethodNotAllowed().finish();
    }
    let asked = asked(&request);
    let (now, script) = {
        let control = state.control();
        (control.clock.now(), control.script.clone())
    };
    let (path, shared) = (asked.path.clone(), state.clone());
    // A year's file takes a moment; other requests do not wait for it.
    let answered = web::block(move || answer(&shared.world, &script, now, &asked)).await;
    let Ok(answer) = answered else { return HttpResponse::InternalServerError().finish() };
    state.control().count(&path, answer.status, now);
    respond(answer, now)
}

fn asked(request: &HttpRequest) -> Request {
    let header = |name: &str| {
        let value = request.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let accepts = header("accept-encoding").unwrap_or_default();
    let is_gzip = |coding: &str| coding.split(';').next().is_some_and(|name| name.trim() == "gzip");
    Request {
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        base: format!("http://{}", request.connection_info().host()),
        user_agent: header("user-agent"),
        if_none_match: header("if-none-match"),
        if_modified_since: header("if-modified-since"),
        accepts_gzip: accepts.split(',').any(is_gzip),
    }
}

fn respond(answer: Answer, now: i64) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for (name, value) in &answer.headers {
        response.insert_header((*name, value.as_str()));
    }
    response.insert_header(("date", http_date(now)));
    let body = web::Bytes::from(answer.body);
    let length = body.len() as u64;
    match answer.delivery {
        Delivery::Whole => response.body(body),
        // A stream that ends before its length makes the server close the connection at once, without sending the
        // rest: the pause lets the head and the part go out.
        Delivery::Cut(at) => {
            let part = stream::unfold(Some(body.slice(..at)), |part| async move {
                if let Some(part) = part {
                    return Some((Ok::<_, std::io::Error>(part), None));
                }
                tokio::time::sleep(BEFORE_CUT).await;
                None
            });
            response.no_chunking(length).body(SizedStream::new(length, Box::pin(part)))
        }
        Delivery::Drip => {
            let drops = stream::unfold((body, 0), |(body, at)| async move {
                if at >= body.len() {
                    return None;
                }
                tokio::time::sleep(DRIP).await;
                Some((Ok::<_, std::io::Error>(body.slice(at..=at)), (body, at + 1)))
            });
            response.no_chunking(length).body(SizedStream::new(length, Box::pin(drops)))
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
