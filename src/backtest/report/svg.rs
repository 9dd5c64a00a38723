//! What was counted, as one picture: rules and months.

use std::fmt::Write;

use super::super::{Month, RuleStats, Stats};
use super::{escape, month_name, months_between};

/// Most rules in a picture: those that fire most.
const ROWS_MAX: usize = 100;
const ROW_PIXELS: usize = 22;
const CELL_PIXELS: usize = 30;
const NAME_PIXELS: usize = 260;
const TOP_PIXELS: usize = 60;

/// A picture of how often each rule fired in each month.
pub struct Picture<'a> {
    stats: &'a Stats,
}

impl<'a> Picture<'a> {
    /// Of these figures.
    pub fn new(stats: &'a Stats) -> Self {
        Self { stats }
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        let rows = self.rows();
        let months = self.months();
        let most = rows.iter().flat_map(|(_, rule)| rule.by_month.values()).max().copied().unwrap_or(1);
        let (width, height) = (
            (NAME_PIXELS + CELL_PIXELS * months.len() + 80).max(480),
            TOP_PIXELS + ROW_PIXELS * rows.len() + 20,
        );
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n\
             <title>How often each rule would have fired, by month</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for (column, (year, month)) in months.iter().enumerate() {
            let x = NAME_PIXELS + CELL_PIXELS * column + CELL_PIXELS / 2;
            if column == 0 || *month == 1 {
                let _ = writeln!(
                    svg,
                    "<text x=\"{x}\" y=\"24\" text-anchor=\"middle\" fill=\"#555\">{year}</text>"
                );
            }
            let name = month_name(*month);
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"44\" text-anchor=\"middle\" fill=\"#555\">{name}</text>");
        }
        for (row, (id, rule)) in rows.iter().enumerate() {
            let y = TOP_PIXELS + ROW_PIXELS * row;
            let (text_y, name_x) = (y + 15, NAME_PIXELS - 10);
            let _ = writeln!(
                svg,
                "<text x=\"{name_x}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>",
                escape(id)
            );
            for (column, month) in months.iter().enumerate() {
                let Some(count) = rule.by_month.get(month) else { continue };
                let x = NAME_PIXELS + CELL_PIXELS * column;
                let strength = 0.15 + 0.85 * *count as f64 / most as f64;
                let colour = if strength > 0.6 { "#fff" } else { "#222" };
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"3\" fill=\"#1d5fa8\" fill-opacity=\"{strength:.2}\"/>\
                     <text x=\"{}\" y=\"{text_y}\" text-anchor=\"middle\" fill=\"{colour}\">{count}</text>",
                    CELL_PIXELS - 2,
                    ROW_PIXELS - 2,
                    x + CELL_PIXELS / 2 - 1
                );
            }
            let x = NAME_PIXELS + CELL_PIXELS * months.len() + 10;
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{text_y}\" font-weight=\"bold\">{}</text>", rule.fired);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Every month from the first that was read to the last, also those in which no rule fired.
    fn months(&self) -> Vec<Month> {
        let read = self.stats.period.map(|(first, last)| [first, last].map(|day| (day.year(), day.month())));
        let fired = self.stats.rules.values().flat_map(|rule| rule.by_month.keys().copied());
        let all: Vec<Month> = fired.chain(read.into_iter().flatten()).collect();
        let (first, last) = (all.iter().min(), all.iter().max());
        first.zip(last).map(|(first, last)| months_between(*first, *last).collect()).unwrap_or_default()
    }

    fn rows(&self) -> Vec<(&'a str, &'a RuleStats)> {
        let mut rows: Vec<(&str, &RuleStats)> =
            self.stats.rules.iter().map(|(id, rule)| (id.as_str(), rule)).collect();
        rows.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
        rows.truncate(ROWS_MAX);
        rows
    }
}
