//! Credentials that change while a daemon runs: tokens that run out, and a password that somebody changes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::secure::{RULES, Secure, frostline, granted, made};
use crate::support::{Needs, Running, Test, test, wait_for};

pub fn tests() -> Vec<Test> {
    vec![test("credentials_change_while_a_daemon_runs", &[Needs::Broker], changes)]
}

const PATIENCE: Duration = Duration::from_secs(90);
/// How long a token is valid. The broker ends a connection whose token has run out.
const LIFETIME_S: u64 = 6;

/// An authorization server that gives tokens to the user frostline; returns its address, and how many it has given.
fn authorization_server(key: PathBuf) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut question, mut buffer) = (stream.unwrap(), String::new(), [0; 4_096]);
            while !question.contains("grant_type=client_credentials") {
                let read = stream.read(&mut buffer).unwrap();
                question.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            // frostline:hunter2
            let is_known =
                question.to_ascii_lowercase().contains("authorization: basic znjvc3rsaw5lomh1bnrlcji=");
            let (status, body) = match is_known {
                true => {
                    ("200 OK", format!(r#"{{"access_token":"{}","expires_in":{LIFETIME_S}}}"#, signed(&key)))
                }
                false => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
            };
            count.fetch_add(usize::from(is_known), Ordering::SeqCst);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    (address, given)
}

/// A token of the user frostline.
fn signed(key: &Path) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let until = now + LIFETIME_S;
    let text = format!(
        "b() {{ base64 -w0 | tr '+/' '-_' | tr -d '='; }}
         t=$(printf %s '{{\"alg\":\"RS256\",\"kid\":\"test\"}}' | b).$(printf %s \
         '{{\"sub\":\"frostline\",\"aud\":\"kafka\",\"iat\":{now},\"exp\":{until}}}' | b)
         printf %s \"$t.$(printf %s \"$t\" | openssl dgst -sha256 -sign '{}' | b)\"",
        key.display()
    );
    let made = Command::new("bash").args(["-c", &text]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

/// Writes a line of that day, and waits until a daemon has made an alert of it.
fn expect_alert(config: &Path, day: usize) {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("USC00020080,201601{day:02},TMIN,-21,,,7,\n");
    std::fs::write(dir.path().join("line.csv"), line).unwrap();
    let replay = ["replay", "line.csv", "--topic", "noaa-csv-raw"];
    frostline(config, &replay).in_dir(dir.path()).run().expect_code(0);
    let alerts = ["tail", "noaa-json-alerts", "--from-beginning", "--until-end", "--json"];
    wait_for("an alert", PATIENCE, || {
        let found = frostline(config, &alerts).run().expect_code(0).json_lines();
        let dates: Vec<String> = found.iter().map(|alert| alert["value"]["date"].to_string()).collect();
        dates.iter().any(|date| date.contains(&format!("2016-01-{day:02}"))).then_some(())
    });
}

fn write_secret(path: &Path, secret: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(secret.as_bytes()).unwrap();
}

fn changes() {
    let secure = Secure::start();
    granted(&secure);
    let by_password = secure.file("frostline.toml");
    made(&by_password);

    let secret = secure.file("client.secret");
    write_secret(&secret, "hunter2");
    let (endpoint, given) = authorization_server(secure.file("token.key"));
    let brokers = secure.read("frostline.toml");
    let brokers = brokers.lines().find(|line| line.starts_with("brokers = ")).unwrap();
    let by_token = secure.file("token.toml");
    let text = format!(
        "[kafka]\n{brokers}\n[kafka.client]\n\"security.protocol\" = \"SASL_SSL\"\n\
         \"ssl.ca.location\" = \"{}\"\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n\"sasl.oauthbearer.method\" = \"oidc\"\n\
         \"sasl.oauthbearer.token.endpoint.url\" = \"{endpoint}\"\n\"sasl.oauthbearer.client.id\" = \"frostline\"\n\
         \"sasl.oauthbearer.client.secret\" = \"${{file:{}}}\"\n",
        secure.file("ca.pem").display(),
        secret.display()
    );
    std::fs::write(&by_token, text).unwrap();

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.toml"), RULES).unwrap();
    let daemon = |config: &Path| {
        let run = ["run", "--stages", "assemble,enrich,filter,alert", "--set", "filter.where=true"];
        frostline(config, &run).in_dir(dir.path()).start()
    };
    let mut running = daemon(&by_token);
    expect_alert(&by_token, 1);
    let before = given.load(Ordering::SeqCst);
    wait_for("new tokens", PATIENCE, || (given.load(Ordering::SeqCst) >= before + 3).then_some(()));
    expect_alert(&by_token, 2);
    assert!(running.is_running());
    running.signal("TERM");
    running.wait().expect_code(0);

    write_secret(&secret, "hunter3");
    let refused = frostline(&by_token, &["topics", "describe"]).run();
    assert!(
        refused.code == Some(1) && refused.err.contains("401 Unauthorized (invalid_client)"),
        "{refused}"
    );
    assert!(!refused.err.contains("hunter3"), "{refused}");

    let mut running = daemon(&by_password);
    expect_alert(&by_password, 3);
    secure.shell(
        "java -cp \"$LIBS\" kafka.admin.ConfigCommand --bootstrap-server $BROKERS --command-config $ADMIN \
         --alter --entity-type users --entity-name frostline --add-config 'SCRAM-SHA-512=[password=hunter4]'",
    );
    write_secret(&secure.file("frostline.password"), "hunter4");
    // Connections that exist stay; new ones need the new password.
    secure.restart();
    expect_alert(&by_password, 4);
    assert!(running.is_running());
    running.signal("TERM");
    let ended = running.wait().expect_code(0);
    assert!(ended.err.contains("has changed on disk"), "{ended}");
    certificates(&secure, &daemon);
}

/// A daemon that is known by its certificate gets another one of the same user, and then one of somebody who may do
/// nothing, which shows that it is used.
fn certificates(secure: &Secure, daemon: &dyn Fn(&Path) -> Running) {
    let replace = |user: &str| {
        secure.user(user);
        for end in ["key", "pem"] {
            let new = secure.file("own.new");
            std::fs::copy(secure.file(&format!("{user}.{end}")), &new).unwrap();
            std::fs::rename(new, secure.file(&format!("own.{end}"))).unwrap();
        }
    };
    let config = secure.user("own");
    replace("frostline");
    let mut running = daemon(&config);
    expect_alert(&config, 5);
    replace("frostline");
    running.until_said("beginning again with the new ones");
    expect_alert(&config, 6);
    assert!(running.is_running());
    replace("stranger");
    let ended = running.wait();
    assert!(ended.code == Some(2) && ended.err.contains("kafka-acls"), "{ended}");
}
