//! A notice, one alert for one recipient: the record between `notify` and `deliver`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Moment;
use crate::noaa::{Date, Element, StationId};
use crate::rules::{Address, RuleSet, Severity, Subscriber, Transition};

/// Longest text of an alert, in bytes: a rule's own message may have 2,000 characters.
const TEXT_BYTES_MAX: usize = 8_000;
/// Longest name of a station, in bytes.
const NAME_BYTES_MAX: usize = 400;
/// Most values of an alert.
const VALUES_MAX: usize = 200;

/// The recipient. Its text is the key of a notice, so that all notices of a recipient go to one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
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

/// The value of a record of `noaa-notices`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addressed {
    /// The recipient.
    pub recipient: Recipient,
    /// The alert.
    pub notice: Notice,
    /// For a rule over hours or nights: its numbers, for a text in the recipient's units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// The content of an alert, without the observation it came from. Waiting messages are stored with it, in a format
/// without field names: adding a field makes them unreadable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The alert's id, unique among alerts.
    pub alert_id: String,
    /// The rule's id.
    pub rule_id: String,
    /// The transition.
    pub transition: Transition,
    /// The severity; `warning` if the rule does not set one.
    pub severity: Severity,
    /// The station's id.
    pub station: String,
    /// The station's name.
    pub station_name: Option<String>,
    /// The day, such as `2016-02-24`.
    pub date: String,
    /// The alert in one readable line.
    pub message: String,
    /// The rule's condition.
    pub when: String,
    /// The condition that ends the rule's episodes, if it has any.
    pub clear: Option<String>,
    /// The measured values of that day, in the observation's order: element and value in the element's unit.
    pub values: Vec<(String, f64)>,
    /// The episode's id, which connects its alerts.
    pub episode: Option<String>,
    /// The id of the alert that is withdrawn.
    pub retracts: Option<String>,
    /// Which day of the episode this is; the one on which it fired is 1.
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

    /// Whether it reports that something is over.
    pub fn is_over(&self) -> bool {
        !matches!(self.transition, Transition::Fired | Transition::Expected | Transition::Confirmed)
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
