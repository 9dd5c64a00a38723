//! The rule file: TOML with `[[rule]]` and `[[subscriber]]` tables, or the same as JSON, one object per line. All
//! mistakes are collected, each with its place.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::plain_words::{shown, unquoted, without_values};
use super::{Conditions, Definition, Mistake, Position, Problem, Rule, Subscriber};
use crate::spelling::{advice, meant};

/// Most mistakes and warnings that are reported.
pub const MISTAKES_MAX: usize = 200;

/// Most ids that an unknown one is compared with.
const COMPARED_MAX: usize = 1_000;
/// Most unreadable places that are reported: with more, the file is no rule file.
const UNREADABLE_MAX: usize = 10;

/// In a file that is larger than this, only the first mistake of its form is found: the parser keeps each in memory.
const ALL_MISTAKES_BYTES_MAX: usize = 256 << 10;

/// A rule file without mistakes.
#[derive(Default)]
pub struct RuleFile {
    /// The subscribers of the file.
    pub subscribers: Vec<Subscriber>,
    /// The rules in the file's order, as written and compiled.
    pub rules: Vec<(Definition, Rule)>,
    text: String,
    places: Vec<Places>,
    subscriber_places: Vec<Places>,
}

/// The places of the parts of one table.
#[derive(Default)]
struct Places {
    /// The table itself, as an offset in the text.
    start: usize,
    /// The span of each field's value.
    fields: Vec<(String, std::ops::Range<usize>)>,
    /// Fields that are missing, unknown, or of the wrong kind: they are reported already, and skipped in further
    /// checks.
    broken: Vec<String>,
}

impl RuleFile {
    /// Reads and checks a file. `is_known`: subscribers that need not be in it.
    ///
    /// # Errors
    /// All mistakes, each with its line and column; then no rule is used.
    pub fn parse(
        text: &str,
        conditions: &mut Conditions,
        is_known: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Vec<Mistake>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { text, mistakes: Vec::new(), rules: Vec::new(), subscribers: Vec::new() };
        if text.trim_start().starts_with('{') {
            reader.json_lines();
        } else {
            reader.toml();
        }
        reader.finish(conditions, is_known)
    }

    /// The place of a problem with rule number `index`.
    pub fn locate(&self, index: usize, problem: &Problem) -> Position {
        self.locate_in(self.places.get(index), problem)
    }

    /// The place of a problem with subscriber number `index`.
    pub fn locate_subscriber(&self, index: usize, problem: &Problem) -> Position {
        self.locate_in(self.subscriber_places.get(index), problem)
    }

    fn locate_in(&self, places: Option<&Places>, problem: &Problem) -> Position {
        places.map_or(Position { line: 1, column: 1 }, |places| places.of(&self.text, problem))
    }
}

impl Places {
    /// Whether a problem is only a consequence of a broken field.
    fn explain(&self, problem: &Problem) -> bool {
        let is_broken = |names: &[&str]| self.broken.iter().any(|broken| names.contains(&broken.as_str()));
        let is_written = |name: &str| self.fields.iter().any(|(written, _)| written == name);
        match problem.field {
            // A rule without any place: the broken field may be the place.
            "station" if !is_written("station") => !self.broken.is_empty(),
            "for_days" | "repeat_days" => is_broken(&[problem.field, "clear"]),
            "when" | "stage" | "chance" => is_broken(&[problem.field, "crop"]),
            "crop" => is_broken(&["crop", "stage"]),
            field => is_broken(&[field]),
        }
    }

    /// Inside expressions and texts if they are plain one-line strings; otherwise at the start of the value.
    fn of(&self, text: &str, problem: &Problem) -> Position {
        let span = self.fields.iter().find(|(name, _)| name == problem.field).map(|(_, span)| span.clone());
        let Some(span) = span else { return Position::of_byte(text, self.start) };
        let source = text.get(span.clone()).unwrap_or_default();
        let is_plain = !source.contains(['\n', '\\']);
        let is_text = matches!(problem.field, "when" | "clear" | "where" | "message");
        let inside = if is_plain && is_text { 1 + problem.offset } else { 0 };
        Position::of_byte(text, span.start + inside)
    }
}

/// The state of reading a file.
struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
    rules: Vec<(Definition, Places)>,
    subscribers: Vec<(Subscriber, Places)>,
}

impl Reader<'_> {
    // Finding a place reads the file up to there, so it is not looked for in vain.
    fn mistake(&mut self, offset: usize, message: impl Into<String>) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistake_at(Position::of_byte(self.text, offset), message.into());
        }
    }

    fn mistake_at(&mut self, position: Position, message: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(Mistake { position, message });
        }
    }

    fn problem(&mut self, places: &Places, problem: &Problem) {
        if self.mistakes.len() < MISTAKES_MAX && !places.explain(problem) {
            let position = places.of(self.text, problem);
            self.mistakes.push(Mistake { position, message: problem.message.clone() });
        }
    }

    /// Notes that a file with so many unreadable places is probably no rule file.
    fn is_other(&mut self, unreadable: usize) -> bool {
        if unreadable > UNREADABLE_MAX {
            let position = self.mistakes.last().map_or(Position { line: 1, column: 1 }, |last| last.position);
            self.mistake_at(
                position,
                "and more after it: is this a rule file? examples/rules.toml is one".to_owned(),
            );
        }
        unreadable > UNREADABLE_MAX
    }

    fn toml(&mut self) {
        let (root, errors) = match self.text.len() > ALL_MISTAKES_BYTES_MAX {
            true => match DeTable::parse(self.text) {
                Ok(root) => (root, Vec::new()),
                Err(error) => {
                    let position = Position::of_toml(self.text, &error);
                    return self.mistake_at(position, error.message().to_owned());
                }
            },
            false => DeTable::parse_recoverable(self.text),
        };
        // Finding the place of a mistake without one reads the file repeatedly; further ones get the same place.
        let mut is_found = false;
        for error in errors.iter().take(UNREADABLE_MAX) {
            if error.span().is_some() || !std::mem::replace(&mut is_found, true) {
                self.mistake_at(Position::of_toml(self.text, error), error.message().to_owned());
            }
        }
        self.is_other(errors.len());
        if !errors.is_empty() {
            return;
        }
        for (key, value) in root.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("rule", DeValue::Array(tables)) => {
                    for table in tables.iter() {
                        // A crop stands for a condition.
                        let has_crop = table.get_ref().get("crop").is_some();
                        let required: &[&str] = if has_crop { &["id"] } else { &["id", "when"] };
                        if let Some(read) = self.table(table, required) {
                            self.rules.push(read);
                        }
                    }
                }
                ("subscriber", DeValue::Array(tables)) => {
                    for table in tables.iter() {
                        if let Some(read) = self.table(table, &["id"]) {
                            self.subscribers.push(read);
                        }
                    }
                }
                (name @ ("rule" | "subscriber"), _) => {
                    self.mistake(
                        key.span().start,
                        format!("`{name}`: expected tables that begin with [[{name}]]"),
                    );
                }
                (other, _) => {
                    let advice = advice(other, ["rule", "subscriber"]);
                    self.mistake(
                        key.span().start,
                        format!(
                            "unknown name `{other}`: expected [[rule]] and [[subscriber]] tables{advice}"
                        ),
                    );
                }
            }
        }
    }

    /// Reads one table field by field, so that one mistake does not hide the next.
    fn table<T: DeserializeOwned>(
        &mut self,
        table: &Spanned<DeValue<'_>>,
        required: &[&str],
    ) -> Option<(T, Places)> {
        let Some(fields) = table.get_ref().as_table() else {
            self.mistake(table.span().start, "expected a table");
            return None;
        };
        let mut places = Places { start: table.span().start, ..Places::default() };
        let mut known = Map::new();
        for (key, value) in fields {
            let name = key.get_ref().to_string();
            let field = Map::from_iter([(name.clone(), to_json(value.get_ref()))]);
            places.fields.push((name, value.span()));
            match serde_json::from_value::<T>(Value::Object(field.clone())) {
                Ok(_) => known.extend(field),
                Err(error) => {
                    let reason = without_values(&error.to_string());
                    let is_unknown = reason.starts_with("unknown field");
                    let at = if is_unknown { key.span().start } else { value.span().start };
                    let name = if is_unknown { String::new() } else { format!("{}: ", key.get_ref()) };
                    self.mistake(at, format!("{name}{reason}"));
                    places.broken.push(key.get_ref().to_string());
                }
            }
        }
        let is_written = |name: &str| fields.keys().any(|key| key.get_ref() == name);
        // A misspelt field is reported already.
        let is_misspelt = |name: &str| places.broken.iter().any(|broken| meant(broken, [name]).is_some());
        let missing = required.iter().filter(|name| !is_written(name) && !is_misspelt(name)).copied();
        for name in missing.collect::<Vec<_>>() {
            self.mistake(places.start, format!("missing field `{name}`"));
            places.broken.push(name.to_owned());
        }
        // With a mistake no rule of the file is used; the rest of the table is still read to find others.
        serde_json::from_value(Value::Object(known)).ok().map(|read| (read, places))
    }

    fn json_lines(&mut self) {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "lowercase")]
        enum Item {
            Rule(Box<Definition>),
            Subscriber(Box<Subscriber>),
        }
        let (mut start, mut unreadable) = (0, 0);
        let text = self.text;
        for line in text.split_inclusive('\n') {
            let places = Places { start, ..Places::default() };
            if !line.trim().is_empty() {
                match serde_json::from_str(line) {
                    Ok(Item::Rule(rule)) => self.rules.push((*rule, places)),
                    Ok(Item::Subscriber(subscriber)) => self.subscribers.push((*subscriber, places)),
                    Err(error) => {
                        let at = start + error.column().saturating_sub(1).min(line.len() - 1);
                        let reason = without_values(&error.to_string());
                        let reason = reason.split(" at line ").next().unwrap_or_default();
                        unreadable += 1;
                        if self.rules.is_empty() && self.subscribers.is_empty() && self.is_other(unreadable) {
                            return;
                        }
                        self.mistake(
                            at,
                            format!("{reason}: expected {{\"rule\": {{…}}}} or {{\"subscriber\": {{…}}}}"),
                        );
                    }
                }
            }
            start += line.len();
        }
    }

    fn finish(
        mut self,
        conditions: &mut Conditions,
        is_known: &dyn Fn(&str) -> bool,
    ) -> Result<RuleFile, Vec<Mistake>> {
        let subscribers = std::mem::take(&mut self.subscribers);
        let mut first_use: HashMap<&str, usize> = HashMap::new();
        for (subscriber, places) in &subscribers {
            if self.mistakes.len() == MISTAKES_MAX {
                break;
            }
            for problem in subscriber.check().err().into_iter().flatten() {
                self.problem(places, &problem);
            }
            self.unique("subscriber", &subscriber.id, places, &mut first_use);
        }
        let names: HashSet<&str> = subscribers.iter().map(|(subscriber, _)| subscriber.id.as_str()).collect();
        let rules = std::mem::take(&mut self.rules);
        let mut first_use: HashMap<&str, usize> = HashMap::new();
        let mut compiled = Vec::with_capacity(rules.len());
        for (definition, places) in &rules {
            if self.mistakes.len() == MISTAKES_MAX {
                break;
            }
            match definition.compile(0, None, conditions) {
                Ok(rule) => compiled.push(rule),
                Err(problems) => problems.iter().for_each(|problem| self.problem(places, problem)),
            }
            self.unique("rule", &definition.id, places, &mut first_use);
            for id in definition.subscribers.iter().filter(|id| !names.contains(id.as_str()) && !is_known(id))
            {
                let known = names.iter().copied().filter(|name| unquoted(name) == *name);
                let advice = advice(id, known.take(COMPARED_MAX));
                let message = format!(
                    "unknown subscriber {}: expected a [[subscriber]] with that id{advice}",
                    shown(id)
                );
                self.problem(places, &Problem { field: "subscribers", offset: 0, message });
            }
        }
        if !self.mistakes.is_empty() {
            self.mistakes.sort_by_key(|mistake| mistake.position);
            return Err(self.mistakes);
        }
        let (definitions, places): (Vec<Definition>, Vec<Places>) = rules.into_iter().unzip();
        let (subscribers, subscriber_places) = subscribers.into_iter().unzip();
        Ok(RuleFile {
            subscribers,
            subscriber_places,
            rules: definitions.into_iter().zip(compiled).collect(),
            text: self.text.to_owned(),
            places,
        })
    }

    fn unique<'n>(
        &mut self,
        kind: &str,
        id: &'n str,
        places: &Places,
        first_use: &mut HashMap<&'n str, usize>,
    ) {
        if let Some(first) = first_use.insert(id, places.start)
            && self.mistakes.len() < MISTAKES_MAX
        {
            let line = Position::of_byte(self.text, first).line;
            let message = format!("{kind} id {} is used twice: first in the table of line {line}", shown(id));
            self.problem(places, &Problem { field: "id", offset: 0, message });
        }
    }
}

/// TOML's values are JSON's, except dates, which are not used here.
fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.as_str().into(), Value::from),
        // Infinity and NaN are not JSON values and not used here: as a text they are refused.
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(value) if value.is_finite() => value.into(),
            _ => number.as_str().into(),
        },
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(fields) => {
            fields.iter().map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref()))).collect()
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
