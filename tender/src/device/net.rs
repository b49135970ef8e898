//! Network devices: a TAP interface by its name, a descriptor that the caller opened, or a
//! gateway process, with a user-mode network of its own or a TAP interface behind it.
//!
//! A device carries Ethernet frames, one per `read` or `write`, and never blocks. They are plain, or, for
//! guests that ask for it and on TAPs that can, begin with a virtio-net header ([`tap`]). Before a gateway, and
//! for guests that know them, a device is a ring ([`super::ring`]), whose frames have such headers always.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use gateway::Publish;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socketpair, sockopt,
};
use solo5_sys::extension::{Features, Request};
use solo5_sys::manifest::{Attachment, Name};
use solo5_sys::ring::SPIN_NS_MAX;

use super::ring::{Made, Ring};
use super::tap::{Frames, Wire};
use super::{OptionError, Typed, ring, tap};
use crate::entropy;
use crate::policy::{Call, Condition, Rule};

/// The options of network devices.
pub const OPTIONS: [&str; 4] = ["net", "net-mac", "net-spin", "publish"];
/// What the value of `--net` looks like.
pub const FORM: &str = "IFACE|@FD|user|ring:IFACE";
/// Network devices' part of the help.
pub const USAGE: &str = "  --net:NAME=IFACE                attach the existing TAP interface IFACE, which is up; its MTU is
                                  the device's
  --net:NAME=@FD                  attach an open descriptor: a TAP, or a datagram or seqpacket
                                  socket that carries a frame per message (MTU 1500)
  --net:NAME=user[,wire=plain]    a network of its own behind a gateway process: needs no
                                  privilege and no interface. Guests that know rings share
                                  memory with the gateway, unless the wire is `plain`
  --net:NAME=ring:IFACE           the TAP interface IFACE behind a gateway process, which the
                                  guest reaches by a ring only
  --net-spin:NAME=off|MICROSECONDS
                                  how long both sides of a ring look for frames before they
                                  sleep, at most 1000 (default 20)
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
/// A gateway's ring.
const WITH_HEADERS: Wire = Wire { mtu_bytes: MTU_BYTES, frames: Frames::WithHeaders };
/// Room that is asked for in each direction of a user network's wire, in bytes.
const WIRE_BUFFER_BYTES: usize = 4 << 20;
/// How long the sides of a ring look for frames before they sleep, if nothing is said.
const SPIN: Duration = Duration::from_micros(20);
/// Most ports that one network can publish.
const PUBLISH_MAX: usize = 256;

/// What a network device is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Interface(String),
    Descriptor(RawFd),
    User(WireForm),
    /// An interface behind a gateway.
    Bridged(String),
}

/// The form of the wire before a user-mode network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireForm {
    /// A ring, if the guest knows it.
    Best,
    /// A socket.
    Plain,
}

/// What the user said about one network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    source: Option<Source>,
    mac: Option<[u8; 6]>,
    spin: Option<Duration>,
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
            "net-spin" => {
                let spin = parse_spin(typed.value("off|MICROSECONDS")?);
                self.spin = Some(spin.map_err(|r| typed.refuse(r))?);
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

    /// The option's value, if it means a gateway process.
    pub(super) fn gateway(&self) -> Option<&'static str> {
        match self.source {
            Some(Source::User(_)) => Some("--net:NAME=user"),
            Some(Source::Bridged(_)) => Some("--net:NAME=ring:IFACE"),
            _ => None,
        }
    }

    /// Whether the device is a ring, for a guest with these features.
    pub(super) fn is_ring(&self, granted: &Request) -> bool {
        let may_be = matches!(self.source, Some(Source::User(WireForm::Best) | Source::Bridged(_)));
        may_be && ring::is_granted(granted)
    }

    fn is_user(&self) -> bool {
        matches!(self.source, Some(Source::User(_)))
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
    if let Some(form) = text.strip_prefix("user").and_then(parse_wire) {
        return Ok(Source::User(form));
    }
    if let Some(interface) = text.strip_prefix("ring:") {
        return parse_interface(interface).map(Source::Bridged);
    }
    let Some(number) = text.strip_prefix('@') else {
        return parse_interface(text).map(Source::Interface);
    };
    match number.parse() {
        Ok(fd) if fd > libc::STDERR_FILENO => Ok(Source::Descriptor(fd)),
        Ok(0..=2) => Err("descriptors 0 to 2 are the standard streams: pass another one"),
        _ => Err("after @ stands the number of an open descriptor"),
    }
}

fn parse_interface(text: &str) -> Result<String, &'static str> {
    let blank = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '/';
    let valid = (1..=15).contains(&text.len()) && !text.contains(blank);
    let refused = "an interface's name has 1 to 15 characters, without blanks and slashes";
    if valid { Ok(text.to_owned()) } else { Err(refused) }
}

/// What follows `user`.
fn parse_wire(text: &str) -> Option<WireForm> {
    match text {
        "" => Some(WireForm::Best),
        ",wire=plain" => Some(WireForm::Plain),
        _ => None,
    }
}

fn parse_spin(value: &OsStr) -> Result<Duration, &'static str> {
    let max = SPIN_NS_MAX / 1000;
    let number = match value.to_str() {
        Some("off") => Some(0),
        text => text.filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok()),
    };
    let micros = number.filter(|micros| *micros <= max);
    micros.map(Duration::from_micros).ok_or("a number of microseconds up to 1000, or `off`")
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
    /// An interface behind a ring for a guest that knows none.
    #[error("the unikernel knows no rings: attach the interface itself by --net:NAME={0}")]
    NoRings(String),
    /// An interface whose kernel does not give frames the header that a ring's have.
    #[error(
        "ring:{interface} is not possible here ({reason}): attach the interface itself by --net:NAME={interface}"
    )]
    NoHeaders {
        /// The interface.
        interface: String,
        /// The kernel's reason.
        reason: String,
    },
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
    pub service: Service,
    /// Of a ring: what must be closed when the guest is gone.
    pub lifeline: Option<OwnedFd>,
}

/// What a gateway's process does.
pub enum Service {
    /// A network of its own.
    Network(Box<gateway::Gateway>),
    /// An interface of the host's.
    Bridge(gateway::Bridge),
}

impl Service {
    /// The descriptors that it needs, besides the standard streams.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        match self {
            Self::Network(gateway) => gateway.descriptors(),
            Self::Bridge(bridge) => bridge.descriptors(),
        }
    }

    /// Confines the process and serves until the guest is gone.
    pub(crate) fn run(self) -> Result<gateway::Ended, gateway::Error> {
        match self {
            Self::Network(gateway) => gateway.run(),
            Self::Bridge(bridge) => bridge.run(),
        }
    }
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
    pub(super) ring: Option<Ring>,
    mac: [u8; 6],
    mtu_bytes: u16,
}

impl Net {
    pub(super) fn attachment(&self, fd: RawFd) -> Attachment {
        Attachment::Net { mac: self.mac, mtu_bytes: self.mtu_bytes, fd }
    }
}

pub(super) fn attach(
    name: &Name,
    options: &Options,
    granted: &Request,
) -> Result<Net, AttachError> {
    if !options.publish.is_empty() && !options.is_user() {
        return Err(AttachError::PublishWithoutGateway);
    }
    let mac = match options.mac {
        Some(mac) => mac,
        None => random_mac()?,
    };
    if options.is_user() && mac[0] & 1 != 0 {
        return Err(AttachError::Multicast);
    }
    let is_ring = options.is_ring(granted);
    let headers = granted.features.contains(Features::VNET);
    let (fd, wire, gateway, ring) = match &options.source {
        Some(Source::Interface(interface)) => {
            let tap = tap::open(interface, headers)?;
            (tap.fd, tap.wire, None, None)
        }
        Some(Source::Descriptor(number)) => {
            let fd = adopt(*number)?;
            let wire = inspect(fd.as_fd(), headers)?;
            (fd, wire, None, None)
        }
        Some(Source::Bridged(interface)) => {
            if !is_ring {
                return Err(AttachError::NoRings(interface.clone()));
            }
            let tap = tap::open(interface, true)?;
            if let Frames::Refused(reason) = tap.wire.frames {
                return Err(AttachError::NoHeaders { interface: interface.clone(), reason });
            }
            let Made { doorbell, ring, link, lifeline } = make_ring(options)?;
            let service = Service::Bridge(gateway::Bridge::new(tap.fd, link));
            let gateway = Gateway { name: *name, service, lifeline: Some(lifeline) };
            (doorbell, tap.wire, Some(gateway), Some(ring))
        }
        Some(Source::User(_)) | None if is_ring => {
            let Made { doorbell, ring, link, lifeline } = make_ring(options)?;
            let gateway = gateway::Gateway::on_ring(config(options, mac), link);
            let gateway = as_service(name, gateway, Some(lifeline))?;
            (doorbell, WITH_HEADERS, Some(gateway), Some(ring))
        }
        Some(Source::User(_)) | None => {
            let (guest, wire) = make_wire()?;
            let gateway = gateway::Gateway::new(config(options, mac), wire);
            (guest, PLAIN, Some(as_service(name, gateway, None)?), None)
        }
    };
    set_non_blocking(fd.as_fd())?;
    let published = match gateway.as_ref().map(|gateway| &gateway.service) {
        Some(Service::Network(gateway)) => gateway.published().map_err(AttachError::Gateway)?,
        Some(Service::Bridge(_)) | None => Vec::new(),
    };
    let form = if ring.is_some() { "by a ring, " } else { "" };
    let description = form.to_owned() + &describe(options, mac, &wire, &published);
    let Wire { mtu_bytes, frames } = wire;
    let headers = frames == Frames::WithHeaders;
    Ok(Net { fd, description, gateway, headers, ring, mac, mtu_bytes })
}

fn make_ring(options: &Options) -> Result<Made, AttachError> {
    let spin = options.spin.unwrap_or(SPIN);
    ring::make(spin).map_err(|(call, error)| AttachError::Call { call, error })
}

fn as_service(
    name: &Name,
    gateway: Result<gateway::Gateway, gateway::Error>,
    lifeline: Option<OwnedFd>,
) -> Result<Gateway, AttachError> {
    let gateway = gateway.map_err(AttachError::Gateway)?;
    Ok(Gateway { name: *name, service: Service::Network(Box::new(gateway)), lifeline })
}

fn describe(options: &Options, mac: [u8; 6], wire: &Wire, published: &[Publish]) -> String {
    let source = match &options.source {
        Some(Source::Interface(interface)) => interface.clone(),
        Some(Source::Descriptor(fd)) => format!("@{fd}"),
        Some(Source::Bridged(interface)) => interface.clone(),
        Some(Source::User(_)) | None => "user".to_owned(),
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

/// The two ends of a new wire: the guest's, and the gateway's.
fn make_wire() -> Result<(OwnedFd, OwnedFd), AttachError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (guest, wire) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(|error| AttachError::Call { call: "socketpair", error })?;
    for end in [&guest, &wire] {
        // More room is better, but the limits of the host are right as well.
        let _ = setsockopt(end, sockopt::SndBuf, &WIRE_BUFFER_BYTES);
        let _ = setsockopt(end, sockopt::RcvBuf, &WIRE_BUFFER_BYTES);
    }
    Ok((guest, wire))
}

fn config(options: &Options, mac: [u8; 6]) -> gateway::Config {
    gateway::Config {
        publish: options.publish.clone(),
        guest_mac: Some(mac),
        mtu: MTU_BYTES,
        ..gateway::Config::default()
    }
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
        assert_eq!(source("user"), Ok(Source::User(WireForm::Best)));
        assert_eq!(source("user,wire=plain"), Ok(Source::User(WireForm::Plain)));
        assert_eq!(source("user0"), Ok(Source::Interface("user0".into())));
        assert_eq!(source("ring:tap0"), Ok(Source::Bridged("tap0".into())));
        assert_eq!(source("tap0"), Ok(Source::Interface("tap0".into())));
        assert_eq!(source("@7"), Ok(Source::Descriptor(7)));
        assert_eq!(source("tür0"), Ok(Source::Interface("tür0".into())));
        for refused in [
            "@",
            "@x",
            "@-1",
            "@1",
            "@99999999999",
            "a b",
            "a/b",
            "sixteen-letters-",
            "ring:",
            "ring:a b",
        ] {
            assert!(source(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn looking_is_bounded() {
        let spin = |text: &str| parse_spin(OsStr::new(text));
        assert_eq!(spin("off"), Ok(Duration::ZERO));
        assert_eq!(spin("0"), Ok(Duration::ZERO));
        assert_eq!(spin("1000"), Ok(Duration::from_millis(1)));
        for refused in ["1001", "", "-1", "+1", "1us", "on", "99999999999999999999"] {
            assert!(spin(refused).is_err(), "{refused}");
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
