//! The tender: loads a Solo5 spt unikernel, attaches its devices, installs the seccomp policy
//! and jumps. A drop-in for `solo5-spt`.
//!
//! | module | what it does |
//! |---|---|
//! | [`options`] | the command line |
//! | [`elf`] | reads and checks the unikernel's file |
//! | [`descriptors`] | which number each descriptor has in the guest |
//! | [`device`] | attaches what the user named to what the unikernel declares |
//! | [`policy`] | which system calls with which arguments, and the filter made of it |
//! | [`memory`] | maps, loads and protects guest memory |
//! | [`environment`] | the guest's variables |
//! | `launch` | strips the process and jumps, leaving nothing of the tender behind |
//! | `clock` | how the processor's counter runs against the monotonic clock |
//! | [`run`] | all of this in order |
//! | [`signals`] | what is blocked, ignored, taken as events, and given back to the guest |
//! | [`supervise`] | the processes: the guest, its gateways, and what stays to watch over them |
//! | `shutdown` | how a guest is asked to end in order |
//! | `jail` | namespaces around those |
//! | `record`, `report`, [`symbols`] | what is told about a guest's death |
//! | [`inspect`] | a report instead of a run |
//! | `stray` | system call instructions outside of a guest's stub |
//! | [`message`] | one line for people, whatever was typed |
//!
//! Input from outside (command line, file, devices) is refused with an error, never a panic.
//! Only the binary prints and exits.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the tender knows Linux on x86-64 only");

pub mod descriptors;
pub mod device;
pub mod elf;
pub mod entropy;
pub mod environment;
pub mod inspect;
pub mod memory;
pub mod message;
pub mod options;
pub mod policy;
pub mod run;
pub mod signals;
pub mod supervise;
pub mod symbols;

mod clock;
mod jail;
mod launch;
mod record;
mod report;
mod shutdown;
mod stray;

pub use inspect::{Report, inspect};
