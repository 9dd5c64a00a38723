//! A back-test for people: a picture, a page to show around, and what changes from one set of rules to another.

mod curve;
mod difference;
mod page;
mod svg;

pub use curve::{Curve, curves};
pub use difference::{Change, Difference};
pub use page::{InWords, Page};
pub use svg::Picture;

use super::Month;

fn month_name(month: u8) -> &'static str {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or("")
}

/// All months from one to another, both included.
fn months_between(first: Month, last: Month) -> impl Iterator<Item = Month> {
    let next = |(year, month): &Month| Some(if *month < 12 { (*year, month + 1) } else { (year + 1, 1) });
    std::iter::successors(Some(first), next).take_while(move |month| *month <= last)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_go_on_over_the_end_of_a_year() {
        let months: Vec<Month> = months_between((2015, 11), (2016, 2)).collect();
        assert_eq!(months, [(2015, 11), (2015, 12), (2016, 1), (2016, 2)]);
        assert_eq!(months_between((2016, 2), (2016, 1)).count(), 0);
    }
}
