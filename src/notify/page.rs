//! The content of a mail, as plain text and as HTML that every mail program shows: tables, no pictures, no external
//! resources.

use std::fmt::Write;

use maud::{DOCTYPE, Markup, html};

use super::TEST_RULE;
use super::newest::newest_first;
use crate::noaa::{Date, Element, RecentDay};
use crate::rules::{Condition, Feed, Scope, Transition, Units};
use crate::stages::{Message, Notice};

/// Charts are large, so only the first alerts of a message have one.
const CHARTS_MAX: usize = 5;
/// Days of a chart.
const CHART_DAYS: usize = 30;
const CHART_HEIGHT_PX: f64 = 96.0;

/// Why people receive it, and how they change that.
pub(super) struct Footer<'a> {
    pub(super) why: &'a str,
    pub(super) manage_url: &'a str,
    pub(super) unsubscribe: &'a str,
}

/// The content of a mail; see the module's description.
pub(super) struct Page<'a> {
    pub(super) message: &'a Message,
    pub(super) footer: Footer<'a>,
    /// The units that the recipient asked for; otherwise those of each rule.
    pub(super) units: Option<Units>,
    /// The time zone of times in messages; `None`: standard time at each station.
    pub(super) timezone: Option<&'a str>,
    /// The last days of a station, oldest first.
    pub(super) days: &'a dyn Fn(&str) -> Vec<RecentDay>,
}

impl Page<'_> {
    /// The plain text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (index, told) in newest_first(&self.message.notices).into_iter().enumerate() {
            let notice = &told.notice;
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{}\n", notice.message);
            let units = self.units(notice);
            for (name, value) in self.facts(notice) {
                let _ = writeln!(text, "  {name:<10} {value}");
            }
            let days = self.chart_days(index, notice);
            for (name, pick) in [("Minimum", tmin as fn(&RecentDay) -> Option<f64>), ("Maximum", tmax)] {
                if let Some(line) = sparkline(&days, pick, units) {
                    let _ = writeln!(text, "  {name:<10} {line}");
                }
            }
            text.push('\n');
        }
        let Footer { why, manage_url, unsubscribe } = &self.footer;
        let _ = write!(text, "-- \n{why}\n{}\nUnsubscribe: {unsubscribe}\n", how_to_change(manage_url));
        text
    }

    /// The HTML.
    pub(super) fn html(&self) -> String {
        let Footer { why, manage_url, unsubscribe } = &self.footer;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head { meta charset="utf-8"; meta name="viewport" content="width=device-width"; title { "frostline" } }
                body style="margin:0;padding:16px;background:#f3f6f9;color:#16222e;font:15px/1.5 system-ui,Arial,sans-serif" {
                    @for (index, told) in newest_first(&self.message.notices).into_iter().enumerate() {
                        (self.card(&told.notice, &self.chart_days(index, &told.notice)))
                    }
                    p style="max-width:560px;margin:16px auto;color:#5b6b7a;font-size:13px" {
                        (why) br;
                        @if manage_url.is_empty() { (how_to_change("")) }
                        @else { "To change your notifications: " a href=(manage_url) { (manage_url) } }
                        br;
                        a href=(unsubscribe) { "Unsubscribe" }
                    }
                }
            }
        };
        page.into_string()
    }

    fn units(&self, notice: &Notice) -> Units {
        notice.units(self.units).unwrap_or_default()
    }

    /// The facts about an alert, one line each.
    fn facts(&self, notice: &Notice) -> Vec<(&'static str, String)> {
        // It was compiled when the rule was read.
        let feed = Condition::compile(&notice.when, Scope::Observation).map_or(Feed::Day, |when| when.feed());
        let day = match feed {
            Feed::Day => "Day",
            // By the date of the evening.
            Feed::Night => "Night of",
            Feed::Hour => "Day or night of",
        };
        let mut facts = vec![("Station", notice.place()), (day, notice.date.clone())];
        if feed != Feed::Day {
            // Times say so if the place of the station is unknown.
            let is_utc = notice.message.contains(" UTC");
            let station = if is_utc { "UTC" } else { "standard time by the longitude of the station" };
            let zone = self.timezone.unwrap_or(station);
            facts.push(("Times in", zone.to_owned()));
        }
        if !notice.values.is_empty() {
            let values = notice.values.iter().map(|value| in_words(value, self.units(notice)));
            facts.push(("Values", values.collect::<Vec<_>>().join(", ")));
        }
        let mut why = notice.when.clone();
        if let Some(clear) = &notice.clear {
            let _ = write!(why, ", over when {clear}");
        }
        if let Some(days) = notice.days.filter(|days| *days > 1) {
            let _ = write!(why, ", day {days}");
        }
        let is_test = notice.rule_id == TEST_RULE;
        let state = match notice.transition {
            _ if is_test => "a test",
            _ if notice.goes_on() => "not over, the data was corrected",
            transition => state(transition),
        };
        facts.push(("State", state.to_owned()));
        facts.push(("Severity", notice.severity.as_str().to_owned()));
        facts.push(("Rule", format!("{}: {why}", notice.rule_id)));
        facts.push(("Alert", notice.alert_id.clone()));
        facts
    }

    fn card(&self, notice: &Notice, days: &[RecentDay]) -> Markup {
        let units = self.units(notice);
        let edge = match notice.transition {
            Transition::Stale => "#b7791f",
            _ if notice.is_over() => "#5b8c5a",
            _ => "#1f6fb5",
        };
        html! {
            div style=(format!("max-width:560px;margin:0 auto 16px;padding:16px 20px;background:#ffffff;border-radius:8px;border-top:4px solid {edge}")) {
                p style="margin:0 0 12px;font-size:17px;font-weight:600" { (notice.message) }
                table role="presentation" cellpadding="0" cellspacing="0" style="font-size:14px" {
                    @for (name, value) in self.facts(notice) {
                        tr {
                            td style="padding:2px 16px 2px 0;color:#5b6b7a;vertical-align:top" { (name) }
                            td style="padding:2px 0" { (value) }
                        }
                    }
                }
                @if days.len() > 1 { (chart(days, units)) }
            }
        }
    }

    /// Up to the day of the notice; later values belong to other messages.
    fn chart_days(&self, index: usize, notice: &Notice) -> Vec<RecentDay> {
        if index >= CHARTS_MAX {
            return Vec::new();
        }
        let last = Date::parse_iso(&notice.date);
        let mut days = (self.days)(&notice.station);
        days.retain(|day| last.is_none_or(|last| day.date <= last));
        days.split_off(days.len().saturating_sub(CHART_DAYS))
    }
}

/// What an alert says about its event.
fn state(transition: Transition) -> &'static str {
    match transition {
        Transition::Fired => "the condition is met",
        Transition::Resolved => "over",
        Transition::Stale => "unknown, no report from the station",
        Transition::Retracted => "withdrawn, the data was corrected",
        Transition::Expected => "expected, not measured yet",
        Transition::Confirmed => "measured",
        Transition::Averted => "over, it did not come true",
        Transition::Withdrawn => "withdrawn, less likely now",
    }
}

/// `minimum temperature -2.0 °C (TMIN)`
fn in_words(value: &(String, f64), units: Units) -> String {
    let (name, amount) = (&value.0, amount(value, units));
    match Element::parse(name.as_bytes()).and_then(Element::description) {
        Some(description) => format!("{description} {amount} ({name})"),
        None => format!("{name} {amount}"),
    }
}

/// `TMIN -2.0 °C`
pub(super) fn with_unit(value: &(String, f64), units: Units) -> String {
    format!("{} {}", value.0, amount(value, units))
}

fn amount((name, value): &(String, f64), units: Units) -> String {
    let element = Element::parse(name.as_bytes());
    match (element, element.and_then(Element::unit), units) {
        (Some(element), Some(_), Units::Us) => units.measured(element, *value),
        (_, Some(unit), _) => format!("{value} {unit}"),
        _ => value.to_string(),
    }
}

fn how_to_change(manage_url: &str) -> String {
    if manage_url.is_empty() {
        "To change your notifications, reply to this e-mail.".into()
    } else {
        format!("To change your notifications: {manage_url}")
    }
}

fn tmin(day: &RecentDay) -> Option<f64> {
    day.tmin
}

fn tmax(day: &RecentDay) -> Option<f64> {
    day.tmax
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |bounds, value| match bounds {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// A chart of one line, with its bounds.
fn sparkline(days: &[RecentDay], pick: fn(&RecentDay) -> Option<f64>, units: Units) -> Option<String> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = bounds(days.iter().filter_map(pick))?;
    let (first, last) = (days.first()?.date, days.last()?.date);
    let bar =
        |value: f64| BARS[(((value - low) / (high - low).max(0.1)) * 7.0).round().clamp(0.0, 7.0) as usize];
    let line: String = days.iter().map(|day| pick(day).map_or(' ', bar)).collect();
    Some(format!("{line}  {} to {}, {first} to {last}", units.number(low), units.degrees(high)))
}

/// Each day a bar from its lowest to its highest temperature, blue where it froze.
fn chart(days: &[RecentDay], units: Units) -> Markup {
    let values = days.iter().flat_map(|day| [day.tmin, day.tmax]).flatten();
    let (low, high) = bounds(values).unwrap_or_default();
    let px_per_degree = CHART_HEIGHT_PX / (high - low).max(1.0);
    let bar = |day: &RecentDay| {
        let low_of_day = day.tmin.or(day.tmax).unwrap_or(low);
        let high_of_day = day.tmax.unwrap_or(low_of_day).max(low_of_day);
        let above = ((high - high_of_day) * px_per_degree).round();
        let height = ((high_of_day - low_of_day) * px_per_degree).round().max(3.0);
        (above, height, if low_of_day <= 0.0 { "#2f7fd0" } else { "#9db4c8" })
    };
    let (first, last) = (days.first().map(|day| day.date), days.last().map(|day| day.date));
    html! {
        table role="presentation" cellpadding="0" cellspacing="0" style="margin-top:14px;border-collapse:collapse" {
            tr {
                @for day in days {
                    @let (above, height, colour) = bar(day);
                    td style="vertical-align:top;padding:0 1px" title=(title(day, units)) {
                        div style=(format!("height:{above}px;line-height:0;font-size:0")) {}
                        div style=(format!("width:10px;height:{height}px;line-height:0;font-size:0;background:{colour}")) {}
                    }
                }
            }
        }
        p style="margin:4px 0 0;color:#5b6b7a;font-size:12px" {
            "Minimum to maximum temperature of each day, " (units.number(low)) " to " (units.degrees(high))
            @if let (Some(first), Some(last)) = (first, last) { ", " (first) " to " (last) }
            ". Blue: frost."
        }
    }
}

fn title(day: &RecentDay, units: Units) -> String {
    let value = |value: Option<f64>| value.map_or("–".into(), |value| units.degrees(value));
    format!("{}: {} to {}", day.date, value(day.tmin), value(day.tmax))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples::{message, told};

    fn days(_: &str) -> Vec<RecentDay> {
        let day = |n| RecentDay {
            date: Date::new(2016, 2, n).unwrap(),
            tmin: Some(f64::from(n) - 10.0),
            tmax: Some(f64::from(n) + 5.0),
        };
        (1..=28).map(day).collect()
    }

    #[test]
    fn both_forms_say_what_happened_why_and_how_to_change_it() {
        let message = message(vec![told("frost", "<b>&Co"), told("frost-2", "OTHER")]);
        let footer = Footer {
            why: "You receive this because you subscribe to …",
            manage_url: "",
            unsubscribe: "mailto:a@b.c",
        };
        let mut page = Page { message: &message, footer, units: None, timezone: None, days: &days };
        let (text, html) = (page.text(), page.html());
        for form in [&text, &html] {
            for part in [
                "minimum temperature 8.9 °C (TMIN)",
                "frost: TMIN &lt;= 10.0",
                "You receive this",
                "reply to this e-mail",
                "mailto:a@b.c",
            ] {
                assert!(form.contains(part) || form.contains(&part.replace("&lt;", "<")), "{part} in {form}");
            }
        }
        assert!(html.contains("&lt;b&gt;&amp;Co") && !html.contains("<b>&"));
        assert!(text.contains("▁") && text.contains("2016-02-01 to 2016-02-24"), "{text}");
        assert_eq!(html.matches("#2f7fd0").count(), 20, "ten days with frost, twice");
        assert!(!html.contains("2016-02-25"), "days after the alert's are left out");
        page.units = Some(Units::Us);
        let (text, html) = (page.text(), page.html());
        assert!(
            text.contains("minimum temperature 48 °F (TMIN)") && text.contains("16 to 57 °F, 2016-02-01"),
            "{text}"
        );
        assert!(
            html.contains("minimum temperature 48 °F (TMIN)") && html.contains("16 to 84 °F, 2016-02-01"),
            "{html}"
        );
    }
    #[test]
    fn a_mail_about_a_night_says_in_which_time_zone_it_speaks() {
        let mut alert = told("orchard-tonight", "SCOTTSDALE MUNI AP");
        (alert.notice.transition, alert.notice.when) = (Transition::Expected, "chance(-2.0) >= 0.3".into());
        alert.notice.values.clear();
        let message = message(vec![alert]);
        let footer = Footer { why: "", manage_url: "", unsubscribe: "" };
        let mut page = Page { message: &message, footer, units: None, timezone: None, days: &days };
        let text = page.text();
        for line in [
            "Times in   standard time by the longitude of the station\n",
            "Night of   2016-02-24\n",
            "State      expected, not measured yet\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        page.timezone = Some("America/Phoenix");
        assert!(
            page.text().contains("Times in   America/Phoenix\n") && page.html().contains("America/Phoenix")
        );
    }
}
