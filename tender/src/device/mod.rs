//! Devices: what the user attaches to what the unikernel declares.
//!
//! Each kind of device is a module that owns its options, its part of the help, its attach step
//! and its rules of the policy. Here the options are sorted by device and held against the
//! manifest: everything declared must be attached, but for optional devices that no option names, and
//! nothing else can be.

pub mod block;
pub mod net;
pub mod ring;
pub mod tap;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{OwnedFd, RawFd};

use solo5_sys::extension::{Request, Rings};
use solo5_sys::manifest::{Attachment, Device, DeviceKind, Manifest, Name};

use crate::descriptors;

/// The devices' options, by device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    nets: BTreeMap<Name, net::Options>,
    blocks: BTreeMap<Name, block::Options>,
}

/// Why an option of a device is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No such name can be in a manifest.
    #[error("--{option}:{name}: a device's name has 1 to 67 letters and digits")]
    Name {
        /// The option.
        option: String,
        /// The name that was typed.
        name: String,
    },
    /// A value is missing.
    #[error("--{option}:{name} needs a value: --{option}:{name}={form}")]
    ValueMissing {
        /// The option.
        option: &'static str,
        /// The device.
        name: String,
        /// What the value looks like.
        form: &'static str,
    },
    /// A value where none belongs.
    #[error("--{option}:{name} takes no value")]
    ValueUnwanted {
        /// The option.
        option: &'static str,
        /// The device.
        name: String,
    },
    /// A value that does not fit.
    #[error("--{option}:{name}={value}: {reason}")]
    Value {
        /// The option.
        option: &'static str,
        /// The device.
        name: String,
        /// What was typed.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// An option of a device as typed: `--OPTION:NAME[=VALUE]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed<'a> {
    option: &'static str,
    name: &'a str,
    value: Option<&'a OsStr>,
}

impl<'a> Typed<'a> {
    /// The value, which must be there.
    fn value(&self, form: &'static str) -> Result<&'a OsStr, OptionError> {
        let (option, name) = (self.option, self.name.to_owned());
        let given = self.value.filter(|value| !value.is_empty());
        given.ok_or(OptionError::ValueMissing { option, name, form })
    }

    fn no_value(&self) -> Result<(), OptionError> {
        let (option, name) = (self.option, self.name.to_owned());
        if self.value.is_some() { Err(OptionError::ValueUnwanted { option, name }) } else { Ok(()) }
    }

    fn refuse(&self, reason: impl Into<String>) -> OptionError {
        let value = self.value.unwrap_or_default().to_string_lossy().into_owned();
        let (option, name) = (self.option, self.name.to_owned());
        OptionError::Value { option, name, value, reason: reason.into() }
    }
}

impl Options {
    /// Takes the option `--OPTION:NAME[=VALUE]`; `Ok(false)` if no device has such an option.
    ///
    /// # Errors
    /// If a device has, but not like this.
    pub fn accept(
        &mut self,
        option: &str,
        name: &str,
        value: Option<&OsStr>,
    ) -> Result<bool, OptionError> {
        let known = |names: &[&'static str]| names.iter().copied().find(|&known| known == option);
        let parse_name = || {
            let (option, typed) = (option.to_owned(), name.to_owned());
            Name::new(name).ok_or(OptionError::Name { option, name: typed })
        };
        if let Some(option) = known(&net::OPTIONS) {
            let options = self.nets.entry(parse_name()?).or_default();
            options.accept(&Typed { option, name, value })?;
        } else if let Some(option) = known(&block::OPTIONS) {
            let options = self.blocks.entry(parse_name()?).or_default();
            options.accept(&Typed { option, name, value })?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Refuses descriptors that are not open. To be asked before this process opens any: those that
    /// it opens itself are nobody's to attach.
    ///
    /// # Errors
    /// If one is not.
    pub fn check_descriptors(&self) -> Result<(), AttachError> {
        for (name, options) in &self.nets {
            if let Some(number) = options.descriptor() {
                net::check_open(number)
                    .map_err(|error| AttachError::Net { name: name.to_string(), error })?;
            }
        }
        Ok(())
    }

    /// What asks for a gateway process, if anything does.
    pub fn gateway(&self) -> Option<&'static str> {
        self.nets.values().find_map(net::Options::gateway)
    }

    /// The descriptors that options name, which the tender must not close.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.nets.values().filter_map(net::Options::descriptor).collect()
    }
}

/// Why the devices cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// An option for a device that is not declared.
    #[error("the unikernel declares no {kind} device '{name}', which an option names ({declared})")]
    Undeclared {
        /// The kind of device that the option is for.
        kind: DeviceKind,
        /// The device.
        name: String,
        /// What it does declare.
        declared: String,
    },
    /// A declared device without its option.
    #[error(
        "the unikernel declares the {kind} device '{name}': attach it by --{kind}:{name}={form}"
    )]
    Unattached {
        /// Its kind, which is also the option's name.
        kind: DeviceKind,
        /// The device.
        name: String,
        /// What the value looks like.
        form: &'static str,
    },
    /// One descriptor for two devices.
    #[error("@{0} is attached to two devices")]
    SameDescriptor(RawFd),
    /// A network device's failure.
    #[error("--net:{name}: {error}")]
    Net {
        /// The device.
        name: String,
        /// Its reason.
        error: net::AttachError,
    },
    /// A block device's failure.
    #[error("--block:{name}: {error}")]
    Block {
        /// The device.
        name: String,
        /// Its reason.
        error: block::AttachError,
    },
}

/// All devices, attached.
#[derive(Debug)]
pub struct Attached {
    /// The manifest with its attachments, whose numbers are those that the guest will see
    /// ([`crate::descriptors`]).
    pub manifest: Manifest,
    /// The network devices whose frames begin with virtio-net headers, as bits by manifest index.
    pub virtio_net: u64,
    /// The block devices on which a write is on the disk when it returns, in the same way.
    pub synchronous: u64,
    /// What those that are attached refer to, in the manifest's order, and behind them the doorbells of the rings' gateways.
    pub descriptors: Vec<OwnedFd>,
    /// Which network devices are rings.
    pub rings: Rings,
    /// The memory of each.
    pub ring_memory: Vec<OwnedFd>,
    /// The networks behind gateways, which are not running yet.
    pub gateways: Vec<net::Gateway>,
    /// One line about each device, for people.
    pub descriptions: Vec<String>,
}

/// Attaches every declared device, but for optional ones that no option names.
///
/// # Errors
/// If options and manifest differ, before anything is opened, or a device cannot be attached.
pub fn attach(
    options: &Options,
    declared: &Manifest,
    granted: &Request,
) -> Result<Attached, AttachError> {
    check(options, declared, granted)?;
    let mut attached = Attached {
        manifest: *declared,
        virtio_net: 0,
        synchronous: 0,
        descriptors: Vec::new(),
        rings: Rings::default(),
        ring_memory: Vec::new(),
        gateways: Vec::new(),
        descriptions: Vec::new(),
    };
    let mut doorbells = Vec::new();
    for (index, device) in declared.devices() {
        let name = device.name;
        if options.leaves_out(index, device, granted) {
            attached.descriptions.push(format!("{} {name}: not attached", device.kind));
            continue;
        }
        let number = descriptors::number(attached.descriptors.len());
        match device.kind {
            DeviceKind::Net => {
                let options = options.nets.get(&name).cloned().unwrap_or_default();
                let net = net::attach(&name, &options, granted)
                    .map_err(|error| AttachError::Net { name: name.to_string(), error })?;
                attached.virtio_net |= u64::from(net.headers) << index;
                attached.add(index, &name, net.attachment(number), net.description, net.fd);
                attached.gateways.extend(net.gateway);
                if let Some(ring) = net.ring {
                    attached.rings.devices |= 1 << index;
                    attached.ring_memory.push(ring.memory);
                    doorbells.push(ring.gateway_doorbell);
                }
            }
            DeviceKind::Block => {
                let options = options.blocks.get(&name).cloned().unwrap_or_default();
                let access = block_access(granted, index);
                let block = block::attach(&options, access)
                    .map_err(|error| AttachError::Block { name: name.to_string(), error })?;
                attached.synchronous |= u64::from(block.synchronous) << index;
                attached.add(index, &name, block.attachment(number), block.description, block.fd);
            }
        }
    }
    attached.rings.doorbells = first_doorbell(&attached.manifest);
    attached.descriptors.extend(doorbells);
    Ok(attached)
}

/// The numbers of the gateways' doorbells begin behind the devices.
fn first_doorbell(attached: &Manifest) -> u64 {
    descriptors::number(attached.attached().count()).unsigned_abs().into()
}

/// The manifest and the rings as [`attach`] would make them, as far as the policy depends on them, without
/// opening network devices or taking anything over. A block device that no option attaches stands
/// for one of any size unless it is optional, a network device for one that is no ring.
///
/// # Errors
/// If options and manifest differ, or the file of a block device cannot be used.
pub fn preview(
    options: &Options,
    declared: &Manifest,
    granted: &Request,
) -> Result<(Manifest, Rings), AttachError> {
    check_declared(options, declared)?;
    let mut manifest = *declared;
    let mut rings = Rings::default();
    let is_there =
        |(index, device): &(usize, &Device)| !options.leaves_out(*index, device, granted);
    for (position, (index, device)) in declared.devices().filter(is_there).enumerate() {
        let fd = descriptors::number(position);
        let attachment = match device.kind {
            DeviceKind::Net => {
                let options = options.nets.get(&device.name).cloned().unwrap_or_default();
                rings.devices |= u64::from(options.is_ring(granted)) << index;
                Attachment::Net { mac: [0; 6], mtu_bytes: 0, fd }
            }
            DeviceKind::Block => {
                let options = options.blocks.get(&device.name).cloned().unwrap_or_default();
                let read_only = granted.only_reads(index);
                let name = device.name.to_string();
                block::preview(&options, read_only, fd)
                    .map_err(|error| AttachError::Block { name, error })?
            }
        };
        manifest.attach(index, attachment);
    }
    rings.doorbells = first_doorbell(&manifest);
    Ok((manifest, rings))
}

impl Options {
    /// Whether an option attaches this device.
    pub fn attaches(&self, device: &Device) -> bool {
        match device.kind {
            DeviceKind::Net => self.nets.get(&device.name).is_some_and(net::Options::is_attached),
            DeviceKind::Block => {
                self.blocks.get(&device.name).is_some_and(block::Options::is_attached)
            }
        }
    }

    /// Whether the device with this manifest index is optional, and no option names it.
    fn leaves_out(&self, index: usize, device: &Device, granted: &Request) -> bool {
        let is_named = match device.kind {
            DeviceKind::Net => self.nets.contains_key(&device.name),
            DeviceKind::Block => self.blocks.contains_key(&device.name),
        };
        granted.can_miss(index) && !is_named
    }
}

/// How a guest uses a block device. A plain Solo5 guest cannot say that it only reads.
fn block_access(granted: &Request, index: usize) -> block::Access {
    if granted.only_reads(index) {
        block::Access::ReadOnly
    } else if *granted == Request::default() {
        block::Access::Shared
    } else {
        block::Access::Exclusive
    }
}

impl Attached {
    fn add(
        &mut self,
        index: usize,
        name: &Name,
        attachment: Attachment,
        description: String,
        fd: OwnedFd,
    ) {
        self.descriptions.push(format!("{} {name}: {description}", attachment.kind()));
        self.manifest.attach(index, attachment);
        self.descriptors.push(fd);
    }
}

fn check(options: &Options, declared: &Manifest, granted: &Request) -> Result<(), AttachError> {
    check_declared(options, declared)?;
    let mut descriptors = options.descriptors();
    descriptors.sort_unstable();
    if let Some(twice) = descriptors.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(AttachError::SameDescriptor(twice[0]));
    }
    let is_missing = |(index, device): &(usize, &Device)| {
        !options.attaches(device) && !options.leaves_out(*index, device, granted)
    };
    match declared.devices().find(is_missing) {
        None => Ok(()),
        Some((_, device)) => {
            let form = match device.kind {
                DeviceKind::Net => net::FORM,
                DeviceKind::Block => block::FORM,
            };
            Err(AttachError::Unattached { kind: device.kind, name: device.name.to_string(), form })
        }
    }
}

fn check_declared(options: &Options, declared: &Manifest) -> Result<(), AttachError> {
    let nets = options.nets.keys().map(|name| (name, DeviceKind::Net));
    let blocks = options.blocks.keys().map(|name| (name, DeviceKind::Block));
    let unknown =
        |(name, kind): &(&Name, DeviceKind)| declared.find(name.as_str(), *kind).is_none();
    match nets.chain(blocks).find(unknown) {
        None => Ok(()),
        Some((name, kind)) => {
            let (name, declared) = (name.to_string(), describe_declared(declared));
            Err(AttachError::Undeclared { kind, name, declared })
        }
    }
}

fn describe_declared(declared: &Manifest) -> String {
    let devices: Vec<String> = declared
        .devices()
        .map(|(_, device)| format!("{} '{}'", device.kind, device.name))
        .collect();
    if devices.is_empty() {
        "it declares no devices".to_owned()
    } else {
        format!("it declares {}", devices.join(", "))
    }
}

#[cfg(test)]
mod tests;
