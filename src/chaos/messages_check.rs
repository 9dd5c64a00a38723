//! Compares the messages that people got with the alerts that were committed, and with the outcomes that the daemons
//! have written: by id, one by one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::mailbox::Letter;
use super::report::{Kind, Violations};
use super::topic_log::{Kept, read};
use super::{ChaosError, Installation};
use crate::config::topic;

/// The parts of an alert that decide who is notified.
#[derive(Deserialize)]
struct Alert {
    #[serde(default)]
    subscribers: Vec<String>,
}

/// What a daemon has written about a message, as far as it is checked.
#[derive(Deserialize)]
struct Outcome {
    recipient: String,
    outcome: String,
    alert_ids: Vec<String>,
}

/// What people got.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Messages that arrived, each counted once.
    pub(super) arrived: u64,
    /// How many of them came more than once, which nobody can prevent.
    pub(super) repeated: u64,
    /// Messages that were not sent, for instance the end of an event of whose beginning nobody was notified.
    pub(super) suppressed: u64,
}

/// Checks the messages about all committed alerts.
pub(super) fn check(
    installation: &Installation,
    alerts: &[Kept],
    violations: &mut Violations,
) -> Result<Counted, ChaosError> {
    let outcomes = read(installation, &installation.config.topic(topic::DELIVERIES).name)?;
    Ok(compare(alerts, &outcomes, &installation.mailbox.letters(), violations))
}

fn compare(
    alerts: &[Kept],
    outcomes: &[Kept],
    letters: &BTreeMap<Letter, u32>,
    violations: &mut Violations,
) -> Counted {
    // For each message how many times it was written that it was sent, and that it was not.
    let mut due: BTreeMap<Letter, (u32, u32)> = BTreeMap::new();
    for alert in alerts {
        let subscribers = parsed::<Alert>(alert).map(|alert| alert.subscribers).unwrap_or_default();
        for subscriber in subscribers {
            due.insert((format!("subscriber/{subscriber}"), alert.header("alert-id")), (0, 0));
        }
    }
    let mut add = |kind, letter: &Letter, what: &str| {
        violations.add(kind, format!("{} to {}: {what}", letter.1, letter.0));
    };
    for outcome in outcomes.iter().filter_map(parsed::<Outcome>) {
        for alert_id in outcome.alert_ids {
            let letter = (outcome.recipient.clone(), alert_id);
            match due.get_mut(&letter) {
                None => add(Kind::MessageUnfounded, &letter, "an outcome without an alert"),
                Some((sent, _)) if outcome.outcome == "sent" => *sent += 1,
                Some((_, unsent)) if outcome.outcome == "suppressed" => *unsent += 1,
                Some((_, unsent)) => {
                    *unsent += 1;
                    add(Kind::MessageLost, &letter, "given up");
                }
            }
        }
    }
    let mut counted = Counted::default();
    for (letter, outcome) in &due {
        let arrived = letters.get(letter).copied().unwrap_or_default();
        match outcome {
            (0, 0) => add(Kind::MessageLost, letter, "nothing was written about it"),
            (1, 0) if arrived == 0 => add(Kind::MessageLost, letter, "sent, but it did not arrive"),
            (1, 0) | (0, 1) => {}
            _ => add(Kind::MessageTwice, letter, "several outcomes"),
        }
        counted.arrived += u64::from(arrived > 0);
        counted.repeated += u64::from(arrived > 1);
        counted.suppressed += u64::from(outcome.1 > 0);
    }
    for letter in letters.keys().filter(|letter| !due.contains_key(*letter)) {
        add(Kind::MessageUnfounded, letter, "it arrived, and there is no such alert");
    }
    counted
}

fn parsed<'a, T: Deserialize<'a>>(kept: &'a Kept) -> Option<T> {
    serde_json::from_slice(kept.value.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::topic_log::Headers;

    fn kept(alert_id: &str, value: String) -> Kept {
        let headers = Headers(vec![("alert-id".to_owned(), Some(alert_id.into()))]);
        let value = Some(value.into_bytes());
        Kept { partition: 0, offset: 0, timestamp_ms: 0, key: None, value, headers }
    }

    fn outcome(alert_id: &str, outcome: &str) -> Kept {
        let text = format!(
            r#"{{"recipient":"subscriber/a","outcome":"{outcome}","alert_ids":["{alert_id}"],"attempts":1}}"#
        );
        kept("", text)
    }

    #[test]
    fn each_way_in_which_a_message_goes_wrong_is_found() {
        let ids = ["fine", "quiet", "silent", "gone", "refused", "double"];
        let alerts = ids.map(|id| kept(id, r#"{"subscribers":["a"]}"#.to_owned()));
        let outcomes = [
            outcome("fine", "sent"),
            outcome("quiet", "suppressed"),
            outcome("gone", "sent"),
            outcome("refused", "failed"),
            outcome("double", "sent"),
            outcome("double", "sent"),
            outcome("invented", "sent"),
        ];
        let letter = |id: &str, count| (("subscriber/a".to_owned(), id.to_owned()), count);
        let letters = BTreeMap::from([letter("fine", 2), letter("double", 1), letter("made-up", 1)]);
        let mut violations = Violations::default();
        let counted = compare(&alerts, &outcomes, &letters, &mut violations);
        assert_eq!(counted, Counted { arrived: 2, repeated: 1, suppressed: 2 });
        let count = |kind| violations.count(kind);
        assert_eq!(count(Kind::MessageLost), 3, "{:?}", violations.examples(Kind::MessageLost));
        assert_eq!((count(Kind::MessageTwice), count(Kind::MessageUnfounded)), (1, 2));
    }
}
