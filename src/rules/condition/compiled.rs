//! A compiled condition, and its evaluation.

use std::panic::catch_unwind;
use std::rc::Rc;

use cel::common::ast::IdedExpr;
use cel::{Program, Value};

use super::chances;
use super::clauses::{Clause, clauses};
use super::cost::{self, COST_MAX, STATION_BYTES_MAX};
use super::execution::{EvaluationError, Failure, resolve};
use super::feed::{Asked, Feed};
use super::functions::Functions;
use super::input::{Input, station_bytes};
use super::moment::{HourName, MomentView};
use super::native::Test;
use super::outline::Outline;
use super::sample;
use super::scope::{ConditionError, Scope};
use super::syntax::Syntax;
use super::thresholds::{Compared, Threshold, single_limit, thresholds};
use super::variables::{Used, Variable, resolve_variables};
use super::verdict::Verdict;
use crate::noaa::{Date, Element, ElementList, ObservationView, StationView};

/// A compiled condition.
pub struct Condition {
    text: String,
    program: Program,
    /// The places of its brackets, used to split it.
    outline: Outline,
    /// Its tree with a variable for each call of `chance`; `None` if it has no such call.
    without_calls: Option<IdedExpr>,
    /// The names that it reads, in order.
    variables: Vec<Used>,
    /// The first name that decides its feed.
    asked: Option<Asked>,
    /// Its comparisons of hours and nights with constants.
    thresholds: Vec<Threshold>,
    /// The same without the interpreter, if it is of a common kind.
    native: Option<Test>,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl Condition {
    /// Compiles a condition, and checks that it uses known names and gives true or false.
    ///
    /// # Errors
    /// The first mistake, with its place in `text`.
    pub fn compile(text: &str, scope: Scope) -> Result<Self, ConditionError> {
        let subject = scope.subject();
        let mistake = |offset: usize, message: String| ConditionError { offset, message };
        if text.trim().is_empty() {
            return Err(mistake(
                0,
                format!("the {subject} is empty: expected a CEL expression such as {}", scope.example()),
            ));
        }
        // Check before parsing, because the parser recurses for each level of nesting.
        let outline = Outline::of(text)
            .map_err(|(offset, reason)| mistake(offset, format!("the {subject} {reason}")))?;
        // The parser has panicked on odd input before; a rule file must not end the process.
        let program = catch_unwind(|| Program::compile(text))
            .map_err(|_| mistake(0, format!("the {subject} cannot be parsed")))?
            .map_err(|errors| syntax_mistake(text, scope, &errors))?;
        let syntax = Syntax { text, root: program.expression(), source: program.source_info() };
        let names = syntax.check(subject).map_err(|(offset, message)| mistake(offset, message))?;
        let chances = chances::extract(&syntax, scope)?;
        let (variables, asked) = resolve_variables(names, chances.used, scope)?;
        let syntax = Syntax { root: chances.root.as_ref().unwrap_or(syntax.root), ..syntax };
        let cost = cost::cost(syntax.root);
        if cost > COST_MAX {
            let reason = format!(
                "the {subject} may take {cost} steps for one observation, the limit is {COST_MAX}: join fewer texts with +"
            );
            return Err(mistake(0, reason));
        }
        sample::check(&syntax, &variables, subject)?;
        let thresholds = thresholds(&syntax);
        let is_of_moments = asked.as_ref().is_some_and(|asked| asked.feed != Feed::Day);
        let native = if is_of_moments { None } else { Test::compile(program.expression()) };
        let (text, without_calls) = (text.to_owned(), chances.root);
        Ok(Self { text, program, outline, without_calls, variables, asked, thresholds, native })
    }

    /// The parts that `&&` and `||` join, each followed by its own parts. A condition without them is one part.
    pub fn clauses(&self) -> Vec<Clause> {
        let (root, source) = (self.program.expression(), self.program.source_info());
        clauses(&Syntax { text: &self.text, root, source }, &self.outline)
    }

    /// The place of the first `null`, in bytes from the start of the text.
    pub(in crate::rules) fn null(&self) -> Option<usize> {
        let (root, source) = (self.program.expression(), self.program.source_info());
        Syntax { text: &self.text, root, source }.null()
    }

    /// Whether it is the same for each observation.
    pub(in crate::rules) fn is_constant(&self) -> bool {
        self.variables.is_empty()
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The kind of record that decides it.
    pub fn feed(&self) -> Feed {
        self.asked.as_ref().map_or(Feed::Day, |asked| asked.feed)
    }

    /// The first name that decides the feed; `None` if it uses only `station` and `date`.
    pub(in crate::rules) fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// Its comparisons of hours and nights with constants.
    pub(in crate::rules) fn thresholds(&self) -> &[Threshold] {
        &self.thresholds
    }

    /// The limits of its calls of `chance`, in °C, with their places.
    pub(in crate::rules) fn chance_limits(&self) -> impl Iterator<Item = (f64, usize)> {
        self.variables.iter().filter_map(|used| match used.variable {
            Variable::Chance(limit) => Some((limit, used.offset)),
            _ => None,
        })
    }

    /// The constants that it compares values of an hour with, in °C, m/s and percent, in the order of its text.
    pub fn hour_limits(&self) -> Vec<(HourName, f64)> {
        let mut limits = Vec::new();
        for Threshold { compared, value, .. } in &self.thresholds {
            if let Compared::Hour(name) = compared
                && !limits.contains(&(*name, *value))
            {
                limits.push((*name, *value));
            }
        }
        limits
    }

    /// If it is one comparison of a daily element with a constant: the element, and the constant in its unit.
    pub fn single_limit(&self) -> Option<(Element, f64)> {
        single_limit(self.program.expression())
    }

    /// The highest temperature, in °C, that it compares a night with: as a limit of `chance`, or in a comparison of
    /// `night.min`, `night.p10` or `night.p90` with a constant.
    pub fn night_limit(&self) -> Option<f64> {
        let compared = self.thresholds.iter().filter_map(|threshold| match threshold.compared {
            // To a tenth, as a limit of `chance` and as stations report.
            Compared::Night(_) => Some((threshold.value * 10.0).round() / 10.0),
            Compared::Hour(_) | Compared::Chance => None,
        });
        self.chance_limits().map(|(limit, _)| limit).chain(compared).reduce(f64::max)
    }

    /// A text that occurs, as a JSON string, in every observation for which the condition holds, unless it is written
    /// with escapes there.
    pub fn required_text(&self) -> Option<&str> {
        self.native.as_ref()?.required_text()
    }

    /// The same without the interpreter, if it is of a common kind.
    pub(in crate::rules) fn native(&self) -> Option<&Test> {
        self.native.as_ref()
    }

    /// The elements that it reads, in the order of their names.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        self.variables.iter().filter_map(|used| match used.variable {
            Variable::Element(element) => Some(element),
            _ => None,
        })
    }

    /// Where an element is used first, in bytes from the start of the text.
    pub(in crate::rules) fn offset_of(&self, element: Element) -> usize {
        let used = self.variables.iter().find(|used| used.variable == Variable::Element(element));
        used.map_or(0, |used| used.offset)
    }
}

/// Evaluates conditions.
pub struct Evaluator {
    functions: Functions,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new()
    }
}

impl Evaluator {
    /// With CEL's functions and those of units.
    pub fn new() -> Self {
        Self { functions: Functions::new() }
    }

    /// Decides `condition` for one observation. A condition about hours or nights is unknown.
    ///
    /// # Errors
    /// The expression fails on these values, for example with a division by zero.
    pub fn evaluate(
        &self,
        condition: &Condition,
        observation: &ObservationView,
    ) -> Result<Verdict, EvaluationError> {
        match condition.native.as_ref().and_then(|test| test.run(observation)) {
            Some(verdict) => Ok(verdict),
            None => self.interpret(condition, Input::Day(observation)),
        }
    }

    /// Decides `condition` for a station's present values and the outlook on its night. A condition about days is
    /// unknown, and so is one about a night without an outlook.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_moment(
        &self,
        condition: &Condition,
        moment: &MomentView,
    ) -> Result<Verdict, EvaluationError> {
        self.interpret(condition, Input::Moment(moment))
    }

    /// Decides a condition of [`Scope::Station`].
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_station(
        &self,
        condition: &Condition,
        station: &Rc<StationView>,
    ) -> Result<Verdict, EvaluationError> {
        // Such a condition cannot use the date.
        let Some(date) = Date::from_days_since_1970(0) else { return Ok(Verdict::Unknown) };
        let (station, elements) = (Rc::clone(station), ElementList::new());
        self.evaluate(condition, &ObservationView { station, date, revision: 1, elements })
    }

    /// Runs CEL's interpreter.
    fn interpret(&self, condition: &Condition, input: Input<'_>) -> Result<Verdict, EvaluationError> {
        if condition.asked.as_ref().is_some_and(|asked| !input.has(asked.feed)) {
            return Ok(Verdict::Unknown);
        }
        let reads_station = condition.variables.iter().any(|used| used.variable == Variable::Station);
        // The limit of the condition's cost holds for stations up to this size.
        if reads_station && station_bytes(input.station()) > STATION_BYTES_MAX {
            let reason = format!("the fields of the station have more than {STATION_BYTES_MAX} bytes");
            return Err(EvaluationError::Failed(reason));
        }
        let mut scope = self.functions.scope();
        for Used { name, variable, .. } in &condition.variables {
            if let Some(value) = input.value(variable) {
                scope.add_variable_from_value(name.as_str(), value);
            }
        }
        let expression = condition.without_calls.as_ref().unwrap_or(condition.program.expression());
        match resolve(expression, &scope) {
            Ok(Value::Bool(true)) => Ok(Verdict::Holds),
            Ok(Value::Bool(false)) => Ok(Verdict::HoldsNot),
            Ok(other) => Err(EvaluationError::Failed(format!(
                "the result is a {}, not true or false",
                other.type_of()
            ))),
            Err(Failure::Unknown) => Ok(Verdict::Unknown),
            Err(Failure::DividesByZero) => Err(EvaluationError::Failed("it divides by zero".into())),
            Err(Failure::OutOfBounds) => Err(EvaluationError::Failed("a list has too few items".into())),
            Err(Failure::Other(reason)) => Err(EvaluationError::Failed(reason)),
            Err(Failure::Panicked) => Err(EvaluationError::Panicked),
        }
    }
}

/// The way to write what was probably meant; `before`: the character before the word.
fn slip(word: &str, before: Option<char>) -> Option<&'static str> {
    let is_after_number = before.is_some_and(|c| c.is_ascii_digit());
    match word.trim_end_matches(|c: char| !c.is_ascii_alphabetic()) {
        "and" | "AND" => return Some("write && for `and`"),
        "or" | "OR" => return Some("write || for `or`"),
        "not" | "NOT" => return Some("write ! for `not`"),
        "C" | "F" | "c" | "f" if is_after_number => {
            return Some("degrees Celsius have no unit, as in -2.0; 28 °F is c(28)");
        }
        _ => {}
    }
    match word.chars().next()? {
        ',' if is_after_number => Some("decimals have a point, as in 0.3"),
        '%' => Some("a chance is a number from 0 to 1: 30 % is 0.3"),
        '=' => Some("write >= or <="),
        _ => None,
    }
}

/// The parser's messages are about grammar; users need the place and an example.
fn syntax_mistake(text: &str, scope: Scope, errors: &cel::ParseErrors) -> ConditionError {
    let (subject, example) = (scope.subject(), scope.example());
    let Some(error) = errors.errors.first() else {
        return ConditionError { offset: 0, message: format!("the {subject} cannot be parsed") };
    };
    let lines = text.split_inclusive('\n').take(usize::try_from(error.pos.0 - 1).unwrap_or(0));
    let line_start: usize = lines.map(str::len).sum();
    // The parser counts characters.
    let line = &text[line_start..];
    let column = usize::try_from(error.pos.1 - 1).unwrap_or(0);
    let offset = line_start + line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
    let found = text.get(offset..).and_then(|rest| rest.split_whitespace().next());
    let message = match found {
        None if text.trim_end().ends_with('%') => {
            format!("the {subject} ends with `%`: a chance is a number from 0 to 1, so 30 % is 0.3")
        }
        None => format!("the {subject} ends too early: expected a value or an operator, as in {example}"),
        Some("=") => format!("the {subject} has `=`, which compares nothing: write =="),
        Some(word) => {
            let before = text[..offset].chars().next_back();
            let expected = slip(word, before)
                .map_or_else(|| format!("expected a CEL expression, as in {example}"), str::to_owned);
            format!("the {subject} cannot be read at `{word}`: {expected}")
        }
    };
    ConditionError { offset, message }
}

#[cfg(test)]
#[path = "compiled_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "budget_tests.rs"]
mod budget_tests;
