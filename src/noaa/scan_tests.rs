//! The fast reader of documents gives what the careful one gives.

use super::*;
use proptest::prelude::*;

/// As assemble and the filter write it.
const DOCUMENT: &str = r#"{"station":{"id":"XX000000001","country_code":"XX","country":"Xanadu","location":{"lat":33.6228,"lon":-111.9},"elevation":449.0,"state_code":"NB","state":"NÉW BOHEMIA","name":"TOWN","wmo_id":"00001"},"date":"2016-02-24T00:00:00","revision":2,"AWND":2.0,"PRCP":0.0,"SNOW":"0","SNWD":0,"TMAX":-1,"TMIN":-8.9,"WT01":1,"TRANGE":{"gte":-8.9,"lte":-1.0},"_id":"x","_meta":{"topic":"noaa-json","tags":[1,[true,{}],[],null,false]}}"#;

/// Whatever is accepted is what the thorough reader reads, whether the station is known or not.
fn agrees(value: impl AsRef<[u8]>) -> Result<(), TestCaseError> {
    let value = value.as_ref();
    let thoroughly = ObservationView::parse_thoroughly(value);
    if let Some(view) = &observation(value, None) {
        prop_assert_eq!(Ok(view), thoroughly.as_ref(), "{}", String::from_utf8_lossy(value));
    }
    let mut known = KnownStations::default();
    observation(DOCUMENT.as_bytes(), Some(&mut known)).unwrap();
    for _ in 0..2 {
        prop_assert_eq!(&known.parse(value), &thoroughly, "{}", String::from_utf8_lossy(value));
    }
    Ok(())
}

#[test]
fn the_usual_form_is_accepted() {
    for text in [DOCUMENT.to_owned(), DOCUMENT.replace(',', " ,\r\n\t").replace(':', " : ") + "\n"] {
        let text = text.replace("00 : 00 : 00", "00:00:00");
        let view = observation(text.as_bytes(), None).unwrap();
        assert_eq!(ObservationView::parse_thoroughly(text.as_bytes()), Ok(view));
    }
}

#[test]
fn what_other_producers_write_is_accepted() {
    let blanks = DOCUMENT.replace(',', ", ").replace(':', ": ").replace("00: 00: 00", "00:00:00");
    for text in [
        blanks.clone(),
        // As Python's json.dumps writes what is not ASCII.
        blanks.replace("NÉW", "N\\u00c9W"),
        blanks.replace("TOWN", "\\\"TO\\/WN\\\\\\n\\ud83d\\ude00\\\""),
        blanks.replace(
            "\"_id\": \"x\"",
            "\"_id\": \"\\u0078\\\\\", \"n\": 21.0, \"m\": 21, \"o\": [1.5, {\"p\": null}]",
        ),
        DOCUMENT
            .replace(r#""id":"XX000000001","#, "")
            .replace(r#""wmo_id""#, r#""id": "XX000000001","wmo_id""#),
    ] {
        let view = observation(text.as_bytes(), None);
        assert_eq!(Some(ObservationView::parse_thoroughly(text.as_bytes()).unwrap()), view, "{text}");
        let mut known = KnownStations::default();
        let views = [0, 1].map(|_| known.parse(text.as_bytes()).unwrap());
        assert!(Rc::ptr_eq(&views[0].station, &views[1].station), "read once: {text}");
    }
}

#[test]
fn the_unusual_is_left_to_the_thorough_reader() {
    for (from, to) in [
        ("\"name\"", "\"n\\u0061me\""),
        ("TOWN", "TO\\ud800N"),
        ("TOWN", "TO\\xN"),
        ("TOWN", "TO\u{1}WN"),
        ("-8.9", "-8.9e0"),
        ("-8.9", "-08.9"),
        ("-8.9", "-8."),
        ("-8.9", "--8"),
        ("-8.9", "9007199254740993.1"),
        ("\"SNWD\":0", "\"SNWD\":-0"),
        ("\"SNWD\":0", "\"SNWD\":null"),
        ("\"revision\":2", "\"revision\":0"),
        ("\"wmo_id\"", "\"name\""),
        ("\"AWND\"", "\"date\""),
        ("{}", &("[".repeat(20) + &"]".repeat(20))),
        ("null", "nul"),
        ("}}", "}},"),
        ("}}", "}"),
    ] {
        let text = DOCUMENT.replacen(from, to, 1);
        assert_ne!(text, DOCUMENT);
        assert!(observation(text.as_bytes(), None).is_none(), "{text}");
    }
}

#[test]
fn plain_lengths_are_exact_at_every_place() {
    for length in 0..40 {
        for special in [b'"', b'\\', 0, 0x1f] {
            for plain in [b'a', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut bytes = vec![plain; length];
                assert_eq!(plain_length(&bytes), length);
                bytes.push(special);
                bytes.extend([special, b'a', b'"', b'b', b'c', b'd', b'e', b'f', b'g']);
                assert_eq!(plain_length(&bytes), length, "{special} after {length} of {plain}");
            }
        }
    }
}

#[test]
fn short_numbers_are_what_long_ones_are() {
    for whole in ["0", "7", "12", "305", "9999", "12345", "999999", "1234567", "12345678"] {
        for decimals in ["", ".", ".0", ".4", ".05", ".25", ".375", ".1234", ".99999", ".123456"] {
            for (sign, end) in
                [("", ","), ("-", ","), ("", "}"), ("-", "}"), ("", "e"), ("-", "E"), ("", "/"), ("", ":")]
            {
                // At the end of a value, and within.
                for rest in ["", "1.2", "\"TOBS\":12.5"] {
                    let text = format!("\"TMIN\": {sign}{whole}{decimals}{end}{rest}");
                    let number = text.as_bytes()[8..].first_chunk().and_then(|chunk| short_number(*chunk));
                    let mut scanner = Scanner { bytes: text.as_bytes(), at: 8, known: None };
                    assert!(
                        number.is_none() || number == scanner.long_number().zip(Some(scanner.at - 8)),
                        "{text}"
                    );
                    let mut scanners = [8, 8].map(|at| Scanner { bytes: text.as_bytes(), at, known: None });
                    assert_eq!(scanners[0].number(), scanners[1].long_number(), "{text}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_readers_agree_on_texts(text in r#"([ -!#-\[\]-~é]|\\["\\/bfnrtux]|\\u[0-9a-fD]{4}|\\){0,8}"#) {
        agrees(DOCUMENT.replace("TOWN", &text))?;
        agrees(DOCUMENT.replace("\"x\"", &format!("\"{text}\"")))?;
    }

    #[test]
    fn both_readers_agree_on_damaged_documents(position in 0..DOCUMENT.len(), with in "[\"\\\\{}\\[\\],:0-9.eE+ -]|\u{0}|[a-zA-Z]|é", cut in 0..4usize) {
        let mut end = (position + cut).min(DOCUMENT.len());
        let mut start = position;
        while !DOCUMENT.is_char_boundary(start) { start -= 1; }
        while !DOCUMENT.is_char_boundary(end) { end += 1; }
        agrees(format!("{}{with}{}", &DOCUMENT[..start], &DOCUMENT[end..]))?;
    }

    #[test]
    fn both_readers_agree_on_any_byte(position in 0..DOCUMENT.len(), byte: u8) {
        let mut value = DOCUMENT.as_bytes().to_vec();
        value[position] = byte;
        agrees(&value)?;
    }

    #[test]
    fn both_readers_agree_on_numbers(number in r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?") {
        agrees(format!(r#"{{"station":{{"id":"XX000000001","elevation":{number}}},"date":"2016-02-24","TMIN":{number},"x":{number}}}"#))?;
    }

    #[test]
    fn both_readers_agree_on_odd_documents(json in r#"\{("(station|date|TMIN|TMAX|revision|x)":(-?[0-9]{1,3}|"-?[0-9]{1,2}"|"x"|\{"id":"XX000000001"(,"(id|name)":("y"|1))?\}|"2016-02-24"|\[1,true\]),?){0,5}\}"#) {
        agrees(&json)?;
    }
}
