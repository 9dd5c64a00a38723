//! Mails: how they are built, and the meaning of servers' answers to them.

use std::time::Duration;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::newest::newest_of_each;
use super::page::{Footer, Page};
use super::smtp::{Envelope, Failure, Idle, Login, Secure, Server, Step};
use super::{Attempt, tls};
use crate::config::{EmailConfig, MailTls, NotifyConfig};
use crate::noaa::{RecentDays, StationId};
use crate::rules::{Address, Units};
use crate::stages::{Message, Reply};

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 150;

/// Answers that say nothing about the mail: the server expects other credentials or another protocol.
const ANSWERS_TO_OPERATORS: [u16; 6] = [421, 454, 530, 534, 535, 538];

pub(super) struct Email {
    server: Server,
    from: Mailbox,
    unsubscribe: String,
    manage_url: String,
    subject: String,
}

/// The recipient of a mail.
pub(super) struct To<'a> {
    pub(super) address: &'a Address,
    pub(super) name: Option<&'a str>,
    /// Why they receive it, in words.
    pub(super) why: &'a str,
    /// The units that they asked for.
    pub(super) units: Option<Units>,
    /// The time zone that they named.
    pub(super) timezone: Option<&'a str>,
}

impl Email {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(
        config: &EmailConfig,
        notify: &NotifyConfig,
        timeout: Duration,
    ) -> Result<Self, String> {
        let wrong = |reason: String| format!("notify.email.from: {reason}");
        let from: Mailbox = config.from.parse().map_err(|error| wrong(format!("{error}")))?;
        let address =
            with_ascii_domain(&from.email).ok_or_else(|| wrong("its domain is not valid".into()))?;
        let from = Mailbox::new(from.name, address);
        let unsubscribe = match config.unsubscribe.as_str() {
            "" => format!("mailto:{}?subject=unsubscribe", from.email),
            given => given.to_owned(),
        };
        Ok(Self {
            server: server(config, timeout, from.email.domain())?,
            from,
            unsubscribe,
            manage_url: notify.manage_url.clone(),
            subject: config.subject.clone(),
        })
    }

    /// Sends one message.
    pub(super) async fn send(&self, message: &Message, to: &To<'_>, recent: &RecentDays) -> Attempt {
        let mail = match self.mail(message, to, recent) {
            Ok(mail) => mail,
            Err(reason) => return Attempt::refused(reason),
        };
        let [Some(from), Some(to)] = [mail.envelope().from(), mail.envelope().to().first()] else {
            return Attempt::refused("the mail has no sender or no recipient".into());
        };
        let envelope = Envelope { from: from.as_ref(), to: to.as_ref() };
        match self.server.send(&envelope, &mail.formatted()).await {
            Ok(answer) => Attempt::of(Reply::Sent(answer.to_string())),
            Err(failure) => judge(&failure, &format!("{}:{}", self.server.host, self.server.port)),
        }
    }

    fn mail(&self, message: &Message, to: &To<'_>, recent: &RecentDays) -> Result<lettre::Message, String> {
        let address = to.address.0.parse().ok().and_then(|address| with_ascii_domain(&address));
        let address = address.ok_or("the address is not valid in a mail")?;
        let id = |id: &str| format!("<{id}@{}>", self.from.email.domain());
        let days = |station: &str| {
            StationId::parse(station.as_bytes()).map(|station| recent.days(station)).unwrap_or_default()
        };
        let footer = Footer { why: to.why, manage_url: &self.manage_url, unsubscribe: &self.unsubscribe };
        let page = Page { message, footer, units: to.units, timezone: to.timezone, days: &days };
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(to.name.map(str::to_owned), address))
            .subject(self.subject(message))
            .message_id(Some(id(&message.id)))
            .raw_header(header("List-Unsubscribe", format!("<{}>", self.unsubscribe)))
            .raw_header(header("Auto-Submitted", "auto-generated".into()))
            .raw_header(header("Frostline-Alerts", message.alert_ids().collect::<Vec<_>>().join(" ")));
        if let Some(first) = &message.answers {
            mail = mail.in_reply_to(id(first)).references(id(first));
        }
        mail.multipart(MultiPart::alternative_plain_html(page.text(), page.html()))
            .map_err(|error| error.to_string())
    }

    fn subject(&self, message: &Message) -> String {
        // The newest alerts come first; older ones are history.
        let newest = newest_of_each(&message.notices);
        let Some(notice) = newest.first() else { return String::new() };
        let count = message.notices.len();
        let mut subject = self.subject.clone();
        if count > 1 && !subject.contains("{count}") {
            subject = format!("{{count}} alerts: {subject}");
        }
        let value = |field: &str| match field {
            "count" => Some(count.to_string()),
            "rule" => Some(notice.rule_id.clone()),
            "station" => Some(notice.place()),
            "date" => Some(notice.date.clone()),
            "severity" => Some(message.urgency().as_str().to_owned()),
            "transition" => Some(notice.transition.as_str().to_owned()),
            "message" => Some(notice.message.clone()),
            _ => None,
        };
        let filled = fill_in(&subject, value);
        let line: String = filled.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        shortened(&line)
    }
}

/// A subject that is too long ends after one of its parts, or at least after a word.
fn shortened(line: &str) -> String {
    if line.chars().count() <= SUBJECT_CHARS_MAX {
        return line.to_owned();
    }
    // With room for the mark of what is missing.
    let start: String = line.chars().take(SUBJECT_CHARS_MAX - 2).collect();
    let end = start.rfind(';').or_else(|| start.rfind(' ')).unwrap_or(start.len());
    format!("{} …", &start[..end])
}

/// Replaces fields in braces by their values in one pass, so that braces in a value stay text.
fn fill_in(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let (mut filled, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let field = after.split_once('}').and_then(|(name, behind)| Some((value(name)?, behind)));
        match field {
            Some((value, behind)) => {
                filled.push_str(&value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}

fn server(config: &EmailConfig, timeout: Duration, domain: &str) -> Result<Server, String> {
    let (host, port) = config.host_and_port().map_err(|reason| format!("notify.email.server: {reason}"))?;
    let host = match host.is_ascii() {
        true => host.to_owned(),
        false => {
            idna::domain_to_ascii(host).map_err(|_| "notify.email.server: it is not a valid host name")?
        }
    };
    let secure = match config.tls {
        MailTls::None => Secure::Not,
        is_tls => {
            let tls = tls::client_config(config.ca.as_deref());
            let tls = TlsConnector::from(tls.map_err(|reason| format!("notify.email.ca: {reason}"))?);
            let name = ServerName::try_from(host.clone())
                .map_err(|_| "notify.email.server: expected a host name or an IP address".to_owned())?;
            if is_tls == MailTls::Tls { Secure::Tls(tls, name) } else { Secure::Starttls(tls, name) }
        }
    };
    let login = if config.user.is_empty() {
        None
    } else {
        let password =
            config.password.resolve().map_err(|reason| format!("notify.email.password: {reason}"))?;
        Some(Login { user: config.user.clone(), password })
    };
    let (hello, idle) = (domain.to_owned(), Idle::default());
    Ok(Server { host, port, secure, login, hello, timeout, idle })
}

/// The domain in the form that every mail server accepts: in punycode if it is in another script.
fn with_ascii_domain(address: &lettre::Address) -> Option<lettre::Address> {
    match address.domain().is_ascii() {
        true => Some(address.clone()),
        false => ascii_form(address.as_ref())?.parse().ok(),
    }
}

/// The same for the text of an address; `None` if the domain is not valid.
pub(super) fn ascii_form(address: &str) -> Option<String> {
    let (user, domain) = address.rsplit_once('@')?;
    Some(format!("{user}@{}", idna::domain_to_ascii(domain).ok()?))
}

/// What a failure means for this mail, and for the server at this address.
fn judge(failure: &Failure, server: &str) -> Attempt {
    let reason = format!("{server}: {failure}");
    let Failure::Answered { step, answer, is_extended } = failure else {
        return match failure {
            Failure::Unsendable(_) => Attempt::refused(reason),
            _ => Attempt::ill(reason),
        };
    };
    // Before the recipient is named, the server knows nothing about this particular mail.
    let is_about_mail = matches!(step, Step::Recipient | Step::Data | Step::Mail);
    match answer.code {
        code if ANSWERS_TO_OPERATORS.contains(&code) => Attempt::ill(reason),
        500..=599 if is_about_mail || *is_extended => Attempt::refused(reason),
        400..=499 if is_about_mail || *step == Step::Sender => Attempt::of(Reply::Again(reason)),
        _ => Attempt::ill(reason),
    }
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;
    use crate::notify::smtp::scripted::Act::{self, Hang, HearMail, On, Say};
    use crate::notify::smtp::scripted::Scripted;

    /// The outcome of a mail to a server that plays this.
    async fn reply(tls: &str, address: &str, script: &[Act]) -> (Reply, Scripted) {
        let scripted = Scripted::start(vec![script.to_vec()]).await;
        let config = format!(
            "server = \"127.0.0.1:{}\"\ntls = \"{tls}\"\nfrom = \"Frost <frost@exämple.org>\"",
            scripted.port
        );
        let config: EmailConfig = toml::from_str(&config).unwrap();
        let email = Email::new(&config, &NotifyConfig::default(), Duration::from_millis(500)).unwrap();
        let address = Address(address.into());
        let to = To { address: &address, name: None, why: "a test", units: None, timezone: None };
        let message = samples::message(vec![samples::told("frost", "X")]);
        (email.send(&message, &to, &RecentDays::default()).await.reply, scripted)
    }

    #[test]
    fn braces_in_a_value_are_text() {
        let subject = |template: &str, rule: &str, station: &str| {
            let config =
                format!("server = \"127.0.0.1\"\nfrom = \"a@example.org\"\nsubject = \"{template}\"");
            let config: EmailConfig = toml::from_str(&config).unwrap();
            let email = Email::new(&config, &NotifyConfig::default(), Duration::from_secs(1)).unwrap();
            email.subject(&samples::message(vec![samples::told(rule, station)]))
        };
        let filled = subject("{rule}: {station}, {date}", "{station}", "{date} {message}");
        assert_eq!(filled, "{station}: {date} {message} (USW00003192), 2016-02-24");
        assert_eq!(subject("{count} {severity}", "a", "b"), "1 warning");
        let long = subject(&"word ".repeat(40), "a", "b");
        assert!(long.chars().count() <= SUBJECT_CHARS_MAX && long.ends_with("word …"), "{long}");
        assert!(crate::config::SUBJECT_FIELDS.iter().all(|field| {
            let filled = subject(&format!("{{{field}}}"), "a", "b");
            !filled.is_empty() && !filled.contains('{')
        }));
    }

    #[test]
    fn the_subject_says_what_is_true_now() {
        let config: EmailConfig = toml::from_str("server = \"127.0.0.1\"\nfrom = \"a@example.org\"").unwrap();
        let email = Email::new(&config, &NotifyConfig::default(), Duration::from_secs(1)).unwrap();
        let of_night = |message: &str| {
            let mut told = samples::told("frost-tonight", "X");
            told.notice.episode = Some("frost-tonight/X/2026-11-28".into());
            told.notice.message = message.into();
            told
        };
        let message = samples::message(vec![of_night("Frost possible tonight"), of_night("Frost at X")]);
        let subject = email.subject(&message);
        assert!(subject.contains("2 alerts") && subject.contains("Frost at X"), "{subject}");
        assert!(!subject.contains("possible"), "{subject}");
    }

    const GREETING: Act = Say("220 test");
    const EHLO: Act = On("EHLO", "250 test");
    const MAIL: Act = On("MAIL", "250 ok");
    const RCPT: Act = On("RCPT", "250 ok");
    const DATA: Act = On("DATA", "354 go on");

    #[tokio::test]
    async fn what_says_nothing_about_the_mail_is_tried_again() {
        for (tls, script) in [
            ("none", vec![Say("554 you are on a list"), Hang]),
            ("none", vec![GREETING, On("EHLO", "550 no"), Hang]),
            ("starttls", vec![GREETING, EHLO, Hang]),
            ("starttls", vec![GREETING, On("EHLO", "502 what"), Hang]),
            ("starttls", vec![GREETING, On("EHLO", "250-a\r\n250 STARTTLS"), On("STARTTLS", "502 no"), Hang]),
            ("none", vec![GREETING, EHLO, On("MAIL", "553 this sender may not"), Hang]),
            ("none", vec![GREETING, EHLO, MAIL, On("RCPT", "421 closing"), Hang]),
            ("none", vec![GREETING, EHLO, MAIL, RCPT, On("DATA", "250 what"), Hang]),
            ("none", vec![GREETING, EHLO, MAIL, RCPT, DATA, HearMail]),
        ] {
            let (reply, _) = reply(tls, "anna@example.org", &script).await;
            assert!(matches!(reply, Reply::Down(_)), "{script:?}: {reply:?}");
        }
        let busy = [GREETING, EHLO, MAIL, On("RCPT", "451 later"), Hang];
        assert!(matches!(reply("none", "a@example.org", &busy).await.0, Reply::Again(_)));
        let unknown = [GREETING, EHLO, MAIL, On("RCPT", "550 no such user"), Hang];
        assert!(matches!(reply("none", "a@example.org", &unknown).await.0, Reply::Refused(_)));
        let spam = [GREETING, EHLO, MAIL, RCPT, DATA, HearMail, Say("554 spam"), Hang];
        assert!(matches!(reply("none", "a@example.org", &spam).await.0, Reply::Refused(_)));
    }

    #[tokio::test]
    async fn a_domain_in_another_script_goes_to_any_server() {
        let script = [
            GREETING,
            On("EHLO xn--exmple-cua.org", "250 test"),
            On("MAIL FROM:<frost@xn--exmple-cua.org>", "250 ok"),
            On("RCPT TO:<anna@xn--exmple-cua.org>", "250 ok"),
            DATA,
            HearMail,
            Say("250 kept"),
        ];
        assert_eq!(reply("none", "anna@exämple.org", &script).await.0, Reply::Sent("250 kept".into()));
        // What is before the @ has no other spelling.
        let (refused, scripted) = reply("none", "änna@exämple.org", &[GREETING, EHLO, Hang]).await;
        assert!(matches!(&refused, Reply::Refused(reason) if reason.contains("SMTPUTF8")), "{refused:?}");
        assert_eq!(scripted.count("MAIL"), 0);
        let script = [
            GREETING,
            On("EHLO", "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8"),
            On("MAIL FROM:<frost@xn--exmple-cua.org> SMTPUTF8 BODY=8BITMIME", "250 ok"),
            On("RCPT TO:<änna@xn--exmple-cua.org>", "250 ok"),
            DATA,
            HearMail,
            Say("250 kept"),
        ];
        assert_eq!(reply("none", "änna@exämple.org", &script).await.0, Reply::Sent("250 kept".into()));
    }
}
