//! What differs between architectures: the entry, the system calls, the string functions that
//! the compiler calls, and the processor's own random numbers.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
mod x86_64_memory;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{
    __guest_stub, __guest_stub_end, hardware_random, number, syscall, timestamp_counter,
};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("guest-rt knows x86-64 only so far");
