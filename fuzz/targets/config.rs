//! Configuration files: accepted, or refused with a place and a sentence.

#![no_main]

use frostline::config::{Overrides, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("a temporary file");
    let overrides = Overrides { file: Some(file.path().to_owned()), ..Overrides::default() };
    if let Err(error) = load(&overrides, std::iter::empty()) {
        assert!(!error.to_string().is_empty());
    }
});
