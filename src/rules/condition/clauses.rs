//! Splits a condition, to show which part of it decided.
//!
//! The syntax tree has the parts; the places of operators and brackets show where their texts begin and end.

use cel::common::ast::{Expr, IdedExpr, operators};

use super::outline::Outline;
use super::syntax::Syntax;

/// One part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// How deep it is nested in others.
    pub depth: usize,
    /// Its text, which is a condition too.
    pub text: String,
}

/// Length of `&&` and `||`.
const OPERATOR_BYTES: usize = 2;

/// The start and end of a part, in bytes.
type Range = (usize, usize);

/// The parts that `&&` and `||` join, each followed by its own parts. A condition without them is one part.
pub(super) fn clauses(syntax: &Syntax<'_>, outline: &Outline) -> Vec<Clause> {
    let mut found = Vec::new();
    let parts = Parts { syntax, outline };
    parts.push(syntax.root, parts.trim((0, syntax.text.len())), 0, &mut found);
    found
}

struct Parts<'a> {
    syntax: &'a Syntax<'a>,
    outline: &'a Outline,
}

impl<'a> Parts<'a> {
    fn push(&self, node: &'a IdedExpr, range: Range, depth: usize, found: &mut Vec<Clause>) {
        found.push(Clause { depth, text: self.syntax.text[range.0..range.1].to_owned() });
        if let Some((operator, _)) = joined(node) {
            self.split(node, operator, self.without_brackets(range), depth + 1, found);
        }
    }

    /// Adds the operands of an operator. The parser makes nested trees of `a && b && c`, which count as one row.
    fn split(&self, node: &'a IdedExpr, operator: &str, range: Range, depth: usize, found: &mut Vec<Clause>) {
        let Some((_, [left, right])) = joined(node).filter(|(name, _)| *name == operator) else { return };
        let at = self.syntax.token_at(node);
        for (part, range) in [(left, (range.0, at)), (right, (at + OPERATOR_BYTES, range.1))] {
            let range = self.trim(range);
            let is_row =
                joined(part).is_some_and(|(name, _)| name == operator) && !self.outline.encloses(range);
            if is_row {
                self.split(part, operator, range, depth, found);
            } else {
                self.push(part, range, depth, found);
            }
        }
    }

    fn trim(&self, (start, end): Range) -> Range {
        let text = &self.syntax.text[start..end];
        (start + text.len() - text.trim_start().len(), start + text.trim_end().len())
    }

    /// The range inside brackets that enclose all of it.
    fn without_brackets(&self, range: Range) -> Range {
        if !self.outline.encloses(range) {
            return range;
        }
        self.without_brackets(self.trim((range.0 + 1, range.1 - 1)))
    }
}

/// The operator `&&` or `||`, and its operands.
fn joined(node: &IdedExpr) -> Option<(&str, &[IdedExpr; 2])> {
    let Expr::Call(call) = &node.expr else { return None };
    let name = call.func_name.as_str();
    let is_joint = call.target.is_none() && matches!(name, operators::LOGICAL_AND | operators::LOGICAL_OR);
    is_joint.then_some(name).zip(call.args.as_slice().try_into().ok())
}

#[cfg(test)]
mod tests {
    use crate::rules::{Condition, Scope};

    fn shown(text: &str) -> Vec<String> {
        let condition = Condition::compile(text, Scope::Observation).unwrap();
        let clauses = condition.clauses();
        // Each part can be asked by itself.
        clauses.iter().for_each(|clause| drop(Condition::compile(&clause.text, Scope::Observation).unwrap()));
        clauses.iter().map(|clause| format!("{}{}", " ".repeat(clause.depth), clause.text)).collect()
    }

    #[test]
    fn parts_of_parts() {
        assert_eq!(shown("TMIN <= 10.0"), ["TMIN <= 10.0"]);
        assert_eq!(
            shown("TMIN <= 1.0 && (date > 'a || b' || !(SNOW > 0 || PRCP > 0.0))"),
            [
                "TMIN <= 1.0 && (date > 'a || b' || !(SNOW > 0 || PRCP > 0.0))",
                " TMIN <= 1.0",
                " (date > 'a || b' || !(SNOW > 0 || PRCP > 0.0))",
                "  date > 'a || b'",
                "  !(SNOW > 0 || PRCP > 0.0)",
            ]
        );
        assert_eq!(
            shown(" ((TMIN < 1.0)) || (TMAX < 2.0) "),
            ["((TMIN < 1.0)) || (TMAX < 2.0)", " ((TMIN < 1.0))", " (TMAX < 2.0)"]
        );
    }

    #[test]
    fn rows_and_mixtures() {
        let row = "TMIN < 1.0 && TMAX < 2.0 && PRCP < 3.0 && SNOW < 4";
        assert_eq!(shown(row), [row, " TMIN < 1.0", " TMAX < 2.0", " PRCP < 3.0", " SNOW < 4"]);
        assert_eq!(
            shown("(TMIN < 1.0 && TMAX < 2.0) && PRCP < 3.0 || SNOW < 4"),
            [
                "(TMIN < 1.0 && TMAX < 2.0) && PRCP < 3.0 || SNOW < 4",
                " (TMIN < 1.0 && TMAX < 2.0) && PRCP < 3.0",
                "  (TMIN < 1.0 && TMAX < 2.0)",
                "   TMIN < 1.0",
                "   TMAX < 2.0",
                "  PRCP < 3.0",
                " SNOW < 4",
            ]
        );
    }

    #[test]
    fn a_conditional_is_one_part() {
        let whole = "TMIN > 0.0 ? TMAX > 1.0 && TMAX > 2.0 : false";
        assert_eq!(shown(whole), [whole]);
        let joined = format!("({whole}) && 'é' != station.name || PRCP > 1.0");
        assert_eq!(
            shown(&joined),
            [
                joined.as_str(),
                &format!(" ({whole}) && 'é' != station.name"),
                &format!("  ({whole})"),
                "  'é' != station.name",
                " PRCP > 1.0"
            ]
        );
    }
}
