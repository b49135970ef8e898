//! A link that loses frames and delays the others: a worker between two TAP interfaces, of which
//! one is in another namespace. Which frames are lost follows from a seed and their number, so
//! rivals that send alike lose alike.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lexopt::{Arg, Parser, ValueExt};
use nix::sched::{CloneFlags, setns};
use tun_tap::{Iface, Mode};

use crate::bench::number;
use crate::bench::rounds::Random;
use crate::unexpected;

/// What it says when it forwards.
pub(crate) const READY: &str = "forwarding";
/// Frames on their way, at most; beyond that it is full and loses more.
const FRAMES_MAX: usize = 100_000;
/// Longer than any frame of an interface without offloads.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// The task of a worker.
pub(in super::super) fn main(words: &mut Parser) -> Result<ExitCode> {
    let (mut other, mut interface) = (None, None);
    let (mut loss_percent, mut delay_ms, mut seed) = (0u64, 0u64, 0u64);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("other") => other = Some(PathBuf::from(words.value()?)),
            Arg::Long("interface") => interface = Some(words.value()?.string()?),
            Arg::Long("loss-percent") => loss_percent = number(words, "--loss-percent")?,
            Arg::Long("delay") => delay_ms = number(words, "--delay")?,
            Arg::Long("seed") => seed = number(words, "--seed")?,
            word => return Err(unexpected(word, "bench")),
        }
    }
    let (other, interface) = (other.context("no --other")?, interface.context("no --interface")?);
    ensure!(loss_percent <= 100, "more than everything cannot be lost");
    let near = attach(&interface)?;
    let other = File::open(&other).with_context(|| other.display().to_string())?;
    setns(other, CloneFlags::CLONE_NEWNET).context("cannot enter the other namespace")?;
    let far = attach(&interface)?;
    println!("{READY}");

    let loss =
        |direction| Loss { percent: loss_percent, random: Random::new(2 * seed + direction) };
    let delay = Duration::from_millis(delay_ms);
    std::thread::scope(|scope| {
        for (from, to, loss) in [(&near, &far, loss(0)), (&far, &near, loss(1))] {
            let (sender, receiver) = sync_channel(FRAMES_MAX);
            scope.spawn(move || take(from, &sender, loss, delay));
            scope.spawn(move || give(to, &receiver));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn attach(interface: &str) -> Result<Iface> {
    Iface::without_packet_info(interface, Mode::Tap).with_context(|| interface.to_owned())
}

struct Loss {
    percent: u64,
    random: Random,
}

impl Loss {
    fn takes_next(&mut self) -> bool {
        self.random.below(100) < self.percent
    }
}

type Frame = (Instant, Vec<u8>);

fn take(from: &Iface, sender: &SyncSender<Frame>, mut loss: Loss, delay: Duration) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    while let Ok(bytes) = from.recv(&mut buffer) {
        if !loss.takes_next() {
            let _ = sender.try_send((Instant::now() + delay, buffer[..bytes].to_vec()));
        }
    }
}

fn give(to: &Iface, receiver: &Receiver<Frame>) {
    while let Ok((due, frame)) = receiver.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // An interface that does not take it loses it, as any link may.
        let _ = to.send(&frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_as_many_are_lost_as_are_to_be_and_always_the_same() {
        let lost = |seed| -> Vec<usize> {
            let mut loss = Loss { percent: 1, random: Random::new(seed) };
            (0..100_000).filter(|_| loss.takes_next()).collect()
        };
        assert!((900..1100).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }
}
