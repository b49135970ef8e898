//! Random bytes: a ChaCha20 generator, seeded once with 32 bytes from the tender's extension page
//! and the processor's own generator. Without either (Solo5's tender on a processor without
//! `rdrand`) the seed is guessable, and a warning on the log says so.

use core::convert::Infallible;

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};
use solo5_sys::extension::Features;

use crate::single_thread::SingleThread;
use crate::{arch, boot, time};

static GENERATOR: SingleThread<Option<ChaCha20Rng>> = SingleThread::new(None);

/// Fills `bytes` with random bytes fit for keys.
pub fn fill(bytes: &mut [u8]) {
    GENERATOR.with(|generator| generator.get_or_insert_with(seeded).fill_bytes(bytes));
}

/// A random number.
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The generator as a [`rand_core`] one; all values share one state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy;

impl TryRng for Entropy {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(random_u64() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(random_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Entropy {}

fn seeded() -> ChaCha20Rng {
    let mut seed = boot::with(|boot| boot.extension.seed);
    let mut trusted = boot::has(Features::SEED);
    for chunk in seed.chunks_exact_mut(8) {
        let word = match arch::hardware_random() {
            Some(word) => {
                trusted = true;
                word
            }
            None => clock_word(),
        };
        for (byte, mixed) in chunk.iter_mut().zip(word.to_le_bytes()) {
            *byte ^= mixed;
        }
    }
    if !trusted {
        log::warn!(
            "no source of randomness: this tender gives no seed, this processor has no rdrand"
        );
    }
    ChaCha20Rng::from_seed(seed)
}

/// Differs from start to start, no more.
fn clock_word() -> u64 {
    let wall = time::unix_time().as_nanos() as u64;
    arch::timestamp_counter().rotate_left(32) ^ wall
}
