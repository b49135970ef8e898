//! TAP interfaces of the host: opening one by name, and asking a descriptor whether it is one.
//!
//! The only module that makes `ioctl` calls. It creates no interfaces and changes none, but for
//! switching off offloads that plain frames cannot express.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use libc::ifreq;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

mod ioctl {
    use libc::{c_int, c_uint, ifreq};

    nix::ioctl_write_ptr_bad!(
        tun_set_iff,
        nix::request_code_write!(b'T', 202, size_of::<c_int>()),
        ifreq
    );
    nix::ioctl_read!(tun_get_features, b'T', 207, c_uint);
    nix::ioctl_write_int_bad!(
        tun_set_offload,
        nix::request_code_write!(b'T', 208, size_of::<c_uint>())
    );
    nix::ioctl_read_bad!(
        tun_get_iff,
        nix::request_code_read!(b'T', 210, size_of::<c_uint>()),
        ifreq
    );
    nix::ioctl_read_bad!(get_flags, libc::SIOCGIFFLAGS, ifreq);
    nix::ioctl_read_bad!(get_mtu, libc::SIOCGIFMTU, ifreq);
}

/// Why a TAP interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such interface.
    #[error(
        "there is no network interface '{0}': create it, e.g. by \
         `ip tuntap add dev {0} mode tap user $USER && ip link set dev {0} up`"
    )]
    Missing(String),
    /// It is not up.
    #[error("the network interface '{0}' is down: `ip link set dev {0} up`")]
    Down(String),
    /// The device of all TAPs cannot be opened.
    #[error("cannot open /dev/net/tun: {0}")]
    Open(io::Error),
    /// A kernel without TAPs, or not as needed.
    #[error("the kernel's TAP driver lacks plain frames (IFF_TAP, IFF_NO_PI)")]
    Features,
    /// Somebody else's interface.
    #[error(
        "not permitted to use the network interface '{0}': give it to you by `ip tuntap add ... user $USER`"
    )]
    Permission(String),
    /// Attached elsewhere.
    #[error("the network interface '{0}' is in use by another process")]
    Busy(String),
    /// Something else than a TAP.
    #[error(
        "the network interface '{0}' is not a plain TAP: create one by `ip tuntap add dev NAME mode tap`"
    )]
    NotTap(String),
    /// The kernel gave another interface.
    #[error("asked for the network interface '{asked}', got '{got}'")]
    OtherName {
        /// The name asked for.
        asked: String,
        /// The name received.
        got: String,
    },
    /// A descriptor whose frames carry headers that a guest does not expect.
    #[error("the TAP behind @{0} was opened with IFF_VNET_HDR, as a TUN or without IFF_NO_PI")]
    Headers(i32),
    /// Another failure.
    #[error("cannot use the network interface '{name}': {call}: {error}")]
    Call {
        /// The interface.
        name: String,
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
}

/// An open TAP.
#[derive(Debug)]
pub struct Tap {
    /// Its descriptor, non-blocking.
    pub fd: OwnedFd,
    /// Its MTU in bytes.
    pub mtu_bytes: u16,
}

/// Attaches to an existing interface that is up.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn open(name: &str) -> Result<Tap, Error> {
    let missing = || Error::Missing(name.to_owned());
    let mut request = request_for(name).ok_or_else(missing)?;
    // Without this check, the kernel would make a new interface of that name.
    check_up(name, &mut request)?;
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(Error::Open)?;
    check_features(&tun)?;
    set_interface(&tun, name)?;
    switch_off_offloads(tun.as_fd(), name)?;
    Ok(Tap { mtu_bytes: mtu_bytes(name, &mut request)?, fd: tun.into() })
}

/// The MTU of the TAP that `fd` is attached to; `None` if it is no TAP or TUN at all. Its offloads are
/// switched off, as whoever opened it, or had the interface before, may have switched them on.
///
/// # Errors
/// If it is one whose frames are not plain, or its MTU cannot be read.
pub fn inspect(fd: BorrowedFd<'_>) -> Result<Option<u16>, Error> {
    let mut request = empty_request();
    // SAFETY: `request` is a writable `ifreq`, which is what the call fills in; a descriptor of
    // another kind refuses the call.
    if unsafe { ioctl::tun_get_iff(fd.as_raw_fd(), &raw mut request) }.is_err() {
        return Ok(None);
    }
    let flags = flags(&request);
    if flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) != IFF_TAP | IFF_NO_PI {
        return Err(Error::Headers(fd.as_raw_fd()));
    }
    let name = name_of(&request);
    switch_off_offloads(fd, &name)?;
    mtu_bytes(&name, &mut request).map(Some)
}

fn check_up(name: &str, request: &mut ifreq) -> Result<(), Error> {
    let socket = control_socket(name)?;
    // SAFETY: `request` is a writable `ifreq` with a terminated name.
    let result = unsafe { ioctl::get_flags(socket.as_raw_fd(), &raw mut *request) };
    match result {
        Ok(_) if flags(request) & libc::IFF_UP as u16 != 0 => Ok(()),
        Ok(_) => Err(Error::Down(name.to_owned())),
        Err(Errno::ENODEV) => Err(Error::Missing(name.to_owned())),
        Err(error) => Err(call(name, "SIOCGIFFLAGS")(error)),
    }
}

/// Has the kernel hand over frames that are no longer than the MTU permits and have their checksums.
/// An interface keeps its offloads from one user to the next.
fn switch_off_offloads(fd: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
    // SAFETY: takes no pointer.
    unsafe { ioctl::tun_set_offload(fd.as_raw_fd(), 0) }.map_err(call(name, "TUNSETOFFLOAD"))?;
    Ok(())
}

fn check_features(tun: &File) -> Result<(), Error> {
    let mut features: libc::c_uint = 0;
    // SAFETY: `features` is writable and of the size that the call fills in.
    let result = unsafe { ioctl::tun_get_features(tun.as_raw_fd(), &raw mut features) };
    let needed = u32::from(IFF_TAP | IFF_NO_PI);
    if result.is_ok() && features & needed == needed { Ok(()) } else { Err(Error::Features) }
}

fn set_interface(tun: &File, name: &str) -> Result<(), Error> {
    let mut request = request_for(name).ok_or_else(|| Error::Missing(name.to_owned()))?;
    request.ifr_ifru.ifru_flags = (IFF_TAP | IFF_NO_PI) as libc::c_short;
    // SAFETY: `request` is an `ifreq` with a terminated name and flags; the call reads it and
    // writes the name back, hence the mutable pointer.
    let result = unsafe { ioctl::tun_set_iff(tun.as_raw_fd(), &raw mut request) };
    match result {
        Ok(_) => {}
        Err(Errno::EPERM) => return Err(Error::Permission(name.to_owned())),
        Err(Errno::EBUSY) => return Err(Error::Busy(name.to_owned())),
        Err(Errno::EINVAL) => return Err(Error::NotTap(name.to_owned())),
        Err(error) => return Err(call(name, "TUNSETIFF")(error)),
    }
    let got = name_of(&request);
    if got == name { Ok(()) } else { Err(Error::OtherName { asked: name.to_owned(), got }) }
}

fn mtu_bytes(name: &str, request: &mut ifreq) -> Result<u16, Error> {
    let socket = control_socket(name)?;
    // SAFETY: `request` is a writable `ifreq` with a terminated name.
    unsafe { ioctl::get_mtu(socket.as_raw_fd(), &raw mut *request) }
        .map_err(call(name, "SIOCGIFMTU"))?;
    // SAFETY: every bit pattern of the union is an integer, and the call has set this one.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u16::try_from(mtu).map_err(|_| call(name, "SIOCGIFMTU")(Errno::ERANGE))
}

fn control_socket(name: &str) -> Result<OwnedFd, Error> {
    socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(call(name, "socket"))
}

fn call(name: &str, call: &'static str) -> impl Fn(Errno) -> Error {
    let name = name.to_owned();
    move |error| Error::Call { name: name.clone(), call, error }
}

fn empty_request() -> ifreq {
    // SAFETY: an `ifreq` consists of characters and integers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// A request that names an interface, `None` if the name cannot be one.
fn request_for(name: &str) -> Option<ifreq> {
    let mut request = empty_request();
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return None;
    }
    for (target, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *target = byte as libc::c_char;
    }
    Some(request)
}

fn name_of(request: &ifreq) -> String {
    let bytes: Vec<u8> =
        request.ifr_name.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn flags(request: &ifreq) -> u16 {
    // SAFETY: every bit pattern of the union is an integer.
    unsafe { request.ifr_ifru.ifru_flags as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interface_is_named() {
        assert!(matches!(open("nosuchtap0"), Err(Error::Missing(name)) if name == "nosuchtap0"));
        assert!(matches!(open("a-name-longer-than-15"), Err(Error::Missing(_))));
        assert!(matches!(open(""), Err(Error::Missing(_))));
    }

    #[test]
    fn other_descriptors_are_no_taps() {
        let file = File::open("/dev/null").unwrap();
        assert!(matches!(inspect(file.as_fd()), Ok(None)));
    }
}
