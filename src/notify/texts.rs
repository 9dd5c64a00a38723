//! Makes the texts of alerts fit for people.
//!
//! A rule's own texts are checked when the rule is read. The content of observations is not, and a station may have
//! any name: with line ends that forge further lines of a mail, with characters that clear a terminal, or with
//! characters that reverse the rest. Here all texts of a message are cleaned on their way to any channel.

use crate::printable::{is_steering, without_stacks};
use crate::stages::{Message, Notice};

/// The message without characters that control how text is shown.
pub(super) fn cleaned(message: &Message) -> Message {
    let mut message = message.clone();
    for told in &mut message.notices {
        each_text(&mut told.notice, |text| *text = cleaned_text(text));
    }
    message
}

fn each_text(notice: &mut Notice, then: impl FnMut(&mut String)) {
    // By name, so that a text added to notices cannot be forgotten here.
    let Notice {
        alert_id,
        rule_id,
        transition: _,
        severity: _,
        station,
        station_name,
        date,
        message,
        when,
        clear,
        values,
        episode,
        retracts,
        days: _,
    } = notice;
    let texts = [alert_id, rule_id, station, date, message, when].into_iter();
    let texts = texts.chain([station_name, clear, episode, retracts].into_iter().flatten());
    texts.chain(values.iter_mut().map(|(name, _)| name)).for_each(then);
}

/// Replaces each run of characters that end lines or control devices by a space. Removes characters that only change
/// direction or are invisible, and excess combining marks.
fn cleaned_text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut was_control = false;
    for c in text.chars() {
        let is_control = is_control(c);
        if is_control && !was_control {
            clean.push(' ');
        } else if !is_control && !is_steering(c) {
            clean.push(c);
        }
        was_control = is_control;
    }
    without_stacks(&clean).into_owned()
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;

    #[test]
    fn what_steers_is_no_text() {
        assert_eq!(cleaned_text("A\r\nBcc: x\u{1b}[2J\u{202e}yx"), "A Bcc: x [2Jyx");
        assert_eq!(cleaned_text("F\u{200b}R\u{2062}O\u{3164}S\u{feff}T\u{fe0f}"), "FROST");
        assert_eq!(cleaned_text(&format!("a{}", "\u{489}".repeat(90))).chars().count(), 4);
        let plain = samples::message(vec![samples::told("frost", "SCOTTSDALE MUNI AP — ΑΘΗΝΑ °")]);
        assert_eq!(cleaned(&plain), plain);
        let forged = samples::message(vec![samples::told("frost", "X\r\nBcc: y\u{2067}")]);
        let forged = cleaned(&forged);
        let notice = &forged.notices[0].notice;
        assert_eq!(notice.station_name.as_deref(), Some("X Bcc: y"));
        assert!(notice.message.contains("at X Bcc: y ("), "{}", notice.message);
    }
}
