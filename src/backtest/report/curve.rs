//! The days around the longest time that each rule held, read again from history.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use super::super::{Input, RuleStats, Setting, Stats, visit_observations};
use crate::noaa::{Date, Element, ElementValue, ObservationView};

/// Most curves: of the rules that fired most.
const CURVES_MAX: usize = 20;
/// Days before and after that are shown as well.
const AROUND_DAYS: i32 = 10;
/// Longest part of a curve that is shown, in days.
const DAYS_MAX: i32 = 150;

/// One rule's longest time at a station, with the temperatures of those days. Days are counted since 1970.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// The station.
    pub station: String,
    /// Its name, where the observations have it.
    pub name: Option<String>,
    /// When the rule held.
    pub held: (i32, i32),
    /// Lowest and highest temperature of each day, in °C.
    pub days: BTreeMap<i32, (Option<f64>, Option<f64>)>,
}

impl Curve {
    /// The days that are shown.
    pub fn shown(&self) -> RangeInclusive<i32> {
        let (from, to) = self.held;
        let first = from - AROUND_DAYS;
        first..=(to + AROUND_DAYS).min(first + DAYS_MAX)
    }
}

/// Reads history once more: for the period in `stats`, and the curve of each rule that fired.
///
/// # Errors
/// Where the input cannot be read.
pub fn curves(
    input: &Input<'_>,
    setting: &Setting,
    stats: &mut Stats,
) -> anyhow::Result<BTreeMap<String, Curve>> {
    let mut rules: Vec<_> = stats.rules.iter().filter(|(_, rule)| rule.fired > 0).collect();
    rules.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
    let curve = |(id, rule): (&String, &RuleStats)| {
        let longest = rule.longest.as_ref()?;
        let since = Date::parse_iso(&longest.since)?.days_since_1970();
        let held = (since, since + longest.days - 1);
        Some((id.clone(), Curve { station: longest.station.clone(), held, ..Curve::default() }))
    };
    let curves: BTreeMap<String, Curve> = rules.into_iter().filter_map(curve).take(CURVES_MAX).collect();
    let found = Mutex::new((None::<(Date, Date)>, curves));
    visit_observations(input, setting, &|value| {
        let Ok(view) = ObservationView::parse(value) else { return };
        let day = view.date.days_since_1970();
        let (period, curves) = &mut *found.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = period.unwrap_or((view.date, view.date));
        *period = Some((first.min(view.date), last.max(view.date)));
        let station = view.station.id.as_bytes();
        let of_station = curves.values_mut().filter(|curve| curve.station.as_bytes() == station);
        for curve in of_station.filter(|curve| curve.shown().contains(&day)) {
            let degrees = |element| view.element(element).map(ElementValue::as_f64);
            curve.days.insert(day, (degrees(Element::TMIN), degrees(Element::TMAX)));
            curve.name = view.station.name.as_deref().map(str::to_owned);
        }
    })?;
    let (period, curves) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    stats.period = period;
    Ok(curves)
}
