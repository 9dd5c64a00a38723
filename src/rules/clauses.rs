//! Takes a condition apart, for people who ask which part of it decided.

/// One part of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// How deep it lies within others.
    pub depth: usize,
    /// Its text.
    pub text: String,
}

/// The parts that `&&` and `||` join, each followed by its own parts. A condition without them is one part.
pub fn clauses(text: &str) -> Vec<Clause> {
    let mut found = Vec::new();
    push(text.trim(), 0, &mut found);
    found
}

fn push(text: &str, depth: usize, found: &mut Vec<Clause>) {
    found.push(Clause { depth, text: text.to_owned() });
    let inner = without_brackets(text);
    let parts = [split(inner, "||"), split(inner, "&&")].into_iter().find(|parts| parts.len() > 1);
    for part in parts.into_iter().flatten() {
        push(part.trim(), depth + 1, found);
    }
}

/// The text within brackets that go round all of it.
fn without_brackets(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let mut depth = 0_i32;
    let is_whole = outside_strings(inner).all(|(_, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth >= 0
    });
    if is_whole { without_brackets(inner.trim()) } else { text }
}

/// Splits at an operator that lies in no bracket and no string.
fn split<'a>(text: &'a str, operator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, c) in outside_strings(text) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(operator) => {
                parts.push(&text[start..at]);
                start = at + operator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The characters that stand in no string, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut is_escaped) = (None, false);
    text.char_indices().filter(move |(_, c)| match quote {
        Some(_) if is_escaped => {
            is_escaped = false;
            false
        }
        Some(open) => {
            is_escaped = *c == '\\';
            if *c == open {
                quote = None;
            }
            false
        }
        None if matches!(c, '\'' | '"') => {
            quote = Some(*c);
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        clauses(text).iter().map(|clause| format!("{}{}", " ".repeat(clause.depth), clause.text)).collect()
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
        assert_eq!(shown("(a) || (b)"), ["(a) || (b)", " (a)", " (b)"]);
    }
}
