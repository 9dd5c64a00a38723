//! The groups of a METAR, one by one. Each function returns `None` for a group of another kind, and for values that are
//! missing (`////`) or damaged.

pub(super) const M_S_PER_KNOT: f64 = 1_852.0 / 3_600.0;
const M_S_PER_KM_H: f64 = 1.0 / 3.6;
const HPA_PER_IN_HG: f64 = 33.863_9;
/// The range of possible pressures at sea level, in hPa.
const PRESSURE_HPA: std::ops::RangeInclusive<f64> = 850.0..=1_100.0;
/// Cover in eighths of the words for clouds. `VV` is a sky that cannot be seen.
const COVERS: [(&str, u8); 6] = [("FEW", 2), ("SCT", 4), ("BKN", 7), ("OVC", 8), ("VV", 8), ("SKC", 0)];
/// The parts of weather groups.
const WEATHER: [&str; 31] = [
    "MI", "BC", "PR", "DR", "BL", "SH", "TS", "FZ", "DZ", "RA", "SN", "SG", "IC", "PL", "GR", "GS", "UP",
    "BR", "FG", "FU", "VA", "DU", "SA", "HZ", "PY", "PO", "SQ", "FC", "SS", "DS", "PE",
];

/// Whether a group has the form of a day and time: `310456Z`; some stations leave out the Z.
pub(super) fn is_time(token: &str) -> bool {
    digits(token.strip_suffix('Z').unwrap_or(token), 6).is_some()
}

/// `310456Z`: day of the month, hour and minute.
pub(super) fn clock(token: &str) -> Option<(u8, u8, u8)> {
    let number = digits(token.strip_suffix('Z').unwrap_or(token), 6)?;
    let part = |divisor: u32| (number / divisor % 100) as u8;
    let (day, hour, minute) = (part(10_000), part(100), part(1));
    ((1..=31).contains(&day) && hour < 24 && minute < 60).then_some((day, hour, minute))
}

/// `11/06`, `M02/M11`, `M00/`, `11///`: temperature and dew point in whole degrees.
pub(super) fn temperature(token: &str) -> Option<(Option<f64>, Option<f64>)> {
    let (temperature, dew_point) = token.split_once('/')?;
    let degrees = |text: &str| {
        let below = text.strip_prefix('M').or_else(|| text.strip_prefix('-'));
        let number = f64::from(digits(below.unwrap_or(text), 2)?);
        Some(if below.is_some() { -number + 0.0 } else { number })
    };
    let dew_point_c = degrees(dew_point);
    let is_missing = matches!(dew_point, "" | "/" | "//" | "XX" | "MM");
    (dew_point_c.is_some() || is_missing).then_some(())?;
    Some((Some(degrees(temperature)?), dew_point_c))
}

/// `T01110056`, `T1002`: the same in tenths; a 1 stands for minus.
pub(super) fn tenths(token: &str) -> Option<(Option<f64>, Option<f64>)> {
    let text = token.strip_prefix('T').filter(|text| text.is_ascii())?;
    let degrees = |text: &str| {
        let number = f64::from(digits(text.get(1..)?, 3)?) / 10.0;
        match text.as_bytes()[0] {
            b'0' => Some(number),
            b'1' => Some(-number + 0.0),
            _ => None,
        }
    };
    match text.len() {
        4 => Some((Some(degrees(text)?), None)),
        8 => Some((Some(degrees(&text[..4])?), degrees(&text[4..]))),
        _ => None,
    }
}

/// `28011KT`, `VRB03KT`, `24015G28KT`, `05005MPS`, `27018KMH`, `240P99KT`.
pub(super) fn wind_m_s(token: &str) -> Option<f64> {
    let units = [
        ("KTS", M_S_PER_KNOT),
        ("KT", M_S_PER_KNOT),
        ("MPS", 1.0),
        ("KMH", M_S_PER_KM_H),
        ("KPH", M_S_PER_KM_H),
    ];
    let (text, unit) = units.iter().find_map(|(name, unit)| Some((token.strip_suffix(name)?, unit)))?;
    let (direction, speed) = text.split_at_checked(3)?;
    (matches!(direction, "VRB" | "///") || digits(direction, 3).is_some()).then_some(())?;
    let speed = speed.split('G').next().unwrap_or_default();
    let speed = speed.strip_prefix('P').unwrap_or(speed);
    let speed = digits(speed, 2).or_else(|| digits(speed, 3))?;
    Some(rounded(f64::from(speed) * unit))
}

/// `A3001` in hundredths of an inch, `Q1016` in hPa.
pub(super) fn pressure_hpa(token: &str) -> Option<f64> {
    match token.strip_prefix('A') {
        Some(inches) => hpa_of_inches(f64::from(digits(inches, 4)?) / 100.0),
        None => possible(f64::from(digits(token.strip_prefix('Q')?, 4)?)),
    }
}

/// Inches of mercury in hPa.
pub(super) fn hpa_of_inches(inches: f64) -> Option<f64> {
    possible(inches * HPA_PER_IN_HG)
}

fn possible(pressure: f64) -> Option<f64> {
    PRESSURE_HPA.contains(&pressure).then(|| rounded(pressure))
}

/// `BKN180`, `OVC003CB`, `VV002`, `SKC`, `CAVOK`: eighths.
pub(super) fn cloud_oktas(token: &str) -> Option<u8> {
    if matches!(token, "CLR" | "NSC" | "NCD" | "CAVOK") {
        return Some(0);
    }
    COVERS.iter().find_map(|(word, oktas)| {
        let height = token.strip_prefix(word)?;
        let height = height.strip_suffix("CB").or_else(|| height.strip_suffix("TCU")).unwrap_or(height);
        height.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/').then_some(*oktas)
    })
}

/// `-RA`, `+TSRAGR`, `FZFG`, `VCSH`. Recent weather (`RERA`) is not present weather.
pub(super) fn is_weather(token: &str) -> bool {
    let code = token.strip_prefix(['+', '-']).or_else(|| token.strip_prefix("VC")).unwrap_or(token);
    (2..=10).contains(&code.len())
        && code.len().is_multiple_of(2)
        && code.as_bytes().chunks(2).all(|pair| WEATHER.iter().any(|known| known.as_bytes() == pair))
}

/// A number with exactly this many digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Rounded to tenths: the groups are no more precise.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
