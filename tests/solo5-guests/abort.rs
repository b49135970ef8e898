//! Aborts.
#![no_std]
#![no_main]

use solo5_guests::{Guest, guest};

guest!(main, []);

fn main(_guest: &Guest) -> i32 {
    solo5_guests::abort()
}
