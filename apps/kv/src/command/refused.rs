//! Commands of Redis that are not offered, and why: a client sees that rather than that there is no such command.
//!
//! They are in no table of commands, so that clients which ask what there is do not find them.

use alloc::format;

use super::{Error, shown};

const SCRIPTS: &str = "there is no scripting here";
const STREAMS: &str = "there are no streams here";
const REPLICAS: &str = "there is one node, without replicas";
const FORMAT: &str = "values have no form here that another server reads";

const SKETCHES: &str = "there are no HyperLogLogs here";
const PLACES: &str = "there are no geospatial indexes here";

const REFUSED: &[(&[&str], &str)] = &[
    (&["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "SCRIPT"], SCRIPTS),
    (&["FCALL", "FCALL_RO", "FUNCTION"], SCRIPTS),
    (&["XADD", "XLEN", "XRANGE", "XREVRANGE", "XREAD", "XREADGROUP", "XGROUP", "XACK"], STREAMS),
    (&["XPENDING", "XCLAIM", "XAUTOCLAIM", "XDEL", "XTRIM", "XINFO", "XSETID"], STREAMS),
    (&["PFADD", "PFCOUNT", "PFMERGE"], SKETCHES),
    (&["GEOADD", "GEODIST", "GEOHASH", "GEOPOS", "GEOSEARCH", "GEOSEARCHSTORE"], PLACES),
    (&["GEORADIUS", "GEORADIUS_RO", "GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"], PLACES),
    (&["REPLICAOF", "SLAVEOF", "SYNC", "PSYNC", "REPLCONF", "FAILOVER"], REPLICAS),
    (&["DUMP", "RESTORE", "RESTORE-ASKING", "MIGRATE"], FORMAT),
    (&["MODULE"], "nothing can be loaded into a unikernel"),
    (&["MONITOR"], "use SLOWLOG or INFO commandstats to see what runs"),
    (&["DEBUG"], "it is not for use beside data"),
    (&["PFDEBUG", "PFSELFTEST"], "it is not for use beside data"),
];

/// The words of Redis when it is no cluster.
const CLUSTER: &[&str] = &["CLUSTER", "ASKING", "READONLY", "READWRITE"];

/// What a command answers that is known and not offered.
pub(super) fn error(name: &[u8]) -> Option<Error> {
    let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
    if CLUSTER.iter().any(is) {
        return Some(Error::Plain("This instance has cluster support disabled"));
    }
    let (_, reason) = REFUSED.iter().find(|(names, _)| names.iter().any(is))?;
    let name = shown(&name.to_ascii_uppercase(), 32);
    Some(Error::Text(format!("{name} is not offered: {reason}")))
}
