//! The owners of entries of state, so that an entry can move with its key when a topic gets more partitions.

use frostline_engine::{Owner, StateKeys};

use super::{calendar, deliver, emitted, memory, outlook, watch_memory};

/// For `assemble`: every entry belongs to one station.
pub const ASSEMBLE_STATE: StateKeys = StateKeys::of_keys(emitted::owner);

/// For `alert`: the state of a rule at a station belongs to the station. Each partition gets the latest of the
/// calendars, so that no station counts as silent because another one has moved the calendar.
pub const ALERT_STATE: StateKeys =
    StateKeys { owner: alert_owner, compare: calendar::compare, immovable: "another version wrote them" };

/// For `deliver`: messages that are not done are bound to the offsets of their notices; everything else belongs to
/// the recipient.
pub const DELIVER_STATE: StateKeys = StateKeys {
    immovable: "they are messages that have not been sent yet. Run the stage deliver until none wait any more \
                (for rate limits or quiet hours, too), and try again",
    ..StateKeys::of_keys(deliver::owner)
};

/// For `outlook`: every entry belongs to one station.
pub const OUTLOOK_STATE: StateKeys = StateKeys::of_keys(outlook::owner);

/// For `watch`: the state of a rule at a station belongs to the station. Each partition gets the latest of the newest
/// observations.
pub const WATCH_STATE: StateKeys = StateKeys {
    owner: watch_memory::owner,
    compare: watch_memory::compare,
    immovable: "another version wrote them",
};

fn alert_owner(key: &[u8]) -> Option<Owner<'_>> {
    if calendar::is_calendar(key) {
        return Some(Owner::Partition);
    }
    memory::episodes_station(key).or_else(|| memory::lone_day_station(key)).map(Owner::Key)
}

#[cfg(test)]
mod tests {
    use frostline_engine::record::unix_ms;
    use frostline_engine::store::Store;

    use super::*;
    use crate::noaa::{Date, StationId};

    const STATION: &[u8] = b"USW00003192";

    #[test]
    fn entries_of_the_night_belong_to_their_station_or_to_the_partition() {
        assert_eq!((OUTLOOK_STATE.owner)(b"nUSW00003192"), Some(Owner::Key(STATION)));
        assert_eq!((OUTLOOK_STATE.owner)(b"lUSW00003192"), Some(Owner::Key(STATION)));
        assert_eq!((WATCH_STATE.owner)(b"nfrost/USW00003192"), Some(Owner::Key(STATION)));
        assert_eq!((WATCH_STATE.owner)(b"ha.b/USW00003192"), Some(Owner::Key(STATION)));
        assert_eq!((WATCH_STATE.owner)(b"t"), Some(Owner::Partition));
        for strange in [b"x".as_slice(), b"", b"n", b"nfrost", b"xUSW00003192", b"nUSW0000319"] {
            assert_eq!((OUTLOOK_STATE.owner)(strange), None, "{strange:?}");
            assert_eq!((WATCH_STATE.owner)(strange), None, "{strange:?}");
        }
        let newest = |time: i64| time.to_be_bytes();
        assert!((WATCH_STATE.compare)(&newest(-1), &newest(1)).is_lt());
    }

    #[test]
    fn entries_of_alert_belong_to_their_station_or_to_the_partition() {
        let station = StationId::parse(STATION).unwrap();
        let owner = ALERT_STATE.owner;
        // A date whose bytes are like a separator.
        let date = Date::new(2095, 2, 28).unwrap();
        assert_eq!(owner(&memory::lone_day_key("a/b", station, date)), Some(Owner::Key(STATION)));
        assert_eq!(owner(&memory::episodes_key("frost", station)), Some(Owner::Key(STATION)));
        assert_eq!(owner(b"t"), Some(Owner::Partition));
        for strange in [b"x".as_slice(), b"", b"e", b"a/b", b"tt", b"eUSW00003192", b"afrostUSW000031921234"]
        {
            assert_eq!(owner(strange), None, "{strange:?}");
        }
        let day = |day: i32| day.to_be_bytes();
        assert!((ALERT_STATE.compare)(&day(-1), &day(1)).is_lt());
        let mut store = Store::in_memory();
        let today = frostline_engine::record::day_of(unix_ms());
        calendar::Calendar::load(&store, today).unwrap().advance(16_000, &mut store, today);
        store.scan(|key, _| assert_eq!(owner(key), Some(Owner::Partition))).unwrap();
    }
}
