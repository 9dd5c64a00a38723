//! The names in a condition: their meanings, and which may be combined.

use super::feed::{Asked, Feed, mixed};
use super::moment::HourName;
use super::scope::{ConditionError, Scope};
use crate::noaa::Element;
use crate::spelling::advice;

/// Names that conditions often have, for suggestions.
const COMMON_NAMES: [&str; 14] = [
    "TMIN", "TMAX", "TAVG", "TOBS", "PRCP", "SNOW", "SNWD", "AWND", "WETBULB", "WIND", "night", "chance",
    "station", "date",
];

/// A value that the condition reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Variable {
    Element(Element),
    Station,
    Date,
    Hour(HourName),
    Night,
    /// `chance(-2.0)`: the limit, in °C.
    Chance(f64),
}

impl Variable {
    fn feed(&self) -> Option<Feed> {
        match self {
            Self::Element(_) => Some(Feed::Day),
            Self::Hour(_) => Some(Feed::Hour),
            Self::Night | Self::Chance(_) => Some(Feed::Night),
            Self::Station | Self::Date => None,
        }
    }
}

/// A name that a condition uses.
pub(super) struct Used {
    pub(super) name: String,
    pub(super) variable: Variable,
    /// The place of its first use, in bytes.
    pub(super) offset: usize,
}

/// Checks the names in the expression, with their places, and returns them in order. `chances` are those of its calls
/// of `chance`. Also returns the first name that decides the feed.
pub(super) fn resolve_variables(
    names: Vec<(&str, usize)>,
    chances: Vec<Used>,
    scope: Scope,
) -> Result<(Vec<Used>, Option<Asked>), ConditionError> {
    let mut variables = chances;
    let mut names = names;
    // In the order of the text, so that the first mistake is reported.
    names.sort_by_key(|(_, offset)| *offset);
    for (name, offset) in names {
        let variable = variable(name, scope).map_err(|message| ConditionError { offset, message })?;
        variables.push(Used { name: name.to_owned(), variable, offset });
    }
    variables.sort_by_key(|used| used.offset);
    let mut first: Option<Asked> = None;
    for Used { name, variable, offset } in &variables {
        let Some(feed) = variable.feed() else { continue };
        let name = if matches!(variable, Variable::Chance(_)) { "chance" } else { name };
        let asked = Asked { name: name.to_owned(), feed, offset: *offset };
        match &first {
            Some(first) if first.feed != feed => {
                return Err(ConditionError { offset: *offset, message: mixed(first, &asked) });
            }
            Some(_) => {}
            None => first = Some(asked),
        }
    }
    variables.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok((variables, first))
}

fn variable(name: &str, scope: Scope) -> Result<Variable, String> {
    let moment = match name {
        "station" => return Ok(Variable::Station),
        _ if scope == Scope::Station => {
            return Err(format!(
                "`{name}` cannot be used here: stations are chosen by `station` alone, as in {}",
                scope.example()
            ));
        }
        "date" => return Ok(Variable::Date),
        "night" => Some(Variable::Night),
        "chance" => return Err("`chance` needs a limit in °C, as in chance(-2.0) >= 0.3".into()),
        _ => HourName::parse(name).map(Variable::Hour),
    };
    match (moment, scope) {
        (Some(_), Scope::Filter) => return Err(only_in_rules(name)),
        (Some(moment), _) => return Ok(moment),
        (None, _) => {}
    }
    let element = Element::parse(name.as_bytes()).filter(|element| element.is_known());
    element.map(Variable::Element).ok_or_else(|| {
        let moments = match scope {
            Scope::Observation => " a value of an hour (T, TD, WETBULB, WIND, RH), `night`, chance(-2.0),",
            Scope::Filter | Scope::Station => "",
        };
        format!(
            "unknown name `{name}`: expected a GHCN-Daily element (TMIN, TMAX, PRCP, …),{moments} `station` or `date`{}",
            advice(name, COMMON_NAMES)
        )
    })
}

/// Why a name of hours and nights is refused outside of rules.
pub(super) fn only_in_rules(name: &str) -> String {
    format!(
        "`{name}` cannot be used here: the filter sees daily observations, so it may name elements (TMIN, PRCP, …), \
         `station` and `date`; hours and nights are for rules"
    )
}
