//! Parses an enriched observation: frostline's own form quickly, and any other JSON thoroughly.

use std::rc::Rc;

use serde::de::MapAccess;

use super::element_value::ElementValue;
use super::json::{Fields, Object, Scalar};
use super::known_stations::KnownStations;
use super::view::{ElementList, ObservationView, StationView, sort, station_text};
use super::view_error::ViewError;
use super::{Date, Element, StationId, scan, shorten};

impl ObservationView {
    /// Parses the value of a record of topic `noaa-json`.
    ///
    /// Every field whose name has the form of an element must be a number or a number as text. Other fields
    /// (`TRANGE`, `_meta`, `email`) are ignored.
    ///
    /// # Errors
    ///
    /// What is missing or wrong, see [`ViewError`].
    #[inline]
    pub fn parse(value: &[u8]) -> Result<ObservationView, ViewError> {
        scan::observation(value, None).map_or_else(|| ObservationView::parse_thoroughly(value), Ok)
    }

    /// Parses JSON in any style, and finds out what is wrong.
    #[cold]
    pub(super) fn parse_thoroughly(value: &[u8]) -> Result<ObservationView, ViewError> {
        let text = std::str::from_utf8(value).map_err(|e| ViewError::NotUtf8 { byte: e.valid_up_to() })?;
        let document: Object<Document<'_>> =
            serde_json::from_str(text).map_err(|error| ViewError::from_json(text, &error))?;
        document.0.ok_or(ViewError::NotAnObject)?.check()
    }
}

impl KnownStations {
    /// As [`ObservationView::parse`].
    ///
    /// # Errors
    /// What is missing or wrong, see [`ViewError`].
    #[inline(always)] // a view is large, and would be copied
    pub fn parse(&mut self, value: &[u8]) -> Result<ObservationView, ViewError> {
        match scan::observation(value, Some(self)) {
            Some(view) => Ok(view),
            None => ObservationView::parse_thoroughly(value),
        }
    }
}

/// Checks that a text is a JSON object that can be parsed completely: numbers within their range, no unpaired
/// surrogates, not nested too deeply. Its content does not matter.
///
/// # Errors
/// What is wrong with the JSON, see [`ViewError`].
pub fn check_json(text: &[u8]) -> Result<(), ViewError> {
    // frostline's own documents are parsed several times as fast this way.
    if scan::observation(text, None).is_some() {
        return Ok(());
    }
    let text = std::str::from_utf8(text).map_err(|e| ViewError::NotUtf8 { byte: e.valid_up_to() })?;
    let object: Object<Anything> =
        serde_json::from_str(text).map_err(|error| ViewError::from_json(text, &error))?;
    object.0.map(|_| ()).ok_or(ViewError::NotAnObject)
}

/// Fields that are read and dropped.
#[derive(Default)]
struct Anything;

impl<'de> Fields<'de> for Anything {
    fn read<A: MapAccess<'de>>(&mut self, _: &str, value: &mut A) -> Result<(), A::Error> {
        value.next_value::<Scalar<'de>>().map(drop)
    }
}

/// The fields of a document before they are checked.
#[derive(Default)]
struct Document<'a> {
    station: Option<StationFields<'a>>,
    date: Option<Scalar<'a>>,
    revision: Option<Scalar<'a>>,
    elements: ElementList,
    /// The first element that is not a number.
    not_a_number: Option<Element>,
}

impl<'de> Fields<'de> for Document<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: &mut A) -> Result<(), A::Error> {
        match name {
            "station" => self.station = value.next_value::<Object<StationFields<'de>>>()?.0,
            // `date` has the length of an element's name, but not its capitals.
            "date" => self.date = Some(value.next_value()?),
            "revision" => self.revision = Some(value.next_value()?),
            _ => {
                let scalar: Scalar<'de> = value.next_value()?;
                if let Some(element) = Element::parse(name.as_bytes()) {
                    self.push(element, &scalar);
                }
            }
        }
        Ok(())
    }
}

impl<'a> Document<'a> {
    fn push(&mut self, element: Element, scalar: &Scalar<'_>) {
        match ElementValue::from_scalar(scalar) {
            Some(value) => self.elements.push((element, value)),
            None => self.not_a_number = self.not_a_number.or(Some(element)),
        }
    }

    fn check(self) -> Result<ObservationView, ViewError> {
        let station = self.station.ok_or(ViewError::StationMissing)?.check()?;
        let date = check_date(self.date)?;
        let revision = check_revision(self.revision)?;
        if let Some(element) = self.not_a_number {
            return Err(ViewError::NotANumber(element));
        }
        let mut elements = self.elements;
        sort(&mut elements);
        Ok(ObservationView { station: Rc::new(station), date, revision, elements })
    }
}

fn check_date(date: Option<Scalar<'_>>) -> Result<Date, ViewError> {
    let text = date.and_then(Scalar::into_text).ok_or(ViewError::DateMissing)?;
    Date::parse_iso(&text).ok_or_else(|| ViewError::ImpossibleDate(shorten(text.as_bytes())))
}

fn check_revision(revision: Option<Scalar<'_>>) -> Result<u32, ViewError> {
    match revision {
        None => Ok(1),
        Some(Scalar::Int(number @ 1..)) => u32::try_from(number).map_err(|_| ViewError::BadRevision),
        Some(_) => Err(ViewError::BadRevision),
    }
}

#[derive(Default)]
struct StationFields<'a> {
    id: Option<Scalar<'a>>,
    country_code: Option<Box<str>>,
    country: Option<Box<str>>,
    state_code: Option<Box<str>>,
    state: Option<Box<str>>,
    name: Option<Box<str>>,
    location: LocationFields,
    elevation: Option<f64>,
}

impl<'de> Fields<'de> for StationFields<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: &mut A) -> Result<(), A::Error> {
        if name == "location" {
            self.location = value.next_value::<Object<LocationFields>>()?.0.unwrap_or_default();
            return Ok(());
        }
        let scalar: Scalar<'de> = value.next_value()?;
        match name {
            "id" => self.id = Some(scalar),
            "country_code" => self.country_code = scalar.into_text().as_deref().map(station_text),
            "country" => self.country = scalar.into_text().as_deref().map(station_text),
            "state_code" => self.state_code = scalar.into_text().as_deref().map(station_text),
            "state" => self.state = scalar.into_text().as_deref().map(station_text),
            "name" => self.name = scalar.into_text().as_deref().map(station_text),
            "elevation" => self.elevation = scalar.as_f64(),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> StationFields<'a> {
    fn check(self) -> Result<StationView, ViewError> {
        let id_text = self.id.and_then(Scalar::into_text).ok_or(ViewError::StationIdMissing)?;
        let id = StationId::parse(id_text.as_bytes())
            .ok_or_else(|| ViewError::BadStationId(shorten(id_text.as_bytes())))?;
        Ok(StationView {
            id,
            country_code: self.country_code,
            country: self.country,
            state_code: self.state_code,
            state: self.state,
            name: self.name,
            latitude: self.location.lat,
            longitude: self.location.lon,
            elevation: self.elevation,
        })
    }
}

#[derive(Default)]
struct LocationFields {
    lat: Option<f64>,
    lon: Option<f64>,
}

impl<'de> Fields<'de> for LocationFields {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, value: &mut A) -> Result<(), A::Error> {
        let scalar: Scalar<'de> = value.next_value()?;
        match name {
            "lat" => self.lat = scalar.as_f64(),
            "lon" => self.lon = scalar.as_f64(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
