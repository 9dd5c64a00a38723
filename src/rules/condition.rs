//! Conditions in CEL over the elements of an observation, its `station` and its `date`.
//!
//! Three outcomes: a condition holds, does not hold, or is *unknown*, because an element that decides it was
//! not reported. Unknown never fires. CEL's own logic applies: `TMIN <= 10.0 || true` holds without `TMIN`.
//! Values are metric; `f(TMIN) <= 28` compares degrees Fahrenheit (see [`Unit`]).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, ExecutionError, Program, Value};

use super::clauses::clauses;
use super::native::Test;
use super::unit::Unit;
use crate::noaa::{Element, ElementValue, ObservationView, Scale, StationView};

/// Longest condition that is compiled, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;
/// The functions and macros that a condition may call; the parser accepts any name.
const FUNCTIONS: [&str; 13] = [
    "bool",
    "contains",
    "double",
    "endsWith",
    "f",
    "feet",
    "has",
    "inches",
    "int",
    "mph",
    "size",
    "startsWith",
    "string",
];
/// Deepest nesting that is compiled: brackets, and runs of unary operators, which nest as well.
const DEPTH_MAX: usize = 32;

/// What a condition may speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Elements, `station` and `date`: rules.
    Observation,
    /// The same; kept apart so that messages can say "filter".
    Filter,
    /// Only `station`: which stations a rule watches.
    Station,
}

impl Scope {
    fn subject(self) -> &'static str {
        match self {
            Self::Observation => "condition",
            Self::Filter => "filter",
            Self::Station => "choice of stations",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Station => "station.state_code == 'AZ'",
            Self::Observation | Self::Filter => "TMIN <= 10.0",
        }
    }
}

/// The outcome for one observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The condition holds.
    Holds,
    /// It does not hold.
    HoldsNot,
    /// It cannot be decided: something that it needs was not reported.
    Unknown,
}

/// What the condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    Element(Element),
    Station,
    Date,
}

/// A compiled condition.
pub struct Condition {
    text: String,
    program: Program,
    variables: Vec<(String, Variable)>,
    /// The same without the interpreter, where it is of a common kind.
    native: Option<Test>,
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// Why a condition cannot be used, and where in its text (bytes from its start).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// Byte offset in the condition's text.
    pub offset: usize,
    /// What is wrong, in a sentence.
    pub message: String,
}

impl Condition {
    /// Compiles a condition, and checks that it speaks of known things and gives true or false.
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
        if text.len() > TEXT_BYTES_MAX {
            return Err(mistake(
                0,
                format!("the {subject} has {} bytes, the limit is {TEXT_BYTES_MAX}", text.len()),
            ));
        }
        if let Some(offset) = too_deep_at(text) {
            return Err(mistake(offset, format!("the {subject} is nested deeper than {DEPTH_MAX} levels")));
        }
        // The parser has panicked on odd input before; a rule file must never bring the process down.
        let program = catch_unwind(|| Program::compile(text))
            .map_err(|_| mistake(0, format!("the {subject} cannot be parsed")))?
            .map_err(|errors| syntax_mistake(text, scope, &errors))?;
        check_functions(text, &program)?;
        let variables = resolve_variables(text, &program, scope)?;
        let native = Test::compile(program.expression());
        let condition = Self { text: text.to_owned(), program, variables, native };
        condition.check_type(subject)?;
        if text.contains("&&") || text.contains("||") {
            check_parts(text, scope)?;
        }
        Ok(condition)
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A text that stands, as a JSON string, in every observation for which the condition holds, unless it is
    /// written with escapes there.
    pub fn required_text(&self) -> Option<&str> {
        self.native.as_ref()?.required_text()
    }

    /// The same without the interpreter, where it is of a common kind.
    pub(super) fn native(&self) -> Option<&Test> {
        self.native.as_ref()
    }

    /// The elements that it reads, in the order of their names.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        self.variables.iter().filter_map(|(_, variable)| match variable {
            Variable::Element(element) => Some(*element),
            _ => None,
        })
    }

    /// Runs the condition once on made-up values: `TMIN + 1` is found here, not at 4 a.m.
    fn check_type(&self, subject: &str) -> Result<(), ConditionError> {
        let mistake = |message: String| Err(ConditionError { offset: 0, message });
        let sample = match ObservationView::parse(SAMPLE) {
            Ok(sample) => sample,
            Err(error) => return mistake(format!("the sample observation cannot be read: {error}")),
        };
        let evaluator = Evaluator::new();
        let mut scope = evaluator.base.new_inner_scope();
        for (name, variable) in &self.variables {
            let value = match variable {
                Variable::Element(element) => match element.scale() {
                    Scale::Tenths => Value::Float(0.5),
                    Scale::Whole => Value::Int(1),
                },
                Variable::Station => station_value(&sample.station),
                Variable::Date => Value::String(Arc::new(sample.date.to_string())),
            };
            scope.add_variable_from_value(name.as_str(), value);
        }
        match self.execute(&scope) {
            Ok(Value::Bool(_)) => Ok(()),
            Ok(other) => mistake(format!("the {subject} gives a {}, not true or false", other.type_of())),
            // Everything that may be missing is there, so what is not found does not exist.
            Err(Failure::Unknown) => mistake(format!(
                "the {subject} asks for something that does not exist: `station` has id, country_code, country, \
                 state_code, state, name, lat, lon and elevation"
            )),
            // Of the made-up values; real ones may be others.
            Err(Failure::Error(reason)) if reason.starts_with("Division by zero") => Ok(()),
            Err(Failure::Error(reason)) => mistake(format!("the {subject} cannot be evaluated: {reason}")),
        }
    }

    fn execute(&self, scope: &Context<'_, '_>) -> Result<Value, Failure> {
        // A panic in the interpreter is one failed evaluation, not a dead partition.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.program.execute(scope)));
        match outcome {
            Err(_) => Err(Failure::Error("the evaluation panicked".into())),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ExecutionError::UndeclaredReference(_) | ExecutionError::NoSuchKey(_))) => {
                Err(Failure::Unknown)
            }
            Ok(Err(error)) => Err(Failure::Error(error.to_string())),
        }
    }
}

enum Failure {
    Unknown,
    Error(String),
}

/// A station with every field, for the check of types.
const SAMPLE: &[u8] = br#"{"station":{"id":"USW00003192","country_code":"US","country":"United States",
    "location":{"lat":33.6,"lon":-111.9},"elevation":449.0,"state_code":"AZ","state":"ARIZONA",
    "name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24"}"#;

thread_local! {
    /// CEL's functions and ours, which take 33 µs to register, shared by all tasks of a thread.
    static BASE: Rc<Context<'static, 'static>> = Rc::new(base_context());
}

fn base_context() -> Context<'static, 'static> {
    let mut base = Context::default();
    for unit in Unit::ALL {
        // Fails only for a name that CEL has already.
        let added = base.add_function(unit.function(), move |value: Value| unit.convert_value(&value));
        debug_assert!(added.is_ok(), "{}", unit.function());
    }
    base
}

/// Evaluates conditions.
pub struct Evaluator {
    base: Rc<Context<'static, 'static>>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new()
    }
}

impl Evaluator {
    /// With CEL's functions and those of units.
    pub fn new() -> Self {
        Self { base: BASE.with(Rc::clone) }
    }

    /// Decides `condition` for one observation.
    ///
    /// # Errors
    /// A sentence, where the expression fails on these values (a division by zero, say).
    pub fn evaluate(&self, condition: &Condition, observation: &ObservationView) -> Result<Verdict, String> {
        match condition.native.as_ref().and_then(|test| test.run(observation)) {
            Some(verdict) => Ok(verdict),
            None => self.interpret(condition, observation),
        }
    }

    /// Runs CEL's interpreter.
    fn interpret(&self, condition: &Condition, observation: &ObservationView) -> Result<Verdict, String> {
        let mut scope = self.base.new_inner_scope();
        for (name, variable) in &condition.variables {
            let value = match variable {
                Variable::Element(element) => match observation.element(*element) {
                    Some(ElementValue::Int(value)) => Value::Int(value),
                    Some(ElementValue::Float(value)) => Value::Float(value),
                    None => continue,
                },
                Variable::Station => station_value(&observation.station),
                Variable::Date => Value::String(Arc::new(observation.date.to_string())),
            };
            scope.add_variable_from_value(name.as_str(), value);
        }
        match condition.execute(&scope) {
            Ok(Value::Bool(true)) => Ok(Verdict::Holds),
            Ok(Value::Bool(false)) => Ok(Verdict::HoldsNot),
            Ok(other) => Err(format!("it gave a {}, not true or false", other.type_of())),
            Err(Failure::Unknown) => Ok(Verdict::Unknown),
            Err(Failure::Error(reason)) => Err(reason),
        }
    }
}

/// The `station` of a condition: a map of the fields that are present.
fn station_value(station: &StationView) -> Value {
    let text = |value: &str| Value::String(Arc::new(value.to_owned()));
    let mut fields: HashMap<Key, Value> = HashMap::with_capacity(9);
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(Key::String(Arc::new(name.to_owned())), value);
        }
    };
    put("id", Some(text(station.id.as_str())));
    put("country_code", station.country_code.as_deref().map(text));
    put("country", station.country.as_deref().map(text));
    put("state_code", station.state_code.as_deref().map(text));
    put("state", station.state.as_deref().map(text));
    put("name", station.name.as_deref().map(text));
    put("lat", station.latitude.map(Value::Float));
    put("lon", station.longitude.map(Value::Float));
    put("elevation", station.elevation.map(Value::Float));
    Value::Map(Map { map: Arc::new(fields) })
}

/// Checks each part of a condition that is a condition itself: one that decides first would hide what is wrong with
/// the others.
fn check_parts(text: &str, scope: Scope) -> Result<(), ConditionError> {
    let parts = clauses(text);
    let is_leaf = |index: usize| parts.get(index + 1).is_none_or(|next| next.depth <= parts[index].depth);
    for (_, part) in parts.iter().enumerate().skip(1).filter(|(index, _)| is_leaf(*index)) {
        Condition::compile(&part.text, scope).map_err(|error| ConditionError {
            offset: text.find(part.text.as_str()).unwrap_or(0) + error.offset,
            message: error.message,
        })?;
    }
    Ok(())
}

/// Checks the functions that the expression calls; operators are functions too, with names of other signs.
fn check_functions(text: &str, program: &Program) -> Result<(), ConditionError> {
    let references = program.references();
    let is_name = |name: &str| name.starts_with(|first: char| first.is_ascii_alphabetic());
    match references.functions().into_iter().find(|name| is_name(name) && !FUNCTIONS.contains(name)) {
        None => Ok(()),
        Some(name) => Err(ConditionError {
            offset: text.find(name).unwrap_or(0),
            message: format!("unknown function `{name}`: expected one of {}", FUNCTIONS.join(", ")),
        }),
    }
}

/// Checks the names that the expression uses against what an observation can have.
fn resolve_variables(
    text: &str,
    program: &Program,
    scope: Scope,
) -> Result<Vec<(String, Variable)>, ConditionError> {
    let references = program.references();
    let mut names: Vec<&str> = references.variables();
    names.sort_unstable();
    let mut variables = Vec::with_capacity(names.len());
    for name in names {
        let variable = match name {
            "station" => Variable::Station,
            other if scope == Scope::Station => {
                let message = format!(
                    "`{other}` cannot be asked here: stations are chosen by `station` alone, as in {}",
                    scope.example()
                );
                return Err(ConditionError { offset: text.find(other).unwrap_or(0), message });
            }
            "date" => Variable::Date,
            other => match Element::parse(other.as_bytes()).filter(|element| element.is_known()) {
                Some(element) => Variable::Element(element),
                None => {
                    return Err(ConditionError {
                        offset: text.find(other).unwrap_or(0),
                        message: format!(
                            "unknown name `{other}`: expected a GHCN-Daily element (TMIN, TMAX, PRCP, …), `station` or `date`"
                        ),
                    });
                }
            },
        };
        variables.push((name.to_owned(), variable));
    }
    Ok(variables)
}

/// The parser's words are about grammar; users want the place and an example.
fn syntax_mistake(text: &str, scope: Scope, errors: &cel::ParseErrors) -> ConditionError {
    let (subject, example) = (scope.subject(), scope.example());
    let Some(error) = errors.errors.first() else {
        return ConditionError { offset: 0, message: format!("the {subject} cannot be parsed") };
    };
    let line_start: usize =
        text.split_inclusive('\n').take(usize::try_from(error.pos.0 - 1).unwrap_or(0)).map(str::len).sum();
    let column = usize::try_from(error.pos.1 - 1).unwrap_or(0);
    let offset = (line_start + column).min(text.len());
    let found = text.get(offset..).and_then(|rest| rest.split_whitespace().next());
    let message = match found {
        None => format!("the {subject} ends too early: expected a value or an operator, as in {example}"),
        Some("=") => format!("the {subject} has `=`, which compares nothing: write =="),
        Some(word) => {
            format!("the {subject} cannot be read at `{word}`: expected a CEL expression, as in {example}")
        }
    };
    ConditionError { offset, message }
}

/// The byte at which the text nests too deep, if it does.
fn too_deep_at(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut unary = 0_usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match byte {
            b'-' | b'!' | b'?' => unary += 1,
            byte if byte.is_ascii_whitespace() || byte == b'(' => {}
            _ => unary = 0,
        }
        if depth > DEPTH_MAX || unary > DEPTH_MAX {
            return Some(offset);
        }
    }
    None
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
