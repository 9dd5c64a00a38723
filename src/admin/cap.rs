//! An alert as a message of the Common Alerting Protocol, version 1.2.
//!
//! | transition | msgType | responseType | urgency | certainty |
//! |---|---|---|---|---|
//! | expected | Alert, then Update | Prepare | Expected | Likely from a chance of 50 %, else Possible |
//! | fired, confirmed | Alert, then Update | Monitor | Immediate | Observed |
//! | resolved, averted | Update | AllClear | Past | Observed |
//! | stale | Update | Monitor | Unknown | Unknown |
//! | withdrawn, retracted | Cancel | AllClear | Past | Unlikely |
//! | retracted, if it withdraws an end | as fired |
//!
//! An Update or Cancel refers to the earlier messages of its episode. If these are no longer kept, the message is an Alert,
//! because the protocol requires the reference. The severity is that of the rule: critical is Severe, warning Moderate, info
//! Minor. The status is Actual, or Test if the configuration names nobody who answers for the messages.

use std::io;

use frostline_engine::record::unix_ms;
use serde_json::Value;

use super::api::State;
use super::bulletin::{Alert, Bulletin};
use super::lists::{KEPT, List};
use super::query::not_found;
use super::xml::{self, Xml, leaf, optional};
use crate::hourly::{iso_time, standard_offset};
use crate::noaa::{Date, Location, StationId};
use crate::rules::{Severity, Transition, Units};
use crate::stages::{LIKELY, Moment, NightFacts, StationIndex};
use actix_web::{HttpResponse, web};

const NAMESPACE: &str = "urn:oasis:names:tc:emergency:cap:1.2";
/// The media type of a message.
pub(super) const CONTENT_TYPE: &str = "application/cap+xml";
/// The sender, if the configuration names none.
const NOBODY: &str = "frostline@localhost";
/// Longest headline, in characters: displays of one line cut it there.
const HEADLINE_CHARS_MAX: usize = 160;
/// A message whose event has no end of its own expires so long after it was sent, in seconds.
const DAY: i64 = 86_400;
/// Most earlier messages that are named.
const REFERENCES_MAX: usize = 20;

/// One kept alert.
pub(super) async fn alert(id: web::Path<String>, shown: State) -> HttpResponse {
    shown.live.look_and_read().await;
    let kept = Bulletin::of(&shown.live.newest(List::Alerts, KEPT));
    let Some(bulletin) = kept.iter().find(|kept| kept.alert.alert_id == *id) else {
        return not_found("no such alert among the newest: see /api/v1/alerts");
    };
    let earlier: Vec<&Bulletin> = kept.iter().filter(|kept| bulletin.follows(kept)).collect();
    let location = bulletin.alert.station.location;
    let place = location.or_else(|| known_location(&shown.view.stations, &bulletin.alert.station.id));
    match message(bulletin, &earlier, place, &shown.view.sender) {
        Ok(xml) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(xml),
        Err(error) => HttpResponse::InternalServerError()
            .json(serde_json::json!({ "error": format!("the message cannot be written: {error}") })),
    }
}

/// An alert about a silent station has its id only.
fn known_location(stations: &StationIndex, id: &str) -> Option<Location> {
    let station: Value = serde_json::from_str(&stations.get(StationId::parse(id.as_bytes())?)?).ok()?;
    serde_json::from_value(station["location"].clone()).ok()
}

/// The message. `earlier` are the kept alerts that it follows; `place` is where the station is, if known.
fn message(
    bulletin: &Bulletin,
    earlier: &[&Bulletin],
    place: Option<Location>,
    sender: &str,
) -> io::Result<Vec<u8>> {
    let (sender, status) = if sender.is_empty() { (NOBODY, "Test") } else { (sender, "Actual") };
    xml::document("alert", NAMESPACE, |xml| {
        leaf(xml, "identifier", &bulletin.alert.alert_id)?;
        leaf(xml, "sender", &without_spaces(sender))?;
        leaf(xml, "sent", &time(bulletin.sent()))?;
        leaf(xml, "status", status)?;
        leaf(xml, "msgType", kind(state(&bulletin.alert), !earlier.is_empty()))?;
        leaf(xml, "source", concat!("frostline ", env!("CARGO_PKG_VERSION")))?;
        leaf(xml, "scope", "Public")?;
        let reference = |earlier: &&Bulletin| {
            format!("{},{},{}", without_spaces(sender), earlier.alert.alert_id, time(earlier.sent()))
        };
        let references: Vec<String> = earlier.iter().take(REFERENCES_MAX).map(reference).collect();
        optional(xml, "references", Some(references.join(" ").as_str()).filter(|text| !text.is_empty()))?;
        xml.create_element("info").write_inner_content(|xml| info(xml, bulletin, place))?;
        Ok(())
    })
}

fn info(xml: &mut Xml, bulletin: &Bulletin, place: Option<Location>) -> io::Result<()> {
    let alert = &bulletin.alert;
    let night = night(alert);
    leaf(xml, "language", "en")?;
    leaf(xml, "category", "Met")?;
    leaf(xml, "event", night.map_or(alert.rule_id.as_str(), |night| Units::default().term(night.limit_c)))?;
    leaf(xml, "responseType", response(state(alert)))?;
    leaf(xml, "urgency", urgency(state(alert)))?;
    leaf(xml, "severity", severity(alert.severity))?;
    leaf(xml, "certainty", certainty(state(alert), night))?;
    optional(xml, "onset", onset(alert, place).map(time).as_deref())?;
    leaf(xml, "expires", &time(expires(bulletin)))?;
    leaf(xml, "senderName", "frostline")?;
    leaf(xml, "headline", &headline(&alert.message))?;
    let crop = alert.moment.as_ref().and_then(|moment| moment.crop.as_deref()).unwrap_or_default();
    let description = format!("{}\nCondition: {}\n{crop}", alert.message, alert.when);
    leaf(xml, "description", description.trim_end())?;
    let chance = night.and_then(|night| night.chance).map(|chance| chance.to_string());
    for (name, value) in [("rule", Some(&alert.rule_id)), ("chance", chance.as_ref())] {
        let Some(value) = value else { continue };
        xml.create_element("parameter").write_inner_content(|xml| named(xml, name, value))?;
    }
    xml.create_element("area").write_inner_content(|xml| area(xml, bulletin, place))?;
    Ok(())
}

fn area(xml: &mut Xml, bulletin: &Bulletin, place: Option<Location>) -> io::Result<()> {
    leaf(xml, "areaDesc", &bulletin.place())?;
    // A point: the alert is about this station, and nothing is known of its surroundings.
    let circle = place.map(|Location { lat, lon }| format!("{lat},{lon} 0"));
    optional(xml, "circle", circle.as_deref())?;
    let station = &bulletin.alert.station;
    for (name, value) in [("GHCN", Some(&station.id)), ("ICAO", station.icao.as_ref())] {
        let Some(value) = value else { continue };
        xml.create_element("geocode").write_inner_content(|xml| named(xml, name, value))?;
    }
    Ok(())
}

fn named(xml: &mut Xml, name: &str, value: &str) -> io::Result<()> {
    leaf(xml, "valueName", name)?;
    leaf(xml, "value", value)
}

impl Bulletin {
    /// When it was sent, in seconds since 1970: the timestamp of its record, the same each time that somebody asks.
    fn sent(&self) -> i64 {
        let ms = if self.timestamp_ms >= 0 { self.timestamp_ms } else { unix_ms() };
        ms.div_euclid(1_000)
    }
}

fn night(alert: &Alert) -> Option<&NightFacts> {
    alert.moment.as_ref()?.night.as_ref()
}

/// What the alert reports of its event: if an end is withdrawn, that it goes on.
fn state(alert: &Alert) -> Transition {
    if Transition::withdraws_an_end(alert.retracts.as_deref()) { Transition::Fired } else { alert.transition }
}

fn kind(transition: Transition, has_earlier: bool) -> &'static str {
    match transition {
        _ if !has_earlier => "Alert",
        Transition::Withdrawn | Transition::Retracted => "Cancel",
        _ => "Update",
    }
}

fn response(transition: Transition) -> &'static str {
    match transition {
        Transition::Expected => "Prepare",
        Transition::Fired | Transition::Confirmed | Transition::Stale => "Monitor",
        Transition::Resolved | Transition::Averted | Transition::Withdrawn | Transition::Retracted => {
            "AllClear"
        }
    }
}

fn urgency(transition: Transition) -> &'static str {
    match transition {
        Transition::Expected => "Expected",
        Transition::Fired | Transition::Confirmed => "Immediate",
        Transition::Stale => "Unknown",
        Transition::Resolved | Transition::Averted | Transition::Withdrawn | Transition::Retracted => "Past",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "Minor",
        Severity::Warning => "Moderate",
        Severity::Critical => "Severe",
    }
}

fn certainty(transition: Transition, night: Option<&NightFacts>) -> &'static str {
    let chance = night.and_then(|night| night.chance).unwrap_or_default();
    match transition {
        Transition::Expected if chance >= LIKELY => "Likely",
        Transition::Expected => "Possible",
        Transition::Fired | Transition::Confirmed | Transition::Resolved | Transition::Averted => "Observed",
        Transition::Stale => "Unknown",
        Transition::Withdrawn | Transition::Retracted => "Unlikely",
    }
}

/// When the event begins, in seconds since 1970. Nights: when the limit is expected to be reached, or else the lowest
/// temperature. Hours: the time of the observation. Days: midnight of local standard time.
fn onset(alert: &Alert, place: Option<Location>) -> Option<i64> {
    match &alert.moment {
        Some(Moment { night: Some(night), .. }) => night.crossing_at.or(night.lowest_at),
        Some(moment) => Some(moment.time),
        None => {
            let day = i64::from(Date::parse_iso(&alert.date)?.days_since_1970());
            Some(day * DAY - standard_offset(place?.lon))
        }
    }
}

/// Nights: their end, as long as that lies ahead. Otherwise a day after the message was sent.
fn expires(bulletin: &Bulletin) -> i64 {
    let sent = bulletin.sent();
    let end = night(&bulletin.alert).map(|night| night.ends).filter(|end| *end > sent);
    end.unwrap_or(sent + DAY)
}

/// The protocol has `-00:00` in place of `Z`.
fn time(seconds: i64) -> String {
    iso_time(seconds).replace('Z', "-00:00")
}

/// The protocol allows no spaces, commas, `<` and `&` in senders.
fn without_spaces(sender: &str) -> String {
    sender.replace([' ', ',', '<', '&'], "_")
}

fn headline(message: &str) -> String {
    match message.char_indices().nth(HEADLINE_CHARS_MAX) {
        None => message.to_owned(),
        Some(_) => message.chars().take(HEADLINE_CHARS_MAX - 1).chain(['…']).collect(),
    }
}
