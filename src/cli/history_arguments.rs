//! Common options of commands that read files of history: which records, in which order, and what to do with invalid
//! ones.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::Failed;
use crate::history::{Order, Plan, ReadSettings, Selection, Units, is_stdin};
use crate::noaa::{Date, Element, StationId};

/// Files, selection and order
#[derive(Args)]
pub(super) struct HistoryArguments {
    /// Read these files, in order: by_year CSV, .dly, station CSV, hourly CSV, GHCNh, METARs, JSON lines or arrays;
    /// plain, gzip, bzip2, zstd or xz; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Read a station CSV without attribute columns, such as one of Climate Data Online, in these units
    #[arg(long, value_name = "UNITS")]
    pub(super) units: Option<UnitsArgument>,
    /// Sort all records by day (hourly observations: by hour), with bounded memory
    #[arg(long, value_name = "KEY", conflicts_with = "shuffle")]
    pub(super) sort: Option<SortKey>,
    /// Shuffle all records; the same seed gives the same order
    #[arg(long, value_name = "SEED")]
    pub(super) shuffle: Option<u64>,
    /// Use at most this much memory for records while sorting [default: 256MiB]
    #[arg(long, value_name = "SIZE", default_value = "256MiB", hide_default_value = true)]
    pub(super) memory: Size,
    /// Write temporary files to this directory [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub(super) tmp: Option<PathBuf>,
    /// Read only this station (may be repeated)
    #[arg(long, value_name = "ID", value_parser = station)]
    pub(super) station: Vec<StationId>,
    /// Read only this element, such as TMIN (may be repeated)
    #[arg(long, value_name = "ELEMENT", value_parser = element)]
    pub(super) element: Vec<Element>,
    /// Read only records from this date on
    #[arg(long, value_name = "DATE", value_parser = super::rules::date)]
    pub(super) from: Option<Date>,
    /// Read only records up to this date
    #[arg(long, value_name = "DATE", value_parser = super::rules::date)]
    pub(super) to: Option<Date>,
}

/// The units of a station CSV; see [`Units`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum UnitsArgument {
    /// Whole numbers as NOAA stores them: tenths of °C, of mm, of m/s
    Tenths,
    /// °C, mm, m/s
    Metric,
    /// °F, inches, miles per hour
    Standard,
}

impl From<UnitsArgument> for Units {
    fn from(units: UnitsArgument) -> Self {
        match units {
            UnitsArgument::Tenths => Self::Tenths,
            UnitsArgument::Metric => Self::Metric,
            UnitsArgument::Standard => Self::Standard,
        }
    }
}

/// Keys to sort records by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SortKey {
    /// The day or hour of the record
    Date,
}

/// What to do with a record that cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// Pass it on unchanged: the stage that reads it makes it a dead letter
    Pass,
    /// Stop the work there
    Stop,
    /// Leave it out, and count it
    Skip,
    /// Write it to the dead letters, with file, line and reason
    DeadLetter,
}

/// A size in bytes: `256MiB`, `1GiB`, `64k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected a size, such as 256MiB");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: usize = text[..digits].parse().map_err(|_| expected())?;
        let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return Err(expected()),
        };
        number
            .checked_mul(unit)
            .filter(|bytes| *bytes >= 1 << 20)
            .map(Self)
            .ok_or_else(|| format!("{text:?}: expected at least 1MiB"))
    }
}

pub(super) fn station(text: &str) -> Result<StationId, String> {
    StationId::parse(text.as_bytes())
        .ok_or_else(|| "expected a GHCN-Daily id of 11 characters, such as USW00003192".to_owned())
}

fn element(text: &str) -> Result<Element, String> {
    Element::parse(text.as_bytes()).ok_or_else(|| "expected an element, such as TMIN".to_owned())
}

impl HistoryArguments {
    /// The files, selection and order to read.
    ///
    /// # Errors
    /// A file does not exist.
    pub(super) fn plan(&self) -> Result<Plan, Failed> {
        self.files_bytes()?;
        check_period(self.from, self.to)?;
        let order = match (self.sort, self.shuffle) {
            (Some(SortKey::Date), _) => Order::ByDay,
            (None, Some(seed)) => Order::Shuffled(seed),
            (None, None) => Order::AsGiven,
        };
        Ok(Plan {
            files: self.files.clone(),
            settings: ReadSettings { units: self.units.map(Units::from), ..ReadSettings::default() },
            selection: Selection {
                stations: self.station.clone(),
                elements: self.element.clone(),
                from: self.from,
                to: self.to,
            },
            order,
            memory_bytes: self.memory.0,
            folder: self.tmp.clone().unwrap_or_else(std::env::temp_dir),
        })
    }

    /// Size of all files together in bytes, for progress; 0 if standard input is among them.
    pub(super) fn files_bytes(&self) -> Result<u64, Failed> {
        let mut bytes = 0;
        for file in &self.files {
            if is_stdin(file) {
                return Ok(0);
            }
            bytes += file_bytes(file)?;
        }
        Ok(bytes)
    }
}

/// Refuses a period without any day.
pub(super) fn check_period(from: Option<Date>, to: Option<Date>) -> Result<(), Failed> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Failed::Usage(anyhow::anyhow!("--from {from} is later than --to {to}: no day would be read")))
        }
        _ => Ok(()),
    }
}

fn file_bytes(file: &Path) -> Result<u64, Failed> {
    let found = std::fs::metadata(file).map_err(|error| {
        Failed::Usage(anyhow::Error::new(error).context(format!("{} cannot be read", file.display())))
    })?;
    if found.is_dir() {
        return Err(Failed::Usage(anyhow::anyhow!(
            "{} is a directory: name the files in it",
            file.display()
        )));
    }
    Ok(found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!("256MiB".parse(), Ok(Size(256 << 20)));
        assert_eq!("1 GB".parse(), Ok(Size(1 << 30)));
        assert_eq!("2097152".parse(), Ok(Size(2 << 20)));
        for wrong in ["", "MiB", "12 stones", "1k", "99999999999999999999g"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
