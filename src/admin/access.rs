//! Who may ask.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use serde_json::json;
use subtle::ConstantTimeEq;

/// What requests must bear.
pub(super) struct Access {
    pub(super) is_loopback: bool,
    pub(super) token: Option<String>,
}

/// Lets a request through, or answers it.
pub(super) async fn check<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let refusal = request
        .app_data::<web::Data<Access>>()
        .and_then(|access| access.refusal(request.headers(), asks_token(request.path())));
    match refusal {
        Some(refusal) => Ok(request.into_response(refusal).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

/// Health says nothing that is secret, and probes have no token; the page itself is the same everywhere.
fn asks_token(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

impl Access {
    /// Why a request is refused, if it is.
    fn refusal(&self, headers: &HeaderMap, asks_token: bool) -> Option<HttpResponse> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.is_loopback && !text(HOST).is_some_and(is_loopback_name) {
            let reason = "ask by 127.0.0.1, [::1] or localhost";
            return Some(HttpResponse::Forbidden().json(json!({ "error": reason })));
        }
        let token = self.token.as_ref().filter(|_| asks_token)?;
        let given = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let is_right = given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into());
        let reason = "expected Authorization: Bearer and the token";
        (!is_right).then(|| HttpResponse::Unauthorized().json(json!({ "error": reason })))
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
}
