//! Reports what a unikernel is, what it declares and what it would be permitted, without
//! attaching or running anything.

use std::fmt::{self, Write};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use solo5_sys::extension::{Features, Request};
use solo5_sys::manifest::{Attachment, DeviceKind, Manifest};
use solo5_sys::note;

use crate::elf::{self, Image};
use crate::policy::filter::{self, Filter};
use crate::policy::{Policy, Waiting};

/// Why there is no report, or no unikernel to run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not acceptable.
    #[error("'{kernel}' {error}")]
    Kernel {
        /// The path as typed.
        kernel: String,
        /// The reason.
        error: elf::Error,
    },
    /// The path names something that cannot hold a program.
    #[error("'{0}' is not a regular file")]
    NotRegular(String),
    /// The policy has no filter.
    #[error(transparent)]
    Filter(#[from] filter::Error),
}

/// What a unikernel is and would be permitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The unikernel.
    pub image: Image,
    /// The features that this tender grants it.
    pub granted: Request,
    /// Its policy. Descriptors and capacities stand for what will be attached.
    pub policy: Policy,
    /// Length of the filter, in instructions.
    pub filter_instructions: usize,
}

/// Reads a unikernel's file and derives its policy.
///
/// # Errors
/// If the file is no unikernel that fits into `memory_bytes`.
pub fn inspect(kernel: &Path, memory_bytes: u64) -> Result<Report, Error> {
    let (_, image) = read_image(kernel, memory_bytes)?;
    let granted = grant(&image.request);
    let policy =
        Policy::new(&with_placeholders(&image.manifest), &granted, wait_unattached(&granted));
    let filter_instructions = Filter::compile(&policy)?.instructions().len();
    Ok(Report { image, granted, policy, filter_instructions })
}

/// Opens and checks a unikernel.
pub(crate) fn read_image(kernel: &Path, memory_bytes: u64) -> Result<(File, Image), Error> {
    let typed = kernel.to_string_lossy().into_owned();
    let fail = |error: elf::Error| Error::Kernel { kernel: typed.clone(), error };
    // Without O_NONBLOCK, opening a pipe would wait for its other end.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(kernel)
        .map_err(|error| fail(error.into()))?;
    let metadata = file.metadata().map_err(|error| fail(error.into()))?;
    if !metadata.is_file() {
        return Err(Error::NotRegular(typed));
    }
    let image = elf::parse(&file, memory_bytes).map_err(fail)?;
    Ok((file, image))
}

/// What of a request this tender grants: all that it knows.
pub(crate) fn grant(request: &Request) -> Request {
    Request { features: request.features.intersection(Features::ALL), ..*request }
}

fn wait_unattached(granted: &Request) -> Waiting {
    if granted.features.contains(Features::PPOLL) {
        Waiting::Ppoll
    } else {
        Waiting::Epoll { epoll_fd: 0, timer_fd: 0 }
    }
}

/// Attachments for a policy that is only shown: disks of any size, with every tier of transfers.
fn with_placeholders(declared: &Manifest) -> Manifest {
    let mut manifest = *declared;
    for (index, device) in declared.devices() {
        let attachment = match device.kind {
            DeviceKind::Net => Attachment::Net { mac: [0; 6], mtu_bytes: 0, fd: 0 },
            DeviceKind::Block => {
                Attachment::Block { capacity_bytes: 1 << 40, block_bytes: 512, fd: 0 }
            }
        };
        manifest.attach(index, attachment);
    }
    manifest
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = &self.image;
        let target = note::target_name(image.abi.target);
        writeln!(f, "abi       {target} {}", image.abi.version)?;
        writeln!(f, "entry     {:#x}", image.entry)?;
        for segment in &image.segments {
            let range = segment.addresses();
            let (start, end) = (range.start, range.end);
            writeln!(f, "segment   {start:#x}..{end:#x} {}", segment.access)?;
        }
        writeln!(f, "heap      from {:#x}", image.kernel_end)?;
        for (index, device) in image.manifest.devices() {
            let access = if self.is_read_only(index) { " (read-only)" } else { "" };
            writeln!(f, "device    {} {}{access}", device.kind, device.name)?;
        }
        let features: Vec<&str> = self.granted.features.names().collect();
        if !features.is_empty() {
            writeln!(f, "features  {}", features.join(", "))?;
        }
        writeln!(f, "policy    {}", self.policy.summary())?;
        write!(f, "{}", self.policy)?;
        writeln!(f, "filter    {} instructions", self.filter_instructions)
    }
}

impl Report {
    fn is_read_only(&self, index: usize) -> bool {
        self.granted.read_only & (1 << index) != 0
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        let image = &self.image;
        let segments = image.segments.iter().map(|segment| {
            format!(
                r#"{{"address":{},"memory_bytes":{},"file_bytes":{},"access":"{}"}}"#,
                segment.address, segment.memory_bytes, segment.file_bytes, segment.access
            )
        });
        let devices = image.manifest.devices().map(|(index, device)| {
            let (kind, name) = (device.kind, device.name);
            let read_only = self.is_read_only(index);
            format!(r#"{{"kind":"{kind}","name":"{name}","read_only":{read_only}}}"#)
        });
        let calls = self.policy.calls().into_iter().map(|call| text(call.name()));
        let rules = self.policy.rules().iter().map(|rule| {
            let conditions = rule.conditions.iter().map(|condition| text(&condition.to_string()));
            format!(r#"{{"call":"{}","conditions":{}}}"#, rule.call.name(), array(conditions))
        });
        format!(
            r#"{{"target":"{}","abi_version":{},"entry":{},"kernel_end":{},"segments":{},"devices":{},"features":{},"calls":{},"rules":{},"filter_instructions":{}}}"#,
            note::target_name(image.abi.target),
            image.abi.version,
            image.entry,
            image.kernel_end,
            array(segments),
            array(devices),
            array(self.granted.features.names().map(text)),
            array(calls),
            array(rules),
            self.filter_instructions,
        )
    }
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
