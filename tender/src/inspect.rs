//! Reports what a unikernel is, what it declares and what it would be permitted, without
//! attaching or running anything. The filter that it shows is the one that a run with the same
//! options installs, byte for byte.

use std::fmt::{self, Write};
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use solo5_sys::extension::{Features, Request, Rings};
use solo5_sys::manifest::{Attachment, Manifest};
use solo5_sys::note;

use crate::clock;
use crate::device;
use crate::elf::{self, Image};
use crate::options::Options;
use crate::policy::bpf::{ARCHITECTURE_X86_64, CallData, INSTRUCTION_BYTES, Program};
use crate::policy::{Policy, Rule, filter};
use crate::stray::{self, Strays};

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
    /// Variables for a guest that does not read them.
    #[error(
        "'{0}' reads no variables (it does not ask for the feature `environment`), but --env sets some"
    )]
    NoEnvironment(String),
    /// The options do not fit.
    #[error(transparent)]
    Attach(#[from] device::AttachError),
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
    /// The devices as they would be attached; a block device that no option attaches stands for
    /// one of any size, unless it is optional.
    pub manifest: Manifest,
    /// The network devices that would be rings.
    pub rings: Rings,
    /// Which devices options attach, in the manifest's order.
    pub attached: Vec<bool>,
    /// Its policy.
    pub policy: Policy,
    /// The filter.
    pub filter: Program,
    /// Byte sequences in its code, outside of its stub, that would make a system call.
    pub strays: Strays,
}

/// Reads a unikernel's file and derives its policy.
///
/// # Errors
/// If the file is no unikernel that fits into memory, or options do not fit its devices.
pub fn inspect(options: &Options) -> Result<Report, Error> {
    let (file, image) = read_image(&options.kernel, options.memory_bytes)?;
    let granted = grant(&image.request, options)?;
    let (manifest, rings) = device::preview(&options.devices, &image.manifest, &granted)?;
    let policy = Policy::new(&manifest, &granted, &rings, options.memory_bytes);
    let filter = filter::compile(&policy, options.otherwise())?;
    let attached = manifest.devices().map(|(_, device)| options.devices.attaches(device)).collect();
    let strays = stray::find(&file, &image, &granted).map_err(|error| Error::Kernel {
        kernel: options.kernel.to_string_lossy().into_owned(),
        error: error.into(),
    })?;
    Ok(Report { image, granted, manifest, rings, attached, policy, filter, strays })
}

/// Opens and checks a unikernel.
pub fn read_image(kernel: &Path, memory_bytes: u64) -> Result<(File, Image), Error> {
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

/// What of a request this tender grants: all that it knows and this machine can. A guest that cannot
/// wait by `ppoll` has no use for a ring, nor for what asks it to end, which takes a supervisor besides.
///
/// # Errors
/// If there are variables that the guest does not ask for.
pub(crate) fn grant(request: &Request, options: &Options) -> Result<Request, Error> {
    let mut features = request.features.intersection(Features::ALL);
    if !features.contains(Features::PPOLL) {
        features = features.without(Features::RING | Features::SHUTDOWN);
    }
    if !options.supervised {
        features = features.without(Features::SHUTDOWN);
    }
    if !features.contains(Features::ENVIRONMENT) && !options.environment.is_empty() {
        return Err(Error::NoEnvironment(options.kernel.to_string_lossy().into_owned()));
    }
    if features.contains(Features::TSC) && !clock::is_counter_usable() {
        features = features.without(Features::TSC);
    }
    Ok(Request { features, ..*request })
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
        match self.granted.features.contains(Features::PLACEMENT) {
            true => writeln!(f, "heap      at a random address, and so the stack")?,
            false => writeln!(f, "heap      from {:#x}", image.kernel_end)?,
        }
        for ((index, device), attached) in self.manifest.devices().zip(&self.attached) {
            let mut text = format!("{} {}", device.kind, device.name);
            if let Some(Attachment::Block { capacity_bytes, block_bytes, .. }) = device.attachment {
                let blocks = capacity_bytes / u64::from(block_bytes);
                let _ = match attached {
                    true => write!(text, ", {blocks} blocks of {block_bytes} bytes"),
                    false => write!(
                        text,
                        ", not attached: shown with {blocks} blocks of {block_bytes} bytes"
                    ),
                };
            }
            if device.attachment.is_none() {
                text.push_str(", not attached: without it");
            }
            let optional = if self.granted.can_miss(index) { " (optional)" } else { "" };
            let access = if self.granted.only_reads(index) { " (read-only)" } else { "" };
            let form = if self.rings.of(index).is_some() { " (a ring)" } else { "" };
            writeln!(f, "device    {text}{access}{optional}{form}")?;
        }
        let features: Vec<&str> = self.granted.features.names().collect();
        if !features.is_empty() {
            writeln!(f, "features  {}", features.join(", "))?;
        }
        writeln!(f, "policy    {}", self.policy.summary())?;
        write!(f, "{}", self.policy)?;
        let instructions = self.filter.instructions().len();
        writeln!(f, "filter    {instructions} instructions, of which a permitted call takes")?;
        for (call, steps) in self.steps() {
            writeln!(f, "  {call:<16}{} to {}", steps.start(), steps.end())?;
        }
        write!(f, "{}", self.filter)?;
        let Strays { listed, count } = &self.strays;
        match (self.granted.features.contains(Features::STUB), count) {
            (false, _) => writeln!(f, "stub      none: every system call instruction counts"),
            (true, 0) => writeln!(f, "stub      no other system call instruction in the code"),
            (true, count) => {
                writeln!(
                    f,
                    "stub      {count} byte sequences elsewhere, which the filter refuses"
                )?;
                listed.iter().try_for_each(|stray| writeln!(f, "  {stray}"))?;
                match count - listed.len() {
                    0 => Ok(()),
                    more => writeln!(f, "  and {more} more"),
                }
            }
        }
    }
}

impl Report {
    /// For each call, the fewest and the most instructions that the filter takes to permit it.
    fn steps(&self) -> Vec<(&'static str, RangeInclusive<usize>)> {
        let steps = |rule: &Rule| {
            let mut call = CallData {
                architecture: ARCHITECTURE_X86_64,
                number: rule.call.number() as u32,
                address: self.policy.callers().last,
                arguments: [0; 6],
            };
            for condition in &rule.conditions {
                call.arguments[usize::from(condition.argument)] = condition.value;
            }
            self.filter.run(&call).1
        };
        let of_call = |call| {
            let rules = self.policy.rules().iter().filter(move |rule| rule.call == call);
            let (least, most) = rules
                .map(steps)
                .fold((usize::MAX, 0), |(least, most), steps| (least.min(steps), most.max(steps)));
            (call.name(), least..=most)
        };
        self.policy.calls().into_iter().map(of_call).collect()
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
        let devices = self.manifest.devices().zip(&self.attached).map(|((index, device), attached)| {
            let (kind, name) = (device.kind, device.name);
            let (read_only, optional) = (self.granted.only_reads(index), self.granted.can_miss(index));
            let size = match device.attachment {
                Some(Attachment::Block { capacity_bytes, block_bytes, .. }) => {
                    format!(r#","capacity_bytes":{capacity_bytes},"block_bytes":{block_bytes}"#)
                }
                Some(Attachment::Net { .. }) => {
                    format!(r#","ring":{}"#, self.rings.of(index).is_some())
                }
                None => String::new(),
            };
            format!(
                r#"{{"kind":"{kind}","name":"{name}","read_only":{read_only},"optional":{optional},"attached":{attached}{size}}}"#
            )
        });
        let calls = self.policy.calls().into_iter().map(|call| text(call.name()));
        let rules = self.policy.rules().iter().map(|rule| {
            let conditions = rule.conditions.iter().map(|condition| text(&condition.to_string()));
            format!(r#"{{"call":"{}","conditions":{}}}"#, rule.call.name(), array(conditions))
        });
        let steps = self.steps().into_iter().map(|(call, steps)| {
            format!(r#"{{"call":"{call}","least":{},"most":{}}}"#, steps.start(), steps.end())
        });
        let disassembly = self.filter.to_string();
        let filter = self.filter.to_bytes();
        let filter =
            filter.chunks(INSTRUCTION_BYTES).zip(disassembly.lines()).map(|(bytes, line)| {
                let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let words = line.trim_start().split_once("  ").map_or(line, |(_, words)| words);
                format!(r#"{{"bytes":"{bytes}","text":{}}}"#, text(words))
            });
        let strays = self.strays.listed.iter().map(|stray| {
            format!(r#"{{"address":{},"instruction":"{}"}}"#, stray.address, stray.instruction)
        });
        let callers = self.policy.callers();
        format!(
            r#"{{"target":"{}","abi_version":{},"entry":{},"kernel_end":{},"segments":{},"devices":{},"features":{},"calls":{},"callers":{{"first":{},"last":{}}},"rules":{},"filter_instructions":{},"filter_steps":{},"filter":{},"strays":{},"stray_count":{}}}"#,
            note::target_name(image.abi.target),
            image.abi.version,
            image.entry,
            image.kernel_end,
            array(segments),
            array(devices),
            array(self.granted.features.names().map(text)),
            array(calls),
            callers.first,
            callers.last,
            array(rules),
            self.filter.instructions().len(),
            array(steps),
            array(filter),
            array(strays),
            self.strays.count,
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
