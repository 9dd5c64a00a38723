//! Hides addresses in texts that are shown.

/// Replaces the part before an `@` with dots.
pub(super) fn without_addresses(text: &str) -> String {
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let mut parts = text.split('@');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kept = shown.trim_end_matches(is_local).len();
        if kept < shown.len() {
            shown.truncate(kept);
            shown.push('…');
        }
        shown.push('@');
        shown.push_str(part);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_shown() {
        assert_eq!(
            without_addresses(r#"{"email":"anna.b+x@example.org","TMIN":1.5} @ 2@17"#),
            r#"{"email":"…@example.org","TMIN":1.5} @ …@17"#
        );
        assert_eq!(without_addresses("nothing"), "nothing");
    }
}
