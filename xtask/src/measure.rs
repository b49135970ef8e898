//! `cargo xtask measure`: what the kernel does for our guests and for others.

mod parts;
