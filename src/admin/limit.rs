//! Limits how many requests are answered at the same time, so that no number of clients can take the memory or the
//! connections that health and the stages need.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::RETRY_AFTER;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Answering, CONNECTIONS_MAX, Guard};

/// Most streams of events.
pub(super) const STREAMS_MAX: usize = 64;
/// Most other requests that are being answered; each may hold a few megabytes.
pub(super) const REQUESTS_MAX: usize = 32;
/// Most requests that wait for one of those to end, for at most [`PATIENCE`].
pub(super) const WAITING_MAX: usize = 64;
/// Most files of the page that are being answered.
pub(super) const FILES_MAX: usize = 48;
/// Most changes of rules: each reads all rules and evaluates new ones, and continues when its client has
/// disconnected.
pub(super) const RULE_CHANGES_MAX: usize = 2;
// Among the connections there is always one without a request in progress, which can be closed for a new one.
const _: () = assert!(REQUESTS_MAX + WAITING_MAX + FILES_MAX + STREAMS_MAX < CONNECTIONS_MAX);
/// How long a request waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest part of a body: the next part is taken only when the client has read the previous ones.
const PART_BYTES: usize = 64 << 10;

/// One semaphore for each limited kind of work.
pub(super) struct Limits {
    requests: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    files: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    rule_changes: Arc<Semaphore>,
    maps: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self {
            requests: of(REQUESTS_MAX),
            waiting: of(WAITING_MAX),
            files: of(FILES_MAX),
            streams: of(STREAMS_MAX),
            rule_changes: of(RULE_CHANGES_MAX),
            maps: of(1),
        }
    }
}

impl Limits {
    /// Allows one change of rules until the permit is dropped.
    pub(super) fn rule_change(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.rule_changes).try_acquire_owned().ok()
    }

    /// Allows one request that answers quickly, perhaps after others have ended.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.requests).acquire_owned()).await;
        permit.ok().and_then(Result::ok)
    }

    /// Waits until no other map is being made: making one takes far more memory than its answer.
    pub(super) async fn map(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.maps).acquire_owned().await.ok()
    }
}

/// Wraps resources that answer quickly.
pub(super) async fn request<B: MessageBody + 'static>(
    limits: web::Data<Limits>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let reason = "too many requests at the same time; try again in a few seconds";
    limited(limits.permit(), reason, request, next).await
}

/// Wraps files.
pub(super) async fn file<B: MessageBody + 'static>(
    limits: web::Data<Limits>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let permit = Arc::clone(&limits.files).try_acquire_owned().ok();
    let reason = "too many clients do not read the files of the page; try again in a few seconds";
    limited(ready(permit), reason, request, next).await
}

/// Wraps the stream of events.
pub(super) async fn stream<B: MessageBody + 'static>(
    limits: web::Data<Limits>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let permit = Arc::clone(&limits.streams).try_acquire_owned().ok();
    let reason = format!("{STREAMS_MAX} streams of events are open, which is the limit; close one first");
    limited(ready(permit), &reason, request, next).await
}

/// Answers with a permit; a request that still waits for one counts as being answered.
async fn limited<B: MessageBody + 'static>(
    permit: impl Future<Output = Option<OwnedSemaphorePermit>>,
    reason: &str,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answering = request.conn_data::<Arc<Guard>>().map(|guard| guard.answering());
    let Some(permit) = permit.await else { return Ok(request.into_response(busy(reason))) };
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| {
        BoxBody::new(Held { body: body.boxed(), part: web::Bytes::new(), answering, _permit: Some(permit) })
    }))
}

/// The answer to a request beyond the limit.
pub(super) fn busy(reason: &str) -> HttpResponse {
    let mut response = HttpResponse::ServiceUnavailable();
    response.insert_header((RETRY_AFTER, "5")).json(json!({ "error": reason }))
}

/// A body that counts as being answered until its client has read it.
struct Held {
    body: BoxBody,
    /// The rest of the last chunk of the body.
    part: web::Bytes,
    /// `None` if a test has no connection.
    answering: Option<Answering>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        let held = self.get_mut();
        if let Some(answering) = &held.answering {
            answering.moves();
        }
        if held.part.is_empty() {
            match Pin::new(&mut held.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => held.part = bytes,
                other => return other,
            }
        }
        let next = held.part.split_to(held.part.len().min(PART_BYTES));
        Poll::Ready(Some(Ok(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use actix_web::App;
    use actix_web::http::StatusCode;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};

    #[actix_web::test]
    async fn files_that_nobody_reads_do_not_add_up() {
        let limits = web::Data::new(Limits::default());
        let unread = Arc::clone(&limits.files).acquire_many_owned(FILES_MAX as u32).await.unwrap();
        let page = web::resource("/page.js").get(|| async { HttpResponse::Ok().body("page") });
        let app = App::new().app_data(limits.clone()).service(page.wrap(from_fn(file)));
        let app = init_service(app).await;
        let ask = || call_service(&app, TestRequest::get().uri("/page.js").to_request());
        assert_eq!(ask().await.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(unread);
        assert_eq!(ask().await.status(), StatusCode::OK);
    }

    #[actix_web::test]
    async fn few_requests_wait_for_others() {
        let limits = Limits::default();
        let all = Arc::clone(&limits.requests).acquire_many_owned(REQUESTS_MAX as u32).await.unwrap();
        let waiting = Arc::clone(&limits.waiting).acquire_many_owned(WAITING_MAX as u32).await.unwrap();
        assert!(limits.permit().await.is_none());
        drop(waiting);
        let end = async {
            tokio::task::yield_now().await;
            drop(all);
        };
        assert!(tokio::join!(limits.permit(), end).0.is_some());
    }

    #[actix_web::test]
    async fn a_large_body_is_given_in_parts_and_counts_until_its_end() {
        let requests = Arc::new(Semaphore::new(1));
        let text: String = (0..50_000).map(|number| format!("{number},")).collect();
        let permit = Arc::clone(&requests).try_acquire_owned().unwrap();
        let (body, part) = (text.clone().boxed(), web::Bytes::new());
        let mut held = Held { body, part, answering: None, _permit: Some(permit) };
        assert_eq!(held.size(), BodySize::Sized(text.len() as u64));
        let mut parts = Vec::new();
        while let Some(part) = std::future::poll_fn(|context| Pin::new(&mut held).poll_next(context)).await {
            let part = part.unwrap();
            assert!(part.len() <= PART_BYTES && requests.available_permits() == 0);
            parts.extend_from_slice(&part);
        }
        assert_eq!(parts, text.as_bytes());
        drop(held);
        assert_eq!(requests.available_permits(), 1);
    }
}
