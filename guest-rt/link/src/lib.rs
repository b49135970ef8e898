//! What a unikernel's build script says to the linker: no C start files, no libraries, a static
//! file at fixed addresses, and the layout of [`SCRIPT`].
//!
//! An app's `build.rs` is one line, inside this workspace and outside of it:
//! ```no_run
//! guest_link::configure();
//! ```
//! It refuses nothing and configures only the package's binaries: the library and the tests of
//! an app stay ordinary host programs.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The linker script of guests for x86-64.
pub const SCRIPT: &str = include_str!("guest.ld");

/// Arguments for the C compiler driver that links, besides the script.
const ARGUMENTS: [&str; 7] = [
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,norelro",
    "-Wl,--build-id=none",
];

/// Emits the link arguments of all binaries of the package that is being built.
///
/// # Panics
/// Outside of a build script, or if the script cannot be written to `OUT_DIR`; both end the
/// build with the reason.
pub fn configure() {
    let out_dir = env::var_os("OUT_DIR").expect("guest_link::configure runs in a build script");
    let script = write_script(Path::new(&out_dir));
    for argument in ARGUMENTS {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    println!("cargo::rerun-if-changed=build.rs");
}

fn write_script(out_dir: &Path) -> PathBuf {
    let path = out_dir.join("guest.ld");
    if let Err(error) = fs::write(&path, SCRIPT) {
        panic!("cannot write the linker script {}: {error}", path.display());
    }
    path
}
