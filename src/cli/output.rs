//! Output for people and scripts: results on stdout, everything else on stderr, colours only on a terminal.
//!
//! All text for people passes through here and loses characters that would control their terminal: rules, names and
//! reasons come from files and topics.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use frostline_engine::Counter;
use frostline_engine::runtime::Summary;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{Common, journal};
pub(super) use crate::printable::{counted, grouped};
use crate::printable::{printable, printable_json, printable_lines};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// Writes a line to stdout, without colours if it is not a terminal.
pub(super) fn line(text: &str) -> std::io::Result<()> {
    writeln!(anstream::stdout().lock(), "{}", printable_lines(text))
}

/// Writes bytes to stdout unchanged.
pub(super) fn bytes(bytes: &[u8]) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(bytes)
}

/// Writes a value as one line of JSON to stdout.
pub(super) fn json(value: &impl Serialize) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", json_text(value)?)
}

/// A value as one line of JSON, with terminal control characters escaped.
pub(super) fn json_text(value: &impl Serialize) -> std::io::Result<String> {
    Ok(printable_json(&serde_json::to_string(value)?).into_owned())
}

/// Writes a line to stderr, for people.
pub(super) fn note(text: &str) {
    // If stderr is closed, there is nobody to report to.
    let _ = writeln!(anstream::stderr().lock(), "{}", printable_lines(text));
}

/// Prints why the command failed, with each cause.
pub(super) fn error(common: &Common, error: &anyhow::Error) {
    if common.json {
        let _ = json(&serde_json::json!({ "error": format!("{error:#}") }));
    }
    let level = if journal::has_stderr() { journal::prefix(tracing::Level::ERROR) } else { "" };
    note(&format!("{level}{RED}error:{RED:#} {error:#}"));
}

/// Not logged unless `--log` names it.
const QUIET: &str = "actix_http::h1::dispatcher=off";

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Text lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Checks the filter of the log. A word that is not a level would be taken for the name of a module, and nothing else logged.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word && text.parse::<LevelFilter>().is_err() {
        return Err(
            "expected error, warn, info, debug, trace or off, or a filter such as frostline=debug".into()
        );
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Starts logging to stderr, at the level `default` unless the user sets another. The log of a daemon without a
/// terminal is read by programs, so it is JSON.
pub(super) fn start_log(common: &Common, default: &str, is_daemon: bool) {
    // An empty variable is one that is not set.
    let filter = EnvFilter::new(common.log.as_deref().filter(|filter| !filter.is_empty()).unwrap_or(default));
    // One line at ERROR for each request that is not HTTP: anyone who can connect could fill the log.
    let filter = match (common.log.as_deref().unwrap_or_default().contains("actix"), QUIET.parse()) {
        (false, Ok(directive)) => filter.add_directive(directive),
        _ => filter,
    };
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let usual = if is_daemon && !std::io::stderr().is_terminal() { LogFormat::Json } else { LogFormat::Text };
    let format = common.log_format.unwrap_or(usual);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Log { format, is_journal: journal::has_stderr() })
        // With a closed terminal, reporting the failed write would panic.
        .log_internal_errors(false)
        .with_ansi(ansi);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Where the log goes: stderr.
struct Log {
    format: LogFormat,
    is_journal: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        LogWriter { format: self.format, prefix: "" }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LogWriter {
        let prefix = if self.is_journal { journal::prefix(*event.level()) } else { "" };
        LogWriter { format: self.format, prefix }
    }
}

/// Stderr for the log, which arrives in whole lines: its fields may hold text from outside.
struct LogWriter {
    format: LogFormat,
    prefix: &'static str,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let cleaned = match self.format {
            LogFormat::Text => printable_lines(&text),
            LogFormat::Json => printable_json(&text),
        };
        std::io::stderr().lock().write_all(format!("{}{cleaned}", self.prefix).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        std::io::stderr().flush()
    }
}

/// A progress bar on stderr for work of known length; hidden if stderr is not a terminal.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), target());
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A spinner on stderr for work of unknown length.
pub(super) fn spinner() -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target());
    let style = ProgressStyle::with_template("{spinner} {msg}");
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Asks a yes-or-no question on stderr; the answer is no if nobody can answer.
pub(super) fn confirmed(question: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    note(question);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Text from outside as a part of a line: line ends are replaced, too.
pub(super) fn clean(text: &str) -> String {
    printable(text).into_owned()
}

/// Prints the results of a run.
pub(super) fn summary(common: &Common, summary: &Summary) -> std::io::Result<()> {
    if common.json {
        return json(summary);
    }
    let Summary { counts, seconds, .. } = summary;
    let rate = if *seconds > 0.0 { counts[Counter::RECORDS_IN] as f64 / seconds } else { 0.0 };
    for counter in &counts.counters {
        let value = counts[*counter];
        let is_always_shown = [Counter::RECORDS_IN, Counter::DEAD_LETTERS].contains(counter);
        if value == 0 && !is_always_shown {
            continue;
        }
        let remark = match *counter {
            Counter::RECORDS_IN => format!("{} a second", grouped(rate as u64)),
            other => other.meaning().to_owned(),
        };
        let name = counter.name().replace('_', " ");
        line(&format!("{name:>20}  {BOLD}{:>12}{BOLD:#}  {DIM}{remark}{DIM:#}", grouped(value)))?;
    }
    line(&format!("{:>20}  {BOLD}{:>12.1}{BOLD:#}", "seconds", seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_a_mistake() {
        for filter in ["", "warn", "WARN", "off", "frostline=debug", "info,frostline_engine=trace"] {
            assert_eq!(log_filter(filter).as_deref(), Ok(filter));
        }
        for wrong in ["warning", "verbose", "none", "frostline=warning"] {
            assert!(log_filter(wrong).is_err(), "{wrong}");
        }
    }
}
