//! Alerts reach people: through a real mail server, an HTTP server that checks what it gets, and a real Alertmanager.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use frostline::noaa::Date;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use crate::support::{
    Alertmanager, Doing, Frostline, HttpServer, MailServer, Needs, Request, Running, Test, Topics, free_port,
    http_get, test, wait_for,
};

const BROKER: &[Needs] = &[Needs::Broker];
const MAIL: &[Needs] = &[Needs::Broker, Needs::MailServer];
const ALERTMANAGER: &[Needs] = &[Needs::Broker, Needs::Alertmanager];
const PATIENCE: Duration = Duration::from_secs(60);

pub fn tests() -> Vec<Test> {
    vec![
        test("an_alert_becomes_a_mail_with_both_parts_a_chart_and_a_thread", MAIL, mail),
        test("a_mail_server_that_refuses_hangs_up_or_is_away_loses_nothing", MAIL, mail_faults),
        test("a_silent_mail_server_is_reported_and_the_daemon_ends_in_good_order", BROKER, silent),
        test("sms_and_webhooks_are_signed_and_have_keys", BROKER, sms_and_webhooks),
        test("alertmanager_shows_an_alert_and_its_end", ALERTMANAGER, alertmanager),
        test("a_notifier_that_is_killed_fifty_times_tells_each_alert", BROKER, killed),
        test("a_dead_server_does_not_delay_others", BROKER, dead_server),
        test("a_restart_in_good_order_sends_nothing_twice", BROKER, restart),
        test("many_alerts_to_many_subscribers", BROKER, many),
        test("notify_test_says_what_the_servers_answer", MAIL, notify_test),
        test("chats_and_phones_are_reached_and_their_secrets_stay_inside", &[], chats),
        test("nobody_is_told_of_history", BROKER, history),
        test("mistakes_in_channels_are_found_before_anything_starts", &[], mistakes),
    ]
}

/// A folder with a configuration and a rule file.
fn folder(config: &str, rules: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("frostline.toml"), config).unwrap();
    std::fs::write(dir.path().join("rules.toml"), rules).unwrap();
    dir
}

/// Alerts of 2016 are sent, at once, and what fails is soon tried again.
const SOON: &str = "[runtime]\ncommit_interval_ms = 20\n[notify]\nmax_age_days = 100000\ngroup_wait_ms = 200\nper_hour = 10000\n\
                    retry_first_ms = 100\nretry_max_ms = 1000\ntimeout_ms = 2000\n";

fn email(server: &MailServer, more: &str) -> String {
    format!(
        "[notify.email]\nserver = \"localhost:{}\"\nca = \"{}\"\nfrom = \"Frostwächter <frost@example.org>\"\n\
         user = \"frost\"\npassword = \"dew\"\n{more}\n",
        server.port,
        server.ca().display()
    )
}

fn webhook(name: &str, server: &HttpServer) -> String {
    let url = server.url(&format!("/{name}"));
    format!("[notify.webhooks.{name}]\nurl = \"{url}\"\nsecret = \"dew\"\nallow_private = true\n")
}

fn subscriber(id: &str, rest: &str) -> String {
    format!("[[subscriber]]\nid = \"{id}\"\n{rest}\n")
}

fn notifier(topics: &Topics, dir: &TempDir) -> Frostline {
    topics.frostline().args(["run", "--stages", "notify,deliver"]).in_dir(dir.path()).patience(PATIENCE)
}

/// An alert as the alert stage writes it.
fn alert(number: usize, subscribers: &[String]) -> (String, String) {
    let station = format!("USC{:08}", number % 1_000);
    let value = json!({
        "station": { "id": station, "name": "S" }, "date": "2016-02-24T00:00:00", "TMIN": -1.5,
        "alert_id": format!("frost/{station}/{number}/fired"), "rule_id": "frost", "transition": "fired",
        "when": "TMIN <= 0.0", "message": format!("TMIN -1.5 °C, number {number}"), "subscribers": subscribers,
    });
    (station, value.to_string())
}

fn send_alerts(topics: &Topics, alerts: &[(String, String)]) {
    let records: Vec<_> =
        alerts.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    topics.send("noaa-json-alerts", &records);
}

fn keys(requests: &[Request]) -> BTreeSet<String> {
    requests.iter().map(|request| request.header("idempotency-key").to_owned()).collect()
}

/// Ends a notifier in good order.
fn end(notifier: Running) -> Value {
    notifier.signal("TERM");
    let outcome = notifier.wait().expect_code(0);
    for secret in ["dew", "@example.org", "+1555"] {
        assert!(!outcome.err.contains(secret) && !outcome.out.contains(secret), "{secret}\n{outcome}");
    }
    json!({ "out": outcome.out, "err": outcome.err })
}

/// Of a day of 2016, counted from 1.
fn observation(day: i32, tmin: f64) -> String {
    let date = Date::from_days_since_1970(16_800 + day).unwrap();
    let tmax = tmin + 14.0;
    format!(
        r#"{{"station":{{"id":"USW00003192","name":"SCOTTSDALE <MUNI> & CO","state_code":"AZ"}},"date":"{date}","TMIN":{tmin:?},"TMAX":{tmax:?}}}"#,
    )
}

/// Each line of a multipart's part, decoded from quoted-printable.
fn part(mail: &str, content_type: &str) -> String {
    let start = mail.find(&format!("Content-Type: {content_type}")).expect(content_type);
    let boundary = mail.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let end = format!("\r\n--{boundary}");
    let body = mail[start..].split_once("\r\n\r\n").unwrap().1.split(&end).next().unwrap();
    let (mut bytes, text) = (Vec::new(), body.replace("=\r\n", ""));
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first == b'=' && more.len() >= 2 {
            let code = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn mail() {
    let (server, topics) = (MailServer::start(), Topics::create());
    let config = "[alert]\nsource = \"noaa-json\"\n".to_owned() + SOON + &email(&server, "");
    let rules = subscriber("anna", "name = \"Änna Grünfrost\"\nemail = \"anna@example.org\"")
        + "[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 3.0\"\n\
           subscribers = [\"anna\"]\n";
    let dir = folder(&config, &rules);
    let port = free_port();
    let daemon = topics.frostline().args(["run", "--stages", "alert,notify,deliver"]).in_dir(dir.path());
    let daemon = daemon.env("FROSTLINE_ADMIN_LISTEN", &format!("127.0.0.1:{port}")).start();
    let send = |days: std::ops::RangeInclusive<i32>, tmin: f64| {
        let values: Vec<String> = days.map(|day| observation(day, tmin + f64::from(day) / 100.0)).collect();
        let records: Vec<_> =
            values.iter().map(|value| (Some(&b"USW00003192"[..]), Some(value.as_bytes()))).collect();
        topics.send("noaa-json", &records);
    };
    send(1..=40, 5.0);
    // The mail's chart is of the days that the daemon has read for it.
    wait_for("forty days", Duration::from_secs(30), || {
        let (_, body) = http_get(port, "/api/v1/stations/USW00003192/observations", &[])?;
        let found: Value = serde_json::from_str(&body).ok()?;
        let days = found["days"].as_array()?;
        (days.len() >= 30 && days.iter().any(|day| day["date"] == "2016-02-09")).then_some(())
    });
    send(41..=41, -2.0);
    let fired = server.wait_for_mails(1).remove(0);
    send(42..=42, 6.0);
    let resolved = server.wait_for_mails(2).remove(1);
    assert_eq!(fired.to, "anna@example.org");
    assert!(
        fired.header("To").contains("<anna@example.org>") && fired.header("To").contains("=?utf-8?"),
        "{}",
        fired.text
    );
    assert!(fired.header("From").contains("<frost@example.org>"));
    assert_eq!(fired.header("List-Unsubscribe"), "<mailto:frost@example.org?subject=unsubscribe>");
    assert_eq!(fired.header("Auto-Submitted"), "auto-generated");
    assert_eq!(fired.header("Frostline-Alerts"), "frost/USW00003192/2016-02-10/fired");
    assert!(!fired.header("Date").is_empty());
    let id = fired.header("Message-ID");
    assert!(id.starts_with('<') && id.ends_with("@example.org>"), "{id}");
    assert_eq!((resolved.header("In-Reply-To"), resolved.header("References")), (id.clone(), id.clone()));
    assert_ne!(resolved.header("Message-ID"), id);
    let (text, html) = (part(&fired.text, "text/plain"), part(&fired.text, "text/html"));
    for expected in [
        "minimum temperature -1.59 °C (TMIN)",
        "maximum temperature 12.41 °C (TMAX)",
        "SCOTTSDALE <MUNI> & CO (USW00003192)",
        "▁",
        "reply to this e-mail",
        "anna",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(html.contains("SCOTTSDALE &lt;MUNI&gt; &amp; CO") && !html.contains("<MUNI>"), "{html}");
    // Thirty days are a bar each, and only the last of them froze.
    assert_eq!(html.matches("width:10px").count(), 30, "{html}");
    assert_eq!(html.matches("#2f7fd0").count(), 1);
    assert!(part(&resolved.text, "text/plain").contains("over"), "{}", resolved.text);
    end(daemon);
    let outcomes = topics.values("noaa-deliveries");
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "sent" && outcome["attempts"] == 1));
    assert!(outcomes[0]["answer"].as_str().unwrap().starts_with("250 2.0.0 kept"), "{outcomes:?}");
    // Nobody's address is in any record.
    for topic in ["noaa-notices", "noaa-deliveries", "frostline-deliver-changelog", "noaa-json-alerts"] {
        assert!(!format!("{:?}", topics.records(topic)).contains("anna@"), "{topic}");
    }
}

fn mail_faults() {
    let (mut server, topics) = (MailServer::start(), Topics::create());
    let config = SOON.to_owned() + &email(&server, "");
    let rules: String =
        (0..8).map(|n| subscriber(&format!("s{n}"), &format!("email = \"s{n}@example.org\""))).collect();
    let dir = folder(&config, &rules);
    let notifier = notifier(&topics, &dir).start();
    let tell = |number: usize| send_alerts(&topics, &[alert(number, &[format!("s{number}")])]);
    let dead = |count| {
        wait_for("dead letters", PATIENCE, || {
            Some(topics.records("noaa-dead-letters")).filter(|dead| dead.len() >= count)
        })
    };
    // For a while later: nothing arrives, then it does.
    server.mode("451");
    tell(0);
    std::thread::sleep(Duration::from_secs(1));
    assert!(server.mails().is_empty());
    server.mode("ok");
    assert_eq!(server.wait_for_mails(1)[0].to, "s0@example.org");
    // Never: a dead letter at once, whose reason does not repeat the address that the server repeats.
    server.mode("550");
    tell(1);
    let refused = dead(1);
    let reason = refused[0]["headers"]["frostline-reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("email to subscriber/s1") && reason.contains("no such user"), "{reason}");
    assert!(!reason.contains("s1@example.org"), "{reason}");
    // It took the mail and hung up: nobody can know, so it comes again as the same message.
    server.mode("drop");
    tell(2);
    server.wait_for_mails(2);
    server.mode("ok");
    let mails = server.wait_for_mails(3);
    wait_for("the outcome", PATIENCE, || {
        Some(topics.values("noaa-deliveries")).filter(|outcomes| outcomes.len() == 3)
    });
    let mails: Vec<_> = mails.iter().filter(|mail| mail.to == "s2@example.org").collect();
    let ids: BTreeSet<String> = mails.iter().map(|mail| mail.header("Message-ID")).collect();
    assert!(mails.len() >= 2 && ids.len() == 1, "{} mails, ids {ids:?}", mails.len());
    // Slower than we wait.
    server.mode("slow");
    tell(3);
    wait_for("a slow mail", PATIENCE, || {
        server.mails().iter().find(|mail| mail.to == "s3@example.org").map(drop)
    });
    server.mode("ok");
    // Away for several attempts, and back.
    server.down();
    (4..8).for_each(tell);
    std::thread::sleep(Duration::from_secs(20));
    server.up();
    // Its circuit may have just been opened for a minute.
    wait_for("all outcomes", 2 * PATIENCE, || {
        Some(topics.values("noaa-deliveries")).filter(|outcomes| outcomes.len() == 8)
    });
    let told: BTreeSet<String> = server.mails().into_iter().map(|mail| mail.to).collect();
    let expected: BTreeSet<String> =
        [0, 2, 3, 4, 5, 6, 7].iter().map(|n| format!("s{n}@example.org")).collect();
    assert_eq!(told, expected);
    let by_alert: BTreeMap<String, String> = server
        .mails()
        .iter()
        .map(|mail| (mail.header("Message-ID"), mail.header("Frostline-Alerts")))
        .collect();
    assert_eq!(by_alert.len(), 7, "one id for each alert: {by_alert:?}");
    end(notifier);
    assert_eq!(dead(1).len(), 1);
}

fn silent() {
    // It accepts connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "{}[notify.email]\nserver = \"{}\"\ntls = \"none\"\nfrom = \"frost@example.org\"\n",
        SOON.replace("timeout_ms = 2000", "timeout_ms = 500"),
        listener.local_addr().unwrap()
    );
    let topics = Topics::create();
    let dir = folder(&config, &subscriber("anna", "email = \"anna@example.org\""));
    let notifier = notifier(&topics, &dir).start();
    send_alerts(&topics, &[alert(1, &["anna".to_owned()])]);
    // The second attempt of the same message: the first one has ended.
    let first = listener.accept().unwrap();
    let second = listener.accept().unwrap();
    let said = end(notifier);
    let err = said["err"].as_str().unwrap();
    assert!(err.contains("fell silent at the greeting"), "{err}");
    assert!(!err.contains("panicked"), "{err}");
    drop((first, second));
    assert!(topics.values("noaa-deliveries").is_empty() && topics.records("noaa-dead-letters").is_empty());
}

fn sms_and_webhooks() {
    let (server, topics) = (HttpServer::start(), Topics::create());
    let sms = format!(
        "[notify.sms]\nurl = \"{}\"\nuser = \"AC1\"\npassword = \"token\"\nfrom = \"+15550000000\"\nallow_private = true\n",
        server.url("/2010-04-01/Accounts/AC1/Messages.json")
    );
    let rules = subscriber("bob", "phone = \"+15551234567\"") + &subscriber("barn", "webhook = \"barn\"");
    let dir = folder(&(SOON.to_owned() + &sms + &webhook("barn", &server)), &rules);
    let notifier = notifier(&topics, &dir).start();
    let both = ["bob".to_owned(), "barn".to_owned()];
    send_alerts(&topics, &[alert(1, &both), alert(2, &both)]);
    let count =
        |path: &str| server.requests().iter().filter(|request| request.path.starts_with(path)).count();
    wait_for("an SMS and two calls", PATIENCE, || (count("/2010") >= 1 && count("/barn") >= 2).then_some(()));
    wait_for("outcomes", PATIENCE, || (topics.values("noaa-deliveries").len() >= 3).then_some(()));
    let requests = server.requests();
    let sms: Vec<&Request> = requests.iter().filter(|request| request.path.starts_with("/2010")).collect();
    // AC1:token
    assert_eq!(sms[0].header("authorization"), "Basic QUMxOnRva2Vu");
    assert_eq!(sms[0].header("content-type"), "application/x-www-form-urlencoded");
    assert!(sms[0].body.starts_with("To=%2B15551234567&From=%2B15550000000&Body="), "{}", sms[0].body);
    // Both alerts within the wait are one message, unless the stages were slower than that.
    let words = sms.iter().map(|request| request.body.matches("number").count()).sum::<usize>();
    assert_eq!(words, 2, "{sms:?}");
    let calls: Vec<Request> = requests.iter().filter(|request| request.path == "/barn").cloned().collect();
    assert_eq!(
        keys(&calls),
        ["frost/USC00000001/1/fired", "frost/USC00000002/2/fired"].map(str::to_owned).into()
    );
    for call in &calls {
        let time = call.header("frostline-timestamp");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"dew").unwrap();
        mac.update(format!("{time}.{}", call.body).as_bytes());
        let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(call.header("frostline-signature"), format!("v1={expected}"));
        let body: Value = serde_json::from_str(&call.body).unwrap();
        assert_eq!(body["alert"]["alert_id"], call.header("idempotency-key"));
        assert_eq!(body["alert"]["values"], json!([["TMIN", -1.5]]));
    }
    // It takes the call and hangs up; then it fails; then it works: the same key each time.
    for doing in [Doing::Drop, Doing::Answer(503), Doing::Answer(302), Doing::Answer(429)] {
        server.doing(doing);
        let before = server.count();
        if doing == Doing::Drop {
            send_alerts(&topics, &[alert(3, &both[1..])]);
        }
        wait_for("another try", PATIENCE, || (server.count() > before).then_some(()));
    }
    server.doing(Doing::Answer(200));
    wait_for("the outcome", PATIENCE, || (topics.values("noaa-deliveries").len() >= 4).then_some(()));
    assert_eq!(keys(&server.requests().split_off(requests.len())).len(), 1);
    server.doing(Doing::Answer(400));
    send_alerts(&topics, &[alert(4, &both[1..])]);
    wait_for("a refusal", PATIENCE, || (topics.records("noaa-dead-letters").len() == 1).then_some(()));
    end(notifier);
}

fn alertmanager() {
    let (server, topics) = (Alertmanager::start(), Topics::create());
    let config = format!(
        "[alert]\nsource = \"noaa-json\"\n{SOON}[notify.alertmanager]\nurl = \"http://127.0.0.1:{}\"\nallow_private = true\n",
        server.port
    );
    let rules = "[[rule]]\nid = \"frost\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= 0.0\"\nclear = \"TMIN > 3.0\"\n\
                 severity = \"critical\"\n";
    let dir = folder(&config, rules);
    let daemon =
        topics.frostline().args(["run", "--stages", "alert,notify,deliver"]).in_dir(dir.path()).start();
    let send = |day, tmin| {
        topics.send("noaa-json", &[(Some(b"USW00003192"), Some(observation(day, tmin).as_bytes()))]);
    };
    send(1, -2.0);
    let shown = wait_for("the alert", PATIENCE, || server.alerts().pop());
    assert_eq!(shown["labels"]["alertname"], "frost");
    assert_eq!(shown["labels"]["severity"], "critical");
    assert_eq!(shown["labels"]["station"], "USW00003192");
    assert!(shown["annotations"]["summary"].as_str().unwrap().contains("TMIN -2.0 °C"), "{shown}");
    assert_eq!(shown["status"]["state"], "active");
    send(2, 6.0);
    wait_for("its end", PATIENCE, || server.alerts().is_empty().then_some(()));
    end(daemon);
}

fn killed() {
    const ALERTS: usize = 1_000;
    const KILLS: usize = 50;
    let (server, topics) = (HttpServer::start(), Topics::create());
    // A name of its own, so that a process which comes again gets its partitions at once.
    let config = SOON
        .replace("[runtime]\n", "[runtime]\ngroup_instance_id = \"one\"\nsession_timeout_ms = 30000\n")
        + &webhook("barn", &server);
    let dir = folder(&config, &subscriber("barn", "webhook = \"barn\""));
    let started = Instant::now();
    let mut sent = 0;
    for kill in 0..KILLS {
        let notifier = notifier(&topics, &dir).start();
        // A share of the alerts comes while it works.
        let share = ALERTS / KILLS;
        let alerts: Vec<_> = (sent..sent + share).map(|number| alert(number, &["barn".to_owned()])).collect();
        let before = server.count();
        send_alerts(&topics, &alerts);
        sent += share;
        // In the middle of its work, wherever that is; sometimes before it has begun.
        let until = Instant::now() + Duration::from_millis(1_500);
        let enough = before + fastrand::usize(..share);
        while server.count() <= enough && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        notifier.signal("KILL");
        let code = notifier.wait().code;
        assert_eq!(code, Some(137), "kill {kill}");
    }
    let notifier = notifier(&topics, &dir).start();
    let requests = wait_for("all alerts", Duration::from_secs(120), || {
        Some(server.requests()).filter(|requests| keys(requests).len() >= ALERTS)
    });
    wait_for("all outcomes", PATIENCE, || (topics.values("noaa-deliveries").len() >= ALERTS).then_some(()));
    end(notifier);
    let requests_at_end = server.requests();
    assert_eq!(keys(&requests_at_end).len(), ALERTS);
    assert_eq!(topics.values("noaa-deliveries").len(), ALERTS, "one outcome each");
    assert!(topics.records("noaa-dead-letters").is_empty());
    println!(
        "killed {KILLS} times during {ALERTS} alerts: {ALERTS} distinct ids, {} calls came again, in {:?}",
        requests.len() - ALERTS,
        started.elapsed()
    );
}

fn dead_server() {
    const ALERTS: usize = 200;
    let (dead, alive, topics) = (HttpServer::start(), HttpServer::start(), Topics::create());
    let config = SOON.to_owned() + &webhook("dead", &dead) + &webhook("alive", &alive);
    let rules = subscriber("dead", "webhook = \"dead\"") + &subscriber("alive", "webhook = \"alive\"");
    let dir = folder(&config, &rules);
    let notifier = notifier(&topics, &dir).start();
    let send = |numbers: std::ops::Range<usize>| {
        let alerts: Vec<_> =
            numbers.map(|number| alert(number, &["dead".to_owned(), "alive".to_owned()])).collect();
        let (before, started) = (alive.count(), Instant::now());
        send_alerts(&topics, &alerts);
        wait_for("those who live", PATIENCE, || (alive.count() >= before + ALERTS).then_some(()));
        started.elapsed()
    };
    send(0..ALERTS);
    let with_both = send(ALERTS..2 * ALERTS);
    dead.doing(Doing::Hang);
    let with_one_dead = send(2 * ALERTS..3 * ALERTS);
    dead.doing(Doing::Answer(200));
    wait_for("the dead to rise", PATIENCE, || (keys(&dead.requests()).len() == 3 * ALERTS).then_some(()));
    println!(
        "{ALERTS} alerts to a server that works: {with_both:?}; beside one that hangs: {with_one_dead:?}"
    );
    end(notifier);
}

fn restart() {
    const ALERTS: usize = 300;
    let (server, topics) = (HttpServer::start(), Topics::create());
    let dir =
        folder(&(SOON.to_owned() + &webhook("barn", &server)), &subscriber("barn", "webhook = \"barn\""));
    let mut first = Some(notifier(&topics, &dir).start());
    for round in 0..6 {
        let numbers = round * ALERTS / 6..(round + 1) * ALERTS / 6;
        let (before, alerts) = (server.count(), numbers.map(|number| alert(number, &["barn".to_owned()])));
        send_alerts(&topics, &alerts.collect::<Vec<_>>());
        wait_for("some calls", PATIENCE, || (server.count() > before).then_some(()));
        end(first.take().unwrap());
        first = Some(notifier(&topics, &dir).start());
    }
    wait_for("all calls", PATIENCE, || (keys(&server.requests()).len() == ALERTS).then_some(()));
    assert_eq!(server.count(), ALERTS, "nothing came twice");
}

fn many() {
    // The figure of docs/benchmarks.md is for 10,000 alerts to 1,000 subscribers.
    let alerts: usize =
        std::env::var("FROSTLINE_TEST_ALERTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let subscribers = alerts / 10;
    let (server, topics) = (HttpServer::start(), Topics::create());
    let sms = format!(
        "concurrency = 32\n[notify.sms]\nurl = \"{}\"\nuser = \"AC1\"\npassword = \"token\"\nfrom = \"+15550000000\"\nallow_private = true\n",
        server.url("/sms")
    );
    let rules: String = (0..subscribers)
        .map(|n| {
            subscriber(&format!("s{n}"), &format!("webhook = \"hook{}\"\nphone = \"+1555{n:07}\"", n % 10))
        })
        .collect();
    let hooks: String = (0..10).map(|n| webhook(&format!("hook{n}"), &server)).collect();
    let dir = folder(&(SOON.replace("group_wait_ms = 200", "group_wait_ms = 2000") + &sms + &hooks), &rules);
    let notifier = notifier(&topics, &dir).start();
    let warm = alert(alerts, &["s0".to_owned()]);
    send_alerts(&topics, &[warm]);
    wait_for("the first", PATIENCE, || (server.count() >= 2).then_some(()));
    let (before, started) = (notifier.resident_mb(), Instant::now());
    let all: Vec<_> = (0..alerts).map(|n| alert(n, &[format!("s{}", n % subscribers)])).collect();
    send_alerts(&topics, &all);
    let mut highest = before;
    wait_for("all calls", Duration::from_secs(120), || {
        highest = highest.max(notifier.resident_mb());
        let hooks = server.requests().iter().filter(|request| request.path.starts_with("/hook")).count();
        (hooks > alerts).then_some(())
    });
    let hooks_at = started.elapsed();
    wait_for("all outcomes", Duration::from_secs(120), || {
        let sms: usize = server
            .requests()
            .iter()
            .filter(|request| request.path == "/sms")
            .map(|request| request.body.matches("number").count().max(1))
            .sum();
        (sms > subscribers).then_some(())
    });
    println!(
        "{alerts} alerts to {subscribers} subscribers: {alerts} webhook calls in {hooks_at:?}, {} SMS as well by {:?}; \
         {before:.0} MB before, {highest:.0} MB at most",
        server.requests().iter().filter(|request| request.path == "/sms").count(),
        started.elapsed()
    );
    assert_eq!(
        keys(&server.requests().into_iter().filter(|r| r.path != "/sms").collect::<Vec<_>>()).len(),
        alerts + 1
    );
    end(notifier);
}

fn notify_test() {
    let (mail, http) = (MailServer::start(), HttpServer::start());
    let config = "[notify]\ntimeout_ms = 2000\n".to_owned() + &email(&mail, "") + &webhook("barn", &http);
    let dir = folder(&config, &subscriber("anna", "email = \"anna@example.org\"\nwebhook = \"barn\""));
    let run = |arguments: &[&str]| {
        Frostline::new().in_dir(dir.path()).args(["notify", "test"]).args(arguments.iter().copied()).run()
    };
    let outcome = run(&["anna", "--json"]).expect_code(0);
    let lines = outcome.json_lines();
    assert_eq!((&lines[0]["channel"], &lines[0]["outcome"]), (&json!("email"), &json!("sent")), "{outcome}");
    assert!(lines[0]["answer"].as_str().unwrap().starts_with("250"), "{outcome}");
    assert_eq!((&lines[1]["channel"], &lines[1]["outcome"]), (&json!("webhook"), &json!("sent")));
    assert!(mail.mails()[0].text.contains("This is a test"));
    http.doing(Doing::Answer(500));
    let outcome = run(&["anna", "--channel", "webhook"]).expect_code(1);
    assert!(outcome.out.contains("500") && !outcome.out.contains("email"), "{outcome}");
    mail.mode("550");
    let outcome = run(&["anna", "--channel", "email"]).expect_code(1);
    assert!(outcome.out.contains("refused") && !outcome.to_string().contains("anna@"), "{outcome}");
    assert!(run(&["bob"]).expect_code(2).err.contains("no subscriber `bob`"));
    assert!(run(&["anna", "--channel", "sms"]).expect_code(2).err.contains("email or webhook"));
}

fn chats() {
    let server = HttpServer::start();
    let example = std::fs::read_to_string("examples/webhooks.toml").unwrap();
    let chats = ["slack", "discord", "teams", "telegram"];
    let mut config = example.replace("\nbody =", "\nallow_private = true\nbody =");
    config += &format!(
        "[notify.ntfy]\nurl = \"{}\"\ntoken = \"tk-SECRET\"\nallow_private = true\n",
        server.url("/SECRET-path")
    );
    let mut rules: String = chats.iter().map(|id| subscriber(id, &format!("webhook = \"{id}\""))).collect();
    rules += &subscriber("anna", "ntfy = \"SECRET-topic\"");
    let dir = folder(&config, &rules);
    let run = |arguments: &[&str]| {
        let program = Frostline::new().in_dir(dir.path()).env("FROSTLINE_LOG", "trace");
        let mut program = program.args(arguments.iter().copied());
        for chat in chats {
            let variable = format!("{}_URL", chat.to_uppercase());
            program = program.env(&variable, &server.url(&format!("/{chat}/bot12:SECRET-token/send")));
        }
        let outcome = program.run();
        assert!(!outcome.to_string().contains("SECRET"), "{outcome}");
        outcome
    };
    run(&["config", "check"]).expect_code(0);
    let shown = run(&["config", "show"]).expect_code(0);
    assert!(
        shown.out.contains("url = \"${env:TELEGRAM_URL}\"") && shown.out.contains("token = \"***\""),
        "{shown}"
    );
    let plain = server.url("/bot12:SECRET-token/send");
    let set = format!("notify.webhooks.telegram.url={plain}");
    let shown = run(&["config", "show", "--json", "--set", &set]).expect_code(0);
    assert!(shown.out.contains(&format!("\"{}\"", server.url("/***"))), "{shown}");
    for chat in chats {
        run(&["notify", "test", chat]).expect_code(0);
        let request = server.requests().pop().unwrap();
        assert!(request.path.starts_with(&format!("/{chat}/")), "{request:?}");
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("idempotency-key").starts_with("frostline-test/"), "{request:?}");
        assert_eq!(request.header("frostline-signature"), "", "it has no key");
        assert!(serde_json::from_str::<Value>(&request.body).unwrap().to_string().contains("This is a test"));
    }
    run(&["notify", "test", "anna", "--channel", "ntfy"]).expect_code(0);
    let request = server.requests().pop().unwrap();
    assert_eq!(
        (request.path.as_str(), request.header("authorization")),
        ("/SECRET-path", "Bearer tk-SECRET")
    );
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&body["topic"], &body["priority"]), (&json!("SECRET-topic"), &json!(3)));
    server.doing(Doing::Answer(404));
    assert!(run(&["notify", "test", "telegram"]).expect_code(1).out.contains("404"));
    server.doing(Doing::Drop);
    run(&["notify", "test", "slack"]).expect_code(1);
}

fn history() {
    let (server, topics) = (HttpServer::start(), Topics::create());
    let config = SOON.replace("max_age_days = 100000\n", "") + &webhook("barn", &server);
    let dir = folder(&config, &subscriber("barn", "webhook = \"barn\""));
    send_alerts(&topics, &[alert(1, &["barn".to_owned()]), ("x".into(), "no alert".into())]);
    let outcome = notifier(&topics, &dir).args(["--until-caught-up", "--json"]).run().expect_code(0);
    assert_eq!(
        (&outcome.summary()["suppressed"], &outcome.summary()["sent"]),
        (&1.into(), &0.into()),
        "{outcome}"
    );
    assert_eq!(server.count(), 0);
    let outcomes = topics.values("noaa-deliveries");
    assert_eq!(outcomes[0]["outcome"], "suppressed");
    assert!(outcomes[0]["reason"].as_str().unwrap().contains("days ago"), "{outcomes:?}");
    let dead = topics.records("noaa-dead-letters");
    assert!(dead[0]["headers"]["frostline-reason"].as_str().unwrap().contains("not an alert"), "{dead:?}");
}

fn mistakes() {
    let hook = "[notify.webhooks.barn]\nurl = \"https://example.org/\"\nsecret = \"x\"\n";
    let check = |config: &str, rules: &str, command: &[&str]| {
        let dir = folder(config, rules);
        Frostline::new().in_dir(dir.path()).args(command.iter().copied()).run()
    };
    let config = ["config", "check"];
    let anna = subscriber("anna", "email = \"anna@example.org\"");
    let outcome = check(hook, &anna, &config).expect_code(2);
    assert!(outcome.err.contains("no channel of subscriber `anna`"), "{outcome}");
    let outcome = check(hook, &anna, &["rules", "check", "rules.toml"]).expect_code(1);
    assert!(outcome.out.contains("rules.toml:3:9") && outcome.out.contains("[notify.email]"), "{outcome}");
    let outcome = check("", &subscriber("anna", "timezone = \"UTC\""), &["rules", "check", "rules.toml"])
        .expect_code(1);
    assert!(outcome.out.contains("no address"), "{outcome}");
    let secret = hook.replace("\"x\"", "\"${file:/nowhere}\"");
    assert!(check(&secret, "", &config).expect_code(2).err.contains("notify.webhooks.barn.secret: /nowhere"));
    let private = hook.replace("example.org", "10.0.0.1");
    assert!(check(&private, "", &config).expect_code(2).err.contains("allow_private"));
    let subject =
        "[notify.email]\nserver = \"a.example.org\"\nfrom = \"a@example.org\"\nsubject = \"{statoin}\"\n";
    assert!(check(subject, "", &config).expect_code(2).err.contains("unknown field {statoin}"));
    let template = hook.to_owned() + "body = '{ \"text\": \"{txet}\" }'\n";
    let outcome = check(&template, "", &config).expect_code(2);
    assert!(outcome.err.contains("notify.webhooks.barn.body: unknown field {txet}"), "{outcome}");
    let broken = check(&template.replace("\"{txet}\"", "{text}"), "", &config).expect_code(2);
    assert!(broken.err.contains("valid JSON"), "{broken}");
    let outcome = check("", "", &["run", "--stages", "deliver"]).expect_code(2);
    assert!(outcome.err.contains("[notify.email]"), "{outcome}");
    let shown = check(hook, "", &["config", "show"]).expect_code(0);
    assert!(shown.out.contains("secret = \"***\""), "{shown}");
}
