//! The accounts of the file, and those of the flags.

use ftpdlib::authorizers::{Perm, Perms};

use super::files::{directory, load, load_from};

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
    for flags in [["-d", path].as_slice(), &["-w"], &["-P", "x"]] {
        let settings = load_from(dir.path(), flags).unwrap();
        let authorizer = settings.handler.authorizer;
        assert!(authorizer.has_user("anonymous") && !authorizer.has_user("joe"));
    }
    // The homes of unused accounts need not exist, but the file must be valid.
    let text = "[anonymous]\nhome = 'none'\n";
    assert!(load(text, &["-d", path]).is_ok());
    assert!(load("[anonymous]\nhome = 5\n", &["-d", path]).is_err());
}

#[test]
fn an_empty_list_of_users_lets_nobody_in() {
    let settings = load("users = []\n", &[]).unwrap();
    assert!(!settings.handler.authorizer.has_user("anonymous"));
}
