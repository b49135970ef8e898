//! What goes into a virtual machine: the kernel's modules, the first process, tools, our programs, and
//! those that stand beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use surface::scenario::{Scenario, System};

use super::Place;
use super::initramfs::Initramfs;
use super::libraries;
use super::packages::Packages;
use super::parts::{self, Sources};
use crate::app::{App, Starter};
use crate::bench;
use crate::cargo::{self, Profile};
use crate::image;

/// Modules of the kernel that are wanted, below its folder of modules.
const MODULES: [&str; 4] =
    ["drivers/net/tun", "drivers/net/veth", "fs/overlayfs/overlay", "drivers/block/brd"];
/// The machine's own tools.
const TOOLS: [&str; 2] = ["bin/ip", "sbin/mke2fs"];
/// Their packages, and those of their libraries.
const TOOL_PACKAGES: [&str; 23] = [
    "e2fsprogs",
    "iproute2",
    "libblkid1",
    "libbpf1",
    "libbsd0",
    "libc6",
    "libcap2",
    "libcom-err2",
    "libdb5.3",
    "libelf1",
    "libext2fs2",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libmd0",
    "libmnl0",
    "libpcre2-8-0",
    "libselinux1",
    "libtirpc3",
    "libuuid1",
    "zlib1g",
];
/// The page that is asked for was made at this time, in seconds since 1970.
const PAGE_TIME: i64 = 1_704_067_200;
/// Guests, by their names in the machine and their binaries here.
const GUESTS: [(&str, &str); 3] =
    [("hello", "guest-hello"), ("block", "guest-block-batches"), ("fuzz", "guest-fuzz")];
const APPS: [&str; 2] = ["httpd", "kv"];

/// All that was built and unpacked.
#[derive(Debug)]
pub(crate) struct Kit {
    /// The kernel's file.
    pub(crate) kernel: PathBuf,
    /// Packages and their versions.
    pub(crate) versions: BTreeMap<String, String>,
    packages: Packages,
    /// The first process, which is also a program that others run.
    probe: PathBuf,
    /// What those that stand beside our guests are configured with.
    data: PathBuf,
    /// What every machine has.
    base: Initramfs,
}

impl Kit {
    /// Builds and unpacks all that every machine has.
    ///
    /// # Errors
    /// If something does not build or cannot be had.
    pub(crate) fn make(place: &Place) -> Result<Self> {
        let mut base = Initramfs::new();
        build(place, &mut base)?;
        let mut packages = Packages::new(&place.folder("packages")?)?;
        let mut versions = BTreeMap::new();
        let kernel = packages.kernel()?;
        for name in TOOL_PACKAGES.into_iter().chain([&*kernel]) {
            versions.insert(name.to_owned(), packages.unpack(name)?);
        }
        let root = packages.root().to_owned();
        let release = kernel.trim_start_matches("linux-image-");
        for module in MODULES {
            let file = root.join(format!("lib/modules/{release}/kernel/{module}.ko"));
            let name = file.file_name().context("no name")?.to_string_lossy().into_owned();
            base.copy(&format!("modules/{name}"), &file)?;
        }
        let kernel = root.join(format!("boot/vmlinuz-{release}"));
        ensure!(kernel.is_file(), "{} is not in its package", kernel.display());
        for tool in TOOLS {
            base.copy(&format!("sbin/{}", name(tool)), &root.join(tool))?;
        }
        add_libraries(&mut base, &root, &TOOLS.map(|tool| root.join(tool)))?;
        let probe = place.ours.binaries(Profile::Release).join("probe");
        let data = place.ours.root.join("measure/data");
        Ok(Self { kernel, versions, packages, probe, data, base })
    }

    /// What the machine of a scenario has.
    ///
    /// # Errors
    /// If something cannot be had.
    pub(crate) fn machine(&mut self, scenario: &Scenario) -> Result<Initramfs> {
        let mut files = self.base.clone();
        files.add("measure/scenario.json", 0o644, serde_json::to_vec(scenario)?);
        if scenario.system == System::Solo5Tap {
            add_solo5(&mut files)?;
        }
        for name in parts::packages(scenario.system, scenario.workload) {
            self.versions.insert(name.to_owned(), self.packages.unpack(name)?);
        }
        let unpacked = self.packages.root();
        let sources = Sources { unpacked, probe: &self.probe, data: &self.data };
        parts::add(&mut files, scenario.system, scenario.workload, &sources)?;
        Ok(files)
    }
}

/// The first process, the tender, and the guests.
fn build(place: &Place, base: &mut Initramfs) -> Result<()> {
    let ours = &place.ours;
    ensure!(
        cargo::has_static_libc(),
        "there is no static C library here (Debian's package libc6-dev): the first process of the virtual machine needs one"
    );
    let tender = Starter::Tender.build(ours)?;
    cargo::build_static(&ours.root, "probe")?;
    let binaries = ours.binaries(Profile::Release);
    // As the first process, and as programs that are measured.
    for path in ["init", "bin/probe"] {
        base.copy(path, &binaries.join("probe"))?;
    }
    base.copy("nabla/tender", &tender)?;
    for name in APPS {
        let app = App::find(name, ours, Profile::Release)?;
        app.build()?;
        base.copy(&format!("nabla/{name}"), &app.kernel())?;
    }
    cargo::build(&ours.root, ["guests"], Profile::Release)?;
    for (name, binary) in GUESTS {
        base.copy(&format!("nabla/{name}"), &binaries.join(binary))?;
    }
    let folder = place.folder("page")?;
    let (site, image) = (folder.join("site"), folder.join("page.img"));
    fs::create_dir_all(&site).with_context(|| site.display().to_string())?;
    fs::write(site.join("index.html"), bench::page()).context("cannot write the page")?;
    image::pack_with_time(&site, &image, PAGE_TIME)?;
    base.copy("nabla/page.img", &image)?;
    base.copy("site", &site)
}

fn add_libraries(files: &mut Initramfs, root: &Path, programs: &[PathBuf]) -> Result<()> {
    for (path, source) in libraries::closure(root, programs)? {
        files.copy(&path, &source)?;
    }
    Ok(())
}

/// Solo5's tender is not Debian's: it comes from this system, with its libraries.
fn add_solo5(files: &mut Initramfs) -> Result<()> {
    let path = solo5().context("solo5-spt is not on the PATH")?;
    files.copy("solo5/solo5-spt", &path)?;
    for (place, source) in libraries::closure(Path::new("/"), &[path])? {
        let name = if place.contains("ld-linux") { "ld.so" } else { name(&place) };
        files.copy(&format!("solo5/{name}"), &source)?;
    }
    Ok(())
}

/// Solo5's tender on this system.
pub(crate) fn solo5() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("solo5-spt")).find(|file| file.is_file())
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
