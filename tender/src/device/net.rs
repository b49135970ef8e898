//! Network devices: a TAP interface by its name, a descriptor that the caller opened, or a
//! user-mode network with a gateway process at its other end.
//!
//! A device carries Ethernet frames, one per `read` or `write`, and never blocks. They are plain, or, for
//! guests that ask for it and on TAPs that can, begin with a virtio-net header ([`tap`]).

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use gateway::Publish;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socketpair, sockopt,
};
use solo5_sys::manifest::{Attachment, Name};

use super::tap::{Frames, Wire};
use super::{OptionError, Typed, tap};
use crate::entropy;
use crate::policy::{Call, Condition, Rule};

/// The options of network devices.
pub const OPTIONS: [&str; 3] = ["net", "net-mac", "publish"];
/// What the value of `--net` looks like.
pub const FORM: &str = "IFACE|@FD|user";
/// Network devices' part of the help.
pub const USAGE: &str = "  --net:NAME=IFACE                attach the existing TAP interface IFACE, which is up; its MTU is
                                  the device's
  --net:NAME=@FD                  attach an open descriptor: a TAP, or a datagram or seqpacket
                                  socket that carries a frame per message (MTU 1500)
  --net:NAME=user                 a network of its own behind a gateway process: needs no
                                  privilege and no interface
  --publish:NAME=[ADDR:]HOST:GUEST[/tcp]
                                  with `user`: connections to the host's port HOST (on ADDR,
                                  127.0.0.1 if none is given) reach the guest's port GUEST;
                                  HOST 0 takes any free port; may be repeated
  --net-mac:NAME=HWADDR           hardware address, e.g. 02:00:00:00:00:01; a random, locally
                                  administered one if none is given
";

/// MTU of everything that is not an interface, in bytes.
const MTU_BYTES: u16 = 1500;
/// Everything that is not an interface.
const PLAIN: Wire = Wire { mtu_bytes: MTU_BYTES, frames: Frames::Plain };
/// Room that is asked for in each direction of a user network's wire, in bytes.
const WIRE_BUFFER_BYTES: usize = 4 << 20;
/// Most ports that one network can publish.
const PUBLISH_MAX: usize = 256;

/// What a network device is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Interface(String),
    Descriptor(RawFd),
    User,
}

/// What the user said about one network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    source: Option<Source>,
    mac: Option<[u8; 6]>,
    publish: Vec<Publish>,
}

impl Options {
    pub(super) fn accept(&mut self, typed: &Typed<'_>) -> Result<(), OptionError> {
        match typed.option {
            "net" => {
                let source = parse_source(typed.value(FORM)?).map_err(|r| typed.refuse(r))?;
                self.source = Some(source);
                Ok(())
            }
            "net-mac" => {
                let mac = parse_mac(typed.value("XX:XX:XX:XX:XX:XX")?);
                self.mac = mac.map_err(|r| typed.refuse(r))?;
                Ok(())
            }
            _ => {
                let value = typed.value("[ADDR:]HOST:GUEST")?.to_string_lossy();
                let publish = value.parse::<Publish>().map_err(|e| typed.refuse(e.to_string()))?;
                self.add_publish(publish).map_err(|r| typed.refuse(r))
            }
        }
    }

    fn add_publish(&mut self, publish: Publish) -> Result<(), &'static str> {
        let any_port = publish.host.port() == 0;
        if !any_port && self.publish.iter().any(|other| other.host == publish.host) {
            return Err("this port of the host is published twice");
        }
        if self.publish.len() == PUBLISH_MAX {
            return Err("at most 256 ports can be published");
        }
        self.publish.push(publish);
        Ok(())
    }

    pub(super) fn is_attached(&self) -> bool {
        self.source.is_some()
    }

    pub(super) fn needs_gateway(&self) -> bool {
        self.source == Some(Source::User)
    }

    pub(super) fn descriptor(&self) -> Option<RawFd> {
        match self.source {
            Some(Source::Descriptor(fd)) => Some(fd),
            _ => None,
        }
    }
}

fn parse_source(value: &OsStr) -> Result<Source, &'static str> {
    let text = value.to_str().ok_or("not a name")?;
    if text == "user" {
        return Ok(Source::User);
    }
    let Some(number) = text.strip_prefix('@') else {
        let blank = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '/';
        let valid = text.len() <= 15 && !text.contains(blank);
        let refused = "an interface's name has 1 to 15 characters, without blanks and slashes";
        return if valid { Ok(Source::Interface(text.to_owned())) } else { Err(refused) };
    };
    match number.parse() {
        Ok(fd) if fd > libc::STDERR_FILENO => Ok(Source::Descriptor(fd)),
        Ok(0..=2) => Err("descriptors 0 to 2 are the standard streams: pass another one"),
        _ => Err("after @ stands the number of an open descriptor"),
    }
}

/// Reads a hardware address; the address zero asks for a random one, as for `solo5-spt`.
fn parse_mac(value: &OsStr) -> Result<Option<[u8; 6]>, &'static str> {
    let form = "a hardware address is written as six hexadecimal pairs, e.g. 02:00:00:00:00:01";
    let text = value.to_str().ok_or(form)?;
    let mut mac = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut mac {
        let pair = pairs.next().ok_or(form)?;
        if pair.len() > 2 || !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(form);
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| form)?;
    }
    if pairs.next().is_some() {
        return Err(form);
    }
    Ok(Some(mac).filter(|&mac| mac != [0; 6]))
}

/// Why a network device cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// An interface, or a descriptor of one, is not usable.
    #[error(transparent)]
    Tap(#[from] tap::Error),
    /// A number that is no open descriptor.
    #[error("@{0} is not an open descriptor")]
    NotOpen(RawFd),
    /// A descriptor of something that carries no frames.
    #[error("@{0} is neither a TAP nor a datagram or seqpacket socket")]
    NoFrames(RawFd),
    /// `--publish` without a gateway.
    #[error("--publish works only with --net:NAME=user")]
    PublishWithoutGateway,
    /// A group's hardware address on a network whose gateway drops such senders.
    #[error(
        "--net-mac: this is a multicast address, which --net:NAME=user refuses: the first pair must be even"
    )]
    Multicast,
    /// The gateway could not be made, most often because of a port in use.
    #[error("{0}")]
    Gateway(gateway::Error),
    /// No random hardware address.
    #[error(transparent)]
    Entropy(#[from] entropy::Error),
    /// Another failure.
    #[error("{call}: {error}")]
    Call {
        /// The system call.
        call: &'static str,
        /// Its error.
        error: Errno,
    },
}

/// A gateway that is ready to run in a process of its own.
pub struct Gateway {
    /// The network's name.
    pub name: Name,
    /// It.
    pub gateway: gateway::Gateway,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An attached network device.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) fd: OwnedFd,
    pub(super) description: String,
    pub(super) gateway: Option<Gateway>,
    /// Frames begin with virtio-net headers.
    pub(super) headers: bool,
    mac: [u8; 6],
    mtu_bytes: u16,
}

impl Net {
    pub(super) fn attachment(&self, fd: RawFd) -> Attachment {
        Attachment::Net { mac: self.mac, mtu_bytes: self.mtu_bytes, fd }
    }
}

/// Attaches a device, with `headers` if the guest can take frames with virtio-net headers.
pub(super) fn attach(name: &Name, options: &Options, headers: bool) -> Result<Net, AttachError> {
    if !options.publish.is_empty() && !options.needs_gateway() {
        return Err(AttachError::PublishWithoutGateway);
    }
    let mac = match options.mac {
        Some(mac) => mac,
        None => random_mac()?,
    };
    if options.needs_gateway() && mac[0] & 1 != 0 {
        return Err(AttachError::Multicast);
    }
    let (fd, wire, gateway) = match &options.source {
        Some(Source::Interface(interface)) => {
            let tap = tap::open(interface, headers)?;
            (tap.fd, tap.wire, None)
        }
        Some(Source::Descriptor(number)) => {
            let fd = adopt(*number)?;
            let wire = inspect(fd.as_fd(), headers)?;
            (fd, wire, None)
        }
        Some(Source::User) | None => {
            let (fd, gateway) = make_gateway(name, mac, &options.publish)?;
            (fd, PLAIN, Some(gateway))
        }
    };
    set_non_blocking(fd.as_fd())?;
    let published = match &gateway {
        Some(gateway) => gateway.gateway.published().map_err(AttachError::Gateway)?,
        None => Vec::new(),
    };
    let description = describe(options, mac, &wire, &published);
    let Wire { mtu_bytes, frames } = wire;
    Ok(Net { fd, description, gateway, headers: frames == Frames::WithHeaders, mac, mtu_bytes })
}

fn describe(options: &Options, mac: [u8; 6], wire: &Wire, published: &[Publish]) -> String {
    let source = match &options.source {
        Some(Source::Interface(interface)) => interface.clone(),
        Some(Source::Descriptor(fd)) => format!("@{fd}"),
        Some(Source::User) | None => "user".to_owned(),
    };
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    let ports: String =
        published.iter().map(|p| format!(", {} -> {}", p.host, p.guest_port)).collect();
    let frames = match &wire.frames {
        Frames::Plain => String::new(),
        Frames::WithHeaders => ", virtio-net headers".to_owned(),
        Frames::Refused(reason) => {
            format!(", plain frames, as the kernel refuses headers: {reason}")
        }
    };
    format!("{source}, mac {mac}, mtu {}{frames}{ports}", wire.mtu_bytes)
}

fn random_mac() -> Result<[u8; 6], entropy::Error> {
    let mut mac = entropy::bytes::<6>()?;
    mac[0] = mac[0] & !0b11 | 0b10;
    Ok(mac)
}

/// Whether a descriptor of the command line is open.
pub(super) fn check_open(number: RawFd) -> Result<(), AttachError> {
    // SAFETY: borrowed only to ask whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl(borrowed, FcntlArg::F_GETFD) {
        Ok(_) => Ok(()),
        Err(_) => Err(AttachError::NotOpen(number)),
    }
}

/// Takes over a descriptor that the user named.
fn adopt(number: RawFd) -> Result<OwnedFd, AttachError> {
    check_open(number)?;
    // SAFETY: it is open, and was before this process opened anything, so the caller passed it for
    // this device. A second device of the same number is refused by the options.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The wire behind an adopted descriptor, if it carries frames.
fn inspect(fd: BorrowedFd<'_>, headers: bool) -> Result<Wire, AttachError> {
    if let Some(wire) = tap::inspect(fd, headers)? {
        return Ok(wire);
    }
    match getsockopt(&fd, sockopt::SockType) {
        Ok(SockType::Datagram | SockType::SeqPacket) => Ok(PLAIN),
        _ => Err(AttachError::NoFrames(fd.as_raw_fd())),
    }
}

fn set_non_blocking(fd: BorrowedFd<'_>) -> Result<(), AttachError> {
    let failed = |error| AttachError::Call { call: "fcntl", error };
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).map_err(failed)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(failed)?;
    Ok(())
}

/// The guest's end of a new wire, and the gateway at its other end.
fn make_gateway(
    name: &Name,
    mac: [u8; 6],
    publish: &[Publish],
) -> Result<(OwnedFd, Gateway), AttachError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (guest, wire) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|error| AttachError::Call { call: "socketpair", error })?;
    for end in [&guest, &wire] {
        // More room is better, but the limits of the host are right as well.
        let _ = setsockopt(end, sockopt::SndBuf, &WIRE_BUFFER_BYTES);
        let _ = setsockopt(end, sockopt::RcvBuf, &WIRE_BUFFER_BYTES);
    }
    let config = gateway::Config {
        publish: publish.to_vec(),
        guest_mac: Some(mac),
        mtu: MTU_BYTES,
        ..gateway::Config::default()
    };
    let gateway = gateway::Gateway::new(config, wire).map_err(AttachError::Gateway)?;
    Ok((guest, Gateway { name: *name, gateway }))
}

/// What a guest may do with a network device: read and write frames.
pub(crate) fn rules(name: &Name, fd: i32) -> [Rule; 2] {
    [Call::Read, Call::Write]
        .map(|call| Rule::new(call, [Condition::descriptor(fd, format!("net:{name}"))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Result<Source, &'static str> {
        parse_source(OsStr::new(text))
    }

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(source("user"), Ok(Source::User));
        assert_eq!(source("tap0"), Ok(Source::Interface("tap0".into())));
        assert_eq!(source("@7"), Ok(Source::Descriptor(7)));
        assert_eq!(source("tür0"), Ok(Source::Interface("tür0".into())));
        for refused in ["@", "@x", "@-1", "@1", "@99999999999", "a b", "a/b", "sixteen-letters-"] {
            assert!(source(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn hardware_addresses_are_six_pairs() {
        let mac = |text: &str| parse_mac(OsStr::new(text));
        assert_eq!(mac("02:0a:Ff:00:00:01"), Ok(Some([2, 10, 255, 0, 0, 1])));
        assert_eq!(mac("2:a:ff:0:0:1"), Ok(Some([2, 10, 255, 0, 0, 1])));
        assert_eq!(mac("03:00:00:00:00:01"), Ok(Some([3, 0, 0, 0, 0, 1])));
        assert_eq!(mac("00:00:00:00:00:00"), Ok(None));
        for refused in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "2:0:0:0::1",
            "002:00:00:00:00:01",
            "02-00-00-00-00-01",
            "+2:00:00:00:00:01",
            "02:00:00:00:00:0g",
        ] {
            assert!(mac(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn random_addresses_are_local_and_unicast() {
        let mac = random_mac().unwrap();
        assert_eq!(mac[0] & 0b11, 0b10);
        assert_ne!(mac, random_mac().unwrap());
    }

    #[test]
    fn what_frames_are_is_told() {
        let options =
            Options { source: Some(Source::Interface("tap0".into())), ..Options::default() };
        let described = |frames| describe(&options, [2; 6], &Wire { mtu_bytes: 1500, frames }, &[]);
        let plain = "tap0, mac 02:02:02:02:02:02, mtu 1500";
        assert_eq!(described(Frames::Plain), plain);
        assert_eq!(described(Frames::WithHeaders), format!("{plain}, virtio-net headers"));
        assert_eq!(
            described(Frames::Refused("TUNSETOFFLOAD: EINVAL".into())),
            format!("{plain}, plain frames, as the kernel refuses headers: TUNSETOFFLOAD: EINVAL")
        );
    }

    #[test]
    fn a_descriptor_must_carry_frames() {
        let none = SockFlag::SOCK_CLOEXEC;
        let (seqpacket, _other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, none).unwrap();
        assert_eq!(inspect(seqpacket.as_fd(), true).unwrap(), PLAIN);
        let (stream, _other) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, none).unwrap();
        assert!(matches!(inspect(stream.as_fd(), false), Err(AttachError::NoFrames(_))));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(matches!(inspect(file.as_fd(), false), Err(AttachError::NoFrames(_))));
    }
}
