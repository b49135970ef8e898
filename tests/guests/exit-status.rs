//! Exits with the status that its argument names.
#![no_std]
#![no_main]

guest_rt::manifest! {}

#[guest_rt::main]
fn main() -> guest_rt::ExitStatus {
    let status = guest_rt::args().first().and_then(|text| text.parse().ok());
    guest_rt::ExitStatus::new(status.unwrap_or(0))
}
