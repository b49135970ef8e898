//! Makes raw system calls on a block device, behind the runtime's back: first one that ends just at
//! the capacity, then, as its argument says, one that does not.
#![no_std]
#![no_main]

extern crate alloc;

guest_rt::manifest! {
    block "storage",
}

const PREAD64: usize = 17;
const PWRITE64: usize = 18;

/// The device's descriptor: in the manifest's copy, to which the boot information at a fixed
/// address points, in the second entry.
fn descriptor() -> usize {
    const MANIFEST_POINTER: usize = 0x1_1000 + 24;
    const DESCRIPTOR: usize = 8 + 104 + 88;
    // SAFETY: both tenders leave the boot information there.
    let manifest = unsafe { (MANIFEST_POINTER as *const *const u8).read_volatile() };
    // SAFETY: the manifest has two entries of 104 bytes behind a header of 8.
    let descriptor = unsafe { manifest.add(DESCRIPTOR) };
    // SAFETY: as above.
    unsafe { descriptor.cast::<i32>().read_unaligned() as usize }
}

fn transfer(number: usize, buffer: &mut [u8], offset: u64) -> isize {
    let address = buffer.as_mut_ptr().expose_provenance();
    let arguments = [descriptor(), address, buffer.len(), offset as usize, 0, 0];
    // SAFETY: the kernel reads or fills the buffer, if it lets the guest live.
    unsafe { guest_rt::internal::raw_hypercall(number, arguments) }
}

#[guest_rt::main]
fn main() -> Result<(), guest_rt::block::Error> {
    let disk = guest_rt::block::open("storage")?;
    let (capacity, block) = (disk.capacity_bytes(), usize::from(disk.block_bytes()));
    let mut two = alloc::vec![0x5a; 2 * block];
    let last = capacity - block as u64;
    guest_rt::println!("last {}", transfer(PWRITE64, &mut two[..block], last));
    let (number, bytes, offset) = match guest_rt::args().first().map(|text| text.as_str()) {
        Some("write-behind") => (PWRITE64, block, capacity),
        Some("write-astride") => (PWRITE64, 2 * block, last),
        Some("read-astride") => (PREAD64, 2 * block, last),
        _ => (PREAD64, block, u64::MAX - 511),
    };
    guest_rt::println!("beyond {}", transfer(number, &mut two[..bytes], offset));
    Ok(())
}
