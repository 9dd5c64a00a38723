//! The calls of `chance(…)` in a condition.
//!
//! CEL's functions do not know the observation that a condition is evaluated for. So each call becomes a variable in
//! a copy of the syntax tree: the limit is computed once, when the condition is compiled, and the chance of each
//! limit is inserted as a number. Nodes keep their ids, and so their places in the text. User-written variables
//! cannot have such names, which contain a `#`.

use cel::Value;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::execution::resolve;
use super::functions::Functions;
use super::scope::{ConditionError, Scope};
use super::syntax::{CHANCE, Syntax, children, has_variables};
use super::variables::{Used, Variable, only_in_rules};

/// The possible range of a night's lowest temperature, in °C.
const LIMIT_C: std::ops::RangeInclusive<f64> = -90.0..=60.0;
/// Most different limits of one condition.
const LIMITS_MAX: usize = 20;
const EXAMPLE: &str = "expected one constant limit in °C, as in chance(-2.0) >= 0.3 or chance(c(28)) >= 0.3";

/// A tree without calls of `chance`, and the variables that stand for them.
pub(super) struct Chances {
    /// `None` if the tree has no such call.
    pub(super) root: Option<IdedExpr>,
    /// One for each different limit.
    pub(super) used: Vec<Used>,
}

/// Whether a node calls `chance`.
fn is_chance(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Call(call) if call.func_name == CHANCE)
}

/// Replaces the calls. The tree has been checked.
///
/// # Errors
/// The first call whose argument is not a constant number, with its place.
pub(super) fn extract(syntax: &Syntax<'_>, scope: Scope) -> Result<Chances, ConditionError> {
    let mut chances = Chances { root: None, used: Vec::new() };
    if !has_chance(syntax.root) {
        return Ok(chances);
    }
    let mut root = syntax.root.clone();
    replace(&mut root, syntax, scope, &mut chances.used)?;
    chances.root = Some(root);
    Ok(chances)
}

fn has_chance(node: &IdedExpr) -> bool {
    is_chance(node) || children(&node.expr).into_iter().any(has_chance)
}

fn replace(
    node: &mut IdedExpr,
    syntax: &Syntax<'_>,
    scope: Scope,
    used: &mut Vec<Used>,
) -> Result<(), ConditionError> {
    if !is_chance(node) {
        return children_mut(&mut node.expr)
            .into_iter()
            .try_for_each(|child| replace(child, syntax, scope, used));
    }
    let offset = syntax.start(node);
    let limit = limit(node, scope).map_err(|message| ConditionError { offset, message })?;
    let known = used.iter().find(|known| known.variable == Variable::Chance(limit));
    let name = known.map_or_else(|| format!("{CHANCE}#{}", used.len()), |known| known.name.clone());
    if known.is_none() {
        if used.len() == LIMITS_MAX {
            let message = format!("more than {LIMITS_MAX} different limits of `chance`: use fewer");
            return Err(ConditionError { offset, message });
        }
        used.push(Used { name: name.clone(), variable: Variable::Chance(limit), offset });
    }
    node.expr = Expr::Ident(name);
    Ok(())
}

/// The limit of a call, in °C.
fn limit(node: &IdedExpr, scope: Scope) -> Result<f64, String> {
    match scope {
        Scope::Observation => {}
        Scope::Filter => return Err(only_in_rules(CHANCE)),
        Scope::Station => {
            return Err(format!(
                "`{CHANCE}` cannot be used here: stations are chosen by `station` alone, as in {}",
                scope.example()
            ));
        }
    }
    let Expr::Call(call) = &node.expr else { return Err(format!("`{CHANCE}`: {EXAMPLE}")) };
    let [argument] = call.args.as_slice() else {
        return Err(format!("`{CHANCE}` has {} arguments: {EXAMPLE}", call.args.len()));
    };
    let number = constant(argument).filter(|_| call.target.is_none());
    let limit = number.ok_or_else(|| format!("the limit of `{CHANCE}` must be a constant: {EXAMPLE}"))?;
    if LIMIT_C.contains(&limit) {
        // To a tenth, as stations report: 28 °F is -2.2 °C, and -2.2 would never reach -2.2222. Also makes 0 and -0
        // one limit.
        Ok((limit * 10.0).round() / 10.0 + 0.0)
    } else {
        let (low, high) = (LIMIT_C.start(), LIMIT_C.end());
        Err(format!(
            "a limit of {limit} °C: expected {low} to {high} °C; for degrees Fahrenheit write chance(c(28))"
        ))
    }
}

/// The constant value of a node; `None` if it is not a constant number.
pub(super) fn constant(node: &IdedExpr) -> Option<f64> {
    if has_variables(node) {
        return None;
    }
    match resolve(node, &Functions::new().scope()) {
        Ok(Value::Int(number)) => Some(number as f64),
        Ok(Value::UInt(number)) => Some(number as f64),
        Ok(Value::Float(number)) => Some(number),
        _ => None,
    }
}

/// Like [`children`], but mutable.
fn children_mut(node: &mut Expr) -> Vec<&mut IdedExpr> {
    match node {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::Map(map) => {
            let entries = map.entries.iter_mut().map(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
                EntryExpr::StructField(field) => vec![&mut field.value],
            });
            entries.flatten().collect()
        }
        Expr::Comprehension(_) | Expr::Struct(_) => Vec::new(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}
