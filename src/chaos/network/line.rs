//! The network of one process, and what is wrong with it at the moment.

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Bytes that a dripping line passes at once, and the pause between two such pieces.
const DROP_BYTES: usize = 256;
const DROP_INTERVAL: Duration = Duration::from_millis(10);

/// A request at which a connection can be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutAt {
    /// A commit or an abort.
    EndTxn,
    /// A group is added to a transaction.
    AddOffsets,
    /// Offsets are committed, in a transaction or without one.
    CommitOffsets,
}

impl CutAt {
    /// Whether a request with this API key (Kafka's protocol guide lists them) is meant.
    pub(super) fn is_at(self, api_key: i16) -> bool {
        match self {
            Self::EndTxn => api_key == 26,
            Self::AddOffsets => api_key == 25,
            Self::CommitOffsets => matches!(api_key, 8 | 28),
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::chaos) enum Trouble {
    #[default]
    Nothing,
    /// Each request and each answer is held back for this long, one after the other.
    Slow(Duration),
    /// Requests and answers arrive in pieces of [`DROP_BYTES`].
    Drip,
    /// Connections end, and new ones are not accepted.
    Cut,
    /// Nothing passes. Connections that have lost something stay silent for the rest of their lives.
    HalfOpen,
    /// The connection of the next such request ends; `is_sent`: after the broker has answered it.
    CutAt { request: CutAt, is_sent: bool },
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    /// It is lost, and so is its connection.
    IsLost,
    /// Its answer is lost, and so is its connection.
    AnswerIsLost,
}

/// The network of one process.
#[derive(Default)]
pub(in crate::chaos) struct Line(watch::Sender<State>);

#[derive(Clone, Copy, Default)]
struct State {
    trouble: Trouble,
    /// When the trouble ends by itself.
    until: Option<Instant>,
}

impl State {
    fn now(&self) -> Trouble {
        if self.until.is_some_and(|until| until <= Instant::now()) { Trouble::Nothing } else { self.trouble }
    }
}

impl Line {
    /// From now on something is wrong, for so long.
    pub(in crate::chaos) fn trouble(&self, trouble: Trouble, time: Duration) {
        self.0.send_replace(State { trouble, until: Some(Instant::now() + time) });
    }

    /// The connection of the next such request ends; `is_sent`: after the broker has answered it.
    pub(in crate::chaos) fn cut_at(&self, request: CutAt, is_sent: bool) {
        self.0.send_replace(State { trouble: Trouble::CutAt { request, is_sent }, until: None });
    }

    /// Whether it still waits for the request at which it cuts.
    pub(in crate::chaos) fn waits_for_cut(&self) -> bool {
        matches!(self.now(), Trouble::CutAt { .. })
    }

    /// Nothing is wrong any more. Returns whether it still waited for the request at which it cuts.
    pub(in crate::chaos) fn calm(&self) -> bool {
        let waited = self.waits_for_cut();
        self.0.send_replace(State::default());
        waited
    }

    pub(super) fn now(&self) -> Trouble {
        self.0.borrow().now()
    }

    /// What happens to a request that a client sends now.
    pub(super) fn fate(&self, api_key: i16) -> Fate {
        let Trouble::CutAt { request, is_sent } = self.now() else { return Fate::Passes };
        if !request.is_at(api_key) {
            return Fate::Passes;
        }
        self.0.send_replace(State::default());
        if is_sent { Fate::AnswerIsLost } else { Fate::IsLost }
    }

    /// Returns when connections must end.
    pub(super) async fn is_cut(&self) {
        let mut changes = self.0.subscribe();
        let _ = changes.wait_for(|state| state.now() == Trouble::Cut).await;
    }

    /// Writes a request or an answer, as fast as the line is; `false` if it is lost.
    pub(super) async fn pass(
        &self,
        bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<bool> {
        match self.now() {
            Trouble::Slow(time) => sleep(time).await,
            Trouble::HalfOpen => return Ok(false),
            _ => {}
        }
        let mut left = bytes;
        while self.now() == Trouble::Drip && left.len() > DROP_BYTES {
            let (piece, rest) = left.split_at(DROP_BYTES);
            to.write_all(piece).await?;
            left = rest;
            sleep(DROP_INTERVAL).await;
        }
        to.write_all(left).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_once_at_the_request_that_was_meant() {
        let line = Line::default();
        let request = CutAt::EndTxn;
        line.cut_at(request, false);
        assert_eq!(line.fate(25), Fate::Passes);
        assert!(line.waits_for_cut());
        assert_eq!((line.fate(26), line.fate(26)), (Fate::IsLost, Fate::Passes));
        line.cut_at(request, true);
        assert_eq!(line.fate(26), Fate::AnswerIsLost);
        assert!(!line.calm(), "it has been cut");
        line.cut_at(request, true);
        assert!(line.calm(), "the request has not come");
    }

    #[test]
    fn trouble_ends_by_itself() {
        let line = Line::default();
        line.trouble(Trouble::HalfOpen, Duration::from_secs(60));
        assert_eq!(line.now(), Trouble::HalfOpen);
        line.trouble(Trouble::Drip, Duration::ZERO);
        assert_eq!(line.now(), Trouble::Nothing);
    }
}
