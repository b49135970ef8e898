//! A virtual machine under QEMU's software emulation, in which a kernel may be looked at whatever the
//! host permits. Its time is the count of its instructions, so that nothing in it depends on how
//! busy the host is: the same files give the same run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::initramfs::Initramfs;

const PROGRAM: &str = "qemu-system-x86_64";
/// What the first process says begins with.
const MARK: &str = "probe: ";
/// What stands before the bytes that are told, with their number.
const HEAD: &[u8] = b"nabla ";
const PAUSE: Duration = Duration::from_millis(50);

/// What a virtual machine is started with.
#[derive(Clone, Debug)]
pub(crate) struct Vm {
    kernel: PathBuf,
    seed: u64,
}

impl Vm {
    /// With the kernel in that file. Random numbers of the machine begin with the seed.
    ///
    /// # Errors
    /// If there is no QEMU.
    pub(crate) fn new(kernel: PathBuf, seed: u64) -> Result<Self> {
        version()?;
        Ok(Self { kernel, seed })
    }

    /// Starts one, and returns what its first process tells at its end. Files of the run are in the
    /// folder, by that name. What it says meanwhile is passed on.
    ///
    /// # Errors
    /// If it fails, says nothing, or takes longer than it may.
    pub(crate) fn run(
        &self,
        folder: &Path,
        name: &str,
        initramfs: &Initramfs,
        at_most: Duration,
        mut says: impl FnMut(&str),
    ) -> Result<Vec<u8>> {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let (initrd, console, output) = (file("cpio"), file("console"), file("out"));
        for old in [&console, &output] {
            fs::write(old, "").with_context(|| old.display().to_string())?;
        }
        fs::write(&initrd, initramfs.archive()?).with_context(|| initrd.display().to_string())?;
        let complaints = file("qemu");
        let stderr = File::create(&complaints).with_context(|| complaints.display().to_string())?;
        // It ends with whoever started it, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
        command.args(["-M", "q35", "-accel", "tcg", "-cpu", "qemu64", "-m", "3072", "-smp", "1"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-icount", "shift=1,sleep=off,align=off"]);
        command.args(["-rtc", "base=2024-01-01,clock=vm", "-seed", &self.seed.to_string()]);
        for port in [&console, &output] {
            // A comma would begin an option of the port.
            command
                .arg("-serial")
                .arg(format!("file:{}", port.display().to_string().replace(',', ",,")));
        }
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&initrd);
        command.args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off nokaslr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child =
            command.spawn().context("cannot start setpriv, of Debian's package util-linux")?;
        let mut machine = Machine { child, console, said: 0, last: String::new(), has_said: false };
        let status = machine.wait(at_most, &mut says);
        let _ = fs::remove_file(&initrd);
        let status = status?;
        let told = fs::read(&output).with_context(|| output.display().to_string())?;
        let told = unwrap(&told).map(<[u8]>::to_vec).with_context(|| {
            let complaint = fs::read_to_string(&complaints).unwrap_or_default();
            let last =
                [machine.last.trim(), complaint.trim()].into_iter().find(|said| !said.is_empty());
            let last = last.unwrap_or("it did not say why");
            let rest = machine.console.display();
            format!("the virtual machine of {name} failed ({status}): {last}; {rest} has the rest")
        })?;
        for done in [&output, &complaints] {
            let _ = fs::remove_file(done);
        }
        Ok(told)
    }
}

/// QEMU's version.
///
/// # Errors
/// If it is not here.
pub(crate) fn version() -> Result<String> {
    let answer = Command::new(PROGRAM).arg("--version").output();
    let answer = answer.with_context(|| {
        format!("{PROGRAM} is not here; it is in Debian's package qemu-system-x86")
    })?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What was told, without what stands around it.
fn unwrap(told: &[u8]) -> Result<&[u8]> {
    let rest = told.strip_prefix(HEAD).context("the first process told nothing")?;
    let end = rest.iter().position(|&byte| byte == b'\n').context("no length is told")?;
    let length: usize = std::str::from_utf8(&rest[..end])?.parse().context("a length is wrong")?;
    let body = &rest[end + 1..];
    ensure!(body.len() == length, "{} of {length} bytes were told", body.len());
    Ok(body)
}

/// One that runs. Dropping it ends it.
#[derive(Debug)]
struct Machine {
    child: Child,
    console: PathBuf,
    /// Bytes of the console that were looked at.
    said: usize,
    /// The last line of the first process, or of the console if there is none.
    last: String,
    has_said: bool,
}

impl Machine {
    fn wait(&mut self, at_most: Duration, says: &mut impl FnMut(&str)) -> Result<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            let status = self.child.try_wait().context("wait")?;
            self.listen(says);
            if let Some(status) = status {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "a virtual machine has not ended after {} s; it said last: {}",
                at_most.as_secs(),
                self.last
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Passes whole lines of the console on.
    fn listen(&mut self, says: &mut impl FnMut(&str)) {
        let Ok(all) = fs::read(&self.console) else { return };
        let new = all.get(self.said..).unwrap_or_default();
        let Some(end) = new.iter().rposition(|&byte| byte == b'\n') else { return };
        let text = String::from_utf8_lossy(&new[..end]);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix(MARK) {
                Some(said) => {
                    said.clone_into(&mut self.last);
                    self.has_said = true;
                    says(said);
                }
                // What the kernel says at its end is not why.
                None if !self.has_said => line.clone_into(&mut self.last),
                None => {}
            }
        }
        self.said += end + 1;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_whole_or_not_at_all() {
        assert_eq!(unwrap(b"nabla 2\n{}").unwrap(), b"{}");
        for wrong in [&b""[..], b"nabla", b"nabla 3\n{}", b"nabla 1\n{}", b"nabla x\n", b"nabla 2"]
        {
            assert!(unwrap(wrong).is_err());
        }
    }
}
