//! Runs guests under the real tender and says how they ended. Every run has a time-out, after
//! which its processes are killed by their ids; nothing is left behind.

pub mod build;
pub mod needs;
pub mod oci;
pub mod run;

pub use build::Binaries;
pub use needs::Need;
pub use run::{Ended, Outcome, Run, Running};
