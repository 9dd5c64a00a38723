//! Runs commands of the documentation as somebody would who reads it, but on the broker of the tests, on free ports, and with
//! imitated weather services.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::references::root;
use crate::support::{Frostline, HttpServer, Running, Topics, broker, data, free_port, wait_for};

/// Longest time that the commands of one block may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a daemon that is started in the foreground works before it is ended.
const WORKS_SECONDS: u32 = 2;
/// A rule file for pages that have none of their own.
const RULES: &str = "[[rule]]\nid = \"frost\"\nstation = \"USC00027716\"\nwhen = \"TMIN <= 0.0\"\n";

/// Files of NOAA as the pages call them, and their extracts.
const FILES: [(&str, &str); 6] = [
    ("ghcnd-stations.txt", "stations.txt.gz"),
    ("ghcnd-countries.txt", "countries.txt"),
    ("ghcnd-states.txt", "states.txt"),
    ("2016.csv.gz", "2016.csv.gz"),
    ("KEWR-2013.csv.gz", "newark-2013.csv.gz"),
    ("KPDX-2014.csv.gz", "portland-2014.csv.gz"),
];
/// The program as readers call it. A daemon in the foreground is ended when it works, as by Ctrl-C; whoever applies, resets,
/// grows or deletes says yes.
const PROGRAM: &str = r#"#!/usr/bin/env bash
set -u
more=()
if grep -qs '^\[follow' frostline.toml; then
  more+=(--set follow.allow_private=true --set follow.request_interval_seconds=0)
  more+=(--set "follow.stations.url=$SERVICES/pub/data/ghcn/daily")
  more+=(--set "follow.stations.hourly_url=$SERVICES/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv")
  ! grep -qs '^\[follow.metar\]' frostline.toml ||
    more+=(--set "follow.metar.url=$SERVICES" --set follow.metar.interval_seconds=1)
  ! grep -qs '^\[follow.ghcn\]' frostline.toml || more+=(--set "follow.ghcn.url=$SERVICES/pub/data/ghcn/daily")
  ! grep -qs '^\[follow.forecast\]' frostline.toml ||
    more+=(--set "follow.forecast.nws_url=$SERVICES" --set "follow.forecast.met_norway_url=$SERVICES")
fi
! grep -qs '^\[notify.ntfy\]' frostline.toml || more+=(--set "notify.ntfy.url=$NTFY" --set notify.ntfy.allow_private=true)
case " $* " in *" rules apply "* | *" reset "* | *" topics grow "* | *" topics delete "*)
  case " $* " in *" --yes "* | *" --dry-run "*) ;; *) more+=(--yes) ;; esac ;;
esac
[ "${FOREGROUND:-}" ] || exec "$FROSTLINE_PROGRAM" "$@" "${more[@]}"
unset FOREGROUND
log=$(mktemp)
"$FROSTLINE_PROGRAM" "$@" "${more[@]}" 2>"$log" &
for _ in $(seq 600); do
  grep -qw running "$log" && break
  kill -0 $! 2>/dev/null || break
  sleep 0.1
done
sleep "$WORKS_SECONDS"
kill -TERM $! 2>/dev/null
wait $!
code=$?
cat "$log" >&2
exit $code
"#;

/// Files that are fetched are there already. Everything else is asked for as it stands.
const CURL: &str = r#"#!/usr/bin/env bash
case "$*" in *ncei.noaa.gov*) ;; *) PATH=$REAL_PATH exec curl "$@" ;; esac
for argument in "$@"; do
  case $argument in http*) [ -e "$(basename "$argument")" ] || { echo "no extract of $argument" >&2; exit 1; } ;; esac
done
"#;

/// What readers do for themselves and tests have done already.
const NOTHING: &str = "#!/bin/sh\nexit 0\n";

/// Somebody who reads a page and does what it says, in one folder.
pub struct Reader {
    page: String,
    dir: TempDir,
    topics: Option<Topics>,
    services: Option<(Running, u16)>,
    ntfy: Option<HttpServer>,
    /// In place of 8080, and of 2525.
    ports: [u16; 2],
    is_prepared: [bool; 2],
}

impl Reader {
    pub fn new(page: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, extract) in FILES {
            fs::copy(data(&format!("extract/{extract}")), dir.path().join(name)).unwrap();
        }
        symlink(root().join("examples"), dir.path().join("examples")).unwrap();
        let program = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        program(".bin/frostline", PROGRAM);
        program(".bin/curl", CURL);
        program(".bin/cargo", NOTHING);
        program("scripts/kafka", NOTHING);
        let mail_server = root().join("scripts/mail-server");
        program("scripts/mail-server", &format!("#!/bin/sh\nexec {} \"$@\"\n", mail_server.display()));
        Self {
            page: page.to_owned(),
            dir,
            topics: None,
            services: None,
            ntfy: None,
            ports: [free_port(), free_port()],
            is_prepared: [false; 2],
        }
    }

    /// Writes a file that the page shows.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.dir.path().join(name), self.with_ports(content)).unwrap();
    }

    fn with_ports(&self, text: &str) -> String {
        let [http, mail] = self.ports.map(|port| port.to_string());
        text.replace("8080", &http).replace("2525", &mail)
    }

    /// Runs the commands of a block.
    pub fn run(&mut self, needs: &[String], block: &str) {
        let serves = needs.iter().any(|need| need == "http");
        if needs.iter().any(|need| ["broker", "topics", "stations", "services"].contains(&need.as_str())) {
            self.topics.get_or_insert_with(Topics::unmade);
        }
        needs.iter().for_each(|need| self.prepare(need));
        let script = self.script(block);
        let started = Instant::now();
        let (out, is_success) = self.bash(&script, serves);
        assert!(is_success, "{}: in {:?}\n{script}\n--- printed\n{out}", self.page, started.elapsed());
    }

    fn prepare(&mut self, need: &str) {
        let [has_topics, has_stations] = self.is_prepared;
        match need {
            "broker" | "http" | "mail" => {}
            // As in an empty folder.
            "fresh" => ["frostline.toml", "rules.toml"].iter().for_each(|name| {
                let _ = fs::remove_file(self.dir.path().join(name));
            }),
            "rules" => {
                let path = self.dir.path().join("rules.toml");
                if !path.exists() {
                    fs::write(path, RULES).unwrap();
                }
            }
            "topics" if !has_topics => self.set_up("frostline topics create", 0),
            "stations" if !has_stations => {
                self.prepare("topics");
                let files = "--countries ghcnd-countries.txt --states ghcnd-states.txt";
                self.set_up(&format!("frostline stations import ghcnd-stations.txt {files}"), 1);
            }
            "services" if self.services.is_none() => self.start_services(),
            "topics" | "stations" | "services" => {}
            other => panic!("{}: <!-- run: {other} --> is not known here", self.page),
        }
    }

    fn set_up(&mut self, command: &str, index: usize) {
        let (out, is_success) = self.bash(command, false);
        assert!(is_success, "{command}\n{out}");
        self.is_prepared[index] = true;
    }

    fn start_services(&mut self) {
        let port = free_port();
        let server = Frostline::new()
            .args(["weather-server", "--listen", &format!("127.0.0.1:{port}"), "--seed", "7", "--speed", "1"])
            .start();
        wait_for("the weather server", PATIENCE, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        self.services = Some((server, port));
        self.ntfy = Some(HttpServer::start());
    }

    /// The commands, where they must wait for what they started in the background, and where a daemon must end.
    fn script(&self, block: &str) -> String {
        let mut script = String::new();
        for line in self.with_ports(block).lines() {
            let command = line.split(" #").next().unwrap_or_default().trim_end();
            let is_daemon = command.starts_with("frostline run") && !command.contains("--until-caught-up");
            let is_behind = command.ends_with(" &");
            if is_daemon && !is_behind {
                script.push_str("FOREGROUND=1 ");
            }
            script.push_str(line);
            script.push('\n');
            if is_behind {
                let port = self.ports[usize::from(!is_daemon)];
                script.push_str(&format!("answers {port}\n"));
            }
        }
        script
    }

    /// Runs a script; returns what it printed, and whether it ended with 0.
    fn bash(&self, script: &str, serves: bool) -> (String, bool) {
        let dir = self.dir.path();
        let answers = "answers() {\n  [ \"$1\" != \"$UNUSED\" ] || return 0\n  for _ in $(seq 600); do\n    \
                       (exec 3<>\"/dev/tcp/127.0.0.1/$1\") 2>/dev/null && return\n    sleep 0.1\n  done\n}\n";
        let path = std::env::var("PATH").unwrap();
        let services = self.services.as_ref().map_or(0, |(_, port)| *port);
        let log = dir.join(".log");
        let printed = fs::File::create(&log).unwrap();
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FROSTLINE_")) {
            command.env_remove(name);
        }
        let [http, _] = self.ports;
        let listen = if serves { format!("127.0.0.1:{http}") } else { String::new() };
        command
            .args(["-c", &format!("set -euo pipefail -m\n{answers}{script}")])
            .current_dir(dir)
            .env("PATH", format!("{}:{path}", dir.join(".bin").display()))
            .env("REAL_PATH", &path)
            .env("FROSTLINE_PROGRAM", env!("CARGO_BIN_EXE_frostline"))
            // A broker under all other tests may take longer than ten seconds to answer.
            .env("FROSTLINE_RUNTIME_TRANSACTION_TIMEOUT_MS", "60000")
            .env("FROSTLINE_ADMIN_LISTEN", listen)
            .env("UNUSED", if serves { String::new() } else { http.to_string() })
            .env("SERVICES", format!("http://127.0.0.1:{services}"))
            .env("NTFY", self.ntfy.as_ref().map(|server| server.url("")).unwrap_or_default())
            .env("WORKS_SECONDS", WORKS_SECONDS.to_string())
            .stdin(Stdio::null())
            .stdout(printed.try_clone().unwrap())
            .stderr(printed);
        if let Some(topics) = &self.topics {
            command.env("FROSTLINE_KAFKA_BROKERS", broker());
            command.env("FROSTLINE_KAFKA_NAMESPACE", &topics.namespace);
        }
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        (fs::read_to_string(&log).unwrap(), status.is_some_and(|status| status.success()))
    }
}
