//! SMS through an HTTP gateway in Twilio's form.

use std::time::Duration;

use super::Attempt;
use super::http::Target;
use crate::config::SmsConfig;
use crate::rules::Address;
use crate::stages::{Message, Told};

/// Septets of one segment, and UTF-16 units of one where a character is outside of GSM's own alphabet.
const GSM_UNITS_MAX: usize = 160;
const UCS2_UNITS_MAX: usize = 70;

/// GSM 03.38, without those that take two places.
const GSM_ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡\
                            ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The alphabet's extension: each of these is sent as two septets.
const GSM_EXTENSION: &str = "^{}\\[~]|€";

pub(super) struct Sms {
    target: Target,
    user: String,
    password: String,
    from: String,
}

impl Sms {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(config: &SmsConfig, timeout: Duration) -> Result<Self, String> {
        let target = Target::new(&config.url, config.allow_private, timeout)
            .map_err(|reason| format!("notify.sms.url: {reason}"))?;
        let password =
            config.password.resolve().map_err(|reason| format!("notify.sms.password: {reason}"))?;
        Ok(Self { target, user: config.user.clone(), password, from: config.from.clone() })
    }

    /// Sends one message.
    pub(super) async fn send(&self, message: &Message, to: &Address) -> Attempt {
        let text = text(&message.notices);
        let form = [("To", to.0.as_str()), ("From", &self.from), ("Body", &text)];
        let request = self.target.post();
        // Twilio itself does not look at the key; gateways that do send nothing twice.
        let request =
            request.basic_auth(&self.user, Some(&self.password)).header("Idempotency-Key", &message.id);
        self.target.send(request.form(&form)).await
    }
}

/// The text of an SMS: one segment where it can be.
fn text(notices: &[Told]) -> String {
    let lines = notices.iter().map(|told| plain(&told.notice.message)).collect::<Vec<_>>();
    let full = lines.join("\n");
    if fits(&full) {
        return full;
    }
    let short: Vec<String> = notices.iter().map(|told| plain(&short(told))).collect();
    let all = short.join("\n");
    if fits(&all) {
        return all;
    }
    // As many as there is room for; the rest is counted.
    for count in (1..short.len()).rev() {
        let some = format!("{}\n+{} more", short[..count].join("\n"), short.len() - count);
        if fits(&some) {
            return some;
        }
    }
    let end = if short.len() > 1 { format!("+{} more", short.len() - 1) } else { String::new() };
    let mut cut = short.first().cloned().unwrap_or_default();
    while !cut.is_empty() && !fits(&format!("{cut}...{end}")) {
        cut.pop();
    }
    format!("{cut}...{end}")
}

/// What happened, as short as it can be said: `frost fired: TMIN 8.9 C, SCOTTSDALE MUNI AP, 2016-02-24`.
fn short(told: &Told) -> String {
    let notice = &told.notice;
    let place = notice.station_name.as_deref().unwrap_or(&notice.station);
    let values = notice.values.iter().filter(|(name, _)| notice.when.contains(name.as_str()));
    let values: Vec<String> = values.map(|(name, value)| format!("{name} {value}")).collect();
    let values = if values.is_empty() { String::new() } else { format!(" {},", values.join(" ")) };
    let text = format!("{} {}:{values} {place}, {}", notice.rule_id, notice.transition.as_str(), notice.date);
    // What is longer is cut again below, and marked.
    text.chars().take(GSM_UNITS_MAX + 1).collect()
}

/// Without the characters that would halve the room.
fn plain(text: &str) -> String {
    text.replace('°', "")
        .replace(['–', '—'], "-")
        .replace('…', "...")
        .replace(['\u{2018}', '\u{2019}', '`'], "'")
}

fn fits(text: &str) -> bool {
    match text.chars().map(septets).sum::<Option<usize>>() {
        Some(septets) => septets <= GSM_UNITS_MAX,
        None => text.encode_utf16().count() <= UCS2_UNITS_MAX,
    }
}

/// How much of a segment a character of GSM takes.
fn septets(c: char) -> Option<usize> {
    if GSM_ALPHABET.contains(c) {
        return Some(1);
    }
    GSM_EXTENSION.contains(c).then_some(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples::told;

    #[test]
    fn one_segment_where_it_can_be() {
        let one = [told("frost", "SCOTTSDALE MUNI AP")];
        assert_eq!(text(&one), "TMIN 8.9 C at SCOTTSDALE MUNI AP (USW00003192) on 2016-02-24: TMIN <= 10.0");
        let many: Vec<Told> = (0..9).map(|n| told(&format!("frost-{n}"), "SCOTTSDALE MUNI AP")).collect();
        let text_of_many = text(&many);
        assert!(fits(&text_of_many) && text_of_many.ends_with("more"), "{text_of_many}");
        assert!(text_of_many.starts_with("frost-0 fired: TMIN 8.9, SCOTTSDALE MUNI AP, 2016-02-24"));
        let greek = text(&[told("frost", "ΑΘΗΝΑ ΕΛΛΗΝΙΚΟΝ ΑΕΡΟΔΡΟΜΙΟ ΠΑΡΑΤΗΡΗΤΗΡΙΟ")]);
        assert!(fits(&greek), "{greek}");
        let long = text(&[told(&"x".repeat(90), &"Y".repeat(200))]);
        assert!(fits(&long) && long.ends_with("..."), "{long}");
    }

    #[test]
    fn characters_of_the_extension_take_two_places() {
        for c in GSM_EXTENSION.chars() {
            assert!(fits(&c.to_string().repeat(80)), "{c}");
            assert!(!fits(&format!("{}!", c.to_string().repeat(80))), "{c}");
        }
        let mut own = told("frost", "RED SANDS TRADING POST");
        own.notice.message = "[FROST] -6.0 C at RED SANDS TRADING POST on 2026-11-28: cover the citrus, start the fans and call \
                              the night crew now please"
            .into();
        assert_eq!(text(std::slice::from_ref(&own)), own.notice.message);
    }
}
