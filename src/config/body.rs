//! The body of a webhook in the form that its receiver expects: a template with fields in braces.
//!
//! JSON has braces too, so only a plain name in braces, such as `{text}` or `{station.name}`, is a field. Its value
//! is escaped as the content type requires; in JSON a field belongs inside a string.

use serde::de::IgnoredAny;

/// The fields that a template may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyField {
    /// The event in a sentence; the rule's own text, if it has one.
    Text,
    /// The rule's id.
    Rule,
    /// The rule's severity.
    Severity,
    /// `fired`, `resolved`, `retracted` or `stale`.
    Transition,
    /// The station's id.
    Station,
    /// The station's name; its id if it has none.
    StationName,
    /// The day, such as `2026-01-31`.
    Date,
    /// The rule's condition.
    When,
    /// The values of the day, such as `TMIN -1.5, TMAX 12.0`.
    Values,
    /// The alert's id.
    AlertId,
    /// The message's id: the same for every attempt.
    MessageId,
    /// The recipient, such as `subscriber/anna`.
    Recipient,
}

/// The fields by name.
pub const BODY_FIELDS: [(&str, BodyField); 12] = [
    ("text", BodyField::Text),
    ("rule", BodyField::Rule),
    ("severity", BodyField::Severity),
    ("transition", BodyField::Transition),
    ("station", BodyField::Station),
    ("station.name", BodyField::StationName),
    ("date", BodyField::Date),
    ("when", BodyField::When),
    ("values", BodyField::Values),
    ("alert_id", BodyField::AlertId),
    ("message_id", BodyField::MessageId),
    ("recipient", BodyField::Recipient),
];

/// The default content type of a template.
pub(super) const JSON_TYPE: &str = "application/json";

/// Replaces each field when a template is checked: every character that must be escaped in JSON.
const SAMPLE: &str = "\"a\" \\ {date}\nb";

/// A checked template.
#[derive(Clone, Debug)]
pub struct BodyTemplate {
    pieces: Vec<Piece>,
    escape: Escape,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field(BodyField),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Json,
    Form,
    Nothing,
}

impl BodyTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// What is wrong with it: an unknown field, or a result that is not JSON although the content type says so.
    pub fn parse(text: &str, content_type: &str) -> Result<Self, String> {
        let escape = escape_of(content_type)?;
        let template = Self { pieces: pieces(text)?, escape };
        let sample = template.render(|_| SAMPLE.to_owned());
        if escape == Escape::Json
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&sample)
        {
            return Err(format!(
                "it does not give valid JSON ({error}): put each field inside the quotes of a string"
            ));
        }
        Ok(template)
    }

    /// The body, with the values of the fields from `value`.
    pub fn render(&self, value: impl Fn(BodyField) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(field) => self.escape.apply(value(*field)),
        };
        self.pieces.iter().map(piece).collect()
    }
}

impl Escape {
    fn apply(self, text: String) -> String {
        match self {
            Self::Nothing => text,
            Self::Json => {
                let quoted = serde_json::Value::String(text).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Form => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                let escaped = |byte| match is_plain(byte) {
                    true => char::from(byte).to_string(),
                    false => format!("%{byte:02X}"),
                };
                text.bytes().map(escaped).collect()
            }
        }
    }
}

fn escape_of(content_type: &str) -> Result<Escape, String> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if content_type.chars().any(char::is_control) || !content_type.is_ascii() {
        return Err("content_type: expected one line of ASCII".into());
    }
    match media.as_str() {
        "application/x-www-form-urlencoded" => Ok(Escape::Form),
        "text/plain" | "text/markdown" => Ok(Escape::Nothing),
        JSON_TYPE => Ok(Escape::Json),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Escape::Json),
        // For other types it is unknown how to escape a text.
        _ => Err(format!(
            "content_type: fields cannot be escaped for this type; expected {JSON_TYPE}, application/x-www-form-urlencoded, text/plain or text/markdown"
        )),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut found, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('{') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let name = &after[..after.find(|c| !is_name(c)).unwrap_or(after.len())];
        literal.push_str(before);
        // A brace before anything but a plain name belongs to the receiver's format.
        if name.is_empty() || !after[name.len()..].starts_with('}') {
            literal.push('{');
            rest = after;
            continue;
        }
        let Some((_, field)) = BODY_FIELDS.iter().find(|(known, _)| *known == name) else {
            let known = BODY_FIELDS.map(|(known, _)| known).join("}, {");
            return Err(format!("unknown field {{{name}}}: expected {{{known}}}"));
        };
        found.extend([Piece::Text(std::mem::take(&mut literal)), Piece::Field(*field)]);
        rest = &after[name.len() + 1..];
    }
    literal.push_str(rest);
    found.push(Piece::Text(literal));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, content_type: &str) -> String {
        let template = BodyTemplate::parse(template, content_type).unwrap();
        template.render(|field| match field {
            BodyField::Text => "cold \"here\"\n{date} & 1".into(),
            field => format!("{field:?}"),
        })
    }

    #[test]
    fn fields_are_written_as_the_content_type_needs_them() {
        let json = r#"{"a": {"b": "{text}", "c": [1, {}]}, "d": "{station.name}{rule}"}"#;
        assert_eq!(
            rendered(json, "application/json; charset=utf-8"),
            r#"{"a": {"b": "cold \"here\"\n{date} & 1", "c": [1, {}]}, "d": "StationNameRule"}"#
        );
        assert_eq!(
            rendered("text={text}", "application/x-www-form-urlencoded"),
            "text=cold%20%22here%22%0A%7Bdate%7D%20%26%201"
        );
        assert_eq!(rendered("{ {rule} } {", "text/plain"), "{ Rule } {");
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        let error =
            |template: &str, content_type: &str| BodyTemplate::parse(template, content_type).unwrap_err();
        let unknown = error(r#"{"text": "{statoin.name}"}"#, JSON_TYPE);
        assert!(unknown.contains("{statoin.name}") && unknown.contains("{station.name}"), "{unknown}");
        for broken in [r#"{"text": {text}}"#, r#"{"text": "{text}""#, "{text}", "", r#"{"text": "{text}",}"#]
        {
            assert!(error(broken, JSON_TYPE).contains("valid JSON"), "{broken}");
        }
        assert!(error("<a>{text}</a>", "application/xml").contains("content_type"));
        assert!(error("{text}", "text/plain\r\nX: y").contains("content_type"));
    }

    #[test]
    fn each_field_has_one_name() {
        for (index, (name, field)) in BODY_FIELDS.iter().enumerate() {
            assert_eq!(*field as usize, index, "{name}");
        }
        assert_eq!(BodyField::Recipient as usize + 1, BODY_FIELDS.len());
    }
}
