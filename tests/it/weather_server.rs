//! The imitated weather services as a program: how it begins, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Frostline, Test, http_get, test};

pub fn tests() -> Vec<Test> {
    vec![test("the_weather_server_prints_its_address_and_ends_on_a_signal", &[], address_and_end)]
}

fn address_and_end() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_frostline"))
        .args(["weather-server", "--start", "2026-11-28T12:30:00Z", "--speed", "0", "--stations", "3"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let port = line.trim_end().strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
    let (status, body) = http_get(port, "/pub/data/ghcn/daily/ghcnd-stations.txt", &[]).unwrap();
    assert_eq!((status, body.lines().count()), (200, 3), "{body}");
    let (_, body) = http_get(port, "/control", &[]).unwrap();
    assert!(body.starts_with(r#"{"time":"2026-11-28T12:30:00Z","speed":0.0,"#), "{body}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "the address is the only line");
    for wrong in [["--faults", "rain"], ["--listen", "0.0.0.0:0"], ["--stations", "0"]] {
        Frostline::new().arg("weather-server").args(wrong).run().expect_code(2);
    }
}
