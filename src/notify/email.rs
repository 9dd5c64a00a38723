//! Mail over SMTP: TLS from the start or STARTTLS, never in clear but to this machine.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::page::{Footer, Page};
use super::{Attempt, Attempts};
use crate::config::{EmailConfig, MailTls, NotifyConfig, resolve_secret};
use crate::noaa::{RecentDays, StationId};
use crate::rules::Address;
use crate::stages::{Message, Reply};

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 150;

/// Answers that say nothing about the mail: the server wants somebody else, or another way to speak.
const ANSWERS_TO_OPERATORS: [u16; 6] = [421, 454, 530, 534, 535, 538];

pub(super) struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    unsubscribe: String,
    manage_url: String,
    subject: String,
}

/// To whom a mail goes.
pub(super) struct To<'a> {
    pub(super) address: &'a Address,
    pub(super) name: Option<&'a str>,
    /// Why it comes to them, in words.
    pub(super) why: &'a str,
}

impl Email {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(
        config: &EmailConfig,
        notify: &NotifyConfig,
        attempts: &Attempts,
    ) -> Result<Self, String> {
        let from: Mailbox = config.from.parse().map_err(|error| format!("notify.email.from: {error}"))?;
        let unsubscribe = match config.unsubscribe.as_str() {
            "" => format!("mailto:{}?subject=unsubscribe", from.email),
            given => given.to_owned(),
        };
        Ok(Self {
            transport: transport(config, attempts, from.email.domain())?,
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
        match self.transport.send(mail).await {
            Ok(response) => {
                let answer = response.message().collect::<Vec<_>>().join(" ");
                Attempt { reply: Reply::Sent(format!("{} {answer}", response.code())) }
            }
            Err(error) => judge(&error),
        }
    }

    fn mail(&self, message: &Message, to: &To<'_>, recent: &RecentDays) -> Result<lettre::Message, String> {
        let address = to.address.0.parse().map_err(|_| "the address cannot be used in a mail".to_owned())?;
        let id = |id: &str| format!("<{id}@{}>", self.from.email.domain());
        let days = |station: &str| {
            StationId::parse(station.as_bytes()).map(|station| recent.days(station)).unwrap_or_default()
        };
        let footer = Footer { why: to.why, manage_url: &self.manage_url, unsubscribe: &self.unsubscribe };
        let page = Page { message, footer, days: &days };
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
        let Some(told) = message.notices.first() else { return String::new() };
        let (notice, count) = (&told.notice, message.notices.len());
        let mut subject = self.subject.clone();
        if count > 1 && !subject.contains("{count}") {
            subject = format!("{{count}} alerts: {subject}");
        }
        let fields = [
            ("{count}", count.to_string()),
            ("{rule}", notice.rule_id.clone()),
            ("{station}", notice.place()),
            ("{date}", notice.date.clone()),
            ("{severity}", message.severity().as_str().to_owned()),
            ("{transition}", notice.transition.as_str().to_owned()),
            ("{message}", notice.message.clone()),
        ];
        // What a value says is not looked at again: the message comes last, and names have no braces.
        let filled = fields.iter().fold(subject, |text, (field, value)| text.replace(field, value));
        filled.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SUBJECT_CHARS_MAX).collect()
    }
}

fn transport(
    config: &EmailConfig,
    attempts: &Attempts,
    domain: &str,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let (host, port) = config.host_and_port();
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(path) = &config.ca {
        let wrong = |error: String| format!("notify.email.ca: {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
        tls = tls.add_root_certificate(certificate);
    }
    let tls = tls.build_rustls().map_err(|error| format!("notify.email: {error}"))?;
    // Dangerous alone: what follows says how it is secured, and the configuration allows `none` to loopback only.
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .timeout(Some(attempts.timeout))
        .hello_name(ClientId::Domain(domain.to_owned()))
        .pool_config(PoolConfig::new().max_size(u32::try_from(attempts.concurrency).unwrap_or(8)))
        .tls(match config.tls {
            MailTls::Starttls => Tls::Required(tls),
            MailTls::Tls => Tls::Wrapper(tls),
            MailTls::None => Tls::None,
        });
    if !config.user.is_empty() {
        let password = resolve_secret(&config.password);
        let password = password.map_err(|reason| format!("notify.email.password: {reason}"))?;
        builder = builder.credentials(Credentials::new(config.user.clone(), password));
    }
    Ok(builder.build())
}

fn judge(error: &lettre::transport::smtp::Error) -> Attempt {
    let code = error.status().map(u16::from);
    let mut reason = error.to_string();
    if let Some(source) = std::error::Error::source(error)
        && code.is_none()
    {
        reason = format!("{reason}: {source}");
    }
    match code {
        // It cannot even be put as this server wants it, which says nothing about other mails.
        None if error.is_client() && !reason.contains("authentication") => Attempt::refused(reason),
        None => Attempt::ill(reason),
        Some(code) if ANSWERS_TO_OPERATORS.contains(&code) => Attempt::ill(reason),
        Some(500..=599) => Attempt::refused(reason),
        Some(_) => Attempt { reply: Reply::Again(reason) },
    }
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}
