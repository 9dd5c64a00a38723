//! Files of any form, packed or not: reading ends, with records, invalid records or an error.

#![no_main]

use std::ops::ControlFlow;
use std::sync::Arc;

use frostline::history::{ReadSettings, read_in};
use libfuzzer_sys::fuzz_target;

const RECORDS_MAX: usize = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a temporary file");
    let mut records = 0;
    let _ = read_in(&ReadSettings::default(), file.path(), Arc::default(), &Arc::default(), &mut |_| {
        records += 1;
        Ok(if records < RECORDS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    });
});
