//! METARs as they come, with their oddities.

use super::*;
use crate::hourly::parse_time;
use proptest::prelude::*;

fn parse(text: &str) -> Metar {
    Metar::parse(text).unwrap()
}

#[test]
fn an_american_metar_has_tenths() {
    let text = "KSFO 310456Z 28011KT 10SM SCT110 BKN180 11/06 A3001 RMK AO2 SLP161 T01110056 $";
    let expected = Metar {
        icao: "KSFO".to_owned(),
        clock: Some((31, 4, 56)),
        temperature_c: Some(11.1),
        dew_point_c: Some(5.6),
        wind_m_s: Some(5.7),
        pressure_hpa: Some(1_016.3),
        cloud_oktas: Some(7),
        ..Metar::default()
    };
    assert_eq!(parse(text), expected);
    for before in ["METAR ", "SPECI ", "METAR COR "] {
        assert_eq!(parse(&format!("{before}{text}=")), expected);
    }
}

#[test]
fn others_have_whole_degrees() {
    let metar = parse("METAR LIRF 160720Z 05005KT CAVOK 23/14 Q1016 NOSIG");
    assert_eq!((metar.temperature_c, metar.dew_point_c), (Some(23.0), Some(14.0)));
    assert_eq!((metar.wind_m_s, metar.pressure_hpa, metar.cloud_oktas), (Some(2.6), Some(1_016.0), Some(0)));
    let bare = parse("METAR K3L4 100135Z AUTO VRB05G11KT");
    assert_eq!((bare.icao.as_str(), bare.temperature_c, bare.wind_m_s), ("K3L4", None, Some(2.6)));
}

#[test]
fn temperatures() {
    for (groups, temperature, dew_point) in [
        ("M02/M11 A2992 RMK T10221106", Some(-2.2), Some(-10.6)),
        ("M02/M11", Some(-2.0), Some(-11.0)),
        ("M00/M01", Some(0.0), Some(-1.0)),
        ("00/M00 RMK T00041004", Some(0.4), Some(-0.4)),
        ("-02/-11", Some(-2.0), Some(-11.0)),
        ("11/ A3001", Some(11.0), None),
        ("11/// A3001", Some(11.0), None),
        ("11/// RMK T0112", Some(11.2), None),
        ("11/XX", Some(11.0), None),
        ("///// A3001", None, None),
        ("//////", None, None),
        ("RMK T01110056", Some(11.1), Some(5.6)),
        // Visibility and runway visual range are not temperatures.
        ("1/2SM R28L/2600FT M1/4SM 02/01", Some(2.0), Some(1.0)),
        ("R04/P1500 12/M01", Some(12.0), Some(-1.0)),
        // One digit of the remarks is damaged: the whole degrees count.
        ("11/06 RMK T11110056", Some(11.0), Some(5.6)),
        ("11/06 RMK T0111", Some(11.1), Some(6.0)),
        ("11/06 RMK T21110056", Some(11.0), Some(6.0)),
        // Extremes of six hours and of the day are not temperatures of the moment.
        ("11/06 RMK 10178 20106 401780106", Some(11.0), Some(6.0)),
    ] {
        let metar = parse(&format!("KSFO 310456Z {groups}"));
        assert_eq!((metar.temperature_c, metar.dew_point_c), (temperature, dew_point), "{groups}");
    }
}

#[test]
fn winds() {
    for (group, wind) in [
        ("00000KT", Some(0.0)),
        ("28011KT", Some(5.7)),
        ("28011G20KT", Some(5.7)),
        ("VRB03KT", Some(1.5)),
        ("05005MPS", Some(5.0)),
        ("27018KMH", Some(5.0)),
        ("240108KT", Some(55.6)),
        ("240P99KT", Some(50.9)),
        ("///05KT", Some(2.6)),
        ("/////KT", None),
        ("280//KT", None),
        ("280V310", None),
        ("28011", None),
    ] {
        assert_eq!(parse(&format!("KSFO 310456Z {group} 11/06")).wind_m_s, wind, "{group}");
    }
}

#[test]
fn clouds_pressure_and_weather() {
    for (groups, oktas) in [
        ("SKC", Some(0)),
        ("CLR", Some(0)),
        ("NSC", Some(0)),
        ("NCD", Some(0)),
        ("FEW020", Some(2)),
        ("FEW020 OVC100", Some(8)),
        ("SCT020CB BKN///", Some(7)),
        ("SCT030TCU", Some(4)),
        ("VV002", Some(8)),
        ("VV///", Some(8)),
        ("//////", None),
        ("FEWER", None),
    ] {
        assert_eq!(parse(&format!("EGLL 310450Z {groups} 11/06")).cloud_oktas, oktas, "{groups}");
    }
    for (group, hpa) in [
        ("A2992", Some(1_013.2)),
        ("Q0998", Some(998.0)),
        ("Q////", None),
        ("A////", None),
        ("Q2992", None),
        ("Q1016 A3001", Some(1_016.0)),
    ] {
        assert_eq!(parse(&format!("EGLL 310450Z {group}")).pressure_hpa, hpa, "{group}");
    }
    let weather = |groups: &str| parse(&format!("EGLL 310450Z 9999 {groups} 11/06 Q1016")).weather;
    assert_eq!(weather("-RA BR").as_deref(), Some("-RA BR"));
    assert_eq!(weather("+TSRAGR VCSH FZFG").as_deref(), Some("+TSRAGR VCSH FZFG"));
    assert_eq!(weather("// NSW RERA"), None);
}

#[test]
fn forecasts_and_remarks_are_not_observations() {
    let metar = parse("EDDM 311850Z 00000KT CAVOK M03/M05 Q1030 TEMPO 24015KT 1500 SN BKN004 10/09");
    assert_eq!((metar.wind_m_s, metar.cloud_oktas, metar.weather), (Some(0.0), Some(0), None));
    assert_eq!(metar.temperature_c, Some(-3.0));
    let metar = parse("RJTT 310500Z 36012KT 9999 FEW030 08/M02 Q1019 NOSIG RMK 1CU030 A3010 OVC005 TS");
    assert_eq!((metar.pressure_hpa, metar.cloud_oktas, metar.weather), (Some(1_019.0), Some(2), None));
}

#[test]
fn without_data_there_is_no_observation() {
    let station = StationId::parse(b"USW00023234").unwrap();
    for text in ["METAR KSFO 310456Z NIL=", "KSFO 310456Z 28011KT 10SM", "KSFO 310456Z AUTO ///// KT"] {
        assert_eq!(parse(text).hour(station, 0, text), Ok(None), "{text}");
    }
    assert!(parse("METAR KSFO 310456Z NIL=").is_nil);
    for text in ["", "METAR", "KSFOX 310456Z", "taf KSFO", "2016/01/31", "KSFO 320456Z", "KSFO 312456Z"] {
        assert!(Metar::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_observation_keeps_its_text() {
    let station = StationId::parse(b"USW00023234").unwrap();
    let text = "KSFO 310456Z COR 28011KT 10SM 11/06 A3001";
    let hour = parse(text).hour(station, 1_454_216_160, text).unwrap().unwrap();
    assert_eq!(
        hour.to_json(),
        r#"{"station_id":"USW00023234","time":"2016-01-31T04:56:00Z","temperature_c":11.0,"dew_point_c":6.0,"wind_m_s":5.7,"pressure_hpa":1016.3,"source":"metar","raw":"KSFO 310456Z COR 28011KT 10SM 11/06 A3001"}"#
    );
    assert!(parse("KSFO 310456Z 99/26").hour(station, 0, "").is_err(), "too hot for this earth");
}

#[test]
fn the_month_is_that_of_the_nearest_day() {
    let time = |clock: &str, near: &str| {
        let found = parse(&format!("KSFO {clock} 11/06")).time(parse_time(near).unwrap());
        found.map(crate::hourly::iso_time)
    };
    for (clock, near, expected) in [
        ("310456Z", "2016-01-31T04:56:00Z", Some("2016-01-31T04:56:00Z")),
        ("310456", "2016-01-31T05:00:00Z", Some("2016-01-31T04:56:00Z")),
        ("312356Z", "2016-02-01T00:00:00Z", Some("2016-01-31T23:56:00Z")),
        ("010001Z", "2015-12-31T23:59:00Z", Some("2016-01-01T00:01:00Z")),
        ("292300Z", "2016-03-01T01:00:00Z", Some("2016-02-29T23:00:00Z")),
        ("310456Z", "2016-02-15T00:00:00Z", None),
        ("310456Z", "2016-02-05T00:00:00Z", None),
        ("310000Z", "1970-01-01T00:00:00Z", Some("1969-12-31T00:00:00Z")),
    ] {
        assert_eq!(time(clock, near).as_deref(), expected, "{clock} {near}");
    }
    assert_eq!(parse("KSFO 11/06").time(0), None);
}

proptest! {
    #[test]
    fn no_input_panics(text in ".{0,80}", near: i64) {
        if let Ok(metar) = Metar::parse(&text) {
            let _ = metar.time(near % (1 << 40));
        }
        let _ = Metar::parse(&format!("KSFO 310456Z {text}"));
        let _ = Metar::is_likely(&text);
    }

    #[test]
    fn no_damaged_group_panics(tokens in proptest::collection::vec("[A-Z0-9/+=-]{0,10}|T[01é][0-9]{3,7}|M?[0-9]{2}/M?[0-9é]{2}|[0-9]{3}é?[0-9]{2}KT", 0..12)) {
        let metar = Metar::parse(&format!("KSFO 310456Z {}", tokens.join(" "))).unwrap();
        let station = StationId::parse(b"USW00023234").unwrap();
        let _ = metar.hour(station, 0, "");
    }
}
