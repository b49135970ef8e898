//! The programs that stand beside our guests, with the same words and the same configuration whether
//! they run as processes or in containers. Their files are where `cargo xtask measure` puts them; in a
//! container these are paths below its root.

/// Where nginx's configuration lies.
const NGINX_CONFIG: &str = "/etc/measure/nginx.conf";
/// Where Redis's configuration lies.
const REDIS_CONFIG: &str = "/etc/measure/redis.conf";
/// This program, as the initramfs and images have it.
const PROBE: &str = "/bin/probe";

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// A web server with one worker.
    Nginx,
    /// A key-value store that keeps what it is told.
    Redis,
    /// This program with a verb of its own: without shared libraries, as a guest is.
    Probe(Vec<String>),
}

impl Program {
    /// Its file and its words.
    pub(crate) fn words(&self) -> Vec<String> {
        let words: &[&str] = match self {
            // Before it has read its configuration, nginx would open a log file that it has built in.
            Self::Nginx => &["/usr/sbin/nginx", "-e", "stderr", "-c", NGINX_CONFIG],
            Self::Redis => &["/usr/bin/redis-server", REDIS_CONFIG],
            Self::Probe(_) => &[PROBE],
        };
        let words = words.iter().map(|word| (*word).to_owned());
        match self {
            Self::Probe(more) => words.chain(more.iter().cloned()).collect(),
            _ => words.collect(),
        }
    }

    /// The port that it listens at.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Nginx => Some(80),
            Self::Redis => Some(6379),
            Self::Probe(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_the_file() {
        let block = Program::Probe(vec!["block".into(), "/data/disk".into()]);
        assert_eq!(block.words(), ["/bin/probe", "block", "/data/disk"]);
        assert_eq!(Program::Redis.words(), ["/usr/bin/redis-server", REDIS_CONFIG]);
        assert_eq!(Program::Nginx.words()[0], "/usr/sbin/nginx");
        assert_eq!(block.port(), None);
    }
}
