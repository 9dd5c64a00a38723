//! From a request to an answer: the document of a service, and everything that can go wrong on the way.

use super::archive::archive;
use super::document::{Document, gzip};
use super::fault::Fault;
use super::met_norway::location_forecast;
use super::metars::metar_cache;
use super::nws::nws;
use super::script::{Script, Window};
use super::times::{HOUR, MINUTE, http_date, parse_http_date};
use super::world::World;
use crate::synthetic::random::{between, chance, hash};

/// The cache of METARs.
const METAR_CACHE: &str = "/data/cache/metars.cache.csv.gz";
/// Forecasts of the Norwegian institute.
const LOCATION_FORECAST: &str = "/weatherapi/locationforecast/2.0/complete";
/// The default of `Retry-After`, in seconds.
const RETRY_AFTER: u64 = 120;
/// How old the documents of a stale edge are.
const EDGE_BEHIND: i64 = 2 * HOUR;

/// The relevant parts of a client's request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The path, such as `/points/33.61,-111.9`.
    pub path: String,
    /// The text after `?`; may be empty.
    pub query: String,
    /// The start of links to this server, such as `http://127.0.0.1:8080`.
    pub base: String,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<String>,
    /// Whether `Accept-Encoding` has `gzip`.
    pub accepts_gzip: bool,
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    Whole,
    /// Only this many bytes, although the length is that of all; then the connection is closed.
    Cut(usize),
    /// One byte a second.
    Drip,
}

/// The answer of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// Headers with lower-case names, without `date` and `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// How it is sent.
    pub delivery: Delivery,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }
}

/// The answer to a request at a simulated time, in seconds since 1970. It depends on nothing else.
pub fn answer(world: &World, script: &Script, now: i64, request: &Request) -> Answer {
    let fault = |fault: Fault| script.at(fault, now, &request.path);
    if let Some(refusal) = refusal(request, fault) {
        return finish(refusal, request, now, &|_| None);
    }
    let minute = now.div_euclid(MINUTE).cast_unsigned();
    let seen = match (fault(Fault::Stops), fault(Fault::StaleEdge)) {
        (Some(window), _) => window.from,
        (_, Some(_)) if chance(0.5, &[world.seed(), minute, 40]) => now - EDGE_BEHIND,
        _ => now,
    };
    let mut document = document(world, script, seen, request);
    if fault(Fault::Deprecated).is_some() && document.status == 200 {
        document.status = 203;
    }
    finish(document, request, now, &fault)
}

/// The document without faults.
fn document(world: &World, script: &Script, now: i64, request: &Request) -> Document {
    let path = request.path.as_str();
    if path == METAR_CACHE {
        let written = now - now.rem_euclid(MINUTE);
        return Document::file("application/gzip", gzip(&metar_cache(world, script, now)), written);
    }
    if path == LOCATION_FORECAST {
        return match has_contact(request) {
            true => location_forecast(world, now, &request.query),
            false => Document::page(403, "403 Forbidden: identify yourself"),
        };
    }
    if path.starts_with("/points/") || path.starts_with("/gridpoints/") {
        if !has_contact(request) {
            return Document::page(403, "Access Denied");
        }
        if !request.query.is_empty() {
            let detail = "Query parameter is not recognized";
            return Document::problem(400, "BadRequest", "Bad Request", detail);
        }
    }
    nws(world, script, now, path, &request.base)
        .or_else(|| archive(world, script, now, path))
        .unwrap_or_else(Document::not_found)
}

/// Whether the client gives a contact: a mail address or a page.
fn has_contact(request: &Request) -> bool {
    request.user_agent.as_ref().is_some_and(|agent| agent.contains('@') || agent.contains("://"))
}

/// An answer that is unrelated to the request.
fn refusal<'a>(request: &Request, fault: impl Fn(Fault) -> Option<&'a Window>) -> Option<Document> {
    let is_on = |wanted: Fault| fault(wanted).is_some();
    if let Some(window) = fault(Fault::TooManyRequests) {
        let mut page = Document::page(429, "429 Too Many Requests");
        page.headers.push(("retry-after", window.value.unwrap_or(RETRY_AFTER).to_string()));
        return Some(page);
    }
    if is_on(Fault::Redirect) {
        let mut page = Document::page(302, "302 Found");
        page.headers.push(("location", other_host(&request.base) + &request.path));
        return Some(page);
    }
    let pages = [
        (Fault::NotFound, 404, "404 Not Found"),
        (Fault::Forbidden, 403, "Access Denied"),
        (Fault::ServerError, 500, "500 Internal Server Error"),
        (Fault::BadGateway, 502, "502 Bad Gateway"),
        (Fault::PageInstead, 200, "We will be back soon"),
    ];
    if let Some((_, status, title)) = pages.into_iter().find(|(fault, ..)| is_on(*fault)) {
        return Some(Document::page(status, title));
    }
    if is_on(Fault::Unavailable) {
        return Some(Document::problem(503, "ServiceUnavailable", "Service Unavailable", "Try again later"));
    }
    is_on(Fault::NoContent).then(|| Document::passing(204, "text/plain", ""))
}

/// This machine under its other name, so that a client that follows redirects is noticed here.
fn other_host(base: &str) -> String {
    if base.contains("://127.0.0.1") {
        base.replace("127.0.0.1", "localhost")
    } else {
        base.replace("localhost", "127.0.0.1")
    }
}

/// Adds headers to a document, and applies the faults of the way.
fn finish<'a>(
    document: Document,
    request: &Request,
    now: i64,
    fault: &dyn Fn(Fault) -> Option<&'a Window>,
) -> Answer {
    let mut headers = document.headers.clone();
    let etag = document.has_etag.then(|| etag(&document.body, now, fault));
    headers.extend(etag.clone().map(|etag| ("etag", etag)));
    headers.extend(document.last_modified.map(|time| ("last-modified", http_date(time))));
    headers.extend(document.expires.map(|time| ("expires", http_date(time))));
    if is_not_modified(&document, request, etag.as_deref(), fault) {
        return Answer { status: 304, headers, body: Vec::new(), delivery: Delivery::Whole };
    }
    if document.status != 204 {
        headers.push(("content-type", document.content_type.to_owned()));
    }
    let mut body = document.body;
    if document.is_packable {
        headers.push(("vary", "accept-encoding".to_owned()));
        if request.accepts_gzip {
            headers.push(("content-encoding", "gzip".to_owned()));
            body = gzip(&body);
        }
    }
    if fault(Fault::BadGzip).is_some() && body.starts_with(&[0x1f, 0x8b]) {
        // The check sum is before the length, which has four bytes.
        let at = body.len() - 8;
        body[at] ^= 0xff;
    }
    let length = body.len();
    let delivery = match (fault(Fault::CutBody), fault(Fault::Drip)) {
        (Some(window), _) if length > 0 => {
            let minute = now.div_euclid(MINUTE).cast_unsigned();
            let anywhere = || between(0, length as i64, &[minute, 41]).cast_unsigned();
            let at = usize::try_from(window.value.unwrap_or_else(anywhere)).unwrap_or(length);
            Delivery::Cut(at.min(length - 1))
        }
        (_, Some(_)) => Delivery::Drip,
        _ => Delivery::Whole,
    };
    Answer { status: document.status, headers, body, delivery }
}

fn etag<'a>(body: &[u8], now: i64, fault: &dyn Fn(Fault) -> Option<&'a Window>) -> String {
    let of_bytes = format!("{:x}-{:x}", body.len(), hash(body));
    match (fault(Fault::EtagStays), fault(Fault::EtagChanges)) {
        (Some(window), _) => format!("\"stays-{:x}\"", window.from),
        (_, Some(_)) => format!("\"{of_bytes}-{:x}\"", now.div_euclid(MINUTE)),
        _ => format!("\"{of_bytes}\""),
    }
}

fn is_not_modified<'a>(
    document: &Document,
    request: &Request,
    etag: Option<&str>,
    fault: &dyn Fn(Fault) -> Option<&'a Window>,
) -> bool {
    let has_condition = request.if_none_match.is_some() || request.if_modified_since.is_some();
    if !matches!(document.status, 200 | 203) || !has_condition || document.last_modified.is_none() {
        return false;
    }
    if fault(Fault::NotModified).is_some() {
        return true;
    }
    if fault(Fault::NeverNotModified).is_some() || fault(Fault::EtagStays).is_some() {
        return false;
    }
    // A condition on the ETag takes precedence.
    if let (Some(list), Some(etag)) = (&request.if_none_match, etag) {
        return list.split(',').any(|one| one.trim().trim_start_matches("W/") == etag);
    }
    let (Some(since), Some(modified)) = (&request.if_modified_since, document.last_modified) else {
        return false;
    };
    // The Norwegian institute requires exactly the time that it gave.
    if document.expires.is_some() {
        return *since == http_date(modified);
    }
    parse_http_date(since).is_some_and(|since| since >= modified)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
