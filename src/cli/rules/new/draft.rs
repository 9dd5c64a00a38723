//! The text of a new rule, written to fit the rule file that it is appended to.

use crate::noaa::StationId;
use crate::printable::printable;
use crate::rules::{Conditions, Limit, Nearest, RuleFile, Subscriber, Units};

/// The request.
pub(super) struct Request<'a> {
    /// The rule's id, if one was named.
    pub(super) id: Option<&'a str>,
    pub(super) email: Option<&'a str>,
    /// The point and its elevation in metres.
    pub(super) near: Option<((f64, f64), Option<f64>)>,
    pub(super) station: Option<StationId>,
    pub(super) below: Limit,
    pub(super) tonight: bool,
}

/// A rule to append.
pub(super) struct Draft {
    /// TOML that starts with an empty line.
    pub(super) text: String,
    /// The new rule's id.
    pub(super) id: String,
    /// The subscriber of the file that has the address already.
    pub(super) reused: Option<String>,
    /// The whole file with the rule.
    pub(super) file: RuleFile,
}

/// Writes the rule. `existing` is the text of the file that it will be appended to, empty for a new one; `found` is
/// the station that was found near the point.
///
/// # Errors
/// Why it cannot be appended, and what to do.
pub(super) fn draft(request: &Request<'_>, found: Option<&Nearest>, existing: &str) -> Result<Draft, String> {
    if existing.trim_start().starts_with('{') {
        return Err(
            "the file holds JSON lines: name another file with --out, or print the rule without --out".into(),
        );
    }
    let before = parse(existing).map_err(|mistake| format!("{mistake}: correct that first"))?;
    let id = rule_id(request, &before)?;
    let subscriber = request.email.map(|email| subscriber(email, request.below.units(), &before));
    let mut text = format!("\n[[rule]]\nid = {}\n", quoted(&id));
    if let Some((subscriber, _)) = &subscriber {
        text.push_str(&format!("subscribers = [{}]\n", quoted(subscriber)));
    }
    text.push_str(&place(request, found));
    text.push_str(&format!(
        "when = \"{}\"\nseverity = \"warning\"\n",
        request.below.condition(request.tonight)
    ));
    if let Some(((subscriber, false), email)) = subscriber.as_ref().zip(request.email) {
        let units = if request.below.units() == Units::Us { "us" } else { "metric" };
        text.push_str(&format!(
            "\n[[subscriber]]\nid = {}\nemail = {}\nunits = \"{units}\"\n",
            quoted(subscriber),
            quoted(email)
        ));
    }
    let whole = format!("{}{text}", ended(existing));
    let file = parse(&whole).map_err(|mistake| format!("the rule would not work: {mistake}"))?;
    let reused = subscriber.and_then(|(id, is_reused)| is_reused.then_some(id));
    Ok(Draft { text: whole[existing.len()..].to_owned(), id, reused, file })
}

/// The text with a line end, unless it is empty.
fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// Named subscribers may be in the topic.
fn parse(text: &str) -> Result<RuleFile, String> {
    RuleFile::parse(text, &mut Conditions::default(), &|_| true)
        .map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())
}

/// The requested id if the file has no such rule, otherwise a free one.
fn rule_id(request: &Request<'_>, before: &RuleFile) -> Result<String, String> {
    let is_taken = |id: &str| before.rules.iter().any(|(definition, _)| definition.id == id);
    match request.id {
        Some(id) if is_taken(id) => Err(format!(
            "the file already has a rule `{id}`: choose another id with --id, or remove that rule"
        )),
        Some(id) => Ok(id.to_owned()),
        None => Ok(free(if request.tonight { "frost-tonight" } else { "frost" }, is_taken)),
    }
}

/// `name`, or `name-2` and so on.
fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|id| !is_taken(id)).unwrap_or_default()
}

/// The id for an address, and whether the file has that subscriber already. The same address with other units is a
/// new subscriber.
fn subscriber(email: &str, units: Units, before: &RuleFile) -> (String, bool) {
    let has_address = |known: &Subscriber| known.email.as_ref().is_some_and(|known| known.0 == email);
    let same =
        before.subscribers.iter().find(|known| has_address(known) && known.units.is_none_or(|u| u == units));
    match same {
        Some(known) => (known.id.clone(), true),
        None => {
            let is_taken = |id: &str| before.subscribers.iter().any(|known| known.id == id);
            (free(&subscriber_id(email), is_taken), false)
        }
    }
}

/// The part before the @, as an id.
fn subscriber_id(email: &str) -> String {
    let name = email.split('@').next().unwrap_or_default();
    let id: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    if id.trim_matches('-').is_empty() { "me".to_owned() } else { id }
}

/// The station, if one was found: a rule with `near` watches no station until it finds one itself.
fn place(request: &Request<'_>, found: Option<&Nearest>) -> String {
    let near = request.near.map(|((lat, lon), elevation)| {
        let elevation = elevation.map(|metres| format!(", elevation = {metres:?}")).unwrap_or_default();
        format!("near = {{ lat = {lat:?}, lon = {lon:?}{elevation} }}\n")
    });
    match (near, found, request.station) {
        (Some(near), Some(found), _) => {
            let name = printable(found.name.as_deref().unwrap_or("the nearest that reports"));
            format!(
                "station = \"{}\" # {name}, {} km away; to follow the nearest station that reports, replace this line by:\n\
                 # {near}",
                found.station, found.km
            )
        }
        (Some(near), None, _) => near,
        (None, _, Some(station)) => format!("station = \"{station}\"\n"),
        (None, _, None) => String::new(),
    }
}

/// The text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(email: Option<&'a str>, below: &str) -> Request<'a> {
        let near = Some(((40.7, -74.2), None));
        Request { id: None, email, near, station: None, below: below.parse().unwrap(), tonight: true }
    }

    fn drafted(request: &Request<'_>, existing: &str) -> String {
        draft(request, None, existing).map(|draft| draft.text).unwrap()
    }

    #[test]
    fn a_file_takes_one_rule_after_the_other() {
        let mut text = String::new();
        for _ in 0..3 {
            text += &drafted(&request(Some("Anna.Huber@example.org"), "32F"), &text);
        }
        let file = parse(&text).unwrap();
        let ids: Vec<&str> = file.rules.iter().map(|(definition, _)| definition.id.as_str()).collect();
        assert_eq!(ids, ["frost-tonight", "frost-tonight-2", "frost-tonight-3"]);
        let subscribers: Vec<&str> =
            file.subscribers.iter().map(|subscriber| subscriber.id.as_str()).collect();
        assert_eq!(subscribers, ["anna-huber"], "the same person is one subscriber");
        // Two people whose addresses begin alike, and one who wants other units.
        for (email, below, id) in [
            ("anna.huber@example.com", "32F", "anna-huber-2"),
            ("Anna.Huber@example.org", "0C", "anna-huber-3"),
            ("@", "0C", "me"),
        ] {
            if let Ok(draft) = draft(&request(Some(email), below), None, &text) {
                assert!(draft.text.contains(&format!("[[subscriber]]\nid = \"{id}\"")), "{}", draft.text);
                text += &draft.text;
            } else {
                assert_eq!(email, "@", "an address that is no address is a mistake");
            }
        }
        assert_eq!(parse(&text).unwrap().subscribers.len(), 3);
    }

    fn refused(request: &Request<'_>, existing: &str) -> String {
        draft(request, None, existing).err().unwrap_or_default()
    }

    #[test]
    fn what_would_break_the_file_is_refused() {
        let own = Request { id: Some("frost"), ..request(None, "32F") };
        let text = drafted(&own, "");
        let error = refused(&own, &text);
        assert!(error.contains("already has a rule `frost`") && error.contains("--id"), "{error}");
        let broken = "[[rule]]\nid = \"x\"\nstation = \"USW00003192\"\nwhen = \"TMIN <= \"\n";
        let error = refused(&own, broken);
        assert!(error.contains("4:17") && error.contains("correct that first"), "{error}");
        assert!(refused(&own, "{\"rule\": {}}").contains("JSON lines"));
        // A last line without its end stays a line of its own.
        let whole = format!("{}{}", text.trim_end(), drafted(&request(None, "28F"), text.trim_end()));
        assert_eq!(parse(&whole).unwrap().rules.len(), 2);
    }

    #[test]
    fn the_station_that_was_found_stands_in_the_rule() {
        let found = Nearest {
            station: StationId::parse(b"USW00014734").unwrap(),
            name: Some("NEWARK\n[[rule]]".into()),
            km: 3.1,
            higher_by_m: None,
        };
        let draft = draft(&request(None, "32F"), Some(&found), "").ok().unwrap();
        assert!(draft.text.contains("\nstation = \"USW00014734\" # NEWARK"), "{}", draft.text);
        assert!(draft.text.contains("\n# near = { lat = 40.7, lon = -74.2 }\n"), "{}", draft.text);
        assert_eq!(draft.file.rules.len(), 1);
        assert!(draft.file.rules[0].0.near.is_none(), "one of both");
    }
}
