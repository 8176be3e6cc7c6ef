//! Host names in place of addresses in replies to PASV: their answers, and when to ask again.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crate::log::TARGET;
use crate::offload::Pool;
use crate::sys::{Held, SharedWords};

/// What a host name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All local addresses without a name of their own.
    All,
    /// Clients that have connected to this local address.
    Local(IpAddr),
    /// Clients that have connected to the listening socket with this number.
    Listener(usize),
}

impl From<Option<IpAddr>> for Purpose {
    fn from(local: Option<IpAddr>) -> Self {
        local.map_or(Self::All, Self::Local)
    }
}

/// The host names of a server. Processes that it forks share the answers.
#[derive(Debug, Default)]
pub(crate) struct HostNames(RwLock<Vec<Arc<HostName>>>);

impl HostNames {
    /// Adds a name, or replaces that of the same purpose.
    /// `first` is its answer until it is asked for.
    ///
    /// # Errors
    /// The system has no memory that processes can share.
    pub(crate) fn set(
        &self,
        purpose: impl Into<Purpose>,
        name: &str,
        first: Option<Ipv4Addr>,
    ) -> io::Result<()> {
        self.set_with(purpose, name, first, look_up)
    }

    /// As [`set`](Self::set), with another way to look the name up.
    pub(crate) fn set_with(
        &self,
        purpose: impl Into<Purpose>,
        name: &str,
        first: Option<Ipv4Addr>,
        look_up: LookUp,
    ) -> io::Result<()> {
        let purpose = purpose.into();
        let name = HostName::new(purpose, name, first, look_up)?;
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        names.retain(|old| old.purpose != purpose);
        names.push(Arc::new(name));
        Ok(())
    }

    /// The last answer for this purpose, if it has a name and there was an answer.
    pub(crate) fn address(&self, purpose: impl Into<Purpose>) -> Option<Ipv4Addr> {
        let (names, purpose) = (self.names(), purpose.into());
        names.iter().find(|name| name.purpose == purpose)?.address()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// Asks for the names that are due, on the pool of this process.
    pub(crate) fn refresh(&self) {
        for name in self.take_due(usize::MAX) {
            let run = Arc::clone(&name);
            let job = move || {
                run.ask();
                run.give_back();
            };
            // The jobs of the server itself have an address of their own in the queue.
            let address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            if Pool::OfProcess.run(address, job).is_err() {
                name.give_back();
            }
        }
    }

    /// Takes at most so many names that are due, the longest due ones first: nobody else gets them
    /// now. This process does not get them again until they are given back.
    pub(crate) fn take_due(&self, most: usize) -> Vec<Arc<HostName>> {
        let now = seconds();
        let mut names = self.names();
        if most < names.len() {
            names.sort_by_cached_key(|name| name.next());
        }
        let idle = names
            .into_iter()
            .filter(|name| !name.running.load(Relaxed) && name.take_if_due(now));
        let taken = idle.take(most);
        let taken = taken.inspect(|name| name.running.store(true, Relaxed));
        taken.collect()
    }

    /// Which process holds the lock of a name.
    pub(crate) fn look_at_locks(&self, now: Instant) -> Held {
        let names = self.names();
        let held = names.iter().map(|name| name.words.look(now));
        held.fold(Held::Free, Held::or)
    }

    fn names(&self) -> Vec<Arc<HostName>> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.clone()
    }
}

/// A host name.
pub(crate) struct HostName {
    /// What the name stands for.
    purpose: Purpose,
    name: Box<str>,
    /// See [`ANSWER`] and the constants after it.
    words: SharedWords,
    /// The last answer that this process has seen, for the time that another one holds the lock.
    seen: AtomicU32,
    /// Whether a job of this process asks, or a process that it has forked.
    running: AtomicBool,
    look_up: LookUp,
}

type LookUp = fn(&str) -> io::Result<Vec<Ipv4Addr>>;

impl HostName {
    fn new(
        purpose: Purpose,
        name: &str,
        first: Option<Ipv4Addr>,
        look_up: LookUp,
    ) -> io::Result<Self> {
        let words = SharedWords::new(WORDS)?;
        // It is due at once: all other words are 0.
        words.lock()?[ANSWER] = first.map_or(0, |first| u32::from(first).into());
        Ok(Self {
            purpose,
            name: name.into(),
            words,
            seen: AtomicU32::new(first.map_or(0, u32::from)),
            running: AtomicBool::new(false),
            look_up,
        })
    }

    fn address(&self) -> Option<Ipv4Addr> {
        if let Ok(words) = self.words.lock() {
            // The number of an address has 32 bits; 0 is no answer.
            let answer = u32::try_from(words[ANSWER]).unwrap_or_default();
            self.seen.store(answer, Relaxed);
        }
        let answer = self.seen.load(Relaxed);
        (answer != 0).then(|| Ipv4Addr::from(answer))
    }

    fn take_if_due(&self, now: u64) -> bool {
        let Ok(mut words) = self.words.lock() else {
            return false;
        };
        // A time far in the future was written before the clock was set back.
        let is_due = words[NEXT] <= now || words[NEXT] > now + 2 * PERIOD.as_secs();
        if is_due {
            words[NEXT] = now + PERIOD.as_secs();
        }
        is_due
    }

    /// When to ask next.
    fn next(&self) -> u64 {
        self.words.lock().map_or(0, |words| words[NEXT])
    }

    /// A name that was taken may be taken again, when it is due.
    pub(crate) fn give_back(&self) {
        self.running.store(false, Relaxed);
    }

    /// Asks for the addresses, and keeps one of them. Blocks.
    pub(crate) fn ask(&self) {
        let found = choose(&self.name, (self.look_up)(&self.name), self.address());
        let Ok(mut words) = self.words.lock() else {
            return;
        };
        let (before, had_failed) = (words[ANSWER], words[FAILED] != 0);
        words[FAILED] = u64::from(found.is_err());
        if let Ok(address) = found {
            words[ANSWER] = u32::from(address).into();
        }
        let now = words[ANSWER];
        drop(words);
        let name = &self.name;
        match found {
            // A failure is logged once, until it ends.
            Err(err) if !had_failed => {
                log::warn!(target: TARGET, "masquerade address: {err}; the last answer stays in use");
            }
            Ok(address) if before != now || had_failed => {
                log::info!(target: TARGET, "masquerade address: '{name}' is {address}");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostName")
            .field("name", &self.name)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// Looks up the IPv4 address of a host name, or reads one. Blocks.
///
/// # Errors
/// There is none. The text says which name is meant.
pub(crate) fn resolve(name: &str) -> io::Result<Ipv4Addr> {
    choose(name, look_up(name), None)
}

/// Chooses an address that a client can connect to: `last` again, if it is still one of them.
fn choose(
    name: &str,
    found: io::Result<Vec<Ipv4Addr>>,
    last: Option<Ipv4Addr>,
) -> io::Result<Ipv4Addr> {
    let error = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let is_of_a_host =
        |ip: &Ipv4Addr| !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast());
    let found = found.map_err(|err| error(format!("'{name}' has no IPv4 address: {err}")))?;
    let mut usable = found.into_iter().filter(is_of_a_host).peekable();
    let first = usable.peek().copied();
    let same = usable.find(|ip| Some(*ip) == last);
    same.or(first)
        .ok_or_else(|| error(format!("'{name}' has no IPv4 address of a host")))
}

fn look_up(name: &str) -> io::Result<Vec<Ipv4Addr>> {
    if let Ok(ip) = name.parse() {
        return Ok(vec![ip]);
    }
    // The system would read `1.2.3` as 1.2.0.3, and `2130706433` as 127.0.0.1.
    if is_numeric(name) {
        let text = "an address has four numbers from 0 to 255, as 192.0.2.1";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let found = (name, 0).to_socket_addrs()?;
    let ipv4 = found.filter_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    Ok(ipv4.collect())
}

/// Whether a text has only numbers and dots, perhaps in hexadecimal or octal.
fn is_numeric(name: &str) -> bool {
    name.split('.').all(|part| {
        let hexadecimal = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
        hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            || part.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The present time in seconds since 1970, which processes have in common.
fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// How often names are asked for: addresses that change have answers for a minute or so.
pub(crate) const PERIOD: Duration = Duration::from_secs(30);

/// The last answer, as a number; 0 if there was none.
const ANSWER: usize = 0;
/// When to ask next, in seconds since 1970.
const NEXT: usize = 1;
/// Whether the last question had no answer: 1 or 0.
const FAILED: usize = 2;
const WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::sys::process_for_tests::{Child, alone, fork};

    const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    /// What the next questions find.
    static ANSWERS: Mutex<Vec<Option<Vec<Ipv4Addr>>>> = Mutex::new(Vec::new());

    fn answer(_name: &str) -> io::Result<Vec<Ipv4Addr>> {
        let next = ANSWERS.lock().unwrap().remove(0);
        next.ok_or_else(|| io::Error::other("no answer"))
    }

    #[test]
    fn the_last_good_answer_is_kept() {
        let name = HostName::new(Purpose::All, "ftp.example.org", None, answer).unwrap();
        assert_eq!(name.address(), None);
        for (found, expected) in [
            (None, None),
            (Some(vec![A]), Some(A)),
            (None, Some(A)),
            (Some(vec![]), Some(A)),
            // Any order of the same addresses is no change.
            (Some(vec![B, A]), Some(A)),
            (Some(vec![B]), Some(B)),
            (Some(vec![Ipv4Addr::UNSPECIFIED]), Some(B)),
            (Some(vec![Ipv4Addr::BROADCAST, A]), Some(A)),
        ] {
            ANSWERS.lock().unwrap().push(found);
            name.ask();
            assert_eq!(name.address(), expected);
        }
    }

    #[test]
    fn a_name_is_due_once_in_a_period() {
        let name = HostName::new(Purpose::All, "x", Some(A), answer).unwrap();
        let now = seconds();
        assert!(name.take_if_due(now));
        assert!(!name.take_if_due(now));
        let later = now + PERIOD.as_secs() + 5;
        assert!(name.take_if_due(later));
        assert!(!name.take_if_due(later));
        assert!(name.take_if_due(later + PERIOD.as_secs()));
        // The clock was set back.
        assert!(name.take_if_due(now - 100_000));
    }

    #[test]
    fn processes_share_the_answers() {
        const NAME: &str = "server_state::host_names::tests::processes_share_the_answers";
        alone(NAME, || {
            let name = HostName::new(Purpose::All, "x", Some(A), |_| Ok(vec![B])).unwrap();
            let child = fork(|| name.ask());
            assert!(Child::wait(&child));
            assert_eq!(name.address(), Some(B));
        });
    }

    #[test]
    fn names_are_resolved_to_ipv4() {
        assert_eq!(resolve("192.0.2.1").unwrap(), A);
        assert_eq!(resolve("localhost").unwrap(), Ipv4Addr::LOCALHOST);
        for wrong in [
            "",
            "::1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "x.invalid",
            "a b",
        ] {
            let err = resolve(wrong).unwrap_err().to_string();
            assert!(
                err.starts_with(&format!("'{wrong}' has no IPv4 address")),
                "{err}"
            );
        }
    }

    #[test]
    fn old_forms_of_addresses_are_wrong() {
        for wrong in [
            "1.2.3",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "0x",
            "0x7f.0.0.1",
            "010.0.0.1",
            "192.0.2.256",
            "192.0.2.1.",
            "192.0.2.1.1",
            "192..2.1",
            ".",
            "0",
        ] {
            let err = resolve(wrong).unwrap_err().to_string();
            let text = "an address has four numbers from 0 to 255, as 192.0.2.1";
            assert_eq!(err, format!("'{wrong}' has no IPv4 address: {text}"));
        }
        for name in ["a.1", "1.a", "0xg", "0x7f.example", "1-2"] {
            assert!(!is_numeric(name), "{name}");
        }
    }

    #[test]
    fn a_local_address_has_its_own_name() {
        let names = HostNames::default();
        assert!(names.is_empty());
        let local: IpAddr = A.into();
        names.set(None, "localhost", Some(B)).unwrap();
        names.set(Some(local), "localhost", Some(A)).unwrap();
        names.set(None, "localhost", None).unwrap();
        assert_eq!(names.names().len(), 2);
        assert_eq!(names.address(None), None);
        assert_eq!(names.address(Some(local)), Some(A));
        for name in names.names() {
            name.ask();
        }
        assert_eq!(names.address(None), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.address(Some(local)), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(names.address(Some(B.into())), None);
    }
}
