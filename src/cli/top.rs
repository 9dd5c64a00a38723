//! `frostline top`: a running daemon in the terminal, by its admin API.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use serde_json::Value;

use super::output::{BOLD, DIM};
use super::signals::Signals;
use super::{Common, Failed, output};
use crate::config::resolve_secret;

const EXAMPLES: &str = "\
Examples:
  frostline top                                       the daemon at admin.listen of the configuration
  frostline top --url http://10.0.0.7:8080            another one; admin.token is sent, if it is set
  frostline top --once                                print it once, as text
  frostline top --once --json

Keys: q or Ctrl-C ends.";

/// How often the daemon is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often keys are looked at.
const KEY_INTERVAL: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A stage that is older than this, in seconds, lags.
const LAG_SECONDS: f64 = 10.0;
/// Alerts that are shown.
const ALERTS: usize = 50;

/// Watch a running daemon: stages, partitions, lag, newest alerts
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArguments {
    /// The daemon's admin address [default: http:// and admin.listen]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print it once and end
    #[arg(long)]
    once: bool,
}

/// What was heard last.
#[derive(Default)]
struct Heard {
    status: Value,
    stages: Vec<Value>,
    partitions: Vec<Value>,
    alerts: Vec<Value>,
    /// Why nothing new was heard, and since when.
    silence: Option<(String, Instant)>,
}

struct Daemon {
    client: reqwest::Client,
    url: String,
    token: String,
}

pub(super) async fn top(common: &Common, arguments: &TopArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let token = resolve_secret(&config.admin.token)
        .map_err(|reason| Failed::Usage(anyhow::anyhow!("admin.token: {reason}")))?;
    // Another part of the process may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
    let client = client.map_err(|error| Failed::Working(error.into()))?;
    let url = arguments.url.clone().unwrap_or_else(|| format!("http://{}", config.admin.listen));
    let daemon = Daemon { client, url: url.trim_end_matches('/').to_owned(), token };
    let mut heard = Heard::default();
    daemon.hear(&mut heard).await?;
    if arguments.once {
        return print(common, &heard);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failed::Usage(anyhow::anyhow!("stdout is no terminal: --once prints it as text")));
    }
    let mut signals = Signals::listen()?;
    let mut terminal = ratatui::init();
    let shown = tokio::select! {
        shown = show(&daemon, &mut heard, &mut terminal) => shown,
        signal = signals.next() => Err(Failed::Interrupted(signal)),
    };
    ratatui::restore();
    shown
}

impl Daemon {
    async fn hear(&self, heard: &mut Heard) -> Result<(), Failed> {
        heard.status = self.get("status").await?;
        let list = async |path: &str| -> Result<Vec<Value>, Failed> {
            Ok(self.get(path).await?.as_array().cloned().unwrap_or_default())
        };
        heard.stages = list("stages").await?;
        heard.partitions = list("partitions").await?;
        heard.alerts = list(&format!("alerts?limit={ALERTS}")).await?;
        heard.silence = None;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, Failed> {
        let failed = |what: String| Failed::Working(anyhow::anyhow!("{}: {what}", self.url));
        let mut request = self.client.get(format!("{}/api/v1/{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        let answer = request.send().await.map_err(|error| {
            let reason =
                if error.is_connect() { "nobody answers there".to_owned() } else { error.to_string() };
            failed(format!("{reason}: is a daemon running, with this admin.listen?"))
        })?;
        match answer.status().as_u16() {
            200 => {}
            401 => return Err(failed("it asks for a token: set admin.token".into())),
            status => return Err(failed(format!("it answers {status}: is it frostline?"))),
        }
        let text = answer.text().await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|_| failed("its answer is no JSON: is it frostline?".into()))
    }
}

/// Draws until somebody ends it. A daemon that is away is waited for.
async fn show(daemon: &Daemon, heard: &mut Heard, terminal: &mut DefaultTerminal) -> Result<(), Failed> {
    loop {
        terminal.draw(|frame| draw(frame, heard))?;
        let asked = Instant::now();
        while asked.elapsed() < INTERVAL {
            tokio::time::sleep(KEY_INTERVAL).await;
            while event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if key.kind == KeyEventKind::Press => {
                        let is_interrupt =
                            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                        if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                            return Ok(());
                        }
                    }
                    Event::Resize(..) => {
                        terminal.draw(|frame| draw(frame, heard))?;
                    }
                    _ => {}
                }
            }
        }
        if let Err(Failed::Working(error)) = daemon.hear(heard).await {
            let since = heard.silence.take().map_or_else(Instant::now, |(_, since)| since);
            heard.silence = Some((format!("{error:#}"), since));
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::String(text) => output::clean(text),
        Value::Null => "–".into(),
        other => other.to_string(),
    }
}

fn number(value: &Value, name: &str) -> String {
    value[name].as_u64().map_or_else(|| "–".into(), output::grouped)
}

fn uptime(status: &Value) -> String {
    let ms = status["now_ms"].as_i64().unwrap_or(0) - status["started_at_ms"].as_i64().unwrap_or(0);
    let seconds = u64::try_from(ms / 1_000).unwrap_or(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// What a stage has written, by the count that is its own.
fn written(stage: &Value) -> &'static str {
    match stage["stage"].as_str() {
        Some("assemble" | "enrich") => "observations",
        Some("filter") => "kept",
        Some("alert") => "alerts",
        Some("notify") => "notices",
        _ => "sent",
    }
}

/// The cells of a stage's row, partitions aside.
fn cells(stage: &Value) -> [String; 7] {
    let counts = &stage["counts"];
    let rate = stage["records_per_second"].as_f64().unwrap_or(0.0).round() as u64;
    let lag_seconds = stage["lag_seconds"].as_f64();
    let what = written(stage);
    [
        text(stage, "stage"),
        output::grouped(rate),
        number(stage, "lag_records"),
        lag_seconds.map_or_else(|| "–".into(), |seconds| format!("{seconds:.1}")),
        number(counts, "records_in"),
        format!("{} {what}", number(counts, what)),
        number(counts, "dead_letters"),
    ]
}

const HEADINGS: [&str; 7] = ["stage", "records/s", "lag", "lag s", "records in", "written", "dead letters"];

fn draw(frame: &mut Frame<'_>, heard: &Heard) {
    let rows = u16::try_from(heard.stages.len()).unwrap_or(u16::MAX);
    let [head, stages, partitions, alerts, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows.saturating_add(3)),
        Constraint::Length(rows.saturating_add(2)),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, heard);
    draw_stages(frame, stages, heard);
    draw_partitions(frame, partitions, heard);
    draw_alerts(frame, alerts, heard);
    let foot_line = match &heard.silence {
        Some((reason, since)) => {
            Line::from(format!("silent for {} s: {reason}", since.elapsed().as_secs())).red()
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

fn draw_alerts(frame: &mut Frame<'_>, area: Rect, heard: &Heard) {
    let lines: Vec<Line<'_>> = heard.alerts.iter().map(|record| Line::from(alert_line(record))).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("newest alerts")), area);
}

fn alert_line(record: &Value) -> String {
    let alert = &record["alert"];
    format!("{:<9} {:<24} {}", text(alert, "transition"), text(alert, "rule_id"), text(alert, "message"))
}

fn print(common: &Common, heard: &Heard) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&serde_json::json!({
            "status": heard.status, "stages": heard.stages, "partitions": heard.partitions, "alerts": heard.alerts,
        }))?);
    }
    let status = &heard.status;
    let ready = if status["is_ready"] == true { "ready" } else { "not ready" };
    output::line(&format!(
        "{BOLD}frostline {}{BOLD:#}  {ready}  up {}",
        text(status, "version"),
        uptime(status)
    ))?;
    let row = |cells: [String; 7]| {
        let [stage, rate, lag, seconds, read, written, dead] = cells;
        format!("{stage:<10}{rate:>11}{lag:>11}{seconds:>8}{read:>14}{written:>24}{dead:>14}")
    };
    output::line(&format!("{DIM}{}{DIM:#}", row(HEADINGS.map(str::to_owned))))?;
    heard.stages.iter().try_for_each(|stage| output::line(&row(cells(stage))))?;
    Ok(heard.alerts.iter().take(10).try_for_each(|record| output::line(&alert_line(record)))?)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_heard_is_on_the_screen() {
        let heard = Heard {
            status: json!({ "version": "0.1.0", "is_ready": false, "reasons": ["2 partitions are being restored"],
                            "guarantee": "exactly_once", "now_ms": 70_000, "started_at_ms": 10_000 }),
            stages: vec![json!({ "stage": "alert", "records_per_second": 12_345.6, "lag_records": 1_000,
                "lag_seconds": 12.5, "counts": { "records_in": 5_000, "alerts": 7, "dead_letters": 2 } })],
            partitions: vec![
                json!({ "stage": "alert", "phase": "running", "lag_seconds": 0.0 }),
                json!({ "stage": "alert", "phase": "restoring" }),
            ],
            alerts: vec![
                json!({ "alert": { "transition": "fired", "rule_id": "frost", "message": "TMIN\u{1b}[31m" } }),
            ],
            silence: Some(("nobody answers".into(), Instant::now())),
        };
        let mut terminal = Terminal::new(TestBackend::new(110, 20)).unwrap();
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
        ] {
            assert!(screen.contains(part), "{part} in {screen}");
        }
        assert!(!screen.contains('\u{1b}'));
        // Too small for all of it is no reason to fail.
        let mut tiny = Terminal::new(TestBackend::new(10, 3)).unwrap();
        tiny.draw(|frame| draw(frame, &heard)).unwrap();
    }
}
