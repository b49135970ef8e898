//! Parts from packages that a test makes up.

use std::os::unix::fs::symlink;

use super::*;

/// Unpacked packages with a loader and a library, and programs that need them.
fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for place in ["lib64", LIBRARIES[0], LIBRARIES[1], "usr/sbin", "usr/bin"] {
        fs::create_dir_all(root.join(place)).unwrap();
    }
    let write = |path: &str, libraries: &[&str]| {
        fs::write(root.join(path), needed::tests::file(libraries)).unwrap();
    };
    write("lib/x86_64-linux-gnu/loader", &[]);
    symlink("/lib/x86_64-linux-gnu/loader", root.join("lib64/ld.so")).unwrap();
    write("usr/lib/x86_64-linux-gnu/liba.so.1.2", &["libb.so"]);
    symlink("liba.so.1.2", root.join("usr/lib/x86_64-linux-gnu/liba.so.1")).unwrap();
    write("lib/x86_64-linux-gnu/libb.so", &["liba.so.1"]);
    write("usr/sbin/nginx", &["liba.so.1"]);
    write("usr/bin/redis-check-rdb", &["libmissing.so"]);
    write("usr/sbin/runc", &[]);
    write("usr/bin/runsc", &[]);
    folder
}

fn made(system: System, workload: Workload) -> Result<Parts> {
    let folder = unpacked();
    let data = Path::new("/data");
    let sources =
        Sources { unpacked: folder.path(), probe: Path::new("/probe"), data, page: "page" };
    parts(system, workload, &sources)
}

#[test]
fn a_process_has_its_libraries_in_the_root() {
    let parts = made(System::Native, Workload::Httpd).unwrap();
    for path in ["usr/sbin/nginx", "lib64/ld.so", "lib/x86_64-linux-gnu/liba.so.1"] {
        let Some(Part::File(file)) = parts.get(path) else { panic!("{path}: {parts:?}") };
        assert!(!file.ends_with("ld.so"), "a link: {}", file.display());
    }
    assert!(parts.contains_key("lib/x86_64-linux-gnu/libb.so"));
    assert_eq!(parts["srv/index.html"], Part::Text("page".into()));
    assert_eq!(parts["etc/measure/nginx.conf"], Part::File("/data/nginx.conf".into()));
    let paths: Vec<_> = parts.keys().collect();
    let place = |path: &str| paths.iter().position(|it| *it == path).unwrap();
    assert!(place("usr") < place("usr/sbin") && place("usr/sbin") < place("usr/sbin/nginx"));
}

#[test]
fn a_container_has_them_in_its_image() {
    let parts = made(System::Runc, Workload::Httpd).unwrap();
    assert!(parts.contains_key("image/usr/sbin/nginx") && parts.contains_key("usr/sbin/runc"));
    assert!(parts.contains_key("image/lib64/ld.so") && parts.contains_key("lib64/ld.so"));
    assert!(parts.contains_key("measure/docker-seccomp.json"));
    assert!(!parts.contains_key("usr/sbin/nginx"));
    let parts = made(System::Gvisor, Workload::Hello).unwrap();
    assert_eq!(parts["image/probe"], Part::File("/probe".into()));
    assert!(!parts.contains_key("image/usr/sbin/nginx"));
}

#[test]
fn what_is_missing_is_named() {
    let error = made(System::Gvisor, Workload::Kv).unwrap_err();
    assert!(format!("{error:#}").contains("libmissing.so is in none of the packages"), "{error:#}");
}

#[test]
fn ours_need_nothing_of_it() {
    for system in System::ALL.into_iter().filter(|system| system.is_ours()) {
        assert!(packages(system, Workload::Kv).is_empty() && modules(system).is_empty());
        assert!(made(system, Workload::Kv).unwrap().is_empty());
    }
    let names = packages(System::Runc, Workload::Httpd);
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
}
