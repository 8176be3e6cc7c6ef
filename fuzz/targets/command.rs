//! A line of the client: taken apart, looked up, and shown in the log.

#![no_main]

use std::sync::LazyLock;

use ftpdlib::proto::command::{CommandLine, ProtoCmds, leading_flags};
use libfuzzer_sys::fuzz_target;

static COMMANDS: LazyLock<ProtoCmds> = LazyLock::new(|| {
    let mut commands = ProtoCmds::default();
    commands.insert_tls();
    commands
});

fuzz_target!(|line: &[u8]| {
    let command = CommandLine::parse(line);
    assert_eq!(command.line, line);
    assert!(line.ends_with(command.arg));
    assert!(!command.verb.bytes().any(|byte| byte.is_ascii_lowercase()));
    let words = command.verb.split(' ').count();
    assert!(words == 1 || words == 2 && command.verb.starts_with("SITE "));
    if line.is_ascii() {
        // Nothing is lost: verb, a space, argument.
        let verb = &line[..command.verb.len()];
        assert!(verb.eq_ignore_ascii_case(command.verb.as_bytes()));
        let rest = &line[verb.len()..];
        assert!(rest.is_empty() && command.arg.is_empty() || rest == [b" ", command.arg].concat());
    }

    if let Some((name, found)) = command.resolve(&COMMANDS) {
        assert_eq!(COMMANDS.get(name), Some(found));
        assert!(command.verb.ends_with(name));
        assert!(command.verb == name || ["ABOR", "STAT", "QUIT"].contains(&name));
    } else {
        assert!(!COMMANDS.contains(&command.verb));
    }

    let shown = command.for_log();
    assert!(!shown.chars().any(char::is_control));
    assert_eq!(command.hides_password(), shown.ends_with("******"));
    if command.verb == "PASS" {
        assert_eq!(shown.len(), "PASS ******".len());
        assert!(!format!("{command:?}").contains(&shown.replace("******", "*******")));
    }

    let path = leading_flags(command.arg);
    assert!(command.arg.ends_with(path));
    assert_eq!(leading_flags(path), path);
});
