//! Answers of weather services: a poll gives records or an error. The first byte chooses the service; every request
//! gets the rest as its answer.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use frostline::noaa::StationId;
use frostline::sources::{Answer, Fetch, Forecasts, Fresh, Ghcn, GhcnSettings, Metar, Request, Watched};
use frostline_engine::{PollError, Poller, Position};
use libfuzzer_sys::fuzz_target;

struct Says(Vec<u8>);

impl Fetch for Says {
    fn get(&self, _: &Request<'_>) -> Result<Answer, PollError> {
        Ok(Answer::New(Fresh { bytes: self.0.clone(), ..Fresh::default() }))
    }
}

const NOW_MS: i64 = 1_764_300_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, body)) = bytes.split_first() else { return };
    let says = Arc::new(Says(body.to_vec()));
    let id = StationId::parse(b"USW00003192").expect("an id");
    let mut poller: Box<dyn Poller> = match choice % 4 {
        0 => Box::new(Metar::new(says, "http://127.0.0.1", Arc::new(move |_: &str| Some(id)))),
        1 => Box::new(Ghcn::new(says, GhcnSettings::new("http://127.0.0.1"))),
        country => {
            let (latitude, longitude) = if country == 2 { (33.6, -111.9) } else { (60.4, 5.3) };
            let watched = vec![Watched { id, latitude, longitude, elevation: Some(100.0), is_us: country == 2 }];
            let stations = Arc::new(move || watched.clone());
            Box::new(Forecasts::new(says, stations, "http://127.0.0.1", "http://127.0.0.1", Duration::from_secs(3_600)))
        }
    };
    let mut position = Position::default();
    for round in 0..3 {
        if let Ok(batch) = poller.poll(&position, NOW_MS + round * 3_600_000) {
            batch.changes.iter().for_each(|(key, value)| position.apply(key, value.as_deref()));
        }
    }
});
