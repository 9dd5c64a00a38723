//! Rule files, conditions, and rules as records: whatever is accepted can be evaluated, within its budget.

#![no_main]

use frostline::noaa::ObservationView;
use frostline::rules::{Condition, Conditions, Evaluator, Published, RuleSet, Scope};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = r#"{"station":{"id":"USW00003192","country_code":"US","country":"United States","location":{"lat":33.6,"lon":-111.9},"elevation":449.0,"state_code":"AZ","state":"ARIZONA","name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24T00:00:00","TMAX":23.3,"TMIN":-8.9,"PRCP":1,"SNOW":0}"#;

fuzz_target!(|text: &[u8]| {
    let observation = ObservationView::parse(DOCUMENT.as_bytes()).expect("a document");
    let evaluator = Evaluator::new();
    let mut published = Published::default();
    published.take(b"rule/orchard", Some(text));
    let mut conditions = Conditions::default();
    published.quarantine_broken(&mut conditions);
    let _ = published.rule_set(&mut conditions);
    let Ok(text) = std::str::from_utf8(text) else { return };
    for scope in [Scope::Observation, Scope::Filter, Scope::Station] {
        if let Ok(condition) = Condition::compile(text, scope) {
            let _ = condition.clauses();
            let _ = evaluator.evaluate(&condition, &observation);
        }
    }
    let _ = RuleSet::parse(text);
});
