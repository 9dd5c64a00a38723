//! The constants that hours and nights are compared with.

use cel::common::ast::{Expr, IdedExpr, operators};

use super::chances::constant;
use super::moment::{HourName, NightField};
use super::syntax::{Syntax, children};
use super::unit::Unit;
use crate::noaa::Element;

/// The value that is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::rules) enum Compared {
    Hour(HourName),
    Night(NightField),
    /// `chance(-2.0)`
    Chance,
}

/// A comparison with a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::rules) struct Threshold {
    pub(in crate::rules) compared: Compared,
    /// In °C, m/s and percent; for a chance, 0 to 1.
    pub(in crate::rules) value: f64,
    /// Whether it holds for small values.
    pub(in crate::rules) is_below: bool,
    /// Where the comparison begins, in bytes.
    pub(in crate::rules) offset: usize,
}

/// All comparisons of hours and nights with constants. `syntax`: without calls of `chance`.
pub(super) fn thresholds(syntax: &Syntax<'_>) -> Vec<Threshold> {
    let mut found = Vec::new();
    visit(syntax, syntax.root, &mut found);
    found
}

/// For a condition that is one comparison of a daily element with a constant: the element, and the constant in its
/// unit.
pub(super) fn single_limit(root: &IdedExpr) -> Option<(Element, f64)> {
    let Expr::Call(call) = &root.expr else { return None };
    let [left, right] = call.args.as_slice() else { return None };
    let compares = [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS]
        .contains(&call.func_name.as_str());
    let limit = |variable: &IdedExpr, other: &IdedExpr| match &variable.expr {
        Expr::Ident(name) => Some((Element::parse(name.as_bytes())?, constant(other)?)),
        Expr::Call(call) => match (Unit::of_function(&call.func_name)?, call.args.as_slice()) {
            (unit, [IdedExpr { expr: Expr::Ident(name), .. }]) => {
                Some((Element::parse(name.as_bytes())?, unit.invert(constant(other)?)))
            }
            _ => None,
        },
        _ => None,
    };
    compares.then(|| limit(left, right).or_else(|| limit(right, left))).flatten()
}

fn visit(syntax: &Syntax<'_>, node: &IdedExpr, found: &mut Vec<Threshold>) {
    const COMPARISONS: [&str; 6] = [
        operators::LESS,
        operators::LESS_EQUALS,
        operators::GREATER,
        operators::GREATER_EQUALS,
        operators::EQUALS,
        operators::NOT_EQUALS,
    ];
    if let Expr::Call(call) = &node.expr
        && let [left, right] = call.args.as_slice()
        && COMPARISONS.contains(&call.func_name.as_str())
    {
        let is_less = matches!(call.func_name.as_str(), operators::LESS | operators::LESS_EQUALS);
        let is_greater = matches!(call.func_name.as_str(), operators::GREATER | operators::GREATER_EQUALS);
        let left_is_it = threshold(left, right).map(|found| (found, is_less));
        let either = left_is_it.or_else(|| threshold(right, left).map(|found| (found, is_greater)));
        if let Some(((compared, value), is_below)) = either {
            found.push(Threshold { compared, value, is_below, offset: syntax.start(node) });
        }
    }
    children(&node.expr).into_iter().for_each(|child| visit(syntax, child, found));
}

/// The value on one side, and the constant on the other side in its unit.
fn threshold(variable: &IdedExpr, other: &IdedExpr) -> Option<(Compared, f64)> {
    let value = constant(other)?;
    if let Expr::Call(call) = &variable.expr {
        let (unit, [inner]) = (Unit::of_function(&call.func_name)?, call.args.as_slice()) else {
            return None;
        };
        return Some((compared(inner)?, unit.invert(value)));
    }
    Some((compared(variable)?, value))
}

fn compared(node: &IdedExpr) -> Option<Compared> {
    match &node.expr {
        // User-written names have no `#`.
        Expr::Ident(name) if name.contains('#') => Some(Compared::Chance),
        Expr::Ident(name) => HourName::parse(name).map(Compared::Hour),
        Expr::Select(select) if !select.test => match &select.operand.expr {
            Expr::Ident(name) if name == "night" => NightField::parse(&select.field).map(Compared::Night),
            _ => None,
        },
        _ => None,
    }
}
