//! What a deserialiser says, in words for people, and without the values: they may be addresses, and messages end up
//! in logs.

/// Words of Rust, and what they mean to whoever writes a rule.
const WORDS: [(&str, &str); 9] = [
    ("struct Near", "a table, as in { lat = 33.6, lon = -111.9 }"),
    ("struct ActiveDefinition", "a table, as in { months = [4, 5] }"),
    ("struct Definition", "a table"),
    ("struct Subscriber", "a table"),
    ("a sequence", "a list"),
    ("unknown variant", "unknown word"),
    ("expected u16", "expected a whole number"),
    ("expected u8", "expected a whole number"),
    ("expected f64", "expected a number"),
];

/// The message of an error of serde's.
pub(super) fn without_values(message: &str) -> String {
    let mut plain = message.to_owned();
    for kind in ["string \"", "unknown variant `"] {
        let close = if kind.ends_with('"') { "\", expected" } else { "`, expected" };
        if let Some(at) = plain.find(kind) {
            let start = at + kind.len();
            let end = plain[start..].find(close).map_or(plain.len(), |end| start + end);
            let is_harmless =
                plain[start..end].chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !is_harmless {
                plain.replace_range(start..end, "…");
            }
        }
    }
    WORDS.iter().fold(plain, |plain, (rust, word)| plain.replace(rust, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_repeated() {
        let told = without_values("invalid type: string \"secret@example.org\", expected u16");
        assert_eq!(told, "invalid type: string \"…\", expected a whole number");
        let told = without_values("unknown variant `secret@example.org`, expected one of `info`, `warning`");
        assert_eq!(told, "unknown word `…`, expected one of `info`, `warning`");
        assert_eq!(
            without_values("invalid type: string \"two\", expected u16"),
            "invalid type: string \"two\", expected a whole number"
        );
    }
}
