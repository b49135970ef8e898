//! The console: descriptor 1. Output is best effort, as a program cannot do anything about a
//! console that is gone; it never allocates, so it works when memory is exhausted.

use core::fmt::{self, Write};

use solo5_sys::hypercall::CONSOLE_FD;

use crate::hypercall::{self, Errno};

const BUFFER_BYTES: usize = 512;
/// How often a console that is not ready is asked again before output is dropped.
const ATTEMPTS: usize = 1000;

/// Gathers formatted pieces so that a line is one system call.
struct Console {
    buffer: [u8; BUFFER_BYTES],
    used: usize,
}

impl Console {
    fn flush(&mut self) {
        write_all(&self.buffer[..self.used]);
        self.used = 0;
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.used == BUFFER_BYTES {
                self.flush();
            }
            let bytes = rest.len().min(BUFFER_BYTES - self.used);
            self.buffer[self.used..self.used + bytes].copy_from_slice(&rest[..bytes]);
            self.used += bytes;
            rest = &rest[bytes..];
        }
        Ok(())
    }
}

fn write_all(mut bytes: &[u8]) {
    for _ in 0..ATTEMPTS {
        if bytes.is_empty() {
            return;
        }
        match hypercall::write(CONSOLE_FD, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN | Errno::INTERRUPTED) => {}
            Err(_) => return,
        }
    }
}

/// Writes formatted text to the console.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut console = Console { buffer: [0; BUFFER_BYTES], used: 0 };
    // Only a Display implementation can fail here; what it wrote before is shown.
    let _ = console.write_fmt(arguments);
    console.flush();
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::internal::print(::core::format_args!($($argument)*))
    };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::internal::print(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}
