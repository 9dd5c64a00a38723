//! Elements: codes, units and names of measured quantities.

use std::fmt;

use super::ElementValue;

/// An element: GHCN-Daily's code of four capital letters or digits, such as `TMIN`.
///
/// A code need not be known ([`Element::is_known`]): NOAA adds elements from time to time, and an unknown one is
/// passed on unscaled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element([u8; 4]);

/// The meaning of one unit of a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scale {
    /// The value counts tenths of the unit: 89 is 8.9.
    Tenths,
    /// The value counts whole units.
    Whole,
}

impl Scale {
    /// A value as conditions use it. Many JSON writers write 30.0 as 30, and 3 as 3.0; the form must not decide which
    /// operations are possible.
    #[inline]
    pub fn typed(self, value: ElementValue) -> ElementValue {
        match (self, value) {
            (Self::Tenths, ElementValue::Int(number)) => ElementValue::Float(number as f64),
            (Self::Whole, ElementValue::Float(number)) if number.fract() == 0.0 && number.abs() < 1e15 => {
                ElementValue::Int(number as i64)
            }
            (_, value) => value,
        }
    }
}

/// The quantity of an element's value; scale and unit follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    TenthsOfMillimetre,
    TenthsOfCelsius,
    TenthsOfMetrePerSecond,
    TenthsOfHectopascal,
    Millimetres,
    Centimetres,
    Kilometres,
    Degrees,
    Percent,
    Minutes,
    Days,
    /// HHMM without leading zeros: 29 is 00:29.
    ClockTime,
    /// 1 when it occurred.
    Occurrence,
    /// MDSF, for which NOAA states no unit.
    Unstated,
}

impl Element {
    /// Average wind speed.
    pub const AWND: Element = Element(*b"AWND");
    /// Multi-day minimum temperature.
    pub const MDTN: Element = Element(*b"MDTN");
    /// Multi-day maximum temperature.
    pub const MDTX: Element = Element(*b"MDTX");
    /// Precipitation.
    pub const PRCP: Element = Element(*b"PRCP");
    /// Snowfall.
    pub const SNOW: Element = Element(*b"SNOW");
    /// Snow depth.
    pub const SNWD: Element = Element(*b"SNWD");
    /// Average temperature.
    pub const TAVG: Element = Element(*b"TAVG");
    /// Maximum temperature.
    pub const TMAX: Element = Element(*b"TMAX");
    /// Minimum temperature.
    pub const TMIN: Element = Element(*b"TMIN");
    /// Temperature at the time of observation.
    pub const TOBS: Element = Element(*b"TOBS");
    /// Fastest 2-minute wind speed.
    pub const WSF2: Element = Element(*b"WSF2");

    /// Parses a code; `None` unless it is exactly four ASCII capital letters or digits.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Element> {
        let code = <[u8; 4]>::try_from(text).ok()?;
        // All four without a branch: this runs several times per document.
        let is_code =
            code.iter().fold(true, |is, byte| is & (byte.is_ascii_uppercase() | byte.is_ascii_digit()));
        is_code.then_some(Element(code))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        // `parse` accepts only ASCII, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The code as bytes, for keys of stores.
    pub fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The meaning of one unit of a stored value; [`Scale::Whole`] for an unknown element.
    pub fn scale(self) -> Scale {
        match self.quantity() {
            Some(
                Quantity::TenthsOfMillimetre
                | Quantity::TenthsOfCelsius
                | Quantity::TenthsOfMetrePerSecond
                | Quantity::TenthsOfHectopascal,
            ) => Scale::Tenths,
            _ => Scale::Whole,
        }
    }

    /// The scale that the talk's `process.py` applies: 22 elements in tenths. It leaves soil temperatures
    /// (`SN*#`, `SX*#`) raw, and does not know the elements that came after it.
    pub fn scale_rally(self) -> Scale {
        match &self.0 {
            b"PRCP" | b"EVAP" | b"MDEV" | b"MDPR" | b"THIC" | b"WESD" | b"WESF" => Scale::Tenths,
            b"TMAX" | b"TMIN" | b"TAVG" | b"TOBS" | b"MDTN" | b"MDTX" | b"MNPN" | b"MXPN" => Scale::Tenths,
            b"AWND" | b"WSF1" | b"WSF2" | b"WSF5" | b"WSFG" | b"WSFI" | b"WSFM" => Scale::Tenths,
            _ => Scale::Whole,
        }
    }

    /// The unit of a value after [`Element::scale`] was applied, as `°C`. `None` for weather types (their
    /// value is 1 when it occurred), for MDSF (NOAA states none) and for unknown elements.
    pub fn unit(self) -> Option<&'static str> {
        match self.quantity()? {
            Quantity::TenthsOfMillimetre | Quantity::Millimetres => Some("mm"),
            Quantity::TenthsOfCelsius => Some("°C"),
            Quantity::TenthsOfMetrePerSecond => Some("m/s"),
            Quantity::TenthsOfHectopascal => Some("hPa"),
            Quantity::Centimetres => Some("cm"),
            Quantity::Kilometres => Some("km"),
            Quantity::Degrees => Some("°"),
            Quantity::Percent => Some("%"),
            Quantity::Minutes => Some("min"),
            Quantity::Days => Some("days"),
            Quantity::ClockTime => Some("HHMM"),
            Quantity::Occurrence | Quantity::Unstated => None,
        }
    }

    /// Whether NOAA documents the element. Of `SN*#`, `SX*#`, `WT**` and `WV**` every code with two digits
    /// counts: NOAA has extended these lists before.
    pub fn is_known(self) -> bool {
        self.quantity().is_some()
    }

    /// A description in a few words; `None` for an unknown element.
    pub fn description(self) -> Option<&'static str> {
        super::element_description::describe(&self.0)
    }

    fn quantity(self) -> Option<Quantity> {
        let quantity = match &self.0 {
            b"TMAX" | b"TMIN" | b"TAVG" | b"TOBS" | b"MDTN" | b"MDTX" | b"MNPN" | b"MXPN" => {
                Quantity::TenthsOfCelsius
            }
            b"PRCP" | b"EVAP" | b"MDEV" | b"MDPR" | b"THIC" | b"WESD" | b"WESF" => {
                Quantity::TenthsOfMillimetre
            }
            b"AWND" | b"WSF1" | b"WSF2" | b"WSF5" | b"WSFG" | b"WSFI" | b"WSFM" => {
                Quantity::TenthsOfMetrePerSecond
            }
            b"SNOW" | b"SNWD" => Quantity::Millimetres,
            b"AWDR" | b"WDF1" | b"WDF2" | b"WDF5" | b"WDFG" | b"WDFI" | b"WDFM" => Quantity::Degrees,
            b"WDMV" | b"MDWM" => Quantity::Kilometres,
            b"PSUN" | b"ACMC" | b"ACMH" | b"ACSC" | b"ACSH" => Quantity::Percent,
            b"TSUN" => Quantity::Minutes,
            b"FRGB" | b"FRGT" | b"FRTH" | b"GAHT" => Quantity::Centimetres,
            b"DAEV" | b"DAPR" | b"DASF" | b"DATN" | b"DATX" | b"DAWM" | b"DWPR" => Quantity::Days,
            b"FMTM" | b"PGTM" => Quantity::ClockTime,
            b"MDSF" => Quantity::Unstated,
            // Not in version 3.24 of the readme; these were added later.
            b"ADPT" | b"AWBT" | b"TAXN" => Quantity::TenthsOfCelsius,
            b"ASLP" | b"ASTP" => Quantity::TenthsOfHectopascal,
            b"RHAV" | b"RHMN" | b"RHMX" => Quantity::Percent,
            &[kind1, kind2, b'0'..=b'9', b'0'..=b'9'] => match &[kind1, kind2] {
                b"SN" | b"SX" => Quantity::TenthsOfCelsius,
                b"WT" | b"WV" => Quantity::Occurrence,
                _ => return None,
            },
            _ => return None,
        };
        Some(quantity)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(code: &str) -> Element {
        Element::parse(code.as_bytes()).unwrap()
    }

    #[test]
    fn units_and_scales_follow_the_readme() {
        for (code, scale, unit) in [
            ("TMIN", Scale::Tenths, Some("°C")),
            ("SN32", Scale::Tenths, Some("°C")),
            ("SX07", Scale::Tenths, Some("°C")),
            ("PRCP", Scale::Tenths, Some("mm")),
            ("WSF2", Scale::Tenths, Some("m/s")),
            ("SNOW", Scale::Whole, Some("mm")),
            ("WDF5", Scale::Whole, Some("°")),
            ("FMTM", Scale::Whole, Some("HHMM")),
            ("MDSF", Scale::Whole, None),
            ("WT03", Scale::Whole, None),
            ("XXXX", Scale::Whole, None),
        ] {
            assert_eq!((element(code).scale(), element(code).unit()), (scale, unit), "{code}");
        }
    }

    #[test]
    fn rally_leaves_soil_temperatures_raw() {
        assert_eq!(element("SN32").scale_rally(), Scale::Whole);
        assert_eq!(element("SX32").scale_rally(), Scale::Whole);
        assert_eq!(element("ADPT").scale_rally(), Scale::Whole);
        assert_eq!(element("MXPN").scale_rally(), Scale::Tenths);
    }

    #[test]
    fn patterns_need_their_digits() {
        for known in ["SN07", "SX87", "WT22", "WV20", "DAPR", "DWPR", "AWDR"] {
            assert!(element(known).is_known(), "{known}");
        }
        for unknown in ["SNXX", "WT0X", "DA01", "WDF9", "ZZ01", "0000"] {
            assert!(!element(unknown).is_known(), "{unknown}");
        }
    }

    #[test]
    fn only_codes_of_four_are_elements() {
        for bad in ["", "TMI", "TMINX", "tmin", "TM N", "TMI\0"] {
            assert_eq!(Element::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn rally_scales_nothing_more_than_we_do(code in "[A-Z0-9]{4}|(SN|SX|WT|WV|WD|WS)[A-Z0-9]{2}") {
            let element = element(&code);
            prop_assert!(element.scale_rally() == Scale::Whole || element.scale() == Scale::Tenths);
            prop_assert_eq!(element.is_known(), element.description().is_some());
            prop_assert_eq!(element.to_string(), code);
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = Element::parse(&bytes);
        }
    }
}
