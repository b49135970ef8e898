//! `CONFIG`: the settings at run time.

use alloc::format;
use alloc::vec::Vec;

use super::argument::{pattern, word};
use super::error::shown;
use super::subcommand::{self, Subcommand};
use super::{Context, Error};
use crate::frame::Request;
use crate::glob;
use crate::settings::{SETTINGS, Setting};

/// Carries out `CONFIG`.
///
/// # Errors
/// If there is no such subcommand, or it fails.
pub(super) fn config(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    subcommand::run(context, request, SUBCOMMANDS, HELP)
}

/// What it can be asked.
pub(super) const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand::new("config|get", -3, get),
    Subcommand::new("config|set", -4, set),
    Subcommand::new("config|resetstat", 2, reset_counters),
    Subcommand::new("config|rewrite", 2, rewrite),
];

const HELP: &[&str] = &[
    "GET <pattern> [<pattern> ...]",
    "    The settings whose names match.",
    "SET <name> <value> [<name> <value> ...]",
    "    Changes settings until the program ends: all of them or none.",
    "RESETSTAT",
    "    Sets the counters of INFO to zero.",
];

fn get(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let patterns = (2..request.len()).map(|at| Ok(pattern(request, at)?.to_ascii_lowercase()));
    let patterns = patterns.collect::<Result<Vec<Vec<u8>>, Error>>()?;
    let is_meant = |setting: &&Setting| {
        patterns.iter().any(|pattern| glob::matches(pattern, setting.name.as_bytes()))
    };
    context.reply.map(SETTINGS.iter().filter(is_meant).count());
    for setting in SETTINGS.iter().filter(is_meant) {
        context.reply.bulk(setting.name.as_bytes());
        context.reply.bulk(&setting.value(&context.store.config));
    }
    Ok(())
}

fn set(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if !request.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let mut settings: Vec<&Setting> = Vec::new();
    for at in (2..request.len()).step_by(2) {
        let name = word(request, at)?;
        let setting = Setting::find(name).ok_or_else(|| unknown(name))?;
        if settings.iter().any(|other| other.name == setting.name) {
            return Err(failed(setting, "duplicate parameter"));
        }
        settings.push(setting);
    }
    let mut config = context.store.config.clone();
    for (setting, at) in settings.iter().zip((3..).step_by(2)) {
        setting.set(&mut config, word(request, at)?).map_err(|reason| failed(setting, &reason))?;
    }
    context.store.config = config;
    context.reply.ok();
    Ok(())
}

fn unknown(name: &[u8]) -> Error {
    let name = shown(name, 128);
    Error::Text(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"))
}

fn failed(setting: &Setting, reason: &str) -> Error {
    let name = setting.name;
    Error::Text(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

fn reset_counters(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let store = &mut *context.store;
    store.stats.reset();
    store.keys.reset_counters();
    context.reply.ok();
    Ok(())
}

fn rewrite(_context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    Err(Error::Plain("The server is running without a config file"))
}
