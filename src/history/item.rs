//! A record of a file, as readers give it.

use std::ops::ControlFlow;

/// A record of a file.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// A by_year line or a JSON document, without the end of line.
    pub text: &'a [u8],
    /// Its line in the file, from 1.
    pub line: u64,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The reason, in a sentence.
    pub reason: String,
}

/// Whether to continue.
pub type Flow = anyhow::Result<ControlFlow<()>>;

/// A record, or an invalid one.
pub type Given<'a> = (Item<'a>, Result<(), Bad>);
