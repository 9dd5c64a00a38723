//! Compares records with those that the model expects: key by key, in order.

use std::collections::{BTreeMap, HashMap};

use super::report::{Kind, Violations};

/// The compared parts of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// The unit within which order is kept: the station, or the origin of a dead letter.
    pub(super) key: String,
    /// A hash of everything that must be equal.
    pub(super) mark: u64,
    /// Its place or its cause, for examples.
    pub(super) place: String,
}

/// Adds each difference to the violations. `what`: the writer of these records.
pub(super) fn compare(what: &str, expected: &[Item], actual: &[Item], violations: &mut Violations) {
    let (expected, actual) = (by_key(expected), by_key(actual));
    for (key, expected) in &expected {
        let actual = actual.get(key).map(Vec::as_slice).unwrap_or_default();
        compare_key(what, key, expected, actual, violations);
    }
    for (key, actual) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
        compare_key(what, key, &[], actual, violations);
    }
}

fn by_key(items: &[Item]) -> BTreeMap<&str, Vec<&Item>> {
    let mut found: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in items {
        found.entry(&item.key).or_default().push(item);
    }
    found
}

fn compare_key(what: &str, key: &str, expected: &[&Item], actual: &[&Item], violations: &mut Violations) {
    let is_equal =
        expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| e.mark == a.mark);
    if is_equal {
        return;
    }
    let mut wanted: HashMap<u64, usize> = HashMap::new();
    expected.iter().for_each(|item| *wanted.entry(item.mark).or_default() += 1);
    let known = wanted.clone();
    // The records that exist and are expected, in their existing order.
    let mut common = Vec::new();
    for item in actual {
        match wanted.get_mut(&item.mark) {
            Some(left) if *left > 0 => {
                *left -= 1;
                common.push(item.mark);
            }
            _ if known.contains_key(&item.mark) => {
                violations.add(Kind::Duplicated, format!("{what}: {} key {key}", item.place));
            }
            _ => violations.add(Kind::Unexpected, format!("{what}: {} key {key}", item.place)),
        }
    }
    let mut in_order = Vec::new();
    for item in expected.iter().rev() {
        match wanted.get_mut(&item.mark) {
            Some(left) if *left > 0 => {
                *left -= 1;
                violations.add(Kind::Lost, format!("{what}: of {} key {key}", item.place));
            }
            _ => in_order.push(item),
        }
    }
    in_order.reverse();
    if let Some((item, _)) = in_order.iter().zip(&common).find(|(item, mark)| item.mark != **mark) {
        violations.add(Kind::OutOfOrder, format!("{what}: from {} on, key {key}", item.place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<Item> {
        let item = |c: char| Item { key: "k".into(), mark: u64::from(u32::from(c)), place: c.to_string() };
        text.chars().map(item).collect()
    }

    fn counts(expected: &str, actual: &str) -> [u64; 4] {
        let mut violations = Violations::default();
        compare("test", &items(expected), &items(actual), &mut violations);
        [Kind::Lost, Kind::Duplicated, Kind::Unexpected, Kind::OutOfOrder].map(|kind| violations.count(kind))
    }

    #[test]
    fn differences_are_told_apart() {
        assert_eq!(counts("abc", "abc"), [0, 0, 0, 0]);
        assert_eq!(counts("abc", "ac"), [1, 0, 0, 0]);
        assert_eq!(counts("abc", "abbc"), [0, 1, 0, 0]);
        assert_eq!(counts("abc", "abxc"), [0, 0, 1, 0]);
        assert_eq!(counts("abc", "acb"), [0, 0, 0, 1]);
        assert_eq!(counts("abc", ""), [3, 0, 0, 0]);
        assert_eq!(counts("", "ab"), [0, 0, 2, 0]);
        assert_eq!(counts("aab", "ab"), [1, 0, 0, 0]);
        assert_eq!(counts("abc", "bcca"), [0, 1, 0, 1]);
    }
}
