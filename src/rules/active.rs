//! The days of the year on which a rule may fire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::noaa::Date;

/// Most months that a rule may name.
const MONTHS_MAX: usize = 12;

/// The part of the year in which a rule may fire: months, or a first and last day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActiveDefinition {
    /// Months of each year, 1 to 12.
    #[schemars(inner(range(min = 1, max = 12)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<u8>,
    /// The first day: `04-15` for each year, or `2024-04-15` for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The days on which a rule may fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Active {
    /// Bit `n` stands for month `n`.
    Months(u16),
    /// First and last day of each year, as month and day; over the new year if the last is earlier than the first.
    EachYear((u8, u8), (u8, u8)),
    /// First and last date.
    Once(Date, Date),
}

impl Active {
    /// Whether the rule may fire on this day.
    pub fn contains(&self, date: Date) -> bool {
        let day = (date.month(), date.day());
        match self {
            Self::Months(months) => months & (1 << date.month()) != 0,
            Self::EachYear(from, to) if from <= to => (*from..=*to).contains(&day),
            Self::EachYear(from, to) => day >= *from || day <= *to,
            Self::Once(from, to) => (*from..=*to).contains(&date),
        }
    }

    /// Parses the written form.
    ///
    /// # Errors
    /// The expected form, in a sentence.
    pub(super) fn compile(written: &ActiveDefinition) -> Result<Self, String> {
        match (written.months.as_slice(), &written.from, &written.to) {
            ([], Some(from), Some(to)) => Self::between(from, to),
            (months @ [_, ..], None, None) => {
                if months.len() > MONTHS_MAX {
                    return Err(format!("{} months: a year has {MONTHS_MAX}", months.len()));
                }
                if let Some(month) = months.iter().find(|month| !(1..=12).contains(*month)) {
                    return Err(format!("month {month}: expected 1 to 12"));
                }
                Ok(Self::Months(months.iter().fold(0, |bits, month| bits | 1 << month)))
            }
            _ => Err("expected either months, as in { months = [4, 5] }, or both from and to, as in \
                      { from = \"04-15\", to = \"09-30\" }"
                .into()),
        }
    }

    fn between(from: &str, to: &str) -> Result<Self, String> {
        let day = |text: &str| {
            // A leap year, so that every possible day exists.
            let date = Date::parse_iso(&format!("2000-{text}")).filter(|_| text.len() == 5)?;
            Some((date.month(), date.day()))
        };
        let date = |text: &str| Date::parse_iso(text).filter(|_| text.len() == 10);
        if let (Some(from), Some(to)) = (day(from), day(to)) {
            return Ok(Self::EachYear(from, to));
        }
        match (date(from), date(to)) {
            (Some(from), Some(to)) if from <= to => Ok(Self::Once(from, to)),
            (Some(_), Some(_)) => Err(format!("{to} is before {from}, so the rule could never fire")),
            _ => Err(format!(
                "{from:?} to {to:?}: expected two days such as \"04-15\" and \"09-30\", or two dates such as \"2024-04-15\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str) -> Active {
        let text = |text: &str| Some(text.to_owned());
        Active::compile(&ActiveDefinition { months: vec![], from: text(from), to: text(to) }).unwrap()
    }

    fn contains(active: &Active, date: &str) -> bool {
        active.contains(Date::parse_iso(date).unwrap())
    }

    #[test]
    fn seasons() {
        let spring = between("04-15", "06-30");
        let days = ["2016-04-14", "2016-04-15", "2017-06-30", "2017-07-01"];
        assert_eq!(days.map(|day| contains(&spring, day)), [false, true, true, false]);
        let winter = between("11-01", "02-29");
        let days = ["2016-10-31", "2016-12-24", "2016-02-29", "2016-03-01"];
        assert_eq!(days.map(|day| contains(&winter, day)), [false, true, true, false]);
        assert!(!contains(&between("2016-01-01", "2016-12-31"), "2017-01-01"));
        let months = ActiveDefinition { months: vec![4, 12], ..ActiveDefinition::default() };
        let months = Active::compile(&months).unwrap();
        assert_eq!(
            ["2016-04-01", "2016-05-01", "2016-12-31"].map(|day| contains(&months, day)),
            [true, false, true]
        );
    }

    #[test]
    fn mistakes_are_told() {
        let error = |months: &[u8], from: Option<&str>, to: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let written = ActiveDefinition { months: months.into(), from: text(from), to: text(to) };
            Active::compile(&written).unwrap_err()
        };
        assert!(error(&[13], None, None).contains("1 to 12"));
        assert!(error(&[], Some("04-15"), None).contains("both from and to"));
        assert!(error(&[4; 100_000], None, None).contains("100000 months"));
        assert!(error(&[4], Some("04-15"), Some("05-01")).contains("either"));
        assert!(error(&[], Some("04-31"), Some("05-01")).contains("expected two days"));
        assert!(error(&[], Some("2016-04-01"), Some("2015-05-01")).contains("never"));
    }
}
