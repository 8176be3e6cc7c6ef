//! An authorizer behind a pointer is an authorizer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::authorizer::Authorizer;
use super::client::Client;
use super::later::{LaterVerdict, Verdict};
use crate::error::AuthenticationFailed;
use crate::proto::perm::{Perm, Perms};

macro_rules! pass_on {
    ($(#[$about:meta])* $pointer:ident) => {
        $(#[$about])*
        impl<A: Authorizer + ?Sized> Authorizer for $pointer<A> {
    fn inner(&self) -> &dyn Authorizer {
        (**self).inner()
    }

    fn validate_authentication(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
    ) -> Result<(), AuthenticationFailed> {
        (**self).validate_authentication(username, password, client)
    }

    fn authenticate(
        &self,
        username: &str,
        password: &str,
        client: &Client<'_>,
        later: &dyn Fn() -> LaterVerdict,
    ) -> Verdict {
        (**self).authenticate(username, password, client, later)
    }

    fn get_home_dir(&self, username: &str) -> Result<PathBuf, AuthenticationFailed> {
        (**self).get_home_dir(username)
    }

    fn impersonate_user(&self, username: &str, password: &str) {
        (**self).impersonate_user(username, password);
    }

    fn terminate_impersonation(&self, username: &str) {
        (**self).terminate_impersonation(username);
    }

    fn keeps_password(&self) -> bool {
        (**self).keeps_password()
    }

    fn has_user(&self, username: &str) -> bool {
        (**self).has_user(username)
    }

    fn has_perm(&self, username: &str, perm: Perm, path: Option<&Path>) -> bool {
        (**self).has_perm(username, perm, path)
    }

    fn has_perm_at(&self, username: &str, perm: Perm, real: &Path) -> bool {
        (**self).has_perm_at(username, perm, real)
    }

    fn has_overrides(&self, username: &str) -> bool {
        (**self).has_overrides(username)
    }

    fn get_perms(&self, username: &str) -> Perms {
        (**self).get_perms(username)
    }

    fn get_msg_login(&self, username: &str) -> String {
        (**self).get_msg_login(username)
    }

    fn get_msg_quit(&self, username: &str) -> String {
        (**self).get_msg_quit(username)
    }
        }
    };
}

pass_on! {
    /// An authorizer that other threads share: to change its users while the server runs.
    Arc
}

pass_on! {
    /// An authorizer whose type is chosen when the program runs.
    Box
}

#[cfg(test)]
mod tests {
    /// A method that is missing here would have the stock body, whatever the authorizer does.
    #[test]
    fn every_method_is_passed_on() {
        fn names(source: &str) -> Vec<&str> {
            let methods = source
                .lines()
                .filter_map(|line| line.strip_prefix("    fn "));
            methods.filter_map(|line| line.split('(').next()).collect()
        }
        let (_, of_trait) = include_str!("authorizer.rs")
            .split_once("pub trait Authorizer")
            .unwrap();
        let (of_trait, _) = of_trait.split_once("\n}\n").unwrap();
        let own = names(include_str!("pointers.rs"));
        let of_trait = names(of_trait);
        assert!(of_trait.len() > 12);
        for name in of_trait {
            assert!(own.contains(&name), "{name}");
        }
    }
}
