//! Mistakes in definitions, and checks that rules and subscribers share.

use super::plain_words::shown;

/// Longest id of a rule or subscriber, in bytes.
const ID_BYTES_MAX: usize = 100;

/// One mistake in a definition: the field, the offset in its text, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name in the file.
    pub field: &'static str,
    /// Bytes from the start of the field's text.
    pub offset: usize,
    /// What is wrong and what is expected, in a sentence.
    pub message: String,
}

/// Collects mistakes while a definition is read.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, field: &'static str, offset: usize, message: impl Into<String>) {
        self.0.push(Problem { field, offset, message: message.into() });
    }
}

/// Ids are part of alert ids, which are used in paths and headers, so they are kept plain.
pub(super) fn check_id(kind: &str, id: &str, problems: &mut Problems) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // Only dots would be a step in a path, not a name.
    let is_path = id.chars().all(|c| c == '.');
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.chars().all(plain) || is_path {
        let expected =
            format!("expected 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` or `.`, and not only dots");
        problems.add("id", 0, format!("{kind} id {}: {expected}", shown(id)));
    }
}

pub(super) fn check_email(email: &str, problems: &mut Problems) {
    let is_plain = email.len() <= 254 && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if !is_plain || email.parse::<lettre::Address>().is_err() {
        // The address itself is not repeated: messages end up in logs.
        problems.add("email", 0, "email: expected one address, as in grower@example.org");
    }
}
