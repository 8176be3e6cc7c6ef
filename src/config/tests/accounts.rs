//! The accounts of the file, and those of the flags.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use ftpdlib::authorizers::{Perm, Perms};

use super::files::{directory, directory_with, flags, load, load_from};
use crate::config;

const ACCOUNTS: &str = r#"
[[users]]
name = "joe"
password = "secret"
home = "joe"
perm = "elradfmwMT"
msg_login = "Hello."

[[users.override_perm]]
path = "archive"
perm = "elr"
recursive = true

[anonymous]
home = "pub"
msg_quit = "Bye."
"#;

#[test]
fn accounts_are_read() {
    let dir = directory(ACCOUNTS);
    let home = dir.path().canonicalize().unwrap();
    let settings = load_from(dir.path(), &[]).unwrap();
    assert!(settings.share.is_none());
    let authorizer = settings.handler.authorizer;
    assert_eq!(authorizer.get_home_dir("joe"), Ok(home.join("joe")));
    assert_eq!(authorizer.get_perms("joe"), Perms::ALL);
    assert_eq!(authorizer.get_msg_login("joe"), "Hello.");
    assert_eq!(authorizer.get_msg_quit("joe"), "Goodbye.");
    let may = |path: &str| authorizer.has_perm("joe", Perm::Write, Some(&home.join(path)));
    assert!(may("joe/file") && !may("joe/archive/deep/file"));
    assert_eq!(authorizer.get_home_dir("anonymous"), Ok(home.join("pub")));
    assert_eq!(authorizer.get_perms("anonymous"), Perms::READ);
    assert_eq!(authorizer.get_msg_quit("anonymous"), "Bye.");
}

#[test]
fn account_flags_replace_all_accounts() {
    let dir = directory(ACCOUNTS);
    let path = dir.path().to_str().unwrap();
    let settings = load_from(dir.path(), &["-u", "ann", "-P", "x", "-d", path, "-w"]).unwrap();
    let authorizer = settings.handler.authorizer;
    assert!(authorizer.has_user("ann"));
    assert!(!authorizer.has_user("joe") && !authorizer.has_user("anonymous"));
    assert_eq!(authorizer.get_perms("ann"), Perms::ALL);
    let settings = load_from(dir.path(), &["-d", path]).unwrap();
    let authorizer = settings.handler.authorizer;
    assert!(authorizer.has_user("anonymous") && !authorizer.has_user("joe"));
    // It does not say for whom, or what is shared.
    assert_eq!(
        load_from(dir.path(), &["-w"]).unwrap_err(),
        "--write: with --config it needs --directory or --username"
    );
    // The homes of unused accounts need not exist, but the file must be valid.
    let text = "[anonymous]\nhome = 'none'\n";
    assert!(load(text, &["-d", path]).is_ok());
    assert!(load("[anonymous]\nhome = 5\n", &["-d", path]).is_err());
}

/// Neither a relative path, nor a link, nor the current directory shares all files by accident.
#[test]
fn only_a_slash_shares_the_root() {
    let dir = directory_with("");
    let link = dir.path().join("link");
    symlink("/", &link).unwrap();
    let up = "../".repeat(dir.path().components().count());
    for home in [link.to_str().unwrap(), "link", &up, "/proc/..", "/./"] {
        for section in ["[anonymous]", "[[users]]\nname = 'joe'\npassword = 'x'"] {
            let text = format!("{section}\nhome = '{home}'\n");
            fs::write(dir.path().join("ftpd.toml"), text).unwrap();
            let err = load_from(dir.path(), &[]).unwrap_err();
            let expected = "it is /; write home = \"/\" to share all files, or choose another one";
            assert!(
                err.contains(".home: ") && err.ends_with(expected),
                "{home}: {err}"
            );
        }
        let err = load_from(dir.path(), &["-d", dir.path().join(home).to_str().unwrap()]);
        let expected =
            "--directory: it would be /; share all files with -d /, or choose another one";
        assert_eq!(err.unwrap_err(), expected, "{home}");
    }
    let text = "[anonymous]\nhome = '/'\n";
    fs::write(dir.path().join("ftpd.toml"), text).unwrap();
    for flags in [[].as_slice(), &["-d", "/"], &["-d", "//"]] {
        let settings = load_from(dir.path(), flags).unwrap();
        let home = settings.handler.authorizer.get_home_dir("anonymous");
        assert_eq!(home, Ok("/".into()), "{flags:?}");
    }
}

#[test]
fn a_file_without_accounts_is_an_error() {
    for text in ["", "users = []\n", "[server]\nport = 1\n"] {
        let dir = directory_with(text);
        for flags in [[].as_slice(), &["-w"]] {
            assert_eq!(
                load_from(dir.path(), flags).unwrap_err(),
                "ftpd.toml: has no accounts; add [[users]] or [anonymous], or use -d or -u"
            );
        }
        let path = dir.path().to_str().unwrap();
        assert!(load_from(dir.path(), &["-d", path]).is_ok());
    }
}

#[test]
fn the_number_and_the_source_of_accounts_are_told() {
    let dir = directory(ACCOUNTS);
    let path = dir.path().to_str().unwrap();
    let from_file = |text: &str| {
        let dir = directory(text);
        let accounts = load_from(dir.path(), &[]).unwrap().accounts;
        accounts.replace(dir.path().to_str().unwrap(), "")
    };
    let ann = "[[users]]\nname = 'ann'\npassword = 'x'\nhome = 'pub'\n";
    let anonymous = "[anonymous]\nhome = 'pub'\n";
    for (text, expected) in [
        (ACCOUNTS.to_owned(), "2 (1 user, anonymous)"),
        (ACCOUNTS.to_owned() + ann, "3 (2 users, anonymous)"),
        (ann.to_owned(), "1 (1 user)"),
        (anonymous.to_owned(), "1 (anonymous)"),
    ] {
        let expected = format!("accounts: {expected}, from /ftpd.toml");
        assert_eq!(from_file(&text), expected);
    }
    let replaced = load_from(dir.path(), &["-u", "ann", "-P", "x", "-d", path]).unwrap();
    assert_eq!(
        replaced.accounts,
        format!(
            "accounts: 1 (ann), from the command line, which replaces those of {path}/ftpd.toml"
        )
    );
    let accounts = |args: &[&str]| config::load(&flags(args)).unwrap().accounts;
    assert_eq!(accounts(&[]), "accounts: 1 (anonymous), by default");
    assert_eq!(
        accounts(&["-d", path]),
        "accounts: 1 (anonymous), from the command line"
    );
}

#[test]
fn a_file_with_passwords_that_others_can_read_gives_a_warning() {
    let warnings = |text: &str, mode: u32, args: &[&str]| {
        let dir = directory(text);
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.path().join("ftpd.toml"), permissions).unwrap();
        load_from(dir.path(), args).unwrap().warnings.len()
    };
    for (mode, expected) in [
        (0o600, 0),
        (0o700, 0),
        (0o602, 0),
        (0o604, 1),
        (0o640, 1),
        (0o644, 1),
        (0o666, 1),
    ] {
        assert_eq!(warnings(ACCOUNTS, mode, &[]), expected, "{mode:o}");
        // The passwords are in the file, whether they are used or not.
        assert_eq!(warnings(ACCOUNTS, mode, &["-d", "."]), expected, "{mode:o}");
        assert_eq!(warnings("[anonymous]\nhome = 'pub'\n", mode, &[]), 0);
    }
}
