//! Links the guests as Solo5's toolchain links its own: with GNU ld and a script laid out as
//! Solo5's is.

const ARGUMENTS: [&str; 9] = [
    "-fuse-ld=bfd",
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,norelro",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
];

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/solo5.ld");
    for argument in ARGUMENTS {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rerun-if-changed=build.rs");
}
