//! Sends every frame back as it came and says what the longest was, until a frame of the
//! experimental EtherType 0x88b5 says `quit`.
#![no_std]
#![no_main]

use solo5_guests::sys::{self, NEVER_NS};
use solo5_guests::{Guest, guest, println};
use solo5_sys::manifest::Entry;

guest!(main, [Entry::net("service")]);

const AGAIN: isize = -11;
const QUIT: &[u8] = b"\x88\xb5quit";

fn main(guest: &Guest) -> i32 {
    let (mac, mtu_bytes, fd) = guest.net(1);
    println!("mtu {mtu_bytes} mac {mac:02x?}");
    let mut buffer = [0; 64 << 10];
    let mut longest = 0;
    loop {
        assert!(sys::wait(&guest.info, NEVER_NS) == 1 << 1);
        loop {
            let bytes = sys::read(fd, &mut buffer);
            if bytes == AGAIN {
                break;
            }
            let frame = &buffer[..usize::try_from(bytes).expect("a frame")];
            longest = longest.max(frame.len());
            if frame.get(12..).is_some_and(|payload| payload.starts_with(QUIT)) {
                println!("longest frame {longest}");
                return 0;
            }
            let sent = sys::write(fd, frame);
            assert!(sent == bytes, "sent {sent} of {bytes}");
        }
    }
}
