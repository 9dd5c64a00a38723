//! The rule file: TOML with `[[rule]]` tables. All mistakes are gathered, each with its place.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, Mistake, Position, Rule, RuleSet, Scope};
use crate::noaa::StationId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    station: Spanned<String>,
    when: Spanned<String>,
    email: Option<Spanned<String>>,
}

pub(super) fn parse(text: &str) -> Result<RuleSet, Vec<Mistake>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        vec![Mistake { position: Position::of_byte(text, offset), message: error.message().to_owned() }]
    })?;
    let mut checker = Checker { text, mistakes: Vec::new(), ids: HashMap::new(), conditions: HashMap::new() };
    let rules: Vec<Rule> = file.rule.iter().filter_map(|entry| checker.rule(entry)).collect();
    if checker.mistakes.is_empty() { Ok(RuleSet::new(rules)) } else { Err(checker.mistakes) }
}

struct Checker<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
    /// The line where each id was first used.
    ids: HashMap<String, usize>,
    /// Those compiled so far: many rules share their text, and compiling takes most of a millisecond.
    conditions: HashMap<String, Arc<Condition>>,
}

impl Checker<'_> {
    fn rule(&mut self, entry: &Entry) -> Option<Rule> {
        let id = self.id(&entry.id);
        let station = self.station(&entry.station);
        let when = self.condition(&entry.when);
        let email = entry.email.as_ref().map(|email| self.email(email));
        Some(Rule {
            id: id?,
            station: station?,
            when: when?,
            email: email.map_or(Some(None), |e| e.map(Some))?,
        })
    }

    fn mistake(&mut self, offset: usize, message: String) {
        self.mistakes.push(Mistake { position: Position::of_byte(self.text, offset), message });
    }

    fn id(&mut self, id: &Spanned<String>) -> Option<String> {
        let (text, at) = (id.get_ref(), id.span().start);
        // The id is part of alert ids, which are paths and headers: keep it plain.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 100 || !text.chars().all(plain) {
            self.mistake(at, format!("rule id {text:?}: expected 1 to 100 letters, digits, `-`, `_` or `.`"));
            return None;
        }
        let line = Position::of_byte(self.text, at).line;
        if let Some(first) = self.ids.insert(text.clone(), line) {
            self.mistake(at, format!("rule id `{text}` is used twice: first in line {first}"));
            return None;
        }
        Some(text.clone())
    }

    fn station(&mut self, station: &Spanned<String>) -> Option<StationId> {
        let found = StationId::parse(station.get_ref().as_bytes());
        if found.is_none() {
            self.mistake(
                station.span().start,
                format!(
                    "station {:?}: expected a GHCN-Daily id of 11 characters, as in USW00003192",
                    station.get_ref()
                ),
            );
        }
        found
    }

    fn condition(&mut self, when: &Spanned<String>) -> Option<Arc<Condition>> {
        if let Some(compiled) = self.conditions.get(when.get_ref()) {
            return Some(Arc::clone(compiled));
        }
        match Condition::compile(when.get_ref(), Scope::Observation) {
            Ok(condition) => {
                let condition = Arc::new(condition);
                self.conditions.insert(when.get_ref().clone(), Arc::clone(&condition));
                Some(condition)
            }
            Err(error) => {
                self.mistake(self.inside(when, error.offset), error.message);
                None
            }
        }
    }

    fn email(&mut self, email: &Spanned<String>) -> Option<String> {
        let text = email.get_ref();
        let parts = text.split_once('@');
        let sound = parts
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
            && text.len() <= 254
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if !sound {
            // The address itself is not repeated: messages end up in logs.
            self.mistake(email.span().start, "email: expected one address, as in grower@example.org".into());
            return None;
        }
        Some(text.clone())
    }

    /// The byte of the file at which byte `offset` of a string value stands. Exact for plain one-line
    /// strings; with escapes or several lines, the place where the string begins.
    fn inside(&self, value: &Spanned<String>, offset: usize) -> usize {
        let span = value.span();
        let source = &self.text[span.clone()];
        let plain = source.len() == value.get_ref().len() + 2 && !source.contains('\n');
        if plain { span.start + 1 + offset } else { span.start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_talks_rule() {
        let rules = RuleSet::parse(
            "[[rule]]\nid = \"scottsdale-frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 10.0\"\nemail = \"a@example.org\"\n",
        )
        .unwrap();
        let station = StationId::parse(b"USW00003192").unwrap();
        let found: Vec<&Rule> = rules.of_station(station).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].when.text(), "TMIN <= 10.0");
        assert_eq!(rules.of_station(StationId::parse(b"USC00020080").unwrap()).count(), 0);
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "[[rule]]\nid = \"a b\"\nstation = \"nowhere\"\nwhen = \"TMIM <= 1\"\nemail = \"x\"\n\
                    [[rule]]\nid = \"c\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= \"\n\
                    [[rule]]\nid = \"c\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 1.0\"\n";
        let mistakes = RuleSet::parse(text).unwrap_err();
        let places: Vec<(usize, usize)> =
            mistakes.iter().map(|m| (m.position.line, m.position.column)).collect();
        assert_eq!(places, [(2, 6), (3, 11), (4, 9), (5, 9), (9, 17), (11, 6)], "{mistakes:#?}");
        assert!(mistakes[5].message.contains("first in line 7"), "{}", mistakes[5]);
    }

    #[test]
    fn toml_mistakes_have_a_place() {
        let unknown = RuleSet::parse("[[rule]]\nid = \"a\"\nstatoin = \"x\"\n").unwrap_err();
        assert_eq!((unknown[0].position.line, unknown[0].position.column), (3, 1), "{}", unknown[0]);
        assert!(unknown[0].message.contains("statoin"), "{}", unknown[0]);
        let missing = RuleSet::parse("[[rule]]\nid = \"a\"\nstation = \"USW00003192\"\n").unwrap_err();
        assert!(missing[0].message.contains("when"), "{}", missing[0]);
        let broken = RuleSet::parse("[[rule]\nid = 3").unwrap_err();
        assert_eq!(broken[0].position.line, 1);
    }
}
