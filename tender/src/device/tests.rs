//! Options against manifests.

use std::ffi::OsStr;

use solo5_sys::manifest::Device;

use super::*;

fn declared(devices: &[(&str, DeviceKind)]) -> Manifest {
    let mut manifest = Manifest::EMPTY;
    for &(name, kind) in devices {
        let name = Name::new(name).unwrap();
        manifest.add(Device { name, kind, attachment: None }).unwrap();
    }
    manifest
}

fn options(typed: &[(&str, &str, &str)]) -> Options {
    let mut options = Options::default();
    for (option, name, value) in typed {
        assert_eq!(options.accept(option, name, Some(OsStr::new(value))), Ok(true));
    }
    options
}

fn refusal(options: &Options, manifest: &Manifest) -> String {
    attach(options, manifest, &Request::default()).unwrap_err().to_string()
}

#[test]
fn every_declared_device_must_be_attached() {
    let manifest = declared(&[("service", DeviceKind::Net), ("data", DeviceKind::Block)]);
    assert_eq!(
        refusal(&options(&[("block", "data", "/dev/null")]), &manifest),
        "the unikernel declares the net device 'service': attach it by --net:service=IFACE|@FD|user|ring:IFACE"
    );
    assert_eq!(
        refusal(&options(&[("net", "service", "nosuchtap0")]), &manifest),
        "the unikernel declares the block device 'data': attach it by --block:data=PATH"
    );
    let mac_only = options(&[("net-mac", "service", "02:00:00:00:00:01"), ("block", "data", "/x")]);
    assert!(refusal(&mac_only, &manifest).contains("attach it by --net:service="));
}

#[test]
fn optional_devices_may_be_missing_if_no_option_names_them() {
    let block = DeviceKind::Block;
    let manifest = declared(&[("a", block), ("n", DeviceKind::Net), ("b", block), ("c", block)]);
    let request = Request { optional: 1 << 1 | 1 << 3, ..Request::default() };
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(4096).unwrap();
    let path = image.path().to_str().unwrap();
    let preview = |typed: &[_]| preview(&options(typed), &manifest, &request).unwrap();
    let numbers = |manifest: &Manifest| -> Vec<_> {
        manifest.devices().map(|(_, device)| device.attachment.map(|a| a.fd())).collect()
    };

    let (shown, rings) = preview(&[]);
    assert_eq!(numbers(&shown), [None, Some(3), None, Some(4)]);
    assert_eq!(rings.doorbells, 5);
    let (shown, rings) = preview(&[("block", "b", path)]);
    assert_eq!(numbers(&shown), [None, Some(3), Some(4), Some(5)]);
    assert_eq!(rings.doorbells, 6);

    let manifest = declared(&[("a", block), ("b", block), ("c", block), ("d", block)]);
    let request = Request { optional: 0b11110, ..Request::default() };
    let mut options = Options::default();
    options.accept("block", "c", Some(OsStr::new(path))).unwrap();
    options.accept("block-sync", "c", None).unwrap();
    let attached = attach(&options, &manifest, &request).unwrap();
    assert_eq!(numbers(&attached.manifest), [None, None, Some(3), None]);
    assert_eq!(attached.descriptors.len(), 1);
    assert_eq!(attached.synchronous, 1 << 3);
    assert_eq!(attached.descriptions[0], "block a: not attached");

    // Half of an attachment is a mistake, and so is a device that is there and cannot be used.
    options.accept("block-sector-size", "a", Some(OsStr::new("512"))).unwrap();
    let error = attach(&options, &manifest, &request).unwrap_err().to_string();
    assert!(error.ends_with("attach it by --block:a=PATH"), "{error}");
    options.accept("block", "a", Some(OsStr::new("/nowhere"))).unwrap();
    let error = attach(&options, &manifest, &request).unwrap_err().to_string();
    assert!(error.starts_with("--block:a: cannot open '/nowhere'"), "{error}");
}

#[test]
fn undeclared_devices_are_refused_with_what_there_is() {
    let manifest = declared(&[("service", DeviceKind::Net), ("data", DeviceKind::Block)]);
    assert_eq!(
        refusal(&options(&[("block", "service", "/dev/null")]), &manifest),
        "the unikernel declares no block device 'service', which an option names \
         (it declares net 'service', block 'data')"
    );
    assert!(
        refusal(&options(&[("net", "x", "tap0")]), &declared(&[]))
            .ends_with("(it declares no devices)")
    );
}

#[test]
fn one_descriptor_serves_one_device() {
    let manifest = declared(&[("a", DeviceKind::Net), ("b", DeviceKind::Net)]);
    let options = options(&[("net", "a", "@77"), ("net", "b", "@77")]);
    assert_eq!(refusal(&options, &manifest), "@77 is attached to two devices");
}

#[test]
fn failures_name_the_option() {
    let manifest = declared(&[("a", DeviceKind::Net)]);
    let missing = refusal(&options(&[("net", "a", "nosuchtap0")]), &manifest);
    assert!(
        missing.starts_with("--net:a: there is no network interface 'nosuchtap0'"),
        "{missing}"
    );
    let closed = refusal(&options(&[("net", "a", "@987654")]), &manifest);
    assert_eq!(closed, "--net:a: @987654 is not an open descriptor");
    let published = options(&[("net", "a", "tap0"), ("publish", "a", "8080:80")]);
    assert_eq!(
        refusal(&published, &manifest),
        "--net:a: --publish works only with --net:NAME=user"
    );
}

#[test]
fn other_options_are_not_taken() {
    let mut options = Options::default();
    assert_eq!(options.accept("disk", "a", None), Ok(false));
    assert_eq!(options, Options::default());
}
