//! Forwards frames between two networks, until one says `quit`, which is forwarded too.
#![no_std]
#![no_main]

use solo5_guests::sys::{self, NEVER_NS};
use solo5_guests::{Guest, guest, println};
use solo5_sys::manifest::Entry;

guest!(main, [Entry::net("inside"), Entry::net("outside")]);

const AGAIN: isize = -11;

fn main(guest: &Guest) -> i32 {
    let (inside, outside) = (guest.net(1), guest.net(2));
    assert!(inside.0 != outside.0 && inside.2 != outside.2);
    println!("inside {:02x?} outside {:02x?}", inside.0, outside.0);
    let mut forwarded = [0; 2];
    loop {
        let ready = sys::wait(&guest.info, NEVER_NS);
        assert!(ready != 0 && ready & !0b110 == 0, "{ready:#b}");
        for (index, from, to) in [(1, inside.2, outside.2), (2, outside.2, inside.2)] {
            if ready & 1 << index != 0 {
                let (frames, quit) = forward(from, to);
                forwarded[index - 1] += frames;
                if quit {
                    println!("forwarded {} and {}", forwarded[0], forwarded[1]);
                    return 0;
                }
            }
        }
    }
}

/// Forwards what there is. Returns how many frames that were, and whether one said `quit`.
fn forward(from: i32, to: i32) -> (usize, bool) {
    let mut buffer = [0; 64 << 10];
    let mut frames = 0;
    loop {
        let bytes = sys::read(from, &mut buffer);
        if bytes == AGAIN {
            return (frames, false);
        }
        let frame = &buffer[..usize::try_from(bytes).expect("a frame")];
        let sent = sys::write(to, frame);
        assert!(sent == bytes, "sent {sent} of {bytes}");
        frames += 1;
        if frame.ends_with(b"quit") {
            return (frames, true);
        }
    }
}
