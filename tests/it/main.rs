//! The integration tests: one binary, one broker.
//!
//! A test that lacks its broker or its data is listed as ignored, with the reason; with
//! `FROSTLINE_REQUIRE_ALL=1` it fails instead. Unit tests are beside the code.

// Tests may unwrap and print: a failed unwrap is a failed test.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

mod accessibility;
mod admin;
mod backtest;
mod bad_input;
mod bench;
mod chaos;
mod circles;
mod commands;
mod contracts;
mod coordinator;
mod credentials;
mod dead_letters;
mod doc_run;
mod docs;
mod ending;
mod engine;
mod evening;
mod exactly_once;
mod follow;
mod follow_month;
mod generate;
mod goldens;
mod group_protocol;
mod growth;
mod history;
mod hourly;
mod layers;
mod live_rules;
mod lost_brokers;
mod notify;
mod older;
mod page;
mod page_tonight;
mod pipeline;
mod rebalance;
mod references;
mod reset;
mod rest;
mod rule_changes;
mod rules;
mod secure;
mod settings_reference;
mod simulation;
mod sources;
mod stale_state;
mod state;
mod supply;
mod support;
mod tidy;
mod tonight;
mod too_large;
mod topology;
mod weather_server;
mod words;

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Needs, Test};

/// With `FROSTLINE_TEST_TIMES=FILE`, adds how long a test took.
fn note_time(name: &str, time: std::time::Duration) {
    use std::io::Write;
    let Some(path) = std::env::var_os("FROSTLINE_TEST_TIMES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let line = format!("{:8.1} {name}\n", time.as_secs_f64());
    file.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
}

/// All tests: those that take long and wait most of the time first.
fn all_tests() -> Vec<Test> {
    [
        chaos::long_tests(),
        layers::tests(),
        references::tests(),
        tidy::tests(),
        words::tests(),
        tonight::tests(),
        topology::tests(),
        goldens::tests(),
        group_protocol::tests(),
        growth::tests(),
        secure::tests(),
        credentials::tests(),
        coordinator::tests(),
        simulation::tests(),
        commands::tests(),
        contracts::tests(),
        docs::tests(),
        chaos::all_faults(),
        dead_letters::tests(),
        ending::tests(),
        engine::tests(),
        generate::tests(),
        admin::tests(),
        backtest::tests(),
        bad_input::tests(),
        too_large::tests(),
        history::tests(),
        hourly::tests(),
        live_rules::tests(),
        pipeline::tests(),
        rule_changes::tests(),
        rules::tests(),
        notify::tests(),
        older::tests(),
        evening::tests(),
        page::tests(),
        bench::tests(),
        rebalance::tests(),
        reset::tests(),
        rest::tests(),
        exactly_once::tests(),
        follow_month::tests(),
        lost_brokers::tests(),
        stale_state::tests(),
        sources::tests(),
        follow::tests(),
        state::tests(),
        supply::tests(),
        weather_server::tests(),
        chaos::tests(),
        circles::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first of the test's needs that is not there.
fn missing(test: &Test) -> Option<String> {
    test.needs.iter().find_map(Needs::missing)
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Most of them wait most of the time: for brokers, sessions, processes.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.test_threads.get_or_insert(4 * cores);
    let tests = all_tests();
    let require_all = std::env::var_os("FROSTLINE_REQUIRE_ALL").is_some_and(|value| value == "1");
    let is_listing = arguments.list;
    let mut trials = Vec::new();
    for test in tests {
        // What a test lacks is installed or started, unless it is left out anyway.
        let is_run = !is_listing && arguments.filter.as_ref().is_none_or(|filter| test.name.contains(filter));
        let is_left_out = test.needs.contains(&Needs::Soak) && Needs::Soak.missing().is_some();
        // Where all is required, that happens while others run.
        let lacks = if is_run && (is_left_out || !require_all) { missing(&test) } else { None };
        let trial = match lacks {
            Some(reason) => {
                eprintln!("ignored: {}: {reason}", test.name);
                Trial::test(test.name, || Ok(())).with_ignored_flag(true)
            }
            None => Trial::test(test.name, move || {
                if let Some(reason) = missing(&test) {
                    return Err(Failed::from(format!("needed and missing: {reason}")));
                }
                let begun = std::time::Instant::now();
                (test.run)();
                note_time(test.name, begun.elapsed());
                Ok(())
            }),
        };
        trials.push(trial);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    support::stop_broker();
    conclusion.exit();
}
