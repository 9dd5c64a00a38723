//! The verdicts of some hundred days, two bits each.

use serde::{Deserialize, Serialize};

use super::day_verdict::DayVerdict;

/// Days in a byte.
const PER_BYTE: i32 = 4;

/// Verdicts by day, counted from 1970-01-01. A day that was never set is [`DayVerdict::Unknown`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Days {
    /// The day of the first two bits; a multiple of four.
    base: i32,
    bits: Vec<u8>,
}

impl Days {
    pub(super) fn get(&self, day: i32) -> DayVerdict {
        let (byte, shift) = self.place(day);
        let byte = usize::try_from(byte).ok().and_then(|byte| self.bits.get(byte));
        byte.map_or(DayVerdict::Unknown, |byte| decode(byte >> shift))
    }

    pub(super) fn set(&mut self, day: i32, verdict: DayVerdict) {
        if self.bits.is_empty() {
            self.base = day.div_euclid(PER_BYTE) * PER_BYTE;
        }
        let (byte, shift) = self.place(day);
        let missing = usize::try_from(-byte).unwrap_or(0);
        if missing > 0 {
            self.bits.splice(0..0, std::iter::repeat_n(0, missing));
            self.base -= PER_BYTE * missing as i32;
        }
        let byte = usize::try_from(byte).unwrap_or(0);
        if byte >= self.bits.len() {
            self.bits.resize(byte + 1, 0);
        }
        self.bits[byte] = self.bits[byte] & !(3 << shift) | encode(verdict) << shift;
    }

    /// The days with a known verdict, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, DayVerdict)> + '_ {
        let days = (self.base..)
            .zip(self.bits.iter().flat_map(|byte| [0, 2, 4, 6].map(|shift| decode(byte >> shift))));
        days.filter(|(_, verdict)| *verdict != DayVerdict::Unknown)
    }

    /// The first day with a known verdict.
    pub(super) fn first(&self) -> Option<i32> {
        self.iter().next().map(|(day, _)| day)
    }

    /// Removes the days before `end`.
    pub(super) fn take_before(&mut self, end: i32) -> Vec<(i32, DayVerdict)> {
        let taken: Vec<(i32, DayVerdict)> = self.iter().take_while(|(day, _)| *day < end).collect();
        taken.iter().for_each(|(day, _)| self.set(*day, DayVerdict::Unknown));
        let (whole, _) = self.place(end);
        let whole = usize::try_from(whole).unwrap_or(0).min(self.bits.len());
        self.bits.drain(..whole);
        self.base += PER_BYTE * whole as i32;
        taken
    }

    fn place(&self, day: i32) -> (i32, u32) {
        let from_base = day - self.base;
        (from_base.div_euclid(PER_BYTE), 2 * from_base.rem_euclid(PER_BYTE).unsigned_abs())
    }
}

fn encode(verdict: DayVerdict) -> u8 {
    match verdict {
        DayVerdict::Unknown => 0,
        DayVerdict::Matches => 1,
        DayVerdict::Between => 2,
        DayVerdict::Clears => 3,
    }
}

fn decode(bits: u8) -> DayVerdict {
    match bits & 3 {
        0 => DayVerdict::Unknown,
        1 => DayVerdict::Matches,
        2 => DayVerdict::Between,
        _ => DayVerdict::Clears,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map(sets in proptest::collection::vec((-50..50_i32, 0..4_u8), 0..60), end in -60..60_i32) {
            let (mut days, mut map) = (Days::default(), BTreeMap::new());
            for (day, bits) in sets {
                days.set(day, decode(bits));
                map.insert(day, decode(bits));
            }
            map.retain(|_, verdict| *verdict != DayVerdict::Unknown);
            prop_assert_eq!(days.iter().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
            prop_assert!((-60..60).all(|day| days.get(day) == map.get(&day).copied().unwrap_or(DayVerdict::Unknown)));
            let later = map.split_off(&end);
            prop_assert_eq!(days.take_before(end), map.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(days.iter().collect::<Vec<_>>(), later.into_iter().collect::<Vec<_>>());
        }
    }
}
