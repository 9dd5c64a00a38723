//! The numbers of many partitions on one line of the log.

use std::collections::BTreeSet;

/// Partitions in readable form: `0-4,7`. A thousand of them fit on a line.
pub(super) fn ranges(partitions: impl Iterator<Item = i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for partition in partitions.collect::<BTreeSet<_>>() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => runs.push((partition, partition)),
        }
    }
    let named = runs.iter().map(
        |(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    named.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn partitions_are_named_in_ranges() {
        assert_eq!(ranges([7, 2, 0, 1, 3, 9, 8].into_iter()), "0-3,7-9");
        assert_eq!(ranges([5].into_iter()), "5");
        assert_eq!(ranges(std::iter::empty()), "");
    }
}
