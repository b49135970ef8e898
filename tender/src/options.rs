//! The command line: `tender [OPTIONS] [--] KERNEL [ARGS...]`, as `solo5-spt` takes it.
//!
//! Options have the form `--option[:DEVICE][=VALUE]` and come before the unikernel's path; what
//! follows the path belongs to the guest and is never looked at. Of an option that is given twice
//! the last counts. Nothing is opened here.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use solo5_sys::layout::{COMMAND_LINE_MAX_BYTES, DEFAULT_MEMORY_BYTES};

use crate::device;
use crate::environment::{self, Environment};
use crate::memory::TASK_END;
use crate::supervise::Jailing;

/// The line that `--version` prints.
pub const VERSION: &str = concat!("tender ", env!("CARGO_PKG_VERSION"), " (Solo5 spt ABI 2)");

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run a unikernel.
    Run(Box<Options>),
    /// Report what a unikernel is and would be permitted.
    Inspect {
        /// How it would be run; not all of its devices need be attached.
        options: Box<Options>,
        /// The form of the report.
        form: ReportForm,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportForm {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How to run a unikernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// End of guest memory, in bytes: a whole number of MiB.
    pub memory_bytes: u64,
    /// Whether the heap and the stack can be executed.
    pub execute_heap: bool,
    /// Whether to end when the process ends that started the tender.
    pub die_with_parent: bool,
    /// Whether to stay as the guest's supervisor, instead of becoming the guest.
    pub supervised: bool,
    /// Whether the supervisor closes itself to others of its user (`PR_SET_DUMPABLE`), once what it
    /// has started runs.
    pub hidden: bool,
    /// Whether to put the processes into a jail; if nothing is said, where there is a gateway and the host
    /// permits it.
    pub jail: Option<Jailing>,
    /// Whether to say what is attached and permitted.
    pub verbose: bool,
    /// What is attached.
    pub devices: device::Options,
    /// The guest's variables, for a guest that asks for [`Features::ENVIRONMENT`] only.
    ///
    /// [`Features::ENVIRONMENT`]: solo5_sys::extension::Features::ENVIRONMENT
    pub environment: Environment,
    /// The unikernel's file.
    pub kernel: PathBuf,
    /// The guest's command line: its arguments joined by blanks, without a NUL.
    pub command_line: Vec<u8>,
}

impl Options {
    /// The descriptors that options name.
    pub fn descriptors(&self) -> Vec<RawFd> {
        self.devices.descriptors()
    }
}

/// Why a command line is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such option.
    #[error("unknown option '{0}': see `tender --help`; the guest's own options follow its path")]
    Unknown(String),
    /// An option without its value.
    #[error("{0} needs a value: {0}={1}")]
    ValueMissing(&'static str, &'static str),
    /// A value where none belongs.
    #[error("{0} takes no value")]
    ValueUnwanted(&'static str),
    /// Two that exclude each other.
    #[error("{0} and {1} exclude each other")]
    Excluded(&'static str, &'static str),
    /// A size of memory that is none.
    #[error("--mem={0}: memory is a whole number of megabytes, from 1 (most guests need 2 or more) to {max}", max = TASK_END >> 20)]
    Memory(String),
    /// A variable that is none.
    #[error("--env={typed}: {error}")]
    Environment {
        /// What was typed.
        typed: String,
        /// What is wrong with it.
        error: environment::Error,
    },
    /// A form of report that is none.
    #[error("--inspect={0}: only `json` is known, or no value for a report to read")]
    ReportForm(String),
    /// No unikernel.
    #[error("which unikernel? `tender [OPTIONS] KERNEL [ARGS...]`, see `tender --help`")]
    KernelMissing,
    /// Arguments that don't fit.
    #[error("the guest's arguments take {0} bytes, at most {COMMAND_LINE_MAX_BYTES} are possible")]
    ArgumentsTooLong(usize),
    /// A device's option.
    #[error(transparent)]
    Device(#[from] device::OptionError),
}

/// The text that `--help` prints.
pub fn help() -> String {
    format!(
        "\
Runs a Solo5 spt unikernel as a process that can make a handful of system calls and no others.

Usage: tender [OPTIONS] [--] KERNEL [ARGS...]

KERNEL is the unikernel's file. Everything after it is passed to the guest. Every device that
the unikernel declares must be attached; `tender --inspect KERNEL` lists them.

An option and its value are one word, with a `=` between them. NAME is a device as the unikernel
calls it. If an option is given twice the last one counts, but for --publish and --env, where all
do.

Options:
  --mem=MB                        memory of the guest in megabytes (default {memory}); the host gives
                                  it page by page, when the guest first uses it
  --env=VARIABLE=VALUE            a variable for the guest, which gets no others; for guests that
                                  read variables (the feature `environment` in --inspect)
{net}{block}  --x-exec-heap                   make heap and stack executable (for guests that generate code)
  --jail                          put the guest into namespaces of its own, with an empty root and
                                  an unprivileged user; gateways, too. By default for guests with a
                                  gateway, and a line says if the host does not permit it
  --no-jail                       don't
  --no-supervisor                 become the guest, as solo5-spt does, instead of staying to watch
                                  over it: one process, and no report when the guest dies
  --die-with-parent               end when the process ends that started this one
  --verbose                       say what is attached and which system calls are permitted
  --inspect[=json]                don't run: report devices, segments, system call policy and its
                                  filter; with the other options, exactly as they would be in force
  --help                          print this and exit
  --version                       print the version and exit

The guest's console is standard output; it has no input.

SIGINT, SIGTERM and SIGHUP end the guest; one that ends in order (the feature `shutdown`) is asked
to by the first of them, and ended by the next. SIGQUIT ends it at once.

The tender's exit status is the guest's: 0 to 254, or 255 if it aborted. A guest that violates
its policy is killed by SIGSYS (159 in a shell), one that violates its memory by SIGSEGV (139);
standard error then says what it did, where, and what was in its registers. If the guest cannot
be started, the status is 1 and one line on standard error says why.

Examples:
  tender hello.spt Hello
  truncate -s 64M disk.img
  sudo ip tuntap add dev tap0 mode tap user $USER && sudo ip link set dev tap0 up
  tender --net:service=tap0 --block:data=disk.img --mem=64 server.spt --port=80
  tender --net:service=user --publish:service=8080:80 server.spt
",
        memory = DEFAULT_MEMORY_BYTES >> 20,
        net = device::net::USAGE,
        block = device::block::USAGE,
    )
}

/// Parses a command line without the program's own name. `--help` and `--version` count among
/// whatever other options, right or wrong.
///
/// # Errors
/// The first [`Error`], in the order of the arguments.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut arguments = arguments.into_iter();
    let mut typed = Vec::new();
    let kernel = loop {
        match arguments.next() {
            Some(argument) if argument == "--" => break arguments.next(),
            Some(argument) if !argument.as_bytes().starts_with(b"-") => break Some(argument),
            Some(argument) if argument == "--help" => return Ok(Command::Help),
            Some(argument) if argument == "--version" => return Ok(Command::Version),
            Some(option) => typed.push(option),
            None => break None,
        }
    };
    let mut parser = Parser::default();
    typed.iter().try_for_each(|option| parser.accept(option))?;
    let kernel = kernel.filter(|path| !path.is_empty()).ok_or(Error::KernelMissing)?;
    parser.finish(kernel.into(), arguments)
}

#[derive(Default)]
struct Parser {
    memory_bytes: Option<u64>,
    execute_heap: Option<()>,
    die_with_parent: Option<()>,
    no_supervisor: Option<()>,
    jail: Option<()>,
    no_jail: Option<()>,
    verbose: Option<()>,
    inspect: Option<ReportForm>,
    devices: device::Options,
    environment: Environment,
}

impl Parser {
    fn accept(&mut self, argument: &OsStr) -> Result<(), Error> {
        let (key, value) = split(argument);
        match key {
            "--mem" => {
                let value = value.ok_or(Error::ValueMissing("--mem", "MB"))?;
                self.memory_bytes = Some(parse_memory(value)?);
                Ok(())
            }
            "--env" => {
                let value = value.ok_or(Error::ValueMissing("--env", "VARIABLE=VALUE"))?;
                self.environment.set(value.as_bytes()).map_err(|error| Error::Environment {
                    typed: value.to_string_lossy().into_owned(),
                    error,
                })
            }
            "--x-exec-heap" => flag(&mut self.execute_heap, "--x-exec-heap", value),
            "--die-with-parent" => flag(&mut self.die_with_parent, "--die-with-parent", value),
            "--no-supervisor" => flag(&mut self.no_supervisor, "--no-supervisor", value),
            "--jail" => flag(&mut self.jail, "--jail", value),
            "--no-jail" => flag(&mut self.no_jail, "--no-jail", value),
            "--verbose" => flag(&mut self.verbose, "--verbose", value),
            "--inspect" => {
                self.inspect = Some(parse_form(value)?);
                Ok(())
            }
            "--help" => Err(Error::ValueUnwanted("--help")),
            "--version" => Err(Error::ValueUnwanted("--version")),
            _ => {
                let unknown = || Error::Unknown(argument.to_string_lossy().into_owned());
                let device_option = key.strip_prefix("--").and_then(|key| key.split_once(':'));
                let (option, name) = device_option.ok_or_else(unknown)?;
                let known = self.devices.accept(option, name, value)?;
                if known { Ok(()) } else { Err(unknown()) }
            }
        }
    }

    fn finish(
        mut self,
        kernel: PathBuf,
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Command, Error> {
        let arguments: Vec<OsString> = arguments.collect();
        if self.inspect.is_some() {
            // The guest does not run, so what stands here may well be meant for the tender.
            for argument in &arguments {
                match self.accept(argument) {
                    Ok(()) | Err(Error::Unknown(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let form = self.inspect;
        let options = Box::new(self.options(kernel, arguments)?);
        Ok(match form {
            Some(form) => Command::Inspect { options, form },
            None => Command::Run(options),
        })
    }

    fn options(self, kernel: PathBuf, arguments: Vec<OsString>) -> Result<Options, Error> {
        let supervised = self.no_supervisor.is_none();
        let jail = match (self.jail, self.no_jail) {
            (Some(()), Some(())) => return Err(Error::Excluded("--jail", "--no-jail")),
            (Some(()), None) if !supervised => {
                return Err(Error::Excluded("--no-supervisor", "--jail"));
            }
            (Some(()), None) => Some(Jailing::Always),
            (None, Some(())) => Some(Jailing::Never),
            (None, None) => None,
        };
        if let Some(gateway) = self.devices.gateway().filter(|_| !supervised) {
            return Err(Error::Excluded("--no-supervisor", gateway));
        }
        Ok(Options {
            memory_bytes: self.memory_bytes.unwrap_or(DEFAULT_MEMORY_BYTES),
            execute_heap: self.execute_heap.is_some(),
            die_with_parent: self.die_with_parent.is_some(),
            supervised,
            hidden: false,
            jail,
            verbose: self.verbose.is_some(),
            devices: self.devices,
            environment: self.environment,
            kernel,
            command_line: join(arguments)?,
        })
    }
}

/// Splits `KEY=VALUE`. A key that is not UTF-8 is no option; its value may be anything.
fn split(argument: &OsStr) -> (&str, Option<&OsStr>) {
    let bytes = argument.as_bytes();
    let end = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    let key = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
    (key, bytes.get(end + 1..).map(OsStr::from_bytes))
}

fn flag(slot: &mut Option<()>, option: &'static str, value: Option<&OsStr>) -> Result<(), Error> {
    if value.is_some() {
        return Err(Error::ValueUnwanted(option));
    }
    *slot = Some(());
    Ok(())
}

/// Reads a size in megabytes: `64`, `+64`, `64M`. `solo5-spt` ignores whatever follows the number and
/// takes `64G` for 64 MB; a unit that means something else is refused here.
fn parse_memory(value: &OsStr) -> Result<u64, Error> {
    let text = value.to_str().unwrap_or_default().trim_ascii();
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let number = unsigned.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let is_megabytes = ["", "M", "MB", "MiB"].contains(&&unsigned[number.len()..]);
    Some(number)
        .filter(|digits| is_megabytes && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u64>().ok()?.checked_mul(1 << 20))
        .filter(|bytes| (1..=TASK_END).contains(bytes))
        .ok_or_else(|| Error::Memory(value.to_string_lossy().into_owned()))
}

fn parse_form(value: Option<&OsStr>) -> Result<ReportForm, Error> {
    match value {
        None => Ok(ReportForm::Text),
        Some(value) if value == "json" => Ok(ReportForm::Json),
        Some(value) => Err(Error::ReportForm(value.to_string_lossy().into_owned())),
    }
}

fn join(arguments: Vec<OsString>) -> Result<Vec<u8>, Error> {
    let arguments: Vec<Vec<u8>> = arguments.into_iter().map(OsString::into_vec).collect();
    let line = arguments.join(&b' ');
    let fits = line.len() <= COMMAND_LINE_MAX_BYTES;
    if fits { Ok(line) } else { Err(Error::ArgumentsTooLong(line.len())) }
}

#[cfg(test)]
mod tests;
