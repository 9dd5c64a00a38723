//! One HTTP client for all sources, which behaves as public services ask.
//!
//! It identifies the operator. It asks for changes only, not too often, and not while the service has trouble. It
//! limits the size of an answer, and refuses one that is truncated or a web page. Errors are sentences with host and
//! path.
//!
//! A call blocks; each has its own small event loop, so a poller may call from its thread.

mod body;
mod pace;
mod request;
#[cfg(test)]
mod tests;
mod time;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use frostline_engine::PollError;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderMap,
    HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use self::body::Bounds;
use self::pace::{ASKED_MAX, Intervals, Pace, Turn};
pub use self::request::{Answer, Fetch, Fresh, Part, Request, Validators};
use self::time::RealTime;
pub use self::time::Time;
use crate::config::check_url;
use crate::outbound::{Reach, cause, http_client, parse_retry_after};

/// Most bytes that are read of a page that explains an error.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// The behaviour of the client.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// A mail address or page where the services can reach the operator.
    pub contact: String,
    /// Whether services may be on this machine or in a private network.
    pub allow_private: bool,
    /// The shortest time between two requests to a host.
    pub host_interval: Duration,
    /// The shortest time between two requests for the same file.
    pub path_interval: Duration,
    /// Time limit of a request.
    pub timeout: Duration,
    /// Within each such time, at least [`ClientSettings::window_bytes`] must arrive, or the end.
    pub window: Duration,
    /// Least number of bytes; see [`ClientSettings::window`].
    pub window_bytes: usize,
}

impl ClientSettings {
    /// The usual behaviour.
    pub fn new(contact: &str) -> Self {
        Self {
            contact: contact.to_owned(),
            allow_private: false,
            host_interval: Duration::from_secs(1),
            path_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(45),
            window: Duration::from_secs(10),
            window_bytes: 1_000,
        }
    }
}

/// The client; see the module's description.
pub struct Client {
    settings: ClientSettings,
    user_agent: String,
    /// The clock for intervals and pauses.
    time: Arc<dyn Time>,
    pace: Mutex<Pace>,
    /// One for each kind of address.
    clients: Mutex<HashMap<Reach, reqwest::Client>>,
    /// Files that the service has marked as deprecated.
    deprecated: Mutex<HashSet<String>>,
}

/// Why there is no answer.
struct Failure {
    reason: String,
    /// The pause that the service has asked for.
    asked: Option<Duration>,
    /// Whether the whole host should get no requests for a while.
    is_about_host: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, asked: None, is_about_host: false }
    }
}

impl Client {
    /// # Errors
    /// The contact is missing, or cannot be sent.
    pub fn new(settings: ClientSettings) -> Result<Self, String> {
        Self::with_time(settings, Arc::new(RealTime))
    }

    /// A client whose intervals and pauses use the caller's clock. The limits of a single answer stay in real time.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_time(settings: ClientSettings, time: Arc<dyn Time>) -> Result<Self, String> {
        let contact = settings.contact.trim();
        let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '(' | ')' | '\\');
        if contact.is_empty() || !contact.chars().all(is_plain) {
            return Err(
                "weather services require a contact: set it to a mail address or a web page, in ASCII".into(),
            );
        }
        // Another part of the program may have done so.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let user_agent = format!("frostline/{} ({contact})", env!("CARGO_PKG_VERSION"));
        let intervals = Intervals { host: settings.host_interval, path: settings.path_interval };
        let (clients, deprecated) = Default::default();
        Ok(Self { settings, user_agent, time, pace: Mutex::new(Pace::new(intervals)), clients, deprecated })
    }

    fn client(&self, reach: Reach) -> Result<reqwest::Client, String> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(&reach) {
            return Ok(client.clone());
        }
        let client = http_client(reach, self.settings.timeout)
            .redirect(Policy::custom(|attempt| {
                let from = attempt.previous().last();
                let is_same = from.is_some_and(|from| is_same_host(from, attempt.url()));
                let goes_on = is_same && attempt.previous().len() <= REDIRECTS_MAX;
                if goes_on { attempt.follow() } else { attempt.stop() }
            }))
            .timeout(self.settings.timeout)
            .user_agent(&self.user_agent)
            // No connection outlives the event loop of its request.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| cause(&error))?;
        clients.insert(reach, client.clone());
        Ok(client)
    }

    /// Sends the request on an event loop of its own.
    fn send(&self, url: &Url, request: &Request<'_>) -> Result<Answer, Failure> {
        let reach = Reach::of(url, self.settings.allow_private)?;
        let builder = with_headers(self.client(reach)?.get(url.clone()), request);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no event loop can be created ({error})"))?;
        let answer = runtime.block_on(self.exchange(builder, request));
        // A name lookup that is still running is not awaited.
        runtime.shutdown_background();
        answer
    }

    async fn exchange(&self, builder: RequestBuilder, request: &Request<'_>) -> Result<Answer, Failure> {
        let response = builder.send().await.map_err(|error| {
            let what = if error.is_timeout() { "no answer in time" } else { "the request failed" };
            format!("{what} ({})", cause(&error.without_url()))
        })?;
        let fresh_for = fresh_for(response.headers());
        match response.status().as_u16() {
            200 | 203 | 206 => self.take(response, request, fresh_for).await,
            204 | 304 => Ok(Answer::Unchanged { fresh_for }),
            404 => Ok(Answer::NotFound),
            _ => Err(refusal(response).await),
        }
    }

    async fn take(
        &self,
        response: Response,
        request: &Request<'_>,
        fresh_for: Option<Duration>,
    ) -> Result<Answer, Failure> {
        let headers = response.headers();
        let validators =
            Validators { etag: header(headers, ETAG), last_modified: header(headers, LAST_MODIFIED) };
        let content_type = header(headers, CONTENT_TYPE).unwrap_or_default();
        let encoding = header(headers, CONTENT_ENCODING).unwrap_or_default();
        if !matches!(encoding.as_str(), "" | "identity" | "gzip" | "x-gzip") {
            return Err(format!("the answer has the encoding {encoding:?}, which was not requested").into());
        }
        let part_of = match (response.status(), request.part) {
            (StatusCode::PARTIAL_CONTENT, Some(part)) => {
                let range = header(headers, CONTENT_RANGE).unwrap_or_default();
                let total = total_of(&range, part);
                Some(total.ok_or_else(|| format!("the answer is another part than requested ({range:?})"))?)
            }
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err("the answer is only a part of the file, but the whole was requested"
                    .to_owned()
                    .into());
            }
            _ => None,
        };
        self.note_deprecation(&response);
        let bytes = body::read(response, self.bounds(request)).await?;
        let bytes = match request.unpacked_max {
            Some(bytes_max) => body::unpack(bytes, bytes_max)?,
            None => bytes,
        };
        if !request.is_html && body::is_html(&content_type, &bytes) {
            return Err(
                "the answer is a web page instead of data: the service has trouble, or the address is wrong"
                    .to_owned()
                    .into(),
            );
        }
        Ok(Answer::New(Fresh { bytes, validators, fresh_for, part_of }))
    }

    fn bounds(&self, request: &Request<'_>) -> Bounds {
        let ClientSettings { window, window_bytes, .. } = self.settings;
        Bounds { bytes: request.bytes_max, window, window_bytes }
    }

    /// Logs, once for each file, that the service has marked it as deprecated.
    fn note_deprecation(&self, response: &Response) {
        let url = response.url();
        let (host, path) = (url.host_str().unwrap_or_default(), url.path());
        if response.status() == StatusCode::NON_AUTHORITATIVE_INFORMATION
            && lock(&self.deprecated).insert(format!("{host}{path}"))
        {
            tracing::warn!(host, path, "the service marks this address as deprecated (status 203)");
        }
    }
}

impl Fetch for Client {
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError> {
        let url = check_url(request.url, self.settings.allow_private);
        let url = url.and_then(|()| Url::parse(request.url).map_err(|error| error.to_string()));
        let url = url.map_err(|reason| PollError::new(format!("{}: {reason}", request.url)))?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let path = url.path();
        let file = url.query().map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let at = (host.as_str(), file.as_str());
        let is_next_part = request.part.is_some_and(|part| part.from > 0);
        match lock(&self.pace).turn(at, is_next_part, self.time.now()) {
            Turn::In(wait) => self.time.sleep(wait),
            Turn::NotDue(wait) => return Ok(Answer::NotDue(wait)),
            Turn::Paused(wait) => {
                let reason =
                    format!("{host} {path}: no request, because the service failed or asked for a pause");
                return Err(PollError { reason, retry_in: Some(wait) });
            }
        }
        let outcome = self.send(&url, request);
        let mut pace = lock(&self.pace);
        match outcome {
            Ok(answer) => {
                let fresh_for = match &answer {
                    Answer::New(fresh) => fresh.fresh_for,
                    Answer::Unchanged { fresh_for } => *fresh_for,
                    Answer::NotFound | Answer::NotDue(_) => None,
                };
                pace.succeeded(at, fresh_for, self.time.now());
                Ok(answer)
            }
            Err(Failure { reason, asked, is_about_host }) => {
                let pause = pace.failed(at, asked, is_about_host, self.time.now());
                let reason = format!("{host} {path}: {reason}");
                Err(PollError { reason, retry_in: Some(pause) })
            }
        }
    }
}

fn with_headers(builder: RequestBuilder, request: &Request<'_>) -> RequestBuilder {
    let Validators { etag, last_modified } = &request.validators;
    let encoding = if request.unpacked_max.is_some() { "gzip" } else { "identity" };
    let mut builder = builder.header(ACCEPT_ENCODING, encoding);
    if let Some(Part { from, bytes }) = request.part {
        builder = builder.header(RANGE, format!("bytes={from}-{}", from + bytes.max(1) - 1));
        // If the file has changed since the first part, the whole file comes.
        // A weak tag does not promise the same bytes, so servers send the whole file for it.
        let strong = etag.as_ref().filter(|etag| !etag.starts_with("W/"));
        return match strong.or(last_modified.as_ref()) {
            Some(version) if from > 0 => builder.header(IF_RANGE, version),
            _ => builder,
        };
    }
    if let Some(etag) = etag {
        builder = builder.header(IF_NONE_MATCH, etag);
    }
    if let Some(last_modified) = last_modified {
        builder = builder.header(IF_MODIFIED_SINCE, last_modified);
    }
    builder
}

/// An answer that is a refusal or a failure, as a sentence.
async fn refusal(response: Response) -> Failure {
    let (status, headers) = (response.status(), response.headers());
    let asked = header(headers, RETRY_AFTER).and_then(|value| parse_retry_after(&value, SystemTime::now()));
    let content_type = header(headers, CONTENT_TYPE).unwrap_or_default();
    // A service that names a pause means all its paths.
    let is_about_host = matches!(status.as_u16(), 403 | 429) || status.as_u16() == 503 && asked.is_some();
    let reason = match status.as_u16() {
        300..=399 => {
            let target = header(headers, LOCATION).unwrap_or_default();
            let target: String = target.chars().filter(|c| !c.is_control()).take(100).collect();
            format!(
                "it has moved to {target:?}, which is not followed: check the address, and set the new one"
            )
        }
        403 if body::is_html(&content_type, b"") || has_html(response).await => {
            "the service refuses this User-Agent (403 with a web page): check that the contact is right"
                .to_owned()
        }
        403 => "the service refuses the request (403 Forbidden)".to_owned(),
        429 => "the service reports too many requests (429)".to_owned(),
        _ => format!("the service answers {status}"),
    };
    Failure { reason, asked, is_about_host }
}

async fn has_html(response: Response) -> bool {
    let seconds = Duration::from_secs(5);
    let bounds = Bounds { bytes: ERROR_BYTES_MAX, window: seconds, window_bytes: 1 };
    body::read(response, bounds).await.is_ok_and(|body| body::is_html("", &body))
}

/// How long the answer stays fresh: from the service's own clock to `Expires`.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let time = |name| httpdate::parse_http_date(&header(headers, name)?).ok();
    let from = time(DATE).unwrap_or_else(SystemTime::now);
    let fresh_for = time(EXPIRES)?.duration_since(from).ok().filter(|time| !time.is_zero())?;
    // A proxy may say that it stays fresh for years.
    Some(fresh_for.min(ASKED_MAX))
}

/// `bytes 0-99/1234`: the size of the whole, if the part starts where it should.
fn total_of(range: &str, part: Part) -> Option<u64> {
    let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let from: u64 = range.split_once('-')?.0.parse().ok()?;
    (from == part.from).then(|| total.parse().ok())?
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The same host and port, and never from https to http.
fn is_same_host(from: &Url, to: &Url) -> bool {
    let is_same_port = from.scheme() == to.scheme() && from.port() == to.port();
    let is_upgrade = to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    from.host_str() == to.host_str() && (is_same_port || is_upgrade)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
