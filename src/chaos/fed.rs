//! A record of the input, and where it goes.

/// The source topic of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// GHCN lines, for assemble.
    Lines,
    /// JSON records, for enrich.
    Json,
    /// Hourly observations, for outlook.
    Hourly,
}

/// One record to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fed {
    pub(super) source: Source,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}
