//! What the machine says and tells: progress on its console, and the result, with its length before
//! it, on its second serial port.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::{Context, Result};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};

const PORT: &str = "/dev/ttyS1";

/// Says how far it is.
pub(crate) fn say(text: &str) {
    println!("probe: {text}");
}

/// Sends the result.
///
/// # Errors
/// If there is no such port.
pub(crate) fn tell(result: &[u8]) -> Result<()> {
    let mut port = OpenOptions::new().read(true).write(true).open(PORT).context(PORT)?;
    let mut modes = tcgetattr(&port).context(PORT)?;
    // Bytes are to arrive as they are.
    cfmakeraw(&mut modes);
    tcsetattr(&port, SetArg::TCSANOW, &modes).context(PORT)?;
    port.write_all(format!("nabla {}\n", result.len()).as_bytes()).context(PORT)?;
    port.write_all(result).context(PORT)?;
    tcdrain(&port).context(PORT)
}

/// Ends the machine.
///
/// # Errors
/// If the kernel refuses.
pub(crate) fn end() -> Result<()> {
    match reboot(RebootMode::RB_POWER_OFF).context("cannot end the machine")? {}
}
