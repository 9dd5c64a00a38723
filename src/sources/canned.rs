//! Canned answers for tests, and the handling of a position.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use frostline_engine::{Batch, PollError, Poller, Position};

use super::client::{Answer, Fetch, Fresh, Part, Request, Validators};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) validators: Validators,
    pub(super) part: Option<Part>,
}

/// Gives its answers in order.
#[derive(Default)]
pub(super) struct Canned {
    answers: Mutex<VecDeque<Result<Answer, PollError>>>,
    asked: Mutex<Vec<Asked>>,
}

impl Canned {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn then(&self, answer: Result<Answer, PollError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// A whole file.
    pub(super) fn file(&self, bytes: impl Into<Vec<u8>>, etag: &str) {
        self.then(Ok(Answer::New(Fresh {
            bytes: bytes.into(),
            validators: version(etag),
            ..Fresh::default()
        })));
    }

    /// The requests since the last call.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Fetch for Canned {
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError> {
        let asked =
            Asked { url: request.url.to_owned(), validators: request.validators.clone(), part: request.part };
        self.asked.lock().unwrap().push(asked);
        self.answers.lock().unwrap().pop_front().expect("an answer for each request")
    }
}

pub(super) fn version(etag: &str) -> Validators {
    Validators { etag: Some(etag.to_owned()).filter(|etag| !etag.is_empty()), last_modified: None }
}

/// A poll whose batch is committed.
pub(super) fn poll(
    poller: &mut dyn Poller,
    position: &mut Position,
    now_ms: i64,
) -> Result<Batch, PollError> {
    let batch = poller.poll(position, now_ms)?;
    for (key, value) in &batch.changes {
        position.apply(key, value.as_deref());
    }
    Ok(batch)
}
