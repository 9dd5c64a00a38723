//! Conditions of the common kinds, run without CEL's interpreter: comparisons of elements, of station fields and of
//! the date, arithmetic, and their combinations with `&&`, `||` and `!`. They take some nanoseconds without
//! allocation; the interpreter takes microseconds.
//!
//! The interpreter remains the authority. Conditions of other kinds are left to it at once ([`Test::compile`] returns
//! `None`), and so is every evaluation that would end in an error other than a missing value ([`Test::run`] returns
//! `None`), so that all messages come from one place. A property test compares the two.

use std::cmp::Ordering;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::unit::Unit;
use super::verdict::Verdict;
use crate::noaa::{Element, ElementValue, ObservationView, Scale, StationView};

/// A condition that can be run natively.
pub(in crate::rules) enum Test {
    Literal(bool),
    Not(Box<Test>),
    And(Box<[Test; 2]>),
    Or(Box<[Test; 2]>),
    Numbers(Comparison, Number, Number),
    Texts(Comparison, Text, Text),
    /// `station.state_code in ['AZ', 'NM']`
    OneOf(Text, Box<[Box<str>]>),
    /// `has(station.elevation)`
    Has(Field),
}

#[derive(Clone, Copy)]
pub(in crate::rules) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(in crate::rules) enum Number {
    Literal(ElementValue),
    Element(Element, Scale),
    Field(fn(&StationView) -> Option<f64>),
    Negated(Box<Number>),
    /// `f(TMIN)`
    In(Unit, Box<Number>),
    Arithmetic(Operation, Box<[Number; 2]>),
}

#[derive(Clone, Copy)]
pub(in crate::rules) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

pub(in crate::rules) enum Text {
    Literal(Box<str>),
    Field(TextField),
    Date,
}

type TextField = for<'a> fn(&'a StationView) -> Option<&'a str>;

#[derive(Clone, Copy)]
pub(in crate::rules) enum Field {
    Text(TextField),
    Number(fn(&StationView) -> Option<f64>),
}

/// The value of an expression for one observation.
enum Outcome<T> {
    Known(T),
    /// It was not reported.
    Missing,
    /// The interpreter would report an error.
    Error,
}

impl Test {
    /// `None` if the interpreter must run the expression.
    pub(super) fn compile(expression: &IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => Some(Self::Literal(*value.inner())),
            Expr::Call(call) if call.target.is_none() => Self::of_call(call),
            Expr::Select(select) if select.test => station_field(select).map(Self::Has),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Self> {
        let pair = || match call.args.as_slice() {
            [left, right] => Some(Box::new([Self::compile(left)?, Self::compile(right)?])),
            _ => None,
        };
        match call.func_name.as_str() {
            operators::LOGICAL_AND => pair().map(Self::And),
            operators::LOGICAL_OR => pair().map(Self::Or),
            operators::LOGICAL_NOT => Some(Self::Not(Box::new(Self::compile(call.args.first()?)?))),
            operators::IN => Self::one_of(call),
            name => {
                let comparison = Comparison::of_operator(name)?;
                let [left, right] = call.args.as_slice() else { return None };
                let numbers =
                    || Some(Self::Numbers(comparison, Number::compile(left)?, Number::compile(right)?));
                let texts = || Some(Self::Texts(comparison, Text::compile(left)?, Text::compile(right)?));
                numbers().or_else(texts)
            }
        }
    }

    /// `station.state_code in ['AZ', 'NM']`
    fn one_of(call: &CallExpr) -> Option<Self> {
        let [text, list] = call.args.as_slice() else { return None };
        let Expr::List(list) = &list.expr else { return None };
        if list.elements.is_empty() {
            return None;
        }
        let items = list.elements.iter().map(|item| match &item.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(text.inner().into()),
            _ => None,
        });
        Some(Self::OneOf(Text::compile(text)?, items.collect::<Option<_>>()?))
    }

    /// A text that occurs in every document for which this holds, if there is one: as a whole string, unless it is
    /// written with escapes.
    pub(super) fn required_text(&self) -> Option<&str> {
        match self {
            Self::And(tests) => {
                let texts = tests.iter().filter_map(Self::required_text);
                // Country codes are everywhere; the longest text is probably the rarest, and the last one among
                // equals.
                texts.max_by_key(|text| text.len())
            }
            Self::Texts(Comparison::Equal, Text::Field(_), Text::Literal(text))
            | Self::Texts(Comparison::Equal, Text::Literal(text), Text::Field(_)) => plain(text),
            Self::OneOf(Text::Field(_), texts) => match &**texts {
                [text] => plain(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Decides; `None` leaves the decision to the interpreter.
    pub(in crate::rules) fn run(&self, observation: &ObservationView) -> Option<Verdict> {
        let of = |holds: bool| if holds { Verdict::Holds } else { Verdict::HoldsNot };
        let verdict = match self {
            Self::Literal(value) => of(*value),
            Self::Not(test) => match test.run(observation)? {
                Verdict::Holds => Verdict::HoldsNot,
                Verdict::HoldsNot => Verdict::Holds,
                Verdict::Unknown => Verdict::Unknown,
            },
            Self::And(tests) => both(tests, Verdict::HoldsNot, observation)?,
            Self::Or(tests) => both(tests, Verdict::Holds, observation)?,
            Self::Has(field) => of(field.is_present(&observation.station)),
            Self::Numbers(comparison, left, right) => {
                match (left.value(observation), right.value(observation)) {
                    (Outcome::Known(left), Outcome::Known(right)) => {
                        of(comparison.holds(compare_numbers(left, right)?))
                    }
                    (Outcome::Error, _) | (Outcome::Known(_), Outcome::Error) => return None,
                    _ => Verdict::Unknown,
                }
            }
            Self::OneOf(text, items) => {
                let date = observation.date.to_iso_bytes();
                text.value(&observation.station, &date)
                    .map_or(Verdict::Unknown, |text| of(items.iter().any(|item| item.as_bytes() == text)))
            }
            Self::Texts(comparison, left, right) => {
                let date = observation.date.to_iso_bytes();
                match (left.value(&observation.station, &date), right.value(&observation.station, &date)) {
                    (Some(left), Some(right)) => of(comparison.holds(left.cmp(right))),
                    _ => Verdict::Unknown,
                }
            }
        };
        Some(verdict)
    }
}

/// A text that JSON writes without escapes.
fn plain(text: &str) -> Option<&str> {
    text.chars().all(|c| c != '"' && c != '\\' && c >= ' ').then_some(text)
}

/// `&&` and `||`: `decisive` decides regardless of the other operand.
fn both(tests: &[Test; 2], decisive: Verdict, observation: &ObservationView) -> Option<Verdict> {
    let left = tests[0].run(observation)?;
    if left == decisive {
        return Some(decisive);
    }
    let right = tests[1].run(observation)?;
    Some(if right == decisive || left != Verdict::Unknown { right } else { left })
}

fn compare_numbers(left: ElementValue, right: ElementValue) -> Option<Ordering> {
    match (left, right) {
        (ElementValue::Int(left), ElementValue::Int(right)) => Some(left.cmp(&right)),
        _ => left.as_f64().partial_cmp(&right.as_f64()),
    }
}

impl Comparison {
    fn of_operator(name: &str) -> Option<Self> {
        Some(match name {
            operators::EQUALS => Self::Equal,
            operators::NOT_EQUALS => Self::NotEqual,
            operators::LESS => Self::Less,
            operators::LESS_EQUALS => Self::LessOrEqual,
            operators::GREATER => Self::Greater,
            operators::GREATER_EQUALS => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    /// Whether it holds for small values on its left side.
    pub(in crate::rules) fn is_below(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Number {
    fn compile(expression: &IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Literal(LiteralValue::Int(value)) => Some(Self::Literal(ElementValue::Int(*value.inner()))),
            Expr::Literal(LiteralValue::Double(value)) => {
                Some(Self::Literal(ElementValue::Float(*value.inner())))
            }
            Expr::Ident(name) => {
                let element = Element::parse(name.as_bytes())?;
                Some(Self::Element(element, element.scale()))
            }
            Expr::Select(select) if !select.test => match station_field(select)? {
                Field::Number(field) => Some(Self::Field(field)),
                Field::Text(_) => None,
            },
            Expr::Call(call) if call.target.is_none() => Self::of_call(call),
            _ => None,
        }
    }

    fn of_call(call: &CallExpr) -> Option<Self> {
        let operation = match call.func_name.as_str() {
            operators::NEGATE => return Some(Self::Negated(Box::new(Self::compile(call.args.first()?)?))),
            operators::ADD => Operation::Add,
            operators::SUBSTRACT => Operation::Subtract,
            operators::MULTIPLY => Operation::Multiply,
            operators::DIVIDE => Operation::Divide,
            name => {
                let unit = Unit::of_function(name)?;
                let [value] = call.args.as_slice() else { return None };
                return Some(Self::In(unit, Box::new(Self::compile(value)?)));
            }
        };
        let [left, right] = call.args.as_slice() else { return None };
        Some(Self::Arithmetic(operation, Box::new([Self::compile(left)?, Self::compile(right)?])))
    }

    fn value(&self, observation: &ObservationView) -> Outcome<ElementValue> {
        let reported = |value: Option<ElementValue>| value.map_or(Outcome::Missing, Outcome::Known);
        match self {
            Self::Literal(value) => Outcome::Known(*value),
            Self::Element(element, scale) => {
                reported(observation.element(*element).map(|value| scale.typed(value)))
            }
            Self::Field(field) => reported(field(&observation.station).map(ElementValue::Float)),
            Self::Negated(number) => match number.value(observation) {
                Outcome::Known(ElementValue::Int(value)) => value
                    .checked_neg()
                    .map_or(Outcome::Error, |value| Outcome::Known(ElementValue::Int(value))),
                Outcome::Known(ElementValue::Float(value)) => Outcome::Known(ElementValue::Float(-value)),
                other => other,
            },
            Self::In(unit, number) => match number.value(observation) {
                Outcome::Known(value) => Outcome::Known(ElementValue::Float(unit.convert(value.as_f64()))),
                other => other,
            },
            Self::Arithmetic(operation, numbers) => {
                match (numbers[0].value(observation), numbers[1].value(observation)) {
                    (Outcome::Known(left), Outcome::Known(right)) => {
                        operation.apply(left, right).map_or(Outcome::Error, Outcome::Known)
                    }
                    (Outcome::Error, _) | (Outcome::Known(_), Outcome::Error) => Outcome::Error,
                    _ => Outcome::Missing,
                }
            }
        }
    }
}

impl Operation {
    /// CEL's arithmetic takes two numbers of one kind, and fails if a whole number overflows.
    fn apply(self, left: ElementValue, right: ElementValue) -> Option<ElementValue> {
        match (left, right) {
            (ElementValue::Int(left), ElementValue::Int(right)) => match self {
                Self::Add => left.checked_add(right),
                Self::Subtract => left.checked_sub(right),
                Self::Multiply => left.checked_mul(right),
                Self::Divide => left.checked_div(right),
            }
            .map(ElementValue::Int),
            (ElementValue::Float(left), ElementValue::Float(right)) => {
                Some(ElementValue::Float(match self {
                    Self::Add => left + right,
                    Self::Subtract => left - right,
                    Self::Multiply => left * right,
                    Self::Divide => left / right,
                }))
            }
            _ => None,
        }
    }
}

impl Text {
    fn compile(expression: &IdedExpr) -> Option<Self> {
        match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => Some(Self::Literal(text.inner().into())),
            Expr::Ident(name) if name == "date" => Some(Self::Date),
            Expr::Select(select) if !select.test => match station_field(select)? {
                Field::Text(field) => Some(Self::Field(field)),
                Field::Number(_) => None,
            },
            _ => None,
        }
    }

    /// `date`: the ten bytes of the observation's date.
    fn value<'a>(&'a self, station: &'a StationView, date: &'a [u8; 10]) -> Option<&'a [u8]> {
        match self {
            Self::Literal(text) => Some(text.as_bytes()),
            Self::Field(field) => field(station).map(str::as_bytes),
            Self::Date => Some(date),
        }
    }
}

impl Field {
    fn is_present(self, station: &StationView) -> bool {
        match self {
            Self::Text(field) => field(station).is_some(),
            Self::Number(field) => field(station).is_some(),
        }
    }
}

/// `station.NAME`
fn station_field(select: &SelectExpr) -> Option<Field> {
    if !matches!(&select.operand.expr, Expr::Ident(name) if name == "station") {
        return None;
    }
    Some(match select.field.as_str() {
        "id" => Field::Text(|station| Some(station.id.as_str())),
        "country_code" => Field::Text(|station| station.country_code.as_deref()),
        "country" => Field::Text(|station| station.country.as_deref()),
        "state_code" => Field::Text(|station| station.state_code.as_deref()),
        "state" => Field::Text(|station| station.state.as_deref()),
        "name" => Field::Text(|station| station.name.as_deref()),
        "lat" => Field::Number(|station| station.latitude),
        "lon" => Field::Number(|station| station.longitude),
        "elevation" => Field::Number(|station| station.elevation),
        _ => return None,
    })
}
