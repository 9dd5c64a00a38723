//! The value of an element in a document.

use std::fmt;

use super::json::Scalar;

/// A number of a document; whole ones stay whole, so that they can be shown in their original form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ElementValue {
    /// Written without a point.
    Int(i64),
    /// Written with one; never NaN or infinite.
    Float(f64),
}

/// In JSON's form.
impl fmt::Display for ElementValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementValue::Int(number) => write!(f, "{number}"),
            // Debug keeps the point of a whole number: 2.0.
            ElementValue::Float(number) => write!(f, "{number:?}"),
        }
    }
}

impl ElementValue {
    /// The value for comparing; exact for every value that GHCN-Daily can hold.
    pub fn as_f64(self) -> f64 {
        match self {
            ElementValue::Int(number) => number as f64,
            ElementValue::Float(number) => number,
        }
    }

    /// A number, or a number as text: the talk's documents have `"SNOW": "0"`.
    pub(super) fn from_scalar(scalar: &Scalar<'_>) -> Option<ElementValue> {
        match scalar {
            Scalar::Int(number) => Some(ElementValue::Int(*number)),
            Scalar::Float(number) => Some(ElementValue::Float(*number)),
            Scalar::Text(text) => ElementValue::from_text(text),
            Scalar::Other => None,
        }
    }

    pub(super) fn from_text(text: &str) -> Option<ElementValue> {
        // Rust also parses "inf" and "nan".
        let is_plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
        if !is_plain {
            return None;
        }
        if let Ok(number) = text.parse() {
            return Some(ElementValue::Int(number));
        }
        let number: f64 = text.parse().ok()?;
        number.is_finite().then_some(ElementValue::Float(number))
    }
}
