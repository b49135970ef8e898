//! Misuses its ring, once its network is up. The arguments say how: `write position|length|skip|beyond|noise`
//! writes what cannot be, `bell N` rings the gateway's doorbell N times, `deaf` takes no frame any more.
#![no_std]
#![no_main]

extern crate alloc;

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use guest_rt::internal::raw_hypercall;
use guest_rt::internal::solo5_sys::extension::{Extension, Rings};
use guest_rt::internal::solo5_sys::layout::{EXTENSION_PAGE, PAGE_BYTES};
use guest_rt::internal::solo5_sys::ring::{DATA_BYTES, HEADER_BYTES, Header, REGION_BYTES, SKIP};

guest_rt::manifest! {
    net "service",
}

const WRITE: usize = 1;
const PPOLL: usize = 271;

/// The ring's memory, in words, and the number of the gateway's doorbell.
struct Ring {
    words: &'static [AtomicU64],
    doorbell: usize,
}

impl Ring {
    fn find() -> Self {
        let page = core::ptr::with_exposed_provenance::<u8>(EXTENSION_PAGE as usize);
        // SAFETY: the tender has mapped this page.
        let page = unsafe { core::slice::from_raw_parts(page, PAGE_BYTES as usize) };
        let rings: Rings = Extension::parse(page).expect("an extension page").rings;
        let (address, doorbell) = rings.of(1).expect("a ring");
        let start = core::ptr::with_exposed_provenance::<AtomicU64>(address as usize);
        // SAFETY: the tender has mapped a region there.
        let words = unsafe { core::slice::from_raw_parts(start, REGION_BYTES / 8) };
        Self { words, doorbell: doorbell as usize }
    }

    fn put(&self, offset: usize, word: u64) {
        self.words[offset / 8].store(word, Ordering::SeqCst);
    }

    fn ring(&self) {
        let one = 1u64;
        let address = (&raw const one).expose_provenance();
        // SAFETY: the kernel reads eight bytes.
        unsafe { raw_hypercall(WRITE, [self.doorbell, address, 8, 0, 0, 0]) };
    }

    /// Writes what cannot be.
    fn spoil(&self, how: &str) {
        const PRODUCED: usize = offset_of!(Header, to_gateway);
        let produced = self.words[PRODUCED / 8].load(Ordering::SeqCst);
        let record = HEADER_BYTES + produced as usize % DATA_BYTES;
        match how {
            "position" => self.put(PRODUCED, produced.wrapping_sub(8)),
            "length" => self.put(record, 1 << 40),
            "skip" => self.put(record, SKIP),
            "beyond" => self.put(record, 2000),
            "noise" => return self.scribble(),
            _ => panic!("no such way"),
        }
        if how != "position" {
            self.put(PRODUCED, produced + 64);
        }
    }

    /// Writes anything anywhere, most of it where it matters.
    fn scribble(&self) {
        let mut random = 0x2545_f491_4f6c_dd1du64;
        for round in 0..2_000_000usize {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let places = if round.is_multiple_of(2) { 144 } else { self.words.len() };
            self.put((random >> 33) as usize % places * 8, random >> (random % 64));
            if round.is_multiple_of(1000) {
                self.ring();
            }
        }
    }
}

/// Waits for ever, without a look at any device.
fn stop() -> ! {
    loop {
        // SAFETY: waits for no descriptor, without end.
        unsafe { raw_hypercall(PPOLL, [0; 6]) };
    }
}

#[guest_rt::main]
async fn main() -> Result<(), guest_rt::net::Error> {
    let net = guest_rt::net::open("service")?;
    net.address().await;
    let ring = Ring::find();
    guest_rt::println!("up");
    let words = guest_rt::args();
    match words.iter().map(|word| &**word).collect::<alloc::vec::Vec<_>>()[..] {
        ["write", how, ..] => {
            ring.spoil(how);
            ring.ring();
            stop()
        }
        ["bell", count, ..] => {
            let count: usize = count.parse().expect("a number");
            (0..count).for_each(|_| ring.ring());
            guest_rt::println!("rang");
            Ok(())
        }
        ["deaf", ..] => stop(),
        _ => panic!("no such way"),
    }
}
