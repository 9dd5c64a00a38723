//! Reads the outlooks and warnings of this installation, while a client asks for scores: from [`TAIL`] records before
//! the end of each partition on. For a few stations that is everything, for thousands some weeks.

use std::sync::{Arc, Mutex};

use frostline_engine::runtime::TopicTail;

use super::while_asked::{WhileAsked, lock};
use crate::app::TailSource;
use crate::config::topic;
use crate::hourly::HOUR;
use crate::outlook::{Issue, Ledger};

/// How many records before the end of each partition are read.
const TAIL: i64 = 100_000;
/// The scored outlooks: those of 18:00, local standard time.
pub(super) const ISSUE: Issue = Issue { issued: 18 * HOUR, lag: 0 };

/// Reads outlooks and alerts while a client asks for scores.
pub(super) struct Scores {
    source: TailSource,
    pub(super) reading: WhileAsked<Reading>,
}

/// The tails, and the data read so far.
pub(super) struct Reading {
    ledger: Arc<Mutex<Ledger>>,
    tails: [TopicTail; 2],
}

impl Scores {
    /// Nothing is read yet.
    pub(super) fn new(source: TailSource) -> Self {
        Self { source, reading: WhileAsked::default() }
    }

    /// The data read so far, and whether it is complete.
    pub(super) fn ask(&self) -> (Arc<Mutex<Ledger>>, bool) {
        let look = |reading: &Reading| {
            (Arc::clone(&reading.ledger), reading.tails.iter().all(TopicTail::is_current))
        };
        self.reading.ask(|| self.begin(), look)
    }

    fn begin(&self) -> Reading {
        let ledger = Arc::new(Mutex::new(Ledger::new(ISSUE)));
        let sharing = self.source.sharing();
        let follow = |logical, take: fn(&mut Ledger, &[u8])| {
            let ledger = Arc::clone(&ledger);
            sharing.tail(logical, TAIL, move |record, _| {
                if let Some(document) = record.value {
                    take(&mut lock(&ledger), document);
                }
            })
        };
        let tails =
            [follow(topic::OUTLOOKS, Ledger::take_outlook), follow(topic::ALERTS, Ledger::take_alert)];
        Reading { ledger, tails }
    }
}
