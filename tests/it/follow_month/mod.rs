//! Weeks of simulated time with every fault of the imitated services, and `kill -9` of the process that polls them.
//!
//! The pollers and the client are the real ones, with their usual distances of a minute; only their clock is simulated. What
//! they emit is compared with the world of the server. `FROSTLINE_FOLLOW_DAYS` sets the simulated days of a run, and
//! `FROSTLINE_FOLLOW_SEEDS` the number of runs (2):
//! `FROSTLINE_FOLLOW_DAYS=30 FROSTLINE_FOLLOW_SEEDS=5 cargo test --test it -- a_month_of_faults --nocapture`.

mod daily;
mod downstream;
mod faultless;
mod follower;
mod forecasts;
mod large;
mod metars;
mod nights;
mod service;

use crate::support::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test("a_month_of_faults_for_metars", &[], || each_seed(metars::run)),
        test("a_month_of_faults_for_daily_differences", &[], || each_seed(daily::run)),
        test("a_month_of_faults_for_forecasts", &[], || each_seed(forecasts::run)),
        test("a_large_world_file", &[], large::run),
    ]
}

/// How many days have faults.
fn days(usual: i64) -> i64 {
    number("FROSTLINE_FOLLOW_DAYS", usual)
}

fn each_seed(run: fn(u64)) {
    for seed in 1..=number("FROSTLINE_FOLLOW_SEEDS", 2).unsigned_abs() {
        // The client draws its pauses on this thread.
        fastrand::seed(seed);
        run(seed);
    }
}

fn number(name: &str, usual: i64) -> i64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number of days or seeds"))
}
