//! `cargo xtask run`: builds an app, makes its images, starts it under the tender, and stays until
//! it has ended. It gives the guest nothing that the tender's command line does not say.

mod block;
mod options;
mod publish;
mod ready;
mod supervise;

use std::process::{Command, ExitCode};

use anyhow::Result;
use lexopt::Parser;

pub(crate) use publish::Publish;
pub(crate) use ready::{Ready, ask, talk};

use crate::app::{self, App};
use crate::packages::Workspace;
use crate::{explain, inspect};
use options::Options;
use supervise::Announcement;

const USAGE: &str = "\
Usage: cargo xtask run APP [OPTION...] [-- ARGUMENT...]

Builds an app and runs it as a confined process, without root and without a TAP device.
Arguments behind -- are the guest's, such as --log=debug.

  -p, --publish [ADDRESS:]PORT:GUEST-PORT  a port of the host that leads to the guest, instead of
                        those that the app publishes; on 127.0.0.1 if there is no address
  --site FOLDER         the folder that the app serves
  --mem MB              the guest's memory
  --tap INTERFACE       a TAP interface as the network, instead of the user-mode gateway
  --block NAME=FILE     the file of a block device, instead of the one that is kept for it
  --block-sync NAME     its writes return when they are on the disk
  --no-block NAME       leaves a block device away that the app can do without
  --debug               the app's debug build
  --verbose             shows the tender's command line, and what it attaches and permits

Ctrl-C stops the guest; one that ends in order first does what it has to, and a second Ctrl-C is for
those that have no time for that. The exit status is the guest's, 128 and the signal's number if a signal
ended it, and 130 after Ctrl-C.";

/// The verb.
pub(crate) fn main(words: &mut Parser) -> Result<ExitCode> {
    let Some(options) = Options::parse(words)? else {
        return Ok(explain(USAGE));
    };
    let ours = Workspace::ours()?;
    let app = App::find(&options.app, &ours, options.profile)?;
    let publish = options.publish(&app)?;
    publish.iter().try_for_each(Publish::check_is_free)?;

    let tender = app::build_tender(&ours)?;
    app.build()?;
    let unikernel = inspect::inspect(&tender, &app.kernel())?;
    let mut command = Command::new(&tender);
    // Whatever becomes of this program, the guest does not outlive it.
    command.arg("--die-with-parent");
    let images = ours.target_dir.join("nabla");
    let words = options.tender_words(&app, &unikernel, &publish, &images)?;
    // Which calls there are depends on which of its optional devices it has.
    let calls = inspect::inspect_run(&tender, &words)?.calls;
    command.args(words);
    if options.verbose {
        eprintln!("{}", shown(&command));
    }
    let service = options.service(&app, &publish);
    let announcement = Announcement {
        endpoint: service.or_else(|| publish.first().map(Publish::reachable)),
        // Another port may speak another protocol.
        ready: app.settings.ready.clone().filter(|_| service.is_some()),
        calls,
    };
    supervise::run(command, &app.name, announcement)
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let quoted = |word: &std::ffi::OsStr| {
        let text = word.to_string_lossy();
        let plain = |letter: char| letter.is_alphanumeric() || "-_./:=@%+,".contains(letter);
        match !text.is_empty() && text.chars().all(plain) {
            true => text.into_owned(),
            false => format!("'{}'", text.replace('\'', r"'\''")),
        }
    };
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        let mut command = Command::new("/t/tender");
        command.args(["--block:site=/a b/it's.img", "", "--", "k"]);
        assert_eq!(shown(&command), r"/t/tender '--block:site=/a b/it'\''s.img' '' -- k");
    }
}
