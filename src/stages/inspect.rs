//! The state of one key in a task's store, for inspection. Committed entries only; expired ones may still be there.

use std::sync::Arc;

use frostline_engine::runtime::StateQuestion;
use frostline_engine::{StageId, StateError, Store};
use serde_json::{Value, json};

use super::deliver;
use super::emitted;
use super::memory::episodes_key;
use super::memory::{decode, lone_day_prefix};
use super::notice::Recipient;
use super::{outlook, watch_memory};
use crate::noaa::{Date, StationId};
use crate::rules::{Episodes, LoneDay, RuleSet};

/// The state that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The observation that `assemble` has emitted for a station and a date.
    Observation(StationId, Date),
    /// The state of `alert` for a station, rule by rule.
    Station(StationId),
    /// The state of `outlook` for a station: its night so far, and what it has learned from.
    Hours(StationId),
    /// The state of `watch` for a station, rule by rule.
    Watched(StationId),
    /// The open messages of `deliver` for a recipient.
    Recipient(Recipient),
}

impl Question {
    /// Parses a key of the input topic of `stage`; `date` is for `assemble`.
    ///
    /// # Errors
    /// The expected form, in a sentence.
    pub fn parse(stage: StageId, key: &str, date: Option<&str>) -> Result<Self, String> {
        let station = || {
            StationId::parse(key.as_bytes()).ok_or_else(|| {
                format!("{key:?}: expected a GHCN-Daily id of 11 characters, such as USW00003192")
            })
        };
        let date = date.map(|text| {
            Date::parse_iso(text).ok_or_else(|| format!("date {text:?}: expected a day, such as 2018-01-05"))
        });
        match (stage, date.transpose()?) {
            (super::ASSEMBLE, Some(date)) => Ok(Self::Observation(station()?, date)),
            (super::ASSEMBLE, None) => {
                Err("assemble stores each day separately: add ?date=2018-01-05".into())
            }
            (super::ALERT, None) => station().map(Self::Station),
            (super::OUTLOOK, None) => station().map(Self::Hours),
            (super::WATCH, None) => station().map(Self::Watched),
            (super::DELIVER, None) => key.parse().map(Self::Recipient),
            (super::ALERT | super::OUTLOOK | super::WATCH | super::DELIVER, Some(_)) => {
                Err(format!("{stage} returns all days at once: remove the date"))
            }
            _ => Err(format!("stage {stage} keeps no state: use assemble, alert, outlook, watch or deliver")),
        }
    }

    /// The question as the engine asks it.
    pub fn to_engine(&self, rules: &Arc<RuleSet>) -> StateQuestion {
        let (question, rules) = (self.clone(), Arc::clone(rules));
        StateQuestion {
            stage: self.stage(),
            key: self.key().into_bytes(),
            look: Arc::new(move |store| question.answer(store, &rules)),
        }
    }

    /// The stage that has the state.
    pub fn stage(&self) -> StageId {
        match self {
            Self::Observation(..) => super::ASSEMBLE,
            Self::Station(_) => super::ALERT,
            Self::Hours(_) => super::OUTLOOK,
            Self::Watched(_) => super::WATCH,
            Self::Recipient(_) => super::DELIVER,
        }
    }

    /// The key of the records that the state was made from.
    pub fn key(&self) -> String {
        match self {
            Self::Observation(station, _)
            | Self::Station(station)
            | Self::Hours(station)
            | Self::Watched(station) => station.to_string(),
            Self::Recipient(recipient) => recipient.to_string(),
        }
    }

    /// Reads the store of a task of [`stage`](Self::stage).
    ///
    /// # Errors
    /// [`StateError::Corrupted`] if the store cannot be read.
    pub fn answer(&self, store: &Store, rules: &RuleSet) -> Result<Vec<Value>, StateError> {
        match self {
            Self::Observation(station, date) => emitted::remembered(store, *station, *date),
            Self::Station(station) => of_station(store, rules, *station),
            Self::Hours(station) => outlook::remembered(store, *station),
            Self::Watched(station) => watch_memory::remembered(store, rules, *station),
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
        store.scan_committed(&key, |_, value| {
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
        store.scan_committed(&prefix, |key, value| {
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
    use frostline_engine::store::Checkpoint;

    use super::*;
    use crate::stages::memory::encode;

    #[test]
    fn a_question_names_what_it_is_about_or_says_what_is_missing() {
        let station = StationId::parse(b"USW00003192").unwrap();
        let date = Date::new(2018, 1, 5).unwrap();
        let parse = Question::parse;
        assert_eq!(parse(crate::stages::ALERT, "USW00003192", None), Ok(Question::Station(station)));
        let day = parse(crate::stages::ASSEMBLE, "USW00003192", Some("2018-01-05"));
        assert_eq!(day, Ok(Question::Observation(station, date)));
        let recipient = parse(crate::stages::DELIVER, "subscriber/ops", None).unwrap();
        assert_eq!((recipient.stage(), recipient.key()), (crate::stages::DELIVER, "subscriber/ops".into()));
        for stage in [crate::stages::OUTLOOK, crate::stages::WATCH] {
            let question = parse(stage, "USW00003192", None).unwrap();
            assert_eq!((question.stage(), question.key()), (stage, "USW00003192".into()));
            assert!(parse(stage, "USW00003192", Some("2018-01-05")).unwrap_err().contains("remove the date"));
        }
        for (stage, key, date, reason) in [
            (crate::stages::ALERT, "USW", None, "11 characters"),
            (crate::stages::ALERT, "USW00003192", Some("2018-01-05"), "remove the date"),
            (crate::stages::ASSEMBLE, "USW00003192", None, "?date="),
            (crate::stages::ASSEMBLE, "USW00003192", Some("5.1.2018"), "expected a day"),
            (crate::stages::DELIVER, "ops", None, "subscriber/ID"),
            (crate::stages::FILTER, "USW00003192", None, "keeps no state"),
        ] {
            let refused = parse(stage, key, date).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn an_answer_has_only_what_is_committed() {
        let rules =
            RuleSet::parse("[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN < 0.0\"\n")
                .unwrap();
        let station = StationId::parse(b"USW00003192").unwrap();
        let mut store = Store::in_memory();
        let answers = |store: &Store| Question::Station(station).answer(store, &rules).unwrap().len();
        let identity = rules.get("frost").unwrap().identity;
        store.keep(&episodes_key("frost", station), &encode(&Episodes::new(identity)));
        assert_eq!(answers(&store), 0);
        store.seal();
        assert_eq!(answers(&store), 0);
        store.commit(Checkpoint::NONE).unwrap();
        assert_eq!(answers(&store), 1);
    }
}
