//! A document of a service, before anything goes wrong on the way.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The document of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// When it changed, in seconds since 1970.
    pub(super) last_modified: Option<i64>,
    /// Until when no client should ask again.
    pub(super) expires: Option<i64>,
    /// Whether it is compressed if the client accepts that.
    pub(super) is_packable: bool,
    /// Whether it has an `ETag`.
    pub(super) has_etag: bool,
    /// Other headers.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Document {
    /// A file that changed at a time.
    pub(super) fn file(content_type: &'static str, body: Vec<u8>, last_modified: i64) -> Self {
        Self {
            status: 200,
            content_type,
            body,
            last_modified: Some(last_modified),
            expires: None,
            is_packable: false,
            has_etag: true,
            headers: Vec::new(),
        }
    }

    /// JSON that is compressed for clients that accept that.
    pub(super) fn json(content_type: &'static str, json: &serde_json::Value, last_modified: i64) -> Self {
        let body = json.to_string().into_bytes();
        Self { is_packable: true, has_etag: false, ..Self::file(content_type, body, last_modified) }
    }

    /// An answer that is not cached: an error, or a page.
    pub(super) fn passing(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, last_modified: None, has_etag: false, ..Self::file(content_type, body.into(), 0) }
    }

    /// A page of HTML with a title.
    pub(super) fn page(status: u16, title: &str) -> Self {
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\n<body><h1>{title}</h1></body></html>\n"
        );
        Self::passing(status, "text/html", body)
    }

    /// A problem as the NWS writes it; `kind` is the last part of its type.
    pub(super) fn problem(status: u16, kind: &str, title: &str, detail: &str) -> Self {
        let json = serde_json::json!({
            "correlationId": "0000000",
            "title": title,
            "type": format!("https://api.weather.gov/problems/{kind}"),
            "status": status,
            "detail": detail,
            "instance": "https://api.weather.gov/requests/0000000",
        });
        Self::passing(status, "application/problem+json", json.to_string())
    }

    /// Apache's page for a missing file.
    pub(super) fn not_found() -> Self {
        Self::page(404, "404 Not Found")
    }
}

/// Compresses bytes; the same bytes always give the same result.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    // Writing to a vector cannot fail.
    written.unwrap_or_default()
}
