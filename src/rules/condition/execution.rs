//! Runs CEL's interpreter, and sorts its errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::IdedExpr;
use cel::{Context, ExecutionError, Value};

/// Longest reason that is repeated, in bytes: the interpreter's messages contain whole values.
const REASON_BYTES_MAX: usize = 300;

/// Why a condition has no verdict on an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationError {
    /// It fails on these values, but may succeed on others.
    Failed(String),
    /// The interpreter panicked, so it cannot be trusted with this condition.
    Panicked,
}

impl std::fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Panicked => f.write_str("the interpreter panicked"),
        }
    }
}

/// Why an expression has no value.
#[derive(Debug)]
pub(super) enum Failure {
    /// A value that it needs is missing.
    Unknown,
    DividesByZero,
    OutOfBounds,
    Panicked,
    Other(String),
}

/// The value of an expression.
pub(super) fn resolve(expression: &IdedExpr, scope: &Context<'_, '_>) -> Result<Value, Failure> {
    // A panic in the interpreter must fail one evaluation, not end a partition.
    let outcome = catch_unwind(AssertUnwindSafe(|| Value::resolve(expression, scope)));
    outcome.map_err(|_| Failure::Panicked)?.map_err(|error| match error {
        ExecutionError::UndeclaredReference(_) | ExecutionError::NoSuchKey(_) => Failure::Unknown,
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => Failure::DividesByZero,
        ExecutionError::IndexOutOfBounds(_) => Failure::OutOfBounds,
        error => Failure::Other(shortened(error.to_string())),
    })
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        let end = (0..=REASON_BYTES_MAX).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
