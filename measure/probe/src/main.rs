//! The first process of the virtual machine in which kernel functions are counted.

fn main() {}
