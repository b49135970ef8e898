//! Version 2: how a container is made in its control group from the beginning. A process that is moved there makes
//! the kernel hold up all forks and exits until every processor has noticed, some ten milliseconds; one that is
//! born there does not (`CLONE_INTO_CGROUP`, clone(2)).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::{ROOT, cover};

/// clone(2): the child's control group is that of the descriptor.
const CLONE_INTO_CGROUP: u64 = 1 << 33;
/// Longer answers are cut. A pipe has room for more.
const ANSWER_MAX_BYTES: usize = 4000;
/// What stands before a reason in the child's answer.
const FAILED: u8 = b'!';

/// Makes the folder, with all controllers that there are.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut above: Vec<&Path> =
        folder.ancestors().skip(1).take_while(|it| it.starts_with(ROOT)).collect();
    above.reverse();
    for parent in above {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
        for controller in controllers.split_whitespace() {
            // A limit that needs one which cannot be had fails when it is set.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Runs something in a child that is born in the group and sees no control groups: a number, or the reason why
/// there is none. `None` if the kernel refuses such a birth, and nothing was run.
pub(super) fn run(folder: &Path, work: impl FnOnce() -> Result<i32>) -> Result<Option<i32>> {
    let group = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    let (mut answers, mut answer) = io::pipe().context("cannot make a pipe")?;
    let parent = Pid::this();
    match clone_into(&group) {
        Err(_) => Ok(None),
        Ok(0) => {
            drop(answers);
            let outcome = die_with(parent).and_then(|()| cover()).and_then(|()| work());
            let text = match outcome {
                Ok(number) => number.to_string().into_bytes(),
                Err(error) => [&[FAILED], format!("{error:#}").as_bytes()].concat(),
            };
            // If the parent is gone, nobody asks. It reads when this process has ended, so all must find room.
            let _ = answer.write_all(&text[..text.len().min(ANSWER_MAX_BYTES)]);
            // SAFETY: nothing of the parent's is to be flushed or dropped here.
            unsafe { libc::_exit(0) }
        }
        Ok(child) => {
            waitpid(Pid::from_raw(child), None).context("cannot wait for the child")?;
            // What the child has started holds the pipe open as well, so there may be no end of it; with this
            // process's own writing end behind the answer there is always something to read.
            answer.write_all(b"\n").context("cannot write to a pipe")?;
            let mut text = vec![0; ANSWER_MAX_BYTES + 1];
            let bytes = answers.read(&mut text).context("cannot read what the child says")?;
            let text = &text[..bytes.saturating_sub(1)];
            if let Some(reason) = text.strip_prefix(&[FAILED]) {
                return Err(anyhow!(String::from_utf8_lossy(reason).into_owned()));
            }
            let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            ensure!(number.is_some(), "the child in the control group ended without an answer");
            Ok(number)
        }
    }
}

fn die_with(parent: Pid) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the parent")?;
    ensure!(nix::unistd::getppid() == parent, "the parent has ended");
    Ok(())
}

/// fork(2) into a control group; 0 in the child.
fn clone_into(group: &File) -> Result<i32, Errno> {
    // SAFETY: zero is right for every field that is not set.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = group.as_raw_fd() as u64;
    let size = size_of::<libc::clone_args>();
    // SAFETY: the arguments are valid; without a stack of its own and shared memory it is a fork, and this
    // process has one thread, so nothing in the child waits for another.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    Errno::result(child).map(|child| child as i32)
}
