//! Layouts and archives, read again.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::super::layer::Kind;
use super::*;

/// A folder with a program and a site, and the image of them in `NAME` beside.
fn make(place: &TempDir, name: &str, time: u64) -> Result<(PathBuf, Blob)> {
    let (program, site) = (place.path().join("program"), place.path().join("s.img"));
    fs::write(&program, [7; 3000])?;
    fs::write(&site, b"site")?;
    let entry = |name: &str, kind| Entry { name: name.into(), kind };
    let entries = [
        entry("web", Kind::Program(program)),
        entry("site.img", Kind::File(site)),
        entry("data", Kind::Folder),
    ];
    let folder = place.path().join("out").join(name);
    let layout = Layout::create(&folder)?;
    let (layer, blob) = layout.add_layer(&entries, time)?;
    let diff_id = format!("sha256:{}", layer.archive);
    let config = json!({ "rootfs": { "diff_ids": [diff_id], "type": "layers" } });
    let config = layout.add_config(&config)?;
    let mut labels = Map::new();
    labels.insert("org.opencontainers.image.title".into(), json!("web"));
    let reference = "me/web:1".parse()?;
    let tar = folder.with_extension("tar");
    let manifest = layout.finish(config, blob, labels, &reference, &tar)?;
    Ok((folder, manifest))
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// What a descriptor points at, with its digest and size checked.
fn follow(folder: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = fs::read(folder.join(BLOBS).join(digest)).unwrap();
    assert_eq!(Digest::of(&bytes).to_string(), digest);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

/// The files of an archive.
fn unpack(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        (name, contents)
    });
    files.collect()
}

#[test]
fn every_descriptor_leads_to_what_it_says() {
    let place = TempDir::new().unwrap();
    let (folder, blob) = make(&place, "image", 0).unwrap();
    assert_eq!(value(&fs::read(folder.join(MARK)).unwrap())["imageLayoutVersion"], "1.0.0");
    let index = value(&fs::read(folder.join("index.json")).unwrap());
    assert_eq!(index["schemaVersion"], 2);
    let entry = &index["manifests"][0];
    assert_eq!(entry["mediaType"], MANIFEST);
    assert_eq!(entry["digest"], format!("sha256:{}", blob.digest));
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1");
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "localhost/me/web:1");

    let manifest = value(&follow(&folder, entry));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "web");
    assert_eq!(manifest["config"]["mediaType"], CONFIG);
    let config = value(&follow(&folder, &manifest["config"]));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], LAYER);
    let mut archive = Vec::new();
    let compressed = follow(&folder, &manifest["layers"][0]);
    GzDecoder::new(&*compressed).read_to_end(&mut archive).unwrap();
    let diff_id = format!("sha256:{}", Digest::of(&archive));
    assert_eq!(config["rootfs"]["diff_ids"], json!([diff_id]));

    let blobs = fs::read_dir(folder.join(BLOBS)).unwrap().count();
    assert_eq!(blobs, 3, "nothing that no descriptor leads to");
}

#[test]
fn the_layer_holds_what_was_given_and_nothing_else() {
    let place = TempDir::new().unwrap();
    let program = place.path().join("program");
    fs::write(&program, b"code").unwrap();
    let entries = [
        Entry { name: "web".into(), kind: Kind::Program(program.clone()) },
        Entry { name: "data".into(), kind: Kind::Folder },
        Entry { name: "site.img".into(), kind: Kind::File(program) },
    ];
    let mut compressed = Vec::new();
    let layer = layer::write(&entries, 86_400, &mut compressed).unwrap();
    assert_eq!(layer.compressed_bytes, compressed.len() as u64);
    let mut archive = Vec::new();
    GzDecoder::new(&*compressed).read_to_end(&mut archive).unwrap();
    assert_eq!(layer.archive_bytes, archive.len() as u64);
    let mut archive = tar::Archive::new(&*archive);
    let seen: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 86_400);
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            (name, header.mode().unwrap(), header.size().unwrap())
        })
        .collect();
    let expected = [("web", 0o755, 4), ("data/", 0o755, 0), ("site.img", 0o644, 4)];
    assert_eq!(seen, expected.map(|(name, mode, size)| (name.to_owned(), mode, size)));
}

#[test]
fn the_archive_is_the_folder_and_what_docker_reads() {
    let place = TempDir::new().unwrap();
    let (folder, blob) = make(&place, "image", 0).unwrap();
    let mut files = unpack(&fs::read(folder.with_extension("tar")).unwrap());
    let docker = value(&files.remove("manifest.json").unwrap());
    let manifest = value(&fs::read(folder.join(blob.path())).unwrap());
    let path = |descriptor: &Value| {
        descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/")
    };
    let expected = json!([{
        "Config": path(&manifest["config"]),
        "Layers": [path(&manifest["layers"][0])],
        "RepoTags": ["localhost/me/web:1"],
    }]);
    assert_eq!(docker, expected);
    assert_eq!(files.len(), 5);
    for (name, contents) in files {
        assert_eq!(fs::read(folder.join(&name)).unwrap(), contents, "{name}");
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let archive = |time| {
        let place = TempDir::new().unwrap();
        let (folder, _) = make(&place, "image", time).unwrap();
        fs::read(folder.with_extension("tar")).unwrap()
    };
    assert_eq!(archive(0), archive(0));
    assert_ne!(archive(0), archive(1));
}

#[test]
fn a_layout_is_replaced_and_nothing_else() {
    let place = TempDir::new().unwrap();
    let (folder, first) = make(&place, "image", 0).unwrap();
    let (_, second) = make(&place, "image", 1).unwrap();
    assert_ne!(first.digest, second.digest);
    assert!(!folder.join(first.path()).exists());
    assert!(folder.join(second.path()).exists());

    let mine = place.path().join("out/mine");
    fs::create_dir(&mine).unwrap();
    make(&place, "mine", 0).unwrap();
    fs::remove_file(mine.join(MARK)).unwrap();
    let error = make(&place, "mine", 0).unwrap_err().to_string();
    assert!(error.contains("mine is no image layout"), "{error}");
    fs::write(place.path().join("out/file"), "mine").unwrap();
    let error = make(&place, "file", 0).unwrap_err().to_string();
    assert!(error.contains("file is no folder"), "{error}");

    let left = fs::read_dir(place.path().join("out")).unwrap();
    let hidden =
        left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}
