//! The input of a condition, as CEL's values.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};

use super::feed::Feed;
use super::moment::{MomentView, NightField};
use super::variables::Variable;
use crate::noaa::{Date, ElementValue, ObservationView, StationView};
use crate::outlook::Distribution;

/// A day, or a moment.
#[derive(Clone, Copy)]
pub(in crate::rules) enum Input<'a> {
    Day(&'a ObservationView),
    Moment(&'a MomentView),
}

impl<'a> Input<'a> {
    pub(in crate::rules) fn station(self) -> &'a StationView {
        match self {
            Self::Day(day) => &day.station,
            Self::Moment(moment) => &moment.station,
        }
    }

    pub(super) fn date(self) -> Date {
        match self {
            Self::Day(day) => day.date,
            Self::Moment(moment) => moment.date,
        }
    }

    /// Whether it can decide conditions of this feed.
    pub(super) fn has(self, feed: Feed) -> bool {
        match (self, feed) {
            (Self::Day(_), Feed::Day) | (Self::Moment(_), Feed::Hour) => true,
            (Self::Moment(moment), Feed::Night) => moment.night.is_some(),
            (Self::Day(_), Feed::Hour | Feed::Night) | (Self::Moment(_), Feed::Day) => false,
        }
    }

    /// The value of a variable; `None` if it was not reported.
    pub(super) fn value(self, variable: &Variable) -> Option<Value> {
        match (variable, self) {
            (Variable::Station, _) => Some(station_value(self.station())),
            (Variable::Date, _) => Some(Value::String(Arc::new(self.date().to_string()))),
            (Variable::Element(element), Self::Day(day)) => {
                Some(match element.scale().typed(day.element(*element)?) {
                    ElementValue::Int(value) => Value::Int(value),
                    ElementValue::Float(value) => Value::Float(value),
                })
            }
            (Variable::Hour(name), Self::Moment(moment)) => name.of(&moment.hour).map(Value::Float),
            (Variable::Night, Self::Moment(moment)) => moment.night.as_ref().map(night_value),
            (Variable::Chance(limit), Self::Moment(moment)) => {
                moment.night.as_ref().map(|night| Value::Float(night.chance(*limit)))
            }
            (Variable::Element(_), Self::Moment(_)) => None,
            (Variable::Hour(_) | Variable::Night | Variable::Chance(_), Self::Day(_)) => None,
        }
    }
}

/// The bytes of all texts of a station.
pub(super) fn station_bytes(station: &StationView) -> usize {
    let texts = [&station.country_code, &station.country, &station.state_code, &station.state, &station.name];
    texts.into_iter().map(|text| text.as_deref().map_or(0, str::len)).sum()
}

/// The `station` of a condition: a map of the fields that are present.
pub(super) fn station_value(station: &StationView) -> Value {
    let text = |value: &str| Value::String(Arc::new(value.to_owned()));
    let fields = [
        ("id", Some(text(station.id.as_str()))),
        ("country_code", station.country_code.as_deref().map(text)),
        ("country", station.country.as_deref().map(text)),
        ("state_code", station.state_code.as_deref().map(text)),
        ("state", station.state.as_deref().map(text)),
        ("name", station.name.as_deref().map(text)),
        ("lat", station.latitude.map(Value::Float)),
        ("lon", station.longitude.map(Value::Float)),
        ("elevation", station.elevation.map(Value::Float)),
    ];
    map(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

/// The `night` of a condition.
pub(super) fn night_value(night: &Distribution) -> Value {
    map(NightField::ALL.into_iter().map(|field| (field.as_str(), Value::Float(field.of(night)))))
}

fn map(fields: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let fields: HashMap<Key, Value> =
        fields.map(|(name, value)| (Key::String(Arc::new(name.to_owned())), value)).collect();
    Value::Map(Map { map: Arc::new(fields) })
}
