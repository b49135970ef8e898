//! A folder to a site image, which is a tar archive, for the programs that make such images: `cargo xtask`
//! and the container runtime.
#![forbid(unsafe_code)]

pub mod archive;
mod mounts;
pub mod size;
pub mod tree;
