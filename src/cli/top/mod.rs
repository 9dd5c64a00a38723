//! `frostline top`: shows a running daemon in the terminal, through its admin API.

mod screen;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::Value;

use super::output::{BOLD, DIM};
use super::signals::Signals;
use super::{Common, Failed, output};
use crate::config::SecretText;

const EXAMPLES: &str = "\
Examples:
  frostline top                                       the daemon at admin.listen of the configuration
  frostline top --url http://10.0.0.7:8080            another daemon; admin.token is sent if it is set
  frostline top --once                                print it once, as text
  frostline top --once --json

Press q or Ctrl-C to end.";

/// How often the daemon is polled.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often keys are read.
const KEY_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most alerts on the screen.
const ALERTS: usize = 50;

/// Show a running daemon: stages, partitions, lag, newest alerts
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArguments {
    /// Poll the daemon at this admin address [default: http:// and admin.listen]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print the status once, and end
    #[arg(long)]
    once: bool,
}

/// The last answers.
#[derive(Default)]
struct Heard {
    status: Value,
    stages: Vec<Value>,
    partitions: Vec<Value>,
    alerts: Vec<Value>,
    /// The sources that the daemon polls.
    sources: Vec<Value>,
    /// Why there was no new answer, and since when.
    silence: Option<(String, Instant)>,
}

struct Daemon {
    client: reqwest::Client,
    url: String,
    token: SecretText,
}

pub(super) async fn top(common: &Common, arguments: &TopArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let token = config.admin.token.resolve();
    let token = token.map_err(|reason| Failed::Usage(anyhow::anyhow!("admin.token: {reason}")))?;
    // Another part of the process may have chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
    let client = client.map_err(|error| Failed::Working(error.into()))?;
    let mut url = arguments.url.clone().unwrap_or_else(|| config.admin.listen.clone());
    if !url.contains("://") {
        url.insert_str(0, "http://");
    }
    let daemon = Daemon { client, url: url.trim_end_matches('/').to_owned(), token };
    let mut heard = Heard::default();
    daemon.hear(&mut heard).await?;
    if arguments.once {
        return print(common, &heard);
    }
    if !std::io::stdout().is_terminal() {
        return Err(Failed::Usage(anyhow::anyhow!("stdout is not a terminal: use --once to print text")));
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
        heard.sources = list("sources").await?;
        heard.silence = None;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, Failed> {
        let failed = |what: String| Failed::Working(anyhow::anyhow!("{}: {what}", self.url));
        let mut request = self.client.get(format!("{}/api/v1/{path}", self.url));
        if !self.token.is_empty() {
            request = request.bearer_auth(self.token.as_str());
        }
        let answer = request.send().await.map_err(|error| {
            let reason = if error.is_connect() { "connection refused".to_owned() } else { error.to_string() };
            failed(format!("{reason}: check that a daemon runs with this admin.listen"))
        })?;
        match answer.status().as_u16() {
            200 => {}
            401 => return Err(failed("it requires a token: set admin.token".into())),
            status => return Err(failed(format!("it answers {status}: check that it is frostline"))),
        }
        let text = answer.text().await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text)
            .map_err(|_| failed("its answer is not JSON: check that it is frostline".into()))
    }
}

/// Draws until the user ends it. Keeps trying while the daemon is away.
async fn show(daemon: &Daemon, heard: &mut Heard, terminal: &mut DefaultTerminal) -> Result<(), Failed> {
    loop {
        terminal.draw(|frame| screen::draw(frame, heard))?;
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
                        terminal.draw(|frame| screen::draw(frame, heard))?;
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
    span(u64::try_from(ms / 1_000).unwrap_or(0))
}

/// A duration in the largest unit of which there are at least two.
fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The cells of a stage's row, without its partitions.
fn cells(stage: &Value) -> [String; 7] {
    let counts = &stage["counts"];
    let rate = stage["records_per_second"].as_f64().unwrap_or(0.0).round() as u64;
    let lag_seconds = stage["lag_seconds"].as_f64();
    let what = stage["written"].as_str().unwrap_or_default();
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

fn alert_line(record: &Value) -> String {
    let alert = &record["alert"];
    format!("{:<9} {:<24} {}", text(alert, "transition"), text(alert, "rule_id"), text(alert, "message"))
}

/// A source in one line, and whether something is wrong with it.
fn source_line(source: &Value) -> (String, bool) {
    let age = source["age_seconds"].as_u64();
    let age =
        age.map_or_else(|| "no data yet".to_owned(), |seconds| format!("newest data {} old", span(seconds)));
    let is_late = source["is_late"] == true;
    let late = if is_late { "  LATE" } else { "" };
    let reason =
        [&source["failure"], &source["remark"]].into_iter().find_map(Value::as_str).unwrap_or_default();
    let line = format!(
        "{:<10} {:<8} {age}{late}  {} records  {}",
        text(source, "source"),
        text(source, "phase"),
        number(source, "records"),
        output::clean(reason)
    );
    (line, is_late || source["failure"].is_string())
}

fn print(common: &Common, heard: &Heard) -> Result<(), Failed> {
    if common.json {
        return Ok(output::json(&serde_json::json!({
            "status": heard.status, "stages": heard.stages, "partitions": heard.partitions, "sources": heard.sources,
            "alerts": heard.alerts,
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
    heard.sources.iter().try_for_each(|source| output::line(&source_line(source).0))?;
    Ok(heard.alerts.iter().take(10).try_for_each(|record| output::line(&alert_line(record)))?)
}
