//! How a notice is put for its recipient: in their units and their time zone.

use super::super::day_words;
use super::super::notice::Notice;
use super::super::{Moment, Speech};
use crate::rules::{RuleSet, Subscriber, Transition, Unit, Units};

/// The notice in the recipient's words. A rule's own text stays as it is.
pub(super) fn spoken(
    mut notice: Notice,
    moment: Option<&Moment>,
    subscriber: Option<&Subscriber>,
    rules: &RuleSet,
) -> Notice {
    let has_own_text = rules.get(&notice.rule_id).is_some_and(|rule| rule.message.is_some());
    if has_own_text && matches!(notice.transition, Transition::Fired | Transition::Expected) {
        return notice;
    }
    let wanted = subscriber.and_then(|subscriber| subscriber.units);
    let units = wanted.or_else(|| asks_in_us_units(&notice.when).then_some(Units::Us));
    let zone = subscriber.and_then(|subscriber| subscriber.timezone.as_deref());
    let place = notice.station_name.as_deref().unwrap_or(&notice.station);
    let sentence = match (moment, units) {
        (Some(moment), _) => {
            let speech = Speech::new(units.unwrap_or_default(), zone, moment.offset);
            Some(speech.sentence(notice.transition, moment, place, &notice.when))
        }
        (None, Some(units)) => day_words::sentence(&notice, units),
        (None, None) => None,
    };
    if let Some(sentence) = sentence {
        notice.message = sentence;
    }
    notice
}

/// Why the recipient does not want it, if so.
pub(super) fn unwanted(notice: &Notice, subscriber: Option<&Subscriber>) -> Option<&'static str> {
    let wants = subscriber.is_some_and(|subscriber| subscriber.all_clear);
    let is_all_clear = notice.transition == Transition::Averted;
    (is_all_clear && !wants).then_some("the subscriber does not ask for all-clears (all_clear = true)")
}

/// Whether a condition is written in degrees Fahrenheit, inches or miles.
fn asks_in_us_units(when: &str) -> bool {
    let mut names = when.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    names.any(|name| Unit::of_function(name).is_some() && when.contains(&format!("{name}(")))
}
