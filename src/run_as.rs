//! The user that a server becomes when it has bound its sockets: see [`RunAs`].

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::strerror;
use crate::log::TARGET;
use crate::sys;

/// A user and groups of the system, to which a process that was started as root switches for good.
///
/// [`FTPServer::set_run_as`](crate::FTPServer::set_run_as) has the example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// The name of the user, or the number.
    user: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// False: the process runs as this user already.
    is_change: bool,
}

impl RunAs {
    /// Looks up a user, by name or number, and a group. `None`: the group of the user. The
    /// supplementary groups are those of the user. May block, since the database of users may be
    /// on the network.
    ///
    /// # Errors
    /// One line that says why: there is no such user or group; a user that is only a number needs a
    /// group; or the process is not root, and the user or the group is another one than its own.
    pub fn new(user: &str, group: Option<&str>) -> io::Result<Self> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let entry = sys::user_by_name(user).or_else(|| sys::user_by_number(number(user)?));
        let uid = entry.as_ref().map(|entry| entry.uid).or(number(user));
        let uid = uid.ok_or_else(|| wrong(format!("there is no user '{user}'")))?;
        let gid = match (group, &entry) {
            (Some(group), _) => {
                let gid = sys::group_by_name(group).or(number(group));
                gid.ok_or_else(|| wrong(format!("there is no group '{group}'")))?
            }
            (None, Some(entry)) => entry.gid,
            (None, None) => {
                let text = "is no user of this machine, so it needs a group";
                return Err(wrong(format!("'{user}' {text}")));
            }
        };
        let is_change = sys::effective_user() == 0;
        if !is_change {
            let own = sys::user_ids().iter().all(|id| *id == uid);
            let own_group = group.is_none() || sys::group_ids().iter().all(|id| *id == gid);
            if !own || !own_group {
                let what = match own {
                    false => format!("user '{user}'"),
                    true => format!("group '{}'", group.unwrap_or_default()),
                };
                let text = "start the program as root, or leave this out";
                return Err(wrong(format!("only root can switch to {what}; {text}")));
            }
        }
        let groups = match &entry {
            Some(entry) => sys::groups_of(&entry.name, gid)?,
            None => vec![gid],
        };
        Ok(Self {
            user: entry.map_or_else(|| user.to_owned(), |entry| entry.name),
            uid,
            gid,
            groups,
            is_change,
        })
    }

    /// The name of the user, or the number of one without a name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Runs a function as this user, and becomes root again. For the start of a program: no other
    /// thread may run meanwhile.
    ///
    /// # Errors
    /// The system refuses a switch. The process should end then, since it may be half-way.
    pub fn try_as<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if !self.is_change {
            return Ok(work());
        }
        let (groups, gid) = (sys::groups()?, sys::effective_group());
        let entered = sys::set_groups(&self.groups)
            .and_then(|()| sys::set_effective_group(self.gid))
            .and_then(|()| sys::set_effective_user(self.uid));
        let result = entered.map(|()| work());
        sys::set_effective_user(0)?;
        sys::set_effective_group(gid)?;
        sys::set_groups(&groups)?;
        result.map_err(|err| self.cannot_switch(&err))
    }

    /// Checks that this user can read a file, in the way of [`try_as`](Self::try_as).
    ///
    /// # Errors
    /// One line with the file and the user.
    pub fn check_readable(&self, path: &Path) -> io::Result<()> {
        let open = || {
            let mut options = File::options();
            // Not to wait for the writer of a fifo.
            let options = options.read(true).custom_flags(libc::O_NONBLOCK);
            options.open(path).map(drop)
        };
        self.try_as(open)?.map_err(|err| {
            let (path, user) = (path.display(), &self.user);
            let text = format!("{path}: user '{user}' cannot read it: {}", strerror(&err));
            io::Error::new(err.kind(), text)
        })
    }

    /// Switches for good.
    ///
    /// # Errors
    /// The system refuses, or the switch could be undone. The process must not go on then.
    pub(crate) fn switch(&self) -> io::Result<()> {
        if self.is_change {
            sys::set_groups(&self.groups)
                .and_then(|()| sys::set_group(self.gid))
                .and_then(|()| sys::set_user(self.uid))
                .map_err(|err| self.cannot_switch(&err))?;
            self.check()?;
        }
        let Self { user, uid, gid, .. } = self;
        log::info!(target: TARGET, "running as user {user} (uid {uid}, gid {gid})");
        Ok(())
    }

    /// Checks that nothing of root is left.
    fn check(&self) -> io::Result<()> {
        let sorted = |mut groups: Vec<u32>| {
            // Some systems count the group itself among the supplementary ones.
            groups.retain(|group| *group != self.gid);
            groups.sort_unstable();
            groups.dedup();
            groups
        };
        let is_whole = sys::user_ids().iter().all(|id| *id == self.uid)
            && sys::group_ids().iter().all(|id| *id == self.gid)
            && sorted(sys::groups()?) == sorted(self.groups.clone());
        let comes_back = self.uid != 0
            && (sys::set_effective_user(0).is_ok()
                || sys::set_user(0).is_ok()
                || self.gid != 0 && sys::set_effective_group(0).is_ok()
                || sys::set_groups(&[0]).is_ok());
        match is_whole && !comes_back {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "the switch to user '{}' is not complete, or can be undone",
                self.user
            ))),
        }
    }

    fn cannot_switch(&self, err: &io::Error) -> io::Error {
        let text = format!("cannot switch to user '{}': {}", self.user, strerror(err));
        io::Error::new(err.kind(), text)
    }
}

/// The number that a text is. The greatest one means "no change" to the system.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.filter(|number| *number != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process_for_tests::{alone, fork};

    #[test]
    fn names_and_numbers_stand_for_users() {
        let text = |user, group| RunAs::new(user, group).unwrap_err().to_string();
        for wrong in [
            "",
            "no such user",
            "-1",
            "4294967295",
            "99999999999",
            "a\0b",
        ] {
            assert_eq!(text(wrong, None), format!("there is no user '{wrong}'"));
            if sys::effective_user() == 0 {
                assert_eq!(
                    text("root", Some(wrong)),
                    format!("there is no group '{wrong}'")
                );
            }
        }
        let lonely = text("3999999999", None);
        assert_eq!(
            lonely,
            "'3999999999' is no user of this machine, so it needs a group"
        );
        let own = sys::effective_user().to_string();
        let own_group = sys::effective_group().to_string();
        let run_as = RunAs::new(&own, Some(&own_group)).unwrap();
        assert_eq!(run_as.uid.to_string(), own);
        if sys::effective_user() == 0 {
            assert_eq!(run_as, RunAs::new("root", None).unwrap());
            return;
        }
        assert!(text("root", None).starts_with("only root can switch to user 'root'"));
        run_as.switch().unwrap();
    }

    #[test]
    fn a_switch_is_whole_and_cannot_be_undone() {
        const NAME: &str = "run_as::tests::a_switch_is_whole_and_cannot_be_undone";
        if sys::effective_user() != 0 {
            eprintln!("{NAME} is left out: it needs root");
            return;
        }
        alone(NAME, || {
            sys::set_groups(&[0, 4, 5]).unwrap();
            let run_as = RunAs::new("3999999999", Some("3999999998")).unwrap();
            let seen = run_as.try_as(|| (sys::effective_user(), sys::groups().unwrap()));
            assert_eq!(seen.unwrap(), (3_999_999_999, vec![3_999_999_998]));
            assert_eq!((sys::effective_user(), sys::effective_group()), (0, 0));
            assert_eq!(sys::groups().unwrap(), [0, 4, 5]);
            let child = fork(|| {
                run_as.switch().unwrap();
                assert!(sys::user_ids().iter().all(|id| *id == 3_999_999_999));
                assert!(sys::group_ids().iter().all(|id| *id == 3_999_999_998));
                assert_eq!(sys::groups().unwrap(), [3_999_999_998]);
                assert!(sys::set_user(0).is_err() && sys::set_groups(&[]).is_err());
                // The check finds what is not complete.
                let other = RunAs::new("3999999997", Some("3999999998"));
                assert!(other.is_err());
            });
            assert!(child.wait());
            // One that has forgotten the saved user is found.
            let child = fork(|| {
                sys::set_groups(&run_as.groups).unwrap();
                sys::set_group(run_as.gid).unwrap();
                sys::set_effective_user(run_as.uid).unwrap();
                assert!(run_as.check().is_err());
            });
            assert!(child.wait());
        });
    }
}
