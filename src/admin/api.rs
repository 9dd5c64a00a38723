//! The requests of the API.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::live::List;
use super::view::{RuleChange, Shown};
use crate::noaa::StationId;

/// Elements of a list, where nobody asks for another number.
const LIMIT: usize = 100;
/// Most elements of a list.
const LIMIT_MAX: usize = 500;
/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

type State = web::Data<Shown>;

/// How much of a list is wanted.
#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
}

pub(super) fn not_found(reason: &str) -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": reason }))
}

/// What is wrong with a request, in the form of all answers.
pub(super) fn bad_request(error: impl std::fmt::Display) -> actix_web::Error {
    let reason = error.to_string();
    let answer = HttpResponse::BadRequest().json(json!({ "error": reason }));
    actix_web::error::InternalError::from_response(reason, answer).into()
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

pub(super) async fn ready(shown: State) -> HttpResponse {
    let (reasons, partitions) = (shown.reasons(), shown.view.board.snapshot().len());
    let status = if reasons.is_empty() { "ready" } else { "not ready" };
    let body = json!({ "status": status, "partitions": partitions, "reasons": reasons });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

pub(super) async fn metrics(shown: State) -> HttpResponse {
    let state_bytes = (shown.view.state_bytes)();
    let text =
        shown.view.recorder.render(&shown.view.board.snapshot(), shown.reasons().is_empty(), state_bytes);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

pub(super) async fn status(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.status())
}

pub(super) async fn stages(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.stages())
}

pub(super) async fn partitions(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.partitions())
}

/// The map is megabytes, so it is made beside the event loop, and packed for whoever takes that.
pub(super) async fn stations(request: HttpRequest, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    let accepts = request.headers().get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let packs = accepts.is_some_and(|accepts| accepts.contains("gzip"));
    let made = web::block(move || {
        let text = shown.stations().to_string();
        if packs { gzip(text.as_bytes()) } else { Ok(text.into_bytes()) }
    })
    .await;
    let Ok(Ok(bytes)) = made else { return HttpResponse::InternalServerError().finish() };
    let mut response = HttpResponse::Ok();
    response.content_type("application/json").insert_header((VARY, "Accept-Encoding"));
    if packs {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    response.body(bytes)
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

pub(super) async fn station(id: web::Path<String>, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    match StationId::parse(id.as_bytes()).and_then(|id| shown.station(id)) {
        Some(station) => HttpResponse::Ok().json(station),
        None => not_found("no such station: neither in the station table nor in the newest observations"),
    }
}

pub(super) async fn observations(id: web::Path<String>, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    match StationId::parse(id.as_bytes()) {
        Some(id) => HttpResponse::Ok().json(shown.observations(id)),
        None => not_found("expected a GHCN-Daily id of 11 characters, as in USW00003192"),
    }
}

pub(super) async fn alerts(page: web::Query<Page>, shown: State) -> HttpResponse {
    list(List::Alerts, &page, &shown).await
}

pub(super) async fn dead_letters(page: web::Query<Page>, shown: State) -> HttpResponse {
    list(List::DeadLetters, &page, &shown).await
}

pub(super) async fn deliveries(page: web::Query<Page>, shown: State) -> HttpResponse {
    list(List::Deliveries, &page, &shown).await
}

async fn list(list: List, page: &Page, shown: &State) -> HttpResponse {
    shown.live.look_and_read().await;
    let elements = shown.live.newest(list, page.limit.unwrap_or(LIMIT).min(LIMIT_MAX));
    let elements: Vec<&str> = elements.iter().map(|element| &**element).collect();
    HttpResponse::Ok().content_type("application/json").body(format!("[{}]", elements.join(",")))
}

pub(super) async fn rules(shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    HttpResponse::Ok().json(shown.rules())
}

/// Publishes a rule file.
pub(super) async fn apply_rules(body: web::Bytes, shown: State) -> HttpResponse {
    match String::from_utf8(body.into()) {
        Ok(text) => change(RuleChange::Apply(text), shown).await,
        Err(_) => HttpResponse::BadRequest().json(json!({ "error": "expected a rule file in UTF-8" })),
    }
}

/// Removes a published rule.
pub(super) async fn remove_rule(id: web::Path<String>, shown: State) -> HttpResponse {
    change(RuleChange::Remove(id.into_inner()), shown).await
}

async fn change(change: RuleChange, shown: State) -> HttpResponse {
    let Some(change_rules) = shown.view.change_rules.clone() else {
        let reason =
            "rules are changed over HTTP only where admin.token is set, or with `frostline rules apply`";
        return HttpResponse::Forbidden().json(json!({ "error": reason }));
    };
    match web::block(move || change_rules(change)).await {
        Ok(Ok(changed)) => HttpResponse::Ok().json(changed),
        Ok(Err((status, reason))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            HttpResponse::build(status).json(reason)
        }
        Err(_) => HttpResponse::InternalServerError().json(json!({ "error": "it was cut short" })),
    }
}

/// Server-sent events, until the reader goes.
pub(super) async fn events(shown: State) -> HttpResponse {
    shown.live.look();
    let receiver = shown.live.subscribe();
    let first = web::Bytes::from(message("stages", &shown.stages().to_string()));
    let stream = futures_util::stream::unfold((receiver, Some(first)), |(mut receiver, first)| async {
        let bytes = match first {
            Some(first) => first,
            None => match tokio::time::timeout(HEARTBEAT, receiver.recv()).await {
                Ok(Ok((name, data))) => message(name, &data).into(),
                Ok(Err(RecvError::Lagged(missed))) => {
                    message("gap", &json!({ "missed": missed }).to_string()).into()
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => web::Bytes::from_static(b": still here\n\n"),
            },
        };
        Some((Ok::<_, actix_web::Error>(bytes), (receiver, None)))
    });
    HttpResponse::Ok().content_type("text/event-stream").streaming(stream)
}

fn message(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// Tells those who read the stream, once a second, how far the stages are and what has changed on the map.
pub(super) async fn tick(shown: Arc<Shown>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        shown.measure();
        shown.live.rest();
        if !shown.live.is_read() {
            continue;
        }
        shown.live.tell("stages", &shown.stages());
        let changed = shown.live.recent.take_changed();
        if !changed.is_empty() {
            let rows: Vec<Value> =
                changed.iter().map(|s| json!([s.id, s.date.to_string(), s.tmin])).collect();
            shown.live.tell("observations", &Value::from(rows));
        }
    }
}
