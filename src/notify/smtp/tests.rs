//! The SMTP client against scripted servers: silent, slow, hostile, and right.

use std::path::PathBuf;
use std::time::Instant as Clock;

use super::scripted::Act::{self, Drip, Hang, Hear, HearMail, On, Repeat, Say, Tls, TlsWith, Wait};
use super::scripted::Scripted;
use super::*;
use crate::notify::tls;

const TIMEOUT: Duration = Duration::from_millis(300);

const GREETING: Act = Say("220 test ESMTP");
const EHLO: Act = On("EHLO frost.example.org", "250-test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN");
const STARTTLS: Act = On("STARTTLS", "220 go on");
const AUTH: Act = On("AUTH PLAIN AGZyb3N0AGRldw==", "235 welcome");
const MAIL: Act = On("MAIL FROM:<frost@example.org>", "250 ok");
const RCPT: Act = On("RCPT TO:<anna@example.org>", "250 ok");
const DATA: Act = On("DATA", "354 go on");
const TAKEN: Act = Say("250 2.0.0 kept");

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Clear,
    Starttls,
    Tls,
}

fn server_at(port: u16, mode: Mode, has_login: bool) -> Server {
    let ca = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/notify/smtp/test-keys/ca.pem");
    let tls = || TlsConnector::from(tls::client_config(Some(&ca)).unwrap());
    let name = || ServerName::try_from("localhost").unwrap();
    Server {
        host: "127.0.0.1".into(),
        port,
        secure: match mode {
            Mode::Clear => Secure::Not,
            Mode::Starttls => Secure::Starttls(tls(), name()),
            Mode::Tls => Secure::Tls(tls(), name()),
        },
        login: has_login.then(|| Login { user: "frost".into(), password: "dew".to_owned().into() }),
        hello: "frost.example.org".into(),
        timeout: TIMEOUT,
        idle: Idle::default(),
    }
}

async fn send(server: &Server) -> Result<String, String> {
    let envelope = Envelope { from: "frost@example.org", to: "anna@example.org" };
    let sent = server.send(&envelope, b"Subject: frost\r\n\r\n.\r\ncold\r\n").await;
    sent.map(|answer| answer.to_string()).map_err(|failure| failure.to_string())
}

/// A mail to a server that plays one script.
async fn send_to(script: &[Act], mode: Mode, has_login: bool) -> (Result<String, String>, Scripted) {
    let scripted = Scripted::start(vec![script.to_vec()]).await;
    let outcome = send(&server_at(scripted.port, mode, has_login)).await;
    (outcome, scripted)
}

#[tokio::test]
async fn a_mail_goes_through_starttls_and_authentication_and_the_connection_is_used_again() {
    let mail = [MAIL, RCPT, DATA, HearMail, TAKEN];
    let first = [&[GREETING, EHLO, STARTTLS, Tls, EHLO, AUTH][..], &mail, &mail].concat();
    let scripted = Scripted::start(vec![first.clone(), first]).await;
    let server = server_at(scripted.port, Mode::Starttls, true);
    assert_eq!(send(&server).await.unwrap(), "250 2.0.0 kept");
    assert_eq!(send(&server).await.unwrap(), "250 2.0.0 kept");
    assert_eq!((scripted.count("EHLO"), scripted.count("MAIL")), (2, 2), "{:?}", scripted.heard());
    // It has hung up meanwhile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(send(&server).await.unwrap(), "250 2.0.0 kept");
    assert_eq!((scripted.count("EHLO"), scripted.count("MAIL")), (4, 3), "{:?}", scripted.heard());
}

#[tokio::test]
async fn tls_from_the_beginning_and_auth_login() {
    let only_login = On("EHLO", "250-test\r\n250 AUTH=LOGIN");
    let login =
        [On("AUTH LOGIN", "334 VXNlcm5hbWU6"), On("ZnJvc3Q=", "334 UGFzc3dvcmQ6"), On("ZGV3", "235 ok")];
    let script = [&[Tls, GREETING, only_login][..], &login, &[MAIL, RCPT, DATA, HearMail, TAKEN]].concat();
    assert_eq!(send_to(&script, Mode::Tls, true).await.0.unwrap(), "250 2.0.0 kept");
}

#[tokio::test]
async fn a_server_that_falls_silent_ends_the_attempt_at_each_step() {
    let whole = [GREETING, EHLO, STARTTLS, Tls, EHLO, AUTH, MAIL, RCPT, DATA, HearMail, TAKEN];
    let steps = [
        "the greeting",
        "EHLO",
        "STARTTLS",
        "the TLS handshake",
        "EHLO",
        "AUTH",
        "MAIL FROM",
        "RCPT TO",
        "DATA",
        "the mail itself",
    ];
    for (at, step) in steps.iter().enumerate() {
        let mut silent = whole[..at].to_vec();
        silent.push(Hang);
        // The next one is not stuck as well: the silent connection was dropped.
        let scripted = Scripted::start(vec![silent, whole.to_vec()]).await;
        let server = server_at(scripted.port, Mode::Starttls, true);
        let started = Clock::now();
        let failure = send(&server).await.unwrap_err();
        assert!(failure.contains(&format!("fell silent at {step}:")), "{at} {step}: {failure}");
        assert!(started.elapsed() < 5 * TIMEOUT, "{step}: {:?}", started.elapsed());
        assert_eq!(send(&server).await.unwrap(), "250 2.0.0 kept", "after {step}");
    }
}

#[tokio::test]
async fn an_attempt_ends_however_slowly_a_server_answers() {
    // Each byte comes in time, but the answer does not.
    let started = Clock::now();
    let (outcome, _) = send_to(&[Drip("220 good morning", 60), Hang], Mode::Clear, false).await;
    assert!(outcome.unwrap_err().contains("silent at the greeting"));
    assert!(started.elapsed() < 2 * TIMEOUT, "{:?}", started.elapsed());
    // Each answer comes in time, but all of them do not.
    let slow = Wait(250);
    let ehlo = Hear("EHLO");
    let script = [
        slow,
        GREETING,
        ehlo,
        slow,
        Say("250 test"),
        Hear("MAIL"),
        slow,
        TAKEN,
        Hear("RCPT"),
        slow,
        TAKEN,
        Hear("DATA"),
        slow,
        Say("354 go on"),
        Hang,
    ];
    let started = Clock::now();
    let (outcome, _) = send_to(&script, Mode::Clear, false).await;
    let failure = outcome.unwrap_err();
    assert!(failure.contains("fell silent"), "{failure}");
    assert!(started.elapsed() < 5 * TIMEOUT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_answer_to_a_mail_may_take_longer() {
    let script = [GREETING, EHLO, MAIL, RCPT, DATA, HearMail, Wait(600), TAKEN];
    assert_eq!(send_to(&script, Mode::Clear, false).await.0.unwrap(), "250 2.0.0 kept");
}

#[tokio::test]
async fn answers_are_bounded_in_bytes() {
    for (script, reason) in [
        (vec![Repeat("x"), Hang], "more than 4096 bytes"),
        (vec![GREETING, Hear("EHLO"), Repeat("250-AUTH PLAIN\r\n")], "longer than 32768 bytes"),
        (vec![Say("HTTP/1.1 400 Bad Request"), Hang], "is not SMTP"),
        (vec![GREETING, On("EHLO", "250-a\r\n550 b"), Hang], "two codes"),
    ] {
        let failure = send_to(&script, Mode::Clear, false).await.0.unwrap_err();
        assert!(failure.contains(reason), "{reason}: {failure}");
    }
}

#[tokio::test]
async fn answers_in_clear_are_not_believed_in_tls() {
    // With the answer to STARTTLS come all that the rest of the conversation needs.
    let inserted = On(
        "STARTTLS",
        "220 go on\r\n250-injected\r\n250 AUTH PLAIN\r\n235 injected\r\n250 a\r\n250 b\r\n354 c\r\n250 injected",
    );
    let (outcome, scripted) = send_to(&[GREETING, EHLO, inserted, Tls, Hang], Mode::Starttls, true).await;
    let failure = outcome.unwrap_err();
    assert!(failure.contains("the TLS handshake") && failure.contains("before it was asked"), "{failure}");
    assert_eq!(scripted.heard().last().unwrap(), "STARTTLS");
    // A moment later they are read as TLS, which they are not.
    let script = [GREETING, EHLO, STARTTLS, Wait(50), Say("250 injected\r\n235 injected"), Tls, Hang];
    let (outcome, scripted) = send_to(&script, Mode::Starttls, true).await;
    let failure = outcome.unwrap_err();
    assert!(failure.contains("the TLS handshake"), "{failure}");
    assert_eq!(scripted.heard().last().unwrap(), "STARTTLS");
    // The same with any other answer that comes before its question.
    let early = On("MAIL", "250 ok\r\n250 ok\r\n354 go on\r\n250 kept");
    let (outcome, scripted) = send_to(&[GREETING, EHLO, early, Hang], Mode::Clear, false).await;
    assert!(outcome.unwrap_err().contains("before it was asked"));
    assert_eq!(scripted.count("RCPT"), 0);
}

#[tokio::test]
async fn what_is_offered_in_clear_is_forgotten_in_tls() {
    let script = [GREETING, EHLO, STARTTLS, Tls, On("EHLO", "250 test"), Hang];
    let (outcome, scripted) = send_to(&script, Mode::Starttls, true).await;
    assert!(outcome.unwrap_err().contains("neither PLAIN nor LOGIN"));
    assert_eq!(scripted.count("AUTH"), 0);
}

#[tokio::test]
async fn tls_and_no_tls_do_not_meet() {
    // Mode `tls` to a port without: it waits for EHLO, or greets.
    let failure = send_to(&[GREETING, Hang], Mode::Tls, false).await.0.unwrap_err();
    assert!(failure.contains("does not speak TLS on this port"), "{failure}");
    let failure = send_to(&[Hang], Mode::Tls, false).await.0.unwrap_err();
    assert!(failure.contains("silent at the TLS handshake"), "{failure}");
    // The reverse: it waits for the handshake.
    let failure = send_to(&[Tls, GREETING], Mode::Starttls, false).await.0.unwrap_err();
    assert!(failure.contains("silent at the greeting") && failure.contains("tls = \"tls\""), "{failure}");
}

#[tokio::test]
async fn certificates_that_are_not_accepted_are_explained() {
    for (certificate, reason) in [
        (&include_bytes!("test-keys/authority.pem")[..], "an authority's own"),
        (include_bytes!("test-keys/version-1.pem"), "version 1"),
        (include_bytes!("test-keys/other-name.pem"), "another host name"),
    ] {
        // The first one is trusted itself, as its operator thinks that it must be.
        let ca = tempfile::NamedTempFile::new().unwrap();
        let trusted =
            if reason == "an authority's own" { certificate } else { include_bytes!("test-keys/ca.pem") };
        std::fs::write(ca.path(), trusted).unwrap();
        let scripted = Scripted::start(vec![vec![TlsWith(certificate), GREETING, Hang]]).await;
        let mut server = server_at(scripted.port, Mode::Tls, false);
        let tls = TlsConnector::from(tls::client_config(Some(ca.path())).unwrap());
        server.secure = Secure::Tls(tls, ServerName::try_from("localhost").unwrap());
        let failure = send(&server).await.unwrap_err();
        assert!(failure.contains(reason), "{reason}: {failure}");
    }
}

#[tokio::test]
async fn helo_is_tried_where_nothing_needs_ehlo() {
    let unknown = On("EHLO", "502 not implemented");
    let script =
        [GREETING, unknown, On("HELO frost.example.org", "250 test"), MAIL, RCPT, DATA, HearMail, TAKEN];
    assert_eq!(send_to(&script, Mode::Clear, false).await.0.unwrap(), "250 2.0.0 kept");
    let (outcome, scripted) = send_to(&[GREETING, unknown, Hang], Mode::Clear, true).await;
    assert!(outcome.unwrap_err().contains("502 not implemented (the answer to EHLO)"));
    assert_eq!(scripted.count("HELO"), 0);
}

#[test]
fn a_runtime_may_end_while_a_server_is_silent() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let silent = [GREETING, EHLO, MAIL, RCPT, DATA, HearMail, TAKEN, Hear("MAIL"), Hang];
    let scripted = local.block_on(&runtime, Scripted::start(vec![silent.to_vec(), vec![Hang]]));
    let server = Arc::new(server_at(scripted.port, Mode::Clear, false));
    local.block_on(&runtime, async {
        send(&server).await.unwrap();
        for _ in 0..2 {
            let server = Arc::clone(&server);
            tokio::task::spawn_local(async move { send(&server).await });
        }
        tokio::time::sleep(TIMEOUT / 3).await;
    });
    // Both hang: one in a connection that is used again, one at the greeting. Neither the order nor the place matters.
    drop(local);
    drop(server);
    drop(runtime);
}
