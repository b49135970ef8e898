//! The tender's command line: any arguments, as bytes between NULs. What it accepts is within its
//! limits, and what is said about what it refuses is one line, whatever was typed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use solo5_sys::layout::{COMMAND_LINE_MAX_BYTES, LOAD_BASE};
use tender::memory::TASK_END;
use tender::message;
use tender::options::{self, Command};

use crate::{Target, Verdict, assert_one_line};

/// This target.
pub const TARGET: Target = Target { name: "command_line", run, seeds, words, inputs: 100_000 };

/// Parses the bytes as arguments.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let arguments = data.split(|&byte| byte == 0).map(|part| OsString::from_vec(part.to_vec()));
    match options::parse(arguments) {
        Ok(command) => {
            check(&command);
            Verdict::Accepted
        }
        Err(error) => {
            assert_one_line(&message::one_line(&error.to_string()));
            Verdict::Refused
        }
    }
}

fn check(command: &Command) {
    match command {
        Command::Run(options) | Command::Inspect { options, .. } => {
            check_memory(options.memory_bytes);
            assert!(!options.kernel.as_os_str().is_empty());
            assert!(options.command_line.len() <= COMMAND_LINE_MAX_BYTES);
            assert!(!options.command_line.contains(&0));
            assert!(options.descriptors().iter().all(|&fd| fd > 2), "a standard stream");
        }
        Command::Help | Command::Version => {}
    }
}

fn check_memory(bytes: u64) {
    assert!(bytes.is_multiple_of(1 << 20) && (LOAD_BASE..=TASK_END).contains(&bytes));
}

/// Command lines as they are used.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "hello.spt Hello",
        "--mem=64 --verbose --die-with-parent g a b c",
        "--jail g",
        "--no-supervisor --no-jail g",
        "--inspect=json g --mem=64",
        "--net:service=tap0 --block:data=disk.img --mem=64 server.spt --port=80",
        "--net:service=user --publish:service=127.0.0.1:8080:80/tcp \
         --publish:service=[::1]:0:443 server.spt",
        "--net:service=@7 --net-mac:service=02:00:00:00:00:01 -- --kernel",
        "--block:data=/dev/sda --block-sector-size:data=4096 --block-sync:data --x-exec-heap g",
        "--inspect=json --mem=2 g",
        "--inspect g",
        "--help",
        "--version",
    ]
    .map(|line| line.replace(' ', "\0").into_bytes())
    .to_vec()
}

fn words() -> Vec<Vec<u8>> {
    [
        &b"--mem="[..],
        b"\0--net:a=",
        b"\0--net-mac:a=",
        b"\0--publish:a=",
        b"\0--block:a=",
        b"\0--block-sector-size:a=",
        b"\0--block-sync:a",
        b"\0--inspect",
        b"\0--verbose",
        b"\0--\0",
        b"user",
        b"json",
        b"@3",
        b"[::1]:",
        b"127.0.0.1:",
        b"18446744073709551616",
        b"\n",
        b"\x1b[31m",
        b"\xe2\x80\xae",
        b"\xff",
        b"\0g",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
