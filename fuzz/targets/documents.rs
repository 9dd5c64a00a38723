//! Observations as JSON. What is accepted is JSON for serde_json too; a station that is known by its text gives the
//! same observation; and what `check_json` accepts can be put into another document.

#![no_main]

use std::cell::RefCell;

use frostline::noaa::{KnownStations, ObservationView, check_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

thread_local! {
    static KNOWN: RefCell<KnownStations> = RefCell::default();
}

fuzz_target!(|text: &[u8]| {
    let alone = ObservationView::parse(text);
    let known = KNOWN.with_borrow_mut(|known| known.parse(text));
    assert_eq!(alone.is_ok(), known.is_ok(), "{alone:?} {known:?}");
    if let (Ok(alone), Ok(known)) = (&alone, &known) {
        assert_eq!(alone, known);
        let json: Value = serde_json::from_slice(text).expect("what is accepted is JSON");
        assert_eq!(json["station"]["id"], alone.station.id.as_str());
    }
    if check_json(text).is_ok() {
        let inside = [b"{\"inside\":".as_slice(), text, b"}"].concat();
        serde_json::from_slice::<Value>(&inside).expect("what is accepted is JSON within JSON");
    }
});
