//! Commands whose second word says what is meant, such as `CLIENT ID`.

use super::argument::{is, word};
use super::error::shown;
use super::{Command, Context, Error, Run, takes};
use crate::frame::Request;

/// One of them.
#[derive(Clone, Copy)]
pub struct Subcommand {
    /// With its command, such as `client|id`.
    pub(super) name: &'static str,
    /// Its words, both names included; negative if that is the least.
    pub(super) arity: i32,
    /// How it is done.
    pub(super) run: Run,
}

impl Subcommand {
    pub(super) const fn new(name: &'static str, arity: i32, run: Run) -> Self {
        Self { name, arity, run }
    }

    fn last_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, last)| last)
    }

    const fn takes(&self, words: usize) -> bool {
        takes(self.arity, words)
    }
}

/// Whether a request of a command that has subcommands is one of them, or asks for help.
///
/// # Errors
/// If it is none, or has too many or too few words.
pub(super) fn check(command: &Command, request: Request<'_>) -> Result<(), Error> {
    let Some(name) = request.get(1) else { return Ok(()) };
    match command.subcommands.iter().find(|it| is(name, it.last_name())) {
        Some(subcommand) if !subcommand.takes(request.len()) => Err(Error::Arity(subcommand.name)),
        None if !command.subcommands.is_empty() && !is_help(request) => {
            Err(Error::unknown_subcommand(command.name.as_bytes(), name))
        }
        _ => Ok(()),
    }
}

fn is_help(request: Request<'_>) -> bool {
    request.len() == 2 && request.get(1).is_some_and(|name| is(name, "HELP"))
}

/// Carries out the one of `table` that is meant, or shows `help`.
///
/// # Errors
/// Those of the subcommand, or if there is none.
pub(super) fn run(
    context: &mut Context<'_>,
    request: Request<'_>,
    table: &[Subcommand],
    help: &[&str],
) -> Result<(), Error> {
    let name = word(request, 1)?;
    if let Some(subcommand) = table.iter().find(|it| is(name, it.last_name())) {
        if !subcommand.takes(request.len()) {
            return Err(Error::Arity(subcommand.name));
        }
        context.session.client.command.set(subcommand.name);
        return (subcommand.run)(context, request);
    }
    let command = request.get(0).unwrap_or_default();
    if is_help(request) {
        show_help(context, command, help);
        return Ok(());
    }
    Err(Error::unknown_subcommand(command, name))
}

fn show_help(context: &mut Context<'_>, command: &[u8], help: &[&str]) {
    let command = shown(&command.to_ascii_uppercase(), 32);
    context.reply.array(help.len() + 3);
    context.reply.status(&alloc::format!(
        "{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    help.iter().chain(&["HELP", "    This text."]).for_each(|line| context.reply.status(line));
}
