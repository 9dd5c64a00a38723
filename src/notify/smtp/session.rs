//! One SMTP connection: greeting, TLS, authentication, mails.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Answer, Failure, Step, Wire};
use super::{Envelope, Login, Secure};

/// A connection that accepts mails.
pub(super) struct Session {
    wire: Wire,
    offers: Offers,
    /// How many mails it has accepted.
    pub(super) mails: u32,
}

/// The server's announced capabilities.
#[derive(Debug, Default)]
struct Offers {
    has_starttls: bool,
    has_smtputf8: bool,
    has_8bitmime: bool,
    mechanisms: Vec<String>,
}

impl Offers {
    fn of(answer: &Answer) -> Self {
        let mut offers = Self::default();
        // The first line is the server's name.
        for line in answer.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            // The form of old servers.
            let line = line.replacen("AUTH=", "AUTH ", 1);
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => offers.has_starttls = true,
                Some("SMTPUTF8") => offers.has_smtputf8 = true,
                Some("8BITMIME") => offers.has_8bitmime = true,
                Some("AUTH") => offers.mechanisms.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        offers
    }
}

impl Session {
    /// Connects up to the point where mails are accepted.
    pub(super) async fn begin(
        mut wire: Wire,
        secure: &Secure,
        hello: &str,
        login: Option<&Login>,
    ) -> Result<Self, Failure> {
        let mut greeting = Step::Greeting;
        if let Secure::Tls(tls, name) = secure {
            wire = wire.secured(tls, name).await?;
            greeting = Step::GreetingInTls;
        }
        expect(wire.listen(greeting).await?, greeting, 220)?;
        let needs_ehlo = login.is_some() || matches!(secure, Secure::Starttls(..));
        let mut offers = greet(&mut wire, hello, needs_ehlo).await?;
        if let Secure::Starttls(tls, name) = secure {
            if !offers.has_starttls {
                let reason = "the server does not offer STARTTLS, and frostline does not send mail unencrypted: \
                              check the port, or set notify.email.tls = \"tls\" if the server expects TLS from \
                              the start";
                return Err(Failure::Broken { step: Step::Starttls, reason: reason.into() });
            }
            expect(wire.exchange(Step::Starttls, "STARTTLS").await?, Step::Starttls, 220)?;
            wire = wire.secured(tls, name).await?;
            // Capabilities announced unencrypted may come from an attacker.
            offers = greet(&mut wire, hello, needs_ehlo).await?;
        }
        if let Some(login) = login {
            authenticate(&mut wire, &offers, login).await?;
        }
        Ok(Self { wire, offers, mails: 0 })
    }

    /// Sends one mail.
    pub(super) async fn send(&mut self, envelope: &Envelope<'_>, mail: &[u8]) -> Result<Answer, Failure> {
        // Addresses are checked where they are entered; one with a line end would add a command.
        if [envelope.from, envelope.to].iter().any(|address| address.contains(char::is_control)) {
            return Err(Failure::Unsendable("the address has control characters"));
        }
        let mut parameters = String::new();
        if !envelope.from.is_ascii() || !envelope.to.is_ascii() {
            if !self.offers.has_smtputf8 {
                return Err(Failure::Unsendable(
                    "the address has letters outside of ASCII before the @, which this mail server does not accept \
                     (no SMTPUTF8)",
                ));
            }
            parameters.push_str(" SMTPUTF8");
        }
        if !mail.is_ascii() {
            if !self.offers.has_8bitmime {
                return Err(Failure::Unsendable(
                    "the mail has letters outside of ASCII in its head, which this mail server does not accept \
                     (no 8BITMIME)",
                ));
            }
            parameters.push_str(" BODY=8BITMIME");
        }
        let command = format!("MAIL FROM:<{}>{parameters}", envelope.from);
        let answer = self.wire.exchange(Step::Sender, &command).await?;
        expect_extended(answer, Step::Sender, 250, !parameters.is_empty())?;
        let answer = self.wire.exchange(Step::Recipient, &format!("RCPT TO:<{}>", envelope.to)).await?;
        // 251: it forwards the mail.
        let hoped = if answer.code == 251 { 251 } else { 250 };
        expect(answer, Step::Recipient, hoped)?;
        expect(self.wire.exchange(Step::Data, "DATA").await?, Step::Data, 354)?;
        let answer = expect(self.wire.send_mail(mail).await?, Step::Mail, 250)?;
        self.mails += 1;
        Ok(answer)
    }

    /// Whether it can still be used after a pause.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.wire.is_quiet().await
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    pub(super) async fn quit(self) {
        self.wire.quit().await;
    }
}

/// EHLO, or HELO to a server that does not know EHLO, if nothing is needed that only EHLO offers.
async fn greet(wire: &mut Wire, hello: &str, needs_ehlo: bool) -> Result<Offers, Failure> {
    let answer = wire.exchange(Step::Hello, &format!("EHLO {hello}")).await?;
    if matches!(answer.code, 500 | 502) && !needs_ehlo {
        let answer = wire.exchange(Step::Hello, &format!("HELO {hello}")).await?;
        return expect(answer, Step::Hello, 250).map(|_| Offers::default());
    }
    expect(answer, Step::Hello, 250).map(|answer| Offers::of(&answer))
}

async fn authenticate(wire: &mut Wire, offers: &Offers, login: &Login) -> Result<(), Failure> {
    let step = Step::Login;
    let offers = |name: &str| offers.mechanisms.iter().any(|offered| offered == name);
    let answer = if offers("PLAIN") {
        let token = STANDARD.encode(format!("\0{}\0{}", login.user, login.password.as_str()));
        wire.exchange(step, &format!("AUTH PLAIN {token}")).await?
    } else if offers("LOGIN") {
        expect(wire.exchange(step, "AUTH LOGIN").await?, step, 334)?;
        expect(wire.exchange(step, &STANDARD.encode(&login.user)).await?, step, 334)?;
        wire.exchange(step, &STANDARD.encode(&login.password)).await?
    } else {
        let reason = "the server offers neither PLAIN nor LOGIN for authentication: check the port, or remove \
                      notify.email.user";
        return Err(Failure::Broken { step, reason: reason.into() });
    };
    expect(answer, step, 235).map(drop)
}

fn expect(answer: Answer, step: Step, code: u16) -> Result<Answer, Failure> {
    expect_extended(answer, step, code, false)
}

/// `is_extended`: whether the command uses an extension that not every mail needs.
fn expect_extended(answer: Answer, step: Step, code: u16, is_extended: bool) -> Result<Answer, Failure> {
    match answer.code {
        found if found == code => Ok(answer),
        400..=599 => Err(Failure::Answered { step, answer, is_extended }),
        _ => Err(Failure::Broken { step, reason: format!("expected {code}, the server answered {answer}") }),
    }
}
