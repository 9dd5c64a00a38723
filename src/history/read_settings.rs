//! The facts that a reader of files needs.

use std::path::Path;
use std::sync::Arc;

use super::form::{Form, Kind};
use super::item::Bad;
use super::units::Units;
use crate::hourly::Hour;
use crate::noaa::{IcaoIndex, Reading, check_json};

/// Facts that a file does not contain, and its required kind.
#[derive(Clone, Debug, Default)]
pub struct ReadSettings {
    /// The units of a station CSV that does not say its own.
    pub units: Option<Units>,
    /// The stations of METARs.
    pub icao: Option<Arc<IcaoIndex>>,
    /// The wanted observations; `None` accepts all.
    pub expected: Option<Expected>,
}

impl ReadSettings {
    /// Checks that a document is a JSON object, as the stages read it; the stages check its content. Only an hourly
    /// observation is parsed completely, because a daily one is an object as well.
    pub(super) fn check_document(&self, text: &[u8]) -> Result<(), Bad> {
        match &self.expected {
            Some(Expected { kind: Kind::Hourly, .. }) => {
                Hour::parse(text).map(drop).map_err(|error| Bad { reason: error.to_string() })
            }
            _ => check_json(text).map_err(|error| Bad { reason: error.to_string() }),
        }
    }
}

/// The wanted observations, and by whom: a file of the other kind is refused.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Their kind.
    pub kind: Kind,
    /// Who accepts them, for the error: the name of a topic, or `this command`.
    pub by: String,
}

impl Expected {
    /// Refuses a file of the other kind. `start` holds its first line.
    pub(super) fn check(&self, path: &Path, form: Form, start: &[u8]) -> anyhow::Result<()> {
        let (path, by) = (path.display(), &self.by);
        let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match (self.kind, form.kind_of(start)) {
            (Kind::Daily, Some(Kind::Hourly)) => {
                anyhow::bail!("{path} holds hourly observations; {by} takes daily ones")
            }
            (Kind::Hourly, Some(Kind::Daily)) if form == Form::ByYear && Reading::parse(first).is_err() => {
                if start.is_empty() {
                    return Ok(());
                }
                anyhow::bail!(
                    "{path} begins with a line of unknown format; {by} takes hourly CSV, GHCNh, METARs and documents"
                )
            }
            (Kind::Hourly, Some(Kind::Daily)) => {
                anyhow::bail!("{path} holds daily lines; {by} takes hourly observations")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::history::read_in;

    #[test]
    fn files_of_the_other_kind_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        let read = |kind: Kind, text: &str| {
            std::fs::write(&path, text).unwrap();
            let expected = Some(Expected { kind, by: "noaa-hourly".to_owned() });
            let settings = ReadSettings { expected, ..ReadSettings::default() };
            let mut sound = Vec::new();
            let flow = read_in(&settings, &path, Arc::default(), &Arc::default(), &mut |(_, checked)| {
                sound.push(checked.is_ok());
                Ok(ControlFlow::Continue(()))
            });
            flow.map(|_| sound).map_err(|error| error.to_string())
        };
        let daily = "USC00020080,20160101,TMIN,11,,,,\n";
        let hourly = "ghcn_id,time_utc,temp_c\nUSC00020080,2016-01-01T00:00:00Z,1.1\n";
        let document =
            "{\"station_id\":\"USC00020080\",\"time\":\"2016-01-01T00:00:00Z\",\"temperature_c\":1.1}\n";
        assert!(
            read(Kind::Hourly, daily)
                .unwrap_err()
                .ends_with("holds daily lines; noaa-hourly takes hourly observations")
        );
        assert!(read(Kind::Hourly, "what?\n").unwrap_err().contains("unknown format"));
        assert!(read(Kind::Daily, hourly).unwrap_err().contains("holds hourly observations"));
        assert_eq!(read(Kind::Daily, daily), Ok(vec![true]));
        assert_eq!(read(Kind::Hourly, hourly), Ok(vec![true]));
        assert_eq!(read(Kind::Hourly, document), Ok(vec![true]));
        assert_eq!(read(Kind::Hourly, "{\"date\":\"2016-01-01\"}\n"), Ok(vec![false]));
        assert_eq!(read(Kind::Hourly, ""), Ok(vec![]));
    }

    #[test]
    fn documents_that_no_stage_reads_are_refused() {
        for (text, is_sound) in [
            ("{\"a\":{\"b\":[1,\"\\ud83d\\ude00\"]}}", true),
            ("{\"TMIN\":1e999}", false),
            ("{\"a\":[{\"b\":-1e999}]}", false),
            ("{\"name\":\"\\ud800\"}", false),
            ("[1]", false),
            ("{\"a\":1} x", false),
        ] {
            assert_eq!(ReadSettings::default().check_document(text.as_bytes()).is_ok(), is_sound, "{text}");
        }
    }
}
