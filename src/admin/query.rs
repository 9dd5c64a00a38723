//! Query parameters, and the answers to requests that cannot be served.

use actix_web::HttpResponse;
use actix_web::error::QueryPayloadError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::spelling::with_advice;

/// 400 with what is wrong with the query parameters.
pub(super) fn bad_query(error: &QueryPayloadError) -> actix_web::Error {
    let QueryPayloadError::Deserialize(error) = error else { return bad_request(error) };
    bad_request(format!("query parameters: {}", with_advice(&error.to_string())))
}

/// The part of a list that is requested.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default, deserialize_with = "how_many")]
    pub(super) limit: Option<usize>,
}

/// How many elements are requested: a whole number, however large, since fewer are given anyway.
pub(super) fn how_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(D::Error::custom(format!("limit={text:?} is not a whole number")));
    }
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

pub(super) fn not_found(reason: &str) -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": reason }))
}

/// An error about the request, in the form of all answers.
pub(super) fn bad_request(error: impl std::fmt::Display) -> actix_web::Error {
    let reason = error.to_string();
    let answer = HttpResponse::BadRequest().json(json!({ "error": reason }));
    actix_web::error::InternalError::from_response(reason, answer).into()
}
