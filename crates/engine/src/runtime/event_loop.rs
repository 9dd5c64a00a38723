//! An event loop for callers that have none.

use std::future::Future;

/// Runs a future on its own actix System, as [`Engine::start`](super::Engine::start) requires.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix::System::new().block_on(future)
}
