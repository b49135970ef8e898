//! The services over TCP: what each does with a stream until its peer is done or gone.

use alloc::vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{Read, Write};

use crate::idle::Activity;
use crate::pattern::Pattern;

/// What is read from a stream at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// What comes goes back.
    Echo,
    /// What comes is thrown away.
    Discard,
    /// Characters go out without end; what comes is thrown away.
    Chargen,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Echo, Self::Discard, Self::Chargen];

    /// Its well-known port, the same for TCP and UDP.
    pub const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
        }
    }

    /// Memory that serving a stream takes, besides the stream's own.
    pub const fn stream_bytes() -> usize {
        BUFFER_BYTES
    }

    /// Serves both directions of a stream until it ends.
    pub async fn serve(
        self,
        reader: &mut impl Read,
        writer: &mut impl Write,
        pattern: &Pattern,
        activity: &Activity,
    ) {
        match self {
            Self::Echo => echo(reader, writer, activity).await,
            Self::Discard => discard(reader, activity).await,
            Self::Chargen => {
                let drain = discard(reader, activity);
                beside(generate(writer, pattern, activity), drain).await;
            }
        }
    }
}

async fn echo(reader: &mut impl Read, writer: &mut impl Write, activity: &Activity) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(bytes @ 1..) = reader.read(&mut buffer).await {
        activity.note();
        let mut rest = &buffer[..bytes];
        while !rest.is_empty() {
            let Ok(written @ 1..) = writer.write(rest).await else { return };
            activity.note();
            rest = &rest[written..];
        }
    }
}

async fn discard(reader: &mut impl Read, activity: &Activity) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(1..) = reader.read(&mut buffer).await {
        activity.note();
    }
}

async fn generate(writer: &mut impl Write, pattern: &Pattern, activity: &Activity) {
    let mut rest = pattern.bytes();
    while let Ok(written @ 1..) = writer.write(rest).await {
        activity.note();
        rest = &rest[written..];
        if rest.is_empty() {
            rest = pattern.bytes();
        }
    }
}

/// Does the work to its end, and beside it what may end before or never.
async fn beside(work: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut work, mut other) = (pin!(work), pin!(other));
    let mut has_ended = false;
    poll_fn(|context| {
        has_ended = has_ended || other.as_mut().poll(context).is_ready();
        let work = work.as_mut().poll(context);
        if work.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use core::task::{Context, Waker};
    use embedded_io_async::ErrorType;
    use std::vec::Vec;

    /// Gives `data` in pieces, and then ends, or waits for ever.
    struct Source<'a> {
        data: &'a [u8],
        piece: usize,
        ends: bool,
    }

    /// Takes so many bytes, a piece at a time, and is closed then.
    struct Sink {
        taken: Vec<u8>,
        piece: usize,
        room: usize,
    }

    impl ErrorType for Source<'_> {
        type Error = Infallible;
    }

    impl Read for Source<'_> {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            let bytes = self.piece.min(self.data.len()).min(buffer.len());
            if bytes == 0 && !self.ends {
                core::future::pending::<()>().await;
            }
            let (piece, rest) = self.data.split_at(bytes);
            buffer[..bytes].copy_from_slice(piece);
            self.data = rest;
            Ok(bytes)
        }
    }

    impl ErrorType for Sink {
        type Error = Infallible;
    }

    impl Write for Sink {
        async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
            let bytes = data.len().min(self.piece).min(self.room - self.taken.len());
            self.taken.extend(&data[..bytes]);
            Ok(bytes)
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// Serves until nothing more can happen. Whether the service has ended, what was not read, what
    /// was written, and whether there was any activity.
    fn serve(service: Service, mut source: Source<'_>, room: usize) -> (bool, usize, Vec<u8>) {
        let mut sink = Sink { taken: Vec::new(), piece: 1000, room };
        let (pattern, activity) = (Pattern::new(), Activity::default());
        let has_ended = {
            let future = pin!(service.serve(&mut source, &mut sink, &pattern, &activity));
            future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        assert!(activity.count() > 0);
        (has_ended, source.data.len(), sink.taken)
    }

    fn data() -> Vec<u8> {
        (0..200_000u32).map(|number| (number % 251) as u8).collect()
    }

    #[test]
    fn echo_gives_everything_back_and_ends_with_its_peer() {
        let data = data();
        let source = Source { data: &data, piece: 1500, ends: true };
        assert_eq!(serve(Service::Echo, source, usize::MAX), (true, 0, data.clone()));
        let source = Source { data: &data, piece: 1500, ends: true };
        let (has_ended, _, written) = serve(Service::Echo, source, 5000);
        assert!(has_ended && written == data[..5000]);
    }

    #[test]
    fn discard_reads_everything_and_says_nothing() {
        let data = data();
        let source = Source { data: &data, piece: 70_000, ends: true };
        assert_eq!(serve(Service::Discard, source, 0), (true, 0, Vec::new()));
    }

    #[test]
    fn chargen_goes_on_whatever_comes_until_nobody_reads() {
        let data = data();
        for ends in [false, true] {
            let source = Source { data: &data, piece: 1, ends };
            let (has_ended, unread, written) = serve(Service::Chargen, source, 1_000_000);
            assert!(has_ended && unread == 0);
            let expected: Vec<u8> =
                Pattern::new().bytes().iter().copied().cycle().take(1_000_000).collect();
            assert!(written == expected);
        }
    }
}
