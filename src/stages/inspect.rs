//! What a task's store says of one key, for people who ask. Only what is committed; what counts as gone may still be there.

use serde_json::{Value, json};

use super::StageName;
use super::calendar::episodes_key;
use super::deliver;
use super::emitted;
use super::memory::{decode, lone_day_prefix};
use super::notice::Recipient;
use crate::noaa::{Date, StationId};
use crate::rules::{Episodes, LoneDay, RuleSet};
use crate::state::{StateError, Store};

/// Whose memory is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What `assemble` has emitted for a station and a date.
    Observation(StationId, Date),
    /// What `alert` remembers of a station, rule by rule.
    Station(StationId),
    /// What `deliver` still has for somebody.
    Recipient(Recipient),
}

impl Question {
    /// Reads a key as the input topic of `stage` has it; `date` goes with `assemble`.
    ///
    /// # Errors
    /// What is expected instead, in plain words.
    pub fn parse(stage: StageName, key: &str, date: Option<&str>) -> Result<Self, String> {
        let station = || {
            StationId::parse(key.as_bytes()).ok_or_else(|| {
                format!("{key:?}: expected a GHCN-Daily id of 11 characters, as in USW00003192")
            })
        };
        let date = date.map(|text| {
            Date::parse_iso(text).ok_or_else(|| format!("date {text:?}: expected a day, as in 2018-01-05"))
        });
        match (stage, date.transpose()?) {
            (StageName::Assemble, Some(date)) => Ok(Self::Observation(station()?, date)),
            (StageName::Assemble, None) => Err("assemble remembers day by day: add ?date=2018-01-05".into()),
            (StageName::Alert, None) => station().map(Self::Station),
            (StageName::Deliver, None) => key.parse().map(Self::Recipient),
            (StageName::Alert | StageName::Deliver, Some(_)) => {
                Err(format!("{stage} is asked for all days at once: leave the date out"))
            }
            _ => Err(format!("stage {stage} keeps no state: ask assemble, alert or deliver")),
        }
    }

    /// The stage that knows.
    pub fn stage(&self) -> StageName {
        match self {
            Self::Observation(..) => StageName::Assemble,
            Self::Station(_) => StageName::Alert,
            Self::Recipient(_) => StageName::Deliver,
        }
    }

    /// The key of the records that its memory was made of.
    pub fn key(&self) -> String {
        match self {
            Self::Observation(station, _) | Self::Station(station) => station.to_string(),
            Self::Recipient(recipient) => recipient.to_string(),
        }
    }

    /// Looks into the store of a task of [`stage`](Self::stage).
    ///
    /// # Errors
    /// [`StateError::Corrupted`] where the store cannot be read.
    pub fn answer(&self, store: &Store, rules: &RuleSet) -> Result<Vec<Value>, StateError> {
        match self {
            Self::Observation(station, date) => emitted::remembered(store, *station, *date),
            Self::Station(station) => of_station(store, rules, *station),
            Self::Recipient(recipient) => deliver::remembered(store, recipient),
        }
    }
}

fn of_station(store: &Store, rules: &RuleSet, station: StationId) -> Result<Vec<Value>, StateError> {
    let mut found = Vec::new();
    let mut rules = rules.all();
    rules.sort_by(|left, right| left.id.cmp(&right.id));
    for rule in rules {
        let key = episodes_key(&rule.id, station);
        store.scan_prefix(&key, |_, value| {
            if let Ok(Some(episodes)) = decode::<Episodes>(value) {
                let since = episodes.standing_since().and_then(Date::from_days_since_1970);
                found.push(json!({
                    "kind": "episodes",
                    "rule": &*rule.id,
                    "standing_since": since.map(|date| date.to_string()),
                    "in_words": episodes.describe(rule.terms()),
                }));
            }
        })?;
        let prefix = lone_day_prefix(&rule.id, station);
        store.scan_prefix(&prefix, |key, value| {
            let date = key[prefix.len()..].try_into().ok().and_then(Date::from_be_bytes);
            if let Some((date, Ok(Some(day)))) = date.map(|date| (date, decode::<LoneDay>(value))) {
                found.push(json!({
                    "kind": "day", "rule": &*rule.id, "date": date.to_string(), "stands": day.stands(),
                }));
            }
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_what_it_is_about_or_says_what_is_missing() {
        let station = StationId::parse(b"USW00003192").unwrap();
        let date = Date::new(2018, 1, 5).unwrap();
        let parse = Question::parse;
        assert_eq!(parse(StageName::Alert, "USW00003192", None), Ok(Question::Station(station)));
        let day = parse(StageName::Assemble, "USW00003192", Some("2018-01-05"));
        assert_eq!(day, Ok(Question::Observation(station, date)));
        let recipient = parse(StageName::Deliver, "subscriber/ops", None).unwrap();
        assert_eq!((recipient.stage(), recipient.key()), (StageName::Deliver, "subscriber/ops".into()));
        for (stage, key, date, reason) in [
            (StageName::Alert, "USW", None, "11 characters"),
            (StageName::Alert, "USW00003192", Some("2018-01-05"), "leave the date out"),
            (StageName::Assemble, "USW00003192", None, "?date="),
            (StageName::Assemble, "USW00003192", Some("5.1.2018"), "expected a day"),
            (StageName::Deliver, "ops", None, "subscriber/ID"),
            (StageName::Filter, "USW00003192", None, "keeps no state"),
        ] {
            let refused = parse(stage, key, date).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
