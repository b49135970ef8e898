//! Starts the `tender` command with guests made here.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{Code, File};

/// A folder with a guest's file in it.
pub(crate) struct Guest {
    folder: TempDir,
    pub(crate) path: PathBuf,
}

impl Guest {
    pub(crate) fn new(file: &File) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest.spt");
        fs::write(&path, file.to_bytes()).unwrap();
        Self { folder, path }
    }

    pub(crate) fn of(code: Code) -> Self {
        Self::new(&File::of_code(&code.0, &[]))
    }

    /// The tender with these options and this guest, which gets 4 MB.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tender"));
        command.arg("--mem=4").args(options).arg(&self.path).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, options: &[&str]) -> Output {
        self.command(options).output().unwrap()
    }

    pub(crate) fn status(&self, options: &[&str]) -> i32 {
        let output = self.run(options);
        output.status.code().unwrap_or_else(|| panic!("{output:?}"))
    }

    pub(crate) fn signal(&self, options: &[&str]) -> i32 {
        let output = self.run(options);
        output.status.signal().unwrap_or_else(|| panic!("{output:?}"))
    }

    /// A file of this size beside the guest.
    pub(crate) fn disk(&self, bytes: &[u8]) -> String {
        let path = self.folder.path().join("disk.img");
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A guest that has said that it runs; killed at the end.
pub(crate) struct Running {
    pub(crate) child: Child,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 3];
        let result = child.stdout.as_mut().unwrap().read_exact(&mut said);
        if result.is_err() {
            let mut reason = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut reason);
            panic!("the guest did not start: {reason}");
        }
        assert_eq!(&said, b"up\n");
        Self { child }
    }

    pub(crate) fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
