//! Scripts: the faults of each service, with times and paths.

use serde::Deserialize;

use super::fault::{Fault, Lasts};
use super::times::{DAY, MINUTE};
use crate::hourly::{iso_time, parse_time};
use crate::synthetic::random::{between, chance};

/// Days covered by a random script.
const DAYS_DRAWN: i64 = 120;
/// Within this many days each fault certainly comes once.
const DAYS_CERTAIN: i64 = 30;
/// The path prefixes for faults of the way in random scripts: one for each service.
const SERVICES: &[&str] =
    &["/data/cache/", "/pub/data/ghcn/", "/oa/", "/gridpoints/", "/points/", "/weatherapi/"];

/// A fault from one time until before another, in seconds since 1970, for all paths with a prefix.
///
/// Faults of reports count by the time of observation, faults of days by noon of the day (UTC), and faults of
/// differences by the time at which the edition is published; all others by the time of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The start.
    pub from: i64,
    /// The end.
    pub to: i64,
    /// The path prefix; empty for all paths.
    pub path: String,
    /// The fault.
    pub fault: Fault,
    /// The number that some faults need: bytes, seconds.
    pub value: Option<u64>,
}

/// A list of windows. If several apply, the first one of a kind counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    windows: Vec<Window>,
}

/// A window in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    from: String,
    to: String,
    #[serde(default)]
    path: String,
    fault: String,
    #[serde(default)]
    value: Option<u64>,
}

impl Script {
    /// No faults at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// A script with these windows.
    pub fn new(windows: Vec<Window>) -> Self {
        Self { windows }
    }

    /// `none`, `all`, or names separated by commas: windows of these faults are drawn for 120 days.
    ///
    /// # Errors
    /// An unknown name, in a sentence.
    pub fn drawn(names: &str, seed: u64, start: i64) -> Result<Self, String> {
        let faults: Vec<Fault> = match names {
            "none" => Vec::new(),
            "all" => Fault::all().collect(),
            names => names.split(',').map(|name| named(name.trim())).collect::<Result<_, _>>()?,
        };
        let windows = faults.into_iter().flat_map(|fault| draw(fault, seed, start)).collect();
        Ok(Self { windows })
    }

    /// A script in JSON: a list of `{"from", "to", "path", "fault", "value"}`, the last three as in [`Window`].
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn parse(json: &serde_json::Value) -> Result<Self, String> {
        let documents: Vec<Document> =
            Deserialize::deserialize(json).map_err(|error| format!("faults: {error}"))?;
        let time = |text: &str| {
            parse_time(text).ok_or_else(|| format!("{text:?}: expected a time such as 2026-11-28T17:53:00Z"))
        };
        let window = |document: Document| {
            Ok(Window {
                from: time(&document.from)?,
                to: time(&document.to)?,
                path: document.path,
                fault: named(&document.fault)?,
                value: document.value,
            })
        };
        let windows = documents.into_iter().map(window).collect::<Result<_, String>>()?;
        Ok(Self { windows })
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let window = |window: &Window| {
            serde_json::json!({
                "from": iso_time(window.from),
                "to": iso_time(window.to),
                "path": window.path,
                "fault": window.fault.name(),
                "value": window.value,
            })
        };
        self.windows.iter().map(window).collect()
    }

    /// The windows.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The window of a fault at a time and for a path, if there is one.
    pub(super) fn at(&self, fault: Fault, time: i64, path: &str) -> Option<&Window> {
        let covers = |window: &&Window| {
            window.fault == fault
                && (window.from..window.to).contains(&time)
                && path.starts_with(&window.path)
        };
        self.windows.iter().find(covers)
    }

    /// Whether a fault is on at a time, for any path.
    pub(super) fn has(&self, fault: Fault, time: i64) -> bool {
        self.windows.iter().any(|window| window.fault == fault && (window.from..window.to).contains(&time))
    }
}

fn named(name: &str) -> Result<Fault, String> {
    Fault::named(name).ok_or_else(|| {
        let known: Vec<_> = Fault::all().map(Fault::name).collect();
        format!("unknown fault {name:?}: expected none, all, {}", known.join(", "))
    })
}

fn draw(fault: Fault, seed: u64, start: i64) -> Vec<Window> {
    let paths: &[&str] = if fault.is_of_content() { &[""] } else { SERVICES };
    let mut windows = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let certain = between(0, DAYS_CERTAIN, &[seed, fault as u64, number as u64]);
        for day in 0..DAYS_DRAWN {
            let key = |what: u64| [seed, fault as u64, number as u64, day.cast_unsigned(), what];
            let midnight = start - start.rem_euclid(DAY) + day * DAY;
            let (share, begins, lasts) = match fault.lasts() {
                Lasts::Minutes => (0.2, between(0, DAY, &key(1)), between(5, 45, &key(2)) * MINUTE),
                Lasts::Days => (0.2, 0, DAY),
                Lasts::RareDays => (0.04, between(0, DAY, &key(1)), DAY),
                Lasts::Onwards => (0.1, between(0, DAY, &key(1)), (DAYS_DRAWN - day) * DAY),
            };
            if day == certain || chance(share, &key(0)) {
                let from = midnight + begins;
                windows.push(Window { from, to: from + lasts, path: (*path).to_owned(), fault, value: None });
                if fault.lasts() == Lasts::Onwards {
                    break;
                }
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_back_from_json() {
        let text = r#"[{"from":"2026-11-28T00:00:00Z","to":"2026-11-29T00:00:00Z","path":"/data/","fault":"cut-body","value":10}]"#;
        let script = Script::parse(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(script.to_json().to_string(), text);
        let from = script.windows()[0].from;
        assert!(script.at(Fault::CutBody, from, "/data/x").is_some_and(|window| window.value == Some(10)));
        for (fault, time, path) in [
            (Fault::CutBody, from - 1, "/data/x"),
            (Fault::CutBody, from + DAY, "/data/x"),
            (Fault::CutBody, from, "/pub/x"),
            (Fault::Drip, from, "/data/x"),
        ] {
            assert_eq!(script.at(fault, time, path), None);
        }
        for wrong in [
            r#"[{"from":"today","to":"2026-11-29T00:00:00Z","fault":"drip"}]"#,
            r#"[{"from":"2026-11-29T00:00:00Z","to":"2026-11-29T00:00:00Z","fault":"rain"}]"#,
            r#"[{"from":"2026-11-29T00:00:00Z"}]"#,
        ] {
            assert!(Script::parse(&serde_json::from_str(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn drawn_scripts_have_the_faults_that_were_asked_for() {
        assert_eq!(Script::drawn("none", 1, 0), Ok(Script::none()));
        let all = Script::drawn("all", 1, 0).unwrap();
        for fault in Fault::all() {
            assert!(all.windows().iter().any(|window| window.fault == fault), "{}", fault.name());
        }
        assert_ne!(all, Script::drawn("all", 2, 0).unwrap());
        let two = Script::drawn("drip, old-form", 1, 0).unwrap();
        assert!(two.windows().iter().all(|window| matches!(window.fault, Fault::Drip | Fault::OldForm)));
        assert!(Script::drawn("drip,rain", 1, 0).unwrap_err().contains("\"rain\""));
    }
}
