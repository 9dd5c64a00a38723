//! The names of the service's files: differences from day to day, and years.

use crate::noaa::Date;

/// A difference between the archive of one day and that of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    pub(super) from: Date,
    pub(super) to: Date,
}

impl Difference {
    /// `superghcnd_diff_20260511_to_20260512.tar.gz`.
    pub(super) fn name(self) -> String {
        format!("superghcnd_diff_{}_to_{}.tar.gz", compact(self.from), compact(self.to))
    }

    fn parse(name: &str) -> Option<Self> {
        let dates = name.strip_prefix("superghcnd_diff_")?.strip_suffix(".tar.gz")?;
        let (from, to) = dates.split_once("_to_")?;
        let date = |text: &str| Date::parse_compact(text.as_bytes());
        let difference = Self { from: date(from)?, to: date(to)? };
        (difference.from < difference.to).then_some(difference)
    }
}

/// `20260511`.
pub(super) fn compact(date: Date) -> String {
    date.to_string().replace('-', "")
}

/// The differences that a listing of the folder links to, in order and without duplicates.
pub(super) fn differences(listing: &str) -> Vec<Difference> {
    let names = listing.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    // A link may be a whole address.
    let names = names.filter_map(|link| link.rsplit('/').next());
    let mut found: Vec<Difference> = names.filter_map(Difference::parse).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What comes after the archive of `end`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This difference.
    Difference(Difference),
    /// Nothing yet.
    Nothing,
    /// Later differences, but none that starts at `end`. This is the newest of them.
    Gap(Difference),
}

/// Looks for the difference after `end`. If several start there, the one that reaches furthest counts.
pub(super) fn next(found: &[Difference], end: Date) -> Next {
    let here = found.iter().filter(|difference| difference.from == end).max();
    let newest = found.iter().filter(|difference| difference.to > end).max_by_key(|difference| difference.to);
    match (here, newest) {
        (Some(here), _) => Next::Difference(*here),
        (None, Some(newest)) => Next::Gap(*newest),
        (None, None) => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(from: &str, to: &str) -> Difference {
        let date = |text: &str| Date::parse_compact(text.as_bytes()).unwrap();
        Difference { from: date(from), to: date(to) }
    }

    #[test]
    fn a_listing_has_differences_among_other_things() {
        let row = |link: &str| {
            format!("<tr><td><a href=\"{link}\">{link}</a></td><td>2026-05-14 21:12</td></tr>\n")
        };
        let listing = [
            "?C=N;O=D",
            "/pub/data/ghcn/daily/",
            "readme-superghcnd_diff.txt",
            "superghcnd_full_20260512.csv.gz",
            "superghcnd_diff_20260511_to_20260512.tar.gz",
            "https://www.example/superghcnd/superghcnd_diff_20260510_to_20260511.tar.gz",
            "superghcnd_diff_20260511_to_20260512.tar.gz",
            "superghcnd_diff_20260512_to_20260511.tar.gz",
            "superghcnd_diff_20260532_to_20260601.tar.gz",
        ]
        .map(row)
        .concat();
        let found = differences(&listing);
        assert_eq!(found, [difference("20260510", "20260511"), difference("20260511", "20260512")]);
        assert_eq!(found[1].name(), "superghcnd_diff_20260511_to_20260512.tar.gz");
        assert!(differences("<html>Down</html>").is_empty());
    }

    #[test]
    fn the_chain_goes_on_where_it_ends() {
        let (first, second) = (difference("20260510", "20260511"), difference("20260511", "20260512"));
        let long = difference("20260511", "20260514");
        let end = |day: u8| Date::new(2026, 5, day).unwrap();
        assert_eq!(next(&[first, second], end(11)), Next::Difference(second));
        assert_eq!(next(&[first, second, long], end(11)), Next::Difference(long));
        assert_eq!(next(&[first, second], end(12)), Next::Nothing);
        assert_eq!(next(&[first, second], end(9)), Next::Gap(second));
        assert_eq!(next(&[first, long], end(12)), Next::Gap(long), "one that began before");
        assert_eq!(next(&[], end(12)), Next::Nothing);
    }
}
