//! The size of one SMS.

/// Septets of one segment, and UTF-16 units of one if a character is outside of GSM's own alphabet.
pub const GSM_UNITS_MAX: usize = 160;
const UCS2_UNITS_MAX: usize = 70;

/// GSM 03.38, without characters that take two septets.
const GSM_ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡\
                            ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The alphabet's extension: each of these is sent as two septets.
const GSM_EXTENSION: &str = "^{}\\[~]|€";

/// The text without characters that would halve the size. The degree sign is one: no GSM alphabet has it.
pub fn plain_sms(text: &str) -> String {
    text.replace('°', "")
        .replace(['–', '—', '\u{2212}'], "-")
        .replace('…', "...")
        .replace(['\u{2018}', '\u{2019}', '`'], "'")
        .replace(['\u{a0}', '\u{202f}'], " ")
}

/// Whether the text is one segment.
pub fn fits_one_sms(text: &str) -> bool {
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

    #[test]
    fn characters_of_the_extension_take_two_places() {
        for c in GSM_EXTENSION.chars() {
            assert!(fits_one_sms(&c.to_string().repeat(80)), "{c}");
            assert!(!fits_one_sms(&format!("{}!", c.to_string().repeat(80))), "{c}");
        }
    }

    #[test]
    fn a_degree_sign_would_halve_the_room() {
        let text = format!("29 °F{}", "x".repeat(155));
        assert!(!fits_one_sms(&text) && fits_one_sms(&plain_sms(&text)));
        assert_eq!(plain_sms("29 °F – 31\u{a0}°F"), "29 F - 31 F");
    }
}
