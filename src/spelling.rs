//! Suggestions for misspelt words.

/// Longer words, in characters, are not misspelt ones.
const CHARS_MAX: usize = 100;

/// The known word that `word` was probably meant to be: one with few letters added, missing, changed or swapped.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = word.chars().count();
    if typed > CHARS_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    // A third of the word may be wrong, so that short words do not match everything.
    known
        .into_iter()
        .map(|known| (distance(known), known))
        .filter(|(distance, known)| 3 * distance <= typed.max(known.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `; did you mean `X`?`, or nothing: the end of a message about `word`.
pub fn advice<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    meant(word, known).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default()
}

/// A deserialiser's message, with a suggestion if it refuses a word and lists the known ones.
pub fn with_advice(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_about_a_word = message.starts_with("unknown ") && message.contains("expected");
    match quoted.next().filter(|_| is_about_a_word) {
        Some(word) => format!("{message}{}", advice(word, quoted)),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_slip_is_recognised() {
        let known = ["when", "where", "near", "subscribers", "T"];
        for (word, expected) in [
            ("whn", "when"),
            ("Near", "near"),
            ("subscriber", "subscribers"),
            ("wehre", "where"),
            ("nera", "near"),
        ] {
            assert_eq!(meant(word, known), Some(expected), "{word}");
        }
        for word in ["", "x", "X", "limit", "whatever"] {
            assert_eq!(meant(word, known), None, "{word}");
        }
    }

    #[test]
    fn messages_about_unknown_words_say_which_was_meant() {
        assert_eq!(
            with_advice("unknown field `whn`, expected one of `id`, `when`"),
            "unknown field `whn`, expected one of `id`, `when`; did you mean `when`?"
        );
        for other in
            ["unknown field `zzz`, expected `a` or `b`", "invalid type: integer `1`, expected a string", ""]
        {
            assert_eq!(with_advice(other), other);
        }
    }
}
