//! The console: a line is collected and written by one call, as far as it fits.

use core::fmt::{self, Write};

use solo5_sys::hypercall::CONSOLE_FD;

const LINE_BYTES: usize = 512;

struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// What [`println!`](crate::println) expands to.
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_BYTES], len: 0 };
    let result = line.write_fmt(arguments);
    crate::sys::write(CONSOLE_FD, &line.bytes[..line.len]);
    if result.is_err() {
        crate::sys::write(CONSOLE_FD, b" (cut off)\n");
    }
}

/// Prints a line of at most 512 bytes.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
