//! How a guest ends: a status, or a panic with status 255.

use core::fmt::{Debug, Display};
use core::panic::PanicInfo;

use solo5_sys::hypercall::{EXIT_ABORT, EXIT_MAX};

use crate::single_thread::SingleThread;
use crate::{hypercall, println};

/// The status a guest exits with, 0 to 254. Solo5 keeps 255 for aborts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(u8);

impl ExitStatus {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// It did not.
    pub const FAILURE: Self = Self(1);

    /// The status with that number; 255 becomes 254, the largest that is not an abort.
    pub const fn new(status: u8) -> Self {
        Self(if status as i32 > EXIT_MAX { EXIT_MAX as u8 } else { status })
    }
}

/// Ends the guest at once with a status.
pub fn exit(status: ExitStatus) -> ! {
    hypercall::exit_group(i32::from(status.0))
}

/// Ends the guest at once with status 255, as a panic does.
pub fn abort() -> ! {
    hypercall::exit_group(EXIT_ABORT)
}

/// What a guest's main function may return.
pub trait Termination {
    /// The status that it stands for; says on the console what went wrong, if something did.
    fn status(self) -> ExitStatus;
}

impl Termination for () {
    fn status(self) -> ExitStatus {
        ExitStatus::SUCCESS
    }
}

impl Termination for ExitStatus {
    fn status(self) -> ExitStatus {
        self
    }
}

impl Termination for core::convert::Infallible {
    fn status(self) -> ExitStatus {
        match self {}
    }
}

impl<T: Termination, E: Display + Debug> Termination for Result<T, E> {
    fn status(self) -> ExitStatus {
        match self {
            Ok(value) => value.status(),
            Err(error) => {
                println!("error: {error}");
                ExitStatus::FAILURE
            }
        }
    }
}

static PANICKING: SingleThread<bool> = SingleThread::new(false);

/// The panic handler: says what happened and ends the guest with status 255.
pub fn panicked(info: &PanicInfo<'_>) -> ! {
    let nested = PANICKING.with(|panicking| core::mem::replace(panicking, true));
    if !nested {
        println!("{info}");
    }
    hypercall::exit_group(EXIT_ABORT)
}
