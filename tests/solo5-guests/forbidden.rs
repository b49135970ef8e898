//! Makes the system call whose number its command line names, with arguments of zero.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest, println, sys};

guest!(main, []);

fn main(guest: &Guest) -> i32 {
    let number = guest.command_line().parse().expect("a number");
    // SAFETY: none; the end of the guest is the test.
    let result = unsafe { sys::call(number, [0; 6]) };
    println!("returned {result}");
    0
}
