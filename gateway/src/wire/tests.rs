//! Both forms of the wire, with the guest's end in the test.

use ::ring::{AtomicU64, Endpoint, WORDS, guest_end};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{ftruncate, pipe, read};
use solo5_sys::ring::{Header, REGION_BYTES};

use super::*;
use crate::memory;

fn open(socket: OwnedFd) -> Result<Wire, Error> {
    Wire::open(Ends::of_socket(socket)?)
}

fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_NONBLOCK).unwrap()
}

fn write(guest: &OwnedFd, frame: &[u8]) {
    assert_eq!(send(guest.as_raw_fd(), frame, MsgFlags::empty()), Ok(frame.len()));
}

#[test]
fn frames_keep_their_bounds_and_long_ones_are_dropped() {
    let (guest, wire) = pair(SockType::SeqPacket);
    let mut wire = open(wire).unwrap();
    let mut buffer = [0; 1514];
    let mut receive = |wire: &mut Wire| (wire.receive(&mut buffer).unwrap(), buffer[0]);
    assert_eq!(receive(&mut wire).0, Received::Nothing);
    for frame in [&[1; 1514][..], &[2; 1515], &[], &[3; 14]] {
        write(&guest, frame);
    }
    assert_eq!(receive(&mut wire), (Received::Frame(0..1514), 1));
    assert_eq!(receive(&mut wire).0, Received::Oversized);
    assert_eq!(receive(&mut wire).0, Received::Empty);
    assert_eq!(receive(&mut wire), (Received::Frame(0..14), 3));
}

#[test]
fn the_end_comes_after_what_was_sent() {
    let (guest, wire) = pair(SockType::SeqPacket);
    let mut wire = open(wire).unwrap();
    assert_eq!(wire.send(&[4; 60]).unwrap(), Sent::Done);
    write(&guest, &[1; 60]);
    drop(guest);
    let mut buffer = [0; 1514];
    let mut receive = |wire: &mut Wire| wire.receive(&mut buffer).unwrap();
    let unread = "our frame was not read";
    assert_eq!(receive(&mut wire), Received::Reset, "{unread}");
    assert_eq!(receive(&mut wire), Received::Frame(0..60));
    assert_eq!(receive(&mut wire), Received::Empty, "nothing was told of a hang-up");
    wire.set_hung_up();
    assert_eq!(receive(&mut wire), Received::GuestGone);
    assert_eq!(wire.send(&[4; 60]).unwrap(), Sent::Done, "and lost");
}

#[test]
fn a_full_wire_loses_nothing_and_the_queue_has_an_end() {
    let (guest, wire) = pair(SockType::SeqPacket);
    let mut wire = open(wire).unwrap();
    let mut sent = 0;
    while wire.send(&[0; 1514]).unwrap() == Sent::Done {
        sent += 1;
    }
    assert!(wire.is_full());
    for _ in 0..REPLIES_MAX + 1 {
        wire.queue(vec![1; 60]);
    }
    assert_eq!(wire.replies_dropped(), 1);
    assert_eq!(wire.send_queued().unwrap(), Sent::Full);
    let mut buffer = [0; 1514];
    for _ in 0..sent {
        assert_eq!(recv(guest.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(1514));
    }
    assert_eq!(wire.send_queued().unwrap(), Sent::Done);
    for _ in 0..REPLIES_MAX {
        assert_eq!(recv(guest.as_raw_fd(), &mut buffer, MsgFlags::empty()), Ok(60));
    }
}

#[test]
fn other_sockets_are_no_wires() {
    let (stream, _other) = pair(SockType::Stream);
    assert!(matches!(open(stream), Err(Error::NotAWire)));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(matches!(open(udp.into()), Err(Error::NotAWire)));
}

/// The guest's end of a ring wire, its doorbell and the gateway's, and the end of the lifeline.
struct Guest {
    end: Endpoint<'static>,
    region: &'static [AtomicU64; WORDS],
    doorbell: OwnedFd,
    gateway_doorbell: OwnedFd,
    lifeline: OwnedFd,
}

impl Guest {
    /// Whether a doorbell was rung since the last time.
    fn was_rung(bell: &OwnedFd) -> bool {
        match read(bell, &mut [0; 8]) {
            Ok(8) => true,
            Err(Errno::EAGAIN) => false,
            other => panic!("{other:?}"),
        }
    }
}

/// Two descriptors of one doorbell.
fn doorbells() -> [OwnedFd; 2] {
    let bell = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK).unwrap();
    let bell = OwnedFd::from(bell);
    [bell.try_clone().unwrap(), bell]
}

fn ring_pair() -> (Guest, Wire) {
    let memory = memfd_create("ring", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&memory, REGION_BYTES as i64).unwrap();
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
    let region = memory::map(&memory).unwrap();
    let ([doorbell, guest_doorbell], [gateway_doorbell, own]) = (doorbells(), doorbells());
    let (lifeline, cut) = pipe().unwrap();
    let link =
        Link { memory, doorbell: own, guest_doorbell, lifeline, spin: std::time::Duration::ZERO };
    let end = guest_end(region);
    let guest = Guest { end, region, doorbell, gateway_doorbell, lifeline: cut };
    (guest, Wire::open(Ends::Ring(link)).unwrap())
}

fn with_header(frame: &[u8]) -> Vec<u8> {
    [&[0; VNET_HEADER_BYTES], frame].concat()
}

#[test]
fn a_ring_carries_frames_of_any_length_behind_headers() {
    let (mut guest, mut wire) = ring_pair();
    let mut buffer = wire.buffer(1514);
    for frame in [&[1; 1514][..], &[2; 60_000], &[3; 14]] {
        assert_eq!(guest.end.outgoing().send(&with_header(frame)), Ok(true));
    }
    assert_eq!(guest.end.outgoing().send(&[9]), Ok(true));
    let mut receive = |wire: &mut Wire| wire.receive(&mut buffer).unwrap();
    assert!(wire.claims_more());
    assert_eq!(receive(&mut wire), Received::Frame(10..1524));
    assert_eq!(receive(&mut wire), Received::Frame(10..60_010));
    assert_eq!(receive(&mut wire), Received::Frame(10..24));
    assert_eq!(receive(&mut wire), Received::Frame(1..1), "shorter than a header");
    assert_eq!(receive(&mut wire), Received::Nothing);
    assert_eq!(wire.send(&[7; 60]).unwrap(), Sent::Done);
    let mut taken = [0; 100];
    assert_eq!(guest.end.incoming().receive(&mut taken), Ok(Some(70)));
    assert_eq!(taken[..70], with_header(&[7; 60]));
    assert_eq!(wire.send_whole(&[8; 70]).unwrap(), Sent::Done);
    assert_eq!(guest.end.incoming().receive(&mut taken), Ok(Some(70)));
    assert_eq!(taken[..70], [8; 70]);
    drop(guest.lifeline);
    wire.set_hung_up();
    assert_eq!(receive(&mut wire), Received::GuestGone);
}

#[test]
fn doorbells_are_rung_for_those_who_sleep() {
    let (mut guest, mut wire) = ring_pair();
    wire.send(&[1; 60]).unwrap();
    wire.ring().unwrap();
    assert!(!Guest::was_rung(&guest.doorbell), "the guest is awake");
    guest.end.incoming().receive(&mut [0; 100]).unwrap();
    assert_eq!(guest.end.prepare_to_sleep(None), Ok(true));
    for _ in 0..3 {
        wire.send(&[1; 60]).unwrap();
    }
    wire.ring().unwrap();
    wire.ring().unwrap();
    assert!(Guest::was_rung(&guest.doorbell));
    guest.end.wake();
    assert!(wire.prepare_to_sleep(|| Ok(false)).unwrap());
    guest.end.outgoing().send(&[1; 60]).unwrap();
    assert!(guest.end.must_ring(), "the gateway sleeps");
    wire.wake();
    assert!(!wire.prepare_to_sleep(|| Ok(false)).unwrap(), "there is a frame");
    assert!(!Guest::was_rung(&guest.gateway_doorbell), "nobody rings it here");
}

#[test]
fn a_full_ring_loses_nothing_and_wakes_when_it_is_half_empty() {
    let (mut guest, mut wire) = ring_pair();
    let mut sent = 0;
    while wire.send(&[4; 1514]).unwrap() == Sent::Done {
        sent += 1;
    }
    assert!(wire.is_full() && sent > 600);
    assert!(wire.prepare_to_sleep(|| Ok(false)).unwrap());
    let mut rings = Vec::new();
    for number in 0..sent {
        assert_eq!(guest.end.incoming().receive(&mut [0; 2000]), Ok(Some(1524)));
        rings.extend(guest.end.must_ring().then_some(number));
    }
    assert!(matches!(rings[..], [at] if at > sent / 3 && at < sent * 2 / 3), "{rings:?}");
    wire.wake();
    assert!(!wire.is_full());
}

#[test]
fn what_cannot_be_ends_the_wire_with_its_name() {
    let (mut guest, mut wire) = ring_pair();
    guest.end.outgoing().send(&[1; 60]).unwrap();
    let mut buffer = wire.buffer(1514);
    assert_eq!(wire.receive(&mut buffer).unwrap(), Received::Frame(10..60));
    let produced = std::mem::offset_of!(Header, to_gateway) / 8;
    guest.region[produced].store(72 + (1 << 20) + 8, std::sync::atomic::Ordering::Relaxed);
    let error = wire.receive(&mut buffer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the guest has broken its wire: a position 1048584 bytes away in a ring of 1048576"
    );
}

#[test]
fn memory_that_can_shrink_is_refused() {
    let memory = memfd_create("ring", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    ftruncate(&memory, REGION_BYTES as i64).unwrap();
    assert!(matches!(memory::map(&memory), Err(Error::NotARing)));
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
    assert!(memory::map(&memory).is_ok());
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(memory::map(&file.into()), Err(Error::NotARing)));
}
