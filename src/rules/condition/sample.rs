//! Tries a condition on made-up values, so that `TMIN + 1` is found when it is written, and not at 4 a.m.
//!
//! Each part of the tree is tried separately, innermost first: an early decision (`||`, `? :`) hides nothing that
//! follows it, and a mistake is reported at the smallest part that has it. Errors that depend on the made-up values
//! (a division by a value that happens to be zero, an index in a list) are left for the evaluation.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::{Context, Value};

use super::execution::{Failure, resolve};
use super::functions::Functions;
use super::input::{night_value, station_value};
use super::scope::ConditionError;
use super::syntax::{Function, Syntax, children, find_function, has_variables};
use super::variables::{Used, Variable};
use crate::noaa::{ObservationView, Scale};
use crate::outlook::Distribution;

/// A station with every field.
const SAMPLE: &[u8] = br#"{"station":{"id":"USW00003192","country_code":"US","country":"United States",
    "location":{"lat":33.6,"lon":-111.9},"elevation":449.0,"state_code":"AZ","state":"ARIZONA",
    "name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24"}"#;

/// Checks that each part can be evaluated, and that the whole gives true or false.
///
/// # Errors
/// The first mistake, innermost first.
pub(super) fn check(syntax: &Syntax<'_>, variables: &[Used], subject: &str) -> Result<(), ConditionError> {
    let sample = ObservationView::parse(SAMPLE).map_err(|error| ConditionError {
        offset: 0,
        message: format!("the sample observation cannot be read: {error}"),
    })?;
    let functions = Functions::new();
    let mut scope = functions.scope();
    for Used { name, variable, .. } in variables {
        let value = match variable {
            Variable::Element(element) => match element.scale() {
                Scale::Tenths => Value::Float(0.5),
                Scale::Whole => Value::Int(1),
            },
            Variable::Station => station_value(&sample.station),
            Variable::Date => Value::String(Arc::new(sample.date.to_string())),
            Variable::Hour(_) | Variable::Chance(_) => Value::Float(0.5),
            Variable::Night => night_value(&Distribution::known(0.5)),
        };
        scope.add_variable_from_value(name.as_str(), value);
    }
    let trial = Trial { syntax, scope: &scope, subject };
    let value = trial.value(syntax.root)?;
    trial.must_be_bool(syntax.root, value.as_ref(), &format!("the {subject} gives"))
}

struct Trial<'a> {
    syntax: &'a Syntax<'a>,
    scope: &'a Context<'a, 'static>,
    subject: &'a str,
}

impl Trial<'_> {
    /// The value of a part; `None` if only real values decide. The tree's depth is limited.
    fn value(&self, node: &IdedExpr) -> Result<Option<Value>, ConditionError> {
        let mut values = Vec::new();
        for child in children(&node.expr) {
            values.push((child, self.value(child)?));
        }
        if let Expr::Call(call) = &node.expr {
            for (child, value) in &values[..asks(call).min(values.len())] {
                self.must_be_bool(child, value.as_ref(), "this gives")?;
            }
        }
        let is_open = values.iter().any(|(_, value)| value.is_none());
        match resolve(node, self.scope) {
            Ok(value) => Ok(Some(value)),
            Err(_) if is_open => Ok(None),
            Err(Failure::DividesByZero) if has_variables(node) => Ok(None),
            Err(Failure::Unknown | Failure::OutOfBounds) if is_variable_index(node) => Ok(None),
            Err(failure) => Err(self.mistake(node, failure)),
        }
    }

    fn must_be_bool(
        &self,
        node: &IdedExpr,
        value: Option<&Value>,
        gives: &str,
    ) -> Result<(), ConditionError> {
        match value {
            None | Some(Value::Bool(_)) => Ok(()),
            Some(other) => {
                let compare = matches!(other, Value::Float(_) | Value::Int(_));
                let advice = if compare { ": compare it with something, as in … >= 0.3" } else { "" };
                let message = format!("{gives} a {}, not true or false{advice}", other.type_of());
                Err(ConditionError { offset: self.syntax.start(node), message })
            }
        }
    }

    fn mistake(&self, node: &IdedExpr, failure: Failure) -> ConditionError {
        let subject = self.subject;
        let message = match failure {
            // Everything that may be missing is present here, so a name that is not found does not exist.
            Failure::Unknown if is_of_night(node) => {
                format!("the {subject} asks for something that does not exist: `night` has min, p10 and p90")
            }
            Failure::Unknown => format!(
                "the {subject} asks for something that does not exist: `station` has id, country_code, country, \
                 state_code, state, name, lat, lon and elevation"
            ),
            Failure::DividesByZero => format!("the {subject} divides by zero"),
            Failure::OutOfBounds => format!("the {subject} asks for an item that the list does not have"),
            Failure::Panicked => format!("the {subject} cannot be evaluated: the interpreter panicked"),
            Failure::Other(reason) => match called(node) {
                // The interpreter also selects a function by its values, and may report that there is no such
                // function.
                Some(Function { name, example, .. }) => format!(
                    "the {subject} cannot be evaluated: `{name}` does not take values of these kinds: write it as in \
                     {example}"
                ),
                None => format!("the {subject} cannot be evaluated: {reason}"),
            },
        };
        ConditionError { offset: self.syntax.start(node), message }
    }
}

/// The function that a node calls; `None` if it is not a call, or an operator.
fn called(node: &IdedExpr) -> Option<Function> {
    match &node.expr {
        Expr::Call(call) => find_function(&call.func_name),
        _ => None,
    }
}

/// How many of the first arguments must be true or false.
fn asks(call: &CallExpr) -> usize {
    match call.func_name.as_str() {
        operators::LOGICAL_AND | operators::LOGICAL_OR => 2,
        operators::LOGICAL_NOT | operators::CONDITIONAL => 1,
        _ => 0,
    }
}

/// `night.max`
fn is_of_night(node: &IdedExpr) -> bool {
    let Expr::Select(select) = &node.expr else { return false };
    matches!(&select.operand.expr, Expr::Ident(name) if name == "night")
}

/// `[1, 2][SNOW]`, `{'AZ': 1.0}[station.state_code]`
fn is_variable_index(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Call(call) if call.func_name == operators::INDEX => call.args.get(1).is_some_and(has_variables),
        _ => false,
    }
}
