//! An enriched observation in the form that the stages read.

use super::{Date, Element, ElementValue, StationId};
use crate::printable::at_most;
use smallvec::SmallVec;
use std::rc::Rc;

/// Elements with their values. Most observations have few, and then no memory is allocated for them.
pub type ElementList = SmallVec<[(Element, ElementValue); 8]>;

/// An enriched observation in a record, parsed in one pass.
///
/// The whole value is checked to be JSON, including the parts that are not used, so that an accepted value can be
/// inserted into another document.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservationView {
    /// The station.
    pub station: Rc<StationView>,
    /// The day, in the station's own time.
    pub date: Date,
    /// 1 for the first document of a station and day, more for later ones.
    pub revision: u32,
    /// The values as in the document (tenths are decimals), sorted by element, each element once.
    pub elements: ElementList,
}

/// The station of an observation, as far as filters and rules use it.
///
/// A field that is absent or has the wrong type is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct StationView {
    /// The identification code.
    pub id: StationId,
    /// FIPS code of the country.
    pub country_code: Option<Box<str>>,
    /// Name of the country.
    pub country: Option<Box<str>>,
    /// Postal code of the state.
    pub state_code: Option<Box<str>>,
    /// Name of the state.
    pub state: Option<Box<str>>,
    /// Name of the station.
    pub name: Option<Box<str>>,
    /// Degrees, north positive.
    pub latitude: Option<f64>,
    /// Degrees, east positive.
    pub longitude: Option<f64>,
    /// Metres above sea level.
    pub elevation: Option<f64>,
}

impl ObservationView {
    /// The value of an element; `None` if the document does not have it.
    #[inline] // into the conditions: a call of its own takes a sixth more of their time
    pub fn element(&self, element: Element) -> Option<ElementValue> {
        let at = self.elements.binary_search_by_key(&element, |&(element, _)| element).ok()?;
        Some(self.elements[at].1)
    }
}

/// Sorts by element; of the same element the last is kept. frostline's own documents are sorted already.
pub(super) fn sort(elements: &mut ElementList) {
    if !elements.is_sorted_by(|(before, _), (after, _)| before < after) {
        // After reversing and a stable sort, the last one comes first, and `dedup` keeps that.
        elements.reverse();
        elements.sort_by_key(|&(element, _)| element);
        elements.dedup_by_key(|(element, _)| *element);
    }
}

/// Longest text of a station's field, in characters: NOAA's names have 30. Longer texts are truncated, so that no
/// name is too long for a rule or a message.
const TEXT_CHARS_MAX: usize = 200;

/// A station's text in the form that people see.
pub(super) fn station_text(text: &str) -> Box<str> {
    at_most(text, TEXT_CHARS_MAX).into()
}
