//! The requests of the API.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodyStream, SizedStream, to_bytes_limited};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AcceptEncoding, CONTENT_ENCODING, Encoding, Header as _, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::access::NO_CHANGES;
use super::connection::{Connections, Guard};
use super::limit::{self, Limits};
use super::lists::List;
use super::query::{Page, not_found};
use super::view::{RuleChange, Shown};
use crate::noaa::{RecentStation, StationId};
use crate::publishing::{PublishError, mistake_json};

/// Default number of elements of a list.
pub(super) const LIMIT: usize = 100;
/// Most elements of a list.
pub(super) const LIMIT_MAX: usize = 500;
/// How long a rule file may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const RULES_BYTES_MAX: usize = 4 << 20;
/// Most stations in one event; the others come with the next.
const EVENT_ROWS_MAX: usize = 5_000;
/// How often a stream without events sends a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) const OPENAPI: &str = include_str!("openapi.json");

pub(super) type State = web::Data<Shown>;

/// The description of the API.
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}

pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "live" }))
}

pub(super) async fn ready(shown: State) -> HttpResponse {
    let (reasons, partitions) = (shown.reasons(), shown.view.board.snapshot().len());
    let status = if reasons.is_empty() { "ready" } else { "not ready" };
    // Another process could not do better with a service that is late: it is shown, but is no reason.
    let sources: Vec<Value> = shown.sources().as_array().into_iter().flatten().map(brief).collect();
    let body = json!({ "status": status, "partitions": partitions, "reasons": reasons, "sources": sources });
    if reasons.is_empty() {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}

fn brief(source: &Value) -> Value {
    let of = |name: &str| source[name].clone();
    json!({ "source": of("source"), "phase": of("phase"), "age_seconds": of("age_seconds"), "is_late": of("is_late") })
}

pub(super) async fn metrics(shown: State) -> HttpResponse {
    let state_bytes = (shown.view.state_bytes)();
    let text = shown.view.recorder.render(
        &shown.view.board.snapshot(),
        &shown.view.sources.snapshot(),
        shown.reasons().is_empty(),
        state_bytes,
    );
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

pub(super) async fn status(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.status())
}

pub(super) async fn stages(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.stages())
}

pub(super) async fn sources(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.sources())
}

pub(super) async fn partitions(shown: State) -> HttpResponse {
    HttpResponse::Ok().json(shown.partitions())
}

/// The map has megabytes.
pub(super) async fn stations(request: HttpRequest, shown: State, limits: web::Data<Limits>) -> HttpResponse {
    shown.live.look_and_read_all().await;
    large(&request, &limits, move || shown.stations()).await
}

/// Makes an expensive answer on another thread, a few at the same time, and compresses it if the client accepts that.
pub(super) async fn large(
    request: &HttpRequest,
    limits: &Limits,
    make: impl FnOnce() -> Value + Send + 'static,
) -> HttpResponse {
    let packs = accepts_gzip(request);
    let permit = limits.map().await;
    let made = web::block(move || {
        let text = make().to_string();
        drop(permit);
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

fn accepts_gzip(request: &HttpRequest) -> bool {
    let known = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .is_ok_and(|accepted| accepted.negotiate(known.iter()) == Some(Encoding::gzip()))
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
        None => not_found("no such station in the station table or the newest observations"),
    }
}

pub(super) async fn observations(id: web::Path<String>, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    match StationId::parse(id.as_bytes()) {
        Some(id) => HttpResponse::Ok().json(shown.observations(id)),
        None => not_found("expected a GHCN-Daily id of 11 characters, such as USW00003192"),
    }
}

/// The stations with standing alerts, without the rest of the map: an alert may end without an event.
pub(super) async fn standing(request: HttpRequest, shown: State, limits: web::Data<Limits>) -> HttpResponse {
    shown.live.look_and_read().await;
    large(&request, &limits, move || json!({ "stations": shown.standing_stations() })).await
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
    written(shown.live.newest(list, page.limit.unwrap_or(LIMIT).min(LIMIT_MAX)))
}

/// The elements are written one by one from where they are kept, so an answer needs no memory of its own.
fn written(elements: Vec<Arc<str>>) -> HttpResponse {
    struct Shared(Arc<str>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let mut parts = Vec::with_capacity(2 * elements.len() + 1);
    for (place, element) in elements.into_iter().enumerate() {
        parts.push(web::Bytes::from_static(if place == 0 { b"[" } else { b"," }));
        parts.push(web::Bytes::from_owner(Shared(element)));
    }
    parts.push(web::Bytes::from_static(if parts.is_empty() { b"[]" } else { b"]" }));
    let bytes: usize = parts.iter().map(web::Bytes::len).sum();
    let stream = futures_util::stream::iter(parts.into_iter().map(Ok::<_, actix_web::Error>));
    HttpResponse::Ok().content_type("application/json").body(SizedStream::new(bytes as u64, stream))
}

/// There may be a million.
pub(super) async fn rules(request: HttpRequest, shown: State, limits: web::Data<Limits>) -> HttpResponse {
    shown.live.look_and_read().await;
    large(&request, &limits, move || shown.rules()).await
}

/// Publishes a rule file.
pub(super) async fn apply_rules(
    request: HttpRequest,
    body: web::Payload,
    shown: State,
    limits: web::Data<Limits>,
) -> HttpResponse {
    let reading = request.conn_data::<Arc<Guard>>().map(|guard| guard.reading_body());
    let file = rule_file(body.into_inner(), BODY_TIMEOUT).await;
    drop(reading);
    match file {
        Ok(text) => change(RuleChange::Apply(text), shown, &limits).await,
        Err((status, reason)) => HttpResponse::build(status).json(json!({ "error": reason })),
    }
}

/// The text of a rule file, or the reason why it is missing.
pub(super) async fn rule_file(body: Payload, timeout: Duration) -> Result<String, (StatusCode, String)> {
    let bytes =
        match tokio::time::timeout(timeout, to_bytes_limited(BodyStream::new(body), RULES_BYTES_MAX)).await {
            Ok(Ok(Ok(bytes))) => bytes,
            Ok(Ok(Err(error))) => {
                return Err((StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}")));
            }
            Ok(Err(_)) => {
                let reason = format!("the rule file is too large: expected at most {RULES_BYTES_MAX} bytes");
                return Err((StatusCode::PAYLOAD_TOO_LARGE, reason));
            }
            Err(_) => {
                let reason = format!("the rule file did not arrive within {timeout:?}; send it again");
                return Err((StatusCode::REQUEST_TIMEOUT, reason));
            }
        };
    let not_text = |_| (StatusCode::BAD_REQUEST, "expected a rule file in UTF-8".to_owned());
    String::from_utf8(bytes.into()).map_err(not_text)
}

/// Removes a published rule.
pub(super) async fn remove_rule(
    id: web::Path<String>,
    shown: State,
    limits: web::Data<Limits>,
) -> HttpResponse {
    change(RuleChange::Remove(id.into_inner()), shown, &limits).await
}

async fn change(change: RuleChange, shown: State, limits: &Limits) -> HttpResponse {
    let Some(change_rules) = shown.view.change_rules.clone() else {
        return HttpResponse::Forbidden().json(json!({ "error": NO_CHANGES }));
    };
    let Some(permit) = limits.rule_change() else {
        return limit::busy("other changes of rules are in progress; try again in a few seconds");
    };
    // The permit belongs to the work, which continues when the client has disconnected.
    let work = move || {
        let changed = change_rules(change);
        drop(permit);
        changed
    };
    match web::block(work).await {
        Ok(Ok(changed)) => HttpResponse::Ok().json(changed),
        Ok(Err(error)) => refused(&error),
        Err(_) => HttpResponse::InternalServerError()
            .json(json!({ "error": "the change was interrupted; check the rules and try again" })),
    }
}

/// The answer to a change of rules that was refused.
pub(super) fn refused(error: &PublishError) -> HttpResponse {
    let body = match error {
        PublishError::Mistakes(mistakes) => json!({
            "error": "mistakes in the rules; nothing was published",
            "mistakes": mistakes.iter().map(mistake_json).collect::<Vec<_>>(),
        }),
        other => json!({ "error": other.to_string() }),
    };
    let mut response = match error {
        PublishError::Overtaken => HttpResponse::Conflict(),
        error if error.is_for_people() => HttpResponse::UnprocessableEntity(),
        _ => HttpResponse::InternalServerError(),
    };
    response.json(body)
}

/// Server-sent events, until the client disconnects.
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

/// Sends to the clients of the stream, once a second, the progress of the stages and changes of the map. Closes
/// connections whose clients do not read.
pub(super) async fn tick(shown: Arc<Shown>, connections: Arc<Connections>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changed = BTreeMap::new();
    loop {
        second.tick().await;
        connections.close_stalled();
        shown.measure();
        shown.live.rest();
        shown.scores.reading.rest();
        let newly_changed = shown.live.recent.take_changed();
        if !shown.live.is_read() {
            // Who comes later begins with the map.
            changed.clear();
            continue;
        }
        shown.live.complete();
        shown.live.send("stages", &shown.stages());
        changed.extend(newly_changed.into_iter().map(|station| (station.id, station)));
        let rows = observation_rows(&mut changed);
        if !rows.is_empty() {
            shown.live.send("observations", &rows.into());
        }
    }
}

/// Takes as many stations as fit into one event: hundreds of events would wait for a slow client.
fn observation_rows(changed: &mut BTreeMap<StationId, RecentStation>) -> Vec<Value> {
    let next = std::iter::from_fn(|| changed.pop_first()).take(EVENT_ROWS_MAX);
    next.map(|(id, station)| json!([id, station.date.to_string(), station.tmin])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_packed_for_those_who_accept_it() {
        let accepts = |header: Option<&str>| {
            let request = actix_web::test::TestRequest::get();
            let request = header
                .into_iter()
                .fold(request, |request, value| request.insert_header(("Accept-Encoding", value)));
            accepts_gzip(&request.to_http_request())
        };
        let answers =
            [None, Some("gzip, deflate, br"), Some("gzip;q=0"), Some("br"), Some("identity;q=1, gzip;q=0.1")];
        assert_eq!(answers.map(accepts), [false, true, false, false, false]);
    }

    #[test]
    fn a_burst_of_observations_is_spread_over_events() {
        let recent = crate::noaa::RecentDays::default();
        for number in 0..EVENT_ROWS_MAX + 3 {
            let document =
                format!(r#"{{"station":{{"id":"USC{number:08}"}},"date":"2016-02-24","TMIN":1.5}}"#);
            recent.observe_document(document.as_bytes(), 1_456_300_000_000);
        }
        let stations = recent.take_changed();
        let mut changed = stations.into_iter().map(|station| (station.id, station)).collect();
        let sizes: Vec<usize> = (0..3).map(|_| observation_rows(&mut changed).len()).collect();
        assert_eq!(sizes, [EVENT_ROWS_MAX, 3, 0]);
    }
}
