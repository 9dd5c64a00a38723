//! SMS through an HTTP gateway in Twilio's form.

use std::time::Duration;

use super::Attempt;
use super::http::Target;
use super::newest::newest_of_each;
use super::page::with_unit;
use crate::config::{SecretText, SmsConfig};
use crate::rules::{Address, Units};
use crate::stages::{GSM_UNITS_MAX, Message, Notice, Told, fits_one_sms, plain_sms};

pub(super) struct Sms {
    target: Target,
    user: String,
    password: SecretText,
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
    pub(super) async fn send(&self, message: &Message, to: &Address, units: Option<Units>) -> Attempt {
        let text = text(&message.notices, units);
        let form = [("To", to.0.as_str()), ("From", &self.from), ("Body", &text)];
        let request = self.target.post();
        // Twilio itself ignores the key; gateways that use it send no message twice.
        let request = request
            .basic_auth(&self.user, Some(self.password.as_str()))
            .header("Idempotency-Key", &message.id);
        self.target.send(request.form(&form)).await
    }
}

/// The text of an SMS: one segment. The newest alert of each event comes first; alerts without room are counted. Without
/// `units` in those of each rule.
fn text(notices: &[Told], units: Option<Units>) -> String {
    let notices = newest_of_each(notices);
    let lines = notices.iter().map(|notice| plain_sms(&notice.message)).collect::<Vec<_>>();
    let full = lines.join("\n");
    if fits_one_sms(&full) {
        return full;
    }
    let short: Vec<String> = notices.iter().map(|notice| plain_sms(&short(notice, units))).collect();
    let all = short.join("\n");
    if short.len() > 1 && fits_one_sms(&all) {
        return all;
    }
    // As many as there is room for.
    for lines in [&short, &lines] {
        for count in (1..lines.len()).rev() {
            let some = format!("{}\n+{} more", lines[..count].join("\n"), lines.len() - count);
            if fits_one_sms(&some) {
                return some;
            }
        }
    }
    let end = if lines.len() > 1 { format!("+{} more", lines.len() - 1) } else { String::new() };
    // A text longer than a segment is truncated and marked.
    let mut cut: String = lines.first().map_or("", |line| line).chars().take(GSM_UNITS_MAX + 1).collect();
    while !cut.is_empty() && !fits_one_sms(&format!("{cut}...{end}")) {
        cut.pop();
    }
    format!("{cut}...{end}")
}

/// The event in a few words: `frost fired: TMIN 8.9 °C, SCOTTSDALE MUNI AP, 2016-02-24`. For an alert without values,
/// such as one of a night, its own text, which is short already.
fn short(notice: &Notice, units: Option<Units>) -> String {
    let units = notice.units(units).unwrap_or_default();
    let values = notice.values.iter().filter(|(name, _)| notice.when.contains(name.as_str()));
    let values: Vec<String> = values.map(|value| with_unit(value, units)).collect();
    if values.is_empty() {
        return notice.message.clone();
    }
    let place = notice.station_name.as_deref().unwrap_or(&notice.station);
    format!(
        "{} {}: {}, {place}, {}",
        notice.rule_id,
        notice.transition.as_str(),
        values.join(" "),
        notice.date
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples::told;

    #[test]
    fn one_segment_where_it_can_be() {
        let one = [told("frost", "SCOTTSDALE MUNI AP")];
        assert_eq!(
            text(&one, None),
            "TMIN 8.9 C at SCOTTSDALE MUNI AP (USW00003192) on 2016-02-24: TMIN <= 10.0"
        );
        let many: Vec<Told> = (0..9).map(|n| told(&format!("frost-{n}"), "SCOTTSDALE MUNI AP")).collect();
        let text_of_many = text(&many, None);
        assert!(fits_one_sms(&text_of_many) && text_of_many.ends_with("more"), "{text_of_many}");
        assert!(text_of_many.starts_with("frost-8 fired: TMIN 8.9 C, SCOTTSDALE MUNI AP, 2016-02-24"));
        let of_anna = text(&many, Some(Units::Us));
        assert!(of_anna.starts_with("frost-8 fired: TMIN 48 F, SCOTTSDALE"), "{of_anna}");
        let greek = text(&[told("frost", "ΑΘΗΝΑ ΕΛΛΗΝΙΚΟΝ ΑΕΡΟΔΡΟΜΙΟ ΠΑΡΑΤΗΡΗΤΗΡΙΟ")], None);
        assert!(fits_one_sms(&greek), "{greek}");
        let long = text(&[told(&"x".repeat(90), &"Y".repeat(200))], None);
        assert!(fits_one_sms(&long) && long.ends_with("..."), "{long}");
    }

    #[test]
    fn a_text_that_is_one_segment_stays_as_it_is() {
        let mut own = told("frost", "RED SANDS TRADING POST");
        own.notice.message = "[FROST] -6.0 C at RED SANDS TRADING POST on 2026-11-28: cover the citrus, start the fans and call \
                              the night crew now please"
            .into();
        assert_eq!(text(std::slice::from_ref(&own), None), own.notice.message);
    }

    #[test]
    fn the_newest_of_a_night_stands_for_it() {
        let of_night = |transition: &str, message: &str| {
            let mut told = told("frost-tonight", "X");
            told.notice.alert_id = format!("frost-tonight/X/2026-11-28/{transition}");
            told.notice.episode = Some("frost-tonight/X/2026-11-28".into());
            (told.notice.values, told.notice.message) = (Vec::new(), message.into());
            told
        };
        let gathered = [
            told("other", "Y"),
            of_night("expected", "Frost likely tonight at X"),
            of_night("confirmed", "Frost at X: 31 °F"),
        ];
        let text = text(&gathered, None);
        assert!(text.starts_with("Frost at X: 31 F\nTMIN 8.9 C at Y"), "{text}");
        assert!(!text.contains("likely"), "{text}");
    }
}
