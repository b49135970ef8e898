//! Requests in pieces, and what is none.

use alloc::vec::Vec;
use std::format;
use std::vec;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bulk_bytes_max: 1 << 20, arguments_max: Limits::ARGUMENTS_MAX };

fn words(input: &[u8]) -> Result<(Vec<Vec<u8>>, usize), ProtocolError> {
    let mut parser = Parser::default();
    match parser.parse(input, LIMITS)? {
        Progress::Complete { bytes } => {
            Ok((parser.request(input).iter().map(<[u8]>::to_vec).collect(), bytes))
        }
        Progress::Incomplete { bytes } => panic!("{bytes} bytes are needed"),
    }
}

#[test]
fn arrays_and_inline_commands_are_read() {
    for (input, expected) in [
        (&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..], &["GET", "k"][..]),
        (b"*1\r\n$0\r\n\r\n", &[""]),
        (b"*0\r\n", &[]),
        (b"*-1\r\n", &[]),
        (b"\r\n", &[]),
        (b"\n", &[]),
        (b"PING\r\n", &["PING"]),
        (b"  set a   \"b c\" \n", &["set", "a", "b c"]),
        (b"a \"\\x41\\n\\\"\\q\" 'it\\'s \\n'\r\n", &["a", "A\n\"q", "it's \\n"]),
        (b"a \"\"\r\n", &["a", ""]),
        (b"pre\"fix\"\r\n", &["prefix"]),
    ] {
        let (words, bytes) = words(input).unwrap();
        let expected: Vec<_> = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!((words, bytes), (expected, input.len()), "{input:?}");
    }
}

#[test]
fn what_is_wrong_is_named_as_redis_does() {
    let long = [b"*1\r\n$", &vec![b'1'; LINE_BYTES_MAX][..]].concat();
    let inline = vec![b'a'; LINE_BYTES_MAX + 1];
    for (input, text) in [
        (&b"*x\r\n"[..], "Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n+OK\r\n", "Protocol error: expected '$', got '+'"),
        (b"a \"b\r\n", "Protocol error: unbalanced quotes in request"),
        (b"a 'b'c\r\n", "Protocol error: unbalanced quotes in request"),
        (&long, "Protocol error: too big bulk count string"),
        (&inline, "Protocol error: too big inline request"),
    ] {
        assert_eq!(words(input).unwrap_err().to_string(), text);
    }
    let strict = Limits::UNAUTHENTICATED;
    for (input, text) in [
        (&b"*11\r\n"[..], "Protocol error: unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "Protocol error: unauthenticated bulk length"),
    ] {
        let error = Parser::default().parse(input, strict).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn the_bytes_that_are_needed_are_told_for_long_arguments() {
    let mut parser = Parser::default();
    let input = b"*2\r\n$3\r\nGET\r\n$1000\r\nk";
    assert_eq!(parser.parse(input, LIMITS), Ok(Progress::Incomplete { bytes: 20 + 1002 }));
}

use std::string::ToString;

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

proptest! {
    /// Whatever comes in whatever pieces is understood as in one.
    #[test]
    fn pieces_do_not_matter(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5), 1..4),
        cuts in prop::collection::vec(1_usize..12, 1..20),
    ) {
        let stream: Vec<u8> = requests.iter().flat_map(|words| encode(words)).collect();
        let (mut seen, mut input, mut fed) = (Vec::new(), Vec::new(), 0);
        let mut parser = Parser::default();
        let mut cuts = cuts.iter().cycle();
        while fed < stream.len() {
            let end = stream.len().min(fed + cuts.next().unwrap());
            input.extend_from_slice(&stream[fed..end]);
            fed = end;
            loop {
                match parser.parse(&input, LIMITS).unwrap() {
                    Progress::Complete { bytes } => {
                        let words: Vec<_> =
                            parser.request(&input).iter().map(<[u8]>::to_vec).collect();
                        seen.push(words);
                        input.drain(..bytes);
                    }
                    Progress::Incomplete { bytes } => {
                        prop_assert!(bytes > input.len());
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(seen, requests);
    }

    /// Nothing that comes in panics, and no progress is beyond the input.
    #[test]
    fn anything_is_survived(input in prop::collection::vec(
        prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'"'), any::<u8>()],
        0..64,
    )) {
        let mut parser = Parser::default();
        if let Ok(Progress::Complete { bytes }) = parser.parse(&input, LIMITS) {
            prop_assert!(bytes <= input.len());
            parser.request(&input).iter().for_each(drop);
        }
    }
}
