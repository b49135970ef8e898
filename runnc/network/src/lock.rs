//! One runtime process at a time changes a namespace.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::Error;

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Locks the network namespace of this thread until the value is dropped or the process ends. The lock is on the
/// namespace's file itself, which is the same one for everybody in it and leaves nothing behind.
pub(crate) fn namespace() -> Result<Flock<File>, Error> {
    let mut file = File::open("/proc/thread-self/ns/net").map_err(Error::Lock)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, errno)) if errno != Errno::EWOULDBLOCK => {
                return Err(Error::Lock(errno.into()));
            }
            Err(_) if Instant::now() > deadline => return Err(Error::Locked(PATIENCE.as_secs())),
            Err((given_back, _)) => file = given_back,
        }
        thread::sleep(PAUSE);
    }
}
