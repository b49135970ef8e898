//! Requests to the key-value store, in pieces of any size. However they come, the same requests are found up to the same
//! error, and nothing beyond what has come is counted as read.

use kv::frame::{Limits, Parser, Progress, ProtocolError};

use crate::{Target, Verdict};

/// This target.
pub const TARGET: Target = Target { name: "kv_request", run, seeds, words, inputs: 60_000 };

const LIMITS: Limits = Limits { bulk_bytes_max: 1 << 20, arguments_max: Limits::ARGUMENTS_MAX };

type Requests = Vec<Vec<Vec<u8>>>;

/// Reads the bytes behind the first, which says in what pieces they come.
///
/// # Panics
/// If something does not hold that must.
pub fn run(data: &[u8]) -> Verdict {
    let Some((&piece, stream)) = data.split_first() else { return Verdict::Refused };
    for limits in [LIMITS, Limits::UNAUTHENTICATED] {
        let whole = read(stream, stream.len().max(1), limits);
        let pieces = read(stream, usize::from(piece % 16) + 1, limits);
        assert_eq!(whole, pieces, "it depends on the pieces");
    }
    match read(stream, stream.len().max(1), LIMITS) {
        (_, None) => Verdict::Accepted,
        (_, Some(_)) => Verdict::Refused,
    }
}

/// What is found in a stream that comes in pieces.
fn read(stream: &[u8], piece: usize, limits: Limits) -> (Requests, Option<ProtocolError>) {
    let (mut parser, mut requests) = (Parser::default(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        let input = &stream[start..end];
        match parser.parse(input, limits) {
            Err(error) => return (requests, Some(error)),
            Ok(Progress::Complete { bytes }) => {
                assert!((1..=input.len()).contains(&bytes), "{bytes} of {}", input.len());
                requests.push(parser.request(input).iter().map(<[u8]>::to_vec).collect());
                start += bytes;
            }
            Ok(Progress::Incomplete { bytes }) => {
                assert!(bytes > input.len(), "{bytes} are there");
                if end == stream.len() {
                    return (requests, None);
                }
                end = stream.len().min(end + piece);
            }
        }
    }
}

/// Requests as they are sent.
fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\x00*1\r\n$4\r\nPING\r\n"[..],
        b"\x01*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\n\x00b\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"\x05PING\r\nSET k \"a\\x41\\n\" 'it\\'s'\n\r\n",
        b"\x03*0\r\n*-1\r\n*2\r\n$0\r\n\r\n$2\r\n\r\n\r\n",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

fn words() -> Vec<Vec<u8>> {
    [
        &b"*1\r\n"[..],
        b"$4\r\n",
        b"\r\n",
        b"*1048577\r\n",
        b"$536870912\r\n",
        b"$-1\r\n",
        b"*9223372036854775807\r\n",
        b"\"",
        b"'",
        b"\\x4",
        b"\n",
        b"\0",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
