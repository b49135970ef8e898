//! Bytes from the host's random number generator. It offers no generator of its own.

use nix::errno::Errno;

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gave no random bytes: {0}")]
pub struct Error(Errno);

/// `N` random bytes; waits until the host's generator is seeded.
///
/// # Errors
/// If the kernel gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    // The kernel gives up to this many bytes in one piece, signals or not.
    const { assert!(N <= 256) };
    let mut out = [0; N];
    // SAFETY: `out` is writable for its length.
    let got = unsafe { libc::getrandom(out.as_mut_ptr().cast(), N, 0) };
    if usize::try_from(got) == Ok(N) { Ok(out) } else { Err(Error(Errno::last())) }
}
