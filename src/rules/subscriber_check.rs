//! Checks subscribers.

use jiff::tz::TimeZone;

use super::channel::address_fields;
use super::plain_words::{one_of, shown};
use super::problem::{Problem, Problems, check_id};
use super::subscriber::{Subscriber, minute_of_day};
use crate::spelling::advice;

/// Highest possible hourly limit of messages.
const PER_HOUR_MAX: u16 = 1_000;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 100;

impl Subscriber {
    /// Checks the definition.
    ///
    /// # Errors
    /// All mistakes.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        check_id("subscriber", &self.id, &mut problems);
        if let Some(name) = &self.name {
            let sound = !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX;
            if !sound || name.chars().any(char::is_control) {
                let expected = format!("expected one line of at most {NAME_CHARS_MAX} characters");
                problems.add("name", 0, format!("name: {expected}"));
            }
        }
        let mut has_address = false;
        for field in address_fields() {
            if let Some(value) = (field.of)(self) {
                has_address = true;
                (field.check)(value, &mut problems);
            }
        }
        if !has_address {
            let expected = one_of(&address_fields().map(|field| field.name).collect::<Vec<_>>());
            let message = format!("subscriber {} has no address: expected {expected}", shown(&self.id));
            problems.add("id", 0, message);
        }
        self.check_times(&mut problems);
        if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
    }

    fn check_times(&self, problems: &mut Problems) {
        if let Some(name) = &self.timezone
            && TimeZone::get(name).is_err()
        {
            let expected = "expected a name as in America/Phoenix or Europe/Vienna";
            let known: Vec<String> = jiff::tz::db().available().map(|known| known.to_string()).collect();
            let advice = advice(name, known.iter().map(String::as_str));
            problems.add("timezone", 0, format!("timezone {}: {expected}{advice}", shown(name)));
        }
        if self.per_hour.is_some_and(|per_hour| !(1..=PER_HOUR_MAX).contains(&per_hour)) {
            problems.add("per_hour", 0, format!("per_hour: expected 1 to {PER_HOUR_MAX}"));
        }
        let Some(quiet) = &self.quiet else { return };
        for time in [&quiet.from, &quiet.to] {
            if minute_of_day(time).is_none() {
                problems.add("quiet", 0, format!("{time:?}: expected a time of day as in 22:00"));
            }
        }
        let (from, to) = (minute_of_day(&quiet.from), minute_of_day(&quiet.to));
        if from.is_some() && from == to {
            problems.add("quiet", 0, "from and to are the same: expected two times of day");
        }
        if self.timezone.is_none() {
            let advice = "add one, for example timezone = \"America/Phoenix\"";
            problems.add("quiet", 0, format!("quiet hours need a time zone: {advice}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Address, Channel, QuietHours, Severity};

    #[test]
    fn each_address_is_checked_and_leads_to_its_channel() {
        for channel in Channel::all() {
            let Some(field) = &channel.descriptor().field else { continue };
            let wrong = serde_json::json!({ "id": "a", field.name: "not an address" });
            let wrong: Subscriber = serde_json::from_value(wrong).unwrap();
            assert_eq!((field.of)(&wrong), Some("not an address"));
            let problems = wrong.check().unwrap_err();
            assert_eq!(problems.len(), 1, "{channel}");
            let is_private = !channel.descriptor().is_named;
            assert_eq!(format!("{wrong:?}").contains("not an address"), !is_private, "{channel}");
            assert_eq!(problems[0].message.contains("not an address"), !is_private, "{channel}");
        }
    }

    #[test]
    fn mistakes_are_reported_without_addresses() {
        let wrong = Subscriber {
            id: "a".into(),
            name: Some("x\r\nBcc: y".into()),
            phone: Some(Address("0664 9876543".into())),
            timezone: Some("Mars/Olympus".into()),
            quiet: Some(QuietHours { from: "25:00".into(), to: "6".into(), pass: Severity::Critical }),
            ..Subscriber::default()
        };
        let problems = wrong.check().unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field).collect();
        assert_eq!(fields, ["name", "phone", "timezone", "quiet", "quiet"]);
        assert!(problems.iter().all(|problem| !problem.message.contains("9876543")));
        let nowhere = Subscriber { id: "b".into(), ..Subscriber::default() };
        assert!(nowhere.check().unwrap_err()[0].message.contains("no address"));
        let sound = Subscriber {
            id: "anna".into(),
            email: Some(Address("anna@example.org".into())),
            ..Subscriber::default()
        };
        assert!(sound.check().is_ok());
    }
}
