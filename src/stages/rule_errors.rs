//! Rules that cannot be evaluated on a record's values.

use std::sync::Arc;

use frostline_engine::Context;

use super::count;
use crate::rules::{EvaluationError, Rule, RuleSet};

/// Counts and logs a failed evaluation. A mistake in one rule must not prevent the others from firing; a rule that
/// makes the interpreter panic is quarantined.
pub(super) fn evaluation_failed(
    rules: &RuleSet,
    rule: &Arc<Rule>,
    error: &EvaluationError,
    context: &mut Context<'_>,
) {
    context.counts[count::RULE_ERRORS] += 1;
    metrics::counter!("frostline_rule_errors_total", "rule" => rule.id.to_string()).increment(1);
    let reason = error.to_string();
    if *error == EvaluationError::Panicked {
        return rules.set_aside(rule, &reason);
    }
    rules.log().failing(rule, rules.generation(), &reason);
}
