//! A notice, one alert for one recipient: the record between `notify` and `deliver`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Moment;
use crate::noaa::{Date, Element, IsoDate, StationId};
use crate::rules::{Address, Channel, RuleSet, Severity, Subscriber, Transition, Units};

/// Longest text of an alert, in bytes: a rule's own message may have 2,000 characters.
const TEXT_BYTES_MAX: usize = 8_000;
/// Longest name of a station, in bytes.
const NAME_BYTES_MAX: usize = 400;
/// Most values of an alert.
const VALUES_MAX: usize = 200;

/// Who gets a notice: `subscriber/ID`, `address/DIGEST` or `alertmanager`. It is the key of the notice's record.
// All notices of a recipient meet in one partition by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(inline, extend("pattern" = "^(subscriber/.+|address/[0-9a-f]+|alertmanager)$"))]
pub enum Recipient {
    /// A subscriber, by id.
    Subscriber(String),
    /// An address in a rule, as the beginning of its SHA-256: addresses stay out of records.
    Address(String),
    /// The Alertmanager of the operator's configuration.
    Alertmanager,
}

impl Recipient {
    /// The recipient for an address.
    pub fn of_address(address: &Address) -> Self {
        let digest = Sha256::digest(address.0.as_bytes());
        Self::Address(digest[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Recipient {
    /// The subscriber, according to the present rules.
    pub fn subscriber(&self, rules: &RuleSet) -> Option<Arc<Subscriber>> {
        match self {
            Self::Subscriber(id) => rules.subscriber(id),
            Self::Address(_) | Self::Alertmanager => None,
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscriber(id) => write!(f, "subscriber/{id}"),
            Self::Address(digest) => write!(f, "address/{digest}"),
            Self::Alertmanager => f.write_str("alertmanager"),
        }
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some(("subscriber", id)) if !id.is_empty() => Ok(Self::Subscriber(id.to_owned())),
            Some(("address", digest)) if !digest.is_empty() => Ok(Self::Address(digest.to_owned())),
            None if text == "alertmanager" => Ok(Self::Alertmanager),
            _ => Err(format!("recipient {text:?}: expected subscriber/ID, address/DIGEST or alertmanager")),
        }
    }
}

impl TryFrom<String> for Recipient {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// An alert with one of its recipients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Notice")]
pub struct Addressed {
    /// The recipient: `subscriber/ID`, `address/DIGEST` or `alertmanager`. A digest is the beginning of the SHA-256 of an
    /// e-mail address, in hexadecimal digits.
    pub recipient: Recipient,
    /// The alert.
    pub notice: Notice,
    /// The numbers of an alert about an hour or a night. Its message is made from them in the recipient's units and time
    /// zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// The only channel to use, if it is not the first attempt: the text is in its form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
}

/// An alert without the observation that it came from.
// Messages that wait are stored with it, in a form that has no names: a field that is added makes them unreadable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AlertText")]
pub struct Notice {
    /// The id of the alert.
    pub alert_id: String,
    /// The id of the rule.
    pub rule_id: String,
    /// The transition.
    pub transition: Transition,
    /// How urgent the alert is; `warning` if the rule has no severity.
    pub severity: Severity,
    /// The id of the station.
    #[schemars(with = "StationId")]
    pub station: String,
    /// The name of the station; null if unknown.
    pub station_name: Option<String>,
    /// The day, or the night by the date of its evening.
    #[schemars(with = "IsoDate")]
    pub date: String,
    /// The alert in one readable line.
    pub message: String,
    /// The condition of the rule.
    pub when: String,
    /// The condition that ends an episode; null if the rule has no episodes.
    pub clear: Option<String>,
    /// The values of that day: pairs of an element and its value in the element's unit, in the order of the observation.
    pub values: Vec<(String, f64)>,
    /// The alerts of one episode have this in common; null if the rule has no episodes.
    pub episode: Option<String>,
    /// The id of the alert that this one withdraws; null if it withdraws none.
    pub retracts: Option<String>,
    /// The day of the episode, counted from 1; null if the rule has no episodes.
    pub days: Option<i32>,
}

/// The fields of an alert's record that notices and recipients are made from.
#[derive(Debug)]
pub(super) struct AlertText {
    pub(super) notice: Notice,
    pub(super) subscribers: Vec<String>,
    pub(super) email: Option<Address>,
    pub(super) moment: Option<Moment>,
}

impl AlertText {
    /// Parses the value of an alert's record.
    ///
    /// # Errors
    /// What is missing or wrong, in a sentence.
    pub(super) fn parse(value: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Station {
            id: String,
            name: Option<String>,
        }
        #[derive(Deserialize)]
        struct Alert {
            alert_id: String,
            rule_id: String,
            transition: Transition,
            severity: Option<Severity>,
            station: Station,
            date: String,
            message: String,
            when: String,
            clear: Option<String>,
            episode: Option<String>,
            retracts: Option<String>,
            days: Option<i32>,
            moment: Option<Moment>,
            #[serde(default)]
            subscribers: Vec<String>,
            email: Option<Address>,
            #[serde(flatten)]
            rest: serde_json::Map<String, serde_json::Value>,
        }
        let mut alert: Alert =
            serde_json::from_slice(value).map_err(|error| format!("it is not an alert: {error}"))?;
        // A station may have any name: a long one must not prevent its alerts.
        alert.station.name = alert.station.name.map(|name| cut(name, NAME_BYTES_MAX));
        alert.message = cut(alert.message, TEXT_BYTES_MAX);
        let date = Date::parse_iso(&alert.date)
            .ok_or_else(|| format!("date {:?}: expected a day such as 2016-02-24", alert.date))?;
        if StationId::parse(alert.station.id.as_bytes()).is_none() {
            return Err(format!("station {:?}: expected a GHCN-Daily id", alert.station.id));
        }
        let texts = [
            ("alert_id", Some(&alert.alert_id)),
            ("rule_id", Some(&alert.rule_id)),
            ("when", Some(&alert.when)),
            ("clear", alert.clear.as_ref()),
            ("episode", alert.episode.as_ref()),
            ("retracts", alert.retracts.as_ref()),
        ];
        for (name, text) in texts {
            if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
                return Err(format!("{name} has more than {TEXT_BYTES_MAX} bytes"));
            }
        }
        // It is used in headers.
        if alert.alert_id.is_empty() || !alert.alert_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "alert_id {:?}: expected ASCII letters, digits and punctuation",
                alert.alert_id
            ));
        }
        let values = alert.rest.iter().filter_map(|(name, value)| {
            Element::parse(name.as_bytes()).filter(|element| element.is_known())?;
            Some((name.clone(), value.as_f64()?))
        });
        let notice = Notice {
            values: values.take(VALUES_MAX).collect(),
            alert_id: alert.alert_id,
            rule_id: alert.rule_id,
            transition: alert.transition,
            severity: alert.severity.unwrap_or_default(),
            station: alert.station.id,
            station_name: alert.station.name,
            date: date.to_string(),
            message: alert.message,
            when: alert.when,
            clear: alert.clear,
            episode: alert.episode,
            retracts: alert.retracts,
            days: alert.days,
        };
        let (subscribers, email, moment) = (alert.subscribers, alert.email, alert.moment);
        Ok(Self { notice, subscribers, email, moment })
    }
}

/// The text, truncated to that many bytes.
fn cut(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let room = bytes_max - '…'.len_utf8();
    let fits = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room);
    format!("{}…", &text[..fits.last().unwrap_or(0)])
}

impl Notice {
    /// The thread that connects the messages about one event: those of an episode, or an alert and its withdrawal.
    pub fn thread(&self) -> &str {
        self.episode.as_deref().or(self.retracts.as_deref()).unwrap_or(&self.alert_id)
    }

    /// Whether it continues what another alert began, so that it says nothing to those who did not hear of it.
    pub fn continues(&self) -> bool {
        !matches!(self.transition, Transition::Fired | Transition::Expected | Transition::Confirmed)
    }

    /// Whether it withdraws an end, so that the event goes on.
    pub fn goes_on(&self) -> bool {
        Transition::withdraws_an_end(self.retracts.as_deref())
    }

    /// Whether it ends its event: it is over, or nobody knows any more. If one of several alerts of an episode is withdrawn,
    /// the episode goes on, unless it was the first.
    pub fn ends(&self) -> bool {
        let is_later = match (&self.episode, &self.retracts) {
            (Some(episode), Some(retracts)) => !retracts.starts_with(&format!("{episode}/fired")),
            _ => false,
        };
        self.continues() && !is_later
    }

    /// Whether it reports that something is over, so that nobody need hurry. The silence of a station is not that: the
    /// frost may be there.
    pub fn is_over(&self) -> bool {
        self.continues() && self.transition != Transition::Stale && !self.goes_on()
    }

    /// The units to say it in: those that the recipient wants, or else those of the rule's limits, if it has any.
    pub fn units(&self, wanted: Option<Units>) -> Option<Units> {
        wanted.or_else(|| Units::of_condition(&self.when))
    }

    /// The station's name and id.
    pub fn place(&self) -> String {
        match &self.station_name {
            Some(name) => format!("{name} ({})", self.station),
            None => self.station.clone(),
        }
    }

    /// Approximate size of its texts, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.alert_id, &self.rule_id, &self.message, &self.when];
        let more = [&self.station_name, &self.clear, &self.episode, &self.retracts];
        texts.iter().map(|text| text.len()).sum::<usize>()
            + more.iter().flat_map(|text| text.as_ref().map(String::len)).sum::<usize>()
            + self.values.len() * 16
            + 100
    }

    /// How many days ago the day is; 0 for today and future days.
    pub fn age_days(&self, now_ms: i64) -> i64 {
        let today = Date::from_unix_ms(now_ms).map_or(0, Date::days_since_1970);
        let day = Date::parse_iso(&self.date).map_or(today, Date::days_since_1970);
        i64::from(today - day).max(0)
    }
}
