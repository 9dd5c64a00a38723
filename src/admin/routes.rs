//! The handler of each path, and who may use it.
//!
//! [`OPEN`] and the page's files are for everyone. Everything else is within one scope that requires the token,
//! including paths that do not exist.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, Error, HttpResponse, Resource, web};

use super::access::{self, Access};
use super::limit::{self, Limits};
use super::view::Shown;
use super::{api, atom, cap, head, outlooks, page, query, score, search, state};

/// A path, and the methods that it answers.
pub(super) type Route = (&'static str, fn(Resource) -> Resource);

/// Health contains nothing secret, and probes have no token.
pub(super) const OPEN: [Route; 2] = [
    ("/health/live", |resource| resource.get(api::live)),
    ("/health/ready", |resource| resource.get(api::ready)),
];

/// These answer until the client disconnects, so they are counted separately.
pub(super) const STREAMS: [Route; 1] = [("/api/v1/events", |resource| resource.get(api::events))];

pub(super) const GUARDED: [Route; 23] = [
    ("/metrics", |resource| resource.get(api::metrics)),
    ("/api/v1/status", |resource| resource.get(api::status)),
    ("/api/v1/stages", |resource| resource.get(api::stages)),
    ("/api/v1/sources", |resource| resource.get(api::sources)),
    ("/api/v1/partitions", |resource| resource.get(api::partitions)),
    ("/api/v1/stations", |resource| resource.get(api::stations)),
    ("/api/v1/stations/{id}", |resource| resource.get(api::station)),
    ("/api/v1/stations/{id}/observations", |resource| resource.get(api::observations)),
    ("/api/v1/standing", |resource| resource.get(api::standing)),
    ("/api/v1/search", |resource| resource.get(search::search)),
    ("/api/v1/outlooks", |resource| resource.get(outlooks::outlooks)),
    // Before the stations: an id never has five letters.
    ("/api/v1/outlooks/score", |resource| resource.get(score::score)),
    ("/api/v1/outlooks/{id}", |resource| resource.get(outlooks::outlook)),
    ("/api/v1/alerts", |resource| resource.get(api::alerts)),
    ("/api/v1/alerts.atom", |resource| resource.get(atom::feed)),
    // The id has slashes.
    ("/api/v1/alerts/{id:.+}.cap", |resource| resource.get(cap::alert)),
    ("/api/v1/rules", |resource| resource.get(api::rules).post(api::apply_rules)),
    ("/api/v1/rules/{id}", |resource| resource.delete(api::remove_rule)),
    ("/api/v1/dead-letters", |resource| resource.get(api::dead_letters)),
    ("/api/v1/deliveries", |resource| resource.get(api::deliveries)),
    ("/api/v1/processes", |resource| resource.get(state::processes)),
    ("/api/v1/state/{stage}/{key:.+}", |resource| resource.get(state::state)),
    ("/api/v1/openapi.json", |resource| resource.get(api::openapi)),
];

/// The whole server, without its socket.
pub(super) fn app(
    shown: web::Data<Shown>,
    access: web::Data<Access>,
    limits: web::Data<Limits>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let headers = DefaultHeaders::new()
        .add(("Content-Security-Policy", page::CONTENT_SECURITY_POLICY))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("X-Frame-Options", "DENY"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add(("Cross-Origin-Resource-Policy", "same-origin"))
        .add(("Referrer-Policy", "no-referrer"))
        .add(("Cache-Control", "no-store"));
    let (mut streams, mut guarded) = (web::scope(""), web::scope(""));
    for route in &STREAMS {
        streams = streams.service(resource(route).wrap(from_fn(limit::stream)));
    }
    for route in &GUARDED {
        guarded = guarded.service(resource(route).wrap(from_fn(head::as_get)));
    }
    let guarded = guarded.default_service(web::to(nothing_here)).wrap(from_fn(limit::request));
    App::new()
        .app_data(shown)
        .app_data(access)
        .app_data(limits)
        .app_data(web::QueryConfig::default().error_handler(|error, _| query::bad_query(&error)))
        .app_data(web::PathConfig::default().error_handler(|error, _| query::bad_request(error)))
        .wrap(from_fn(access::check))
        .wrap(headers)
        .configure(open)
        .service(streams.service(guarded).wrap(from_fn(access::authorize)))
        .default_service(web::to(nothing_here))
}

fn open(app: &mut web::ServiceConfig) {
    for route in &OPEN {
        app.service(resource(route).wrap(from_fn(head::as_get)));
    }
    for file in &page::FILES {
        let answer =
            move || async move { HttpResponse::Ok().content_type(file.content_type).body(file.text) };
        let file = web::resource(file.path).get(answer);
        app.service(file.wrap(from_fn(head::as_get)).wrap(from_fn(limit::file)));
    }
}

/// Other methods get 405 and the header Allow.
fn resource((path, methods): &Route) -> Resource {
    methods(web::resource(*path))
}

async fn nothing_here() -> HttpResponse {
    query::not_found("no such path: see /api/v1/openapi.json")
}
