//! Makes a TAP. The only module that makes `ioctl` calls.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use libc::ifreq;
use nix::errno::Errno;

use crate::Error;

/// `linux/if_tun.h`.
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
const IFF_TUN_EXCL: u16 = 0x8000;
/// A name with its terminating zero.
pub(crate) const NAME_BYTES_MAX: usize = libc::IFNAMSIZ;

mod ioctl {
    use libc::{c_int, ifreq};

    nix::ioctl_write_ptr_bad!(
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<c_int>()),
        ifreq
    );
}

/// Makes a TAP that lasts as long as its descriptor, which does not block and is closed by `execve`. With `headers`
/// its frames begin with virtio-net headers. Which offloads it has is for its user to say.
pub(crate) fn make(name: &str, headers: bool) -> Result<OwnedFd, Error> {
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(Error::OpenTun)?;
    let flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL | if headers { IFF_VNET_HDR } else { 0 };
    let mut request = request(name, flags);
    // SAFETY: `request` is an `ifreq` with a terminated name and flags; the call reads it and writes the
    // name back, hence the mutable pointer.
    match unsafe { ioctl::tun_set_iff(tun.as_raw_fd(), &raw mut request) } {
        Ok(_) => Ok(tun.into()),
        Err(Errno::EBUSY) => Err(Error::Busy(name.to_owned())),
        Err(errno) => Err(Error::Tap { name: name.to_owned(), call: "TUNSETIFF", errno }),
    }
}

fn request(name: &str, flags: u16) -> ifreq {
    assert!(name.len() < NAME_BYTES_MAX);
    let mut ifr_name = [0; NAME_BYTES_MAX];
    for (target, byte) in ifr_name.iter_mut().zip(name.bytes()) {
        *target = byte as libc::c_char;
    }
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short };
    ifreq { ifr_name, ifr_ifru }
}
