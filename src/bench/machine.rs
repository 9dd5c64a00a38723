//! The machine of a measurement. Figures mean little without it.

use serde::Serialize;

/// A description of the machine, from `/proc`.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The model of the CPU.
    pub processor: String,
    /// How many threads can run at the same time.
    pub cores: usize,
    /// Main memory.
    pub memory_bytes: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The load average of the last minute before the measurement. The broker contributes to it.
    pub load: String,
    /// frostline's version.
    pub frostline: &'static str,
    /// The version of the client library.
    pub librdkafka: String,
}

pub(super) fn describe() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let kilobytes = field(&meminfo, "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
    Machine {
        processor: field(&cpuinfo, "model name"),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_bytes: kilobytes * 1024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        frostline: env!("CARGO_PKG_VERSION"),
        librdkafka: frostline_engine::kafka::client_version(),
    }
}
