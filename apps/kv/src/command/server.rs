//! The server itself: how it is, what took long, what it keeps, and its end.
//!
//! Settings, `INFO` and `COMMAND` have files of their own.

use alloc::format;

use super::argument::{integer, is, word};
use super::error::shown;
use super::info::last_save;
use super::subcommand::{self, Subcommand};
use super::{Command, Context, Error, Flags, Group, Keys, configuration, info, introspect};
use crate::config::{Fsync, VERSION};
use crate::db::DATABASES;
use crate::db::record::Record;
use crate::frame::Request;
use crate::store::{Shutdown, Store, Writable};

/// Entries that `SLOWLOG GET` shows unless told otherwise.
const SLOWLOG_SHOWN: usize = 10;

fn time(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let now = context.store.unix_now;
    context.reply.array(2);
    context.reply.bulk(format!("{}", now.as_secs()).as_bytes());
    context.reply.bulk(format!("{}", now.subsec_micros()).as_bytes());
    Ok(())
}

fn role(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.array(3);
    context.reply.bulk(b"master");
    context.reply.integer(0);
    context.reply.array(0);
    Ok(())
}

fn lolwut(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.verbatim(&format!("nabla-kv {VERSION}\n"));
    Ok(())
}

fn last_save_time(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let unix_s = last_save(context.store);
    context.reply.integer(i64::try_from(unix_s).unwrap_or(i64::MAX));
    Ok(())
}

/// Has the log written anew, which is what saving comes to here.
fn ask_for_compaction(store: &mut Store, while_busy: &'static str) -> Result<(), Error> {
    if store.persistence.writable == Writable::Volatile {
        return Err(Error::Plain("there is no device: the data is in memory only"));
    }
    if store.persistence.is_compacting {
        return Err(Error::Plain(while_busy));
    }
    store.persistence.is_compaction_asked = true;
    Ok(())
}

fn save(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    ask_for_compaction(context.store, "Background save already in progress")?;
    context.store.persistence.is_commit_asked = true;
    // Its reply tells of a commit, and must not be sent without one.
    context.session.has_written = true;
    context.reply.ok();
    Ok(())
}

fn save_in_background(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    if request.len() > 2 || request.get(1).is_some_and(|option| !is(option, "SCHEDULE")) {
        return Err(Error::Syntax);
    }
    ask_for_compaction(context.store, "Background save already in progress")?;
    context.reply.status("Background saving started");
    Ok(())
}

fn rewrite_log(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let busy = "Background append only file rewriting already in progress";
    ask_for_compaction(context.store, busy)?;
    context.reply.status("Background append only file rewriting started");
    Ok(())
}

fn check_timeout(request: Request<'_>, at: usize) -> Result<(), Error> {
    let timeout = integer(request, at)
        .map_err(|_| Error::Plain("timeout is not an integer or out of range"))?;
    if timeout < 0 { Err(Error::Plain("timeout is negative")) } else { Ok(()) }
}

/// There are no replicas to wait for, and there will be none.
fn wait(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    integer(request, 1)?;
    check_timeout(request, 2)?;
    context.reply.integer(0);
    Ok(())
}

fn wait_for_log(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let local = integer(request, 1)?;
    if !(0..=1).contains(&local) {
        return Err(Error::Plain("value is out of range, must be between 0 and 1"));
    }
    if integer(request, 2)? < 0 {
        return Err(Error::NotPositive);
    }
    check_timeout(request, 3)?;
    let store = &mut *context.store;
    let is_kept = store.persistence.writable != Writable::Volatile;
    if local == 1 && !is_kept {
        return Err(Error::Plain(
            "WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    // The reply goes out once everything is at the device.
    store.persistence.is_commit_asked |= local == 1;
    context.session.has_written |= local == 1;
    let is_durable = is_kept && (local == 1 || store.config.fsync == Fsync::Always);
    context.reply.array(2);
    context.reply.integer(i64::from(is_durable));
    context.reply.integer(0);
    Ok(())
}

fn shut_down(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let (mut is_forced, mut is_abort) = (false, false);
    for option in request.iter().skip(1) {
        if is(option, "ABORT") {
            is_abort = true;
        } else if is(option, "NOSAVE") || is(option, "FORCE") {
            is_forced = true;
        } else if !is(option, "SAVE") && !is(option, "NOW") {
            return Err(Error::Syntax);
        }
    }
    let store = &mut *context.store;
    if is_abort {
        if request.len() > 2 {
            return Err(Error::Syntax);
        }
        store.shutdown.take().ok_or(Error::Plain("No shutdown in progress."))?;
        context.reply.ok();
        return Ok(());
    }
    if !is_forced && store.persistence.writable == Writable::Failed {
        return Err(Error::Plain("Errors trying to SHUTDOWN. Check logs."));
    }
    store.shutdown = Some(if is_forced { Shutdown::Forced } else { Shutdown::Safe });
    // There is no reply: the connection ends with the program.
    context.session.is_closing = true;
    Ok(())
}

const SLOWLOG: &[Subcommand] = &[
    Subcommand::new("slowlog|get", -2, slowlog_get),
    Subcommand::new("slowlog|len", 2, slowlog_len),
    Subcommand::new("slowlog|reset", 2, slowlog_reset),
];

fn slowlog(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    const HELP: &[&str] = &[
        "GET [<count>]",
        "    The last commands that took long: number, Unix time, microseconds, words, client, and",
        "    the client's name. 10 of them unless told otherwise; -1 for all.",
        "LEN",
        "    How many there are.",
        "RESET",
        "    Forgets them.",
    ];
    subcommand::run(context, request, SLOWLOG, HELP)
}

fn slowlog_get(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let count = match request.len() {
        2 => SLOWLOG_SHOWN,
        3 => match integer(request, 2) {
            Ok(-1) => usize::MAX,
            Ok(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Error::Plain("count should be greater than or equal to -1")),
        },
        _ => return Err(Error::Arity("slowlog|get")),
    };
    let (log, reply) = (&context.store.slowlog, &mut *context.reply);
    reply.array(count.min(log.len()));
    for entry in log.newest().take(count) {
        reply.array(6);
        reply.count(entry.id as usize);
        reply.count(entry.unix_s as usize);
        reply.count(entry.took_us as usize);
        reply.array(entry.words.len());
        entry.words.iter().for_each(|word| reply.bulk(word));
        reply.bulk(entry.peer.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

fn slowlog_len(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.count(context.store.slowlog.len());
    Ok(())
}

fn slowlog_reset(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.store.slowlog.clear();
    context.reply.ok();
    Ok(())
}

const MEMORY: &[Subcommand] = &[
    Subcommand::new("memory|usage", -3, memory_usage),
    Subcommand::new("memory|stats", 2, memory_stats),
    Subcommand::new("memory|doctor", 2, memory_doctor),
    Subcommand::new("memory|malloc-stats", 2, memory_allocator),
    Subcommand::new("memory|purge", 2, memory_purge),
];

fn memory(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    const HELP: &[&str] = &[
        "DOCTOR",
        "    Whether memory is short.",
        "MALLOC-STATS",
        "    What the allocator says of itself.",
        "PURGE",
        "    Frees at once what is being freed in the background.",
        "STATS",
        "    How memory is used.",
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes that a key and its value take. The count is not needed.",
    ];
    subcommand::run(context, request, MEMORY, HELP)
}

fn memory_usage(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    match request.len() {
        3 => {}
        5 if is(word(request, 3)?, "SAMPLES") => {
            if integer(request, 4)? < 0 {
                return Err(Error::Syntax);
            }
        }
        _ => return Err(Error::Syntax),
    }
    match context.store.keys.peek(word(request, 2)?).map(Record::memory_bytes) {
        Some(bytes) => context.reply.count(bytes),
        None => context.reply.null(),
    }
    Ok(())
}

fn memory_stats(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let store = &*context.store;
    let memory = store.memory();
    let keys: usize = (0..DATABASES).map(|database| store.keys.count(database).0).sum();
    let peak_bytes = store.stats.peak_bytes.max(memory.used_bytes);
    let mut clients_bytes = 0;
    for client in store.clients.values() {
        let (input_bytes, output_bytes) = client.buffers_bytes.get();
        clients_bytes += input_bytes + output_bytes + client.mailbox.borrow().capacity();
    }
    let counts = [
        ("peak.allocated", peak_bytes),
        ("total.allocated", memory.used_bytes),
        ("total.available", memory.size_bytes),
        ("clients.normal", clients_bytes),
        ("aof.buffer", store.persistence.pending_bytes as usize),
        ("keys.count", keys),
        ("keys.bytes-per-key", memory.used_bytes / keys.max(1)),
    ];
    let peak = 100.0 * memory.used_bytes as f64 / peak_bytes.max(1) as f64;
    let reply = &mut *context.reply;
    reply.map(counts.len() + 1);
    for (name, count) in counts {
        reply.bulk(name.as_bytes());
        reply.count(count);
    }
    reply.bulk(b"peak.percentage");
    reply.double(peak);
    Ok(())
}

fn memory_doctor(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let (memory, config) = (context.store.memory(), &context.store.config);
    let text = if memory.used_bytes >= config.memory_max_bytes {
        "All memory that maxmemory allows is in use: commands that need more are refused, or keys \
         are evicted, as maxmemory-policy says.\n"
    } else if memory.used_bytes >= config.memory_max_bytes / 10 * 9 {
        "More than nine tenths of the memory that maxmemory allows is in use.\n"
    } else {
        "There is memory left.\n"
    };
    context.reply.verbatim(text);
    Ok(())
}

fn memory_allocator(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let memory = context.store.memory();
    let (used_bytes, size_bytes) = (memory.used_bytes, memory.size_bytes);
    context.reply.verbatim(&format!("{used_bytes} of {size_bytes} bytes are in use.\n"));
    Ok(())
}

fn memory_purge(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    while context.store.keys.free_some(1 << 20) {}
    context.reply.ok();
    Ok(())
}

const LATENCY: &[Subcommand] = &[
    Subcommand::new("latency|latest", 2, no_events),
    Subcommand::new("latency|history", 3, no_events),
    Subcommand::new("latency|reset", -2, latency_reset),
    Subcommand::new("latency|doctor", 2, latency_doctor),
    Subcommand::new("latency|graph", 3, latency_graph),
    Subcommand::new("latency|histogram", -2, latency_histogram),
];

fn latency(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    const HELP: &[&str] = &[
        "LATEST, HISTORY <event>, HISTOGRAM [<command> ...]",
        "    Empty, as events are not watched; see SLOWLOG.",
        "RESET [<event> ...]",
        "    Always 0.",
    ];
    subcommand::run(context, request, LATENCY, HELP)
}

fn no_events(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.array(0);
    Ok(())
}

fn latency_reset(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.integer(0);
    Ok(())
}

fn latency_doctor(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.verbatim("Events are not watched here; SLOWLOG shows commands that took long.\n");
    Ok(())
}

fn latency_graph(_context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let event = shown(word(request, 2)?, 128);
    Err(Error::Text(format!("No samples available for event '{event}'")))
}

fn latency_histogram(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.map(0);
    Ok(())
}

const ACCESS: &[Subcommand] = &[
    Subcommand::new("acl|whoami", 2, who_am_i),
    Subcommand::new("acl|users", 2, users),
    Subcommand::new("acl|list", 2, rules),
];

fn access(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    const HELP: &[&str] = &[
        "LIST",
        "    What the one user may do.",
        "USERS",
        "    The one user.",
        "WHOAMI",
        "    The same.",
    ];
    let name = word(request, 1)?;
    for refused in
        ["SETUSER", "DELUSER", "GETUSER", "LOAD", "SAVE", "LOG", "CAT", "GENPASS", "DRYRUN"]
    {
        if is(name, refused) {
            return Err(Error::Text(format!(
                "ACL {refused} is not offered: there is one user, who may do everything"
            )));
        }
    }
    subcommand::run(context, request, ACCESS, HELP)
}

fn who_am_i(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.bulk(b"default");
    Ok(())
}

fn users(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    context.reply.array(1);
    context.reply.bulk(b"default");
    Ok(())
}

fn rules(context: &mut Context<'_>, _request: Request<'_>) -> Result<(), Error> {
    let has_password = !context.store.config.password.is_empty();
    context.reply.array(1);
    context.reply.bulk(if has_password {
        b"user default on ~* &* +@all"
    } else {
        b"user default on nopass ~* &* +@all"
    });
    Ok(())
}

const ADMIN: Flags = Flags::ADMIN;

/// The group.
pub(super) const GROUP: Group = Group {
    name: "server",
    commands: &[
        Command::new("info", -1, Flags::NONE, Keys::NONE, info::info).about(
            "1.0.0",
            "O(N) with the number of clients",
            "Tells how the server is.",
        ),
        Command::new("config", -2, ADMIN, Keys::NONE, configuration::config)
            .about("2.0.0", "O(N) with the settings", "Shows and changes settings.")
            .with(configuration::SUBCOMMANDS),
        Command::new("command", -1, Flags::NONE, Keys::NONE, introspect::command)
            .about("2.8.13", "O(N) with the commands", "Tells which commands there are.")
            .with(introspect::SUBCOMMANDS),
        Command::new("slowlog", -2, ADMIN, Keys::NONE, slowlog)
            .about("2.2.12", "O(N) with the entries", "Shows commands that took long.")
            .with(SLOWLOG),
        Command::new("memory", -2, Flags::READ, Keys::range(2, 2, 1), memory)
            .about("4.0.0", "O(1)", "Tells how memory is used.")
            .with(MEMORY),
        Command::new("latency", -2, ADMIN, Keys::NONE, latency)
            .about("2.8.13", "O(1)", "Empty: events are not watched.")
            .with(LATENCY),
        Command::new("time", 1, Flags::FAST, Keys::NONE, time).about(
            "2.6.0",
            "O(1)",
            "Returns the time.",
        ),
        Command::new("lastsave", 1, Flags::FAST, Keys::NONE, last_save_time).about(
            "1.0.0",
            "O(1)",
            "Tells when the log was last written anew.",
        ),
        Command::new("save", 1, ADMIN.and(Flags::NO_MULTI), Keys::NONE, save).about(
            "1.0.0",
            "O(1)",
            "Makes all changes durable, and has the log written anew.",
        ),
        Command::new("bgsave", -1, ADMIN, Keys::NONE, save_in_background).about(
            "1.0.0",
            "O(1)",
            "Has the log written anew.",
        ),
        Command::new("bgrewriteaof", 1, ADMIN, Keys::NONE, rewrite_log).about(
            "1.0.0",
            "O(1)",
            "Has the log written anew.",
        ),
        Command::new("wait", 3, Flags::NONE, Keys::NONE, wait).about(
            "3.0.0",
            "O(1)",
            "Returns 0, the number of replicas.",
        ),
        Command::new("waitaof", 4, Flags::NONE, Keys::NONE, wait_for_log).about(
            "7.2.0",
            "O(1)",
            "Answers once all changes are durable.",
        ),
        Command::new("role", 1, Flags::FAST, Keys::NONE, role).about(
            "2.8.12",
            "O(1)",
            "Tells that this is a master without replicas.",
        ),
        Command::new("acl", -2, Flags::NONE, Keys::NONE, access).about(
            "6.0.0",
            "O(1)",
            "Tells of the one user.",
        ),
        Command::new("lolwut", -1, Flags::FAST, Keys::NONE, lolwut).about(
            "5.0.0",
            "O(1)",
            "Says what this is.",
        ),
        Command::new("shutdown", -1, ADMIN.and(Flags::NO_MULTI), Keys::NONE, shut_down).about(
            "1.0.0",
            "O(1)",
            "Makes all changes durable and ends the program.",
        ),
    ],
};

#[cfg(test)]
mod tests;
