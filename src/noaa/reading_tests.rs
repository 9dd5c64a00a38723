//! Readings: lines that are right, and everything that can be wrong with one.

use super::*;
use proptest::prelude::*;

fn reading(line: &str) -> Reading {
    match Reading::parse(line.as_bytes()) {
        Ok(Line::Reading(reading)) => reading,
        other => panic!("{line}: {other:?}"),
    }
}

fn error(line: impl AsRef<[u8]>) -> String {
    Reading::parse(line.as_ref()).unwrap_err().to_string()
}

#[test]
fn a_line_becomes_a_reading() {
    let reading = reading("XX000000001,20160224,TMIN,-44,T,S,7,0700");
    assert_eq!(reading.station.as_str(), "XX000000001");
    assert_eq!(reading.date, Date::new(2016, 2, 24).unwrap());
    assert_eq!((reading.element, reading.value), (Element::TMIN, -44));
    assert_eq!((reading.measurement_flag, reading.quality_flag, reading.source_flag), (b'T', b'S', b'7'));
    assert_eq!(reading.observation_time, Some(700));
    assert!(reading.failed_quality());
}

#[test]
fn empty_flags_are_zero() {
    let reading = reading("XX000000001,20160224,TMIN,-44,,,,");
    assert_eq!((reading.measurement_flag, reading.quality_flag, reading.source_flag), (0, 0, 0));
    assert_eq!(reading.observation_time, None);
    assert!(!reading.failed_quality());
}

#[test]
fn line_ends_are_tolerated() {
    let plain = reading("XX000000001,20160224,PRCP,0,T,,W,2400");
    assert_eq!(reading("XX000000001,20160224,PRCP,0,T,,W,2400\r\n"), plain);
    assert_eq!(reading("XX000000001,20160224,PRCP,0,T,,W,2400\n"), plain);
}

#[test]
fn a_header_is_not_an_error() {
    let header = b"ID,DATE,ELEMENT,DATA_VALUE,M_FLAG,Q_FLAG,S_FLAG,OBS_TIME\r\n";
    assert_eq!(Reading::parse(header), Ok(Line::Header));
}

#[test]
fn errors_say_what_is_wrong() {
    for (line, message) in [
        ("", "empty line"),
        ("\r\n", "empty line"),
        ("hello", "1 field instead of 8"),
        ("XX000000001,20160224,TMIN,-44,,,", "7 fields instead of 8"),
        ("XX000000001,20160224,TMIN,-44,,,,,", "9 fields instead of 8"),
        ("XX00000001,20160224,TMIN,1,,,,", "station id 'XX00000001' is not 11 letters, digits, '-' or '_'"),
        ("XX000000001,20150229,TMIN,1,,,,", "impossible date '20150229'"),
        ("XX000000001,2016-02-24,TMIN,1,,,,", "impossible date '2016-02-24'"),
        ("XX000000001,20160224,tmin,1,,,,", "element 'tmin' is not 4 capital letters or digits"),
        ("XX000000001,20160224,TMIN,1.5,,,,", "value '1.5' is not a whole number of 32 bits"),
        ("XX000000001,20160224,TMIN,,,,,", "value '' is not a whole number of 32 bits"),
        ("XX000000001,20160224,TMIN,3000000000,,,,", "value '3000000000' is not a whole number of 32 bits"),
        ("XX000000001,20160224,TMIN,-9999,,,,", "missing value (-9999)"),
        ("XX000000001,20160224,TMIN,1,TT,,,", "measurement flag 'TT' is not one letter or digit"),
        ("XX000000001,20160224,TMIN,1,, ,,", "quality flag ' ' is not one letter or digit"),
        ("XX000000001,20160224,TMIN,1,,,\n,", "source flag '\\n' is not one letter or digit"),
        ("XX000000001,20160224,TMIN,1,,,,2401", "time of observation '2401' is not HHMM from 0000 to 2400"),
        ("XX000000001,20160224,TMIN,1,,,,0760", "time of observation '0760' is not HHMM from 0000 to 2400"),
        ("XX000000001,20160224,TMIN,1,,,,700", "time of observation '700' is not HHMM from 0000 to 2400"),
        ("XX000000001,20160224,TMIN,1,,,,-700", "time of observation '-700' is not HHMM from 0000 to 2400"),
    ] {
        assert_eq!(error(line), message);
    }
    assert_eq!(error(b"XX000000001,20160224,TMIN,1,,,\xff,"), "not UTF-8 from byte 30 on");
}

#[test]
fn errors_are_short_for_any_input() {
    let line = format!("XX000000001,20160224,TMIN,{},,,,", "é".repeat(100_000));
    let message = error(line);
    assert!(message.chars().count() < 100, "{message}");
    assert!(message.contains('…'));
}

proptest! {
    #[test]
    fn nothing_panics(bytes: Vec<u8>, nearly in "[A-Z0-9_-]{10,12},[0-9]{7,9},[A-Z0-9]{3,5},-?[0-9]{0,12},.?,.?,.?,[0-9]{0,5}") {
        let _ = Reading::parse(&bytes);
        let _ = Reading::parse(nearly.as_bytes());
    }

    #[test]
    fn what_is_in_the_line_is_in_the_reading(
        id in "[A-Za-z0-9_-]{11}",
        days in -50_000..50_000i32,
        element in "[A-Z0-9]{4}",
        value: i32,
        flags in proptest::array::uniform3(proptest::option::of("[A-Za-z0-9]")),
        time in proptest::option::of((0..24u16, 0..60u16)),
    ) {
        prop_assume!(value != -9999);
        let day = Date::from_days_since_1970(days).unwrap();
        let compact = day.to_string().replace('-', "");
        let [m, q, s] = flags.map(Option::unwrap_or_default);
        let time = time.map(|(hour, minute)| hour * 100 + minute);
        let time_text = time.map(|time| format!("{time:04}")).unwrap_or_default();
        let parsed = reading(&format!("{id},{compact},{element},{value},{m},{q},{s},{time_text}"));

        let flag = |text: &str| text.bytes().next().unwrap_or(0);
        prop_assert_eq!(parsed.station.as_str(), id);
        prop_assert_eq!(parsed.element.as_str(), element);
        prop_assert_eq!((parsed.date, parsed.value, parsed.observation_time), (day, value, time));
        prop_assert_eq!(
            (parsed.measurement_flag, parsed.quality_flag, parsed.source_flag),
            (flag(&m), flag(&q), flag(&s))
        );
    }
}

#[test]
fn a_reading_is_written_as_it_was_read() {
    for line in [
        "XX000000001,20160224,TMIN,-44,T,S,7,0700",
        "XX000000001,09991231,PRCP,0,,,W,",
        "XX000000001,20160224,TOBS,2147483647,,I,,2400",
        "XX000000001,20160224,WT01,-2147483648,H,,,0000",
    ] {
        let mut out = Vec::new();
        reading(line).to_line_into(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), line);
    }
}
