//! All topics, in the order of [`topic::ALL`].

use super::channel::{Channel, Header, Key, Message, Payload};
use super::schema::{of, of_raw};
use crate::config::topic;
use crate::hourly::{ForecastDocument, HourDocument};
use crate::noaa::{KeptObservation, ObservationDocument, Station};
use crate::outlook::OutlookRecord;
use crate::rules::RuleDocument;
use crate::stages::{
    Addressed, CHANGE_HEADER, DayAlertDocument, LINES_HEADER, MomentAlertDocument, OutcomeRecord,
};

const RECIPIENT: Key = Key::Text(
    "The recipient: `subscriber/ID`, `address/DIGEST` or `alertmanager`.",
    "^(subscriber/.+|address/[0-9a-f]+|alertmanager)$",
);
const ITEM: Key = Key::Text("`rule/ID` or `subscriber/ID`.", "^(rule|subscriber)/.+$");
const STORE_KEY: Key = Key::Any("A key of the stage's store, in a private form.");
const LINES: Header = (
    LINES_HEADER,
    "The lines that the observation, or this revision of it, was made of: `topic/partition@first-last`.",
);
const CHANGE: Header = (
    CHANGE_HEADER,
    "What the line does to the archive: `insert`, `update` or `delete`. Lines without it are added or replace another.",
);
const DEAD_LETTER_HEADERS: &[Header] = &[
    LINES,
    CHANGE,
    ("frostline-stage", "The stage that could not process the record; `replay` for a line of a file."),
    ("frostline-reason", "The reason, in a sentence."),
    (
        "frostline-topic",
        "The topic of the record; for an output that was too large, the topic that refused it.",
    ),
    ("frostline-partition", "The partition of the record. Absent for an output that was too large."),
    ("frostline-offset", "The offset of the record. Absent for an output that was too large."),
    ("frostline-timestamp-ms", "The timestamp of the record, in milliseconds since 1970."),
    (
        "frostline-cut-from-bytes",
        "The original sizes, if the record was cut because the topic does not accept it whole.",
    ),
    ("frostline-retried", "Marks the note that an earlier dead letter was retried."),
    ("frostline-file", "The file of a line that `frostline replay` could not parse."),
    ("frostline-line", "The number of that line, counted from 1."),
];

const fn of_station(id: &'static str, title: &'static str, value: Payload) -> Message {
    Message { id, title, key: Key::StationId, headers: &[], value }
}

const fn written_by_stages(
    topic: &'static str,
    title: &'static str,
    description: &'static str,
    messages: &'static [Message],
) -> Channel {
    Channel { topic, title, description, messages, sources: &[], commands: &[] }
}

const fn changelog(topic: &'static str, messages: &'static [Message]) -> Channel {
    let description =
        "The state of a stage, for restoring it. Its form is private and changes with versions.";
    written_by_stages(topic, "Changes of state", description, messages)
}

const fn change(id: &'static str) -> Message {
    let value = Payload::Bytes("A value of the store in a private form; null deletes it.");
    Message { id, title: "Change of state", key: STORE_KEY, headers: &[], value }
}

pub(super) const CHANNELS: &[Channel] = &[
    Channel {
        sources: &["ghcn"],
        commands: &["replay", "generate"],
        ..written_by_stages(
            topic::CSV_RAW,
            "GHCN-Daily lines",
            "One element of one station and day in each record. Lines of the same station and day become one observation.",
            &[Message {
                headers: &[CHANGE],
                ..of_station(
                    "ghcnLine",
                    "GHCN-Daily line",
                    Payload::Text(
                        "One line of a `by_year` file of GHCN-Daily: station, date, element, value, three flags, time.",
                    ),
                )
            }],
        )
    },
    Channel {
        commands: &["replay"],
        ..written_by_stages(
            topic::RAW,
            "Observations as JSON",
            "Observations without their station, which the stage enrich adds.",
            &[Message {
                id: "rawObservation",
                title: "Observation, or several, without their stations",
                key: Key::Any("Any key, or none."),
                headers: &[],
                value: Payload::Json(of_raw),
            }],
        )
    },
    Channel {
        commands: &["replay", "generate"],
        ..written_by_stages(
            topic::JSON,
            "Observations",
            "All elements of a station and day, with the station. A later document of the same station and day replaces the earlier one.",
            &[Message {
                headers: &[LINES],
                ..of_station("observation", "Observation", Payload::Json(of::<ObservationDocument>))
            }],
        )
    },
    written_by_stages(
        topic::JSON_US_AZ,
        "Observations that the filter kept",
        "The observations that meet the condition `filter.where`.",
        &[of_station(
            "keptObservation",
            "Observation that the filter kept",
            Payload::Json(of::<KeptObservation>),
        )],
    ),
    Channel {
        sources: &["metar", "forecast"],
        commands: &["replay", "generate"],
        ..written_by_stages(
            topic::HOURLY,
            "Hourly observations and forecasts",
            "What the stage outlook reads, in one order for each station.",
            &[
                of_station("hourlyObservation", "Hourly observation", Payload::Json(of::<HourDocument>)),
                of_station(
                    "hourlyForecast",
                    "Forecast of the coming night",
                    Payload::Json(of::<ForecastDocument>),
                ),
            ],
        )
    },
    Channel {
        sources: &["forecast"],
        ..written_by_stages(
            topic::FORECASTS,
            "Forecasts of the coming night",
            "Forecasts of weather services for single stations.",
            &[of_station("forecast", "Forecast of the coming night", Payload::Json(of::<ForecastDocument>))],
        )
    },
    written_by_stages(
        topic::OUTLOOKS,
        "Outlooks",
        "How cold the coming night becomes, with each hourly observation, and how it went.",
        &[of_station("outlook", "Outlook", Payload::Json(of::<OutlookRecord<Station>>))],
    ),
    written_by_stages(
        topic::ALERTS,
        "Alerts",
        "What rules have found: about days, and about hours or nights.",
        &[
            of_station("dayAlert", "Alert of a rule over days", Payload::Json(of::<DayAlertDocument>)),
            of_station(
                "momentAlert",
                "Alert of a rule over hours or nights",
                Payload::Json(of::<MomentAlertDocument<'_>>),
            ),
        ],
    ),
    written_by_stages(
        topic::NOTICES,
        "Notices",
        "One record for each recipient of an alert.",
        &[Message { key: RECIPIENT, ..of_station("notice", "Notice", Payload::Json(of::<Addressed>)) }],
    ),
    written_by_stages(
        topic::DELIVERIES,
        "Deliveries",
        "The outcome of each message to a recipient.",
        &[Message {
            key: RECIPIENT,
            ..of_station("delivery", "Delivery", Payload::Json(of::<OutcomeRecord<'_>>))
        }],
    ),
    Channel {
        commands: &["stations import", "stations fetch"],
        ..written_by_stages(
            topic::STATIONS,
            "Stations",
            "The station table, compacted: the newest record of each key counts, and null removes it.",
            &[of_station("station", "Station", Payload::Json(of::<Station>))],
        )
    },
    Channel {
        commands: &["rules apply"],
        ..written_by_stages(
            topic::RULES,
            "Rules and subscribers",
            "Rules and subscribers as people wrote them, compacted: the newest record of each key counts, and null removes it.",
            &[Message {
                key: ITEM,
                ..of_station("rule", "Rule or subscriber", Payload::Json(of::<RuleDocument>))
            }],
        )
    },
    Channel {
        commands: &["replay"],
        ..written_by_stages(
            topic::DEAD_LETTERS,
            "Dead letters",
            "Records that could not be processed, as they were, with the reason in headers. Their own headers are kept.",
            &[Message {
                id: "deadLetter",
                title: "Dead letter",
                key: Key::Any("The key of the record."),
                headers: DEAD_LETTER_HEADERS,
                value: Payload::Bytes("The value of the record, in whatever form it was."),
            }],
        )
    },
    changelog(topic::ASSEMBLE_CHANGELOG, &[change("assembleChange")]),
    changelog(topic::ALERT_CHANGELOG, &[change("alertChange")]),
    changelog(topic::OUTLOOK_CHANGELOG, &[change("outlookChange")]),
    changelog(topic::WATCH_CHANGELOG, &[change("watchChange")]),
    changelog(topic::DELIVER_CHANGELOG, &[change("deliverChange")]),
    Channel {
        sources: &["metar", "ghcn", "forecast"],
        ..written_by_stages(
            topic::POSITIONS,
            "Positions of sources",
            "What each source remembers between polls, with a partition for each source. The form is private.",
            &[Message {
                id: "position",
                title: "Position of a source",
                key: Key::Any("A key of the source's own, in a private form."),
                headers: &[],
                value: Payload::Bytes("A value in a private form; null deletes it."),
            }],
        )
    },
];
