//! Critical temperatures of crops, so that a rule can name a crop and a stage instead of a limit.
//!
//! The table has the air temperature at which about a tenth of the buds, blossoms or young fruit is killed within 30 minutes.
//! Apple, peach, pear, sweet cherry, apricot and European plum: Washington State University (EB0913, EB0914, EB0978, EB1128,
//! EB1240), as extension services of other states repeat them. Grape: Purdue University. Blueberry and strawberry: tables of
//! university extension services (Michigan State, North Carolina State, Penn State). The figures are averages: cultivars
//! differ, cool weather beforehand hardens, and a thermometer elsewhere shows another temperature than the buds have.

use super::condition::Unit;
use crate::spelling::advice;

const WASHINGTON: &str = "Washington State University";
const PURDUE: &str = "Purdue University";
const EXTENSION: &str = "tables of university extension services";

/// A crop: its name, the part of it that is killed, the source of the figures, and its stages with degrees
/// Fahrenheit.
type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, i16)]);

const TABLE: &[Row] = &[
    (
        "apple",
        "buds",
        WASHINGTON,
        &[
            ("silver tip", 15),
            ("green tip", 18),
            ("half-inch green", 23),
            ("tight cluster", 27),
            ("first pink", 28),
            ("full pink", 28),
            ("first bloom", 28),
            ("full bloom", 28),
            ("post bloom", 28),
        ],
    ),
    (
        "apricot",
        "buds",
        WASHINGTON,
        &[
            ("first swelling", 15),
            ("tips separate", 20),
            ("calyx red", 22),
            ("first white", 24),
            ("first bloom", 25),
            ("full bloom", 27),
            ("in the shuck", 27),
            ("green fruit", 28),
        ],
    ),
    (
        "blueberry",
        "buds",
        EXTENSION,
        &[("swell", 15), ("tight cluster", 23), ("early pink", 25), ("white tip", 27), ("full bloom", 28)],
    ),
    (
        "european plum",
        "buds",
        WASHINGTON,
        &[
            ("first swelling", 14),
            ("side white", 17),
            ("tip green", 20),
            ("tight cluster", 24),
            ("first white", 26),
            ("first bloom", 27),
            ("full bloom", 28),
            ("post bloom", 28),
        ],
    ),
    ("grape", "buds", PURDUE, &[("early swell", 15), ("full swell", 25), ("burst", 28)]),
    (
        "peach",
        "buds",
        WASHINGTON,
        &[
            ("first swelling", 18),
            ("calyx green", 21),
            ("calyx red", 23),
            ("first pink", 25),
            ("first bloom", 26),
            ("full bloom", 27),
            ("post bloom", 28),
        ],
    ),
    (
        "pear",
        "buds",
        WASHINGTON,
        &[
            ("scales separating", 15),
            ("buds exposed", 20),
            ("tight cluster", 24),
            ("first white", 25),
            ("full white", 26),
            ("first bloom", 27),
            ("full bloom", 28),
            ("post bloom", 28),
        ],
    ),
    (
        "strawberry",
        "buds",
        EXTENSION,
        &[("tight bud", 24), ("petals showing", 30), ("full bloom", 32), ("petal fall", 31)],
    ),
    (
        "sweet cherry",
        "buds",
        WASHINGTON,
        &[
            ("first swelling", 17),
            ("side green", 22),
            ("green tip", 25),
            ("tight cluster", 26),
            ("open cluster", 27),
            ("first white", 27),
            ("first bloom", 28),
            ("full bloom", 28),
            ("post bloom", 28),
        ],
    ),
];

/// A crop at a stage, with its critical temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Its name: `peach`.
    pub name: &'static str,
    /// Its stage: `full bloom`.
    pub stage: &'static str,
    /// The temperature that kills a tenth in 30 minutes, in °F, as published.
    pub kill_f: i16,
    /// The source.
    pub source: &'static str,
    part: &'static str,
}

/// The meaning of the figure: one sentence for a message.
impl std::fmt::Display for Crop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, stage, kill_f, source, part } = self;
        let celsius = shown(self.kill_c());
        write!(
            f,
            "10 % of {name} {part} at stage “{stage}” are killed at {celsius} °C ({kill_f} °F) in 30 minutes, after \
             {source}; a guide, not a promise"
        )
    }
}

/// The text with a typographic minus sign.
fn shown(celsius: f64) -> String {
    format!("{celsius:.1}").replace('-', "−")
}

impl Crop {
    pub(super) fn find(name: &str, stage: &str) -> Result<Self, (&'static str, String)> {
        let row = TABLE.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let Some((name, part, source, stages)) = row else {
            let known: Vec<&str> = TABLE.iter().map(|(known, ..)| *known).collect();
            let advice = advice(name, known.iter().copied());
            return Err(("crop", format!("unknown crop: expected one of {}{advice}", known.join(", "))));
        };
        match stages.iter().find(|(known, _)| known.eq_ignore_ascii_case(stage)) {
            Some((stage, kill_f)) => Ok(Self { name, stage, kill_f: *kill_f, source, part }),
            None => {
                let advice = advice(stage, stages.iter().map(|(known, _)| *known));
                Err(("stage", format!("unknown stage of {name}: {}{advice}", expected(stages))))
            }
        }
    }

    /// The temperature that kills a tenth in 30 minutes, in °C, rounded to tenths.
    pub fn kill_c(&self) -> f64 {
        Unit::Celsius.convert(f64::from(self.kill_f))
    }
}

fn expected(stages: &[(&str, i16)]) -> String {
    let stages: Vec<&str> = stages.iter().map(|(stage, _)| *stage).collect();
    format!("expected one of {}", stages.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Conditions, Definition, Feed};

    fn peach() -> Definition {
        Definition {
            id: "peach".into(),
            station: Some("USW00003192".into()),
            crop: Some("peach".into()),
            stage: Some("full bloom".into()),
            ..Definition::default()
        }
    }

    fn problems(definition: &Definition) -> Vec<(&'static str, String)> {
        let problems = definition.compile(0, None, &mut Conditions::default()).unwrap_err();
        problems.into_iter().map(|problem| (problem.field, problem.message)).collect()
    }

    #[test]
    fn a_crop_stands_for_a_condition() {
        let rule = peach().compile(0, None, &mut Conditions::default()).unwrap();
        assert_eq!(rule.when.text(), "chance(-2.8) >= 0.3");
        assert_eq!((rule.feed(), rule.night_limit()), (Feed::Night, Some(-2.8)));
        assert_eq!(
            rule.crop.unwrap().to_string(),
            "10 % of peach buds at stage “full bloom” are killed at −2.8 °C (27 °F) in 30 minutes, after Washington State \
             University; a guide, not a promise"
        );
        let careful = Definition { chance: Some(0.1), ..peach() };
        assert_eq!(careful.condition(), "chance(-2.8) >= 0.1");
        let written = Definition {
            when: careful.condition(),
            crop: None,
            stage: None,
            chance: None,
            ..careful.clone()
        };
        let compiled =
            |definition: &Definition| definition.compile(0, None, &mut Conditions::default()).unwrap();
        assert_eq!(
            compiled(&written).identity,
            compiled(&careful).identity,
            "written out it is the same rule"
        );
    }

    #[test]
    fn every_stage_of_the_table_makes_a_rule() {
        for (crop, _, _, stages) in TABLE {
            for (stage, kill_f) in *stages {
                let definition =
                    Definition { crop: Some((*crop).into()), stage: Some((*stage).into()), ..peach() };
                let rule = definition.compile(0, None, &mut Conditions::default()).unwrap();
                let limit = rule.night_limit().unwrap();
                assert!((Unit::Fahrenheit.convert(limit) - f64::from(*kill_f)).abs() < 0.1, "{crop} {stage}");
            }
        }
    }

    #[test]
    fn mistakes_name_what_is_known() {
        let wrong = problems(&Definition { crop: Some("peech".into()), ..peach() });
        assert!(wrong[0].0 == "crop" && wrong[0].1.contains("apple, apricot"), "{wrong:?}");
        let wrong = problems(&Definition { stage: Some("bloom".into()), ..peach() });
        assert!(wrong[0].0 == "stage" && wrong[0].1.contains("calyx red, first pink"), "{wrong:?}");
        let wrong = problems(&Definition { stage: None, ..peach() });
        assert!(wrong[0].0 == "crop" && wrong[0].1.contains("needs `stage`"), "{wrong:?}");
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        let wrong = problems(&Definition { when: "TMIN < 0.0".into(), ..peach() });
        assert_eq!((wrong.len(), wrong[0].0), (1, "when"), "{wrong:?}");
        let wrong = problems(&Definition { chance: Some(30.0), ..peach() });
        assert_eq!((wrong.len(), wrong[0].0), (1, "chance"), "{wrong:?}");
        let wrong = problems(&Definition { crop: None, when: "TMIN < 0.0".into(), ..peach() });
        assert_eq!(wrong[0].0, "stage", "{wrong:?}");
    }
}
