//! Panics of a daemon, as lines of its log: the text that Rust prints by itself is none that a program can read.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// Reports each panic from now on as an error in the log; with `RUST_BACKTRACE=1` also the calls that led to it.
pub(super) fn into_log() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    let place = panic.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(thread, place, backtrace, "panic: {text}");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::Parser;
    use serde_json::Value;

    use crate::cli::{Arguments, output};

    #[test]
    #[ignore = "a process of its own, for the next one"]
    fn panics() {
        let arguments = Arguments::parse_from(["frostline", "run", "--log-format", "json"]);
        output::start_log(&arguments.common, "info", true);
        super::into_log();
        let thread = std::thread::Builder::new().name("worker-1".to_owned());
        thread.spawn(|| panic!("no page {}\nhere", 7)).unwrap().join().unwrap_err();
    }

    #[test]
    fn a_panic_is_a_line_of_the_log() {
        let name = module_path!().split_once("::").unwrap().1;
        let arguments = ["--ignored", "--exact", "--nocapture", &format!("{name}::panics")];
        let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let line: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(
            (line["level"].as_str(), line["thread"].as_str()),
            (Some("ERROR"), Some("worker-1")),
            "{line}"
        );
        assert_eq!(line["message"], "panic: no page 7\nhere");
        assert!(line["place"].as_str().unwrap().starts_with("src/cli/panics.rs:"), "{line}");
    }
}
