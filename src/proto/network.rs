//! Networks, as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::address::canonical;

/// A network: all addresses that begin with the same bits.
///
/// An IPv4 address and its IPv6 form `::ffff:a.b.c.d` are the same address here.
///
/// ```
/// use ftpdlib::proto::network::Network;
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse()?));
/// assert!(network.contains("::ffff:10.1.2.3".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address.
    ip: IpAddr,
    prefix: u32,
}

impl Network {
    /// Whether an address is in the network. An IPv6 network has no IPv4 address in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = canonical(ip);
        ip.is_ipv4() == self.ip.is_ipv4() && first(ip, self.prefix) == self.ip
    }
}

/// The first address of the network of this prefix that an address is in.
fn first(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// Parses an address with a prefix, or an address alone.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = || {
            InvalidNetwork(format!(
                "'{text}' is not a network; write an address, or one with a prefix such as \
                 10.0.0.0/8 or 2001:db8::/32"
            ))
        };
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        if prefix > bits {
            return Err(wrong());
        }
        let (ip, prefix) = match (canonical(ip), bits) {
            // The form of an IPv4 address in IPv6 has 96 bits before it.
            (IpAddr::V4(ip), 128) => (IpAddr::V4(ip), prefix.checked_sub(96).ok_or_else(wrong)?),
            (ip, _) => (ip, prefix),
        };
        let network = Self {
            ip: first(ip, prefix),
            prefix,
        };
        match network.ip == ip {
            true => Ok(network),
            false => Err(InvalidNetwork(format!(
                "'{text}' has bits after its prefix; write {network}"
            ))),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// The error of a text that is no network: what is wrong, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidNetwork(String);

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, yes: &[&str], no: &[&str]) {
        let network: Network = network.parse().unwrap();
        for ip in yes {
            assert!(network.contains(ip.parse().unwrap()), "{network} {ip}");
        }
        for ip in no {
            assert!(!network.contains(ip.parse().unwrap()), "{network} {ip}");
        }
    }

    #[test]
    fn networks_have_their_addresses() {
        let mapped = "::ffff:10.1.2.3";
        has(
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", mapped],
            &["11.0.0.0", "::a"],
        );
        has("10.1.2.3", &["10.1.2.3", mapped], &["10.1.2.2", "10.1.2.4"]);
        has("0.0.0.0/0", &["1.2.3.4", mapped], &["::1", "::"]);
        has("::/0", &["::1", "2001:db8::1"], &["1.2.3.4", mapped]);
        has(
            "::ffff:10.0.0.0/104",
            &["10.1.2.3", mapped],
            &["11.0.0.0", "::1"],
        );
        has("::ffff:0:0/96", &["1.2.3.4", mapped], &["::1"]);
        has(
            "2001:db8::/32",
            &["2001:db8:ffff::1"],
            &["2001:db9::", "32.1.13.184"],
        );
        has("2001:db8::1/128", &["2001:db8::1"], &["2001:db8::2"]);
        has(
            "192.0.2.128/25",
            &["192.0.2.128", "192.0.2.255"],
            &["192.0.2.127"],
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "10",
            "localhost",
            "::/129",
            "::ffff:0:0/95",
            "fe80::1%eth0",
            " 10.0.0.1",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/99999999999",
        ] {
            let text = text.parse::<Network>().unwrap_err().to_string();
            assert!(text.contains(" is not a network; "), "{text}");
        }
        let err = "10.1.2.3/8".parse::<Network>().unwrap_err();
        let expected = "'10.1.2.3/8' has bits after its prefix; write 10.0.0.0/8";
        assert_eq!(err.to_string(), expected);
    }
}
