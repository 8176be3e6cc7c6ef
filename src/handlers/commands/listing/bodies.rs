//! The stock bodies of the commands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::form::Form;
use super::lines::Listing;
use super::now::{TimedStyle, now};
use super::source::{self, Source};
use super::veil::Veil;
use crate::handlers::data::Outgoing;
use crate::handlers::files::{self, Opener};
use crate::handlers::session::FTPSession;
use crate::handlers::transfers::push_listing;
use crate::proto::listing::{ListEntry, ListingStyle, MlsxFacts, Stat};
use crate::proto::reply::Reply;

/// Stock [`FTPHandler::ftp_list`](crate::FTPHandler::ftp_list): sorted, in the form of `ls -l`.
///
/// The last component may be a pattern, which is matched if there is no such name.
pub fn list(s: &mut FTPSession, path: &Path) {
    let listed = path.to_owned();
    open(s, path, Form::List, SORTED_MAX, |s, listing, _| {
        push_listing(s, listing, "LIST", listed);
    });
}

/// Stock [`FTPHandler::ftp_nlst`](crate::FTPHandler::ftp_nlst): only names, sorted.
///
/// A name that a pattern has matched is shown with its directory, as seen from the current
/// directory, so that the client can use it as it is.
pub fn nlst(s: &mut FTPSession, path: &Path) {
    let listed = path.to_owned();
    open(s, path, Form::Names, SORTED_MAX, |s, listing, _| {
        push_listing(s, listing, "NLST", listed);
    });
}

/// Stock [`FTPHandler::ftp_mlsd`](crate::FTPHandler::ftp_mlsd): with facts, in the order of the
/// system.
pub fn mlsd(s: &mut FTPSession, path: &Path) {
    let opener = Opener::new(s);
    let (path, listed) = (path.to_owned(), path.to_owned());
    let is_flags = looks_like_flags(&path);
    files::run(
        s,
        move |fs, state| fs.listdir(state, &path),
        move |s, opened| match opened {
            Ok(dir) => {
                let listing = Listing::unsorted(opener.dir(dir), style(s), Form::Facts(facts(s)));
                push_listing(s, Outgoing::Producer(Box::new(listing)), "MLSD", listed);
            }
            // RFC 3659 §7.2.1 wants 501 for something that exists and is not a directory. The
            // flags of ls are not an argument for MLSD either.
            Err(err) if err.raw_os_error() == Some(libc::ENOTDIR) || is_flags => {
                s.respond(Reply::new(501, "No such directory."));
            }
            Err(err) => s.respond(err),
        },
    );
}

fn looks_like_flags(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_bytes().starts_with(b"-")
}

/// Stock [`FTPHandler::ftp_mlst`](crate::FTPHandler::ftp_mlst).
pub fn mlst(s: &mut FTPSession, path: &Path) {
    let facts = facts(s);
    let mut style = style(s);
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            let stat = fs.stat(state, &path).or_else(|err| {
                // A link that leads nowhere, or outside, is shown as itself.
                let link = fs.lstat(state, &path).ok();
                link.filter(Stat::is_symlink).ok_or(err)
            })?;
            let entry = ListEntry {
                name: OsStr::new(""),
                stat: &stat,
                target: None,
            };
            let mut line = Vec::new();
            fs.format_mlsx(&mut style.style, &facts, &entry, &mut line);
            Ok((line, fs.fs2ftp(state, &path)))
        },
        |s, found| match found {
            Err(err) => s.respond(err),
            Ok((line, shown)) => {
                s.push_bytes_line(&[b"250-Listing \"", shown.as_bytes(), b"\":"].concat());
                // The path is fully qualified, because TVFS is supported (RFC 3659 §6).
                let facts = line.trim_ascii_end();
                s.push_bytes_line(&[b" ", facts, b" ", shown.as_bytes()].concat());
                s.respond(Reply::new(250, "End MLST."));
            }
        },
    );
}

/// STAT with a path: LIST on the control connection.
pub(in crate::handlers::commands) fn stat(s: &mut FTPSession, path: &Path) {
    open(s, path, Form::List, STAT_SORTED_MAX, |s, listing, shown| {
        s.push_bytes_line(&[b"213-Status of \"", shown.as_bytes(), b"\":"].concat());
        match listing {
            Outgoing::Bytes(line) => s.chat.push(&line),
            Outgoing::Producer(listing) | Outgoing::File(_, listing) => {
                s.chat.push_with_producer(listing);
            }
        }
        s.respond(Reply::new(213, "End of status."));
    });
}

/// Opens what lists a path, and hands it to `then` with the FTP path. At most `sorted_max`
/// bytes of names are sorted.
fn open(
    s: &mut FTPSession,
    path: &Path,
    form: Form,
    sorted_max: usize,
    then: impl FnOnce(&mut FTPSession, Outgoing, &OsStr) + 'static,
) {
    let opener = Opener::new(s);
    let mut style = style(s);
    let path = path.to_owned();
    files::run(
        s,
        move |fs, state| {
            let source = source::open(fs, state, &path, form, &mut style)?;
            Ok((source, style, fs.fs2ftp(state, &path)))
        },
        move |s, opened| {
            let (source, style, shown) = match opened {
                Ok(opened) => opened,
                Err(err) => return s.respond(err),
            };
            let outgoing = match source {
                Source::Line(line) => Outgoing::Bytes(line),
                Source::Directory(dir) => {
                    let listing = Listing::unsorted(opener.dir(dir), style, form);
                    Outgoing::Producer(Box::new(listing.sorted(sorted_max)))
                }
                Source::Matches(dir, matches) => {
                    let listing = Listing::unsorted(opener.dir(dir), style, form);
                    let listing = listing.sorted(sorted_max).matching(matches);
                    Outgoing::Producer(Box::new(listing))
                }
            };
            then(s, outgoing, &shown);
        },
    );
}

fn facts(s: &FTPSession) -> MlsxFacts {
    s.facts.with_perms(s.authorizer().get_perms(&s.username))
}

fn style(s: &FTPSession) -> TimedStyle {
    let clock = s.chat.stream.clock().clone();
    let now = now(&clock);
    let style = ListingStyle::new(s.encoding(), s.unicode_errors(), s.use_gmt_times(), now);
    TimedStyle {
        style: style.without_owners(s.hides_ids()),
        clock,
        budget: Arc::clone(&s.server.listings),
        veil: Veil {
            hides_outside: s.hides_ids(),
            depth: 0,
            rules: s.name_rules().cloned(),
        },
    }
}

/// The memory for names to be sorted, in bytes. The rest follows in the order of the system.
const SORTED_MAX: usize = 8 * 1024 * 1024;

/// The same for STAT.
const STAT_SORTED_MAX: usize = 8 * 1024;
