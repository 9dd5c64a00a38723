//! The order of alerts in a message: for each night or episode the newest comes first, because older ones are
//! history.

use std::collections::HashSet;

use crate::stages::{Notice, Told};

/// The newest alert of each night or episode, the newest first.
pub(super) fn newest_of_each(notices: &[Told]) -> Vec<&Notice> {
    let mut seen = HashSet::new();
    let newest_first = notices.iter().rev().map(|told| &told.notice);
    newest_first.filter(|notice| seen.insert(notice.thread())).collect()
}

/// All alerts: for each night or episode the newest first, then older ones from new to old.
pub(super) fn newest_first(notices: &[Told]) -> Vec<&Told> {
    let mut sorted: Vec<&Told> = Vec::with_capacity(notices.len());
    for leading in newest_of_each(notices) {
        sorted.extend(notices.iter().rev().filter(|told| told.notice.thread() == leading.thread()));
    }
    sorted
}
