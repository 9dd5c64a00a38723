//! The order of alerts in a message: what stands before what is over, the most severe first, then those about the newest
//! day. For each night or episode the newest comes first, because older ones are history.

use std::collections::HashSet;

use crate::stages::{Notice, Told};

/// The newest alert of each night or episode, in the order of the message.
pub(super) fn newest_of_each(notices: &[Told]) -> Vec<&Notice> {
    let mut seen = HashSet::new();
    let newest_first = notices.iter().rev().map(|told| &told.notice);
    let mut newest: Vec<&Notice> = newest_first.filter(|notice| seen.insert(notice.thread())).collect();
    newest.sort_by(|left, right| {
        let by_severity = || right.severity.cmp(&left.severity);
        let by_day = || right.date.cmp(&left.date);
        left.is_over().cmp(&right.is_over()).then_with(by_severity).then_with(by_day)
    });
    newest
}

/// All alerts in that order: for each night or episode the newest first, then older ones from new to old.
pub(super) fn newest_first(notices: &[Told]) -> Vec<&Told> {
    let mut sorted: Vec<&Told> = Vec::with_capacity(notices.len());
    for leading in newest_of_each(notices) {
        sorted.extend(notices.iter().rev().filter(|told| told.notice.thread() == leading.thread()));
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;
    use crate::rules::{Severity, Transition};

    #[test]
    fn the_most_severe_comes_first_and_then_the_newest_day() {
        let of = |rule: &str, severity: Severity, date: &str| {
            let mut alert = samples::told(rule, "X");
            (alert.notice.severity, alert.notice.date) = (severity, date.into());
            alert
        };
        let mut over = of("over", Severity::Critical, "2016-02-20");
        over.notice.transition = Transition::Resolved;
        let notices = [
            of("hard", Severity::Critical, "2016-02-01"),
            of("newer", Severity::Warning, "2016-02-09"),
            of("older", Severity::Warning, "2016-02-03"),
            of("note", Severity::Info, "2016-02-20"),
            over,
        ];
        let rules: Vec<&str> =
            newest_of_each(&notices).iter().map(|notice| notice.rule_id.as_str()).collect();
        assert_eq!(rules, ["hard", "newer", "older", "note", "over"]);
    }
}
