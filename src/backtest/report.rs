//! The counts as a picture, and the differences between two sets of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;

use super::{Month, RuleStats, Stats};

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
    /// A picture of these figures.
    pub fn new(stats: &'a Stats) -> Self {
        Self { stats }
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        let rows = self.rows();
        let months: BTreeSet<Month> =
            rows.iter().flat_map(|(_, rule)| rule.by_month.keys().copied()).collect();
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

    /// As a complete page.
    pub fn html(&self) -> String {
        let summary = &self.stats.summary;
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Backtest</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<style>body{{font:14px system-ui,sans-serif;\
             margin:2em;max-width:80em}}table{{border-collapse:collapse}}td,th{{padding:.2em .8em;text-align:right;\
             border-bottom:1px solid #ddd}}td:first-child,th:first-child{{text-align:left}}div{{overflow-x:auto}}</style>\
             </head><body>\n<h1>Backtest</h1>\n<p>{} rules over {} observations: {} fired, {} resolved, {} retracted, \
             {} stale.</p>\n<div>{}</div>\n<h2>Rules</h2>\n<table><tr><th>rule</th><th>fired</th><th>resolved</th>\
             <th>retracted</th><th>stale</th><th>stations</th><th>longest</th></tr>\n",
            summary.rules,
            summary.observations,
            summary.fired,
            summary.resolved,
            summary.retracted,
            summary.stale,
            self.svg()
        );
        for (id, rule) in &self.stats.rules {
            let longest = rule.longest.as_ref().map_or_else(String::new, |longest| {
                format!("{} days from {} at {}", longest.days, longest.since, escape(&longest.station))
            });
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{longest}</td></tr>",
                escape(id),
                rule.fired,
                rule.resolved,
                rule.retracted,
                rule.stale,
                rule.stations
            );
        }
        html.push_str("</table>\n<h2>Messages</h2>\n<table><tr><th>subscriber</th><th>messages</th></tr>\n");
        for (subscriber, count) in &self.stats.messages {
            let _ = writeln!(html, "<tr><td>{}</td><td>{count}</td></tr>", escape(subscriber));
        }
        html.push_str("</table>\n</body></html>\n");
        html
    }

    fn rows(&self) -> Vec<(&'a str, &'a RuleStats)> {
        let mut rows: Vec<(&str, &RuleStats)> =
            self.stats.rules.iter().map(|(id, rule)| (id.as_str(), rule)).collect();
        rows.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
        rows.truncate(ROWS_MAX);
        rows
    }
}

fn month_name(month: u8) -> &'static str {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or("")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How a rule's figures differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The rule is only in the new set.
    Added,
    /// It is only in the old one.
    Removed,
    /// Its alerts differ.
    Changed,
}

/// The alerts of one rule under the old set and the new one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The rule.
    pub rule: String,
    /// In which way it differs.
    pub change: Change,
    /// Alerts `fired` before.
    pub fired_before: u64,
    /// Alerts `fired` now.
    pub fired: u64,
    /// Alerts of all kinds that exist only now.
    pub gained: usize,
    /// Alerts of all kinds that existed only before.
    pub lost: usize,
}

impl Difference {
    /// All differences between two runs, by the ids of their alerts.
    pub fn between(
        before: &Stats,
        now: &Stats,
        ids_before: &BTreeSet<String>,
        ids: &BTreeSet<String>,
    ) -> Vec<Self> {
        let by_rule = |ids: &mut dyn Iterator<Item = &String>| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for id in ids {
                *counts.entry(id.split('/').next().unwrap_or_default().to_owned()).or_default() += 1;
            }
            counts
        };
        let gained = by_rule(&mut ids.difference(ids_before));
        let lost = by_rule(&mut ids_before.difference(ids));
        let rules: BTreeSet<&String> = before.rules.keys().chain(now.rules.keys()).collect();
        rules
            .into_iter()
            .filter_map(|rule| {
                let (old, new) = (before.rules.get(rule), now.rules.get(rule));
                let count = |counts: &BTreeMap<String, usize>| counts.get(rule).copied().unwrap_or(0);
                let (gained, lost) = (count(&gained), count(&lost));
                let change = match (old, new) {
                    (None, _) => Change::Added,
                    (_, None) => Change::Removed,
                    _ if gained + lost > 0 => Change::Changed,
                    _ => return None,
                };
                let fired = |stats: Option<&RuleStats>| stats.map_or(0, |stats| stats.fired);
                let (fired_before, fired) = (fired(old), fired(new));
                Some(Self { rule: rule.clone(), change, fired_before, fired, gained, lost })
            })
            .collect()
    }
}
