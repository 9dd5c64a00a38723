//! The addresses of brokers in their answers, replaced by those of doors.
//!
//! Formats: <https://kafka.apache.org/protocol>. From a certain version on an answer has the *flexible* form: lengths
//! are variable-length integers plus one, and tagged fields follow the header and each structure.

use std::net::Ipv4Addr;

/// A kind of answer that the proxy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lists the brokers.
    Metadata,
    /// Names the brokers that coordinate groups or transactions.
    FindCoordinator,
    /// Lists the versions of each request that a broker knows.
    ApiVersions,
}

/// Requests whose newer answers name brokers in tagged fields, and the newest version without: produce, fetch.
const VERSIONS_MAX: [(i16, i16); 2] = [(0, 9), (1, 15)];

impl Kind {
    /// The kind of the answer to requests with this API key.
    pub(super) fn of(api_key: i16) -> Option<Self> {
        match api_key {
            3 => Some(Self::Metadata),
            10 => Some(Self::FindCoordinator),
            18 => Some(Self::ApiVersions),
            _ => None,
        }
    }

    /// The first version with the flexible form.
    fn flexible_from(self) -> i16 {
        match self {
            Self::Metadata => 9,
            Self::FindCoordinator | Self::ApiVersions => 3,
        }
    }
}

/// An answer with its addresses replaced. `find` gives the port of the door to a broker. `None` if it cannot be read.
pub(super) fn replace(
    kind: Kind,
    version: i16,
    answer: &[u8],
    find: &dyn Fn(&str, u16) -> Option<u16>,
) -> Option<Vec<u8>> {
    let is_flexible = version >= kind.flexible_from();
    let mut copy = Copy { left: answer, out: Vec::with_capacity(answer.len() + 64), is_flexible, find };
    // The correlation id. So that any client can read it, the answer about versions has the oldest header.
    copy.bytes(4)?;
    if kind != Kind::ApiVersions {
        copy.tags()?;
    }
    match kind {
        Kind::Metadata => copy.metadata(version)?,
        Kind::FindCoordinator => copy.coordinators(version)?,
        Kind::ApiVersions => copy.versions()?,
    }
    copy.out.extend(copy.left);
    Some(copy.out)
}

/// Copies an answer, field by field.
struct Copy<'a> {
    left: &'a [u8],
    out: Vec<u8>,
    is_flexible: bool,
    find: &'a dyn Fn(&str, u16) -> Option<u16>,
}

impl<'a> Copy<'a> {
    fn metadata(&mut self, version: i16) -> Option<()> {
        if version >= 3 {
            self.bytes(4)?;
        }
        for _ in 0..self.count()? {
            self.bytes(4)?;
            self.address()?;
            if version >= 1 {
                self.text()?;
            }
            self.tags()?;
        }
        Some(())
    }

    fn coordinators(&mut self, version: i16) -> Option<()> {
        if version >= 1 {
            self.bytes(4)?;
        }
        if version < 4 {
            self.bytes(2)?;
            if version >= 1 {
                self.text()?;
            }
            self.bytes(4)?;
            return self.address();
        }
        for _ in 0..self.count()? {
            self.text()?;
            self.bytes(4)?;
            self.address()?;
            self.bytes(2)?;
            self.text()?;
            self.tags()?;
        }
        Some(())
    }

    fn versions(&mut self) -> Option<()> {
        let error = self.bytes(2)?;
        if error != [0, 0] {
            // Of a broker that does not know the request's version: the form is that of version 0.
            return Some(());
        }
        for _ in 0..self.count()? {
            let key = i16::from_be_bytes(self.bytes(4)?.get(..2)?.try_into().ok()?);
            let most = i16::from_be_bytes(self.take(2)?.try_into().ok()?);
            let limit = VERSIONS_MAX.iter().find(|(limited, _)| *limited == key);
            let most = limit.map_or(most, |(_, limit)| most.min(*limit));
            self.out.extend(most.to_be_bytes());
            self.tags()?;
        }
        Some(())
    }

    /// Replaces a host and a port.
    fn address(&mut self) -> Option<()> {
        let host = self.take_text()?;
        let port = i32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let door = match (host, u16::try_from(port)) {
            (Some(host), Ok(port)) if port > 0 => Some((self.find)(std::str::from_utf8(host).ok()?, port)?),
            // There is none at the moment.
            _ => None,
        };
        let here = Ipv4Addr::LOCALHOST.to_string();
        let (host, port) = match door {
            Some(door) => (Some(here.as_bytes()), i32::from(door)),
            None => (host, port),
        };
        self.put_text(host)?;
        self.out.extend(port.to_be_bytes());
        Some(())
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(bytes)?;
        self.left = left;
        Some(taken)
    }

    /// Copies so many bytes.
    fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.take(bytes)?;
        self.out.extend(taken);
        Some(taken)
    }

    fn take_number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            number |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn put_number(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    /// Copies the length of an array.
    fn count(&mut self) -> Option<u32> {
        if !self.is_flexible {
            return i32::from_be_bytes(self.bytes(4)?.try_into().ok()?).try_into().ok();
        }
        let number = self.take_number()?;
        self.put_number(number);
        number.checked_sub(1)
    }

    fn take_text(&mut self) -> Option<Option<&'a [u8]>> {
        let length = match self.is_flexible {
            true => i64::from(self.take_number()?) - 1,
            false => i64::from(i16::from_be_bytes(self.take(2)?.try_into().ok()?)),
        };
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Some(None),
        }
    }

    fn put_text(&mut self, text: Option<&[u8]>) -> Option<()> {
        match self.is_flexible {
            true => self.put_number(text.map_or(Some(0), |text| u32::try_from(text.len() + 1).ok())?),
            false => {
                let length = text.map_or(Some(-1), |text| i16::try_from(text.len()).ok())?;
                self.out.extend(length.to_be_bytes());
            }
        }
        self.out.extend(text.unwrap_or_default());
        Some(())
    }

    /// Copies a text, which may be absent.
    fn text(&mut self) -> Option<()> {
        let text = self.take_text()?;
        self.put_text(text)
    }

    /// Copies tagged fields, if the form has any.
    fn tags(&mut self) -> Option<()> {
        if !self.is_flexible {
            return Some(());
        }
        let tags = self.take_number()?;
        self.put_number(tags);
        for _ in 0..tags {
            let (tag, length) = (self.take_number()?, self.take_number()?);
            self.put_number(tag);
            self.put_number(length);
            self.bytes(length as usize)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A door for every port: 30,000 higher.
    fn door(_: &str, port: u16) -> Option<u16> {
        port.checked_add(30_000)
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat()
    }

    fn compact(text: &str) -> Vec<u8> {
        [&[text.len() as u8 + 1], text.as_bytes()].concat()
    }

    #[test]
    fn addresses_in_a_list_of_brokers_are_those_of_doors() {
        let old = |host: &str, port: i32| {
            let broker = [&[0, 0, 0, 5], &text(host)[..], &port.to_be_bytes(), &[255, 255]].concat();
            [&[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1], &broker[..], b"the rest"].concat()
        };
        let replaced = replace(Kind::Metadata, 5, &old("kafka-1.example", 9_092), &door);
        assert_eq!(replaced, Some(old("127.0.0.1", 39_092)));
        let flexible = |host: &str, port: i32| {
            let tagged = [1, 7, 2, 42, 42];
            let broker = [&[0, 0, 0, 5], &compact(host)[..], &port.to_be_bytes(), &[0], &tagged].concat();
            [&[0, 0, 0, 9, 0, 0, 0, 0, 0, 2], &broker[..], b"the rest"].concat()
        };
        let replaced = replace(Kind::Metadata, 12, &flexible("kafka-1.example", 9_092), &door);
        assert_eq!(replaced, Some(flexible("127.0.0.1", 39_092)));
    }

    #[test]
    fn addresses_of_coordinators_are_those_of_doors_if_there_are_any() {
        let one = |host: &str, port: i32| {
            let head = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 5];
            [&head, &text(host)[..], &port.to_be_bytes()].concat()
        };
        let replaced = replace(Kind::FindCoordinator, 2, &one("kafka-1.example", 9_092), &door);
        assert_eq!(replaced, Some(one("127.0.0.1", 39_092)));
        let none = one("", -1);
        assert_eq!(replace(Kind::FindCoordinator, 2, &none, &door), Some(none));
        let several = |host: &str, port: i32| {
            let head = [&[0, 0, 0, 9, 0, 0, 0, 0, 0, 2], &compact("group")[..], &[0, 0, 0, 5]].concat();
            [&head, &compact(host)[..], &port.to_be_bytes(), &[0, 0, 0, 0], &[0]].concat()
        };
        let replaced = replace(Kind::FindCoordinator, 4, &several("kafka-1.example", 9_092), &door);
        assert_eq!(replaced, Some(several("127.0.0.1", 39_092)));
    }

    #[test]
    fn versions_that_name_brokers_elsewhere_are_not_offered() {
        let of_fetch = |most: u8| {
            let fetch = [0, 1, 0, 4, 0, most, 0];
            [&[0, 0, 0, 9, 0, 0, 3], &fetch[..], &[0, 3, 0, 0, 0, 13, 0], &[0, 0, 0, 0, 0]].concat()
        };
        assert_eq!(replace(Kind::ApiVersions, 3, &of_fetch(17), &door), Some(of_fetch(15)));
        let refused = [0, 0, 0, 9, 0, 35, 0, 0, 0, 0];
        assert_eq!(replace(Kind::ApiVersions, 3, &refused, &door), Some(refused.to_vec()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let whole = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 1];
        for length in 0..=whole.len() {
            assert_eq!(replace(Kind::Metadata, 5, &whole[..length], &door), None, "{length}");
        }
    }
}
