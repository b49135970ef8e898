//! `INFO`: how the server is, in Redis's format. What is not known here is left out rather than made up.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display, Write};

use super::argument::is;
use super::{Context, Error};
use crate::config::{Fsync, REDIS_VERSION, VERSION};
use crate::db::DATABASES;
use crate::db::eviction::Policy;
use crate::frame::Request;
use crate::store::{Store, Writable};

type Section = fn(&Store, &mut Lines) -> fmt::Result;

/// Those that are shown unless others are asked for, and those that are only shown with `all`.
const DEFAULT: &[(&str, Section)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Modules", nothing),
    ("Errorstats", errors),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];
const MORE: &[(&str, Section)] = &[("Commandstats", commands)];

/// A text of lines with names and values.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) -> fmt::Result {
        write!(self.0, "{name}:{value}\r\n")
    }
}

/// Carries out `INFO`.
///
/// # Errors
/// Never.
pub(super) fn info(context: &mut Context<'_>, request: Request<'_>) -> Result<(), Error> {
    let mut lines = Lines::default();
    for (title, section) in DEFAULT.iter().chain(MORE) {
        let is_default = DEFAULT.iter().any(|(other, _)| other == title);
        let is_asked = request.iter().skip(1).any(|name| {
            name.eq_ignore_ascii_case(title.as_bytes())
                || is(name, "ALL")
                || is(name, "EVERYTHING")
                || (is(name, "DEFAULT") && is_default)
        });
        if is_asked || (request.len() == 1 && is_default) {
            if !lines.0.is_empty() {
                lines.0.push_str("\r\n");
            }
            // Writing to a string does not fail.
            let _ = write!(lines.0, "# {title}\r\n");
            let _ = section(context.store, &mut lines);
        }
    }
    context.reply.verbatim(&lines.0);
    Ok(())
}

fn nothing(_store: &Store, _lines: &mut Lines) -> fmt::Result {
    Ok(())
}

fn server(store: &Store, lines: &mut Lines) -> fmt::Result {
    let uptime_s = store.now.saturating_sub(store.stats.started).as_secs();
    let hash = |part: &[u8]| store.keys.hasher().hash(part);
    lines.add("redis_version", REDIS_VERSION)?;
    lines.add("server_name", "nabla-kv")?;
    lines.add("nabla_kv_version", VERSION)?;
    lines.add("redis_git_sha1", "00000000")?;
    lines.add("redis_git_dirty", 0)?;
    lines.add("redis_mode", "standalone")?;
    lines.add("os", "none (unikernel)")?;
    lines.add("arch_bits", usize::BITS)?;
    lines.add("process_id", 1)?;
    // A hash with a key is as good as a random number, and says nothing of the key.
    let (one, two, three) = (hash(b"run 1"), hash(b"run 2"), hash(b"run 3") as u32);
    lines.add("run_id", format_args!("{one:016x}{two:016x}{three:08x}"))?;
    lines.add("tcp_port", store.config.port)?;
    lines.add("server_time_usec", store.unix_now.as_micros())?;
    lines.add("uptime_in_seconds", uptime_s)?;
    lines.add("uptime_in_days", uptime_s / 86400)?;
    lines.add("hz", 10)?;
    lines.add("configured_hz", 10)?;
    lines.add("executable", "")?;
    lines.add("config_file", "")?;
    lines.add("io_threads_active", 0)
}

fn clients(store: &Store, lines: &mut Lines) -> fmt::Result {
    let (mut blocked, mut subscribers, mut input_bytes, mut output_bytes) = (0, 0, 0, 0);
    for client in store.clients.values() {
        blocked += usize::from(client.is_blocked.get());
        subscribers += usize::from(client.is_subscriber());
        let (input, output) = client.buffers_bytes.get();
        input_bytes = input.max(input_bytes);
        output_bytes = (output + client.mailbox.borrow().len()).max(output_bytes);
    }
    lines.add("connected_clients", store.clients.len())?;
    lines.add("cluster_connections", 0)?;
    lines.add("maxclients", store.config.clients_max)?;
    lines.add("client_recent_max_input_buffer", input_bytes)?;
    lines.add("client_recent_max_output_buffer", output_bytes)?;
    lines.add("blocked_clients", blocked)?;
    lines.add("pubsub_clients", subscribers)?;
    lines.add("tracking_clients", 0)
}

fn memory(store: &Store, lines: &mut Lines) -> fmt::Result {
    let memory = store.memory();
    let peak_bytes = store.stats.peak_bytes.max(memory.used_bytes);
    let config = &store.config;
    let policy = Policy::NAMES.iter().find(|(policy, _)| *policy == config.policy);
    let share = 100.0 * memory.used_bytes as f64 / peak_bytes.max(1) as f64;
    lines.add("used_memory", memory.used_bytes)?;
    lines.add("used_memory_human", human(memory.used_bytes))?;
    lines.add("used_memory_rss", memory.used_bytes)?;
    lines.add("used_memory_rss_human", human(memory.used_bytes))?;
    lines.add("used_memory_peak", peak_bytes)?;
    lines.add("used_memory_peak_human", human(peak_bytes))?;
    lines.add("used_memory_peak_perc", format_args!("{share:.2}%"))?;
    lines.add("total_system_memory", memory.size_bytes)?;
    lines.add("total_system_memory_human", human(memory.size_bytes))?;
    lines.add("maxmemory", config.memory_max_bytes)?;
    lines.add("maxmemory_human", human(config.memory_max_bytes))?;
    lines.add("maxmemory_ceiling", config.memory_ceiling_bytes)?;
    lines.add("maxmemory_policy", policy.map_or("", |(_, name)| name))?;
    lines.add("mem_fragmentation_ratio", "1.00")?;
    lines.add("mem_allocator", "nabla")?;
    lines.add("active_defrag_running", 0)?;
    lines.add("lazyfree_pending_objects", store.keys.garbage_len())
}

/// A number of bytes as Redis writes it for people.
fn human(bytes: usize) -> String {
    let units = [("G", 1_usize << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{:.2}{unit}", bytes as f64 / *size as f64),
        None => format!("{bytes}B"),
    }
}

fn persistence(store: &Store, lines: &mut Lines) -> fmt::Result {
    let it = &store.persistence;
    let is_kept = it.writable != Writable::Volatile;
    let status = if it.writable == Writable::Failed { "err" } else { "ok" };
    let fsync = Fsync::NAMES.iter().find(|(fsync, _)| *fsync == store.config.fsync);
    let last_s = it.last_compaction_s.and_then(|seconds| i64::try_from(seconds).ok());
    lines.add("loading", u8::from(store.is_loading))?;
    lines.add("async_loading", 0)?;
    lines.add(
        "rdb_changes_since_last_save",
        store.keys.changes.saturating_sub(it.changes_at_compaction),
    )?;
    lines.add("rdb_bgsave_in_progress", 0)?;
    lines.add("rdb_last_save_time", last_save(store))?;
    lines.add("rdb_last_bgsave_status", status)?;
    lines.add("aof_enabled", u8::from(is_kept))?;
    lines.add("aof_rewrite_in_progress", u8::from(it.is_compacting))?;
    lines.add("aof_rewrite_scheduled", u8::from(it.is_compaction_asked && !it.is_compacting))?;
    lines.add("aof_last_rewrite_time_sec", last_s.unwrap_or(-1))?;
    lines.add("aof_current_rewrite_time_sec", -1)?;
    lines.add("aof_last_bgrewrite_status", "ok")?;
    lines.add("aof_rewrites", it.compactions)?;
    lines.add("aof_last_write_status", status)?;
    if is_kept {
        lines.add("aof_current_size", it.log_bytes)?;
        lines.add("aof_base_size", it.base_bytes)?;
        lines.add("aof_buffer_length", it.pending_bytes)?;
        lines.add("aof_fsync", fsync.map_or("", |(_, name)| name))?;
        lines.add("aof_commits", it.commits)?;
        lines.add("aof_device_size", it.device_bytes)?;
        lines.add("aof_device_room", it.room_bytes)?;
    }
    Ok(())
}

/// When everything was last written anew, or since when everything is in the log.
pub(super) fn last_save(store: &Store) -> u64 {
    if store.persistence.last_compaction_unix_s > 0 {
        return store.persistence.last_compaction_unix_s;
    }
    let uptime = store.now.saturating_sub(store.stats.started);
    store.unix_now.saturating_sub(uptime).as_secs()
}

fn stats(store: &Store, lines: &mut Lines) -> fmt::Result {
    let (stats, keys) = (&store.stats, &store.keys);
    let [commands, input_bytes, output_bytes] = stats.rates.per_second;
    lines.add("total_connections_received", stats.connections)?;
    lines.add("total_commands_processed", stats.commands)?;
    lines.add("instantaneous_ops_per_sec", commands)?;
    lines.add("total_net_input_bytes", stats.input_bytes)?;
    lines.add("total_net_output_bytes", stats.output_bytes)?;
    lines.add("instantaneous_input_kbps", format_args!("{:.2}", input_bytes as f64 / 1024.0))?;
    lines.add("instantaneous_output_kbps", format_args!("{:.2}", output_bytes as f64 / 1024.0))?;
    lines.add("rejected_connections", stats.rejected)?;
    lines.add("sync_full", 0)?;
    lines.add("sync_partial_ok", 0)?;
    lines.add("sync_partial_err", 0)?;
    lines.add("expired_keys", keys.expired)?;
    lines.add("evicted_keys", keys.evicted)?;
    lines.add("evicted_clients", 0)?;
    lines.add("keyspace_hits", keys.hits)?;
    lines.add("keyspace_misses", keys.misses)?;
    lines.add("pubsub_channels", store.pubsub.channels.len())?;
    lines.add("pubsub_patterns", store.pubsub.patterns.len())?;
    lines.add("pubsubshard_channels", store.pubsub.shard_channels.len())?;
    lines.add("latest_fork_usec", 0)?;
    lines.add("total_forks", 0)?;
    lines.add("total_error_replies", stats.errors)
}

fn replication(_store: &Store, lines: &mut Lines) -> fmt::Result {
    lines.add("role", "master")?;
    lines.add("connected_slaves", 0)?;
    lines.add("master_failover_state", "no-failover")?;
    lines.add("master_repl_offset", 0)?;
    lines.add("second_repl_offset", -1)?;
    lines.add("repl_backlog_active", 0)?;
    lines.add("repl_backlog_size", 0)
}

fn errors(store: &Store, lines: &mut Lines) -> fmt::Result {
    for (code, count) in &store.stats.errors_by_code {
        lines.add(&format!("errorstat_{code}"), format_args!("count={count}"))?;
    }
    Ok(())
}

fn commands(store: &Store, lines: &mut Lines) -> fmt::Result {
    for stat in store.stats.by_command.iter().filter(|stat| stat.name != "NULL") {
        let took_us = stat.took.as_nanos() as f64 / 1000.0;
        lines.add(
            &format!("cmdstat_{}", stat.name),
            format_args!(
                "calls={},usec={},usec_per_call={:.2},rejected_calls=0,failed_calls={}",
                stat.calls,
                stat.took.as_micros(),
                took_us / stat.calls.max(1) as f64,
                stat.failed,
            ),
        )?;
    }
    Ok(())
}

fn cluster(_store: &Store, lines: &mut Lines) -> fmt::Result {
    lines.add("cluster_enabled", 0)
}

fn keyspace(store: &Store, lines: &mut Lines) -> fmt::Result {
    for database in 0..DATABASES {
        let (keys, expiring) = store.keys.count(database);
        if keys > 0 {
            lines.add(
                &format!("db{database}"),
                format_args!("keys={keys},expires={expiring},avg_ttl=0"),
            )?;
        }
    }
    Ok(())
}
