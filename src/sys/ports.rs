//! The ports that the system gives to sockets that ask for any.
//!
//! The kernel looks for a free port one by one, and looks long once many of them wait for late
//! packets of old connections (TIME_WAIT): a millisecond and more for each data connection of a
//! busy server. To try a random port of the same range takes a microsecond.

use std::cell::Cell;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::fs::read_to_string;
use std::sync::OnceLock;

/// A few ports of the system's range, in an order that a client cannot predict. None where the
/// range is not known.
pub(crate) fn some_ports() -> impl Iterator<Item = u16> {
    static RANGE: OnceLock<Option<Range>> = OnceLock::new();
    let range = RANGE.get_or_init(Range::of_system).as_ref();
    let ports = range.map(|range| (0..TRIES).filter_map(|_| range.pick(random()?)));
    ports.into_iter().flatten()
}

/// The ports that the kernel chooses from.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    /// The ports in between that it leaves out, as `(first, last)`.
    reserved: Vec<(u16, u16)>,
}

impl Range {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn of_system() -> Option<Self> {
        const SYSTEM: &str = "/proc/sys/net/ipv4";
        let range = read_to_string(format!("{SYSTEM}/ip_local_port_range")).ok()?;
        let reserved = read_to_string(format!("{SYSTEM}/ip_local_reserved_ports")).ok()?;
        Self::parse(&range, &reserved)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn of_system() -> Option<Self> {
        None
    }

    /// Parses texts such as `32768 60999` and `8080,9148-9150`.
    #[cfg(any(test, target_os = "linux", target_os = "android"))]
    fn parse(range: &str, reserved: &str) -> Option<Self> {
        let mut ends = range.split_whitespace().map(str::parse);
        let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
        let mut ports = Vec::new();
        for part in reserved.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            ports.push((first.parse().ok()?, last.parse().ok()?));
        }
        let range = Self {
            first,
            last,
            reserved: ports,
        };
        (0 < first && first <= last).then_some(range)
    }

    /// The port that a random number stands for, unless it is reserved.
    fn pick(&self, random: u16) -> Option<u16> {
        let count = u32::from(self.last - self.first) + 1;
        let offset = u16::try_from(u32::from(random) % count).ok()?;
        let port = self.first + offset;
        let is_free = |(first, last): &(u16, u16)| !(*first..=*last).contains(&port);
        self.reserved.iter().all(is_free).then_some(port)
    }
}

/// A random number. The system is asked for some at once.
fn random() -> Option<u16> {
    thread_local! {
        static POOL: Cell<([u16; 32], usize)> = const { Cell::new(([0; 32], 0)) };
    }
    let (mut pool, mut left) = POOL.get();
    if left == 0 {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).ok()?;
        for (number, bytes) in pool.iter_mut().zip(bytes.chunks_exact(2)) {
            *number = u16::from_ne_bytes([bytes[0], bytes[1]]);
        }
        left = pool.len();
    }
    left -= 1;
    // A number is used once, also if a fork copies the pool later.
    let number = std::mem::take(&mut pool[left]);
    POOL.set((pool, left));
    Some(number)
}

/// How many ports are tried before the kernel looks.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ranges_are_parsed() {
        let range = Range::parse("32768\t60999\n", "\n").unwrap();
        assert_eq!((range.first, range.last), (32_768, 60_999));
        assert_eq!(range.pick(0), Some(32_768));
        assert_eq!(range.pick(28_231), Some(60_999));
        assert_eq!(range.pick(28_232), Some(32_768));
        let range = Range::parse("1 65535", "8080,9148-9150\n").unwrap();
        assert_eq!(range.reserved, [(8080, 8080), (9148, 9150)]);
        for (random, port) in [
            (8078, Some(8079)),
            (8079, None),
            (9146, Some(9147)),
            (9149, None),
            (65_534, Some(65_535)),
            (65_535, Some(1)),
        ] {
            assert_eq!(range.pick(random), port);
        }
        for bad in ["", "1", "x 2", "5 4", "0 4", "1 65536"] {
            assert_eq!(Range::parse(bad, ""), None, "{bad}");
        }
        assert_eq!(Range::parse("1 2", "x"), None);
    }

    #[test]
    fn ports_differ() {
        let ports: HashSet<_> = (0..10).flat_map(|_| some_ports()).collect();
        let known = Range::of_system().is_some();
        assert!(ports.len() > 100 || !known);
    }
}
