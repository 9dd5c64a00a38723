//! A back-test as one page, for phones and in the dark too: nothing in it comes from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::{Month, RuleStats, Stats};
use super::{Curve, month_name};
use crate::noaa::Date;
use crate::printable::grouped;

/// A curve's picture, in units of its own.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 34.0;
const BOTTOM: f64 = 20.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2530;--dim:#5a6573;--line:#d9dee5;--paper:#fff;--heat:29,95,168;--cold:#1d5fa8;--warm:#b3500c}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#a3adba;--line:#39424e;--paper:#151a21;--heat:90,160,235;--cold:#6db1f5;--warm:#f0a05a}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:46rem;margin:0 auto;padding:1rem}\
h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.15rem;margin:2.5rem 0 .25rem;overflow-wrap:anywhere}\
p{margin:.25rem 0}.dim{color:var(--dim)}code{overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.5rem 1rem;margin:1rem 0}\
dt{color:var(--dim);font-size:.85rem}dd{margin:0;font-size:1.2rem;font-variant-numeric:tabular-nums}\
table.months{border-collapse:separate;border-spacing:2px;width:100%;table-layout:fixed;font-size:.75rem;margin:.75rem 0}\
.months th{font-weight:normal;color:var(--dim);padding:0}.months th:first-child{width:2.2rem;text-align:left}.months td{height:1.5rem;text-align:center;border-radius:3px;padding:0;\
background:rgba(var(--heat),calc(var(--h)*.55));font-variant-numeric:tabular-nums}.months td.none{background:none;box-shadow:inset 0 0 0 1px var(--line)}\
.months td.unread{background:none}figure{margin:.75rem 0}figcaption{color:var(--dim);font-size:.85rem}svg{width:100%;height:auto;display:block}\
svg text{fill:var(--dim);font-size:12px}.grid{stroke:var(--line)}.low{stroke:var(--cold);fill:none;stroke-width:2}\
.high{stroke:var(--warm);fill:none;stroke-width:1.5}.held{fill:rgba(var(--heat),.16)}.cold{color:var(--cold)}.warm{color:var(--warm)}\
table.messages{border-collapse:collapse}.messages td,.messages th{padding:.2rem 1rem .2rem 0;border-bottom:1px solid var(--line);text-align:left;overflow-wrap:anywhere}";

/// What a rule says, for people.
pub struct InWords {
    /// Which stations it watches, with the distance where one was looked for.
    pub place: String,
    /// Its condition, as written.
    pub condition: String,
}

/// See the module's description.
pub struct Page<'a> {
    /// What was read: names of files, or the topic.
    pub inputs: &'a [String],
    /// What was counted.
    pub stats: &'a Stats,
    /// By the id of the rule.
    pub words: &'a BTreeMap<String, InWords>,
    /// By the id of the rule.
    pub curves: &'a BTreeMap<String, Curve>,
}

impl Page<'_> {
    /// As HTML.
    pub fn html(&self) -> String {
        let summary = &self.stats.summary;
        let title = self.title();
        let facts = [
            ("observations", summary.observations),
            ("rules", summary.rules as u64),
            ("fired", summary.fired),
            ("resolved", summary.resolved),
            ("retracted", summary.retracted),
            ("stale", summary.stale),
        ];
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        h1 { (title) }
                        p.dim { "What these rules would have sent, from " (self.inputs.join(", ")) "." }
                        dl { @for (name, count) in facts { div { dt { (name) } dd { (grouped(count)) } } } }
                        @for (id, rule) in self.rows() { (self.rule(id, rule)) }
                        (self.messages())
                    }
                }
            }
        };
        page.into_string()
    }

    fn title(&self) -> String {
        let rules = match self.stats.summary.rules {
            1 => "Back-test of one rule".to_owned(),
            count => format!("Back-test of {count} rules"),
        };
        match self.stats.period {
            Some((first, last)) => format!("{rules}, {first} to {last}"),
            None => rules,
        }
    }

    /// Those that fired most first.
    fn rows(&self) -> Vec<(&String, &RuleStats)> {
        let mut rows: Vec<_> = self.stats.rules.iter().collect();
        rows.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
        rows
    }

    fn rule(&self, id: &str, rule: &RuleStats) -> Markup {
        let mut facts = vec![format!("fired {}", grouped(rule.fired))];
        for (count, word) in
            [(rule.resolved, "resolved"), (rule.retracted, "retracted"), (rule.stale, "stale")]
        {
            if count > 0 {
                facts.push(format!("{word} {}", grouped(count)));
            }
        }
        if rule.stations > 1 {
            facts.push(format!("at {} stations", rule.stations));
        }
        if let Some(longest) = &rule.longest {
            let days = if longest.days == 1 { "day" } else { "days" };
            facts.push(format!(
                "longest {} {days} from {} at {}",
                longest.days, longest.since, longest.station
            ));
        }
        html! {
            section {
                h2 { (id) }
                @if let Some(InWords { place, condition }) = self.words.get(id) {
                    p { code { (condition) } }
                    p.dim { (place) }
                }
                p { (facts.join(" · ")) }
                (self.months(id, rule))
                @if let Some(curve) = self.curves.get(id) { (figure(id, curve)) }
            }
        }
    }

    /// A row for each year, a cell for each month.
    fn months(&self, id: &str, rule: &RuleStats) -> Markup {
        let month = |day: Date| (day.year(), day.month());
        let fired = rule.by_month.keys().copied();
        let (first, last) = match self.stats.period {
            Some((first, last)) => (month(first), month(last)),
            None => fired.clone().min().zip(fired.max()).unwrap_or(((0, 1), (0, 0))),
        };
        let most = rule.by_month.values().max().copied().unwrap_or(1).max(1);
        let cell = |at: Month| match rule.by_month.get(&at) {
            Some(count) => {
                let strength = 0.15 + 0.85 * *count as f64 / most as f64;
                html! { td style=(format!("--h:{strength:.2}")) { (count) } }
            }
            None if (first..=last).contains(&at) => html! { td.none { span hidden { "0" } } },
            None => html! { td.unread {} },
        };
        html! {
            table.months aria-label=(format!("How often {id} fired in each month")) {
                thead { tr { th scope="col" { "year" } @for month in 1..=12 { th scope="col" { (month_name(month)) } } } }
                tbody {
                    @for year in first.0..=last.0 {
                        tr { th scope="row" { (year) } @for month in 1..=12 { (cell((year, month))) } }
                    }
                }
            }
        }
    }

    fn messages(&self) -> Markup {
        let messages = self.stats.messages.iter().filter(|(_, count)| **count > 0);
        html! {
            @if self.stats.messages.values().any(|count| *count > 0) {
                h2 { "Messages" }
                table.messages {
                    thead { tr { th scope="col" { "subscriber" } th scope="col" { "messages" } } }
                    tbody { @for (subscriber, count) in messages { tr { td { (subscriber) } td { (grouped(*count)) } } } }
                }
            }
        }
    }
}

/// A day since 1970 as people write it.
fn date(day: i32) -> String {
    Date::from_days_since_1970(day).map(|date| date.to_string()).unwrap_or_default()
}

/// The curve with its caption.
fn figure(id: &str, curve: &Curve) -> Markup {
    let name = curve.name.as_deref().unwrap_or_default();
    let (from, to) = (date(curve.held.0), date(curve.held.1));
    html! {
        figure {
            (PreEscaped(picture(id, curve)))
            figcaption {
                "The longest time, " (from) " to " (to) " (shaded), at " (curve.station) " " (name) ": "
                span.cold { "lowest" } " and " span.warm { "highest" } " temperature of each day, °C."
            }
        }
    }
}

/// Two lines over days, as SVG.
fn picture(id: &str, curve: &Curve) -> String {
    let degrees = curve.days.values().flat_map(|(low, high)| [*low, *high]).flatten();
    let (mut bottom, mut top) = degrees.fold((0.0_f64, 0.0_f64), |(low, high), c| (low.min(c), high.max(c)));
    (bottom, top) = ((bottom / 5.0).floor() * 5.0, (top / 5.0).ceil().max(bottom / 5.0 + 1.0) * 5.0);
    let shown = curve.shown();
    let (first, last) = (*shown.start(), *shown.end());
    let x = |day: f64| LEFT + (day - f64::from(first)) / f64::from(last - first + 1) * (WIDTH - LEFT);
    let y = |c: f64| 8.0 + (top - c) / (top - bottom) * (HEIGHT - BOTTOM - 8.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Temperatures around the longest time of {}\">",
        super::escape(id)
    );
    let (from, to) = (x(f64::from(curve.held.0)), x(f64::from(curve.held.1.min(last) + 1)));
    // Writing into a string cannot fail.
    let _ = write!(
        svg,
        "<rect class=\"held\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"/>",
        to - from,
        HEIGHT - BOTTOM
    );
    let step = if top - bottom > 30.0 { 10.0 } else { 5.0 };
    let mut c = (bottom / step).ceil() * step;
    while c <= top {
        let at = y(c);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{c:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
        c += step;
    }
    for (class, high) in [("high", true), ("low", false)] {
        let _ = write!(svg, "<path class=\"{class}\" d=\"");
        let mut before = None;
        for (day, (low, highest)) in &curve.days {
            let Some(c) = (if high { *highest } else { *low }) else { continue };
            // A day that is missing interrupts the line.
            let stroke = if before == Some(day - 1) { 'L' } else { 'M' };
            let _ = write!(svg, "{stroke}{:.1} {:.1}", x(f64::from(*day) + 0.5), y(c));
            before = Some(*day);
        }
        svg.push_str("\"/>");
    }
    for (day, anchor) in [(first, "start"), (last, "end")] {
        let at = if anchor == "start" { LEFT } else { WIDTH };
        let date = date(day);
        let _ =
            write!(svg, "<text x=\"{at}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{date}</text>", HEIGHT - 5.0);
    }
    svg.push_str("</svg>");
    svg
}
