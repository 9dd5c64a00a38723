//! The most that evaluating a condition can cost, computed once from its syntax tree.
//!
//! Without macros (`all`, `map`, …), which [`syntax`](super::syntax) refuses, a condition has no loops: each
//! evaluation visits each node of the tree at most once. A node costs one step, plus the bytes that it reads or
//! copies. Values grow in three ways only: `+` joins two, a list or a map holds its items, and `string` writes a
//! number. So the size of each value, and with it the cost of the whole tree, has a bound that is linear in the bytes
//! of the station's texts, the only input without a fixed size. Conditions whose bound is above [`COST_MAX`] for a
//! station of [`STATION_BYTES_MAX`] are not compiled, and the interpreter is not started for a station with longer
//! texts.
//!
//! The cost of each allowed function: `size`, `contains`, `startsWith`, `endsWith`, `int`, `double`, `bool` and
//! `string` read their arguments once; units convert one number; `has` is a look-up. Arithmetic is on 64 bits, and
//! overflows are errors. Regular expressions, timestamps and durations are not allowed.

use std::ops::Add;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::syntax::children;

/// Most steps and bytes of one evaluation: about a millisecond.
pub(super) const COST_MAX: u64 = 1 << 20;
/// Longest texts of a station, all fields together, in bytes. NOAA's have about a hundred.
pub(super) const STATION_BYTES_MAX: usize = 4_096;

/// A number; also the size of each item of a list in addition to its value.
const SCALAR_BYTES: u64 = 16;
/// The fields of `night`.
const NIGHT_BYTES: u64 = 3 * SCALAR_BYTES;
/// Longest text that `string` makes from a number: 1.7e308 has 309 digits.
const NUMBER_TEXT_BYTES: u64 = 512;

/// `fixed + of_station * B`, if the texts of the station have `B` bytes.
#[derive(Clone, Copy, Default)]
struct Linear {
    fixed: u64,
    of_station: u64,
}

impl Linear {
    const fn fixed(bytes: u64) -> Self {
        Self { fixed: bytes, of_station: 0 }
    }

    fn at_most(self) -> u64 {
        let station = self.of_station.saturating_mul(STATION_BYTES_MAX as u64);
        self.fixed.saturating_add(station)
    }

    /// A value that is at most as large as the larger of both.
    fn or(self, other: Self) -> Self {
        Self { fixed: self.fixed.max(other.fixed), of_station: self.of_station.max(other.of_station) }
    }

    fn smaller(self, other: Self) -> Self {
        if self.at_most() <= other.at_most() { self } else { other }
    }
}

impl Add for Linear {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            fixed: self.fixed.saturating_add(other.fixed),
            of_station: self.of_station.saturating_add(other.of_station),
        }
    }
}

/// The most steps and bytes that evaluating this takes.
pub(super) fn cost(node: &IdedExpr) -> u64 {
    measure(node).1.at_most()
}

/// The size of the value, and the cost of evaluating it. The tree's depth is limited.
fn measure(node: &IdedExpr) -> (Linear, Linear) {
    let (mut sizes, mut cost) = (Vec::new(), Linear::fixed(1));
    for child in children(&node.expr) {
        let (size, of_child) = measure(child);
        sizes.push(size);
        cost = cost + of_child;
    }
    let all = sizes.iter().fold(Linear::default(), |sum, size| sum + *size);
    let (size, own) = match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => {
            (Linear::fixed(text.inner().len() as u64), Linear::default())
        }
        Expr::Literal(LiteralValue::Bytes(bytes)) => {
            (Linear::fixed(bytes.inner().len() as u64), Linear::default())
        }
        Expr::Ident(name) if name == "station" => (Linear { fixed: 0, of_station: 1 }, Linear::default()),
        Expr::Ident(name) if name == "night" => (Linear::fixed(NIGHT_BYTES), Linear::default()),
        Expr::Select(select) if !select.test => (all, Linear::default()),
        Expr::List(_) | Expr::Map(_) => {
            let size = all + Linear::fixed(SCALAR_BYTES * sizes.len() as u64);
            (size, size)
        }
        Expr::Call(call) => of_call(call, &sizes, all),
        _ => (Linear::fixed(SCALAR_BYTES), Linear::default()),
    };
    (size, cost + own)
}

/// The size of a call's result, and its own cost.
fn of_call(call: &CallExpr, sizes: &[Linear], all: Linear) -> (Linear, Linear) {
    let scalar = Linear::fixed(SCALAR_BYTES);
    match (call.func_name.as_str(), sizes) {
        // A copy of both.
        (operators::ADD, _) => (all + scalar, all + scalar),
        (operators::CONDITIONAL, [_, yes, no]) => (yes.or(*no), Linear::default()),
        (operators::INDEX, [container, _]) => (*container, all),
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _) => {
            (scalar, Linear::default())
        }
        (
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS,
            [left, right],
        ) => (scalar, left.smaller(*right)),
        ("string", _) => (all + Linear::fixed(NUMBER_TEXT_BYTES), all + Linear::fixed(NUMBER_TEXT_BYTES)),
        _ => (scalar, all),
    }
}
