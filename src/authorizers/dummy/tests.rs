//! The table of users, its checks and its permissions.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;

/// A home with `sub/deep/` and `sub/file` in it, and an authorizer with the user joe, whose
/// home it is.
fn joe() -> (tempfile::TempDir, DummyAuthorizer, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    fs::create_dir_all(home.join("sub/deep")).unwrap();
    fs::write(home.join("sub/file"), "").unwrap();
    let authorizer = DummyAuthorizer::new();
    authorizer.add_user("joe", "secret", &home, "elr").unwrap();
    (dir, authorizer, home)
}

fn text(result: Result<(), AuthorizerError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn users_have_what_they_were_given() {
    let (_dir, authorizer, home) = joe();
    let user = authorizer.user("joe").unwrap();
    assert_eq!(user.password, "secret");
    assert_eq!(user.home, home);
    assert_eq!(user.perm, Perms::READ);
    assert!(!format!("{user:?}").contains("secret"));
    assert_eq!(authorizer.get_home_dir("joe"), Ok(home.clone()));
    assert_eq!(authorizer.get_msg_login("joe"), "Login successful.");
    assert_eq!(authorizer.get_msg_quit("nobody"), "Goodbye.");

    let options = UserOptions {
        perm: Perms::ALL,
        msg_quit: "Bye.".into(),
        ..UserOptions::default()
    };
    authorizer
        .add_user_with("ann", "x", home.join("sub/.."), options)
        .unwrap();
    assert_eq!(authorizer.user("ann").unwrap().home, home);
    assert_eq!(authorizer.get_msg_quit("ann"), "Bye.");
    assert_eq!(authorizer.get_perms("ann"), Perms::ALL);
    assert_eq!(authorizer.users().count(), 2);
    assert!(authorizer.remove_user("ann").is_some());
    assert!(!authorizer.has_user("ann"));
    assert!(authorizer.get_home_dir("ann").is_err());
    assert!(!authorizer.has_perm("ann", Perm::Read, None));
}

#[test]
fn wrong_users_are_refused() {
    let (_dir, authorizer, home) = joe();
    assert_eq!(
        text(authorizer.add_user("joe", "", "/nonexistent", "?")),
        "user 'joe' already exists"
    );
    assert_eq!(
        text(authorizer.add_user("ann", "", "/nonexistent", "?")),
        "no such directory: '/nonexistent'"
    );
    let file = home.join("sub/file");
    assert!(
        text(authorizer.add_user("ann", "", &file, "elr")).starts_with("no such directory: '/")
    );
    assert_eq!(
        text(authorizer.add_user("ann", "", &home, "el?")),
        "no such permission '?'"
    );
    authorizer.add_user("ann", "", &home, Perms::NONE).unwrap();
    authorizer.add_anonymous(&home).unwrap();
    assert_eq!(
        text(authorizer.add_anonymous(&home)),
        "user 'anonymous' already exists"
    );
}

#[test]
fn passwords_are_checked() {
    let (_dir, authorizer, home) = joe();
    let login = |authorizer: &DummyAuthorizer, name: &str, password: &str| {
        let result = authorizer.authenticate(name, password);
        result.map_err(|err| err.to_string())
    };
    assert_eq!(login(&authorizer, "joe", "secret"), Ok(()));
    for wrong in ["", "s", "secre", "secret ", "secretsecret", "Secret"] {
        assert_eq!(login(&authorizer, "joe", wrong), Err(MSG_FAILED.into()));
    }
    assert_eq!(login(&authorizer, "ann", "x"), Err(MSG_FAILED.into()));
    let anonymous = login(&authorizer, "anonymous", "x");
    assert_eq!(anonymous, Err("Anonymous access not allowed.".into()));
    authorizer.add_anonymous(&home).unwrap();
    assert_eq!(login(&authorizer, "anonymous", "any"), Ok(()));
    authorizer.add_user("open", "", &home, "").unwrap();
    assert_eq!(login(&authorizer, "open", ""), Ok(()));
    assert_eq!(login(&authorizer, "open", "\0"), Err(MSG_FAILED.into()));
}

#[test]
fn an_override_covers_a_directory_and_its_files() {
    let (_dir, authorizer, home) = joe();
    let sub = home.join("sub");
    authorizer.override_perm("joe", &sub, "w", false).unwrap();
    let may = |path: &Path| authorizer.has_perm("joe", Perm::Write, Some(path));
    assert!(may(&sub));
    assert!(may(&sub.join("file")));
    assert!(may(&sub.join("not-yet-there")));
    assert!(!may(&sub.join("deep")));
    assert!(!may(&sub.join("deep/file")));
    assert!(!may(&home));
    assert!(!may(&home.join("submarine")));
    assert!(!authorizer.has_perm("joe", Perm::Read, Some(&sub)));
    assert!(!authorizer.has_perm("joe", Perm::Write, None));
}

/// A link is a name in the directory, wherever it leads.
#[test]
fn an_override_covers_links_to_directories() {
    let (_dir, authorizer, home) = joe();
    let sub = home.join("sub");
    std::os::unix::fs::symlink("deep", sub.join("link")).unwrap();
    authorizer.override_perm("joe", &sub, "w", false).unwrap();
    let may = |path: &Path| authorizer.has_perm_at("joe", Perm::Write, path);
    assert!(may(&sub.join("link")));
    assert!(!may(&sub.join("deep")));
}

#[test]
fn a_recursive_override_covers_all_below() {
    let (_dir, authorizer, home) = joe();
    let sub = home.join("sub");
    authorizer.override_perm("joe", &sub, "w", true).unwrap();
    authorizer
        .override_perm("joe", sub.join("deep"), "a", true)
        .unwrap();
    let deep = sub.join("deep/file");
    // The override that was added first decides, as in pyftpdlib, not the nearest one.
    assert!(authorizer.has_perm("joe", Perm::Write, Some(&deep)));
    assert!(!authorizer.has_perm("joe", Perm::Append, Some(&deep)));
    assert!(!authorizer.has_perm("joe", Perm::Write, Some(&home.join("submarine"))));

    authorizer.override_perm("joe", &sub, "d", true).unwrap();
    assert!(authorizer.has_perm("joe", Perm::Delete, Some(&deep)));
    assert!(!authorizer.has_perm("joe", Perm::Write, Some(&deep)));
}

#[test]
fn a_home_that_is_missing_has_the_error_of_the_system() {
    let result = DummyAuthorizer::new().add_anonymous("/nonexistent");
    let err = result.unwrap_err();
    let source = err.source().and_then(|err| err.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound));
}

#[test]
fn wrong_overrides_are_refused() {
    let (dir, authorizer, home) = joe();
    let over = |name: &str, path: &Path, perm: &str| {
        text(authorizer.override_perm(name, path, perm, true))
    };
    let sub = home.join("sub");
    assert_eq!(over("joe", &sub, "?"), "no such permission '?'");
    assert_eq!(over("ann", &sub, "w"), "no such user 'ann'");
    assert_eq!(
        over("joe", &home, "w"),
        "can't override home directory permissions"
    );
    let outside = dir.path().parent().unwrap();
    let escapes = "path escapes user home directory";
    assert_eq!(over("joe", outside, "w"), escapes);
    assert_eq!(over("joe", &home.join("sub/../.."), "w"), escapes);
    assert!(over("joe", &home.join("none"), "w").starts_with("no such directory: '"));
}

#[cfg(unix)]
#[test]
fn a_link_is_no_way_around_an_override() {
    let (_dir, authorizer, home) = joe();
    let sub = home.join("sub");
    std::os::unix::fs::symlink(&sub, home.join("link")).unwrap();
    std::os::unix::fs::symlink("sub/none", home.join("nowhere")).unwrap();
    let has = |authorizer: &DummyAuthorizer, name: &str| {
        authorizer.has_perm("joe", Perm::Read, Some(&home.join(name)))
    };
    assert!(has(&authorizer, "link/missing/file"));
    authorizer.override_perm("joe", &sub, "el", true).unwrap();
    assert!(!has(&authorizer, "sub/file"));
    assert!(!has(&authorizer, "link/file"));
    assert!(!has(&authorizer, "link/missing/file"));
    // The link leads to a file that does not exist: STOR would make it there.
    assert!(!has(&authorizer, "nowhere"));
    assert!(has(&authorizer, "file"));
}

#[test]
fn users_change_through_a_shared_table() {
    let (_dir, authorizer, home) = joe();
    let authorizer = Arc::new(authorizer);
    let shared: &dyn Authorizer = &Arc::clone(&authorizer);
    let before = authorizer.user("joe").unwrap();
    authorizer.set_password("joe", "other").unwrap();
    let table: &DummyAuthorizer = &authorizer;
    assert!(table.authenticate("joe", "secret").is_err());
    assert!(table.authenticate("joe", "other").is_ok());
    authorizer.set_perm("joe", "w").unwrap();
    assert!(shared.has_perm("joe", Perm::Write, None) && !shared.has_perm("joe", Perm::Read, None));
    authorizer.set_msg_login("joe", "Hello.").unwrap();
    authorizer.set_msg_quit("joe", "Bye.").unwrap();
    assert_eq!(shared.get_msg_login("joe"), "Hello.");
    assert_eq!(shared.get_msg_quit("joe"), "Bye.");
    authorizer.set_home("joe", home.join("sub")).unwrap();
    assert_eq!(shared.get_home_dir("joe").unwrap(), home.join("sub"));
    // A user that was taken from the table before stays as it was.
    assert_eq!((&*before.password, &before.home), ("secret", &home));
    let deep = home.join("sub/deep");
    authorizer.override_perm("joe", &deep, "", true).unwrap();
    assert!(shared.has_overrides("joe") && !shared.has_perm("joe", Perm::Write, Some(&deep)));
    assert!(authorizer.remove_override("joe", &deep));
    assert!(!authorizer.remove_override("joe", &deep));
    assert!(!shared.has_overrides("joe"));
    assert_eq!(authorizer.remove_user("joe").unwrap().password, "other");
    assert!(!shared.has_user("joe"));
}

#[test]
fn changes_of_nobody_are_refused() {
    let (_dir, authorizer, home) = joe();
    let none = "no such user 'ann'";
    assert_eq!(text(authorizer.set_password("ann", "")), none);
    assert_eq!(text(authorizer.set_perm("ann", "elr")), none);
    assert_eq!(text(authorizer.set_home("ann", &home)), none);
    assert_eq!(text(authorizer.set_msg_login("ann", "")), none);
    assert_eq!(text(authorizer.set_msg_quit("ann", "")), none);
    assert!(!authorizer.remove_override("ann", &home));
    assert_eq!(
        text(authorizer.set_perm("joe", "?")),
        "no such permission '?'"
    );
    let missing = text(authorizer.set_home("joe", "/nonexistent"));
    assert_eq!(missing, "no such directory: '/nonexistent'");
}

/// The permissions of directories stay when the home changes: open sessions are in the old one.
#[test]
fn another_home_opens_no_directory_of_the_old_one() {
    let (_dir, authorizer, home) = joe();
    let sub = home.join("sub");
    authorizer.override_perm("joe", &sub, "", true).unwrap();
    let other = tempfile::tempdir().unwrap();
    authorizer.set_home("joe", other.path()).unwrap();
    assert!(!authorizer.has_perm("joe", Perm::Read, Some(&sub.join("file"))));
}

#[test]
fn a_clone_is_another_table() {
    let (_dir, authorizer, home) = joe();
    let clone = authorizer.clone();
    clone.set_perm("joe", Perms::ALL).unwrap();
    clone.add_user("ann", "", &home, "elr").unwrap();
    assert_eq!(authorizer.get_perms("joe"), Perms::READ);
    assert!(!authorizer.has_user("ann"));
    assert!(!format!("{clone:?}").contains("secret"));
}

/// Of several threads that add the same user, one does. Readers see no user in part.
#[test]
fn threads_change_the_table_at_once() {
    let (_dir, authorizer, home) = joe();
    let added = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..50 {
                    let name = format!("user{round}");
                    if authorizer.add_user(name, "x", &home, "elr").is_ok() {
                        added.fetch_add(1, Relaxed);
                    }
                    let _ = authorizer.has_perm("joe", Perm::Read, Some(&home));
                    authorizer.set_perm("joe", "elr").unwrap();
                }
            });
        }
    });
    assert_eq!(added.load(Relaxed), 50);
    assert_eq!(authorizer.users().count(), 51);
}
