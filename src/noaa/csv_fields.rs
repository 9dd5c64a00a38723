//! The fields of a line of CSV.

/// Splits a line of CSV into its fields. Quoted fields may contain commas; a quote in them is doubled. `None` if the
/// line ends within quotes.
pub fn csv_fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    (!is_quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_and_quotes() {
        let fields = |line: &str| csv_fields(line);
        assert_eq!(fields("a,,\"b, c\"\r\n").unwrap(), ["a", "", "b, c"]);
        assert_eq!(fields("\"NEW TOWN \"\"N\"\"\",1").unwrap(), ["NEW TOWN \"N\"", "1"]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("a,\"b"), None);
    }
}
