//! Standing alerts: episodes that are not over, days not followed by a newer one, and nights until their morning.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::hourly::Night;
use crate::noaa::{Date, StationId};

/// Longest id of a followed alert, episode or rule.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Most standing alerts that are followed; further ones are only in the list.
const STANDING_MAX: usize = 100_000;

/// Identifies a standing alert: the rule and station, and the day if it stands for that day only.
#[derive(Default)]
pub(super) struct StandingAlerts(HashMap<String, Standing>);

/// A standing alert.
struct Standing {
    rule: String,
    station: StationId,
    /// Set if it stands for that day only.
    day: Option<Date>,
    /// Set if it stands for a night only: the end of the night, in seconds since 1970.
    until: Option<i64>,
}

impl StandingAlerts {
    /// Records that an alert stands, or that one is over.
    pub(super) fn note(&mut self, alert: &Map<String, Value>) {
        let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default();
        let station = alert.get("station").and_then(|station| station["id"].as_str()).unwrap_or_default();
        let Some(station) = StationId::parse(station.as_bytes()) else { return };
        let (episode, rule) = (text("episode"), text("rule_id"));
        let names = [episode, text("retracts"), text("alert_id")];
        let thread = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        if thread.len() > NAME_BYTES_MAX || rule.len() > NAME_BYTES_MAX {
            return;
        }
        if !matches!(text("transition"), "fired" | "expected" | "confirmed") {
            self.0.remove(thread);
        } else if self.0.len() < STANDING_MAX {
            let date = Date::parse_iso(text("date"));
            let moment = alert.get("moment");
            let day = date.filter(|_| episode.is_empty() && moment.is_none());
            // No alert announces the end of a night whose limit was reached. An episode of hours ends with its own
            // alert.
            let is_of_night =
                moment.is_some_and(|moment| moment.get("night").is_some() || text("clear").is_empty());
            let until = date.filter(|_| is_of_night).map(|date| {
                let offset = moment.and_then(|moment| moment["offset"].as_i64()).unwrap_or_default();
                Night::morning_after(date, offset)
            });
            self.0.insert(thread.to_owned(), Standing { rule: rule.to_owned(), station, day, until });
        }
    }

    /// Rule and station of the alerts standing at a time, in seconds since 1970, judged by the newest days of the
    /// stations. Forgets alerts that no longer stand.
    pub(super) fn all(&mut self, newest: &HashMap<StationId, Date>, now: i64) -> Vec<(String, StationId)> {
        let stands = |station: StationId, day: Option<Date>| {
            day.is_none_or(|day| newest.get(&station).is_none_or(|newest| *newest <= day))
        };
        // A station's newest day only grows.
        self.0.retain(|_, standing| {
            stands(standing.station, standing.day) && standing.until.is_none_or(|until| now <= until)
        });
        self.0.values().map(|standing| (standing.rule.clone(), standing.station)).collect()
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
