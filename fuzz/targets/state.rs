//! Entries of stores in which bytes have changed: a stage that reads one fails, rejects or continues, and does not
//! panic. The first byte chooses the stage, the rest is the new value of all its entries.

#![no_main]

use std::sync::Arc;

use frostline::noaa::Compat;
use frostline::rules::RuleSet;
use frostline::stages::{self, Alert, Assemble, AssembleSettings, Limits, Outlook, StationIndex, Watch};
use frostline_engine::record::{NO_HEADERS, Record};
use frostline_engine::store::{Change, Checkpoint, Store};
use frostline_engine::{Collector, Context, Counts, Processor, StageId};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = r#"{"station":{"id":"USW00003192","country_code":"US","country":"United States","location":{"lat":33.6,"lon":-111.9},"elevation":449.0,"state_code":"AZ","state":"ARIZONA","name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24T00:00:00","TMIN":-8.9}"#;
const HOUR: &str = r#"{"station":"USW00003192","time":"2016-02-24T21:00:00Z","temperature_c":4.5,"dew_point_c":-1.0,"wind_speed_ms":2.0,"source":"test"}"#;
const RULES: &str = "[[rule]]\nid = \"frost\"\nwhere = \"true\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 2.0\"\n[[rule]]\nid = \"tonight\"\nstation = \"USW00003192\"\nwhen = \"chance(0.0) >= 0.3\"\n";

fn stage(choice: u8) -> (StageId, Box<dyn Processor>, Vec<&'static str>) {
    let stations = || Arc::new(StationIndex::new(Compat::None));
    let rules = || Arc::new(RuleSet::parse(RULES).expect("rules"));
    let settings = AssembleSettings { settle_records: 1, settle_ms: 0, compat: Compat::None, keep_failed_quality: false };
    match choice % 4 {
        0 => {
            let lines = vec!["USW00003192,20160224,TMIN,89,,,W,", "USW00003192,20160225,TMAX,233,,,W,"];
            (stages::ASSEMBLE, Box::new(Assemble::new(settings, stations(), Limits::default())), lines)
        }
        1 => (stages::ALERT, Box::new(Alert::new(rules(), Limits::default())), vec![DOCUMENT]),
        2 => (stages::OUTLOOK, Box::new(Outlook::new(stations(), Limits::default())), vec![HOUR]),
        _ => (stages::WATCH, Box::new(Watch::new(rules(), Limits::default())), vec![HOUR]),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, value)) = bytes.split_first() else { return };
    let (id, mut processor, records) = stage(*choice);
    let mut store = Store::in_memory();
    let (mut collector, mut counts) = (Collector::default(), Counts::default());
    for (offset, text) in (0..).zip(records.iter().chain(&records)) {
        let record = Record {
            topic: "in",
            partition: 0,
            offset,
            timestamp_ms: 1_456_350_000_000,
            key: Some(b"USW00003192"),
            value: Some(text.as_bytes()),
            headers: &NO_HEADERS_LIST,
        };
        let mut context = Context::new(id, 1_456_350_000_000, &mut store, &mut collector, &mut counts);
        if processor.process(&record, &mut context).is_err() {
            return;
        }
        let _ = processor.punctuate(&mut context);
        let sealed = store.seal();
        let changes: Vec<Vec<u8>> = sealed.changes().map(|change| change.key.to_vec()).collect();
        let _ = store.commit(Checkpoint::NONE);
        // The day of an entry stays, and what follows it changes.
        let damaged = [&16_855_u32.to_be_bytes(), value].concat();
        let changes: Vec<Change<'_>> = changes.iter().map(|key| Change { key, value: Some(&damaged) }).collect();
        let _ = store.write(&changes, Checkpoint::NONE);
    }
});

/// No headers.
static NO_HEADERS_LIST: frostline_engine::record::HeaderList<'static> = frostline_engine::record::HeaderList(NO_HEADERS);
