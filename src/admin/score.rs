//! How good the outlooks and warnings of this installation were.

use std::time::{Duration, Instant};

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::large;
use super::limit::Limits;
use super::outlooks::limit_c;
use super::query::bad_request;
use super::view::Shown;
use super::while_asked::lock;
use crate::outlook::{Ledger, Score, ScoredNight};

/// By default, a night counts as warned of from this chance on.
const WARN_FROM: f64 = 0.3;
/// How long an answer waits until everything is read.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// Query parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// In °C, or with its unit.
    limit: Option<String>,
    /// A night counts as warned of from this chance on, 0 to 1.
    chance: Option<f64>,
}

/// `GET /api/v1/outlooks/score?limit=-2.0`: scores of all stations' nights together, and of each rule's warnings.
pub(super) async fn score(
    asked: web::Query<Asked>,
    request: HttpRequest,
    shown: web::Data<Shown>,
    limits: web::Data<Limits>,
) -> Result<HttpResponse, actix_web::Error> {
    let (limit_c, warn_from) = (limit_c(asked.limit.as_deref())?, asked.chance.unwrap_or(WARN_FROM));
    if !(0.0..=1.0).contains(&warn_from) {
        return Err(bad_request(format!("chance = {warn_from}: expected 0 to 1, such as ?chance=0.3")));
    }
    let since = Instant::now();
    let (mut ledger, mut is_current) = shown.scores.ask();
    while !is_current && since.elapsed() < READ_PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        (ledger, is_current) = shown.scores.ask();
    }
    let make = move || summary(&lock(&ledger), limit_c, warn_from, is_current);
    Ok(large(&request, &limits, make).await)
}

fn summary(ledger: &Ledger, limit_c: f64, warn_from: f64, is_current: bool) -> Value {
    let mut nights: Vec<ScoredNight> = Vec::new();
    let mut stations = 0;
    for (_, tally) in ledger.stations() {
        let before = nights.len();
        nights.extend(tally.nights(limit_c));
        stations += usize::from(nights.len() > before);
    }
    let warning = |(rule, sums)| {
        let mut row = json!(sums);
        row["rule"] = json!(rule);
        row
    };
    json!({
        "limit_c": limit_c,
        "warn_from": warn_from,
        "issued": "18:00",
        "is_current": is_current,
        "stations": stations,
        "first_night": nights.iter().map(|night| night.night).min().map(|night| night.to_string()),
        "last_night": nights.iter().map(|night| night.night).max().map(|night| night.to_string()),
        "score": Score::of(nights.iter(), warn_from),
        "warnings": ledger.warnings().map(warning).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::scores::ISSUE;
    use super::*;
    use crate::hourly::{HOUR, iso_time};

    /// Five nights, each with an outlook at 17:53 and its outcome; the last is still open.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(ISSUE);
        let station = json!({ "id": "USW00003192" });
        for day in 0..5_i64 {
            let midnight = 1_357_023_600 + day * 86_400;
            let date = format!("2013-01-0{}", day + 1);
            let night = json!({
                "date": date, "begins": iso_time(midnight + 17 * HOUR), "sunrise": iso_time(midnight + 31 * HOUR),
                "ends": iso_time(midnight + 33 * HOUR),
            });
            let time = midnight + 18 * HOUR - 420;
            let mut expected = json!(crate::outlook::Distribution::of(|p| -2.0 + 4.0 * (p - 0.5)));
            let more = json!({
                "night": night, "lowest_at": iso_time(midnight + 30 * HOUR), "temperature_c": 3.0, "nights": 3,
                "inputs": [], "curve": [],
            });
            expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut take = |record: Value| ledger.take_outlook(record.to_string().as_bytes());
            take(
                json!({ "station": station, "time": iso_time(time), "date": date, "revision": 1, "expected": expected }),
            );
            let outcome = json!({
                "night": night, "lowest_c": -1.0 - day as f64, "lowest_at": iso_time(midnight + 30 * HOUR),
                "longest_gap_minutes": 60, "is_complete": true,
            });
            if day < 4 {
                take(json!({
                    "station": station, "time": iso_time(midnight + 34 * HOUR), "date": date, "revision": 1,
                    "outcome": outcome,
                }));
            }
        }
        let alert = |rule: &str, transition: &str, hour: i64| {
            json!({
                "rule_id": rule, "episode": format!("{rule}/USW00003192/2013-01-01"), "transition": transition,
                "moment": { "time": 1_357_023_600 + hour * HOUR, "night": {} },
            })
        };
        ledger.take_alert(alert("orchard", "expected", 18).to_string().as_bytes());
        ledger.take_alert(alert("orchard", "confirmed", 26).to_string().as_bytes());
        ledger
    }

    #[test]
    fn nights_are_scored_for_the_limit_that_is_asked_for() {
        let ledger = ledger();
        let at = |limit_c: f64| summary(&ledger, limit_c, 0.3, true);
        let scored = at(-3.0);
        // The first two nights have too few before them to compare with.
        assert_eq!((&scored["score"]["nights"], &scored["stations"]), (&json!(2), &json!(1)));
        assert_eq!(
            (&scored["first_night"], &scored["last_night"]),
            (&json!("2013-01-03"), &json!("2013-01-04"))
        );
        assert_eq!((&scored["score"]["frosts"], &scored["score"]["misses"]), (&json!(2), &json!(2)));
        assert_eq!((&at(-2.0)["score"]["hits"], &at(-3.5)["score"]["frosts"]), (&json!(2), &json!(1)));
        assert_eq!(scored["score"]["reliability"][0]["nights"], 2);
        let warnings = &scored["warnings"][0];
        assert_eq!((&warnings["rule"], &warnings["came_true"]), (&json!("orchard"), &json!(1)));
        assert_eq!(warnings["lead_hours_p50"], 8.0);
    }
}
