//! Writes XML: elements with text, and text without what XML forbids.

use std::borrow::Cow;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

/// Where a document is written.
pub(super) type Xml = Writer<Vec<u8>>;

/// A document: one element with this namespace.
///
/// # Errors
/// None in practice: the writer writes to memory.
pub(super) fn document(
    root: &str,
    namespace: &str,
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element(root).with_attribute(("xmlns", namespace)).write_inner_content(content)?;
    Ok(xml.into_inner())
}

/// An element with text.
pub(super) fn leaf(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    xml.create_element(name).write_text_content(BytesText::new(&allowed(text)))?;
    Ok(())
}

/// The same, if there is a text.
pub(super) fn optional(xml: &mut Xml, name: &str, text: Option<&str>) -> io::Result<()> {
    text.map_or(Ok(()), |text| leaf(xml, name, text))
}

/// The text without the characters that XML 1.0 does not allow, not even as references.
pub(super) fn allowed(text: &str) -> Cow<'_, str> {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    if text.chars().all(is_allowed) {
        text.into()
    } else {
        text.replace(|c| !is_allowed(c), "\u{FFFD}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_control_characters_are_replaced() {
        let xml = document("a", "urn:x", |xml| leaf(xml, "b", "1 < 2 & \u{0}\u{FFFF} é")).unwrap();
        let text = String::from_utf8(xml).unwrap();
        assert!(
            text.ends_with("<a xmlns=\"urn:x\">\n <b>1 &lt; 2 &amp; \u{FFFD}\u{FFFD} é</b>\n</a>"),
            "{text}"
        );
    }
}
