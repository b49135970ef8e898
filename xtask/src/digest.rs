//! SHA-256 of what is read or written.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use hmac_sha256::Hash;

/// A SHA-256, shown in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// That of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Hash::hash(bytes))
    }

    /// That of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let unreadable = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let mut hash = Hash::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).with_context(unreadable)? {
                0 => return Ok(Self(hash.finalize())),
                bytes => hash.update(&buffer[..bytes]),
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A writer that knows the digest and the number of the bytes that went through it.
pub(crate) struct Digesting<W> {
    inner: W,
    hash: Hash,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    /// Nothing was written yet.
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Hash::new(), bytes: 0 }
    }

    /// What is below, with the digest and the number of the bytes.
    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest(self.hash.finalize()), self.bytes)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-4's test vectors.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn bytes_files_and_what_is_written_have_the_same_digest() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(Digest::of_file(&file).unwrap().to_string(), ABC);
        let mut writer = Digesting::new(Vec::new());
        writer.write_all(b"ab").unwrap();
        writer.write_all(b"c").unwrap();
        let (bytes, digest, count) = writer.finish();
        assert_eq!((&*bytes, &*digest.to_string(), count), (&b"abc"[..], ABC, 3));
    }
}
