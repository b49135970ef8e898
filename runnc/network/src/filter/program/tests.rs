//! The programs, run by an interpreter of the instructions that they have.

use super::*;

/// What the kernel's interpreter returns (`Documentation/networking/filter.rst`); a load behind the end ends with 0.
fn run(program: &[Instruction], frame: &[u8]) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
    let load = |offset: u32, bytes: usize| -> Option<u32> {
        let bytes = frame.get(offset as usize..)?.get(..bytes)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    loop {
        let (code, if_so, if_not, constant) = program[at];
        at += 1;
        let mut skip_if =
            |condition: bool| at += usize::from(if condition { if_so } else { if_not });
        let loaded = match code {
            LOAD_WORD => load(constant, 4),
            LOAD_HALF => load(constant, 2),
            LOAD_BYTE => load(constant, 1),
            LOAD_WORD_X => load(x + constant, 4),
            LOAD_HALF_X => load(x + constant, 2),
            LOAD_BYTE_X => load(x + constant, 1),
            LOAD_LEN => Some(frame.len() as u32),
            HEADER_TO_X => {
                let Some(byte) = load(constant, 1) else { return 0 };
                x = 4 * (byte & 0xf);
                Some(a)
            }
            SUBTRACT => Some(a.wrapping_sub(constant)),
            AND => Some(a & constant),
            RETURN => return constant,
            IF_EQUAL => {
                skip_if(a == constant);
                Some(a)
            }
            IF_ANY_BIT => {
                skip_if(a & constant != 0);
                Some(a)
            }
            IF_AT_LEAST => {
                skip_if(a >= constant);
                Some(a)
            }
            IF_AT_LEAST_X => {
                skip_if(a >= x);
                Some(a)
            }
            other => panic!("code {other:#x}"),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
    }
}

fn ipv4(protocol: u8, option_words: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45 + option_words, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol]);
    frame.resize(14 + 20 + 4 * usize::from(option_words), 0);
    frame.extend(payload);
    frame
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, next_header, 64]);
    frame.resize(14 + 40, 0);
    frame.extend(payload);
    frame
}

fn tcp(flags: u8, sequence: u32) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    (segment[12], segment[13]) = (0x50, flags);
    segment
}

/// The same payload in both protocols, and in IPv4 with options, has the same fate.
fn fates(protocol: u8, payload: &[u8]) -> Vec<u32> {
    let mut fates: Vec<u32> =
        [0, 1, 10].map(|words| run(&DROP_IPV4_ANSWERS, &ipv4(protocol, words, payload))).to_vec();
    fates.push(run(&DROP_IPV6_ANSWERS, &ipv6(protocol, payload)));
    fates
}

#[test]
fn answers_to_segments_of_others_are_dropped() {
    for (flags, sequence) in [(0x04, 0), (0x04, 77), (0x14, 0), (0x0c, 77)] {
        assert_eq!(fates(6, &tcp(flags, sequence)), [DROP; 4], "{flags:#x} {sequence}");
    }
}

#[test]
fn segments_of_own_connections_go_on() {
    for (flags, sequence) in [(0x02, 0), (0x12, 0), (0x10, 0), (0x11, 5), (0x14, 5), (0x18, 0)] {
        assert_eq!(fates(6, &tcp(flags, sequence)), [GO_ON; 4], "{flags:#x} {sequence}");
    }
    // Bytes that would be a reset's in another protocol.
    assert_eq!(fates(17, &tcp(0x04, 0)), [GO_ON; 4]);
}

#[test]
fn of_icmp_only_closed_ports_are_dropped() {
    let icmp = |kind, code| [vec![kind, code], vec![0; 34]].concat();
    let v4 = |kind, code| run(&DROP_IPV4_ANSWERS, &ipv4(1, 0, &icmp(kind, code)));
    let v6 = |kind, code| run(&DROP_IPV6_ANSWERS, &ipv6(58, &icmp(kind, code)));
    assert_eq!((v4(3, 3), v4(3, 4), v4(0, 0), v4(1, 4)), (DROP, GO_ON, GO_ON, GO_ON));
    assert_eq!((v6(1, 4), v6(1, 0), v6(129, 0), v6(3, 3)), (DROP, GO_ON, GO_ON, GO_ON));
}

#[test]
fn later_fragments_go_on() {
    let mut fragment = ipv4(6, 0, &tcp(0x04, 0));
    fragment[21] = 1;
    assert_eq!(run(&DROP_IPV4_ANSWERS, &fragment), GO_ON);
}

#[test]
fn a_frame_of_any_length_is_never_accepted_for_the_host() {
    for whole in [ipv4(6, 10, &tcp(0x14, 1)), ipv4(1, 0, &[3; 40])] {
        assert!((0..=whole.len()).all(|len| run(&DROP_IPV4_ANSWERS, &whole[..len]) != 0));
    }
    for whole in [ipv6(6, &tcp(0x14, 1)), ipv6(58, &[1; 40])] {
        assert!((0..=whole.len()).all(|len| run(&DROP_IPV6_ANSWERS, &whole[..len]) != 0));
    }
    assert_eq!((run(&MATCH_ALL, &[]), run(&DROP_ALL, &[])), (GO_ON, DROP));
}
