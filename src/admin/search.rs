//! Finds stations by parts of their names, states and countries.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::large;
use super::limit::Limits;
use super::query::bad_request;
use super::view::Shown;
use crate::noaa::{NameMatch, Station, StationId, StationSearch};

/// Default number of stations in an answer.
const FOUND: usize = 12;
/// Most stations in an answer.
const FOUND_MAX: usize = 100;
/// Longest text, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// Query parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    text: String,
    #[serde(default, deserialize_with = "super::query::how_many")]
    limit: Option<usize>,
}

/// `GET /api/v1/search?text=newark%20liberty`: the matching stations, best match first, and among equal matches those
/// with data first.
pub(super) async fn search(
    asked: web::Query<Asked>,
    request: HttpRequest,
    shown: web::Data<Shown>,
    limits: web::Data<Limits>,
) -> Result<HttpResponse, actix_web::Error> {
    if asked.text.chars().count() > TEXT_CHARS_MAX {
        return Err(bad_request(format!("text is too long: expected at most {TEXT_CHARS_MAX} characters")));
    }
    shown.live.look();
    let limit = asked.limit.unwrap_or(FOUND).min(FOUND_MAX);
    Ok(large(&request, &limits, move || find(&shown, &asked.text, limit)).await)
}

fn find(shown: &Shown, text: &str, limit: usize) -> Value {
    let search = StationSearch::new(text);
    if search.is_empty() {
        return json!([]);
    }
    let reported: std::collections::HashSet<StationId> =
        shown.live.recent.stations().into_iter().map(|station| station.id).collect();
    let has_data = |id: StationId| reported.contains(&id) || shown.live.outlooks.has(id);
    let table = &shown.view.stations;
    let mut found: Vec<(NameMatch, bool, Station)> = table
        .ids()
        .into_iter()
        .filter_map(|id| {
            let station: Station = serde_json::from_str(&table.get(id)?).ok()?;
            Some((search.matches(&station)?, !has_data(id), station))
        })
        .collect();
    found.sort_by(|left, right| {
        let key = |(how, is_empty, station): &(NameMatch, bool, Station)| (*how, *is_empty, station.id);
        key(left).cmp(&key(right))
    });
    let row = |(_, is_empty, station): (NameMatch, bool, Station)| {
        json!({
            "id": station.id, "name": station.name, "state": station.state, "country": station.country,
            "latitude": station.location.lat, "longitude": station.location.lon, "has_data": !is_empty,
        })
    };
    found.into_iter().take(limit).map(row).collect()
}
