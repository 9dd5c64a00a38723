//! Observations: documents, ranges, and the form in which a store keeps them.

use super::*;
use proptest::prelude::*;

fn observation(readings: &[(&str, i32)]) -> Observation {
    let station = StationId::parse(b"XX000000001").unwrap();
    let mut observation = Observation::new(station, Date::new(2016, 2, 24).unwrap());
    for (code, value) in readings {
        observation.insert(Element::parse(code.as_bytes()).unwrap(), *value);
    }
    observation
}

fn json(observation: &Observation, compat: Compat, revision: u32) -> String {
    let mut out = Vec::new();
    observation.to_json_into("{\"id\":\"XX000000001\"}", compat, revision, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn insert_reports_changes() {
    let mut observation = observation(&[]);
    assert!(observation.insert(Element::TMIN, 89));
    assert!(!observation.insert(Element::TMIN, 89));
    assert!(observation.insert(Element::TMIN, 90));
    assert_eq!(observation.value(Element::TMIN), Some(90));
    assert!(observation.remove(Element::TMIN));
    assert!(!observation.remove(Element::TMIN));
    assert_eq!(observation.value(Element::TMIN), None);
}

#[test]
fn our_document_has_numbers_as_numbers() {
    let observation =
        observation(&[("TMIN", 89), ("TMAX", 233), ("SNOW", 0), ("AWND", 20), ("SN32", -4), ("WDF2", 30)]);
    assert_eq!(
        json(&observation, Compat::None, 1),
        "{\"station\":{\"id\":\"XX000000001\"},\"date\":\"2016-02-24T00:00:00\",\"AWND\":2.0,\"SN32\":-0.4,\
         \"SNOW\":0,\"TMAX\":23.3,\"TMIN\":8.9,\"WDF2\":30,\"TRANGE\":{\"gte\":8.9,\"lte\":23.3}}"
    );
}

#[test]
fn the_rally_document_has_strings() {
    let observation = observation(&[("TMIN", 89), ("SNOW", 0), ("SN32", -4)]);
    assert_eq!(
        json(&observation, Compat::Rally, 3),
        "{\"station\":{\"id\":\"XX000000001\"},\"date\":\"2016-02-24T00:00:00\",\"SN32\":\"-4\",\
         \"SNOW\":\"0\",\"TMIN\":8.9}"
    );
}

#[test]
fn a_revision_is_shown_from_the_second_on() {
    let observation = observation(&[("TMIN", -10)]);
    assert!(!json(&observation, Compat::None, 1).contains("revision"));
    assert!(json(&observation, Compat::None, 2).contains("T00:00:00\",\"revision\":2,\"TMIN\":-1.0}"));
}

#[test]
fn a_minimum_above_the_maximum() {
    let twisted = observation(&[("TMIN", 150), ("TMAX", 97), ("MDTN", 5), ("MDTX", -5)]);
    let ours = json(&twisted, Compat::None, 1);
    assert!(ours.contains("\"TMAX\":9.7,\"TMIN\":15.0,\"TRANGE\":{\"gte\":9.7,\"lte\":15.0}"), "{ours}");
    assert!(ours.contains("\"MDTN\":0.5,\"MDTX\":-0.5"), "{ours}");
    let rally = json(&twisted, Compat::Rally, 1);
    assert!(rally.contains("\"TMAX\":15.0,\"TMIN\":9.7,\"TRANGE\":{\"gte\":9.7,\"lte\":15.0}"), "{rally}");
    assert!(rally.contains("\"MDTN\":-0.5,\"MDTX\":0.5"), "{rally}");
    assert!(rally.contains("\"MDTRANGE\":{\"gte\":-0.5,\"lte\":0.5}"), "{rally}");
}

#[test]
fn an_observation_without_readings_is_still_json() {
    let value: serde_json::Value = serde_json::from_str(&json(&observation(&[]), Compat::None, 1)).unwrap();
    assert_eq!(value["date"], "2016-02-24T00:00:00");
}

#[test]
fn damaged_bytes_are_noticed() {
    let sound = observation(&[("TMAX", 1), ("TMIN", 2)]);
    let (station, date) = (sound.station(), sound.date());
    let decode = |bytes: &[u8]| Observation::decode(station, date, bytes);
    let mut bytes = Vec::new();
    sound.encode_into(&mut bytes);
    assert_eq!(decode(&bytes), Ok(sound));
    assert_eq!(decode(&bytes[1..]), Err(DecodeError::Length(15)));
    assert_eq!(decode(&bytes[..8]).unwrap().readings().len(), 1);
    let twice = [&bytes[..8], &bytes[..8]].concat();
    assert_eq!(decode(&twice), Err(DecodeError::Order(1)));
    bytes[8] = b'-';
    assert_eq!(decode(&bytes).unwrap_err().to_string(), "reading 1 has no element");
}

proptest! {
    #[test]
    fn order_of_arrival_does_not_matter(
        readings in proptest::collection::btree_map("[A-Z0-9]{4}", any::<i32>(), 0..20)
    ) {
        let forward: Vec<_> = readings.iter().map(|(code, value)| (code.as_str(), *value)).collect();
        let backward: Vec<_> = forward.iter().rev().copied().collect();
        let (one, other) = (observation(&forward), observation(&backward));
        prop_assert_eq!(&one, &other);
        let mut bytes = Vec::new();
        one.encode_into(&mut bytes);
        prop_assert_eq!(Observation::decode(one.station(), one.date(), &bytes), Ok(one));
    }

    #[test]
    fn documents_read_back(
        readings in proptest::collection::btree_map("TMIN|TMAX|MDTN|MDTX|[A-Z0-9]{4}", any::<i32>(), 0..9),
        revision in 1..9u32,
    ) {
        let readings: Vec<_> = readings.iter().map(|(code, value)| (code.as_str(), *value)).collect();
        let observation = observation(&readings);
        for compat in [Compat::None, Compat::Rally] {
            let json = json(&observation, compat, revision);
            let view = crate::noaa::ObservationView::parse(json.as_bytes()).unwrap();
            prop_assert_eq!(view.station.id, observation.station());
            prop_assert_eq!(view.date, observation.date());
            prop_assert_eq!(view.revision, if compat == Compat::None { revision } else { 1 });
            prop_assert_eq!(view.elements.len(), readings.len());
        }
        let json = json(&observation, Compat::None, revision);
        let view = crate::noaa::ObservationView::parse(json.as_bytes()).unwrap();
        for (element, value) in observation.readings() {
            let expected = if element.scale() == Scale::Tenths { f64::from(*value) / 10.0 } else { f64::from(*value) };
            prop_assert_eq!(view.element(*element).unwrap().as_f64(), expected);
        }
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = Observation::decode(StationId::parse(b"XX000000001").unwrap(), Date::new(2016, 2, 24).unwrap(), &bytes);
    }
}
