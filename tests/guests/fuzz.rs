//! Makes random calls through its one way into the kernel. The arguments say what: `permitted SEED COUNT` makes so
//! many that its policy lets through, with anything in what the policy leaves open; `denied SEED` makes a few of those
//! and then one that ends it.
//!
//! What it can vary is: what it writes to the wire, how long and from where; where blocks lie and how long they are;
//! what it waits for and how long; good and bad addresses. It says how far it is every hundredth of the way.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};

use guest_rt::internal::raw_hypercall;
use guest_rt::internal::solo5_sys::extension::Extension;
use guest_rt::internal::solo5_sys::hypercall::transfer_tiers;
use guest_rt::internal::solo5_sys::layout::{EXTENSION_PAGE, PAGE_BYTES};
use guest_rt::internal::solo5_sys::ring;
use guest_rt::println;
use syscall_fuzzer::frame::{BYTES_MAX, Frames, Header};
use syscall_fuzzer::numbers;
use syscall_fuzzer::random::Random;

guest_rt::manifest! {
    net "service",
    block "storage",
}

const READ: usize = 0;
const WRITE: usize = 1;
const PREAD64: usize = 17;
const PWRITE64: usize = 18;
const CLOCK_GETTIME: usize = 228;
const PPOLL: usize = 271;

const CONSOLE: usize = 1;
const NET: usize = 3;
const BLOCK: usize = 4;
/// The network's index in the manifest.
const INDEX: usize = 1;
const VIRTIO_BYTES: usize = 10;
/// Where transfers start, and how long they are at most.
const BUFFER_BYTES: usize = 1 << 20;

struct Fuzzer {
    random: Random,
    frames: Frames,
    header: Header,
    ring: Option<Ring>,
    /// Longest transfers and the highest offsets for them.
    tiers: Vec<(u64, u64)>,
    buffer: Vec<u8>,
}

#[guest_rt::main]
fn main() {
    let words = guest_rt::args();
    let number = |index: usize| -> u64 {
        let word =
            words.get(index).unwrap_or_else(|| panic!("permitted SEED COUNT, or denied SEED"));
        word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
    };
    let mut fuzzer = Fuzzer::new(number(1));
    match &*words[0] {
        "permitted" => {
            let count = number(2);
            println!("calls 0");
            pause(5);
            for made in 1..=count {
                fuzzer.permitted();
                if made % (count / 100).max(1) == 0 {
                    // What it has written itself may stand in that line.
                    println!("\ncalls {made}");
                }
            }
            // Twice the same: that was all.
            println!("\ncalls {count}\ncalls {count}");
            pause(60);
        }
        "denied" => {
            println!("calls 0");
            pause(5);
            (0..4).for_each(|_| fuzzer.permitted());
            fuzzer.denied();
        }
        way => panic!("{way} is neither permitted nor denied"),
    }
}

impl Fuzzer {
    fn new(seed: u64) -> Self {
        let disk = guest_rt::block::open("storage").expect("a disk");
        let tiers = transfer_tiers(disk.block_bytes(), disk.capacity_bytes());
        let page = core::ptr::with_exposed_provenance(EXTENSION_PAGE as usize);
        // SAFETY: the tender maps the page, and nobody writes to it.
        let page = unsafe { core::slice::from_raw_parts(page, PAGE_BYTES as usize) };
        let extension = Extension::parse(page).unwrap_or(Extension::NONE);
        let ring = extension.rings.of(INDEX).map(|(address, doorbell)| Ring::at(address, doorbell));
        let has_header = ring.is_some() || extension.has_virtio_net(INDEX);
        Self {
            random: Random::new(seed),
            frames: Frames::default(),
            header: if has_header { Header::Virtio } else { Header::None },
            ring,
            tiers: tiers.map(|tier| (tier.bytes, tier.last_offset)).collect(),
            // What is written at its last start still ends in it.
            buffer: vec![0; 2 * BUFFER_BYTES],
        }
    }

    /// Makes a call that the policy lets through.
    fn permitted(&mut self) {
        match self.random.below(20) {
            0..=7 => self.send(),
            8..=10 => self.receive(),
            11..=13 => self.wait(),
            14..=16 => self.transfer(),
            17 => {
                let address = self.address();
                let clock = self.random.below(2) as usize;
                call(CLOCK_GETTIME, [clock, address, 0, 0, 0, 0]);
            }
            18 => {
                // Not much, since somebody reads it.
                let bytes = self.random.below(3) as usize;
                let address = if self.random.one_in(2) {
                    self.address()
                } else {
                    b"\n\n".as_ptr().expose_provenance()
                };
                call(WRITE, [CONSOLE, address, bytes, 0, 0, 0]);
            }
            _ => self.touch(),
        }
    }

    /// An address, mostly one of the buffer's: of what cannot be written, is the kernel's, is nobody's, or ends with
    /// the address space.
    fn address(&mut self) -> usize {
        const CODE: usize = 0x10_0000;
        let start = self.buffer.as_mut_ptr().expose_provenance();
        match self.random.below(12) {
            0 => *self.random.pick(&[0, 1, CODE, 0x7fff_ffff_f000, 1 << 63, usize::MAX - 4095]),
            1 => 0xffff_8880_0000_0000,
            2 => start + self.random.below(BUFFER_BYTES as u64) as usize,
            _ => start,
        }
    }

    fn send(&mut self) {
        if self.random.one_in(2) || self.ring.is_none() {
            let frame = &mut self.buffer[..BYTES_MAX];
            let bytes = self.frames.write(&mut self.random, self.header, frame);
            match &mut self.ring {
                Some(ring) => ring.put(&self.buffer[..bytes]),
                None => {
                    let odd = self.random.one_in(24);
                    let (address, bytes) =
                        if odd { (self.address(), self.length()) } else { (self.start(), bytes) };
                    call(WRITE, [NET, address, bytes, 0, 0, 0]);
                    return;
                }
            }
        }
        let Some(doorbell) = self.ring.as_ref().map(|ring| ring.doorbell) else { return };
        let count = *self.random.pick(&[1, 1, 1, 0, 2, u64::MAX, u64::MAX - 1]);
        self.buffer[..8].copy_from_slice(&count.to_le_bytes());
        let address = self.address();
        call(WRITE, [doorbell, address, 8, 0, 0, 0]);
    }

    fn receive(&mut self) {
        let address = self.address();
        let length = match self.ring {
            Some(_) => 8,
            None if self.random.one_in(4) => self.length(),
            None => BYTES_MAX,
        };
        let result = call(READ, [NET, address, length, 0, 0, 0]);
        let skip = if self.header == Header::Virtio { VIRTIO_BYTES } else { 0 };
        if self.ring.is_none() && address == self.start() && result > skip as isize {
            self.frames.hear(&self.buffer[skip..result as usize]);
        }
    }

    fn wait(&mut self) {
        let fd = *self.random.pick(&[
            NET as u32,
            NET as u32,
            BLOCK as u32,
            0,
            1,
            2,
            5,
            6,
            1023,
            u32::MAX,
        ]);
        let mask = self.random.word() as u16;
        self.buffer[..8].copy_from_slice(&(u64::from(fd) | u64::from(mask) << 32).to_le_bytes());
        // No time, little, too many nanoseconds, a negative time.
        let (seconds, nanoseconds) =
            *self.random.pick(&[(0, 0), (0, 1), (0, 100_000), (0, 1 << 30), (u64::MAX, 0)]);
        self.buffer[64..72].copy_from_slice(&u64::to_le_bytes(seconds));
        self.buffer[72..80].copy_from_slice(&u64::to_le_bytes(nanoseconds));
        let address = self.address();
        let timeout =
            if self.random.one_in(16) { 0xffff_8880_0000_0000 } else { self.start() + 64 };
        let count = usize::from(!self.random.one_in(4));
        call(PPOLL, [address, count, timeout, 0, self.random.number() as usize, 0]);
    }

    fn transfer(&mut self) {
        let way = *self.random.pick(&[PREAD64, PWRITE64]);
        let (most, last) = *self.random.pick(&self.tiers);
        let length = if self.random.one_in(3) { self.random.within(0, most) } else { most };
        let offset = match self.random.below(4) {
            0 => 0,
            1 => last,
            2 => self.random.within(0, last) / 512 * 512,
            _ => self.random.within(0, last),
        };
        let address = self.address();
        call(way, [BLOCK, address, length as usize, offset as usize, 0, 0]);
    }

    /// Memory that was not touched yet.
    fn touch(&mut self) {
        let bytes = self.random.within(1, 1 << 20) as usize;
        let mut fresh = vec![0u8; bytes];
        fresh[bytes / 2] = 1;
        core::hint::black_box(&fresh);
    }

    fn start(&mut self) -> usize {
        self.buffer.as_mut_ptr().expose_provenance()
    }

    /// A length that an address within the buffer can have behind it, and others that end elsewhere.
    fn length(&mut self) -> usize {
        match self.random.below(6) {
            0 => self.random.below(64) as usize,
            1 => self.random.below(1 << 16) as usize,
            2 => 1 << 31,
            3 => usize::MAX,
            _ => self.random.below(2000) as usize,
        }
    }

    /// Does what ends it: a call that the policy has not, or has with other arguments, by its one way or another; or
    /// what a processor does not do.
    fn denied(&mut self) -> ! {
        let mut arguments = [0; 6];
        arguments.fill_with(|| self.random.number() as usize);
        let number = loop {
            let number = self.random.below(460) as usize;
            let known = [READ, WRITE, PREAD64, PWRITE64, CLOCK_GETTIME, PPOLL, 231];
            if numbers::name(number as u64).is_some() && !known.contains(&number) {
                break number;
            }
        };
        match self.random.below(24) {
            0 => {
                // Descriptors that are not the network's.
                call(*self.random.pick(&[READ, WRITE]), [77, self.start(), 8, 0, 0, 0]);
            }
            1 => {
                call(PREAD64, [BLOCK, self.start(), 1, 1 << 62, 0, 0]);
            }
            2 => {
                call(PPOLL, [self.start(), 2, 0, 0, 0, 0]);
            }
            3 => {
                call(CLOCK_GETTIME, [7, self.start(), 0, 0, 0, 0]);
            }
            4 => elsewhere(number, arguments),
            5 => by_interrupt(number),
            // SAFETY: none; this and what follows ends the guest.
            6 => unsafe { asm!("ud2") },
            // SAFETY: as above.
            7 => unsafe { asm!("int3") },
            // SAFETY: as above.
            8 => unsafe { asm!("hlt") },
            // SAFETY: as above.
            9 => unsafe { asm!("mov byte ptr [0], 1") },
            // SAFETY: as above.
            10 => unsafe { asm!("mov byte ptr [{}], 1", in(reg) 0x10_0000usize) },
            // SAFETY: as above.
            11 => unsafe { asm!("mov {0}, [{0}]", inout(reg) 0xffff_ffff_8100_0000usize => _) },
            // SAFETY: as above.
            12 => unsafe {
                asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
            },
            // SAFETY: as above.
            13 => unsafe { asm!("jmp {}", in(reg) self.start()) },
            // SAFETY: as above.
            14 => unsafe { asm!("mov rsp, 16", "push rax") },
            _ => {
                call(number, arguments);
            }
        }
        println!("survived");
        guest_rt::exit(guest_rt::ExitStatus::FAILURE)
    }
}

/// Time for who looks at it to begin or to end that, which takes long if there is much to be read.
fn pause(seconds: u64) {
    let time = [seconds, 0];
    call(PPOLL, [0, 0, (&raw const time).expose_provenance(), 0, 0, 0]);
}

/// A call by the one way.
fn call(number: usize, arguments: [usize; 6]) -> isize {
    // SAFETY: none is needed where the kernel refuses; where it writes, it is to the buffer, which is as long as any
    // length that goes with it, or what is behind it is unmapped.
    unsafe { raw_hypercall(number, arguments) }
}

/// A call by an instruction that is not the one.
fn elsewhere(number: usize, arguments: [usize; 6]) {
    // SAFETY: the policy ends the guest.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => _,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            lateout("rcx") _, lateout("r11") _,
        );
    }
}

/// A call as programs of 32 bits make it.
fn by_interrupt(number: usize) {
    // SAFETY: as above.
    unsafe { asm!("int 0x80", inlateout("rax") number => _) };
}

/// The way of a ring to the gateway.
struct Ring {
    words: &'static [AtomicU64],
    doorbell: usize,
    produced: usize,
}

impl Ring {
    const PRODUCED: usize = offset_of!(ring::Header, to_gateway) / 8;
    const CONSUMED: usize = Self::PRODUCED + offset_of!(ring::Way, consumed) / 8;

    fn at(address: u64, doorbell: i32) -> Self {
        let start = core::ptr::with_exposed_provenance::<AtomicU64>(address as usize);
        // SAFETY: the tender has mapped a region there.
        let words = unsafe { core::slice::from_raw_parts(start, ring::REGION_BYTES / 8) };
        Self { words, doorbell: doorbell as usize, produced: 0 }
    }

    /// Puts a frame where the gateway looks, if there is room.
    fn put(&mut self, frame: &[u8]) {
        // The gateway takes that for a broken wire, and ends.
        if frame.is_empty() {
            return;
        }
        let consumed = self.words[Self::CONSUMED].load(Ordering::SeqCst) as usize;
        let record = ring::record_bytes(frame.len());
        if self.produced - consumed + 2 * record > ring::DATA_BYTES {
            return;
        }
        let mut place = self.produced % ring::DATA_BYTES;
        if place + record > ring::DATA_BYTES {
            self.word(place, ring::SKIP);
            self.produced += ring::DATA_BYTES - place;
            place = 0;
        }
        self.word(place, frame.len() as u64);
        for (index, chunk) in frame.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(place + 8 + index * 8, u64::from_le_bytes(word));
        }
        self.produced += record;
        self.words[Self::PRODUCED].store(self.produced as u64, Ordering::SeqCst);
    }

    fn word(&self, place: usize, word: u64) {
        self.words[(ring::HEADER_BYTES + place) / 8].store(word, Ordering::SeqCst);
    }
}
