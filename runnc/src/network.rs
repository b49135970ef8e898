//! The container's network, handed to the guest.

use std::os::unix::net::UnixStream;

use anyhow::Result;

use crate::container::Record;
use crate::plan::{self, Attachment, Plan, Wish};
use crate::process::Process;

/// Makes what the unikernel needs and sends the plan.
pub(crate) fn join(
    _record: &Record,
    _init: Process,
    wish: &Wish,
    stream: &UnixStream,
) -> Result<()> {
    let plan = Plan {
        attachments: wish.networks.iter().map(|_| Attachment::Gateway).collect(),
        arguments: wish.arguments.clone(),
        warnings: Vec::new(),
    };
    plan::send(stream, &plan, &[])
}

/// Removes what was made for a container in a network namespace that outlives it.
pub(crate) fn leave(_record: &Record) -> Result<()> {
    Ok(())
}
