//! Tar headers (POSIX ustar and pax, GNU) as checked values.
//!
//! Pure: bytes in, numbers and names out. Where the next header lies is the scan's business.

use core::fmt;

/// The unit of a tar archive.
pub const BLOCK: usize = 512;

/// What is wrong with a header or a pax record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarError {
    /// The header's bytes do not add up to its checksum.
    Checksum,
    /// A number is neither octal nor base-256, is negative, or does not fit.
    Number(&'static str),
    /// A pax record is not `LENGTH KEY=VALUE` with a line end.
    PaxRecord,
    /// One zero block with something after it: an archive ends in two.
    LoneZeroBlock,
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TarError::Checksum => f.write_str("the header's checksum is wrong"),
            TarError::Number(field) => write!(f, "the header's {field} is no valid number"),
            TarError::PaxRecord => f.write_str("an extended header record is malformed"),
            TarError::LoneZeroBlock => f.write_str("a zero block stands within the archive"),
        }
    }
}

impl core::error::Error for TarError {}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; its data follows.
    File,
    /// A directory.
    Directory,
    /// The data is the next entry's pax records.
    PaxNext,
    /// The data is pax records for all that follows. Their values are not used.
    PaxGlobal,
    /// The data is the next entry's name.
    GnuLongName,
    /// The data is the next entry's link target, of no use here.
    GnuLongLink,
    /// Something that a site cannot serve, in words. Data may follow.
    Other(&'static str),
}

/// A header whose checksum is right.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    /// What the entry is.
    pub kind: Kind,
    /// The bytes of data that follow, before padding. Zero for kinds that have none.
    pub size_bytes: u64,
    /// The time of the last change, in seconds since 1970; zero if before that or unreadable.
    pub modified_unix_seconds: u64,
    prefix: &'a [u8],
    name: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header block; `None` for a block of zeros, which ends an archive.
    pub fn parse(block: &'a [u8; BLOCK]) -> Result<Option<Header<'a>>, TarError> {
        if block.iter().all(|&b| b == 0) {
            return Ok(None);
        }
        check_sum(block)?;
        let name = until_nul(&block[..100]);
        let is_posix = &block[257..265] == b"ustar\x0000";
        let kind = kind_of(block[156], name);
        let size_bytes = number(&block[124..136]).ok_or(TarError::Number("size"))?;
        Ok(Some(Header {
            kind,
            size_bytes: if has_data(block[156]) { size_bytes } else { 0 },
            modified_unix_seconds: number(&block[136..148]).unwrap_or(0),
            prefix: if is_posix { until_nul(&block[345..500]) } else { b"" },
            name,
        }))
    }

    /// The parts of the name in this block, to be joined by a slash; the first may be empty.
    pub fn name_parts(&self) -> [&'a [u8]; 2] {
        [self.prefix, self.name]
    }
}

/// The sum of all bytes, with the checksum's own taken as blanks. Some old writers summed signed bytes.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarError> {
    let stored = number(&block[148..156]).ok_or(TarError::Number("checksum"))?;
    let bytes = || block[..148].iter().chain(b"        ").chain(&block[156..]);
    let unsigned: u64 = bytes().map(|&b| u64::from(b)).sum();
    let signed: i64 = bytes().map(|&b| i64::from(b.cast_signed())).sum();
    match stored == unsigned || i64::try_from(stored) == Ok(signed) {
        true => Ok(()),
        false => Err(TarError::Checksum),
    }
}

fn kind_of(flag: u8, name: &[u8]) -> Kind {
    match flag {
        // Before ustar, a directory was a file whose name ends in a slash.
        b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' => Kind::File,
        b'5' => Kind::Directory,
        b'x' => Kind::PaxNext,
        b'g' => Kind::PaxGlobal,
        b'L' => Kind::GnuLongName,
        b'K' => Kind::GnuLongLink,
        b'1' => Kind::Other("a hard link"),
        b'2' => Kind::Other("a symbolic link"),
        b'3' | b'4' => Kind::Other("a device"),
        b'6' => Kind::Other("a pipe"),
        b'S' => Kind::Other("a sparse file"),
        _ => Kind::Other("an entry of unknown type"),
    }
}

/// Links, devices, directories and pipes have no data, whatever their size field says.
fn has_data(flag: u8) -> bool {
    !(b'2'..=b'6').contains(&flag)
}

/// A number in octal digits, or in base 256 if the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return base_256(field);
    }
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    field[..end].trim_ascii().iter().try_fold(0u64, |sum, &digit| {
        let digit = (b'0'..=b'7').contains(&digit).then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(8)?.checked_add(digit)
    })
}

fn base_256(field: &[u8]) -> Option<u64> {
    // The second bit is the sign; nothing that is counted here is negative.
    if field[0] != 0x80 {
        return None;
    }
    field[1..]
        .iter()
        .try_fold(0u64, |sum, &byte| sum.checked_mul(256)?.checked_add(u64::from(byte)))
}

pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    &field[..end]
}

/// The records of a pax extended header: keys and values.
#[derive(Debug, Clone)]
pub struct PaxRecords<'a> {
    rest: &'a [u8],
}

impl<'a> PaxRecords<'a> {
    /// Reads the data of an extended header.
    pub fn new(data: &'a [u8]) -> PaxRecords<'a> {
        PaxRecords { rest: data }
    }

    fn parse_next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.rest.iter().position(|&b| b == b' ')?;
        let len = usize::try_from(decimal(&self.rest[..blank])?).ok()?;
        let record = self.rest.get(blank + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&b| b == b'=')?;
        self.rest = &self.rest[len..];
        Some((&record[..equals], &record[equals + 1..]))
    }
}

impl<'a> Iterator for PaxRecords<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), TarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.parse_next();
        if record.is_none() {
            self.rest = b"";
        }
        Some(record.ok_or(TarError::PaxRecord))
    }
}

/// A decimal number without sign. `None` also when it does not fit.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn header(flag: u8, size: &[u8; 12]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..5].copy_from_slice(b"a.txt");
        block[124..136].copy_from_slice(size);
        block[136..148].copy_from_slice(b"00000000012\0");
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[345..348].copy_from_slice(b"dir");
        seal(&mut block);
        block
    }

    fn seal(block: &mut [u8; BLOCK]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(std::format!("{sum:06o}\0 ").as_bytes());
    }

    #[test]
    fn a_ustar_header_is_read() {
        let block = header(b'0', b"00000001750\0");
        let header = Header::parse(&block).unwrap().unwrap();
        assert_eq!(header.kind, Kind::File);
        assert_eq!(header.size_bytes, 1000);
        assert_eq!(header.modified_unix_seconds, 10);
        assert_eq!(header.name_parts(), [&b"dir"[..], b"a.txt"]);
    }

    #[test]
    fn sizes_are_octal_or_base_256() {
        let size =
            |field: &[u8; 12]| Header::parse(&header(b'0', field)).map(|h| h.unwrap().size_bytes);
        assert_eq!(size(b"77777777777\0"), Ok(0o77777777777));
        assert_eq!(size(b"777777777777"), Ok(0o777777777777));
        assert_eq!(size(b"       17\0\0\0"), Ok(15));
        assert_eq!(size(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Ok(0));
        assert_eq!(size(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Ok(0x2_0000_0000));
        assert_eq!(size(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(u64::MAX));
        for bad in [
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"00000000008\0",
            b"-0000000001\0",
        ] {
            assert_eq!(size(bad), Err(TarError::Number("size")), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_directory_has_no_data_and_old_ones_are_known_by_their_slash() {
        let block = header(b'5', b"00000001750\0");
        let parsed = Header::parse(&block).unwrap().unwrap();
        assert_eq!((parsed.kind, parsed.size_bytes), (Kind::Directory, 0));
        let mut block = header(0, b"00000000000\0");
        block[5] = b'/';
        seal(&mut block);
        assert_eq!(Header::parse(&block).unwrap().unwrap().kind, Kind::Directory);
    }

    #[test]
    fn every_byte_is_covered_by_the_checksum() {
        let block = header(b'0', b"00000001750\0");
        for at in (0..BLOCK).filter(|at| !(148..156).contains(at)) {
            let mut damaged = block;
            damaged[at] ^= 1;
            assert_eq!(Header::parse(&damaged).err(), Some(TarError::Checksum), "byte {at}");
        }
        assert!(Header::parse(&[0; BLOCK]).unwrap().is_none());
    }

    #[test]
    fn pax_records_are_read_until_a_bad_one() {
        let records: Vec<_> = PaxRecords::new(b"9 size=7\n15 path=a b=c\nd\n").collect();
        assert_eq!(records[0], Ok((&b"size"[..], &b"7"[..])));
        assert_eq!(records[1], Err(TarError::PaxRecord));
        assert_eq!(records.len(), 2);
        let records: Vec<_> = PaxRecords::new(b"17 path=a b=c\nd=\n").collect();
        assert_eq!(records, [Ok((&b"path"[..], &b"a b=c\nd="[..]))]);
        for bad in [
            &b"0 a=b\n"[..],
            b"1 a=b\n",
            b"7 a=b\n",
            b"6 a=b ",
            b"6 a:b\n",
            b"x",
            b"99999999999999999999 a=b\n",
        ] {
            assert_eq!(
                PaxRecords::new(bad).next(),
                Some(Err(TarError::PaxRecord)),
                "{}",
                bad.escape_ascii()
            );
        }
    }

    proptest! {
        #[test]
        fn any_block_is_survived(bytes in proptest::collection::vec(any::<u8>(), BLOCK), is_sealed: bool) {
            let mut block: [u8; BLOCK] = bytes.try_into().unwrap();
            if is_sealed {
                seal(&mut block);
            }
            let _ = Header::parse(&block);
        }

        #[test]
        fn any_records_are_survived(data in "([0-9]{1,3} [a-z]{1,4}=[a-z\n]{0,4}\n?){0,4}") {
            let steps = PaxRecords::new(data.as_bytes()).count();
            prop_assert!(steps <= data.len());
        }
    }
}
