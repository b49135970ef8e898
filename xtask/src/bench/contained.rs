//! Servers in containers, beside the same servers outside of them. Their runtimes run in the foreground, so that a
//! runtime and all that belongs to its container are one family of processes, which ends with the runtime.
//!
//! A container has the program and its libraries in a read-only root, a network of its own at the clients' and what
//! engines ask for else, but no filter of system calls (see `oci`).

use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};

use super::lab::{Lab, Namespace};
use super::oci::{self, Contents, ID_PREFIX, Kind, Runtime, State};

/// Where runtimes keep their state.
const STATE: &str = "/run/nabla-bench-contained";
/// For programs that look up who they are.
const USERS: [(&str, &str); 2] =
    [("etc/passwd", "root:x:0:0:root:/:/bin/false\n"), ("etc/group", "root:x:0:\n")];

/// The runtimes that servers are put into.
pub(super) const KINDS: [Kind; 2] = [Kind::Runc, Kind::Runsc];

/// Where all containers of a bench are.
#[derive(Debug)]
pub(super) struct Harbour {
    state: State,
    folder: PathBuf,
}

impl Harbour {
    /// Takes the place. Bundles and roots are made in a folder below `folder`.
    ///
    /// # Errors
    /// If another bench has it.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let folder = folder.join("contained");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { state: State::make(Path::new(STATE))?, folder })
    }

    /// A root with a program and its libraries, each where it is outside.
    ///
    /// # Errors
    /// If a file is not there, or cannot be copied.
    pub(super) fn root(&self, name: &str, program: &Path) -> Result<PathBuf> {
        let root = oci::empty_root(&self.folder, name)?;
        let output = Command::new("ldd").arg(program).output().context("ldd")?;
        let said = String::from_utf8_lossy(&output.stdout);
        for file in [program].into_iter().chain(libraries(&said)) {
            let place = root.join(file.strip_prefix("/").unwrap_or(file));
            fs::create_dir_all(place.parent().context("a program without a folder")?)?;
            fs::copy(file, place).with_context(|| file.display().to_string())?;
        }
        for (file, text) in USERS {
            let place = root.join(file);
            fs::create_dir_all(place.parent().context("a file without a folder")?)?;
            fs::write(&place, text).with_context(|| place.display().to_string())?;
        }
        Ok(root)
    }

    /// Makes the network of a container, and finds its runtime. Its number is that of no other.
    ///
    /// # Errors
    /// If there is no such runtime, or `ip` cannot.
    pub(super) fn contained(
        &self,
        lab: &Lab,
        kind: Kind,
        contents: Contents,
        number: u8,
    ) -> Result<Contained> {
        let contents = Contents { cpu: lab.server_cpu(), ..contents };
        let mut runtime = Runtime::rival(kind, contents, &self.state.folder)?;
        runtime.clear()?;
        let network = Namespace::new()?;
        let (interface, addresses) = (format!("box{number}"), addresses(number));
        lab.client.connect(&lab.launcher, &network, &interface, addresses)?;
        network.ip(&lab.launcher, "link set lo up")?;
        network.ip(&lab.launcher, &format!("route add default via {}", addresses[0]))?;
        network.within(|| runtime.look_away())??;
        let (runtime, folder) = (Rc::new(runtime), self.folder.clone());
        Ok(Contained { runtime, network, interface, number, folder, count: Cell::new(0) })
    }
}

/// The files in what `ldd` says.
fn libraries(said: &str) -> impl Iterator<Item = &Path> {
    said.lines().filter_map(|line| {
        let line = line.trim();
        let file = line.split_once("=> ").map_or(line, |(_, file)| file);
        let file = file.split_whitespace().next()?;
        file.starts_with('/').then(|| Path::new(file))
    })
}

fn addresses(number: u8) -> [Ipv4Addr; 2] {
    [1, 2].map(|last| Ipv4Addr::new(10, 81, number, last))
}

/// Something that can be run in a container, one at a time.
#[derive(Debug)]
pub(super) struct Contained {
    runtime: Rc<Runtime>,
    network: Namespace,
    interface: String,
    number: u8,
    folder: PathBuf,
    count: Cell<u64>,
}

impl Contained {
    /// Where clients find a port of it.
    pub(super) fn address(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(addresses(self.number)[1], port)
    }

    /// The command that runs it in the foreground, and what is to be kept as long as it runs.
    ///
    /// # Errors
    /// If the bundle cannot be written, or `ip` cannot.
    pub(super) fn command(&self, lab: &Lab) -> Result<(Command, Mooring)> {
        self.count.set(self.count.get() + 1);
        let kind = self.runtime.kind.name();
        let id = format!("{ID_PREFIX}{}-{kind}-{}", std::process::id(), self.count.get());
        let bundle = self.folder.join(&id);
        oci::write_bundle(&bundle, &id, &self.runtime.contents, &self.network.path())?;
        let mooring = Mooring { runtime: Rc::clone(&self.runtime), id, bundle };
        // gVisor takes the address away with it.
        let address = addresses(self.number)[1];
        let replace = format!("addr replace {address}/24 dev {}", self.interface);
        self.network.ip(&lab.launcher, &replace)?;
        let route = format!("route replace default via {}", addresses(self.number)[0]);
        self.network.ip(&lab.launcher, &route)?;

        let bundle = mooring.bundle.to_string_lossy();
        let words = self.runtime.command(&["run", "--bundle", &bundle, &mooring.id]);
        let mut place = lab.server_place(&self.network);
        // A runtime enters the network itself, or has a process of its enter it.
        place.network = None;
        place.mounts = self.runtime.view.as_ref().map(oci::View::path);
        let mut command = lab.launcher.exec(place, words.program.as_os_str());
        command.args(words.arguments);
        Ok((command, mooring))
    }
}

/// Removes what a container has left, whatever became of its runtime. To be dropped after that has ended.
#[derive(Debug)]
pub(super) struct Mooring {
    runtime: Rc<Runtime>,
    id: String,
    bundle: PathBuf,
}

impl Drop for Mooring {
    fn drop(&mut self) {
        oci::force(&self.runtime, &self.id);
        let _ = fs::remove_dir_all(&self.bundle);
    }
}

/// Some containers, or in words why there are none.
pub(super) type Made = Result<Contained, String>;

/// One that was made, or else why not.
///
/// # Errors
/// The second.
pub(super) fn of(made: &[(Kind, Made)], kind: Kind) -> Result<&Contained> {
    let found = made.iter().find(|(its, _)| *its == kind).context("it was not asked for")?;
    found.1.as_ref().map_err(|reason| anyhow!("{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_found_in_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007f00c221b000)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00c181e000)\n\
                    \tlibx.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f00c221d000)\n";
        let files: Vec<_> = libraries(said).collect();
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(files, expected.map(Path::new));
        assert_eq!(libraries("\tnot a dynamic executable\n").count(), 0);
    }
}
