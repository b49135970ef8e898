//! Joins the network of this namespace for one device and becomes a program that uses it, to try it by hand:
//! `ip netns exec NAME joined CONTAINER DEVICE tender --net:DEVICE=@TAP --net-mac:DEVICE=@MAC -- KERNEL`. What the guest
//! is told is appended. `DEVICE,plain` is without virtio-net headers. With the word `leave` in place of the device, it leaves.

use std::error::Error;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use netjoin::{Device, Request, arguments, join, leave};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [container, device, program @ ..] = &words[..] else {
        return Err("needs CONTAINER DEVICE PROGRAM...".into());
    };
    if device == "leave" {
        return Ok(leave(container)?);
    }
    let (device, headers) = match device.strip_suffix(",plain") {
        Some(device) => (device, false),
        None => (device.as_str(), true),
    };
    let devices = [Device { name: device, headers }];
    let joined = join(&Request { container, devices: &devices })?.remove(0);
    let told = arguments(&joined, &[]);
    let mac = joined.mac.map(|byte| format!("{byte:02x}")).join(":");
    fcntl(&joined.tap, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let tap = format!("@{}", joined.tap.as_raw_fd());
    let _ = joined.tap.into_raw_fd();
    let program: Vec<String> =
        program.iter().map(|word| word.replace("@TAP", &tap).replace("@MAC", &mac)).collect();
    let [name, rest @ ..] = &program[..] else { return Err("needs a program".into()) };
    Err(Command::new(name).args(rest).args(told).exec().into())
}
