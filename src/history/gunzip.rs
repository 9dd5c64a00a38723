//! Decompresses gzip: one member after the other, because people join compressed files, up to the zeros with which
//! some media pad them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The byte that each member begins with.
const FIRST_BYTE: u8 = 0x1f;

/// The decoder; `None` after the last member.
pub(super) struct Gunzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(packed: R) -> Self {
        Self(Some(GzDecoder::new(packed)))
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.0 = self.0.take().map(GzDecoder::into_inner).map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The next member, if there is one.
fn next_member<R: BufRead>(mut packed: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let buffer = packed.fill_buf()?;
        let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
        match buffer.get(zeros) {
            Some(&FIRST_BYTE) => {
                packed.consume(zeros);
                return Ok(Some(GzDecoder::new(packed)));
            }
            Some(_) => {
                let reason = "there is other data after the end of the gzip data (gzip calls it trailing \
                              garbage); an uncompressed file may have been appended";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            None if buffer.is_empty() => return Ok(None),
            None => packed.consume(zeros),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn members_may_be_joined_and_padded_but_nothing_else_follows() {
        let member = |text: &str| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        };
        let unpack = |packed: &[u8]| {
            let mut text = String::new();
            // A small buffer, so that members and zeros lie across its ends.
            let reader = io::BufReader::with_capacity(7, packed);
            Gunzip::new(reader).read_to_string(&mut text).map(|_| text)
        };
        let two = [member("one\n"), member("two\n")].concat();
        assert_eq!(unpack(&two).unwrap(), "one\ntwo\n");
        assert_eq!(unpack(&[two.as_slice(), &[0; 512]].concat()).unwrap(), "one\ntwo\n");
        let garbage = unpack(&[two.as_slice(), b"USC00020080,2016"].concat()).unwrap_err();
        assert!(garbage.to_string().contains("trailing garbage"), "{garbage}");
        assert!(unpack(&two[..two.len() - 3]).is_err(), "cut off");
    }
}
