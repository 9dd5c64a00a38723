//! The content of the screen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use serde_json::Value;

use super::super::output;
use super::{HEADINGS, Heard, alert_line, cells, source_line, text, uptime};

/// A stage lags if its records are older than this, in seconds.
const LAG_SECONDS: f64 = 10.0;

/// Draws as much as there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, heard: &Heard) {
    let rows = u16::try_from(heard.stages.len()).unwrap_or(u16::MAX);
    let sources_height = if heard.sources.is_empty() { 0 } else { heard.sources.len() + 2 };
    let [head, stages, partitions, sources, alerts, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows.saturating_add(3)),
        Constraint::Length(rows.saturating_add(2)),
        Constraint::Length(u16::try_from(sources_height).unwrap_or(u16::MAX)),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, heard);
    draw_stages(frame, stages, heard);
    draw_partitions(frame, partitions, heard);
    draw_sources(frame, sources, heard);
    draw_alerts(frame, alerts, heard);
    let foot_line = match &heard.silence {
        Some((reason, since)) => {
            let reason = output::clean(reason);
            Line::from(format!("no answer for {} s: {reason}", since.elapsed().as_secs())).red()
        }
        None => Line::from("q ends").dim(),
    };
    frame.render_widget(foot_line, foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let status = &heard.status;
    let is_ready = status["is_ready"].as_bool().unwrap_or(false);
    let ready = if is_ready { Span::from("ready").green() } else { Span::from("not ready").red() };
    let reasons: Vec<&str> =
        status["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let rest = format!(
        "  {}  up {}  {}",
        text(status, "guarantee").replace('_', " "),
        uptime(status),
        output::clean(&reasons.join(", "))
    );
    let name = Span::from(format!("frostline {}  ", text(status, "version"))).bold();
    frame.render_widget(Line::from(vec![name, ready, Span::from(rest)]), area);
}

fn draw_stages(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let rows = heard.stages.iter().map(|stage| {
        let is_late = stage["lag_seconds"].as_f64().is_some_and(|seconds| seconds > LAG_SECONDS);
        let style = if is_late { Style::new().fg(Color::Yellow) } else { Style::new() };
        Row::new(cells(stage).map(Cell::from)).style(style)
    });
    let widths = [10, 11, 11, 8, 14, 24, 12].map(Constraint::Length);
    let head = Row::new(HEADINGS).style(Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(
        Table::new(rows, widths).header(head).block(Block::bordered().title("pipeline")),
        area,
    );
}

/// A square for each partition: green runs, yellow lags, blue is being restored.
fn draw_partitions(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let lines: Vec<Line<'_>> = heard
        .stages
        .iter()
        .map(|stage| {
            let name = format!("{:<10}", text(stage, "stage"));
            let own = heard.partitions.iter().filter(|partition| partition["stage"] == stage["stage"]);
            let squares = own.map(|partition| {
                let is_late = partition["lag_seconds"].as_f64().is_some_and(|seconds| seconds > LAG_SECONDS);
                let colour = match partition["phase"].as_str() {
                    Some("restoring") => Color::Blue,
                    _ if is_late => Color::Yellow,
                    _ => Color::Green,
                };
                Span::from("■ ").fg(colour)
            });
            Line::from(std::iter::once(Span::from(name)).chain(squares).collect::<Vec<_>>())
        })
        .collect();
    let title = "partitions: green runs, yellow lags, blue is being restored";
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

fn draw_sources(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let lines = heard.sources.iter().map(|source| {
        let (line, is_wrong) = source_line(source);
        if is_wrong { Line::from(line).yellow() } else { Line::from(line) }
    });
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("sources")), area);
}

fn draw_alerts(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let lines: Vec<Line<'_>> = heard.alerts.iter().map(|record| Line::from(alert_line(record))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("newest alerts")), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use std::time::Instant;

    use super::super::Heard;
    use super::*;

    #[test]
    fn what_was_heard_is_on_the_screen() {
        let heard = Heard {
            status: json!({ "version": "0.1.0", "is_ready": false, "reasons": ["2 partitions are being restored"],
                            "guarantee": "exactly_once", "now_ms": 70_000, "started_at_ms": 10_000 }),
            stages: vec![json!({ "stage": "alert", "records_per_second": 12_345.6, "lag_records": 1_000,
                "lag_seconds": 12.5, "written": "alerts", "counts": { "records_in": 5_000, "alerts": 7, "dead_letters": 2 } })],
            partitions: vec![
                json!({ "stage": "alert", "phase": "running", "lag_seconds": 0.0 }),
                json!({ "stage": "alert", "phase": "restoring" }),
            ],
            alerts: vec![
                json!({ "alert": { "transition": "fired", "rule_id": "frost", "message": "TMIN\u{1b}[31m" } }),
            ],
            sources: vec![
                json!({ "source": "metar", "phase": "failing", "records": 12, "age_seconds": 7_300, "is_late": true,
                "failure": "aviationweather.gov answers 503" }),
            ],
            silence: Some(("nobody answers".into(), Instant::now())),
        };
        let mut terminal = Terminal::new(TestBackend::new(110, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &heard)).unwrap();
        let screen: String = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
        for part in [
            "frostline 0.1.0",
            "not ready",
            "2 partitions",
            "12,346",
            "1,000",
            "12.5",
            "7 alerts",
            "■ ■",
            "frost",
            "nobody answers",
            "2 h old  LATE",
            "answers 503",
        ] {
            assert!(screen.contains(part), "{part} in {screen}");
        }
        assert!(!screen.contains('\u{1b}'));
        // Too small for all of it is no reason to fail.
        let mut tiny = Terminal::new(TestBackend::new(10, 3)).unwrap();
        tiny.draw(|frame| draw(frame, &heard)).unwrap();
    }
}
