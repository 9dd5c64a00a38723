//! Views: documents in any order of keys, and everything that can be wrong with one.

use super::*;
use proptest::prelude::*;

const DOCUMENT: &str = r#"{"station": {"id": "XX000000001", "country_code": "XX", "country": "Xanadu",
 "location": {"lat": 33.6228, "lon": -111}, "elevation": 449.0, "state_code": "NB", "state": "NEW BOHEMIA",
 "name": "N\u00e9W \"TOWN\"", "wmo_id": "00001"}, "date": "2016-02-24T00:00:00", "AWND": 2, "SNOW": "0",
 "TMAX": 23.3, "TMIN": "-8.9", "TRANGE": {"gte": 8.9, "lte": 23.3}, "_id": null,
 "_meta": {"topic": "noaa-json", "offset": 35, "tags": [1, [true, {}]]}, "email": "a@example.com"}"#;

fn error(value: impl AsRef<[u8]>) -> String {
    ObservationView::parse(value.as_ref()).unwrap_err().to_string()
}

/// A document with these fields besides a good station and date.
fn with(fields: &str) -> String {
    format!(r#"{{"station":{{"id":"XX000000001"}},"date":"2016-02-24",{fields}}}"#)
}

#[test]
fn a_document_of_the_talk_is_read() {
    let view = ObservationView::parse(DOCUMENT.as_bytes()).unwrap();
    assert_eq!(view.station.id.as_str(), "XX000000001");
    assert_eq!(view.station.country_code.as_deref(), Some("XX"));
    assert_eq!(view.station.state.as_deref(), Some("NEW BOHEMIA"));
    assert_eq!(view.station.name.as_deref(), Some("NéW \"TOWN\""));
    assert_eq!((view.station.latitude, view.station.longitude), (Some(33.6228), Some(-111.0)));
    assert_eq!(view.station.elevation, Some(449.0));
    assert_eq!((view.date, view.revision), (Date::new(2016, 2, 24).unwrap(), 1));
    let elements = [
        (Element::AWND, ElementValue::Int(2)),
        (Element::SNOW, ElementValue::Int(0)),
        (Element::TMAX, ElementValue::Float(23.3)),
        (Element::TMIN, ElementValue::Float(-8.9)),
    ];
    assert_eq!(view.elements[..], elements);
    assert_eq!(view.element(Element::TMIN), Some(ElementValue::Float(-8.9)));
    assert_eq!(view.element(Element::PRCP), None);
}

#[test]
fn elements_are_sorted_and_the_last_of_a_name_counts() {
    let json = with(r#""TMIN":1,"AWND":3,"TMIN":2"#);
    let view = ObservationView::parse(json.as_bytes()).unwrap();
    assert_eq!(
        view.elements[..],
        [(Element::AWND, ElementValue::Int(3)), (Element::TMIN, ElementValue::Int(2))]
    );
}

#[test]
fn every_cut_is_noticed() {
    for end in 0..DOCUMENT.len() {
        // The document is ASCII, so every cut leaves UTF-8.
        assert_eq!(error(&DOCUMENT[..end]), format!("cut off at byte {end}"));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (json, message) in [
        ("[1]".to_owned(), "not a JSON object"),
        ("null".to_owned(), "not a JSON object"),
        ("hello".to_owned(), "not JSON at byte 0: expected value"),
        ("{}".to_owned(), "station is missing"),
        ("{\n\n\"a\":1 x}".to_owned(), "not JSON at byte 9: expected `,` or `}`"),
        (r#"{"station":"XX000000001"}"#.to_owned(), "station is missing"),
        (r#"{"station":{}}"#.to_owned(), "station.id is missing"),
        (r#"{"station":{"id":"XX"}}"#.to_owned(), "station.id 'XX' is not 11 letters, digits, '-' or '_'"),
        (r#"{"station":{"id":"XX000000001"}}"#.to_owned(), "date is missing"),
        (with(r#""date":"2015-02-29T00:00:00""#), "impossible date '2015-02-29T00:00:00'"),
        (with(r#""date":20160224"#), "date is missing"),
        (with(r#""revision":0"#), "revision is not a whole number from 1 on"),
        (with(r#""revision":"2""#), "revision is not a whole number from 1 on"),
        (with(r#""TMIN":null"#), "element TMIN is not a number"),
        (with(r#""TMIN":"cold""#), "element TMIN is not a number"),
        (with(r#""TMIN":"NaN""#), "element TMIN is not a number"),
        (with(r#""TMIN":"""#), "element TMIN is not a number"),
        (with(r#""TMIN":{"gte":1}"#), "element TMIN is not a number"),
        (with(r#""TMIN":1"#) + "{", "not JSON at byte 61: trailing characters"),
    ] {
        assert_eq!(error(&json), message, "{json}");
    }
    assert_eq!(error(b"{\"station\":\"\xff\"}"), "not UTF-8 from byte 12 on");
}

#[test]
fn depth_is_limited_everywhere() {
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        for field in ["\"email\":", "\"TMIN\":", "\"station\":", "\"station\":{\"location\":", "\"date\":"] {
            assert_eq!(error(format!("{{{field}{deep}")), "nested too deep", "{field}");
        }
        assert_eq!(error(&deep), "nested too deep");
    }
    let nested = |depth: usize| with(&format!("\"a\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(ObservationView::parse(nested(100).as_bytes()).is_ok());
}

#[test]
fn station_fields_of_another_type_are_absent() {
    let json =
        r#"{"station":{"id":"XX000000001","name":5,"location":[1],"elevation":"high"},"date":"2016-02-24"}"#;
    let station = ObservationView::parse(json.as_bytes()).unwrap().station;
    assert_eq!((&station.name, station.latitude, station.elevation), (&None, None, None));
}

#[test]
fn numbers_in_texts_are_plain() {
    for (text, value) in [
        ("0", Some(ElementValue::Int(0))),
        ("-44", Some(ElementValue::Int(-44))),
        ("2.5", Some(ElementValue::Float(2.5))),
        ("1e400", None),
        (" 1", None),
        ("infinity", None),
        ("-", None),
    ] {
        assert_eq!(ElementValue::from_text(text), value, "{text:?}");
    }
    let huge = with("\"TMIN\":18446744073709551615");
    let view = ObservationView::parse(huge.as_bytes()).unwrap();
    assert_eq!(view.element(Element::TMIN), Some(ElementValue::Float(u64::MAX as f64)));
}

proptest! {
    #[test]
    fn nothing_panics(bytes: Vec<u8>, position in 0..700usize, byte: u8) {
        let _ = ObservationView::parse(&bytes);
        let mut document = DOCUMENT.as_bytes().to_vec();
        if let Some(slot) = document.get_mut(position) {
            *slot = byte;
        }
        let _ = ObservationView::parse(&document);
    }

    #[test]
    fn what_passes_is_json(json in r#"\{("(station|date|TMIN)":(1|"x"|\{"id":"XX000000001"\}|"2016-02-24"),?){0,4}\}"#) {
        if ObservationView::parse(json.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        }
    }
}
