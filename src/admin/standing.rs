//! Standing alerts: episodes that are not over, days not followed by a newer one, and nights until their morning.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::hourly::Night;
use crate::noaa::{Date, StationId};

/// Longest id of a followed alert, episode or rule.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Most standing alerts that are followed; further ones are only in the list.
const STANDING_MAX: usize = 100_000;

/// Nights that ended this long before another one are forgotten if there are too many, in seconds.
const PAST: i64 = 2 * 24 * 3_600;
/// Most alerts of an episode that are remembered.
const ALERTS_MAX: usize = 16;

/// By thread: an episode, or an alert that stands for its day only.
#[derive(Default)]
pub(super) struct StandingAlerts(HashMap<String, Thread>);

/// The alerts of an episode, or a single one.
struct Thread {
    rule: String,
    station: StationId,
    /// Set if it stands for that day only.
    day: Option<Date>,
    /// Set if it stands for a night only: the end of the night, in seconds since 1970.
    until: Option<i64>,
    /// Those that are not retracted, in the order of their coming.
    alerts: Vec<Noted>,
}

struct Noted {
    id: Box<str>,
    date: Option<Date>,
    /// Whether something stands from it on; otherwise it ends that.
    stands: bool,
}

impl Thread {
    /// The newest alert that was not retracted decides.
    fn stands(&self) -> bool {
        let newest = self.alerts.iter().enumerate().max_by_key(|(place, alert)| (alert.date, *place));
        newest.is_some_and(|(_, alert)| alert.stands)
    }
}

impl StandingAlerts {
    /// Records that an alert stands, that one is over, or that one was retracted.
    pub(super) fn note(&mut self, alert: &Map<String, Value>) {
        let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default();
        let station = alert.get("station").and_then(|station| station["id"].as_str()).unwrap_or_default();
        let Some(station) = StationId::parse(station.as_bytes()) else { return };
        let (episode, rule, id) = (text("episode"), text("rule_id"), text("alert_id"));
        let names = [episode, text("retracts"), id];
        let thread = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        if [thread, rule, id].iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return;
        }
        if text("transition") == "retracted" {
            let Some(found) = self.0.get_mut(thread) else { return };
            found.alerts.retain(|alert| *alert.id != *text("retracts"));
            if found.alerts.is_empty() {
                self.0.remove(thread);
            }
            return;
        }
        let date = Date::parse_iso(text("date"));
        let moment = alert.get("moment");
        let day = date.filter(|_| episode.is_empty() && moment.is_none());
        // No alert announces the end of a night whose limit was reached. An episode of hours ends with its own alert.
        let is_of_night =
            moment.is_some_and(|moment| moment.get("night").is_some() || text("clear").is_empty());
        let until = date.filter(|_| is_of_night).map(|date| {
            let offset = moment.and_then(|moment| moment["offset"].as_i64()).unwrap_or_default();
            Night::morning_after(date, offset)
        });
        if !self.0.contains_key(thread) && !self.has_room(until) {
            return;
        }
        let rule = rule.to_owned();
        let new = || Thread { rule, station, day, until, alerts: Vec::new() };
        let found = self.0.entry(thread.to_owned()).or_insert_with(new);
        found.alerts.retain(|alert| *alert.id != *id);
        if found.alerts.len() == ALERTS_MAX {
            found.alerts.remove(0);
        }
        let stands = matches!(text("transition"), "fired" | "expected" | "confirmed");
        found.alerts.push(Noted { id: id.into(), date, stands });
    }

    /// Whether one more thread fits in, if need be after what is over was forgotten.
    fn has_room(&mut self, until: Option<i64>) -> bool {
        if self.0.len() >= STANDING_MAX {
            let past = until.map_or(i64::MIN, |until| until - PAST);
            self.0.retain(|_, thread| thread.stands() && thread.until.is_none_or(|until| until > past));
        }
        self.0.len() < STANDING_MAX
    }

    /// Rule and station of the alerts standing at a time, in seconds since 1970, judged by the newest days of the
    /// stations. Forgets days that are followed by a newer one; nights may stand again, since the time is that of the
    /// newest outlook, which may come later.
    pub(super) fn all(&mut self, newest: &HashMap<StationId, Date>, now: i64) -> Vec<(String, StationId)> {
        let stands = |station: StationId, day: Option<Date>| {
            day.is_none_or(|day| newest.get(&station).is_none_or(|newest| *newest <= day))
        };
        // A station's newest day only grows.
        self.0.retain(|_, thread| stands(thread.station, thread.day));
        let standing =
            self.0.values().filter(|thread| thread.stands() && thread.until.is_none_or(|until| now <= until));
        standing.map(|thread| (thread.rule.clone(), thread.station)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_stands_until_its_morning() {
        let mut standing = StandingAlerts::default();
        let today = Date::new(2026, 11, 28).unwrap();
        let mut note = |text: String| standing.note(&serde_json::from_str(&text).unwrap());
        let alert = |id: &str, days_ago: i32, more: &str| {
            let date = today.plus_days(-days_ago).unwrap();
            format!(
                r#"{{"alert_id":"{id}","rule_id":"{id}","station":{{"id":"USC00020080"}},"transition":"confirmed",
                "episode":"{id}/e","date":"{date}T00:00:00","moment":{{"time":1,"offset":-25200{more}}}}}"#
            )
        };
        let night = r#","night":{"limit_c":0.0}"#;
        for (id, days_ago, more) in [("tonight", 0, night), ("before", 5, night), ("hour", 5, "")] {
            note(alert(id, days_ago, more));
        }
        note(alert("hours", 5, "").replace("\"confirmed\"", "\"fired\",\"clear\":\"T > 2.0\""));
        // 09:00 on the 29th in Arizona.
        let morning = 1_795_968_000;
        assert_eq!(Night::morning_after(today, -25_200), morning);
        let mut rules = |now: i64| {
            let mut rules: Vec<String> =
                standing.all(&HashMap::new(), now).into_iter().map(|(rule, _)| rule).collect();
            rules.sort_unstable();
            rules
        };
        // An episode of hours ends with its own alert.
        assert_eq!(rules(morning), ["hours", "tonight"]);
        assert_eq!(rules(morning + 1), ["hours"]);
    }

    #[test]
    fn a_retraction_takes_back_one_alert_only() {
        let mut standing = StandingAlerts::default();
        let mut stands = |text: &str| {
            let more = r#","rule_id":"r","station":{"id":"USC00020080"},"episode":"r/e"}"#;
            standing.note(&serde_json::from_str(&format!("{{{text}{more}")).unwrap());
            standing.all(&HashMap::new(), 0).len()
        };
        let fired = r#""alert_id":"r/fired","transition":"fired","date":"2016-01-01T00:00:00""#;
        let resolved = r#""alert_id":"r/resolved","transition":"resolved","date":"2016-01-03T00:00:00""#;
        let again = r#""alert_id":"r/again","transition":"fired","date":"2016-01-08T00:00:00""#;
        let retracted = |id: &str| {
            let text = r#""alert_id":"r/retracted","transition":"retracted","date":"2016-01-03T00:00:00","retracts":"#;
            format!("{text}\"{id}\"")
        };
        assert_eq!((stands(fired), stands(resolved)), (1, 0));
        assert_eq!(stands(&retracted("r/resolved")), 1, "the day that ended it was wrong");
        assert_eq!((stands(again), stands(&retracted("r/again"))), (1, 1), "a repetition was taken back");
        assert_eq!((stands(resolved), stands(&retracted("r/fired"))), (0, 0));
        assert_eq!(stands(&retracted("r/resolved")), 0, "nothing is left");
    }

    #[test]
    fn long_names_are_not_followed() {
        let mut standing = StandingAlerts::default();
        for (length, count) in [(NAME_BYTES_MAX + 1, 0), (NAME_BYTES_MAX, 1)] {
            let name = "n".repeat(length);
            let alert =
                format!(r#"{{"alert_id":"{name}","station":{{"id":"USC00020080"}},"transition":"fired"}}"#);
            standing.note(&serde_json::from_str(&alert).unwrap());
            assert_eq!(standing.all(&HashMap::new(), 0).len(), count);
        }
    }
}
