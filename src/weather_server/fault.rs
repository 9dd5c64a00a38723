//! The possible faults of a service, by name.

/// A fault, which a [`Script`](super::Script) switches on for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// 304 to every conditional request, even after changes.
    NotModified,
    /// Conditions are ignored: the answer is always the whole document.
    NeverNotModified,
    /// 404.
    NotFound,
    /// 403 with a page.
    Forbidden,
    /// 429 with `Retry-After`; the value is its seconds.
    TooManyRequests,
    /// 500.
    ServerError,
    /// 502 with the page of a proxy.
    BadGateway,
    /// 503 with a problem document in JSON.
    Unavailable,
    /// 204.
    NoContent,
    /// A page with status 200.
    PageInstead,
    /// The body ends early, although the length is that of all of it; the value is the number of bytes.
    CutBody,
    /// The check sum at the end of gzip is wrong.
    BadGzip,
    /// One byte a second.
    Drip,
    /// The `ETag` changes every minute, the bytes do not.
    EtagChanges,
    /// The bytes change under the same `ETag`.
    EtagStays,
    /// In a random half of the minutes, the document of two hours ago.
    StaleEdge,
    /// The source stands still: its documents are those of the start of this fault.
    Stops,
    /// 302 to another host.
    Redirect,
    /// 203: the product is deprecated.
    Deprecated,
    /// The METAR cache in its form before September 2025.
    OldForm,
    /// Half of the rows of the METAR cache are repeated.
    RowsRepeated,
    /// The rows of the METAR cache are in another order each minute.
    RowsReordered,
    /// Half of the reports have a wrong temperature at first, and a correction (`COR`) 12 minutes later.
    Corrected,
    /// Half of the reports have no temperature at first, and have it 6 minutes later.
    Nulled,
    /// Half of the rows have degrees Fahrenheit in the columns for degrees Celsius; their texts are right.
    Fahrenheit,
    /// Some stations have an additional row from the future.
    FutureStamps,
    /// Some stations have an additional row from a year ago.
    PastStamps,
    /// Half of the values of these days are wrong in their first edition, and right in the next one.
    DaysCorrected,
    /// Half of the minima of these days are deleted two editions later.
    DaysDeleted,
    /// Half of the minima of these days get a quality flag two editions later.
    DaysFlagged,
    /// The difference to an edition of this time is missing permanently.
    DifferenceSkipped,
    /// Two differences of one day each are replaced by one of two days.
    DifferenceOfTwoDays,
    /// The `by_year` file of the current year is missing.
    NewYearMissing,
    /// The grid cells of the NWS have other names; the old ones are 404, "Marine Forecast Not Supported".
    GridMoved,
    /// 503 "Forecast Grid Expired" for grid cells.
    GridExpired,
    /// The minima of a grid cell's nights are null.
    MinimumNull,
    /// A grid cell has no layer of minima.
    MinimumMissing,
    /// The minima are in an unknown unit.
    UnknownUnit,
}

/// How long a fault usually lasts in a random script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// Some minutes, every other day.
    Minutes,
    /// One day in five.
    Days,
    /// One day in twenty: a day's delay costs a follower more.
    RareDays,
    /// From some day on.
    Onwards,
}

/// Each with its name, its duration, and the path prefixes for which it may be drawn in random scripts.
const FAULTS: &[(Fault, &str, Lasts)] = &[
    (Fault::NotModified, "not-modified", Lasts::Minutes),
    (Fault::NeverNotModified, "never-not-modified", Lasts::Minutes),
    (Fault::NotFound, "not-found", Lasts::Minutes),
    (Fault::Forbidden, "forbidden", Lasts::Minutes),
    (Fault::TooManyRequests, "too-many-requests", Lasts::Minutes),
    (Fault::ServerError, "server-error", Lasts::Minutes),
    (Fault::BadGateway, "bad-gateway", Lasts::Minutes),
    (Fault::Unavailable, "unavailable", Lasts::Minutes),
    (Fault::NoContent, "no-content", Lasts::Minutes),
    (Fault::PageInstead, "page-instead", Lasts::Minutes),
    (Fault::CutBody, "cut-body", Lasts::Minutes),
    (Fault::BadGzip, "bad-gzip", Lasts::Minutes),
    (Fault::Drip, "drip", Lasts::Minutes),
    (Fault::EtagChanges, "etag-changes", Lasts::Minutes),
    (Fault::EtagStays, "etag-stays", Lasts::Minutes),
    (Fault::StaleEdge, "stale-edge", Lasts::Minutes),
    (Fault::Stops, "stops", Lasts::RareDays),
    (Fault::Redirect, "redirect", Lasts::Minutes),
    (Fault::Deprecated, "deprecated", Lasts::Minutes),
    (Fault::OldForm, "old-form", Lasts::Days),
    (Fault::RowsRepeated, "rows-repeated", Lasts::Days),
    (Fault::RowsReordered, "rows-reordered", Lasts::Days),
    (Fault::Corrected, "corrected", Lasts::Days),
    (Fault::Nulled, "nulled", Lasts::Days),
    (Fault::Fahrenheit, "fahrenheit", Lasts::Days),
    (Fault::FutureStamps, "future-stamps", Lasts::Days),
    (Fault::PastStamps, "past-stamps", Lasts::Days),
    (Fault::DaysCorrected, "days-corrected", Lasts::Days),
    (Fault::DaysDeleted, "days-deleted", Lasts::Days),
    (Fault::DaysFlagged, "days-flagged", Lasts::Days),
    (Fault::DifferenceSkipped, "difference-skipped", Lasts::RareDays),
    (Fault::DifferenceOfTwoDays, "difference-of-two-days", Lasts::Days),
    (Fault::NewYearMissing, "new-year-missing", Lasts::Days),
    (Fault::GridMoved, "grid-moved", Lasts::Onwards),
    (Fault::GridExpired, "grid-expired", Lasts::Minutes),
    (Fault::MinimumNull, "minimum-null", Lasts::Minutes),
    (Fault::MinimumMissing, "minimum-missing", Lasts::Minutes),
    (Fault::UnknownUnit, "unknown-unit", Lasts::Minutes),
];

impl Fault {
    /// All faults, in a fixed order.
    pub fn all() -> impl Iterator<Item = Fault> {
        FAULTS.iter().map(|(fault, ..)| *fault)
    }

    /// Its name in scripts, such as `cut-body`.
    pub fn name(self) -> &'static str {
        FAULTS.iter().find(|(fault, ..)| *fault == self).map_or("", |(_, name, _)| name)
    }

    /// The fault with a name.
    pub fn named(name: &str) -> Option<Fault> {
        FAULTS.iter().find(|(_, own, _)| *own == name).map(|(fault, ..)| *fault)
    }

    pub(super) fn lasts(self) -> Lasts {
        FAULTS.iter().find(|(fault, ..)| *fault == self).map_or(Lasts::Minutes, |(.., lasts)| *lasts)
    }

    /// Whether it changes the content of a document, not its transfer: such faults count for all paths.
    pub(super) fn is_of_content(self) -> bool {
        self.lasts() == Lasts::Days || matches!(self, Fault::DifferenceSkipped | Fault::GridMoved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own() {
        for fault in Fault::all() {
            assert_eq!(Fault::named(fault.name()), Some(fault));
        }
        assert_eq!(Fault::all().count(), 38);
        assert_eq!(Fault::named("nothing"), None);
    }
}
