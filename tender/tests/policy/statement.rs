//! What a guest may ask of the kernel, said once more: from its devices and features, with numbers
//! instead of names, and without rules, conditions or tiers of the tender's.

use std::ops::Range;

use solo5_sys::extension::{Features, Request, Rings, Stub};
use solo5_sys::manifest::{self, Attachment, DeviceKind, Manifest, Name};
use tender::policy::Policy;
use tender::policy::bpf::{ARCHITECTURE_X86_64, CallData};

/// A device. Those that are attached have the descriptors from 3 on, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Device {
    /// A network device.
    Net,
    /// One that is a ring, if the guest knows rings.
    Ring,
    /// A block device.
    Block { block_bytes: u32, blocks: u64, read_only: bool },
    /// An optional block device that is not attached.
    Absent,
}

/// A guest: what its policy follows from.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) devices: Vec<Device>,
    pub(crate) features: Features,
    pub(crate) memory_end: u64,
    pub(crate) stub: Range<u64>,
}

impl Guest {
    /// The tender's policy for it.
    pub(crate) fn policy(&self) -> Policy {
        let mut manifest = Manifest::EMPTY;
        let (mut read_only_bits, mut optional) = (0, 0);
        let mut fd = 2;
        for (position, device) in self.devices.iter().enumerate() {
            fd += i32::from(!matches!(device, Device::Absent));
            let (kind, attachment) = match *device {
                Device::Net | Device::Ring => {
                    (DeviceKind::Net, Some(Attachment::Net { mac: [2; 6], mtu_bytes: 1500, fd }))
                }
                Device::Absent => {
                    optional |= 1 << (position + 1);
                    (DeviceKind::Block, None)
                }
                Device::Block { block_bytes, blocks, read_only } => {
                    let capacity_bytes = u64::from(block_bytes) * blocks;
                    read_only_bits |= u64::from(read_only) << (position + 1);
                    let block_bytes = block_bytes as u16;
                    let attachment = Attachment::Block { capacity_bytes, block_bytes, fd };
                    (DeviceKind::Block, Some(attachment))
                }
            };
            let name = Name::new(&format!("d{position}")).unwrap();
            manifest.add(manifest::Device { name, kind, attachment }).unwrap();
        }
        let stub = Stub { start: self.stub.start, end: self.stub.end };
        let granted =
            Request { features: self.features, read_only: read_only_bits, stub, optional };
        let rings = self.devices.iter().enumerate().filter(|(_, device)| self.is_ring(**device));
        let devices = rings.fold(0, |bits, (position, _)| bits | 1 << (position + 1));
        let rings = Rings { devices, base: 1 << 40, doorbells: self.behind().into() };
        Policy::new(&manifest, &granted, &rings, self.memory_end)
    }

    fn is_ring(&self, device: Device) -> bool {
        let knows = self.has(Features::RING) && self.has(Features::PPOLL);
        knows && matches!(device, Device::Ring)
    }

    fn has(&self, feature: Features) -> bool {
        self.features.contains(feature)
    }

    fn net_count(&self) -> u32 {
        self.devices.iter().filter(|device| matches!(device, Device::Net | Device::Ring)).count()
            as u32
    }

    /// The device behind a descriptor.
    pub(crate) fn device(&self, fd: u32) -> Option<Device> {
        let mut attached = self.devices.iter().filter(|device| !matches!(device, Device::Absent));
        attached.nth(fd.checked_sub(3)? as usize).copied()
    }

    /// The first number behind the devices.
    fn behind(&self) -> u32 {
        let absent = self.devices.iter().filter(|device| matches!(device, Device::Absent)).count();
        3 + (self.devices.len() - absent) as u32
    }

    /// The independent statement.
    pub(crate) fn permits(&self, call: &CallData) -> bool {
        let from_its_code = match self.has(Features::STUB) {
            true => self.stub.start + 2 <= call.address && call.address <= self.stub.end,
            false => call.address <= self.memory_end,
        };
        if call.architecture != ARCHITECTURE_X86_64 || !from_its_code {
            return false;
        }
        let [a, b, c, d, e, _] = call.arguments;
        let int = |argument: u64| argument as u32;
        let is_net = |fd: u32| {
            let device = self.device(fd);
            device.is_some_and(|d| matches!(d, Device::Net | Device::Ring) && !self.is_ring(d))
        };
        let is_doorbell = |fd: u32| self.device(fd).is_some_and(|device| self.is_ring(device));
        let rings = self.devices.iter().filter(|device| self.is_ring(**device)).count() as u32;
        let behind = self.behind();
        match call.number {
            0 => is_net(int(a)) || is_doorbell(int(a)) && c == 8,
            1 => {
                let is_others_doorbell = (behind..behind + rings).contains(&int(a));
                int(a) == 1 || is_net(int(a)) || is_others_doorbell && c == 8
            }
            17 => self.permits_transfer(int(a), c, d, false),
            18 => self.permits_transfer(int(a), c, d, true),
            158 => !self.has(Features::NO_TLS) && int(a) == 0x1002,
            228 => int(a) <= 1,
            231 => true,
            271 => {
                // What asks the guest to end is one descriptor more.
                let count = self.net_count() + u32::from(self.has(Features::SHUTDOWN));
                self.has(Features::PPOLL) && int(b) <= count && d == 0
            }
            281 => !self.has(Features::PPOLL) && int(a) == behind && e == 0,
            286 => !self.has(Features::PPOLL) && int(a) == behind + 1 && int(b) == 1 && d == 0,
            _ => false,
        }
    }

    fn permits_transfer(&self, fd: u32, length: u64, offset: u64, write: bool) -> bool {
        let Some(Device::Block { block_bytes, blocks, read_only }) = self.device(fd) else {
            return false;
        };
        let block = u64::from(block_bytes);
        let capacity = block * blocks;
        if write && read_only {
            return false;
        }
        if !self.has(Features::MULTI_BLOCK) {
            return length == block && offset <= capacity - block;
        }
        // 1, 8, 64, ... blocks, up to 1 MiB: a transfer counts as the next larger of these.
        [1, 8, 64, 512, 4096, 32768].into_iter().map(|count| count * block).any(|room| {
            let exists = room == block || room <= 1 << 20;
            exists && room <= capacity && length <= room && offset <= capacity - room
        })
    }

    /// One permitted call of each kind, as far as this guest has them.
    pub(crate) fn typical_calls(&self) -> Vec<CallData> {
        let (architecture, number) = (ARCHITECTURE_X86_64, 0);
        let address = if self.has(Features::STUB) { self.stub.end } else { self.memory_end };
        let mut all: Vec<[u64; 6]> = vec![[0; 6], [1, 0, 0, 0, 0, 0], [0x1002, 0, 0, 0, 0, 0]];
        for fd in 3..3 + self.devices.len() as u64 + 2 {
            all.push([fd, 1, 512, 0, 0, 0]);
            all.push([fd, 1, 8, 0, 0, 0]);
        }
        let of = |arguments| CallData { architecture, number, address, arguments };
        all.into_iter().map(of).collect()
    }

    /// Some call: often one that is permitted, or nearly.
    pub(crate) fn call(&self, random: &mut Random) -> CallData {
        const NUMBERS: [u32; 10] = [0, 1, 17, 18, 158, 228, 231, 271, 281, 286];
        let number = match random.below(16) {
            0 => random.next() as u32,
            1 => random.below(1024) as u32,
            2 => NUMBERS[random.below(10) as usize] | 0x4000_0000,
            _ => NUMBERS[random.below(10) as usize],
        };
        let architecture = match random.below(16) {
            0 => random.next() as u32,
            1 => 0x4000_0003,
            _ => ARCHITECTURE_X86_64,
        };
        let code = if self.has(Features::STUB) { self.stub.end } else { self.memory_end };
        let address = match random.below(4) {
            0 => random.near(code),
            1 => random.below(code + 1),
            _ => code,
        };
        let fd = 3 + random.below(self.devices.len() as u64 + 3);
        let mut arguments = [fd, random.below(3), random.below(3) * 4, 0, 0, 0];
        if matches!(number, 158 | 228 | 1) {
            arguments[0] = [0x1002, 0, 1, 2, fd][random.below(5) as usize];
        }
        if let Some(Device::Block { block_bytes, blocks, .. }) = self.device(fd as u32) {
            let room = u64::from(block_bytes) << (3 * random.below(7));
            let capacity = u64::from(block_bytes) * blocks;
            arguments[2] =
                [u64::from(block_bytes), room, random.below(room + 2)][random.below(3) as usize];
            arguments[3] =
                [0, capacity.wrapping_sub(room), random.below(capacity)][random.below(3) as usize];
        }
        for argument in &mut arguments {
            match random.below(12) {
                0 => *argument = random.near(*argument),
                1 => *argument = random.next(),
                _ => {}
            }
        }
        CallData { architecture, number, address, arguments }
    }
}

/// A small generator of numbers (SplitMix64); the seed is part of a test.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A value just beside another, or the same with other high bits.
    fn near(&mut self, value: u64) -> u64 {
        match self.below(6) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => value | 1 << 32,
            3 => value ^ 1 << 63,
            4 => value | self.next() << 32,
            _ => value.wrapping_neg(),
        }
    }
}
