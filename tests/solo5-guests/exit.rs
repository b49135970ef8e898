//! Exits with the status that its command line names.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest};

guest!(main, []);

fn main(guest: &Guest) -> i32 {
    guest.command_line().parse().expect("a status")
}
