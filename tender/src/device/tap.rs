//! TAP interfaces of the host: opening one by name, and asking a descriptor whether it is one.
//!
//! The only module that makes `ioctl` calls. It creates no interfaces and changes none, but for their
//! offloads, which an interface keeps from one user to the next: they are switched off where frames
//! are plain, which cannot express them, and on where frames begin with virtio-net headers.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use libc::ifreq;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use solo5_sys::virtio_net::HEADER_BYTES;

const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// What a guest with headers takes (`linux/if_tun.h`): frames without checksums, and TCP segments
/// longer than the MTU. Not those with ECN's special case, and not UDP.
const OFFLOADS: libc::c_int = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
const TUN_F_CSUM: libc::c_int = 0x01;
const TUN_F_TSO4: libc::c_int = 0x02;
const TUN_F_TSO6: libc::c_int = 0x04;

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
    nix::ioctl_write_ptr!(tun_set_header_bytes, b'T', 216, c_int);
    nix::ioctl_write_ptr!(tun_set_little_endian, b'T', 220, c_int);
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
    /// A kernel whose TAPs have no headers.
    #[error("the kernel's TAP driver lacks virtio-net headers (IFF_VNET_HDR)")]
    NoHeaders,
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
    /// A descriptor whose frames carry headers that the guest does not expect.
    #[error(
        "the TAP behind @{0} was opened with IFF_VNET_HDR, and this unikernel takes plain frames"
    )]
    Headers(i32),
    /// A descriptor that carries something else than frames.
    #[error("the TAP behind @{0} was opened as a TUN or without IFF_NO_PI")]
    NoFrames(i32),
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

/// What frames look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Ethernet, with checksums, no longer than the MTU permits.
    Plain,
    /// The same, as the kernel has refused headers for this reason.
    Refused(String),
    /// Each begins with a [`solo5_sys::virtio_net::Header`].
    WithHeaders,
}

/// What a guest must know of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Its MTU in bytes.
    pub mtu_bytes: u16,
    /// Its frames.
    pub frames: Frames,
}

/// An open TAP.
#[derive(Debug)]
pub struct Tap {
    /// Its descriptor, non-blocking.
    pub fd: OwnedFd,
    /// It.
    pub wire: Wire,
}

/// Attaches to an existing interface that is up, with `headers` before frames if they are wanted and the
/// kernel can.
///
/// # Errors
/// If there is none, or it cannot be used.
pub fn open(name: &str, headers: bool) -> Result<Tap, Error> {
    let mut request = request_for(name).ok_or_else(|| Error::Missing(name.to_owned()))?;
    // Without this check, the kernel would make a new interface of that name.
    check_up(name, &mut request)?;
    let (fd, frames) = match headers.then(|| attach(name, IFF_VNET_HDR)) {
        None => (attach(name, 0)?, Frames::Plain),
        Some(Ok(fd)) => (fd, Frames::WithHeaders),
        Some(Err(refused @ (Error::NoHeaders | Error::Call { .. }))) => {
            (attach(name, 0)?, Frames::Refused(refused.to_string()))
        }
        Some(Err(error)) => return Err(error),
    };
    Ok(Tap { fd, wire: Wire { mtu_bytes: mtu_bytes(name, &mut request)?, frames } })
}

/// The wire of the TAP that `fd` is attached to; `None` if it is no TAP or TUN at all. Whether frames have
/// headers was decided by whoever opened it. The offloads are set as that needs, whatever they were.
///
/// # Errors
/// If frames have headers although `headers` does not want them, if it carries no frames, or if its
/// MTU cannot be read.
pub fn inspect(fd: BorrowedFd<'_>, headers: bool) -> Result<Option<Wire>, Error> {
    let mut request = empty_request();
    // SAFETY: `request` is a writable `ifreq`, which is what the call fills in; a descriptor of
    // another kind refuses the call.
    if unsafe { ioctl::tun_get_iff(fd.as_raw_fd(), &raw mut request) }.is_err() {
        return Ok(None);
    }
    let flags = flags(&request);
    if flags & (IFF_TAP | IFF_NO_PI) != IFF_TAP | IFF_NO_PI {
        return Err(Error::NoFrames(fd.as_raw_fd()));
    }
    let name = name_of(&request);
    let frames = match (flags & IFF_VNET_HDR != 0, headers) {
        (false, _) => Frames::Plain,
        (true, true) => Frames::WithHeaders,
        (true, false) => return Err(Error::Headers(fd.as_raw_fd())),
    };
    set_offloads(fd, &name, flags)?;
    Ok(Some(Wire { mtu_bytes: mtu_bytes(&name, &mut request)?, frames }))
}

/// A descriptor of the interface, whose frames have headers if `headers` is [`IFF_VNET_HDR`].
fn attach(name: &str, headers: u16) -> Result<OwnedFd, Error> {
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(Error::Open)?;
    check_features(&tun, headers)?;
    set_interface(&tun, name, headers)?;
    set_offloads(tun.as_fd(), name, headers)?;
    Ok(tun.into())
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

/// Has the kernel hand over what frames can express: without headers only such as are no longer than
/// the MTU permits and have their checksums. An interface keeps its offloads, and the size and order of
/// its headers, from one user to the next.
fn set_offloads(fd: BorrowedFd<'_>, name: &str, flags: u16) -> Result<(), Error> {
    let headers = flags & IFF_VNET_HDR != 0;
    if headers {
        let bytes = HEADER_BYTES as libc::c_int;
        // SAFETY: the call reads one integer at the pointer.
        unsafe { ioctl::tun_set_header_bytes(fd.as_raw_fd(), &raw const bytes) }
            .map_err(call(name, "TUNSETVNETHDRSZ"))?;
        let yes: libc::c_int = 1;
        // SAFETY: as above.
        unsafe { ioctl::tun_set_little_endian(fd.as_raw_fd(), &raw const yes) }
            .map_err(call(name, "TUNSETVNETLE"))?;
    }
    let offloads = if headers { OFFLOADS } else { 0 };
    // SAFETY: takes no pointer.
    unsafe { ioctl::tun_set_offload(fd.as_raw_fd(), offloads) }
        .map_err(call(name, "TUNSETOFFLOAD"))?;
    Ok(())
}

fn check_features(tun: &File, headers: u16) -> Result<(), Error> {
    let mut features: libc::c_uint = 0;
    // SAFETY: `features` is writable and of the size that the call fills in.
    let result = unsafe { ioctl::tun_get_features(tun.as_raw_fd(), &raw mut features) };
    let has = |flags: u16| features & u32::from(flags) == u32::from(flags);
    match result {
        Ok(_) if has(IFF_TAP | IFF_NO_PI | headers) => Ok(()),
        Ok(_) if has(IFF_TAP | IFF_NO_PI) => Err(Error::NoHeaders),
        _ => Err(Error::Features),
    }
}

fn set_interface(tun: &File, name: &str, headers: u16) -> Result<(), Error> {
    let mut request = request_for(name).ok_or_else(|| Error::Missing(name.to_owned()))?;
    request.ifr_ifru.ifru_flags = (IFF_TAP | IFF_NO_PI | headers) as libc::c_short;
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
        assert!(
            matches!(open("nosuchtap0", true), Err(Error::Missing(name)) if name == "nosuchtap0")
        );
        assert!(matches!(open("a-name-longer-than-15", true), Err(Error::Missing(_))));
        assert!(matches!(open("", false), Err(Error::Missing(_))));
    }

    #[test]
    fn other_descriptors_are_no_taps() {
        let file = File::open("/dev/null").unwrap();
        assert!(matches!(inspect(file.as_fd(), true), Ok(None)));
    }
}
