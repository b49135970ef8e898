//! The other end of a TAP in place of a guest: reads and writes frames, and answers for an address as far as it
//! takes to be sent something.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

pub(crate) const TIME_OUT: Duration = Duration::from_secs(10);

pub(crate) struct Guest {
    tap: File,
    pub(crate) mac: [u8; 6],
}

impl Guest {
    pub(crate) fn new(tap: &OwnedFd, mac: [u8; 6]) -> Self {
        Self { tap: tap.try_clone().unwrap().into(), mac }
    }

    pub(crate) fn write(&mut self, frame: &[u8]) {
        assert_eq!(self.tap.write(frame).unwrap(), frame.len());
    }

    /// The next frame until a time.
    pub(crate) fn read_until(&mut self, deadline: Instant) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.tap.read(&mut buffer) {
                Ok(len) => {
                    buffer.truncate(len);
                    return Some(buffer);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u16;
            let mut fds = [PollFd::new(self.tap.as_fd(), PollFlags::POLLIN)];
            if left == 0 || poll(&mut fds, left).unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next frame that is wanted.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            let frame = self.read_until(deadline)?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Answers the next ARP request for an address.
    pub(crate) fn answer_arp(&mut self, own: Ipv4Addr) {
        let wanted = |frame: &[u8]| {
            frame[12..14] == [8, 6] && frame[20..22] == [0, 1] && frame[38..42] == own.octets()
        };
        let request = self.wait_for(wanted).expect("no ARP request");
        let mut reply = request[..42].to_vec();
        reply[..6].copy_from_slice(&request[6..12]);
        reply[6..12].copy_from_slice(&self.mac);
        reply[21] = 2;
        reply[22..28].copy_from_slice(&self.mac);
        reply[28..32].copy_from_slice(&own.octets());
        reply[32..42].copy_from_slice(&request[22..32]);
        self.write(&reply);
    }

    /// A UDP datagram in a frame, without a checksum, to the Ethernet address `to`.
    pub(crate) fn datagram(
        &self,
        to: [u8; 6],
        from: Ipv4Addr,
        remote: (Ipv4Addr, u16),
        payload: &[u8],
    ) -> Vec<u8> {
        let mut frame = [&to[..], &self.mac, &[8, 0, 0x45, 0]].concat();
        frame.extend((28 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(from.octets());
        frame.extend(remote.0.octets());
        let checksum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(7_u16.to_be_bytes());
        frame.extend(remote.1.to_be_bytes());
        frame.extend((8 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }
}

/// RFC 1071, of whole 16-bit words.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
