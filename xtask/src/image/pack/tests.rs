//! Folders to images and what is refused.

use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use site_image::tree::Kind;

use super::*;
use crate::image::refresh;

const MODIFIED: Duration = Duration::from_secs(1_700_000_000);

/// A folder `site` with these files, beside room for images.
fn site(files: &[(&str, &[u8])]) -> TempDir {
    let place = TempDir::new().unwrap();
    for (name, contents) in files {
        let path = place.path().join("site").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(UNIX_EPOCH + MODIFIED)
            .unwrap();
    }
    for folder in ["site/css", "site/img"] {
        if let Ok(folder) = File::open(place.path().join(folder)) {
            folder.set_modified(UNIX_EPOCH + MODIFIED).unwrap();
        }
    }
    place
}

fn pack(place: &TempDir) -> Result<Vec<u8>> {
    let image = place.path().join("site.img");
    write(&Tree::read(&place.path().join("site"))?, Times::Own, &image)?;
    Ok(fs::read(image)?)
}

fn refusal(place: &TempDir) -> String {
    let error = format!("{:#}", pack(place).unwrap_err());
    let left: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("site.img")), "{left:?}");
    error
}

const FILES: [(&str, &[u8]); 3] =
    [("index.html", b"<p>hello</p>"), ("css/a.css", b""), ("img/b.bin", &[7; 1025])];

#[test]
fn with_a_fixed_time_only_names_and_contents_count() {
    let long = format!("css/{}.css", "x".repeat(150));
    let files = [("index.html", &b"<p>hello</p>"[..]), (&long, b"p{}")];
    let pack = |modified: Option<Duration>, contents: &[u8]| {
        let place = site(&files);
        fs::write(place.path().join("site/index.html"), contents).unwrap();
        if let Some(modified) = modified {
            let folder = File::open(place.path().join("site/css")).unwrap();
            folder.set_modified(UNIX_EPOCH + modified).unwrap();
        }
        let image = place.path().join("site.img");
        let tree = Tree::read(&place.path().join("site")).unwrap();
        write(&tree, Times::Fixed(7), &image).unwrap();
        fs::read(image).unwrap()
    };
    let image = pack(None, b"<p>hello</p>");
    assert_eq!(pack(Some(MODIFIED * 2), b"<p>hello</p>"), image);
    assert_ne!(pack(None, b"<p>HELLO</p>"), image);

    let mut archive = tar::Archive::new(&*image);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 7);
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let records = entry.pax_extensions().unwrap().into_iter().flatten();
        let tags: Vec<_> = records
            .map(|record| record.unwrap())
            .filter(|record| record.key() == Ok(archive::TAG))
            .map(|record| record.value().unwrap().to_owned())
            .collect();
        seen.push((name, tags));
    }
    let tag = |contents: &[u8]| vec![Digest::of(contents).to_string()[..32].to_owned()];
    let expected =
        [("css/".into(), vec![]), (long, tag(b"p{}")), ("index.html".into(), tag(b"<p>hello</p>"))];
    assert_eq!(seen, expected);
}

#[test]
fn the_archive_holds_sorted_entries_without_owners() {
    let image = pack(&site(&FILES)).unwrap();
    let mut archive = tar::Archive::new(&*image);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{name}");
        assert_eq!(header.mtime().unwrap(), MODIFIED.as_secs(), "{name}");
        let mode = if name.ends_with('/') { 0o755 } else { 0o644 };
        assert_eq!(header.mode().unwrap(), mode, "{name}");
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        seen.push((name, contents));
    }
    let expected: Vec<(String, Vec<u8>)> = [
        ("css/", &b""[..]),
        ("css/a.css", b""),
        ("img/", b""),
        ("img/b.bin", &[7; 1025]),
        ("index.html", b"<p>hello</p>"),
    ]
    .map(|(name, contents)| (name.into(), contents.into()))
    .into();
    assert_eq!(seen, expected);
    assert_eq!(image.len() % 512, 0);
    assert!(image[image.len() - 1024..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_same_folder_gives_the_same_bytes() {
    let mut reversed = FILES;
    reversed.reverse();
    let other = site(&reversed);
    let page = other.path().join("site/index.html");
    fs::set_permissions(page, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(pack(&site(&FILES)).unwrap(), pack(&other).unwrap());
}

#[test]
fn long_names_survive() {
    let name = format!("{}/{}.html", "d".repeat(120), "f".repeat(200));
    let image = pack(&site(&[(&name, b"deep")])).unwrap();
    let names: Vec<_> = tar::Archive::new(&*image)
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names[1], Path::new(&name));
}

#[test]
fn links_inside_are_followed() {
    let place = site(&FILES);
    symlink("../img", place.path().join("site/css/pictures")).unwrap();
    symlink("index.html", place.path().join("site/start.html")).unwrap();
    let tree = Tree::read(&place.path().join("site")).unwrap();
    let names: Vec<_> = tree.entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "css",
            "css/a.css",
            "css/pictures",
            "css/pictures/b.bin",
            "img",
            "img/b.bin",
            "index.html",
            "start.html"
        ]
    );
    assert_eq!(tree.entries[7].kind, Kind::File(12));
}

#[test]
fn links_that_leave_loop_or_dangle_are_refused() {
    for (target, word) in [
        ("../secret", "leads out of the folder"),
        ("../site-other/page", "leads out of the folder"),
        ("/etc/passwd", "/etc/passwd"),
        (".", "a folder that it lies in"),
        ("nowhere", "cannot follow"),
    ] {
        let place = site(&FILES);
        fs::write(place.path().join("secret"), "secret").unwrap();
        fs::create_dir(place.path().join("site-other")).unwrap();
        fs::write(place.path().join("site-other/page"), "page").unwrap();
        symlink(target, place.path().join("site/link")).unwrap();
        let error = refusal(&place);
        assert!(error.contains(word) && error.contains("site/link"), "{target}: {error}");
    }
}

#[test]
fn what_is_neither_file_nor_folder_is_refused() {
    let place = site(&FILES);
    let socket = place.path().join("site/socket");
    std::os::unix::net::UnixListener::bind(socket).unwrap();
    assert!(refusal(&place).contains("site/socket is neither file nor folder"));
}

#[test]
fn an_absent_folder_or_a_file_is_refused() {
    let place = TempDir::new().unwrap();
    assert!(refusal(&place).contains("cannot read the folder"));
    fs::write(place.path().join("site"), "a file").unwrap();
    assert!(refusal(&place).contains("is no folder"));
}

#[test]
fn an_image_inside_of_its_folder_is_refused() {
    let place = site(&FILES);
    let inside = place.path().join("site/css/../site.img");
    let error =
        write(&Tree::read(&place.path().join("site")).unwrap(), Times::Own, &inside).unwrap_err();
    assert!(error.to_string().contains("write it elsewhere"), "{error}");
    assert!(!inside.exists());
}

#[test]
fn a_file_that_shrank_ends_the_packing() {
    let place = site(&FILES);
    let tree = Tree::read(&place.path().join("site")).unwrap();
    fs::write(place.path().join("site/img/b.bin"), "short").unwrap();
    let error = write(&tree, Times::Own, &place.path().join("site.img")).unwrap_err();
    assert!(format!("{error:#}").contains("b.bin: the file became shorter"), "{error:#}");
    assert!(!place.path().join("site.img").exists());
}

#[test]
fn an_image_is_made_anew_only_after_a_change() {
    let place = site(&FILES);
    let (folder, image) = (place.path().join("site"), place.path().join("images/site.img"));
    refresh(&folder, &image).unwrap();
    // A mark that a second packing would remove.
    let mark = || File::options().write(true).open(&image).unwrap().write_at(b"!", 0).unwrap();
    let is_marked = || fs::read(&image).unwrap()[0] == b'!';
    mark();
    refresh(&folder, &image).unwrap();
    assert!(is_marked());

    fs::write(folder.join("new.html"), "new").unwrap();
    refresh(&folder, &image).unwrap();
    assert!(!is_marked());

    mark();
    let other = site(&FILES);
    refresh(&other.path().join("site"), &image).unwrap();
    assert!(!is_marked());
}
