//! Prints random bytes; two starts must differ.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() {
    let mut bytes = [0; 4096];
    guest_rt::entropy::fill(&mut bytes);
    let mut seen = [0u32; 256];
    bytes.iter().for_each(|&byte| seen[usize::from(byte)] += 1);
    // 4096 fair draws of 256 values: 16 each on average, and 60 of one has a chance below 1e-15.
    assert!(seen.iter().all(|&count| count < 60), "{seen:?}");
    let [first, second] = [guest_rt::entropy::random_u64(), guest_rt::entropy::random_u64()];
    assert_ne!(first, second);
    guest_rt::println!("{first:016x}{second:016x}");
}
