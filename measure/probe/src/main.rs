//! The first process of the virtual machine in which kernel functions are counted.

mod container;
mod native;
mod program;

fn main() {}
