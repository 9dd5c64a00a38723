//! The condition of a rule as written: `when`, or the one that `crop` stands for.

use super::crops::Crop;
use super::definition::Definition;
use super::problem::Problems;

/// The default chance from which a rule with `crop` fires.
const CHANCE: f64 = 0.3;
/// The range of chances that make sense in a rule.
const CHANCES: std::ops::RangeInclusive<f64> = 0.01..=0.99;

impl Definition {
    /// The condition under which the rule fires: `when`, or the one that `crop` stands for. Mistakes in the crop are
    /// reported by [`compile`](Self::compile).
    pub fn condition(&self) -> String {
        self.chosen(&mut Problems::default()).0
    }

    /// The condition, and its crop, if it has one.
    pub(super) fn chosen(&self, problems: &mut Problems) -> (String, Option<Crop>) {
        let Some(name) = &self.crop else {
            for (field, is_written) in [("stage", self.stage.is_some()), ("chance", self.chance.is_some())] {
                if is_written {
                    problems.add(field, 0, format!("{field} belongs to `crop`, as in crop = \"peach\""));
                }
            }
            return (self.when.clone(), None);
        };
        if !self.when.is_empty() {
            problems.add(
                "when",
                0,
                "the rule has `crop` too, which stands for a condition: remove one of the two",
            );
        }
        let chance = self.chance.unwrap_or(CHANCE);
        if !CHANCES.contains(&chance) {
            let (low, high) = (CHANCES.start(), CHANCES.end());
            problems.add("chance", 0, format!("chance = {chance}: expected {low} to {high}"));
        }
        match Crop::find(name, self.stage.as_deref().unwrap_or_default()) {
            Ok(crop) => (format!("chance({:.1}) >= {chance:?}", crop.kill_c()), Some(crop)),
            Err((field, reason)) => {
                let is_missing = field == "stage" && self.stage.is_none();
                let (field, reason) = match is_missing {
                    true => ("crop", reason.replacen("unknown stage", "`crop` needs `stage`, the stage", 1)),
                    false => (field, reason),
                };
                problems.add(field, 0, reason);
                (self.when.clone(), None)
            }
        }
    }
}
