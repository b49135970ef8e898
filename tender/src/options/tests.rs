//! Command lines: good ones, bad ones with their reasons, arbitrary ones.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;

fn parse_all(arguments: &[&str]) -> Result<Command, Error> {
    parse(arguments.iter().map(OsString::from))
}

fn run(arguments: &[&str]) -> Options {
    match parse_all(arguments) {
        Ok(Command::Run(options)) => *options,
        other => panic!("{other:?}"),
    }
}

fn refusal(arguments: &[&str]) -> String {
    match parse_all(arguments) {
        Err(error) => error.to_string(),
        Ok(command) => panic!("{command:?}"),
    }
}

#[test]
fn a_kernel_alone_gets_the_defaults() {
    let options = run(&["hello.spt"]);
    assert_eq!(options.memory_bytes, 512 << 20);
    assert_eq!(options.kernel, PathBuf::from("hello.spt"));
    assert!(!options.execute_heap && !options.die_with_parent && !options.verbose);
    assert_eq!(options.command_line, b"");
}

#[test]
fn what_follows_the_kernel_is_the_guests() {
    let arguments = ["--mem=64", "g", "--solo5:quiet", "--help", "--mem=bad", "--", "a b", ""];
    let options = run(&arguments);
    assert_eq!(options.memory_bytes, 64 << 20);
    assert_eq!(options.command_line, b"--solo5:quiet --help --mem=bad -- a b ");
    let options = run(&["--", "--kernel-with-dashes", "x"]);
    assert_eq!(options.kernel, PathBuf::from("--kernel-with-dashes"));
    assert_eq!(options.command_line, b"x");
}

#[test]
fn variables_add_up() {
    let environment = run(&["--env=B=1", "--env=A=", "--env=B=2=3", "g"]).environment;
    let expected = [(&b"A"[..], &b""[..]), (b"B", b"2=3")];
    assert!(environment.variables().eq(expected));
    assert!(run(&["g", "--env=A=1"]).environment.is_empty());
}

#[test]
fn what_solo5_spt_takes_is_taken_alike() {
    for (typed, mib) in [("64", 64), ("+64", 64), (" 64", 64), ("64M", 64), ("64MB", 64), ("1", 1)]
    {
        assert_eq!(run(&[&format!("--mem={typed}"), "g"]).memory_bytes, mib << 20, "{typed}");
    }
    let twice = ["--mem=64", "--net:a=x", "--block:b=x", "--block-sector-size:b=512"];
    let last = ["--mem=32", "--net:a=y", "--block:b=y", "--block-sector-size:b=+4096"];
    let both = [&twice[..], &last, &["--x-exec-heap", "--x-exec-heap", "g"]].concat();
    assert_eq!(run(&both), run(&[&last[..], &["--x-exec-heap", "g"]].concat()));
    assert_eq!(parse_all(&["--frobnicate", "--mem=lots", "--help"]), Ok(Command::Help));
    assert_eq!(parse_all(&["--frobnicate", "--version", "g"]), Ok(Command::Version));
}

#[test]
fn values_may_be_any_bytes() {
    let path = OsString::from_vec(b"--block:data=/tmp/\xff=x".to_vec());
    let guest_argument = OsString::from_vec(b"\xfe".to_vec());
    let Ok(Command::Run(options)) = parse([path, "g".into(), guest_argument]) else { panic!() };
    assert_eq!(options.command_line, b"\xfe");
}

#[test]
fn help_version_and_inspect_are_commands() {
    assert_eq!(parse_all(&["--help"]), Ok(Command::Help));
    assert_eq!(parse_all(&["--mem=64", "--version"]), Ok(Command::Version));
    let inspect = |arguments: &[&str]| match parse_all(arguments) {
        Ok(Command::Inspect { options, form: ReportForm::Json }) => *options,
        other => panic!("{other:?}"),
    };
    let options = inspect(&["--inspect=json", "--mem=64", "g"]);
    assert_eq!((options.memory_bytes, options.kernel), (64 << 20, PathBuf::from("g")));
    let options = inspect(&["--inspect=json", "g", "--mem=64", "--port=80", "x"]);
    assert_eq!((options.memory_bytes, options.kernel), (64 << 20, PathBuf::from("g")));
    assert_eq!(parse_all(&["--inspect", "g", "--mem=x"]), Err(Error::Memory("x".into())));
}

#[test]
fn a_supervisor_stays_unless_told_otherwise() {
    assert!(run(&["g"]).supervised);
    assert!(!run(&["--no-supervisor", "--no-jail", "g"]).supervised);
    assert_eq!(run(&["g"]).jail, None);
    assert_eq!(run(&["--jail", "g"]).jail, Some(Jailing::Always));
    assert_eq!(run(&["--no-jail", "g"]).jail, Some(Jailing::Never));
}

#[test]
fn help_names_every_option() {
    let help = help();
    let own = [
        "mem",
        "env",
        "x-exec-heap",
        "die-with-parent",
        "verbose",
        "inspect",
        "help",
        "version",
        "jail",
        "no-jail",
        "no-supervisor",
    ];
    let devices = device::net::OPTIONS.iter().chain(&device::block::OPTIONS);
    for option in own.iter().chain(devices) {
        assert!(help.contains(&format!("  --{option}")), "{option}");
    }
    assert!(help.lines().all(|line| line.len() <= 100 && !line.starts_with('-')));
}

#[test]
fn each_refusal_says_what_was_typed_and_what_to_do() {
    for (arguments, expected) in [
        (&[][..], "which unikernel?"),
        (&["--"], "which unikernel?"),
        (&[""], "which unikernel?"),
        (&["--mem=64"], "which unikernel?"),
        (&["-v", "g"], "unknown option '-v': see `tender --help`"),
        (&["--nets:a=b", "g"], "unknown option '--nets:a=b'"),
        (&["--net=tap0", "g"], "unknown option '--net=tap0'"),
        (&["--mem", "g"], "--mem needs a value: --mem=MB"),
        (&["--mem=", "g"], "--mem=: memory is a whole number of megabytes"),
        (&["--env", "g"], "--env needs a value: --env=VARIABLE=VALUE"),
        (&["--env=A", "g"], "--env=A: a variable has the form NAME=VALUE"),
        (&["--env==1", "g"], "--env==1: a variable has the form NAME=VALUE"),
        (&["--mem=64G", "g"], "--mem=64G: memory is a whole number of megabytes"),
        (&["--mem=0", "g"], "--mem=0: "),
        (&["--mem=-64", "g"], "--mem=-64: "),
        (&["--mem=++64", "g"], "--mem=++64: "),
        (&["--mem=6 4", "g"], "--mem=6 4: "),
        (&["--mem=M", "g"], "--mem=M: "),
        (&["--mem=99999999999999999999", "g"], "--mem=99999999999999999999: "),
        (&["--jail", "--no-jail", "g"], "--jail and --no-jail exclude each other"),
        (&["--jail", "--no-supervisor", "g"], "--no-supervisor and --jail exclude each other"),
        (&["--net:a=user", "--no-supervisor", "g"], "--no-supervisor and --net:NAME=user exclude"),
        (&["--verbose=yes", "g"], "--verbose takes no value"),
        (&["--help=net", "g"], "--help takes no value"),
        (&["--inspect=xml", "g"], "--inspect=xml: only `json` is known"),
        (&["--net:a", "g"], "--net:a needs a value: --net:a=IFACE|@FD|user"),
        (&["--net:a=", "g"], "--net:a needs a value"),
        (&["--net:=tap0", "g"], "--net:: a device's name has 1 to 67 letters and digits"),
        (&["--net:a-b=tap0", "g"], "--net:a-b: a device's name has 1 to 67 letters and digits"),
        (&["--net:a=@1", "g"], "--net:a=@1: descriptors 0 to 2 are the standard streams"),
        (&["--net-mac:a=02:00:00:00:00", "g"], "six hexadecimal"),
        (&["--publish:a=80", "g"], "--publish:a=80: '80' is not [ADDR:]HOST:GUEST"),
        (&["--publish:a=80:80", "--publish:a=80:81", "g"], "published twice"),
        (&["--block:a=", "g"], "--block:a needs a value: --block:a=PATH"),
        (&["--block-sector-size:a=100", "g"], "--block-sector-size:a=100: a block has a power"),
        (&["--block-sync:a=1", "g"], "--block-sync:a takes no value"),
    ] {
        let refusal = refusal(arguments);
        assert!(refusal.contains(expected), "{arguments:?}: {refusal}");
        assert!(!refusal.contains('\n'));
    }
}

#[test]
fn a_command_line_has_a_limit() {
    let longest = "x".repeat(8191);
    assert_eq!(run(&["g", &longest]).command_line.len(), 8191);
    assert_eq!(parse_all(&["g", &longest, ""]), Err(Error::ArgumentsTooLong(8192)));
}

fn argument() -> impl Strategy<Value = OsString> {
    let known = prop::sample::select(vec![
        "--mem",
        "--net",
        "--net-mac",
        "--publish",
        "--block",
        "--block-sector-size",
        "--block-sync",
        "--x-exec-heap",
        "--verbose",
        "--jail",
        "--no-jail",
        "--no-supervisor",
        "--inspect",
        "--",
        "-",
        "",
    ]);
    let value = prop_oneof![
        Just("user".to_owned()),
        "[0-9]{1,20}",
        "@[0-9-]{0,12}",
        "([0-9a-f]{2}:){5,6}[0-9a-f]{0,2}",
        "[0-9.:\\[\\]]{0,20}:[0-9]{1,6}(/tcp)?",
    ];
    prop_oneof![
        proptest::collection::vec(1u8.., 0..40).prop_map(OsString::from_vec),
        (known, "(:[a-z0-9_]{0,4})?", "=?", value)
            .prop_map(|(option, name, sign, value)| format!("{option}{name}{sign}{value}").into()),
    ]
}

proptest! {
    #[test]
    fn arbitrary_arguments_never_panic(arguments in proptest::collection::vec(argument(), 0..6)) {
        match parse(arguments) {
            Ok(Command::Run(options)) => {
                prop_assert!(options.memory_bytes.is_multiple_of(1 << 20));
                prop_assert!((1 << 20..=TASK_END).contains(&options.memory_bytes));
                prop_assert!(options.command_line.len() <= COMMAND_LINE_MAX_BYTES);
                prop_assert!(!options.command_line.contains(&0));
            }
            Ok(_) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
