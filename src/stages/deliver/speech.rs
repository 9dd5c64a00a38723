//! The text of a notice for its recipient, in their units and time zone.

use super::super::day_words;
use super::super::notice::{Notice, Recipient};
use super::super::segment::{fits_one_sms, plain_sms};
use super::super::{Moment, Occasion, Speech};
use crate::rules::{Channel, RuleSet, Subscriber, Transition};

/// The text of a notice for a channel. A rule's own text stays as it is; if it is too long for an SMS, the SMS has a
/// shorter, generated text.
pub(super) fn spoken(
    mut notice: Notice,
    moment: Option<&Moment>,
    subscriber: Option<&Subscriber>,
    rules: &RuleSet,
    channel: Channel,
) -> Notice {
    let is_short = channel == Channel::Sms;
    let has_own_text = rules.get(&notice.rule_id).is_some_and(|rule| rule.message.is_some());
    let begins = matches!(notice.transition, Transition::Fired | Transition::Expected);
    if has_own_text && begins && (!is_short || fits(&notice.message)) {
        return notice;
    }
    let units = notice.units(subscriber.and_then(|subscriber| subscriber.units));
    let zone = subscriber.and_then(|subscriber| subscriber.timezone.as_deref());
    let place = notice.station_name.as_deref().unwrap_or(&notice.station);
    let sentence = match (moment, units) {
        (Some(moment), _) => {
            let speech = Speech::new(units.unwrap_or_default(), zone, moment.offset);
            let occasion = Occasion { transition: notice.transition, moment, place, when: &notice.when };
            Some(match is_short {
                true => speech.short_sentence(occasion, fits),
                false => speech.sentence(occasion),
            })
        }
        (None, Some(units)) => day_words::sentence(&notice, units),
        (None, None) => None,
    };
    if let Some(sentence) = sentence {
        notice.message = sentence;
    }
    if is_short && moment.is_none() && !fits(&notice.message) {
        let short = day_words::short_sentence(&notice, units.unwrap_or_default());
        notice.message = short.unwrap_or(notice.message);
    }
    notice
}

/// Whether it fits in one SMS.
fn fits(text: &str) -> bool {
    fits_one_sms(&plain_sms(text))
}

/// Why the recipient does not want it, if so. For Alertmanager an all-clear is the end of the alert.
pub(super) fn unwanted(
    recipient: &Recipient,
    notice: &Notice,
    subscriber: Option<&Subscriber>,
) -> Option<&'static str> {
    let wants =
        *recipient == Recipient::Alertmanager || subscriber.is_some_and(|subscriber| subscriber.all_clear);
    let is_all_clear = notice.transition == Transition::Averted;
    (is_all_clear && !wants)
        .then_some("the subscriber does not want all-clears (all_clear = true is not set)")
}

#[cfg(test)]
mod tests {
    use super::super::super::notice::AlertText;
    use super::*;
    use crate::rules::Units;

    const RULES: &str = r#"
[[rule]]
id = "own"
station = "USW00003192"
when = "TMIN <= 0.0"
message = "Cold: {TMIN}"
"#;

    fn say(rule: &str, when: &str, more: &str, subscriber: Option<&Subscriber>) -> String {
        let alert = format!(
            r#"{{"station":{{"id":"USW00003192","name":"SCOTTSDALE"}},"date":"2026-11-28T00:00:00","TMIN":-3.0,
            "alert_id":"a/b","rule_id":"{rule}","transition":"fired","when":"{when}","message":"as it was"{more}}}"#
        );
        let alert = AlertText::parse(alert.as_bytes()).unwrap();
        let rules = RuleSet::parse(RULES).unwrap();
        spoken(alert.notice, alert.moment.as_ref(), subscriber, &rules, Channel::Email).message
    }

    #[test]
    fn an_sms_of_a_day_keeps_its_unit_however_long_the_names_are() {
        let text = |rule: &str, when: &str, message: &str| {
            let alert = format!(
                r#"{{"station":{{"id":"USW00003192","name":"SCOTTSDALE MUNI AP"}},"date":"2026-11-28T00:00:00","TMIN":-3.0,
                "alert_id":"a/b","rule_id":"{rule}","transition":"fired","when":"{when}","message":"{message}"}}"#
            );
            let alert = AlertText::parse(alert.as_bytes()).unwrap();
            spoken(alert.notice, None, None, &RuleSet::parse(RULES).unwrap(), Channel::Sms).message
        };
        let long = "x".repeat(150);
        let when = format!("TMIN <= 0.0 && station.name != '{long}'");
        let message = format!("TMIN -3.0 °C at SCOTTSDALE MUNI AP (USW00003192) on 2026-11-28: {when}");
        let expected = "Lowest temperature -3.0 °C at SCOTTSDALE MUNI AP on 2026-11-28.";
        assert_eq!(text("r", &when, &message), expected);
        // A rule's own text, which says more than there is room for.
        assert_eq!(text("own", "TMIN <= 0.0", &long.repeat(2)), expected);
        assert_eq!(text("own", "TMIN <= 0.0", "Cold"), "Cold");
    }

    #[test]
    fn everybody_is_spoken_to_in_their_units() {
        let us = Subscriber { units: Some(Units::Us), ..Subscriber::default() };
        let metric = Subscriber { units: Some(Units::Metric), ..Subscriber::default() };
        assert_eq!(say("r", "TMIN <= 0.0", "", None), "as it was");
        assert!(say("r", "TMIN <= 0.0", "", Some(&us)).starts_with("Lowest temperature 27 °F at"));
        assert!(say("r", "f(TMIN) <= 32", "", Some(&metric)).starts_with("Lowest temperature -3.0 °C at"));
        assert!(say("r", "f(TMIN) <= 32", "", None).contains("5 °F below your limit of 32 °F"), "the rule's");
        assert_eq!(say("own", "f(TMIN) <= 32", "", Some(&us)), "as it was", "a rule's own text stays");
    }

    #[test]
    fn hours_are_said_in_their_time_zone() {
        let moment = r#","moment":{"time":1795917180,"offset":-25200,"observed":{"temperature_c":0.8}}"#;
        let phoenix = say("r", "T <= 1.0", moment, None);
        let newark = Subscriber {
            units: Some(Units::Us),
            timezone: Some("America/New_York".into()),
            ..Subscriber::default()
        };
        assert_eq!(phoenix, "0.8 °C at SCOTTSDALE at 18:53. Your limit: 1.0 °C.");
        assert_eq!(
            say("r", "T <= 1.0", moment, Some(&newark)),
            "33.4 °F at SCOTTSDALE at 8:53 PM. Your limit: 33.8 °F."
        );
    }

    #[test]
    fn an_all_clear_goes_to_those_who_ask() {
        let alert = r#"{"station":{"id":"USW00003192"},"date":"2026-11-28T00:00:00","alert_id":"a/b","rule_id":"r",
            "transition":"averted","when":"w","message":"m"}"#;
        let notice = AlertText::parse(alert.as_bytes()).unwrap().notice;
        let wants = Subscriber { all_clear: true, ..Subscriber::default() };
        let anna = Recipient::Subscriber("anna".into());
        assert_eq!(unwanted(&anna, &notice, Some(&wants)), None);
        assert!(unwanted(&anna, &notice, Some(&Subscriber::default())).is_some());
        assert!(unwanted(&Recipient::Address("0a".into()), &notice, None).is_some());
        assert_eq!(unwanted(&Recipient::Alertmanager, &notice, None), None, "it ends the alert");
    }
}
