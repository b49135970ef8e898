//! Site images as tar writes them, and as an attacker would.

mod harness;

use harness::*;
use httpd::site::File;
use httpd::site::tar::TarError;
use httpd::{BlockError, BlockRead, ScanError, ScanLimits, Site};
use proptest::prelude::*;

fn open(image: Vec<u8>) -> Result<Site<Disk>, ScanError> {
    Site::open(Disk::new(image, 512), &ScanLimits::default())
}

fn contents(site: &Site<Disk>, disk: &Disk, name: &str) -> Option<Vec<u8>> {
    let file = site.index().find(name)?;
    let start = file.device_offset as usize;
    Some(disk.bytes[start..start + file.size_bytes as usize].to_vec())
}

fn header(name: &str, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mtime(WALL);
    header.set_entry_type(kind);
    header.set_cksum();
    header
}

/// An image of one entry whose header is written without the checks of a tar library.
fn raw(name: &str, size: u64, kind: tar::EntryType, data: &[u8]) -> Vec<u8> {
    let mut image = header(name, size, kind).as_bytes().to_vec();
    image.extend_from_slice(data);
    image.resize(image.len().next_multiple_of(512), 0);
    image
}

#[test]
fn every_file_is_found_with_its_contents_whatever_the_block_size() {
    let long = format!("{}/file.txt", "directory".repeat(20));
    let longest = format!("{}/file.txt", ["segment"; 60].join("/"));
    let files: Vec<(&str, &[u8])> = vec![
        ("index.html", b"index"),
        ("empty", b""),
        ("512", &[7; 512]),
        ("513", &[8; 513]),
        ("d\u{e9}j\u{e0} vu.txt", b"vu"),
        (&long, b"long"),
        (&longest, b"longest"),
    ];
    for block_size in [512, 2048, 65_536] {
        let disk = Disk::new(image(&files), block_size);
        let site = Site::open(disk.clone(), &ScanLimits::default()).unwrap();
        assert_eq!(site.index().len(), files.len());
        for (name, data) in &files {
            assert_eq!(contents(&site, &disk, name).as_deref(), Some(*data), "{name}");
        }
        assert!(site.index().find("none").is_none());
        assert!(site.index().has_directory("segment/segment"));
    }
}

#[test]
fn names_are_freed_of_leading_dots_and_slashes() {
    for name in ["./a/b.txt", "/a/b.txt", "//a/./b.txt", "././a//b.txt"] {
        let site = open(raw(name, 1, tar::EntryType::Regular, b"x")).unwrap();
        assert!(site.index().find("a/b.txt").is_some(), "{name}");
    }
    let site = open(raw("./", 0, tar::EntryType::Directory, b"")).unwrap();
    assert!(site.index().is_empty());
    let site = open(raw("./a/", 0, tar::EntryType::Directory, b"")).unwrap();
    assert!(site.index().has_directory("a") && site.index().find("a").is_none());
}

#[test]
fn a_name_that_climbs_refuses_the_image() {
    for name in ["../x", "a/../x", "a/.."] {
        let error = open(raw(name, 0, tar::EntryType::Regular, b"")).unwrap_err();
        assert!(matches!(error, ScanError::Climbing { offset: 0, .. }), "{name}");
        assert!(error.to_string().contains(name));
    }
    assert!(open(raw("a..b", 0, tar::EntryType::Regular, b"")).is_ok());
}

#[test]
fn the_last_of_several_entries_counts() {
    let image = image(&[("a", b"first"), ("b", b"b"), ("a", b"second")]);
    let disk = Disk::new(image, 512);
    let site = Site::open(disk.clone(), &ScanLimits::default()).unwrap();
    assert_eq!(contents(&site, &disk, "a").as_deref(), Some(&b"second"[..]));
    assert_eq!(site.index().len(), 2);
}

#[test]
fn pax_records_override_the_header() {
    let mut builder = tar::Builder::new(Vec::new());
    let name = "n".repeat(300);
    builder
        .append_pax_extensions([
            ("path", name.as_bytes()),
            ("mtime", b"1700000000.75"),
            ("size", b"5"),
            ("comment", b"of no interest"),
        ])
        .unwrap();
    let mut image = builder.get_ref().clone();
    image.extend(raw("short", 0, tar::EntryType::Regular, b"hello"));
    image.extend(raw("next", 2, tar::EntryType::Regular, b"ok"));
    let disk = Disk::new(image, 512);
    let site = Site::open(disk.clone(), &ScanLimits::default()).unwrap();
    let file = site.index().find(&name).unwrap();
    assert_eq!((file.size_bytes, file.modified_unix_seconds), (5, 1_700_000_000));
    assert_eq!(contents(&site, &disk, &name).as_deref(), Some(&b"hello"[..]));
    assert_eq!(contents(&site, &disk, "next").as_deref(), Some(&b"ok"[..]));
    assert_eq!(site.index().find("next").unwrap().modified_unix_seconds, WALL);
}

fn tag_of(file: File) -> String {
    String::from_utf8(file.validators().etag.as_bytes().to_vec()).unwrap()
}

#[test]
fn a_fingerprint_decides_the_tag_and_otherwise_size_time_and_place_do() {
    let with_fingerprint = |value: &[u8], before: &[u8]| {
        let mut builder = tar::Builder::new(Vec::new());
        builder
            .append(&header("before", before.len() as u64, tar::EntryType::Regular), before)
            .unwrap();
        builder.append_pax_extensions([("NABLA.etag", value)]).unwrap();
        builder.append(&header("a", 1, tar::EntryType::Regular), &b"x"[..]).unwrap();
        let site = open(builder.into_inner().unwrap()).unwrap();
        (tag_of(site.index().find("a").unwrap()), tag_of(site.index().find("before").unwrap()))
    };
    let (tag, other) = with_fingerprint(b"abc", b"");
    assert_eq!(with_fingerprint(b"abc", b"longer").0, tag);
    assert_ne!(with_fingerprint(b"abd", b"").0, tag);
    assert_ne!(tag, other, "the record is for one entry only");

    let plain = |name: &str, files: &[(&str, &[u8])]| {
        tag_of(open(image(files)).unwrap().index().find(name).unwrap())
    };
    let tag = plain("a", &[("a", b"x"), ("b", b"y")]);
    assert_eq!(plain("a", &[("a", b"x")]), tag);
    assert_ne!(plain("b", &[("a", b"x"), ("b", b"y")]), tag);
    assert_ne!(plain("a", &[("a", b"xx")]), tag);
}

#[test]
fn what_cannot_be_served_is_skipped() {
    let mut image = Vec::new();
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Char,
        tar::EntryType::Fifo,
        tar::EntryType::new(b'Z'),
    ] {
        image.extend(raw("odd", 0, kind, b""));
    }
    image.extend(raw("sparse", 3, tar::EntryType::GNUSparse, b"abc"));
    image.extend(raw("global", 11, tar::EntryType::XGlobalHeader, b"11 path=no\n"));
    let mut not_utf8 = header("bad", 1, tar::EntryType::Regular);
    not_utf8.as_mut_bytes()[1] = 0xff;
    not_utf8.set_cksum();
    image.extend(not_utf8.as_bytes());
    image.extend([b'x'; 512]);
    image.extend(raw("good", 1, tar::EntryType::Regular, b"x"));
    let site = open(image).unwrap();
    assert_eq!(site.index().len(), 1);
    assert!(site.index().find("good").is_some());
}

#[test]
fn an_archive_ends_in_zeros_or_with_the_device() {
    let mut image = raw("a", 1, tar::EntryType::Regular, b"x");
    assert_eq!(open(image.clone()).unwrap().index().len(), 1);
    image.extend([0; 512]);
    assert_eq!(open(image.clone()).unwrap().index().len(), 1);
    let mut after_one = image.clone();
    after_one.extend(raw("b", 1, tar::EntryType::Regular, b"x"));
    let error = ScanError::Header { offset: 1024, error: TarError::LoneZeroBlock };
    assert_eq!(open(after_one).unwrap_err(), error);
    image.extend([0; 512]);
    image.extend([0xff; 5120]);
    assert_eq!(open(image).unwrap().index().len(), 1);
    assert!(open(vec![0; 512]).unwrap().index().is_empty());
}

#[test]
fn damage_is_an_error_that_says_where() {
    let sound = image(&[("first", b"1"), ("second", &[2; 2000])]);
    let mut damaged = sound.clone();
    damaged[1024 + 3] ^= 1;
    let error = open(damaged).unwrap_err();
    assert_eq!(error, ScanError::Header { offset: 1024, error: TarError::Checksum });
    assert_eq!(error.to_string(), "site image: at byte 1024: the header's checksum is wrong");

    let error = open(sound[..2560].to_vec()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "site image: second at byte 1024 has 2000 bytes, but the image ends before them"
    );

    let error = open(b"<html>this is no archive".repeat(100)).unwrap_err();
    assert!(error.to_string().contains("not a tar archive"), "{error}");

    let mut endless = header("a\x1b[2J", 0, tar::EntryType::Regular);
    endless.as_mut_bytes()[124..136].copy_from_slice(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    endless.set_cksum();
    let error = open(endless.as_bytes().to_vec()).unwrap_err();
    assert!(matches!(error, ScanError::Truncated { size_bytes: u64::MAX, .. }));
    assert!(!error.to_string().contains('\x1b'));
}

#[test]
fn a_device_is_checked_before_it_is_read() {
    #[derive(Debug)]
    struct Odd(u64, usize);
    impl BlockRead for Odd {
        fn capacity_bytes(&self) -> u64 {
            self.0
        }
        fn block_size(&self) -> usize {
            self.1
        }
        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), BlockError> {
            panic!("not to be read")
        }
    }
    for (capacity, block) in [(512, 0), (512, 256), (513, 512), (1536, 768), (1 << 20, 1 << 17)] {
        let error = Site::open(Odd(capacity, block), &ScanLimits::default()).unwrap_err();
        assert!(matches!(error, ScanError::Geometry { .. }), "{capacity} {block}");
    }
    assert!(Site::open(Odd(0, 512), &ScanLimits::default()).unwrap().index().is_empty());
    let disk = Disk::new(image(&[("a", b"x")]), 512);
    disk.broken_from.set(0);
    let error = Site::open(disk, &ScanLimits::default()).unwrap_err();
    assert_eq!(error, ScanError::Device { offset: 0, error: BlockError { code: 5 } });
}

#[test]
fn the_limits_of_a_scan_are_kept() {
    let limits = ScanLimits { entries_max: 3, name_bytes_max: 40, extension_bytes_max: 600 };
    let open = |image| Site::open(Disk::new(image, 512), &limits).map(|site| site.index().len());
    let files =
        |names: &[&str]| image(&names.iter().map(|&name| (name, &b""[..])).collect::<Vec<_>>());
    assert_eq!(open(files(&["a", "b", "c"])), Ok(3));
    let error = ScanError::TooManyEntries { entries_max: 3 };
    assert_eq!(open(files(&["a", "b", "c", "d"])), Err(error.clone()));
    assert_eq!(open(raw("l", 0, tar::EntryType::Symlink, b"").repeat(13)), Err(error));
    let error = ScanError::TooManyNameBytes { name_bytes_max: 40 };
    assert_eq!(open(files(&["a", &"b".repeat(40)])), Err(error));
    let long = raw("x", 601, tar::EntryType::XHeader, &[b'x'; 601]);
    let error = ScanError::ExtensionTooLong { offset: 0, size_bytes: 601, bytes_max: 600 };
    assert_eq!(open(long), Err(error));
}

#[test]
fn a_scan_reads_headers_and_not_data() {
    let disk = Disk::new(image(&[("a", &vec![1; 1 << 20]), ("b", &vec![2; 1 << 20])]), 512);
    Site::open(disk.clone(), &ScanLimits::default()).unwrap();
    assert!(disk.reads.get() <= 4, "{} reads", disk.reads.get());
}

fn some_image() -> Vec<u8> {
    let long = "long/".repeat(40) + "name";
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header("dir/", 0, tar::EntryType::Directory), &b""[..]).unwrap();
    builder
        .append_pax_extensions([("path", &b"dir/pax"[..]), ("mtime", b"1.5"), ("size", b"3")])
        .unwrap();
    builder.append(&header("x", 3, tar::EntryType::Regular), &b"abc"[..]).unwrap();
    let mut gnu = tar::Header::new_gnu();
    gnu.set_size(600);
    builder.append_data(&mut gnu, long, &[9u8; 600][..]).unwrap();
    builder.append(&header("link", 0, tar::EntryType::Symlink), &b""[..]).unwrap();
    builder.into_inner().unwrap()
}

/// Whatever the index says has to lie within the image.
fn assert_sound(image: Vec<u8>, block_size: usize) -> Result<(), TestCaseError> {
    let disk = Disk::new(image, block_size);
    let Ok(site) = Site::open(disk.clone(), &ScanLimits::default()) else {
        return Ok(());
    };
    for name in ["dir/pax", "x", &("long/".repeat(40) + "name"), "dir"] {
        if let Some(file) = site.index().find(name) {
            prop_assert!(file.device_offset + file.size_bytes <= disk.capacity);
        }
        site.index().has_directory(name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_images_are_survived(
        damage in proptest::collection::vec((0usize..4096, any::<u8>()), 1..6),
        len in 0usize..5000,
        seal: bool,
        large_blocks: bool,
    ) {
        let mut image = some_image();
        for (at, byte) in damage {
            image[at] = byte;
        }
        if seal {
            // A mutation that the checksum hides gets no further than the first header.
            for block in image.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        image.truncate(len.max(512));
        assert_sound(image, if large_blocks { 4096 } else { 512 })?;
    }

    #[test]
    fn arbitrary_images_are_survived(image in proptest::collection::vec(any::<u8>(), 0..3000)) {
        assert_sound(image, 512)?;
    }
}
