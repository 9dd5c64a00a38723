//! Decides which requests are allowed.
//!
//! Everything except health and the page's own files is in one scope that [`authorize`] wraps: a request needs the
//! token because of the resource it was routed to, not because of the spelling of its path, and a new resource needs
//! it unless it is placed outside of that scope.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::config::SecretText;

/// Content types of rule files. `curl --data-binary` sends the last one by default.
pub(super) const RULE_FILE_TYPES: [&str; 5] = [
    "application/toml",
    "application/x-ndjson",
    "application/jsonl",
    "text/plain",
    "application/x-www-form-urlencoded",
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What requests must carry.
pub(super) struct Access {
    pub(super) is_loopback: bool,
    pub(super) token: Option<SecretText>,
}

type Checked<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

/// Wraps the whole server: checks the method, the host name of the request, and writes from pages of other sites.
pub(super) async fn check<B: MessageBody>(
    access: web::Data<Access>,
    request: ServiceRequest,
    next: Next<B>,
) -> Checked<B> {
    let refusal = access.refusal_of_any(&request);
    answer_or_call(refusal, request, next).await
}

/// Wraps all resources that need the token, if one is set.
pub(super) async fn authorize<B: MessageBody>(
    access: web::Data<Access>,
    request: ServiceRequest,
    next: Next<B>,
) -> Checked<B> {
    let refusal = access.refusal_of_guarded(&request);
    answer_or_call(refusal, request, next).await
}

async fn answer_or_call<B: MessageBody>(
    refusal: Option<HttpResponse>,
    request: ServiceRequest,
    next: Next<B>,
) -> Checked<B> {
    match refusal {
        Some(refusal) => Ok(request.into_response(refusal).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

impl Access {
    fn refusal_of_any(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        // CONNECT has no path, and TRACE would send the token back: neither is routed.
        let known = [Method::GET, Method::HEAD, Method::POST, Method::DELETE];
        if !known.contains(request.method()) {
            let mut refusal = HttpResponse::MethodNotAllowed();
            refusal.insert_header((ALLOW, "GET, HEAD, POST, DELETE")).force_close();
            return Some(refusal.json(json!({ "error": "the admin server does not support this method" })));
        }
        if self.is_loopback && !is_reached_as_loopback(request) {
            return Some(refused(StatusCode::FORBIDDEN, "use 127.0.0.1, [::1] or localhost as the host"));
        }
        let is_foreign = !is_read(request) && is_from_another_site(request);
        is_foreign.then(|| refused(StatusCode::FORBIDDEN, FOREIGN))
    }

    fn refusal_of_guarded(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        if let Some(token) = &self.token {
            let given = header(request, &AUTHORIZATION).and_then(bearer);
            if !given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into()) {
                let reason = "expected the header `Authorization: Bearer TOKEN`";
                return Some(refused(StatusCode::UNAUTHORIZED, reason));
            }
        }
        if is_read(request) {
            let is_foreign = is_from_another_site(request) && !is_opened_by_a_person(request);
            return is_foreign.then(|| refused(StatusCode::FORBIDDEN, FOREIGN));
        }
        if self.token.is_none() {
            return Some(refused(StatusCode::FORBIDDEN, NO_CHANGES));
        }
        // A removal has no body.
        let is_file = request.method() == Method::POST;
        let given = header(request, &CONTENT_TYPE).filter(|_| is_file);
        given.is_some_and(|given| !is_rule_file_type(given)).then(|| {
            let reason = format!("expected Content-Type: one of {}", RULE_FILE_TYPES.join(", "));
            refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &reason)
        })
    }
}

/// Why rules cannot be changed without a token.
pub(super) const NO_CHANGES: &str =
    "rules can be changed over HTTP only if admin.token is set; use `frostline rules apply` instead";

const FOREIGN: &str = "the request comes from a page of another site: only the daemon's own page may send it";

fn refused(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": reason }))
}

fn is_read(request: &ServiceRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The token of an Authorization header. The name of the scheme may be in any case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

/// A header's value; a value that is not text counts as wrong.
fn header<'a>(request: &'a ServiceRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Host names of the request: the Host headers, and the authority of an absolute request target.
fn names(request: &ServiceRequest) -> impl Iterator<Item = &str> {
    let hosts = request.headers().get_all(HOST).map(|value| value.to_str().unwrap_or_default());
    hosts.chain(request.uri().authority().map(|authority| authority.as_str()))
}

fn is_reached_as_loopback(request: &ServiceRequest) -> bool {
    request.headers().get_all(HOST).count() == 1 && names(request).all(is_loopback_name)
}

/// Whether a Host header names this machine itself. DNS can redirect a name, but not an address.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.and_then(|bare| bare.parse::<Ipv6Addr>().ok()).is_some_and(|address| address.is_loopback())
}

/// Whether a browser reports that a page of another site sent the request. Other clients report nothing.
fn is_from_another_site(request: &ServiceRequest) -> bool {
    let is_foreign_site = |site: &str| !matches!(site, "same-origin" | "none");
    let is_foreign_origin = |origin: &str| {
        // `null` and any other value without a host is foreign.
        let host = origin.split_once("://").map(|(_, host)| host);
        !host.is_some_and(|host| names(request).all(|name| name.eq_ignore_ascii_case(host)))
    };
    let values = |name| request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default());
    values(SEC_FETCH_SITE).any(is_foreign_site) || values(ORIGIN).any(is_foreign_origin)
}

/// A link that somebody follows, for instance from Prometheus' list of targets: the page with the link cannot read
/// the answer.
fn is_opened_by_a_person(request: &ServiceRequest) -> bool {
    header(request, &SEC_FETCH_MODE) == Some("navigate")
        && header(request, &SEC_FETCH_DEST) == Some("document")
}

fn is_rule_file_type(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim();
    RULE_FILE_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_named() {
        let good =
            ["127.0.0.1:8080", "127.0.0.2", "localhost", "LocalHost:1", "LOCALHOST", "[::1]:8080", "[::1]"];
        for good in good {
            assert!(is_loopback_name(good), "{good}");
        }
        let bad = [
            "",
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil:80",
            "::1",
            "127.1",
            "[127.0.0.1]",
            "10.0.0.1",
            "user@localhost",
        ];
        for bad in bad {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
